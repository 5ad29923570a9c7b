//! Why a command has no answer, and what that means for the call that sent it.

use std::sync::Arc;
use std::time::Duration;

use redis::{ErrorKind, RedisError};
use tidings_access::{Address, DialError};
use tidings_cluster::engine::{EngineCause, EngineError};

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
        source: CallError,
    },
    #[error("{address} is not usable")]
    Setup {
        address: Address,
        #[source]
        source: RedisError,
    },
    #[error(
        "{answered} of {all} Sentinels answered and {agreed} of them name the same primary of \
         {service:?}, but {needed} are needed"
    )]
    NoMajority {
        service: String,
        all: usize,
        answered: usize,
        agreed: usize,
        needed: usize,
    },
    #[error("{address} does not say whether it is the primary")]
    Role {
        address: Address,
        #[source]
        source: CallError,
    },
    #[error("{address} has closed the connection")]
    Closed { address: Address },
    #[error("the primary is another server now")]
    Moved,
    #[error("{address} is named as the primary, but says that it is a {role}")]
    NotPrimary { address: Address, role: String },
    #[error("no node of the Redis Cluster says who owns slot {slot} ({asked} were asked)")]
    NoOwner { slot: u16, asked: usize },
}

/// Why a command has no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The connection is gone.
    #[error("the connection to {address} is lost")]
    Lost {
        address: Address,
        #[source]
        source: Option<RedisError>,
    },
    /// The time for an answer was over.
    #[error("{address} did not answer within {within:?}")]
    Late { address: Address, within: Duration },
    /// The write is there, but on fewer replicas than are asked for.
    #[error("{have} of {replicas} replicas have the update")]
    Replicas { have: i64, replicas: u32 },
    /// The write is there; whether replicas have it is unknown.
    #[error("it is not known whether replicas have the update")]
    Unconfirmed {
        #[source]
        source: Option<Box<EngineError>>,
    },
    /// The server answered with an error.
    #[error("{address} says: {code} {detail}")]
    Said {
        address: Address,
        code: String,
        detail: String,
        after: After,
    },
}

/// What becomes of a connection whose server answered with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// It is used on.
    Keep,
    /// It is closed: the server is no longer the one to ask.
    Close,
}

impl CallError {
    /// Sorts what the client returned.
    pub(crate) fn of(address: &Address, error: RedisError) -> Self {
        let code = code_of(&error).to_owned();
        let (ErrorKind::Server(_) | ErrorKind::Extension) = error.kind() else {
            return Self::Lost {
                address: address.clone(),
                source: Some(error),
            };
        };
        Self::Said {
            address: address.clone(),
            after: after(&code),
            code,
            detail: error.detail().unwrap_or_default().to_owned(),
        }
    }

    /// Returns whether the server does not know the script.
    pub(crate) fn is_unknown_script(&self) -> bool {
        matches!(self, Self::Said { code, .. } if code == "NOSCRIPT")
    }

    /// Returns whether the connection stays usable.
    pub(crate) fn keeps_connection(&self) -> bool {
        matches!(
            self,
            Self::Said {
                after: After::Keep,
                ..
            }
        )
    }

    /// Returns what the failure of a command means for the call.
    pub(crate) fn into_engine(self) -> EngineError {
        let Self::Said { code, .. } = &self else {
            return EngineError::InDoubt { cause: cause(self) };
        };
        // A script that dies after its first write is not rolled back.
        if code == "MIDWAY" {
            return EngineError::InDoubt { cause: cause(self) };
        }
        if code == "WRONGTYPE" {
            return foreign(&format!("a key of another type under the prefix ({self})"));
        }
        let advice = advice(code).map_or_else(String::new, |advice| format!("; {advice}"));
        EngineError::Refused {
            reason: format!("{self}{advice}").into(),
        }
    }
}

/// Says what the operator can do, for the errors that do not say it themselves.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "READONLY" => "it is a replica: name the primary, or use Sentinel",
        "NOREPLICAS" => {
            "fewer replicas than `min-replicas-to-write` are connected: start them again"
        }
        "NOAUTH" | "WRONGPASS" => "set the user name and the password file",
        "NOPERM" => "docs/formats/cluster-redis.md has the permissions that a hub needs",
        "MOVED" => "it belongs to a Redis Cluster: use a redis+cluster:// address",
        "MISCONF" => "the server cannot write to its disk",
        _ => return None,
    })
}

/// Codes that matter. Where a script fails, Redis 6.2 has them only within its text, as in
/// `@user_script: 97: -NOREPLICAS …`.
const CODES: &[&str] = &[
    "MIDWAY",
    "READONLY",
    "NOREPLICAS",
    "WRONGTYPE",
    "MISCONF",
    "NOPERM",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "LOADING",
    "OOM",
];

/// Returns the code of an error.
fn code_of(error: &RedisError) -> &str {
    let code = error.code().unwrap_or_default();
    let detail = error.detail().unwrap_or_default();
    if code != "ERR" && !code.starts_with('@') {
        return code;
    }
    let within = |known: &&&str| detail.split([' ', '-']).any(|word| word == **known);
    CODES.iter().find(within).copied().unwrap_or(code)
}

/// Which answers say that another server should be asked.
fn after(code: &str) -> After {
    match code {
        "MOVED" | "ASK" | "CLUSTERDOWN" | "MASTERDOWN" | "READONLY" | "LOADING" | "TRYAGAIN"
        | "UNBLOCKED" | "NOREPLICAS" => After::Close,
        _ => After::Keep,
    }
}

/// An error that was not sent anything: the call was not begun.
pub(crate) fn unreachable(error: ConnectError) -> EngineError {
    if let ConnectError::Login { source, .. } = &error
        && let CallError::Said { .. } = source
    {
        return EngineError::Refused {
            reason: format!("{error}: {source}").into(),
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
