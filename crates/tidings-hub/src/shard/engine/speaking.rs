//! The engine's part for sessions whose peers speak: matchers that come and go, answers between two
//! updates, pings.

use bytes::Bytes;
use tidings_core::index::MatcherId;
use tidings_core::matcher::Matcher;
use tidings_core::position::Position;

use super::Engine;
use crate::session::duplex::{Beat, Duplex, Joining};
use crate::session::{Ending, Phase, Session, Start};
use crate::shard::timers::Tick;

/// A ping without payload, as a server sends it; RFC 6455, 5.5.2.
const PING: &[u8] = b"\x89\x00";
/// A heartbeat of SockJS in a text.
const HEARTBEAT: &[u8] = b"\x81\x01h";
/// Both.
const HEARTBEAT_AND_PING: &[u8] = b"\x81\x01h\x89\x00";

impl Engine {
    /// Gives a session that runs the matchers that it asked for meanwhile.
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

    /// Takes matchers away from a session that runs; returns those that it had.
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
        self.hub.leave(session.id, &left);
        self.released.extend(left);
        taken
    }

    /// Returns up to where a live session has had everything: what a sweep still has for it counts
    /// as not yet sent.
    pub(super) fn through(&self, session: &Session) -> Position {
        let (last, base) = (self.ring.last(), self.sweep.base);
        session.update(|progress| progress.had_through(last, base))
    }

    /// Writes an answer to a session's peer now if it is live, else when its task gets to it.
    pub(crate) fn tell(&self, session: &Session, bytes: Bytes) {
        match &session.duplex {
            Some(duplex) if session.phase() != Phase::Live => duplex.keep(bytes),
            Some(_) | None => self.write_between(session, &bytes),
        }
    }

    /// Writes what waited until a session had caught up.
    pub(crate) fn tell_waiting(&self, session: &Session) {
        while session.phase() == Phase::Live
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
            .is_some_and(|interval| duplex.last_ping().after(interval) <= now);
        if !time {
            return 0;
        }
        duplex.set_last_ping(now);
        let beat = match duplex.beat {
            Beat::Pings => PING,
            Beat::Framed => HEARTBEAT_AND_PING,
            Beat::Carried => {
                let received = session.phase() == Phase::Live && session.is_received();
                if received {
                    self.write_between(session, &Bytes::from_static(HEARTBEAT));
                }
                return received.into();
            }
        };
        // A session that is behind, or whose input is paused, cannot answer a ping: it counts as alive.
        if session.phase() != Phase::Live || duplex.is_clogged() {
            duplex.on_heard();
            return 0;
        }
        if !duplex.take_heard() {
            session.close(Ending::Silent);
            return 0;
        }
        self.write_between(session, &Bytes::from_static(beat));
        1
    }
}
