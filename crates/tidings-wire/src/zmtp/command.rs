//! Commands: a name and its data. ZMTP 3.1, "Commands".

use super::frame::{COMMAND, encode_frame};
use super::{PING_CONTEXT_BYTES_MAX, ProtocolError};

/// A command after the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// The peer subscribes to messages that begin with this prefix.
    Subscribe(&'a [u8]),
    /// The peer cancels its subscription to this prefix.
    Cancel(&'a [u8]),
    /// The peer asks for a PONG with this context.
    Ping {
        /// The context, which the PONG repeats.
        context: &'a [u8],
    },
    /// The peer answers a PING.
    Pong,
    /// The peer ends the connection for this reason.
    Error(&'a [u8]),
    /// An unknown command, which the standard says to ignore.
    Other,
}

impl<'a> Command<'a> {
    /// Parses the body of a command frame.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::Command`] if it is not a command.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, ProtocolError> {
        let (name, rest) = split(body)?;
        Ok(match name {
            b"SUBSCRIBE" => Self::Subscribe(rest),
            b"CANCEL" => Self::Cancel(rest),
            b"PING" => {
                let context = rest.get(2..).ok_or(ProtocolError::Command)?;
                if context.len() > PING_CONTEXT_BYTES_MAX {
                    return Err(ProtocolError::Command);
                }
                Self::Ping { context }
            }
            b"PONG" => Self::Pong,
            b"ERROR" => {
                let reason = rest.split_first().map_or(rest, |(_, reason)| reason);
                Self::Error(reason)
            }
            _ => Self::Other,
        })
    }
}

/// Splits a command's body into its name and the rest.
pub(super) fn split(body: &[u8]) -> Result<(&[u8], &[u8]), ProtocolError> {
    let (&len, rest) = body.split_first().ok_or(ProtocolError::Command)?;
    rest.split_at_checked(len.into())
        .filter(|(name, _)| !name.is_empty())
        .ok_or(ProtocolError::Command)
}

/// Appends a command to `out`.
pub(super) fn encode(out: &mut Vec<u8>, name: &str, rest: &[&[u8]]) {
    let len = u8::try_from(name.len()).unwrap_or(u8::MAX);
    let mut body = vec![len];
    body.extend_from_slice(name.as_bytes());
    rest.iter().for_each(|part| body.extend_from_slice(part));
    encode_frame(out, COMMAND, &body);
}

/// Appends a subscription to messages that begin with `prefix`, in the form for the peer's minor
/// version: a command since 3.1, a message before.
pub fn encode_subscribe(out: &mut Vec<u8>, prefix: &[u8], minor: u8) {
    if minor == 0 {
        encode_frame(out, 0, &[&[1], prefix].concat());
    } else {
        encode(out, "SUBSCRIBE", &[prefix]);
    }
}

/// Appends the end of a subscription, in the form for the peer's minor version.
pub fn encode_cancel(out: &mut Vec<u8>, prefix: &[u8], minor: u8) {
    if minor == 0 {
        encode_frame(out, 0, &[&[0], prefix].concat());
    } else {
        encode(out, "CANCEL", &[prefix]);
    }
}

/// Appends a PING. The peer may consider the connection dead after `ttl_tenths` tenths of a second
/// without another one.
pub fn encode_ping(out: &mut Vec<u8>, ttl_tenths: u16) {
    encode(out, "PING", &[&ttl_tenths.to_be_bytes()]);
}

/// Appends the answer to a PING.
pub fn encode_pong(out: &mut Vec<u8>, context: &[u8]) {
    encode(out, "PONG", &[context]);
}

/// Appends an ERROR with the reason why the connection ends. Only the first 255 bytes of the reason
/// are sent.
pub fn encode_error(out: &mut Vec<u8>, reason: &str) {
    let reason = reason.as_bytes();
    let len = u8::try_from(reason.len()).unwrap_or(u8::MAX);
    let reason = reason.get(..len.into()).unwrap_or(reason);
    encode(out, "ERROR", &[&[len], reason]);
}
