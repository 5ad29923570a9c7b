//! The WebSocket protocol (RFC 6455) and its compression (RFC 7692): bytes in, events out.
//!
//! ```text
//! handshake   request fields ─▶ checked offer ─▶ 101
//! frames      bytes of a peer ─▶ messages, pings, pongs, closes, or the rule that was broken
//! encoder     payload ─▶ frame; server frames are not masked, so all peers share one
//! hixie76     the same as of 2010, for old browsers
//! deflate     the negotiated compression, in both directions
//! ```
//!
//! Nothing here reads a socket or interprets messages.

pub mod close;
pub mod deflate;
pub mod encoder;
pub mod frames;
pub mod handshake;
pub mod hixie76;
mod utf8;

/// The maximum payload of a ping, a pong or a close, in bytes; RFC 6455, 5.5.
pub const CONTROL_BYTES_MAX: usize = 125;

/// The kind of a frame; RFC 6455, 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Another fragment of a message.
    Continuation,
    /// A text message, or its first fragment.
    Text,
    /// A binary message, or its first fragment.
    Binary,
    /// The last frame that this peer sends.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping, or is sent unasked.
    Pong,
}

impl Opcode {
    /// Returns the opcode with these four bits, if there is one.
    pub fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    /// Returns the four bits.
    pub fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    /// Returns whether this is a control frame: short, never fragmented, and allowed between the
    /// fragments of a message.
    pub fn is_control(self) -> bool {
        match self {
            Self::Close | Self::Ping | Self::Pong => true,
            Self::Continuation | Self::Text | Self::Binary => false,
        }
    }
}
