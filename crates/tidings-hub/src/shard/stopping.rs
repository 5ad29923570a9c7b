//! The end of a shard's service: streams are ended one by one, and told when to come back.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::Shard;
use crate::session::{Ending, Session};
use crate::tasks;

/// How soon a stream comes back to a hub that goes on serving: at once, but not all in one moment.
const RETURN_SOON_MS: std::ops::Range<u64> = 50..250;
/// How soon one comes back at the earliest after the last hub is gone.
const RETURN_LATER_MS: u64 = 500;
/// Streams that come back in one second after the last hub is gone, on average.
const RETURNS_PER_SECOND: u64 = 1000;

/// How far the end of the service has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The hub serves.
    Serving,
    /// Streams are being ended. Requests are answered, and their connections closed after that.
    Draining(Arrivals),
    /// Connections without a request are closed too.
    Closing,
}

impl Stage {
    /// Returns whether the hub is being stopped.
    #[must_use]
    pub fn is_stopping(self) -> bool {
        self != Self::Serving
    }
}

/// Who takes in what arrives while a hub drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// This process, to its end: nobody else listens.
    Here,
    /// The process that took over.
    Elsewhere,
}

/// What a shard is told of the end.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// Time over which the streams end.
    pub within: Duration,
    /// Who takes in what arrives.
    pub arrivals: Arrivals,
    /// Streams of the whole hub.
    pub streams: usize,
}

/// The drain of a shard that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    drain: Drain,
    ends: Instant,
}

impl Shard {
    /// Ends this shard's part of the service.
    pub(super) fn on_drain(&self, drain: Drain) {
        let now = Instant::now();
        let ends = now + drain.within;
        self.drain.set(Some(Begun { drain, ends }));
        self.stage.send_replace(Stage::Draining(drain.arrivals));
        let engine = self.engine.borrow();
        let count = u32::try_from(engine.len()).unwrap_or(u32::MAX).max(1);
        for (number, session) in (0..).zip(engine.sessions()) {
            // Each stream ends at its own moment: ending all at once would make every subscriber
            // reconnect in the same instant.
            let after = drain.within.mul_f64(f64::from(number) / f64::from(count));
            end_at(session, now + after);
        }
    }

    /// Closes connections without a request.
    pub(super) fn on_closing(&self) {
        self.stage.send_replace(Stage::Closing);
    }

    /// Decides about a stream that begins. Returns whether it ends at once.
    pub(super) fn ends_at_once(&self, session: &Rc<Session>) -> bool {
        let Some(Begun { drain, ends }) = self.drain.get() else {
            return false;
        };
        match drain.arrivals {
            // Nobody else would serve it: it stays to the end.
            Arrivals::Here => {
                end_at(session, ends);
                Instant::now() >= ends
            }
            Arrivals::Elsewhere => true,
        }
    }

    /// Returns in how many milliseconds a stream that ends because of the drain should come back.
    pub(crate) fn return_ms(&self) -> u64 {
        let Some(Begun { drain, ends }) = self.drain.get() else {
            return RETURN_LATER_MS;
        };
        let last = ends.saturating_duration_since(Instant::now()).is_zero();
        match drain.arrivals {
            Arrivals::Here if last => {
                let spread_ms = (drain.streams as u64).saturating_mul(1000) / RETURNS_PER_SECOND;
                RETURN_LATER_MS + fastrand::u64(..spread_ms.max(1000))
            }
            Arrivals::Here | Arrivals::Elsewhere => fastrand::u64(RETURN_SOON_MS),
        }
    }
}

/// Ends a stream at a moment, unless it ends by itself before.
fn end_at(session: &Rc<Session>, at: Instant) {
    // One that ends by itself gives its place back at once.
    let session = Rc::downgrade(session);
    tasks::spawn(async move {
        tokio::time::sleep_until(at).await;
        if let Some(session) = session.upgrade() {
            session.close(Ending::Drained);
        }
    });
}
