//! Opens listeners. Replaces `[::]` on a machine without IPv6, and explains why the system refuses an address.

pub(crate) mod inherited;

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;

/// Maximum number of connections that the kernel queues for one listener of the hub.
pub(crate) const BACKLOG: i32 = 4096;

/// Why nothing can listen on an address.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}{}", advice(*.address, .source))]
pub(crate) struct BindError {
    address: SocketAddr,
    source: io::Error,
}

impl BindError {
    /// Returns whether another program has the port.
    pub(crate) fn is_taken(&self) -> bool {
        self.source.kind() == ErrorKind::AddrInUse
    }
}

/// Opens a listener on `address` with `bind`. If the machine has no IPv6, every IPv4 address replaces `[::]`, and
/// the log says so.
///
/// # Errors
///
/// The system's error, with an explanation.
pub(crate) fn open<T>(
    address: SocketAddr,
    bind: impl Fn(SocketAddr) -> io::Result<T>,
) -> Result<T, BindError> {
    let refused = match bind(address) {
        Ok(listener) => return Ok(listener),
        Err(error) => error,
    };
    if address.ip() != IpAddr::V6(Ipv6Addr::UNSPECIFIED) || !lacks_ipv6(&refused) {
        return Err(BindError {
            address,
            source: refused,
        });
    }
    let instead = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    match bind(instead) {
        Ok(listener) => {
            tracing::warn!(
                %address, %instead, reason = %refused,
                "this machine has no IPv6: listening on its IPv4 addresses alone"
            );
            Ok(listener)
        }
        Err(source) => Err(BindError {
            address: instead,
            source,
        }),
    }
}

/// Returns whether a refusal of `[::]` means that there is no IPv6: the kernel lacks it, or it is switched off.
fn lacks_ipv6(error: &io::Error) -> bool {
    error.kind() == ErrorKind::AddrNotAvailable
        || Errno::from_io_error(error) == Some(Errno::AFNOSUPPORT)
}

/// Returns the explanation of a refusal, to follow the address.
fn advice(address: SocketAddr, error: &io::Error) -> &'static str {
    if Errno::from_io_error(error) == Some(Errno::AFNOSUPPORT) {
        return "; this machine has no IPv6: write an IPv4 address";
    }
    match (error.kind(), address) {
        (ErrorKind::AddrInUse, _) => "; is another program using this port?",
        (ErrorKind::PermissionDenied, _) => {
            "; ports below 1024 need root or the capability CAP_NET_BIND_SERVICE"
        }
        (ErrorKind::AddrNotAvailable, SocketAddr::V4(_)) => {
            "; no interface of this machine has the address"
        }
        (ErrorKind::AddrNotAvailable, SocketAddr::V6(_)) => {
            "; no interface of this machine has the address, or IPv6 is switched off"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests;
