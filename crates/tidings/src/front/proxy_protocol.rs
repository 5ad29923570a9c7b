//! Reads the PROXY protocol header that a proxy sends first on a connection, before TLS.

use std::io;
use std::time::Duration;

use tidings_wire::proxy_protocol::{ProxyError, Source, Step, decode};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Why a connection has no header.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderError {
    #[error("the header did not arrive in time")]
    Timeout,
    #[error(transparent)]
    Malformed(#[from] ProxyError),
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the peer closed the connection before the header was complete")]
    Incomplete,
    /// A probe of the port: nothing is wrong with it.
    #[error("the peer sent nothing")]
    Empty,
}

impl HeaderError {
    /// Returns the label in metrics, if it counts as a failure.
    pub(super) fn name(&self) -> Option<&'static str> {
        match self {
            Self::Timeout => Some("proxy_header_timeout"),
            Self::Malformed(_) | Self::Incomplete => Some("proxy_header"),
            Self::Io(_) => Some("io"),
            Self::Empty => None,
        }
    }
}

/// Reads the header, and nothing of what follows it.
///
/// # Errors
///
/// There is none, or it took longer than `within`.
pub(super) async fn read(socket: &mut TcpStream, within: Duration) -> Result<Source, HeaderError> {
    let header = async {
        let mut bytes = Vec::new();
        loop {
            let needed = match decode(&bytes)? {
                Step::Complete(source) => return Ok(source),
                Step::Needs(needed) => needed,
            };
            let known = bytes.len();
            let mut next = (&mut *socket).take(needed as u64);
            match next.read_buf(&mut bytes).await? {
                0 if known == 0 => return Err(HeaderError::Empty),
                0 => return Err(HeaderError::Incomplete),
                _ => {}
            }
        }
    };
    match timeout(within, header).await {
        Ok(result) => result,
        Err(_elapsed) => Err(HeaderError::Timeout),
    }
}
