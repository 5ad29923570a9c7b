//! What an operator says about the engine: where it is, how to get in, and how much it keeps.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidings_access::{Address, Login, Name, Tls};

/// Most servers of one address line.
pub const ADDRESSES_MAX: usize = 32;
/// Least bytes of a window: less would be dropped under a follower that is a batch behind.
pub const WINDOW_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// Most bytes of a file with an nkey or with credentials.
pub const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;

/// The port of a server that names none.
const SERVER_PORT: u16 = 4222;

/// Everything that the engine is told at its start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the servers are.
    pub place: Place,
    /// What the streams are called after.
    pub name: Name,
    /// Who connects.
    pub access: Access,
    /// TLS to the servers.
    pub tls: Option<Tls>,
    /// How many servers keep each stream: 1, 3 or 5. A majority of them has an update that is
    /// acknowledged.
    pub replicas: u32,
    /// The window: entries are kept until there are more bytes of newer ones, as the server counts
    /// them. At least [`WINDOW_BYTES_MIN`].
    pub window_bytes: u64,
    /// Most bytes of an update, for the check of the server's `max_payload`.
    pub update_bytes_max: u64,
    /// How long a call may take.
    pub timeouts: Timeouts,
}

/// How long the parts of a call may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To connect, agree on TLS and log in to one server.
    pub connect: Duration,
    /// For the answer to a call that does not wait.
    pub answer: Duration,
    /// How long a follower waits for an entry.
    pub wait: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            answer: Duration::from_millis(2500),
            wait: Duration::from_secs(3),
        }
    }
}

/// Servers of one NATS cluster. Each of them will do; they are tried in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// At least one.
    pub servers: Vec<Address>,
    /// Whether connections use TLS.
    pub tls: bool,
}

/// Why an address line is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Another scheme.
    #[error("{scheme:?} is neither nats nor tls")]
    Scheme {
        /// What stands there.
        scheme: String,
    },
    /// A secret would be in logs and process lists.
    #[error(
        "user names and passwords belong in `username` and `password_file`, `nkey_file` or \
         `credentials_file`, not in the URL"
    )]
    Login,
    /// A part that is no host with a port.
    #[error("{part:?} is no host, or no host with a port")]
    Host {
        /// The part.
        part: String,
    },
    /// Too many addresses.
    #[error("{count} addresses: at most {ADDRESSES_MAX} are taken")]
    Count {
        /// How many there are.
        count: usize,
    },
    /// Nothing follows the addresses.
    #[error("{path:?} after the addresses: `name` keeps clusters apart")]
    Path {
        /// What stands there.
        path: String,
    },
}

impl Place {
    /// Reads an address line: `nats://HOST[:PORT],HOST[:PORT],…`, or the same with `tls`.
    ///
    /// # Errors
    ///
    /// [`PlaceError`] says which part is wrong.
    pub fn parse(url: &str) -> Result<Self, PlaceError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let tls = match scheme {
            "nats" => false,
            "tls" => true,
            _ => {
                return Err(PlaceError::Scheme {
                    scheme: scheme.to_owned(),
                });
            }
        };
        if rest.contains('@') {
            return Err(PlaceError::Login);
        }
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !path.is_empty() {
            return Err(PlaceError::Path {
                path: path.to_owned(),
            });
        }
        let parts: Vec<&str> = hosts.split(',').collect();
        if parts.len() > ADDRESSES_MAX {
            return Err(PlaceError::Count { count: parts.len() });
        }
        let parse = |part: &&str| {
            Address::parse(part, SERVER_PORT).ok_or_else(|| PlaceError::Host {
                part: (*part).to_owned(),
            })
        };
        let servers = parts.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { servers, tls })
    }
}

/// Who connects, and by which secret.
#[derive(Clone, Default)]
pub enum Access {
    /// Nobody in particular; or whom the certificate of TLS names.
    #[default]
    Anyone,
    /// A user with a password; without a user name, the password is a token.
    Password(Login),
    /// A user that is an nkey, by its seed.
    Nkey(String),
    /// A user with a JWT and an nkey, as in a file of credentials.
    Credentials(String),
}

/// Why a file with a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The fault.
        #[source]
        source: std::io::Error,
    },
    /// The file is long.
    #[error("{path} has more than {SECRET_FILE_BYTES_MAX} bytes")]
    Length {
        /// The file.
        path: PathBuf,
    },
    /// It holds no seed of a user.
    #[error("{path} holds no seed of a user: one line that begins with SU")]
    NotSeed {
        /// The file.
        path: PathBuf,
    },
    /// It holds no credentials.
    #[error("{path} holds no credentials: a user's JWT and a seed, as `nsc generate creds` writes")]
    NotCredentials {
        /// The file.
        path: PathBuf,
    },
}

impl Access {
    /// Takes a user name and a password.
    #[must_use]
    pub fn password(login: Login) -> Self {
        match login.password() {
            Some(_password) => Self::Password(login),
            None => Self::Anyone,
        }
    }

    /// Reads the seed of a user's nkey.
    ///
    /// # Errors
    ///
    /// [`AccessError`] names the file.
    pub fn nkey(path: &Path) -> Result<Self, AccessError> {
        let text = read(path)?;
        let seed = text.trim();
        let is_seed =
            seed.starts_with("SU") && seed.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match is_seed {
            true => Ok(Self::Nkey(seed.to_owned())),
            false => Err(AccessError::NotSeed {
                path: path.to_owned(),
            }),
        }
    }

    /// Reads a file of credentials.
    ///
    /// # Errors
    ///
    /// [`AccessError`] names the file.
    pub fn credentials(path: &Path) -> Result<Self, AccessError> {
        let text = read(path)?;
        match async_nats::ConnectOptions::with_credentials(&text) {
            Ok(_options) => Ok(Self::Credentials(text)),
            // Its text could quote the secret.
            Err(_unreadable) => Err(AccessError::NotCredentials {
                path: path.to_owned(),
            }),
        }
    }
}

fn read(path: &Path) -> Result<String, AccessError> {
    let failed = |source| AccessError::Read {
        path: path.to_owned(),
        source,
    };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > SECRET_FILE_BYTES_MAX {
        return Err(AccessError::Length {
            path: path.to_owned(),
        });
    }
    std::fs::read_to_string(path).map_err(failed)
}

impl fmt::Debug for Access {
    /// Shows nothing of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anyone => "Anyone",
            Self::Password(_) => "Password",
            Self::Nkey(_) => "Nkey",
            Self::Credentials(_) => "Credentials",
        })
    }
}

#[cfg(test)]
mod tests;
