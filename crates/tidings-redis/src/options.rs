//! What an operator says about the engine: where it is, how to get in, and what an answer means.
//!
//! Files are named by the configuration and read by [`Tls::read`] and [`Login::read`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

/// Most servers, Sentinels or nodes of one address line.
pub const ADDRESSES_MAX: usize = 32;
/// Most bytes of a cluster's name.
pub const NAME_BYTES_MAX: usize = 64;
/// Most bytes of a password file.
pub const PASSWORD_BYTES_MAX: usize = 512;

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
    /// Who logs in to the servers.
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

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
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

impl Address {
    /// Reads `HOST`, `HOST:PORT` or `[IPV6]:PORT`.
    pub(crate) fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']')?;
                let port = if after.is_empty() {
                    Some("")
                } else {
                    after.strip_prefix(':')
                };
                (host, port)
            }
            None => match text.rsplit_once(':') {
                Some((host, _)) if host.contains(':') => return None,
                Some((host, port)) => (host, Some(port)),
                None => (text, Some("")),
            },
        };
        let port = match port? {
            "" => default_port,
            port => port.parse().ok().filter(|port| *port != 0)?,
        };
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
        let fits = !host.is_empty() && host.len() <= 253 && host.bytes().all(is_host);
        fits.then(|| Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The name of a cluster: hubs with the same name on the same servers are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name(Arc<str>);

/// A name must fit into a hash tag, and into a rule for a user's keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the name {name:?} is not 1 to {NAME_BYTES_MAX} letters, digits, `.`, `_` or `-`")]
pub struct NameError {
    name: String,
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain);
        let error = || NameError {
            name: name.chars().take(NAME_BYTES_MAX).collect(),
        };
        fits.then(|| Self(name.into())).ok_or_else(error)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who logs in. Without a password nobody does; without a user name, `default` does.
#[derive(Clone, Default)]
pub struct Login {
    username: Option<String>,
    password: Option<String>,
}

/// Why nobody can log in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The file cannot be read.
    #[error("cannot read the password file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The fault.
        #[source]
        source: std::io::Error,
    },
    /// The file has no password, or a long one.
    #[error("the password file {path} has {bytes} bytes, not 1 to {PASSWORD_BYTES_MAX}")]
    Length {
        /// The file.
        path: PathBuf,
        /// What it has without the line end.
        bytes: usize,
    },
    /// A user name needs a password.
    #[error("there is a user name {username:?} but no password file")]
    NoPassword {
        /// The name.
        username: String,
    },
}

impl Login {
    /// Reads the password from its file, of which one line end is not a part.
    ///
    /// # Errors
    ///
    /// [`LoginError`] if the file cannot be read or holds no password.
    pub fn read(username: Option<&str>, password_file: Option<&Path>) -> Result<Self, LoginError> {
        let Some(path) = password_file else {
            return match username {
                None => Ok(Self::default()),
                Some(username) => Err(LoginError::NoPassword {
                    username: username.to_owned(),
                }),
            };
        };
        let text = std::fs::read_to_string(path).map_err(|source| LoginError::Read {
            path: path.to_owned(),
            source,
        })?;
        let password = text.strip_suffix('\n').unwrap_or(&text);
        let password = password.strip_suffix('\r').unwrap_or(password);
        if !(1..=PASSWORD_BYTES_MAX).contains(&password.len()) {
            return Err(LoginError::Length {
                path: path.to_owned(),
                bytes: password.len(),
            });
        }
        Ok(Self {
            username: username.map(str::to_owned),
            password: Some(password.to_owned()),
        })
    }

    /// Returns what `AUTH` takes: nothing if nobody logs in.
    pub(crate) fn arguments(&self) -> Option<Vec<&str>> {
        let password = self.password.as_deref()?;
        Some(
            self.username
                .as_deref()
                .into_iter()
                .chain([password])
                .collect(),
        )
    }
}

impl fmt::Debug for Login {
    /// Shows nothing of the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .finish()
    }
}

/// TLS to the servers: whom to believe, and who we are.
#[derive(Clone)]
pub struct Tls {
    pub(crate) config: Arc<ClientConfig>,
}

impl fmt::Debug for Tls {
    /// Shows nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

#[cfg(test)]
mod tests;
