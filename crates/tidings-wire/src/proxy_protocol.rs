//! The header of the PROXY protocol, versions 1 (a line of text) and 2 (binary): a proxy sends it first on each
//! connection, before TLS, and names the address of the client.
//!
//! "The PROXY protocol, Versions 1 & 2", 2020/03/05. Destination addresses and the fields after the addresses
//! (TLVs) are skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The longest line of version 1, with its end; 2.1.
pub const LINE_BYTES_MAX: usize = 107;
/// The longest header of version 2 that is accepted. Some load balancers append names and certificates.
pub const BINARY_BYTES_MAX: usize = 4096;

/// No header of either version is shorter: `PROXY UNKNOWN` and its line end.
const SHORTEST: usize = 15;
/// The first bytes of version 2; 2.2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of version 2 before the addresses.
const FIXED_BYTES: usize = 16;
/// The first bytes of version 1.
const LINE_START: &[u8] = b"PROXY ";
const LINE_END: &[u8] = b"\r\n";

/// Whom a header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The client.
    Client(SocketAddr),
    /// Nobody: the proxy itself connects, as for a health check, or it does not know.
    Proxy,
}

/// What the bytes so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The beginning of a header. At least this many further bytes belong to it, so they can be read without
    /// reading what follows it.
    Needs(usize),
    /// A complete header.
    Complete(Source),
}

/// Why bytes are not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// They begin like neither version.
    #[error("the first bytes are not a PROXY protocol header")]
    NoHeader,
    /// The line of version 1 has no end within its bound.
    #[error("the line is longer than {LINE_BYTES_MAX} bytes")]
    LineTooLong,
    /// The line names no family that the protocol knows.
    #[error("the line names neither TCP4, TCP6 nor UNKNOWN")]
    LineFamily,
    /// The line's addresses or ports are not as its family requires.
    #[error("the line does not have two addresses of its family and two ports")]
    LineAddresses,
    /// The version in the binary header is not 2, or its command is unknown.
    #[error("version and command {0:#04x} are unknown")]
    Command(u8),
    /// The family is unknown, or its protocol is not a stream.
    #[error("family and protocol {0:#04x} are unknown, or not a stream")]
    Family(u8),
    /// The length has no room for the addresses of the family.
    #[error("{length} bytes are too few for the addresses of family {family:#04x}")]
    TooShort {
        /// The family and protocol.
        family: u8,
        /// The announced length.
        length: usize,
    },
    /// The header is longer than the hub accepts.
    #[error("the header has {0} bytes, more than {BINARY_BYTES_MAX}")]
    TooLong(usize),
}

/// Reads the header that `bytes` begin with. Bytes after a complete header are ignored.
///
/// # Errors
///
/// They do not begin with a header; a connection that sends it is of no use.
pub fn decode(bytes: &[u8]) -> Result<Step, ProxyError> {
    let starts_as = |start: &[u8]| bytes.iter().zip(start).all(|(byte, wanted)| byte == wanted);
    if starts_as(SIGNATURE) {
        decode_binary(bytes)
    } else if starts_as(LINE_START) {
        decode_line(bytes)
    } else {
        Err(ProxyError::NoHeader)
    }
}

/// 2.1, "Human-readable header format (Version 1)".
fn decode_line(bytes: &[u8]) -> Result<Step, ProxyError> {
    let within = bytes.get(..LINE_BYTES_MAX).unwrap_or(bytes);
    let end = within
        .windows(LINE_END.len())
        .position(|pair| pair == LINE_END);
    let Some(end) = end else {
        if bytes.len() >= LINE_BYTES_MAX {
            return Err(ProxyError::LineTooLong);
        }
        let ending = if bytes.ends_with(b"\r") { 1 } else { 2 };
        return Ok(Step::Needs(
            SHORTEST.saturating_sub(bytes.len()).max(ending),
        ));
    };
    let line = within.get(LINE_START.len()..end).unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_not_utf8| ProxyError::LineAddresses)?;
    let mut words = line.split(' ');
    let source = match words.next() {
        // The rest of such a line is ignored.
        Some("UNKNOWN") => return Ok(Step::Complete(Source::Proxy)),
        Some("TCP4") => addresses::<Ipv4Addr>(words),
        Some("TCP6") => addresses::<Ipv6Addr>(words),
        _ => return Err(ProxyError::LineFamily),
    };
    let source = source.ok_or(ProxyError::LineAddresses)?;
    Ok(Step::Complete(Source::Client(source)))
}

/// Returns the source of a line: source, destination, and their ports.
fn addresses<A: FromStr + Into<IpAddr>>(
    mut words: std::str::Split<'_, char>,
) -> Option<SocketAddr> {
    let mut address = || words.next()?.parse::<A>().ok().map(Into::into);
    let (source, _destination): (IpAddr, IpAddr) = (address()?, address()?);
    let mut port = || number(words.next()?);
    let (source_port, _destination_port) = (port()?, port()?);
    words
        .next()
        .is_none()
        .then(|| SocketAddr::new(source, source_port))
}

/// A port: decimal digits without a sign or a zero in front.
fn number(word: &str) -> Option<u16> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = word == "0" || !word.starts_with('0');
    word.parse().ok().filter(|_| plain && canonical)
}

/// 2.2, "Binary header format (version 2)".
fn decode_binary(bytes: &[u8]) -> Result<Step, ProxyError> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_BYTES>() else {
        let wanted = if bytes.len() < SHORTEST {
            SHORTEST
        } else {
            FIXED_BYTES
        };
        return Ok(Step::Needs(wanted - bytes.len()));
    };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if !matches!(command, 0x20 | 0x21) {
        return Err(ProxyError::Command(command));
    }
    if FIXED_BYTES + length > BINARY_BYTES_MAX {
        return Err(ProxyError::TooLong(FIXED_BYTES + length));
    }
    let Some(body) = rest.get(..length) else {
        return Ok(Step::Needs(length - rest.len()));
    };
    // LOCAL: whatever follows is ignored.
    if command == 0x20 {
        return Ok(Step::Complete(Source::Proxy));
    }
    let too_short = ProxyError::TooShort { family, length };
    let source = match family {
        // Unspecified, and a socket of the proxy's own machine.
        0x00 | 0x31 => Source::Proxy,
        0x11 => Source::Client(binary_source::<4, 12>(body, u32_address).ok_or(too_short)?),
        0x21 => Source::Client(binary_source::<16, 36>(body, u128_address).ok_or(too_short)?),
        _ => return Err(ProxyError::Family(family)),
    };
    Ok(Step::Complete(source))
}

/// Returns the source of a block of two addresses of `N` bytes and two ports, `ALL` bytes in all.
fn binary_source<const N: usize, const ALL: usize>(
    body: &[u8],
    address: fn([u8; N]) -> IpAddr,
) -> Option<SocketAddr> {
    let block = body.first_chunk::<ALL>()?;
    let source = block.first_chunk::<N>()?;
    let port = block.get(2 * N..)?.first_chunk()?;
    Some(SocketAddr::new(address(*source), u16::from_be_bytes(*port)))
}

fn u32_address(bytes: [u8; 4]) -> IpAddr {
    bytes.into()
}

fn u128_address(bytes: [u8; 16]) -> IpAddr {
    bytes.into()
}

#[cfg(test)]
mod tests;
