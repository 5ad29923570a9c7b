//! Why a relay or a history refuses an update. Independent of any protocol.

use std::error::Error;
use std::sync::Arc;

use tidings_core::{Position, Print};

use crate::engine::TooLarge;

/// The fault behind an error, shared by all that it was reported to.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// Why an update was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RelayError {
    /// As many updates wait as may wait. There is room again soon.
    #[error("too many updates are waiting to be stored")]
    Busy,
    /// The hub is being stopped.
    #[error("the hub takes no more updates because it is being stopped")]
    Closed,
    /// Nothing is taken for as long as a fault lasts: the disk is full, or an engine is away.
    #[error("the hub takes no updates until its fault is mended")]
    Unavailable {
        /// The fault.
        #[source]
        cause: Cause,
    },
    /// The engine of the cluster is away: the update waited for it and was not sent.
    #[error("the cluster's engine is away: {}", .reason.as_deref().unwrap_or("it takes too long"))]
    Away {
        /// Why, as one line, as far as it is known. Names of machines may be in it.
        reason: Option<Arc<str>>,
    },
    /// The engine of a cluster, or the process that took over from this one, was asked to take the
    /// update and did not answer.
    #[error(
        "the update may have been stored: the process or engine that was to store it did not answer"
    )]
    InDoubt,
    /// The engine of the cluster takes no update of this size, and takes others.
    #[error("the update was not stored: {0}")]
    TooLarge(TooLarge),
    /// Nothing is taken any more in this process: a write is in doubt, or the file is damaged.
    #[error(
        "the hub takes no updates any more, because a write is in doubt or its history damaged"
    )]
    Failed {
        /// The fault.
        #[source]
        cause: Cause,
    },
}

/// Why a batch of ordered updates was not stored. None of its updates was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InboundError {
    /// The position does not follow the one before: updates are missing, or come in another order.
    #[error("position {expected} comes next, but position {got} came")]
    OutOfOrder {
        /// The position that follows what is stored.
        expected: Position,
        /// The position that came.
        got: Position,
    },
    /// The update belongs to another line of history than the one that is stored.
    #[error(
        "position {position} does not hold the update that came: its print is {expected:?}, and \
         that of what came is {got:?}"
    )]
    Differs {
        /// The position of the update that came.
        position: Position,
        /// The print that follows from what is stored.
        expected: Print,
        /// The print of the update that came, or the one that came with it.
        got: Print,
    },
    /// The time goes back, by which retention would remove the wrong updates.
    #[error(
        "position {position} came with the time {got_ms} ms, earlier than the {before_ms} ms of \
         the update before it"
    )]
    TimeWentBack {
        /// The position of the update that came.
        position: Position,
        /// The time of the update before it, in Unix milliseconds.
        before_ms: u64,
        /// The time that came.
        got_ms: u64,
    },
    /// The history takes no updates.
    #[error(transparent)]
    Relay(#[from] RelayError),
}

/// Why a relay does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A relay serves one history.
    #[error("the relay was started before")]
    Started,
}
