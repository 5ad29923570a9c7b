//! What a shard writes to two-way sessions between updates: replies and heartbeats. It also adds and
//! removes their matchers while they run.

use bytes::Bytes;
use tidings_core::index::MatcherId;
use tidings_core::matcher::Matcher;
use tidings_core::position::Position;

use super::Engine;
use crate::session::duplex::{Duplex, Heartbeat, Joining};
use crate::session::{Ending, Phase, Session, Start};
use crate::shard::timers::Tick;
use crate::shard::{RELEASE_AT, Shard};

/// A ping without payload, as a server sends it; RFC 6455, 5.5.2.
const PING: &[u8] = b"\x89\x00";
/// A SockJS heartbeat frame in a text message.
const HEARTBEAT: &[u8] = b"\x81\x01h";
/// Both.
const HEARTBEAT_AND_PING: &[u8] = b"\x81\x01h\x89\x00";

impl Shard {
    /// Writes a reply to a session's peer, now or as soon as its socket takes it.
    pub(crate) fn tell(&self, session: &Session, bytes: Bytes) {
        self.engine.borrow().tell(session, bytes);
    }

    /// Sets when a session ends at the latest.
    pub(crate) fn set_deadline(&self, session: &Session, deadline: Option<(Tick, Ending)>) {
        let now = self.now();
        self.engine
            .borrow_mut()
            .set_deadline(session, deadline, now);
    }

    /// Removes matchers from a running session, and gives back what was booked for them.
    pub(crate) fn leave(&self, session: &Session, unwanted: &[Matcher]) {
        let left = self.engine.borrow_mut().leave(session, unwanted);
        session.booked().remove(&left);
        self.give_back_matchers(RELEASE_AT);
    }

    /// Writes the replies that waited until a session had caught up.
    pub(crate) fn tell_waiting(&self, session: &Session) {
        self.engine.borrow().tell_waiting(session);
    }
}

impl Engine {
    /// Adds matchers to a running session. The router has interned them.
    pub(super) fn add_matchers(&self, session: &Session, ids: &[MatcherId], joining: Joining) {
        let (matchers, interned) = session.take_matchers();
        let (mut matchers, mut interned) = (matchers.into_vec(), interned.into_vec());
        let earlier = matchers.len();
        matchers.extend(joining.matchers);
        interned.extend_from_slice(ids);
        session.set_matchers(matchers.into(), interned.into());
        if let Some(duplex) = &session.duplex
            && joining.start != Start::Now
        {
            duplex.announce_later();
            let (last, base) = (self.ring.last(), self.sweep.base);
            session.update(|progress| {
                let through = progress.had_through(last, base);
                progress.add_matchers(earlier, joining.start, through);
            });
        }
        session.wake();
    }

    /// Removes matchers from a running session. Returns those that it had.
    pub(crate) fn leave(&mut self, session: &Session, unwanted: &[Matcher]) -> Vec<Matcher> {
        let (mut ids, mut left) = (Vec::new(), Vec::new());
        let (mut matchers, mut taken) = (Vec::new(), Vec::new());
        let (had, interned) = session.take_matchers();
        for (matcher, id) in had.into_iter().zip(interned) {
            if unwanted.contains(&matcher) {
                left.push(id);
                taken.push(matcher);
            } else {
                matchers.push(matcher);
                ids.push(id);
            }
        }
        session.set_matchers(matchers.into(), ids.into());
        self.hub.remove(session.id, &left);
        self.released.extend(left);
        taken
    }

    /// Returns the position up to which a live session has received everything. Updates that the current sweep
    /// still has for it count as not sent.
    pub(super) fn through(&self, session: &Session) -> Position {
        let (last, base) = (self.ring.last(), self.sweep.base);
        session.update(|progress| progress.had_through(last, base))
    }

    /// Writes a reply now if the session is live; else its task writes it later.
    pub(crate) fn tell(&self, session: &Session, bytes: Bytes) {
        match &session.duplex {
            Some(duplex) if session.phase() != Phase::Live => duplex.keep_reply(bytes),
            Some(_) | None => self.write_between(session, &bytes),
        }
    }

    /// Writes the replies that waited until a session had caught up.
    pub(crate) fn tell_waiting(&self, session: &Session) {
        while session.phase() == Phase::Live
            && let Some(bytes) = session.take_reply()
        {
            self.write_between(session, &bytes);
        }
    }

    /// Sends a heartbeat if one is due. Closes a WebSocket whose peer did not answer the last ping. Returns
    /// how many heartbeats were written.
    pub(super) fn heartbeat(&self, session: &Session, duplex: &Duplex, now: Tick) -> u64 {
        let time = duplex
            .heartbeat_interval()
            .is_some_and(|interval| duplex.last_ping().after(interval) <= now);
        if !time {
            return 0;
        }
        duplex.set_last_ping(now);
        let heartbeat = match duplex.heartbeat() {
            Heartbeat::Pings => PING,
            Heartbeat::Framed => HEARTBEAT_AND_PING,
            Heartbeat::Carried => {
                let received = session.phase() == Phase::Live && session.is_received();
                if received {
                    self.write_between(session, &Bytes::from_static(HEARTBEAT));
                }
                return received.into();
            }
        };
        // A session that is behind, or whose input is paused, cannot answer a ping: it counts as alive.
        if session.phase() != Phase::Live || duplex.is_input_paused() {
            duplex.note_activity();
            return 0;
        }
        if !duplex.take_active() {
            session.close(Ending::PingTimeout);
            return 0;
        }
        self.write_between(session, &Bytes::from_static(heartbeat));
        1
    }
}
