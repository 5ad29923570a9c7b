//! What a shard does for sessions whose peers speak: answers, other deadlines, other matchers.

use bytes::Bytes;
use tidings_core::event_id::Cursor;
use tidings_core::matcher::Matcher;
use tidings_core::position::Position;
use tidings_core::print::Print;
use tidings_history::Tip;
use tidings_wire::hub_frames::{self, Saying};

use super::{RELEASE_AT, Shard};
use crate::hub::session::{Ending, Session, Start};
use crate::hub::shard::timers::Tick;

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
        session.booked.borrow_mut().remove(&left);
        self.give_back_matchers(RELEASE_AT);
    }

    /// Returns the cursor of a position, also of the one before everything.
    ///
    /// It is `earliest` too where nobody knows any more what was at the position: who resumes there
    /// is told that something may be missing.
    pub(crate) async fn cursor_at(&self, position: Position) -> Cursor {
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

    /// Lets matchers that a session added begin where they are to, once what it reads is out.
    pub(crate) fn begin_catch_up(&self, session: &Session) {
        let duplex = session.duplex.as_ref();
        let start = duplex.and_then(|duplex| duplex.begin_catch_up(session.next.get()));
        let next = session.next.get();
        match start {
            None | Some(Start::Now) => {}
            Some(Start::After(position)) => session.next.set(position.min(next)),
            Some(Start::AfterGap(position)) => {
                session.next.set(position.min(next));
                session.excused.set(self.history().presence_trimmed());
            }
            Some(Start::Oldest) => {
                session.next.set(self.before_oldest().min(next));
                session.from_oldest.set(true);
            }
        }
        if let Some(duplex) = duplex.filter(|_| session.next.get() >= next) {
            duplex.on_read(next);
        }
    }

    /// Tells a session that it is live what it is to know then.
    pub(crate) fn on_caught_up(&self, session: &Session) {
        session.socket().on_caught_up();
        let Some(duplex) = &session.duplex else {
            return;
        };
        if duplex.is_hub() && duplex.tells_caught_up.take() {
            let cursor = self.cursor_at_last();
            let saying = Saying::CaughtUp {
                last_event_id: cursor.as_str(),
            };
            duplex.keep(session.text(&hub_frames::encode(&saying, None)));
        }
        self.engine.borrow().tell_waiting(session);
    }
}
