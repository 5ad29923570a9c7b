//! Writes frames. A server's frames are not masked, so that one frame serves all its peers.

use bytes::Bytes;

use super::Opcode;
use super::close::{self, CloseCode};

/// Whether a payload is compressed; RFC 7692, 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not compressed.
    Plain,
    /// Compressed.
    Deflated,
}

/// Returns one complete server frame.
pub fn frame(opcode: Opcode, packing: Packing, payload: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(payload.len() + 10);
    append_head(&mut frame, opcode, packing, payload.len(), 0);
    frame.extend_from_slice(payload);
    frame.into()
}

/// Returns a text message as one server frame.
pub fn text(text: &str) -> Bytes {
    frame(Opcode::Text, Packing::Plain, text.as_bytes())
}

/// Returns the payloads of complete, uncompressed server frames that [`frame`] wrote. They share
/// the bytes.
pub fn payloads(mut frames: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let (head, len) = match *frames.get(1)? {
            126 => (
                4,
                u64::from(u16::from_be_bytes(*frames.get(2..)?.first_chunk()?)),
            ),
            127 => (10, u64::from_be_bytes(*frames.get(2..)?.first_chunk()?)),
            len => (2, u64::from(len)),
        };
        let end = usize::try_from(len).ok()?.checked_add(head)?;
        let whole = frames.len() >= end;
        whole.then(|| frames.split_to(end).slice(head..))
    })
}

/// Returns the close frame of the server.
pub fn close(code: CloseCode, reason: &str) -> Bytes {
    let payload = close::payload(code, reason);
    frame(Opcode::Close, Packing::Plain, &payload)
}

/// Returns one complete client frame, masked with `key`; RFC 6455, 5.3.
pub fn masked_frame(opcode: Opcode, packing: Packing, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 14);
    append_head(&mut frame, opcode, packing, payload.len(), MASKED);
    frame.extend_from_slice(&key);
    let masked = payload.iter().zip(key.iter().cycle());
    frame.extend(masked.map(|(byte, key)| byte ^ key));
    frame
}

const FINAL: u8 = 0x80;
const DEFLATED: u8 = 0x40;
const MASKED: u8 = 0x80;

fn append_head(out: &mut Vec<u8>, opcode: Opcode, packing: Packing, len: usize, masked: u8) {
    let packed = match packing {
        Packing::Plain => 0,
        Packing::Deflated => DEFLATED,
    };
    out.push(FINAL | packed | opcode.bits());
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ 0..=125), _) => out.push(masked | len),
        (_, Ok(len)) => {
            out.push(masked | 126);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_of_every_length_come_back() {
        let wanted: Vec<String> = [0, 1, 125, 126, 65_535, 65_536]
            .map(|len| "x".repeat(len))
            .to_vec();
        let frames: Vec<u8> = wanted.iter().flat_map(|payload| text(payload)).collect();
        let found: Vec<Bytes> = payloads(frames.clone().into()).collect();
        assert_eq!(found, wanted);
        let cut = payloads(Bytes::from(frames).slice(..300));
        assert_eq!(cut.count(), 4, "what is not whole does not count");
    }
}
