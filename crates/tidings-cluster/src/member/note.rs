//! What a member keeps beside each update in the history: the origin and the key.

use std::sync::Arc;

use tidings_core::Position;

use crate::OrderedUpdate;
use crate::engine::{BootId, Key, NodeId, Origin, Sender};

/// The note of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Who accepted it.
    pub origin: Origin,
    /// By which it is taken once, and for how many milliseconds that is remembered.
    pub key: Option<(Key, u64)>,
}

impl Note {
    /// Returns the note of an update of the history. Kept without one are what stands for a removed
    /// presence event, and what the history ordered itself before the cluster adopted it: their
    /// origin is nobody's, and of their position alone. Nothing if the note is not one of a member.
    #[must_use]
    pub fn of(update: &OrderedUpdate) -> Option<Self> {
        match update.note.is_empty() {
            true => Some(Self::nobodys(update.position, KEPT_WITHOUT)),
            false => Self::decode(&update.note),
        }
    }

    /// Returns the note of an update that was kept without one and is published anew: whoever does
    /// that, it is taken once.
    pub(super) fn anew(position: Position) -> Self {
        Self::nobodys(position, PUBLISHED_ANEW)
    }

    fn nobodys(position: Position, boot: BootId) -> Self {
        let sender = Sender { node: NOBODY, boot };
        Self {
            origin: Origin {
                sender,
                batch: position.get(),
                index: 0,
            },
            key: None,
        }
    }

    /// Returns the bytes that the history keeps beside an update: none beside what is kept without a
    /// note.
    pub(super) fn kept(&self) -> Arc<[u8]> {
        let Sender { node, boot } = self.origin.sender;
        match node == NOBODY && boot == KEPT_WITHOUT {
            true => Arc::default(),
            false => self.encode(),
        }
    }

    /// Returns the bytes, as `docs/formats/history.md` describes them.
    #[must_use]
    pub fn encode(&self) -> Arc<[u8]> {
        let mut bytes = self.origin.bytes().to_vec();
        if let Some((key, kept_ms)) = &self.key {
            bytes.extend(kept_ms.to_be_bytes());
            bytes.extend(key.bytes());
        }
        bytes.into()
    }

    /// Reads what [`encode`](Self::encode) returned.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (origin, rest) = bytes.split_at_checked(Origin::BYTES)?;
        let origin = Origin::from_bytes(origin)?;
        let key = match rest.split_first_chunk() {
            None if rest.is_empty() => None,
            None => return None,
            Some((kept_ms, key)) => Some((Key::new(key)?, u64::from_be_bytes(*kept_ms))),
        };
        Some(Self { origin, key })
    }

    /// Returns the key of an item that may be there already under its origin: whoever sends it
    /// again, it is taken once.
    #[must_use]
    pub fn repeat_key(&self) -> (Key, u64) {
        self.key.clone().unwrap_or_else(|| {
            let mut bytes = [0; 1 + Origin::BYTES];
            let (first, rest) = bytes.split_at_mut(1);
            first.copy_from_slice(b"o");
            rest.copy_from_slice(&self.origin.bytes());
            #[expect(clippy::expect_used, reason = "29 bytes are neither none nor too many")]
            let key = Key::new(&bytes).expect("29 bytes");
            (key, REPEAT_KEPT_MS)
        })
    }
}

/// The node of what no hub of the cluster accepted.
const NOBODY: NodeId = NodeId::new(0);
const KEPT_WITHOUT: BootId = BootId::new(0);
const PUBLISHED_ANEW: BootId = BootId::new(1);

/// How long an engine remembers what was sent again: hubs that do so after the same fault do it within
/// this time, and look through the line before.
const REPEAT_KEPT_MS: u64 = 600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_comes_back_and_nothing_that_was_cut_does() {
        let origin = Origin {
            sender: Sender {
                node: NodeId::new(1),
                boot: BootId::new(2),
            },
            batch: 3,
            index: 4,
        };
        let key = Key::new(b"k").map(|key| (key, 300_000));
        for note in [Note { origin, key }, Note { origin, key: None }] {
            let bytes = note.encode();
            assert_eq!(Note::decode(&bytes), Some(note));
        }
        assert_eq!(Note::decode(&[0; 27]), None);
        assert_eq!(Note::decode(&[0; 36]), None, "a life without a key");
    }
}
