//! How the two ends of a session know that the connection is alive: which heartbeats it has, when the last
//! one was due, and whether the peer has sent something since.

use std::time::Duration;

use super::Duplex;
use crate::shard::timers::Tick;

/// How a peer is shown that its connection is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// WebSocket pings, which the peer must answer.
    Pings,
    /// SockJS heartbeat frames, and pings.
    Framed,
    /// SockJS heartbeat frames alone, while a receiver is there.
    Carried,
}

/// The heartbeats of one session.
#[derive(Debug)]
pub(super) struct Liveness {
    heartbeat: Heartbeat,
    /// Time between two heartbeats; none for no heartbeats.
    interval: Option<Duration>,
    last_ping: Tick,
    /// Whether the peer sent something since the last ping.
    is_active: bool,
}

impl Liveness {
    pub(super) fn new(heartbeat: Heartbeat, interval: Option<Duration>, now: Tick) -> Self {
        Self {
            heartbeat,
            interval,
            last_ping: now,
            is_active: true,
        }
    }
}

impl Duplex {
    /// Returns how the peer is shown that its connection is alive.
    pub(crate) fn heartbeat(&self) -> Heartbeat {
        self.liveness.borrow().heartbeat
    }

    /// Returns the time between two heartbeats; none for no heartbeats.
    pub(crate) fn heartbeat_interval(&self) -> Option<Duration> {
        self.liveness.borrow().interval
    }

    /// Notes that the peer is alive.
    pub(crate) fn note_activity(&self) {
        self.liveness.borrow_mut().is_active = true;
    }

    /// Returns whether the peer sent something since the last call, and clears the mark.
    pub(crate) fn take_active(&self) -> bool {
        std::mem::take(&mut self.liveness.borrow_mut().is_active)
    }

    /// Returns when the last heartbeat was due.
    pub(crate) fn last_ping(&self) -> Tick {
        self.liveness.borrow().last_ping
    }

    /// Notes that a heartbeat is due now.
    pub(crate) fn set_last_ping(&self, now: Tick) {
        self.liveness.borrow_mut().last_ping = now;
    }
}
