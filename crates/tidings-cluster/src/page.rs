//! A page of the history that one hub gives to another one that was away for longer than the engine
//! keeps updates. Version 1.
//!
//! | bytes | meaning |
//! |---|---|
//! | 1 | version: 1 |
//! | number | the position after which the entries follow |
//! | 1, 16 | 1 and the print at that position, or 0 |
//! | number | the newest position that the hub has |
//! | list | entries |
//!
//! An entry is a number, its time in Unix milliseconds; 28 bytes, its
//! [origin](crate::engine::Origin); 16 bytes, its print; and a text, its
//! [envelope](crate::envelope). Entries are dense. Numbers, texts and lists are those of the
//! envelope. Nothing follows.

use std::sync::Arc;

use tidings_core::{Position, Print};

use crate::bytes::{Rest, Unreadable, put, put_number};
use crate::engine::{BATCH_BYTES_MAX, Entry, Origin};
use crate::member::note::Note;
use crate::{Envelope, History, OrderedUpdate, RelayError, Stretch};

/// Which part of a history another hub asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// The last position that it has.
    pub after: Position,
    /// The last position that it wants.
    pub through: Position,
}

/// A part of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The position before the first entry: that of the question, or a later one if this hub has
    /// nothing before it any more.
    pub after: Position,
    /// The print there, if it is kept.
    pub before: Option<Print>,
    /// The newest position that the hub has.
    pub last: Position,
    /// What follows, dense and in order, each with its print.
    pub entries: Vec<Entry>,
}

/// Takes a page. Must not block.
pub type PageDone = Box<dyn FnOnce(Result<Page, RelayError>) + Send>;

