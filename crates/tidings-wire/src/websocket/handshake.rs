//! The opening handshake: request and response (RFC 6455, 4).
//!
//! Paths, origins and tokens are checked elsewhere.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::deflate::Agreement;

/// The version of the protocol; RFC 6455, 4.1.
pub const VERSION: &str = "13";
/// The constant by which a server proves that it understood the request; RFC 6455, 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The fields of a request that concern WebSocket, each with all of its values.
#[derive(Clone, Debug, Default)]
pub struct RequestFields<'a> {
    /// `Upgrade`.
    pub upgrade: Vec<&'a str>,
    /// `Connection`.
    pub connection: Vec<&'a str>,
    /// `Sec-WebSocket-Key`.
    pub key: Vec<&'a str>,
    /// `Sec-WebSocket-Version`.
    pub version: Vec<&'a str>,
}

/// Why a request does not open a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// There is no `Upgrade: websocket`.
    #[error("the request does not ask for an upgrade to websocket")]
    NoUpgrade,
    /// There is no `Connection: Upgrade`.
    #[error("the Connection field does not name Upgrade")]
    NoConnectionUpgrade,
    /// The version is not 13, or missing.
    #[error("Sec-WebSocket-Version is not 13")]
    Version,
    /// The key is not one value of sixteen bytes in base64.
    #[error("Sec-WebSocket-Key is not sixteen bytes in base64")]
    Key,
}

impl RequestFields<'_> {
    /// Returns whether the request asks for a WebSocket at all; RFC 9110, 7.8.
    pub fn asks_for_websocket(&self) -> bool {
        has_element(&self.upgrade, "websocket")
    }

    /// Checks the request and returns the value of `Sec-WebSocket-Accept`; RFC 6455, 4.2.1.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`] names the first rule that the request breaks.
    pub fn accept(&self) -> Result<String, HandshakeError> {
        if !self.asks_for_websocket() {
            return Err(HandshakeError::NoUpgrade);
        }
        if !has_element(&self.connection, "upgrade") {
            return Err(HandshakeError::NoConnectionUpgrade);
        }
        check_version(&self.version)?;
        match self.key.as_slice() {
            [key] if is_key(key.trim()) => Ok(accept_for(key.trim())),
            _ => Err(HandshakeError::Key),
        }
    }
}

/// Checks the values of `Sec-WebSocket-Version`, which HTTP/2 has too (RFC 8441, 5).
///
/// # Errors
///
/// [`HandshakeError::Version`] if the version is missing or not supported.
pub fn check_version(values: &[&str]) -> Result<(), HandshakeError> {
    match values {
        [version] if version.trim() == VERSION => Ok(()),
        _ => Err(HandshakeError::Version),
    }
}

/// Returns the value of `Sec-WebSocket-Accept` for a key; RFC 6455, 4.2.2.
pub fn accept_for(key: &str) -> String {
    let mut sha1 = sha1_smol::Sha1::new();
    sha1.update(key.as_bytes());
    sha1.update(GUID.as_bytes());
    STANDARD.encode(sha1.digest().bytes())
}

/// Returns the first sub-protocol of `values`, in the peer's order of preference, that is in
/// `supported`.
pub fn choose_protocol<'a>(
    values: impl IntoIterator<Item = &'a str>,
    supported: &[impl AsRef<str>],
) -> Option<&'a str> {
    values
        .into_iter()
        .flat_map(elements)
        .find(|offered| supported.iter().any(|known| known.as_ref() == *offered))
}

/// Returns the head of the response that opens a WebSocket over HTTP/1.1.
///
/// `Connection` is `Upgrade` alone: the Flash client of old browsers accepts no other value.
pub fn response_head(accept: &str, protocol: Option<&str>, agreed: Option<&Agreement>) -> Vec<u8> {
    let mut head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n"
    );
    // The value comes from the operator's own list, whose entries are tokens.
    if let Some(protocol) = protocol {
        head.push_str(&format!("Sec-WebSocket-Protocol: {protocol}\r\n"));
    }
    if let Some(agreed) = agreed {
        head.push_str(&format!(
            "Sec-WebSocket-Extensions: {}\r\n",
            agreed.answer()
        ));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// Splits the value of a list field; RFC 9110, 5.6.1. No accepted element contains a comma in
/// quotes, so an element that does is simply unknown.
pub(super) fn elements(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|element| !element.is_empty())
}

fn has_element(values: &[&str], wanted: &str) -> bool {
    values
        .iter()
        .flat_map(|value| elements(value))
        .any(|element| element.eq_ignore_ascii_case(wanted))
}

fn is_key(key: &str) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

#[cfg(test)]
mod tests;
