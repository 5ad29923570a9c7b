//! Frames: flags, length, body. ZMTP 3.1, "Framing".

use super::ProtocolError;

/// Another part of the same message follows.
pub(super) const MORE: u8 = 0x01;
/// The length has eight bytes instead of one.
pub(super) const LONG: u8 = 0x02;
/// The body is a command.
pub(super) const COMMAND: u8 = 0x04;

/// The bytes before a frame's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) flags: u8,
    /// Bytes of the header itself: 2 or 9.
    pub(super) len: usize,
    /// Bytes of the body, as announced by the peer.
    pub(super) body: u64,
}

impl Header {
    /// Parses a header, if `bytes` contain a complete one.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, ProtocolError> {
        let Some(&flags) = bytes.first() else {
            return Ok(None);
        };
        if flags & !(MORE | LONG | COMMAND) != 0 || flags & (MORE | COMMAND) == MORE | COMMAND {
            return Err(ProtocolError::Flags { flags });
        }
        if flags & LONG == 0 {
            return Ok(bytes.get(1).map(|&body| Self {
                flags,
                len: 2,
                body: body.into(),
            }));
        }
        let body = bytes.get(1..9).and_then(|body| body.try_into().ok());
        Ok(body.map(|body| Self {
            flags,
            len: 9,
            body: u64::from_be_bytes(body),
        }))
    }
}

/// Appends one message of these parts to `out`. Without parts it appends nothing.
pub fn encode_message(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let Some((last, before)) = parts.split_last() else {
        return;
    };
    for part in before {
        encode_frame(out, MORE, part);
    }
    encode_frame(out, 0, last);
}

/// Returns the length of the header of a part whose body has `body` bytes.
#[must_use]
pub const fn header_len(body: usize) -> usize {
    if body > 255 { 9 } else { 2 }
}

pub(super) fn encode_frame(out: &mut Vec<u8>, flags: u8, body: &[u8]) {
    match u8::try_from(body.len()) {
        Ok(len) => out.extend_from_slice(&[flags, len]),
        Err(_long) => {
            out.push(flags | LONG);
            out.extend_from_slice(&(body.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(body);
}

/// Iterates over the parts of one encoded message from the decoder.
pub fn parts(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = message;
    std::iter::from_fn(move || {
        let header = Header::read(rest).ok()??;
        let body = usize::try_from(header.body).ok()?;
        let part = rest.get(header.len..header.len.checked_add(body)?)?;
        rest = rest.get(header.len + body..)?;
        Some(part)
    })
}
