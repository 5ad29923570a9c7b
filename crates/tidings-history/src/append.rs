//! What goes into the history, and what its publisher is told. Not the writing: `writer.rs`.

use std::fmt;
use std::sync::Arc;

use tidings_core::{Draft, Update};

use crate::storage::StorageError;

/// Takes the result of one append, on the writer thread. Must not block.
pub type Done = Box<dyn FnOnce(Result<Arc<Update>, AppendError>) + Send>;

/// Takes what the writer has done with each group, on the writer thread. Must not block.
pub type Outlet = Box<dyn FnMut(Step) + Send>;

/// What the writer has done with a group of drafts.
#[derive(Debug)]
pub enum Step {
    /// The group is durable; groups come in order of position. Comes before the [`Done`]s of the
    /// group, and not at all for a group that was refused.
    Committed(Vec<Arc<Update>>),
    /// Every [`Done`] of the group was called, be it taken or refused. Whoever waits for many of
    /// them is woken here, once, instead of at each.
    Answered,
}

/// One draft on its way to the writer.
pub struct Append {
    /// What to keep.
    pub draft: Draft,
    /// Takes the result. Called exactly once.
    pub done: Done,
}

/// Why an update was not taken into the history.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The storage refuses for as long as its fault lasts, and is tried again about once a second.
    #[error("the history takes no updates until its fault is mended")]
    Refused {
        /// The fault: a full disk, for instance.
        #[source]
        cause: Arc<StorageError>,
    },
    /// A sync failed, or the storage is damaged. The history takes no update any more in this process.
    #[error(
        "the history takes no updates any more, because a write is in doubt or the file damaged"
    )]
    Poisoned {
        /// The failed sync, or the damage.
        #[source]
        cause: Arc<StorageError>,
    },
}

/// Why an append did not enter the queue. Gives back the unused [`Done`].
pub enum Refused {
    /// As many drafts wait as `queue_max` allows.
    Full(Done),
    /// The history was closed.
    Closed(Done),
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full",
            Self::Closed(_) => "Closed",
        })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the queue of the history is full",
            Self::Closed(_) => "the history is closed",
        })
    }
}

impl std::error::Error for Refused {}
