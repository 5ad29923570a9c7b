//! The engine's part for sessions whose peers speak: matchers that come and go, answers between two
//! updates, pings.

use bytes::Bytes;
use tidings_core::index::MatcherId;
use tidings_core::matcher::Matcher;
use tidings_core::position::Position;

use super::Engine;
use crate::hub::session::duplex::{Beat, Duplex, Joining};
use crate::hub::session::{Ending, Phase, Session, Start};
use crate::hub::shard::timers::Tick;

/// A ping without payload, as a server sends it; RFC 6455, 5.5.2.
const PING: &[u8] = b"\x89\x00";
/// A heartbeat of SockJS in a text.
const HEARTBEAT: &[u8] = b"\x81\x01h";
/// Both.
const HEARTBEAT_AND_PING: &[u8] = b"\x81\x01h\x89\x00";

impl Engine {
    /// Gives a session that runs the matchers that it asked for meanwhile.
    pub(super) fn add_matchers(&self, session: &Session, ids: &[MatcherId], joining: Joining) {
        let mut interned = session.interned.take().into_vec();
        interned.extend_from_slice(ids);
        *session.interned.borrow_mut() = interned.into();
        let mut matchers = session.matchers.take().into_vec();
        let earlier = matchers.len();
        matchers.extend(joining.matchers);
        *session.matchers.borrow_mut() = matchers.into();
        if let Some(duplex) = session
            .duplex
            .as_ref()
            .filter(|_| joining.start != Start::Now)
        {
            duplex.catch_up(earlier, joining.start);
            duplex.tells_caught_up.set(true);
            if session.phase.get() == Phase::Live {
                let through = self.through(session);
                session.runs.borrow_mut().clear();
                session.read_after(through);
            }
        }
        session.wake();
    }

    /// Takes matchers away from a session that runs; returns those that it had.
    pub(crate) fn leave(&mut self, session: &Session, unwanted: &[Matcher]) -> Vec<Matcher> {
        let (mut ids, mut left) = (Vec::new(), Vec::new());
        let (mut matchers, mut taken) = (Vec::new(), Vec::new());
        let pairs = session
            .matchers
            .take()
            .into_iter()
            .zip(session.interned.take());
        for (matcher, id) in pairs {
            if unwanted.contains(&matcher) {
                left.push(id);
                taken.push(matcher);
            } else {
                matchers.push(matcher);
                ids.push(id);
            }
        }
        *session.matchers.borrow_mut() = matchers.into();
        *session.interned.borrow_mut() = ids.into();
        self.hub.leave(session.id, &left);
        self.released.extend(left);
        taken
    }

    /// Returns up to where a live session has had everything: what a sweep still has for it counts
    /// as not yet sent.
    pub(super) fn through(&self, session: &Session) -> Position {
        let through = if session.runs.borrow().is_empty() {
            self.ring.last()
        } else {
            self.sweep.base
        };
        through.max(session.next.get())
    }

    /// Writes an answer to a session's peer now if it is live, else when its task gets to it.
    pub(crate) fn tell(&self, session: &Session, bytes: Bytes) {
        match &session.duplex {
            Some(duplex) if session.phase.get() != Phase::Live => duplex.keep(bytes),
            Some(_) | None => self.write_between(session, &bytes),
        }
    }

    /// Writes what waited until a session had caught up.
    pub(crate) fn tell_waiting(&self, session: &Session) {
        while session.phase.get() == Phase::Live
            && let Some(bytes) = session.take_waiting()
        {
            self.write_between(session, &bytes);
        }
    }

    /// Shows a peer that its connection lives when it is time; closes a WebSocket that did not answer
    /// the last ping. Returns how many beats were written.
    pub(super) fn beat(&self, session: &Session, duplex: &Duplex, now: Tick) -> u64 {
        let time = duplex
            .beats_every
            .is_some_and(|interval| duplex.last_ping.get().after(interval) <= now);
        if !time {
            return 0;
        }
        duplex.last_ping.set(now);
        let beat = match duplex.beat {
            Beat::Pings => PING,
            Beat::Framed => HEARTBEAT_AND_PING,
            Beat::Carried => {
                let received = session.phase.get() == Phase::Live && session.is_received();
                if received {
                    self.write_between(session, &Bytes::from_static(HEARTBEAT));
                }
                return received.into();
            }
        };
        // Of one that is not live, and of one that is not read from, nothing can be heard.
        if session.phase.get() != Phase::Live || duplex.is_clogged() {
            duplex.heard.set(true);
            return 0;
        }
        if !duplex.heard.replace(false) {
            session.enter(Phase::Closing(Ending::Silent));
            return 0;
        }
        self.write_between(session, &Bytes::from_static(beat));
        1
    }
}
