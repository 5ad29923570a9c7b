//! The way to the writer for a purge.

use tidings_cluster::RelayError;

use super::Handle;
use crate::append::{Append, Purge, PurgeDone};

impl Handle {
    /// Withdraws a slice of a topic's history. The caller continues after the position that `done`
    /// is told, until that is the end of what it asked for. `done` is called on the writer thread.
    ///
    /// # Errors
    ///
    /// The queue is full or the history is closed: `done` is dropped unused.
    pub fn purge(&self, purge: Purge, done: PurgeDone) -> Result<(), RelayError> {
        self.enqueue(Append::Purge { purge, done })
    }
}
