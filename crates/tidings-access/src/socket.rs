//! Opening a socket to a server.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::time::Duration;

use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{Address, Tls};

/// A peer that vanished without a word is noticed after about 15 seconds, also by a follower.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 2;

/// Why there is no socket to a server. Nothing was sent that changes anything.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error("cannot find the address of {address}")]
    Resolve {
        /// Of whom.
        address: Address,
        /// The fault.
        #[source]
        source: io::Error,
    },
    /// None of its addresses answers.
    #[error("cannot connect to {address}")]
    Connect {
        /// To whom.
        address: Address,
        /// The fault of the last one that was tried.
        #[source]
        source: io::Error,
    },
    /// It is not believed, or does not believe us.
    #[error("cannot agree on TLS with {address}")]
    Tls {
        /// With whom.
        address: Address,
        /// The fault.
        #[source]
        source: io::Error,
    },
}

/// Connects to the first address of the host that answers. The socket sends at once, and notices a
/// peer that is gone.
///
/// # Errors
///
/// [`DialError`] if no address of the host answers.
pub async fn connect(address: &Address) -> Result<TcpStream, DialError> {
    let resolved = tokio::net::lookup_host((address.host.as_str(), address.port)).await;
    let resolved: Vec<SocketAddr> = resolved
        .map_err(|source| DialError::Resolve {
            address: address.clone(),
            source,
        })?
        .collect();
    let connect = |source| DialError::Connect {
        address: address.clone(),
        source,
    };
    let mut fault = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for socket_address in resolved {
        match TcpStream::connect(socket_address).await {
            Ok(stream) => return set_options(&stream).map(|()| stream).map_err(connect),
            Err(error) => fault = error,
        }
    }
    Err(connect(fault))
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Agrees on TLS with the server at `address`.
///
/// # Errors
///
/// [`DialError::Tls`] if its certificate does not fit, or it does not accept ours.
pub async fn encrypt(
    address: &Address,
    tls: &Tls,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, DialError> {
    let fault = |source| DialError::Tls {
        address: address.clone(),
        source,
    };
    let name = ServerName::try_from(address.host.clone())
        .map_err(|error| fault(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let connector = TlsConnector::from(tls.config());
    connector.connect(name, stream).await.map_err(fault)
}

/// Looks at a socket that somebody else reads.
#[derive(Debug)]
pub struct Watch(std::net::TcpStream);

impl Watch {
    /// Watches `stream`, with which it shares the mode in which nothing waits.
    ///
    /// # Errors
    ///
    /// The system has no descriptor left.
    pub fn new(stream: &TcpStream) -> io::Result<Self> {
        Ok(Self(stream.as_fd().try_clone_to_owned()?.into()))
    }

    /// Returns whether the peer has closed the connection, as far as is known.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match self.0.peek(&mut [0]) {
            Ok(bytes) => bytes == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Returns whether there is nothing to be read: no byte, and no end.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        let peeked = self.0.peek(&mut [0]);
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}
