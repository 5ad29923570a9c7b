//! Why a call has no answer, and what that means for the caller.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use tidings_access::{Address, DialError};
use tidings_cluster::engine::{EngineCause, EngineError};
use tokio_postgres::error::{DbError, Severity};

/// Why no connection was opened. Nothing was sent that changes anything.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{address} did not answer within {within:?}")]
    Late { address: Address, within: Duration },
    #[error("cannot log in to {address}")]
    Login {
        address: Address,
        #[source]
        source: tokio_postgres::Error,
    },
    #[error("{address} lets nobody in: {said}{}", advice(code))]
    NotLetIn {
        address: Address,
        code: String,
        said: String,
    },
    #[error("{address} does not say which server it is")]
    Who {
        address: Address,
        #[source]
        source: CallError,
    },
    #[error("TLS is asked for, but not set up")]
    NoTls,
    #[error("{} is a standby: name the primary, or all servers", list(.addresses))]
    Standby { addresses: Vec<Address> },
    #[error("{address} has closed the connection")]
    Closed { address: Address },
    #[error("the primary is another server now")]
    Moved,
}

impl ConnectError {
    /// Sorts what the client returned during a login.
    pub(crate) fn login(address: &Address, source: tokio_postgres::Error) -> Self {
        let dialled = source
            .source()
            .and_then(|cause| cause.downcast_ref::<DialError>());
        if dialled.is_some() {
            return match source
                .into_source()
                .map(|cause| cause.downcast::<DialError>())
            {
                Some(Ok(error)) => Self::Dial(*error),
                _ => Self::Closed {
                    address: address.clone(),
                },
            };
        }
        match source.as_db_error() {
            Some(error) => Self::NotLetIn {
                address: address.clone(),
                code: error.code().code().to_owned(),
                said: said(error),
            },
            None => Self::Login {
                address: address.clone(),
                source,
            },
        }
    }

    /// Whether an operator has to change something before it can succeed.
    fn is_refused(&self) -> bool {
        match self {
            // No such user, wrong password, no such database, no right to connect.
            Self::NotLetIn { code, .. } => {
                code.starts_with("28") || matches!(code.as_str(), "3D000" | "42501")
            }
            Self::Standby { .. } | Self::NoTls => true,
            Self::Dial(_)
            | Self::Late { .. }
            | Self::Login { .. }
            | Self::Who { .. }
            | Self::Closed { .. }
            | Self::Moved => false,
        }
    }
}

fn list(addresses: &[Address]) -> String {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    addresses.join(", ")
}

/// Why a call has no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The connection is gone.
    #[error("the connection to {address} is lost")]
    Lost {
        address: Address,
        #[source]
        source: Option<tokio_postgres::Error>,
    },
    /// The server ended the connection, and said so.
    #[error("{address} has ended the connection: {said}")]
    Ended { address: Address, said: String },
    /// The time for an answer was over.
    #[error("{address} did not answer within {within:?}")]
    Late { address: Address, within: Duration },
    /// It is stored; whether a standby has it is unknown.
    #[error("{address} does not know whether a standby has the update: {warning}")]
    Unconfirmed { address: Address, warning: String },
    /// The server answered with an error, and undid the call.
    #[error("{address} says: {said}{}", advice(code))]
    Said {
        address: Address,
        code: String,
        said: String,
    },
}

impl CallError {
    /// Sorts what the client returned.
    pub(crate) fn of(address: &Address, error: tokio_postgres::Error) -> Self {
        let address = address.clone();
        let Some(answer) = error.as_db_error() else {
            return Self::Lost {
                address,
                source: Some(error),
            };
        };
        let said = said(answer);
        match answer.parsed_severity() {
            Some(Severity::Fatal | Severity::Panic) => Self::Ended { address, said },
            _ => Self::Said {
                address,
                code: answer.code().code().to_owned(),
                said,
            },
        }
    }

    /// Returns whether the connection stays usable: a server that has become a standby is left.
    pub(crate) fn keeps_connection(&self) -> bool {
        matches!(self, Self::Said { code, .. } if code != READ_ONLY)
    }

    /// Returns what the failure of a call means for the caller.
    pub(crate) fn into_engine(self) -> EngineError {
        match &self {
            Self::Said { .. } => EngineError::Refused {
                reason: self.to_string().into(),
            },
            Self::Lost { .. }
            | Self::Ended { .. }
            | Self::Late { .. }
            | Self::Unconfirmed { .. } => EngineError::InDoubt { cause: cause(self) },
        }
    }
}

/// The code of a write on a standby.
const READ_ONLY: &str = "25006";

/// Returns what a server said, as one line.
fn said(error: &DbError) -> String {
    let mut line = format!("{} {}", error.code().code(), error.message());
    for more in [error.detail(), error.hint()].into_iter().flatten() {
        line.push_str("; ");
        line.push_str(more.trim_end_matches('.'));
    }
    line
}

/// Says what the operator can do, for the errors that do not say it themselves.
fn advice(code: &str) -> &'static str {
    match code {
        "42501" => "; `tidings cluster schema --hub ROLE` grants what a hub needs",
        "3F000" | "42P01" | "42883" => {
            "; the schema is missing or of an older version: run `tidings cluster schema --apply`"
        }
        "3D000" => "; create the database, or name another one in the URL",
        "28P01" | "28000" => "; set the user name and the password file",
        READ_ONLY => "; it is a standby: name the primary, or all servers",
        "55P03" => {
            "; somebody holds the lock of the line: an append that waits for its standby, or a transaction"
        }
        "53100" => "; the disk of the server is full",
        "53300" => "; raise max_connections, or use a pooler: a hub has four connections",
        _ => "",
    }
}

/// An error before anything was sent: the call was not begun.
pub(crate) fn unreachable(error: ConnectError) -> EngineError {
    if error.is_refused() {
        return EngineError::Refused {
            reason: error.to_string().into(),
        };
    }
    EngineError::Unreachable {
        cause: cause(error),
    }
}

/// An answer that no server of this kind gives to a hub of this version.
pub(crate) fn foreign(what: &str) -> EngineError {
    EngineError::Foreign { what: what.into() }
}

fn cause(error: impl std::error::Error + Send + Sync + 'static) -> EngineCause {
    Arc::new(error)
}
