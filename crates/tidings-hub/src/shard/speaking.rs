//! What a shard does for sessions whose peers speak: answers, other deadlines, other matchers.

use bytes::Bytes;
use tidings_core::event_id::Cursor;
use tidings_core::matcher::Matcher;
use tidings_core::position::Position;
use tidings_core::print::Print;
use tidings_history::Tip;

use super::{RELEASE_AT, Shard};
use crate::session::{Ending, Session};
use crate::shard::timers::Tick;

impl Shard {
    /// Writes an answer to a session's peer, now or as soon as its socket takes it.
    pub(crate) fn tell(&self, session: &Session, bytes: Bytes) {
        self.engine.borrow().tell(session, bytes);
    }

    /// Changes when a session ends at the latest.
    pub(crate) fn set_deadline(&self, session: &Session, deadline: Option<(Tick, Ending)>) {
        let now = self.now();
        self.engine
            .borrow_mut()
            .set_deadline(session, deadline, now);
    }

    /// Takes matchers away from a session that runs.
    pub(crate) fn leave(&self, session: &Session, unwanted: &[Matcher]) {
        let left = self.engine.borrow_mut().leave(session, unwanted);
        session.booked().remove(&left);
        self.give_back_matchers(RELEASE_AT);
    }

    /// Returns the cursor of a position, also of the one before everything.
    ///
    /// It is `earliest` too where nobody knows any more what was at the position: who resumes there
    /// is told that something may be missing.
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

    /// Returns the print of an update that this shard has in memory.
    pub(crate) fn recent_print(&self, position: Position) -> Option<Print> {
        self.engine.borrow().ring.print(position)
    }

    fn sealed(&self, position: Position, print: Option<Print>) -> Cursor {
        let id = self.history().seal().seal(position, print);
        Cursor::After(id.as_str().into())
    }

    /// Writes what waited until a session had caught up.
    pub(crate) fn tell_waiting(&self, session: &Session) {
        self.engine.borrow().tell_waiting(session);
    }
}
