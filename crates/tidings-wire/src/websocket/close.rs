//! Close codes and reasons (RFC 6455, 7.4).

use super::CONTROL_BYTES_MAX;

/// A code that may stand in a close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server goes down, or the page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// A kind of payload that this end does not accept, such as binary.
    pub const UNSUPPORTED: Self = Self(1003);
    /// A text that is not UTF-8, or compressed data that is not.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// The peer may not do this.
    pub const POLICY: Self = Self(1008);
    /// More than this end takes at once.
    pub const TOO_BIG: Self = Self(1009);
    /// Something failed at this end.
    pub const INTERNAL: Self = Self(1011);
    /// The server is restarting: come back.
    pub const RESTART: Self = Self(1012);
    /// The server has too much to do: come back later.
    pub const TRY_LATER: Self = Self(1013);

    /// Returns the code, if a peer may send it: a registered one, or one for libraries and
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

/// What a peer said when it closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// Why.
    pub code: CloseCode,
    /// For people; at most 123 bytes.
    pub reason: Box<str>,
}

/// Returns the payload of a close frame; a reason that is too long is cut between two characters.
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
