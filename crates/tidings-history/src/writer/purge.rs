//! Withdraws a topic's updates slice by slice. Each keeps its position and its print, so the order
//! stays dense, ids made from either stay valid, and the print of the next update is as before.

use tidings_core::Position;

use super::{TRIM_BYTES_MAX, TRIM_UPDATES_MAX, Writer};
use crate::append::{Purge, PurgeDone, Purged};
use crate::storage::StorageError;

impl Writer {
    /// Withdraws a slice of what `purge` names, and tells how far it came.
    pub(super) fn purge(&mut self, purge: &Purge, done: PurgeDone) {
        let purged = self.purge_slice(purge);
        done(purged.map_err(|fault| self.on_refusing(fault)));
    }

    fn purge_slice(&mut self, purge: &Purge) -> Result<Purged, StorageError> {
        let after = purge.after.max(self.extent.trimmed_through);
        let goal = purge.through.min(self.extent.last);
        let mut count = goal.get().saturating_sub(after.get()).min(TRIM_UPDATES_MAX);
        if count == 0 {
            let through = purge.through;
            return Ok(Purged {
                updates: 0,
                through,
            });
        }
        let bytes_through = |mark: Option<crate::storage::Mark>| {
            mark.unwrap_or(self.extent.trimmed_mark).bytes_through
        };
        let before = bytes_through(self.storage.mark(after)?);
        loop {
            let through = Position::new(after.get() + count);
            let bytes = bytes_through(self.storage.mark(through)?).saturating_sub(before);
            if bytes > TRIM_BYTES_MAX && count > 1 {
                count /= 2;
                continue;
            }
            let updates = self.storage.withdraw(&purge.topic, after, through)?;
            if updates > 0 {
                self.published.on_purged(updates);
            }
            return Ok(Purged { updates, through });
        }
    }
}
