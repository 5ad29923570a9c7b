//! What an operator says about the engine: where it is, how to get in, and what an answer means.

use std::net::IpAddr;
use std::time::Duration;

use tidings_access::{Address, Login, Name, Tls};

/// Most servers of one address line.
pub const ADDRESSES_MAX: usize = 8;
/// Most bytes of a name that is a schema: PostgreSQL's identifiers have no more.
pub const SCHEMA_BYTES_MAX: usize = 63;
/// Least bytes of a window: less would be trimmed away under a follower that is a batch behind.
pub const WINDOW_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// The port of a server that names none.
const SERVER_PORT: u16 = 5432;
/// The database of an address line that names none.
const DATABASE: &str = "tidings";

/// Everything that the engine is told at its start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the servers are.
    pub place: Place,
    /// Where a follower learns that there is something new: past a pooler that gives each transaction
    /// another session. Nothing: at `place`.
    pub notify: Option<Place>,
    /// Where a follower reads, a standby for example. Nothing: at `place`.
    pub read: Option<Place>,
    /// The name of the cluster, and of its schema.
    pub name: Name,
    /// Who logs in, everywhere.
    pub login: Login,
    /// TLS, for the places that ask for it.
    pub tls: Option<Tls>,
    /// What an answer to an append vouches for.
    pub acknowledge: Acknowledge,
    /// The window: entries are kept until there are more bytes of newer ones, with 256 bytes
    /// for each entry. At least [`WINDOW_BYTES_MIN`].
    pub window_bytes: u64,
    /// How long a call may take.
    pub timeouts: Timeouts,
}

/// How long the parts of a call may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To connect, agree on TLS and log in to one server.
    pub connect: Duration,
    /// For the answer to a call. The functions wait for a lock for two seconds, so more than that.
    pub answer: Duration,
    /// How long a follower waits for an entry.
    pub wait: Duration,
    /// How long a follower waits until it looks by itself, without having been woken.
    pub poll: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            answer: Duration::from_secs(5),
            wait: Duration::from_secs(5),
            poll: Duration::from_millis(500),
        }
    }
}

/// What an answer to an append vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledge {
    /// The server has it, as durable as its `synchronous_commit` says.
    Engine,
    /// A standby of `synchronous_standby_names` has it on its disk as well.
    Replicated,
}

/// A database, and the servers that may have it. One of them is the primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The servers.
    pub servers: Vec<Address>,
    /// The database.
    pub database: String,
    /// Whether the connection is encrypted.
    pub encryption: Encryption,
}

/// Whether connections are encrypted. There is nothing in between: an encrypted connection to whoever
/// answers protects from nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// They are not.
    None,
    /// They are, and the server's certificate is checked.
    Tls,
}

/// Why an address line is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Another scheme.
    #[error("{scheme:?} is neither postgresql nor postgres")]
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
    #[error("{count} addresses, not 1 to {ADDRESSES_MAX}")]
    Count {
        /// How many there are.
        count: usize,
    },
    /// No name of a database.
    #[error("{path:?} is no name of a database: postgresql://HOST/DATABASE")]
    Database {
        /// What stands there.
        path: String,
    },
    /// A mode of TLS that checks nothing, or not everything.
    #[error(
        "sslmode={mode} does not check who answers: use verify-full, with `ca_file` for an authority \
         of your own, or disable"
    )]
    Unchecked {
        /// The mode.
        mode: String,
    },
    /// A parameter that is not known.
    #[error("{parameter:?} is not known: the URL takes sslmode=verify-full or sslmode=disable")]
    Parameter {
        /// As it stands there.
        parameter: String,
    },
}

impl Place {
    /// Reads an address line: `postgresql://HOST[:PORT][,HOST[:PORT]…][/DATABASE][?sslmode=MODE]`,
    /// where MODE is `verify-full` or `disable`. Without it, only connections to this machine are in
    /// clear.
    ///
    /// # Errors
    ///
    /// [`PlaceError`] says which part is wrong.
    pub fn parse(url: &str) -> Result<Self, PlaceError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        if !matches!(scheme, "postgresql" | "postgres") {
            return Err(PlaceError::Scheme {
                scheme: scheme.to_owned(),
            });
        }
        if rest.contains('@') {
            return Err(PlaceError::Login);
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let servers = addresses(hosts)?;
        let encryption = match encryption(query)? {
            Some(encryption) => encryption,
            None if servers.iter().all(is_here) => Encryption::None,
            None => Encryption::Tls,
        };
        Ok(Self {
            servers,
            database: database(path)?,
            encryption,
        })
    }
}

fn addresses(hosts: &str) -> Result<Vec<Address>, PlaceError> {
    let parts: Vec<&str> = hosts.split(',').collect();
    if parts.len() > ADDRESSES_MAX {
        return Err(PlaceError::Count { count: parts.len() });
    }
    let parse = |part: &&str| {
        Address::parse(part, SERVER_PORT).ok_or_else(|| PlaceError::Host {
            part: (*part).to_owned(),
        })
    };
    parts.iter().map(parse).collect()
}

fn database(path: &str) -> Result<String, PlaceError> {
    if path.is_empty() {
        return Ok(DATABASE.to_owned());
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if path.len() <= SCHEMA_BYTES_MAX && path.bytes().all(is_plain) {
        Ok(path.to_owned())
    } else {
        Err(PlaceError::Database {
            path: path.to_owned(),
        })
    }
}

fn encryption(query: &str) -> Result<Option<Encryption>, PlaceError> {
    let mut chosen = None;
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        chosen = match parameter.split_once('=') {
            Some(("sslmode", "verify-full")) => Some(Encryption::Tls),
            Some(("sslmode", "disable")) => Some(Encryption::None),
            Some(("sslmode", mode @ ("allow" | "prefer" | "require" | "verify-ca"))) => {
                return Err(PlaceError::Unchecked {
                    mode: mode.to_owned(),
                });
            }
            _ => {
                return Err(PlaceError::Parameter {
                    parameter: parameter.to_owned(),
                });
            }
        };
    }
    Ok(chosen)
}

/// Whether a server is on this machine, as far as its address says.
fn is_here(address: &Address) -> bool {
    let ip = address.host.parse::<IpAddr>();
    address.host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

/// Returns why a cluster of this engine cannot have `name`, if it cannot: the schema has the same one.
#[must_use]
pub fn unusable_name(name: &Name) -> Option<&'static str> {
    let name = name.to_string();
    if name.len() > SCHEMA_BYTES_MAX {
        return Some("a schema of PostgreSQL has at most 63 bytes in its name");
    }
    if name.starts_with("pg_") || matches!(name.as_str(), "public" | "information_schema") {
        return Some("the cluster needs a schema of its own, and this one is PostgreSQL's");
    }
    None
}

#[cfg(test)]
mod tests;
