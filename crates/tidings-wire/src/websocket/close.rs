//! Close codes and reasons (RFC 6455, 7.4).

use super::CONTROL_BYTES_MAX;

/// A code that is allowed in a close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server shuts down, or the browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// The receiver does not accept this kind of payload, such as binary.
    pub const UNSUPPORTED: Self = Self(1003);
    /// A text is not UTF-8, or compressed data is invalid.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// The peer is not allowed to do this.
    pub const POLICY: Self = Self(1008);
    /// A message is larger than the receiver accepts.
    pub const TOO_BIG: Self = Self(1009);
    /// The server failed.
    pub const INTERNAL: Self = Self(1011);
    /// The server restarts: reconnect.
    pub const RESTART: Self = Self(1012);
    /// The server is overloaded: reconnect later.
    pub const TRY_LATER: Self = Self(1013);

    /// Returns the code if a peer may send it: a registered code, or one for libraries and
    /// applications (3000 to 4999). RFC 6455, 7.4.1 and 7.4.2, and the IANA registry.
    pub fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// Returns the number.
    pub fn get(self) -> u16 {
        self.0
    }
}

/// The content of a peer's close frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// Why.
    pub code: CloseCode,
    /// A text for people; at most 123 bytes.
    pub reason: Box<str>,
}

/// Returns the payload of a close frame. A reason that is too long is cut between two characters.
pub fn payload(code: CloseCode, reason: &str) -> Vec<u8> {
    let mut len = reason.len().min(CONTROL_BYTES_MAX - 2);
    while !reason.is_char_boundary(len) {
        len -= 1;
    }
    let mut payload = Vec::with_capacity(2 + len);
    payload.extend_from_slice(&code.get().to_be_bytes());
    payload.extend_from_slice(reason.as_bytes().get(..len).unwrap_or_default());
    payload
}