/// Why bytes are no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// It ends too early.
    #[error("a page ends within {0}")]
    Truncated(&'static str),
    /// A newer hub wrote it.
    #[error("a page has version {0}, which this hub does not know: upgrade the hub")]
    Version(u8),
    /// A part has a value that no hub writes.
    #[error("a page has a value for {0} that no hub writes")]
    Invalid(&'static str),
}

/// The version that this hub writes, and the newest that it reads.
pub const VERSION: u8 = 1;

/// Bytes of the updates of a page, as [`Draft::bytes`](tidings_core::Draft::bytes) counts them. A
/// single update may have more.
pub const PAGE_BYTES_MAX: u64 = BATCH_BYTES_MAX;

/// Reads the page that `ask` asks for from `history`. Never waits.
///
/// # Errors
///
/// [`RelayError`], with `done` dropped unused, if the history takes no more questions.
pub fn answer(history: &dyn History, ask: Ask, done: PageDone) -> Result<(), RelayError> {
    let (last, _) = history.tip();
    let before_oldest = Position::new(history.oldest().get().saturating_sub(1));
    let after = ask.after.max(before_oldest);
    let through = ask.through.min(last);
    let reply =
        move |stretch: Result<Stretch, _>| done(stretch.map(|found| page(after, last, found)));
    history.stretch(after.next(), through, PAGE_BYTES_MAX, Box::new(reply))
}

fn page(after: Position, last: Position, mut stretch: Stretch) -> Page {
    // What an earlier version of the hub wrote has no prints, by which it could be checked.
    let printed = stretch
        .updates
        .iter()
        .position(|update| update.print.is_some());
    stretch.updates.drain(..printed.unwrap_or(0));
    let first = stretch.updates.first().map(|update| update.position);
    // Retention was faster, or has removed the print of a presence event.
    let begins_later = first.filter(|first| *first != after.next());
    let (after, before) = match begins_later {
        Some(first) => (Position::new(first.get().saturating_sub(1)), None),
        None => (after, stretch.before),
    };
    let mut next = after.next();
    let mut entries = Vec::with_capacity(stretch.updates.len());
    for update in stretch.updates {
        if update.position != next {
            break;
        }
        next = next.next();
        // An update of a cluster has both.
        let Some(entry) = entry(update).filter(|entry| entry.print.is_some()) else {
            break;
        };
        entries.push(entry);
    }
    Page {
        after,
        before,
        last,
        entries,
    }
}

/// Returns an update of the history as it is in the engine. Nothing if it is not one of a cluster.
pub(crate) fn entry(update: OrderedUpdate) -> Option<Entry> {
    let Note { origin, key } = Note::of(&update)?;
    let envelope = Envelope {
        draft: update.draft,
        key,
    };
    Some(Entry {
        position: update.position,
        published_ms: update.published_ms,
        origin,
        print: update.print,
        bytes: envelope.encode().into(),
    })
}

impl Page {
    /// Returns its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let size: usize = self
            .entries
            .iter()
            .map(|entry| entry.bytes.len() + 64)
            .sum();
        let mut bytes = Vec::with_capacity(size + 64);
        bytes.push(VERSION);
        put_number(&mut bytes, self.after.get());
        bytes.push(u8::from(self.before.is_some()));
        bytes.extend(self.before.map(Print::bytes).into_iter().flatten());
        put_number(&mut bytes, self.last.get());
        // An entry without a print, and what follows it, cannot be checked by anybody.
        let entries = self.entries.iter().map_while(|one| Some((one, one.print?)));
        put_number(&mut bytes, entries.clone().count() as u64);
        for (entry, print) in entries {
            put_number(&mut bytes, entry.published_ms);
            bytes.extend(entry.origin.bytes());
            bytes.extend(print.bytes());
            put(&mut bytes, &entry.bytes);
        }
        bytes
    }

    /// Reads the bytes of a page.
    ///
    /// # Errors
    ///
    /// [`PageError`] if no hub that this one knows wrote them.
    pub fn decode(bytes: &[u8]) -> Result<Self, PageError> {
        let mut rest = Rest(bytes);
        let version = rest.byte("the version")?;
        if version != VERSION {
            return Err(PageError::Version(version));
        }
        let after = Position::new(rest.number("the position")?);
        let before = match rest.byte("the print")? {
            0 => None,
            1 => Some(print(&mut rest)?),
            _ => return Err(PageError::Invalid("the print")),
        };
        let last = Position::new(rest.number("the newest position")?);
        let mut entries = Vec::new();
        let mut position = after;
        for _ in 0..rest.number("the entries")? {
            position = position
                .get()
                .checked_add(1)
                .map(Position::new)
                .ok_or(PageError::Invalid("the position"))?;
            entries.push(entry_at(position, &mut rest)?);
        }
        match rest.0.is_empty() {
            true => Ok(Self {
                after,
                before,
                last,
                entries,
            }),
            false => Err(PageError::Invalid("the end")),
        }
    }
}

fn entry_at(position: Position, rest: &mut Rest<'_>) -> Result<Entry, PageError> {
    let published_ms = rest.number("a time")?;
    let origin = rest.take(Origin::BYTES, "an origin")?;
    let origin = Origin::from_bytes(origin).ok_or(PageError::Invalid("an origin"))?;
    let print = Some(print(rest)?);
    Ok(Entry {
        position,
        published_ms,
        origin,
        print,
        bytes: Arc::from(rest.bytes("an update")?),
    })
}

fn print(rest: &mut Rest<'_>) -> Result<Print, PageError> {
    let bytes = rest.take(PRINT_BYTES, "a print")?;
    let bytes = bytes.try_into();
    bytes
        .map(Print::new)
        .map_err(|_length| PageError::Truncated("a print"))
}

impl From<Unreadable> for PageError {
    fn from(error: Unreadable) -> Self {
        match error {
            Unreadable::Truncated(part) => Self::Truncated(part),
            Unreadable::Invalid(part) => Self::Invalid(part),
        }
    }
}

const PRINT_BYTES: usize = 16;

#[cfg(test)]
mod tests;
