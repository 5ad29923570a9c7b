//! Why a call has no answer, and what that means for it.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{ConnectErrorKind, SubscribeError};
use tidings_access::Address;
use tidings_cluster::engine::{EngineCause, EngineError, TooLarge};

use crate::api::ApiError;

/// Why no connection was opened. Nothing was sent that changes anything.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("{address} did not answer within {within:?}")]
    Late { address: Address, within: Duration },
    #[error("cannot connect to {address}")]
    Connect {
        address: Address,
        #[source]
        source: async_nats::ConnectError,
    },
    #[error("{address} cannot be used")]
    Setup {
        address: Address,
        #[source]
        source: std::io::Error,
    },
    #[error("{address} has closed the connection")]
    Closed { address: Address },
    #[error("another server is to be asked")]
    Moved,
}

/// Why a request has no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The connection is gone.
    #[error("the connection to {address} is lost")]
    Lost { address: Address },
    /// The time for an answer was over.
    #[error("{address} did not answer within {within:?}")]
    Late { address: Address, within: Duration },
    /// The user may not do it.
    #[error("{reason}; docs/formats/cluster-nats.md has the permissions that a hub needs")]
    Forbidden { reason: String },
    /// Nobody takes the request: it was not done.
    #[error(
        "no server takes requests for {subject}: the stream has no leader, JetStream is off, or \
         the user may not use the subject"
    )]
    NoResponders { subject: String },
    /// The message is larger than the server takes: it was not sent.
    #[error("a message of {bytes} bytes is larger than max_payload of {address}, {max} bytes")]
    TooLarge {
        address: Address,
        bytes: usize,
        max: usize,
    },
    /// The server has closed the connection, because a message on it was larger than it takes.
    #[error("a message was larger than max_payload of {address}, which has closed the connection")]
    Violated { address: Address },
    /// The server takes no message of the size that an update needs. Nothing of its batch is stored.
    #[error("an update is too large: {0}; raise {setting}", setting = .0.setting)]
    Unfit(TooLarge),
    /// The server has closed the connection because of the size of an update, and nothing of its batch is
    /// stored. Whether it was stored before is to be asked on another connection.
    #[error("{address} has closed the connection, because an update was too large")]
    Closed { address: Address },
    /// The client library does not take it.
    #[error("cannot send to {address}")]
    Send {
        address: Address,
        #[source]
        source: async_nats::PublishError,
    },
    /// Likewise.
    #[error("cannot listen at {address}")]
    Subscribe {
        address: Address,
        #[source]
        source: SubscribeError,
    },
    /// `JetStream` answered with an error: it did nothing.
    #[error("JetStream says: {0}")]
    Said(ApiError),
    /// Somebody else changed what it depends on, again and again: it was not done, unless a leader that
    /// is being replaced refused what the other one took.
    #[error("somebody else was faster at each try")]
    Crowded,
    /// The server that answers reads lags behind: it was not done.
    #[error("the server that was asked lags behind the others")]
    Lagging,
    /// This server cannot say where the line ends; another one may.
    #[error("{reason}")]
    Elsewhere { reason: Arc<str> },
    /// The answer is none that this hub knows.
    #[error("an answer that cannot be read: {what}")]
    Unreadable { what: String },
}

impl CallError {
    /// Returns whether the connection stays usable.
    pub(crate) const fn keeps_connection(&self) -> bool {
        match self {
            Self::NoResponders { .. }
            | Self::TooLarge { .. }
            | Self::Unfit(_)
            | Self::Said(_)
            | Self::Crowded => true,
            Self::Lagging
            | Self::Elsewhere { .. }
            | Self::Forbidden { .. }
            | Self::Lost { .. }
            | Self::Violated { .. }
            | Self::Closed { .. }
            | Self::Late { .. }
            | Self::Send { .. }
            | Self::Subscribe { .. }
            | Self::Unreadable { .. } => false,
        }
    }

    /// Returns the failure of a question about the line: whatever the server said, another one may know
    /// more.
    pub(crate) fn or_elsewhere(self) -> Self {
        match self.keeps_connection() {
            true => Self::Elsewhere {
                reason: self.into_engine().line().into(),
            },
            false => self,
        }
    }

    /// Returns what the failure of a request means for the call.
    pub(crate) fn into_engine(self) -> EngineError {
        match self {
            Self::NoResponders { .. }
            | Self::Forbidden { .. }
            | Self::TooLarge { .. }
            | Self::Unfit(_)
            | Self::Crowded
            | Self::Lagging => refused(self.to_string()),
            Self::Said(ref error) => {
                let advice = error.advice();
                let advice = advice.map_or_else(String::new, |advice| format!("; {advice}"));
                EngineError::Refused {
                    reason: format!("{self}{advice}").into(),
                }
            }
            Self::Elsewhere { reason } => refused(reason),
            Self::Unreadable { what } => foreign(&what),
            Self::Closed { .. } => EngineError::Unreachable { cause: cause(self) },
            Self::Lost { .. }
            | Self::Violated { .. }
            | Self::Late { .. }
            | Self::Send { .. }
            | Self::Subscribe { .. } => EngineError::InDoubt { cause: cause(self) },
        }
    }
}

/// An error of a call that was not begun.
pub(crate) fn unreachable(error: ConnectError) -> EngineError {
    if let ConnectError::Connect { source, .. } = &error
        && let ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication =
            source.kind()
    {
        return EngineError::Refused {
            reason: format!("{error}: {source}").into(),
        };
    }
    EngineError::Unreachable {
        cause: cause(error),
    }
}

/// What no hub of this version wrote.
pub(crate) fn foreign(what: &str) -> EngineError {
    EngineError::Foreign { what: what.into() }
}

/// What is not done, and why.
pub(crate) fn refused(reason: impl Into<Arc<str>>) -> EngineError {
    EngineError::Refused {
        reason: reason.into(),
    }
}

fn cause(error: impl std::error::Error + Send + Sync + 'static) -> EngineCause {
    Arc::new(error)
}
