//! An update as a message of the line's stream, and back.
//!
//! ```text
//! Tidings: 1 PRINT PUBLISHED_MS ORIGIN BASE ITEM KEY_UNTIL_MS
//! ```
//!
//! `docs/formats/cluster-nats.md` describes the fields.

use tidings_cluster::engine::{Entry, Origin};
use tidings_core::{Position, Print};

use crate::names::{from_hex, hex};

/// The header of ours. Whoever wrote another version is newer than this hub.
pub(crate) const HEADER: &str = "Tidings";
const VERSION: &str = "1";

/// What the header of an entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Vouches for the line up to here.
    pub(crate) print: Print,
    /// When the entry got its place.
    pub(crate) published_ms: u64,
    /// Who accepted it.
    pub(crate) origin: Origin,
    /// The position before its batch.
    pub(crate) base: Position,
    /// Its index among the items of the batch, of which some may have been known.
    pub(crate) item: u32,
    /// Until when its key is known; 0 without a key.
    pub(crate) key_until_ms: u64,
}

impl Head {
    /// Returns the value of the header.
    pub(crate) fn write(&self) -> String {
        format!(
            "{VERSION} {} {} {} {} {} {}",
            hex(&self.print.bytes()),
            self.published_ms,
            hex(&self.origin.bytes()),
            self.base.get(),
            self.item,
            self.key_until_ms
        )
    }

    /// Reads the value of the header.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(' ');
        if fields.next()? != VERSION {
            return None;
        }
        let print = Print::new(from_hex(fields.next()?)?);
        let published_ms = fields.next()?.parse().ok()?;
        let origin = from_hex::<{ Origin::BYTES }>(fields.next()?)?;
        let head = Self {
            print,
            published_ms,
            origin: Origin::from_bytes(&origin)?,
            base: Position::new(fields.next()?.parse().ok()?),
            item: fields.next()?.parse().ok()?,
            key_until_ms: fields.next()?.parse().ok()?,
        };
        fields.next().is_none().then_some(head)
    }

    /// Returns the entry with this header.
    pub(crate) fn entry(&self, position: Position, bytes: &[u8]) -> Entry {
        Entry {
            position,
            published_ms: self.published_ms,
            origin: self.origin,
            print: Some(self.print),
            bytes: bytes.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "1 000102030405060708090a0b0c0d0e0f 1800000000000 \
        0000000000000001000000000000000200000000000000030000000\
        4 41 1 0";

    #[test]
    fn a_header_goes_there_and_back() {
        let head = Head::parse(TEXT).unwrap();
        assert_eq!((head.origin.batch, head.origin.index), (3, 4));
        assert_eq!((head.base, head.item), (Position::new(41), 1));
        assert_eq!(head.write(), TEXT);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for end in 0..TEXT.len() {
            let cut = TEXT.get(..end).unwrap();
            assert_eq!(Head::parse(cut), None, "{cut}");
        }
        for other in [
            TEXT.replacen('1', "2", 1),
            format!("{TEXT} x"),
            TEXT.replace(" 41", " -1"),
        ] {
            assert_eq!(Head::parse(&other), None, "{other}");
        }
    }
}
