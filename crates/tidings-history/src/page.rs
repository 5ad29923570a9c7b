//! A page: consecutive updates that many readers share.

use std::sync::Arc;

use tidings_core::{Position, Update};

/// Positions in a whole page. Pages start at 1, 257, 513 …, so that all readers ask for the same.
pub const PAGE_POSITIONS: u64 = 256;

/// A page ends early once its updates hold this many bytes, so that it holds at most this and
/// one update.
pub(crate) const PAGE_BYTES_MAX: u64 = 1024 * 1024;

/// Consecutive updates, oldest first. Only presence events that were removed are missing.
///
/// A page may begin before the position that was asked for: take what is [`after`](Self::after).
#[derive(Debug)]
pub struct Page {
    /// The updates. Empty if nothing is kept there.
    pub updates: Vec<Arc<Update>>,
    /// Where to read on: this page has everything that is kept up to this position. What was asked
    /// for if nothing was committed after it.
    pub next: Position,
    /// The last position of this page whose presence event was removed;
    /// [`Position::ZERO`] if none was.
    pub last_hole: Position,
    /// Where the page begins.
    pub(crate) first: Position,
    /// Bytes of the updates as the cache counts them.
    pub(crate) bytes: u64,
}

impl Page {
    /// Returns the updates of this page that come after `position`, oldest first.
    pub fn after(&self, position: Position) -> &[Arc<Update>] {
        let skipped = self
            .updates
            .partition_point(|update| update.position <= position);
        self.updates.get(skipped..).unwrap_or_default()
    }

    /// Returns whether it has a presence event up to `position`.
    pub(crate) fn has_presence(&self, position: Position) -> bool {
        let mut until = self
            .updates
            .iter()
            .take_while(|update| update.position <= position);
        until.any(|update| update.presence.is_some())
    }

    pub(crate) fn empty(next: Position) -> Self {
        Self {
            updates: Vec::new(),
            next,
            last_hole: Position::ZERO,
            first: next.next(),
            bytes: 0,
        }
    }
}
