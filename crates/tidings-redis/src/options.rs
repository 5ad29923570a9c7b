//! What an operator says about the engine: where it is, how to get in, and what an answer means.

//!
use std::time::Duration;

use tidings_access::{Address, Login, Name, Tls};

/// Most servers, Sentinels or nodes of one address line.
pub const ADDRESSES_MAX: usize = 32;

/// The port of a server that names none.
const SERVER_PORT: u16 = 6379;
/// The port of a Sentinel that names none.
const SENTINEL_PORT: u16 = 26379;

/// Everything that the engine is told at its start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the servers are.
    pub place: Place,
    /// What the keys begin with.
    pub name: Name,
    /// Who logs in to the servers: without a user name, `default` does.
    pub login: Login,
    /// Who logs in to the Sentinels. They have users of their own.
    pub sentinel_login: Login,
    /// TLS to servers and Sentinels; nothing speaks in clear.
    pub tls: Option<Tls>,
    /// What an answer to an append vouches for.
    pub acknowledge: Acknowledge,
    /// What is done where replicas are, and `min-replicas-to-write` is not set.
    pub unguarded: Unguarded,
    /// The window: entries are kept until there are more bytes of newer ones, with 256 bytes
    /// for each entry. At least [`WINDOW_BYTES_MIN`].
    pub window_bytes: u64,
    /// How long a call may take.
    pub timeouts: Timeouts,
}

/// Least bytes of a window: less would be trimmed away under a follower that is a batch behind.
pub const WINDOW_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// How long the parts of a call may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To connect, agree on TLS and log in to one server.
    pub connect: Duration,
    /// For one Sentinel, or one node that is asked for the owner of a slot.
    pub ask: Duration,
    /// For the answer to a command that does not wait.
    pub answer: Duration,
    /// How long a follower waits for an entry. The server ends the wait by itself.
    pub wait: Duration,
    /// For the replicas that [`Acknowledge::Replicated`] asks for.
    pub replicas: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            ask: Duration::from_millis(500),
            answer: Duration::from_secs(3),
            wait: Duration::from_secs(5),
            replicas: Duration::from_secs(1),
        }
    }
}

/// What an answer to an append vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledge {
    /// The primary has it, and keeps it by its own persistence.
    Engine,
    /// So many replicas have it in memory as well (`WAIT`).
    Replicated {
        /// How many. At least one.
        replicas: u32,
    },
}

/// What is done where there are replicas and `min-replicas-to-write` is 0.
///
/// A primary that was paused or cut off takes updates after another one took its place: 1,800 were
/// measured in ten seconds. They are lost when it comes back. With the setting it takes none once it
/// has counted its replicas again, which it does every second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unguarded {
    /// The start is refused.
    Refuse,
    /// The hub starts all the same.
    Accept,
}

/// Where the servers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// One server.
    Server(Address),
    /// A primary that Sentinels name. All of them are listed: a majority of those that are listed
    /// must agree.
    Sentinel {
        /// The Sentinels.
        sentinels: Vec<Address>,
        /// What they call the primary.
        service: String,
    },
    /// A Redis Cluster, of which these nodes are asked first.
    Cluster {
        /// Some nodes.
        nodes: Vec<Address>,
    },
}

/// Why an address line is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Another scheme.
    #[error(
        "{scheme:?} is none of redis, redis+sentinel, redis+cluster, or these with rediss for TLS"
    )]
    Scheme {
        /// What stands there.
        scheme: String,
    },
    /// A secret would be in logs and process lists.
    #[error("user names and passwords belong in `username` and `password_file`, not in the URL")]
    Login,
    /// A part that is no host with a port.
    #[error("{part:?} is no host, or no host with a port")]
    Host {
        /// The part.
        part: String,
    },
    /// Too few or too many addresses.
    #[error("{count} addresses: {scheme} takes {min} to {max}")]
    Count {
        /// The scheme.
        scheme: String,
        /// How many there are.
        count: usize,
        /// Least.
        min: usize,
        /// Most.
        max: usize,
    },
    /// Sentinels know their primaries by name.
    #[error("a Sentinel address ends in the name of the primary: redis+sentinel://a,b,c/NAME")]
    Service,
    /// Only Sentinel addresses have a path: a database number is not supported.
    #[error(
        "{path:?} after the addresses: databases are not supported, `name` keeps clusters apart"
    )]
    Path {
        /// What stands there.
        path: String,
    },
}

impl Place {
    /// Reads an address line, and whether it asks for TLS:
    /// `redis://HOST[:PORT]`, `redis+sentinel://A,B,C/NAME`, `redis+cluster://A,B`, each also with
    /// `rediss`.
    ///
    /// # Errors
    ///
    /// [`PlaceError`] says which part is wrong.
    pub fn parse(url: &str) -> Result<(Self, Encryption), PlaceError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (encryption, kind) = match scheme.strip_prefix("rediss") {
            Some(kind) => (Encryption::Tls, kind),
            None => (
                Encryption::None,
                scheme.strip_prefix("redis").unwrap_or("?"),
            ),
        };
        if rest.contains('@') {
            return Err(PlaceError::Login);
        }
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let addresses = |port, min, max| addresses(scheme, hosts, port, min, max);
        let place = match kind {
            "" => {
                let mut one = addresses(SERVER_PORT, 1, 1)?;
                Self::Server(one.remove(0))
            }
            "+cluster" => Self::Cluster {
                nodes: addresses(SERVER_PORT, 1, ADDRESSES_MAX)?,
            },
            "+sentinel" if path.is_empty() || path.contains('/') => {
                return Err(PlaceError::Service);
            }
            "+sentinel" => Self::Sentinel {
                sentinels: addresses(SENTINEL_PORT, 1, ADDRESSES_MAX)?,
                service: path.to_owned(),
            },
            _ => {
                return Err(PlaceError::Scheme {
                    scheme: scheme.to_owned(),
                });
            }
        };
        if !path.is_empty() && !matches!(place, Self::Sentinel { .. }) {
            return Err(PlaceError::Path {
                path: path.to_owned(),
            });
        }
        Ok((place, encryption))
    }
}

/// Whether an address line asks for TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// It does not.
    None,
    /// It does.
    Tls,
}

fn addresses(
    scheme: &str,
    hosts: &str,
    port: u16,
    min: usize,
    max: usize,
) -> Result<Vec<Address>, PlaceError> {
    let parts: Vec<&str> = hosts.split(',').collect();
    if !(min..=max).contains(&parts.len()) {
        return Err(PlaceError::Count {
            scheme: scheme.to_owned(),
            count: parts.len(),
            min,
            max,
        });
    }
    let parse = |part: &&str| {
        Address::parse(part, port).ok_or_else(|| PlaceError::Host {
            part: (*part).to_owned(),
        })
    };
    parts.iter().map(parse).collect()
}

#[cfg(test)]
mod tests;
