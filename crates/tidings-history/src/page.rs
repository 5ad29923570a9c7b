//! A page: consecutive updates that many readers share.

use std::sync::Arc;

use tidings_core::{Position, Update};

/// Positions in a whole page. Pages start at 1, 257, 513 …, so that all readers ask for the same.
pub const PAGE_POSITIONS: u64 = 256;

/// A page ends early once its updates hold this many bytes, so that it holds at most this and
/// one update.
pub(crate) const PAGE_BYTES_MAX: u64 = 1024 * 1024;

/// Consecutive updates, oldest first, without a hole.
///
/// A page may begin before the position that was asked for: take what is [`after`](Self::after).
#[derive(Debug)]
pub struct Page {
    /// The updates. Empty only if nothing was kept after the position that was asked for.
    pub updates: Vec<Arc<Update>>,
    /// Where to read on: the position of the last update, or what was asked for if there is none.
    pub next: Position,
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

    pub(crate) fn empty(next: Position) -> Self {
        Self {
            updates: Vec::new(),
            next,
            bytes: 0,
        }
    }
}
