//! The relay: what gives an update its place among all others of the hub.
//!
//! An update's road is the same for one hub and for several: ingest hands the draft to a
//! [`Relay`], and what comes back from the history is delivered. On one hub the relay is
//! [`Loopback`], and the history's writer is what orders. A cluster engine (Redis, PostgreSQL,
//! NATS JetStream) orders for all its hubs first, and each hub's history then takes the updates
//! in that order. Checking and granting come before the relay, matching and delivering after it.

use tidings_core::Draft;
use tidings_history::{Done, Handle, Refused};

/// Takes checked and granted drafts, and sees to their order.
pub trait Relay: Send + Sync {
    /// Hands over `draft`. Never waits.
    ///
    /// `done` is called once: when the update is durable, or with the reason why it was not
    /// taken. It is called on a thread of the history and must not block.
    ///
    /// # Errors
    ///
    /// [`Refused`], with `done` unused, if too many drafts wait or the history was closed.
    fn publish(&self, draft: Draft, done: Done) -> Result<(), Refused>;
}

/// The relay of a hub that is alone: its own history orders.
#[derive(Clone, Debug)]
pub struct Loopback {
    history: Handle,
}

impl Loopback {
    /// Passes drafts on to `history`.
    #[must_use]
    pub fn new(history: Handle) -> Self {
        Self { history }
    }
}

impl Relay for Loopback {
    fn publish(&self, draft: Draft, done: Done) -> Result<(), Refused> {
        self.history.append(draft, done)
    }
}
