//! A page: consecutive updates that many readers share.

use std::sync::Arc;

use tidings_core::{Position, Update};

/// Positions in a full page. Pages start at 1, 257, 513 …, so that all readers request the same
/// pages.
pub const PAGE_POSITIONS: u64 = 256;

/// A page ends early once its updates have this many bytes, so it holds at most this plus one
/// update.
pub(crate) const PAGE_BYTES_MAX: u64 = 1024 * 1024;

/// Consecutive updates, oldest first. Only removed presence events are missing.
///
/// A page may begin before the requested position: use only the updates [`after`](Self::after) it.
#[derive(Debug)]
pub struct Page {
    /// The updates. Empty if nothing is stored there.
    pub updates: Vec<Arc<Update>>,
    /// Where to continue: this page has everything stored up to this position. The requested
    /// position if nothing was committed after it.
    pub next: Position,
    /// The last position of this page with a removed presence event; [`Position::ZERO`] if there is
    /// none.
    pub last_hole: Position,
    /// Where the page begins.
    pub(crate) first: Position,
    /// Size of the updates in bytes, as the cache counts it.
    pub(crate) bytes: u64,
}

impl Page {
    /// Returns the updates of this page after `position`, oldest first.
    pub fn after(&self, position: Position) -> &[Arc<Update>] {
        let skipped = self
            .updates
            .partition_point(|update| update.position <= position);
        self.updates.get(skipped..).unwrap_or_default()
    }

    /// Returns whether the page has a presence event up to `position`.
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
