//! The name of a ZeroMQ socket, as applications write it: `zmq://PUSH@127.0.0.1:5000` connects,
//! `zmq-bind://PULL@*:5000` binds, several addresses are separated by `;`.

use std::fmt;
use std::str::FromStr;

use tidings_wire::zmtp::SocketType;

/// A parsed data source. Parsing opens and resolves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSource {
    /// Which end opens the connections.
    pub attach: Attach,
    /// What the socket does.
    pub socket_type: SocketType,
    /// Where. Never empty.
    pub endpoints: Vec<Endpoint>,
}

/// Which end opens the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// This one: `zmq://`.
    Connect,
    /// The peers: `zmq-bind://`.
    Bind,
}

/// One address of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A name, an IP address, or `*` for every address of this machine.
    pub host: String,
    /// The port. 0 lets the system choose.
    pub port: u16,
}

/// Why a text is not a data source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataSourceError {
    /// It has another scheme.
    #[error(
        "{text:?} begins with neither zmq:// nor zmq-bind://: write it like \
         zmq-bind://PULL@127.0.0.1:5000 to bind, or zmq://PUSH@127.0.0.1:5000 to connect"
    )]
    Scheme {
        /// The whole text.
        text: String,
    },
    /// There is no socket type before the `@`, or an unknown one.
    #[error(
        "{found:?} in {text:?} is not a socket type: write one of PUSH, PULL, PUB, SUB, XPUB, XSUB, \
         REQ, REP in upper case and an @, as in zmq-bind://PULL@127.0.0.1:5000"
    )]
    SocketType {
        /// The text found there.
        found: String,
        /// The whole text.
        text: String,
    },
    /// An address is not a host with a port.
    #[error(
        "{found:?} in {text:?} is not a host with a port: write it like 127.0.0.1:5000, *:5000, \
         [::1]:5000 or broker.example.com:5000, several separated by ;"
    )]
    Endpoint {
        /// What stands there.
        found: String,
        /// The whole text.
        text: String,
    },
    /// `*` is an address to listen on, not one to connect to.
    #[error("{text:?} connects, which needs the name or address of another host instead of *")]
    WildcardToConnect {
        /// The whole text.
        text: String,
    },
    /// Nobody can connect to port 0.
    #[error("{text:?} connects, which needs a port from 1 to 65535")]
    PortToConnect {
        /// The whole text.
        text: String,
    },
}

impl FromStr for DataSource {
    type Err = DataSourceError;

    fn from_str(text: &str) -> Result<Self, DataSourceError> {
        let whole = || text.to_owned();
        let bind = text.strip_prefix("zmq-bind://");
        let (attach, rest) = match (bind, text.strip_prefix("zmq://")) {
            (Some(rest), _) => (Attach::Bind, rest),
            (None, Some(rest)) => (Attach::Connect, rest),
            (None, None) => return Err(DataSourceError::Scheme { text: whole() }),
        };
        let (name, hosts) = rest.split_once('@').unwrap_or((rest, ""));
        let socket_type = SocketType::from_name(name.as_bytes())
            .filter(|kind| !matches!(kind, SocketType::Dealer | SocketType::Router));
        let Some(socket_type) = socket_type else {
            return Err(DataSourceError::SocketType {
                found: name.to_owned(),
                text: whole(),
            });
        };
        let mut endpoints = Vec::new();
        for part in hosts.split(';').map(str::trim) {
            let endpoint = Endpoint::parse(part).ok_or_else(|| DataSourceError::Endpoint {
                found: part.to_owned(),
                text: whole(),
            })?;
            if attach == Attach::Connect && endpoint.host == ANY {
                return Err(DataSourceError::WildcardToConnect { text: whole() });
            }
            if attach == Attach::Connect && endpoint.port == 0 {
                return Err(DataSourceError::PortToConnect { text: whole() });
            }
            endpoints.push(endpoint);
        }
        Ok(Self {
            attach,
            socket_type,
            endpoints,
        })
    }
}

impl Endpoint {
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = match port {
            // As in libzmq, the system chooses the port.
            ANY => 0,
            port if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok()?,
            _ => return None,
        };
        let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(Some(address)) => address.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
            Some(None) => return None,
            None => host.to_owned(),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let known = host == ANY || host.parse::<std::net::Ipv6Addr>().is_ok();
        (known || (!host.is_empty() && host.bytes().all(plain))).then_some(Self { host, port })
    }

    /// Returns whether only this machine can reach the address.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<std::net::IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_name) => self.host == "localhost",
        }
    }
}

impl fmt::Display for DataSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.attach {
            Attach::Connect => "zmq",
            Attach::Bind => "zmq-bind",
        };
        write!(f, "{scheme}://{}@", self.socket_type)?;
        for (number, endpoint) in self.endpoints.iter().enumerate() {
            let separator = if number == 0 { "" } else { ";" };
            write!(f, "{separator}{endpoint}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Every address of this machine.
pub const ANY: &str = "*";

#[cfg(test)]
mod tests;
