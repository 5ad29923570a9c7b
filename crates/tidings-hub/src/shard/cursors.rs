//! Cursors that a shard gives to its subscribers: where each can resume.

use tidings_core::event_id::Cursor;
use tidings_core::position::Position;
use tidings_core::print::Print;
use tidings_history::Tip;

use super::Shard;

impl Shard {
    /// Returns the cursor of a position. `earliest` for the position before everything.
    ///
    /// It is also `earliest` if the update at the position is no longer known. A subscriber that resumes
    /// there is told that something may be missing.
    pub async fn cursor_at(&self, position: Position) -> Cursor {
        if position == Position::ZERO {
            return Cursor::Earliest;
        }
        let print = self.recent_print(position);
        if print.is_some() {
            return self.sealed(position, print);
        }
        let found = self.found_cursor(position).await;
        found.map_or(Cursor::Earliest, |id| Cursor::After(id.as_str().into()))
    }

    /// Returns the cursor of the last update that this shard has seen.
    pub(crate) fn cursor_at_last(&self) -> Cursor {
        let Tip { position, print } = self.engine.borrow().ring.tip();
        if position == Position::ZERO {
            return Cursor::Earliest;
        }
        self.sealed(position, print)
    }

    /// Returns the print of an update that is in this shard's ring.
    pub(crate) fn recent_print(&self, position: Position) -> Option<Print> {
        self.engine.borrow().ring.print(position)
    }

    fn sealed(&self, position: Position, print: Option<Print>) -> Cursor {
        let id = self.history().seal().seal(position, print);
        Cursor::After(id.as_str().into())
    }
}
