//! Prints: the print of an update vouches for the update and for all updates before it.
//!
//! ```text
//! digest = SipHash-2-4-128(digest key, the update's fields)
//! print  = SipHash-2-4-128(print key, the print of the update before ‖ digest)
//! ```
//!
//! Two histories that diverge have different prints from then on, even if the updates that follow
//! are equal: after a restore, in a copy, after a lost write-ahead log. Both keys are derived from
//! the secret of the epoch, so that no publisher can produce a chosen print.
//! `docs/formats/history.md` defines the order of the fields.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};

use crate::position::Position;
use crate::update::{Draft, Presence, Visibility};

/// Vouches for an update and for all updates before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Print([u8; 16]);

impl Print {
    /// Makes a print from its stored bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }
}

/// Vouches for the contents of an update at any position. Only the holder of the epoch's secret can
/// make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest([u8; 16]);

impl Digest {
    /// Makes a digest from bytes that were stored or transferred.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }
}

/// Computes the prints of one epoch.
#[derive(Clone)]
pub struct PrintKey {
    digest: [u8; 16],
    entry: [u8; 16],
    chain: [u8; 16],
}

impl PrintKey {
    /// Takes the 32 secret bytes of the epoch.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self {
            digest: derive(secret, b"tidings digest"),
            entry: derive(secret, b"tidings entry"),
            chain: derive(secret, b"tidings print"),
        }
    }

    /// Returns the print of `draft` when it is stored at `position`. `previous` is the print of the
    /// position before; `None` at the first position, and where that position has no print.
    ///
    /// An id that the hub makes is not part of the print, since the id is made from the print.
    #[must_use]
    pub fn print(
        &self,
        previous: Option<Print>,
        position: Position,
        published_ms: u64,
        draft: &Draft,
    ) -> Print {
        let mut fields = Fields::new(&self.digest);
        fields.number(position.get());
        fields.number(published_ms);
        fields.draft(draft);
        let digest = fields.finish();
        let previous = previous.map_or([0; 16], Print::bytes);
        let mut linked = [0; 32];
        let (before, after) = linked.split_at_mut(16);
        before.copy_from_slice(&previous);
        after.copy_from_slice(&digest);
        Print(hash(&self.chain, &linked))
    }

    /// Returns the digest of `draft` and of the `note` beside it, before the draft has a position.
    /// The print is computed when it is given one.
    #[must_use]
    pub fn digest(&self, draft: &Draft, note: &[u8]) -> Digest {
        let mut fields = Fields::new(&self.entry);
        fields.draft(draft);
        fields.number(note.len() as u64);
        fields.0.write(note);
        Digest(fields.finish())
    }
}

impl std::fmt::Debug for PrintKey {
    /// Hides the keys, which are secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrintKey")
    }
}

/// Hashes fields, such as those of an update for its digest. Each field is length-prefixed, so that
/// different updates never hash the same bytes.
pub(crate) struct Fields(SipHasher24);

impl Fields {
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        Self(SipHasher24::new_with_key(key))
    }

    pub(crate) fn finish(self) -> [u8; 16] {
        self.0.finish128().as_bytes()
    }

    /// Hashes all fields from the publisher, and the kind of a presence event.
    fn draft(&mut self, draft: &Draft) {
        self.optional_text(draft.id.as_ref().map(|id| id.as_str()));
        self.texts(draft.topics.iter().map(|topic| topic.as_str()));
        match &draft.visibility {
            Visibility::Public => self.number(0),
            // The print of a withdrawn draft is given, not formed.
            Visibility::Private | Visibility::Withdrawn => self.number(1),
            Visibility::Targeted(targets) => {
                self.number(2);
                self.texts(targets.iter().map(|target| target.as_str()));
            }
            Visibility::Hubs => self.number(3),
        }
        self.optional_text(draft.event_type.as_ref().map(|name| name.as_str()));
        self.number(u64::from(draft.retry_ms.is_some()));
        if let Some(retry_ms) = draft.retry_ms {
            self.number(retry_ms);
        }
        self.number(match draft.presence {
            None => 0,
            Some(Presence::Begins(_)) => 1,
            Some(Presence::Ends) => 2,
        });
        self.text(&draft.data);
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0.write(&number.to_le_bytes());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.write(text.as_bytes());
    }

    fn optional_text(&mut self, text: Option<&str>) {
        self.number(u64::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }

    fn texts<'a>(&mut self, texts: impl ExactSizeIterator<Item = &'a str>) {
        self.number(texts.len() as u64);
        for text in texts {
            self.text(text);
        }
    }
}

/// Derives the key for one purpose from the 32 secret bytes of the epoch.
pub(crate) fn derive(secret: [u8; 32], purpose: &[u8]) -> [u8; 16] {
    let (first, _) = secret.split_at(16);
    let mut key = [0; 16];
    key.copy_from_slice(first);
    hash(&key, purpose)
}

fn hash(key: &[u8; 16], bytes: &[u8]) -> [u8; 16] {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write(bytes);
    hasher.finish128().as_bytes()
}

#[cfg(test)]
mod tests;
