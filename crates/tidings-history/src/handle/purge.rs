//! The way to the writer for a purge.

use tidings_cluster::RelayError;

use super::{Handle, WrongOrder, wrong_order};
use crate::append::{Append, Purge, PurgeDone};
use crate::options::Order;

impl Handle {
    /// Withdraws a slice of a topic's history. The caller continues after the position that `done`
    /// is told, until that is the end of what it asked for. `done` is called on the writer thread.
    ///
    /// # Errors
    ///
    /// The queue is full, the history is closed, or it is ordered by a relay: `done` is dropped
    /// unused. In a cluster each hub would keep another history.
    pub fn purge(&self, purge: Purge, done: PurgeDone) -> Result<(), RelayError> {
        match self.shared.order {
            Order::Own(_) => self.enqueue(Append::Purge { purge, done }),
            Order::Relay(_) => Err(wrong_order(WrongOrder::Purge)),
        }
    }
}
