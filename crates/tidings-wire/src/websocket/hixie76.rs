//! The WebSocket of Safari 5 and Chrome 6 to 13: `draft-hixie-thewebsocketprotocol-76`, of 2010.
//!
//! ```text
//! request with two keys ─▶ 101 ─▶ eight bytes ─▶ sixteen bytes ─▶ texts between 0x00 and 0xff
//! ```

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes that the peer sends behind the head of its request.
pub const NONCE_BYTES: usize = 8;
/// Ends the connection; draft-hixie-thewebsocketprotocol-76, 5.3.
pub const CLOSE: &[u8] = &[0xff, 0x00];

const TEXT_START: u8 = 0x00;
const TEXT_END: u8 = 0xff;

/// The two keys of a request, as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    first: u32,
    second: u32,
}

impl Keys {
    /// Reads `Sec-WebSocket-Key1` and `Sec-WebSocket-Key2`: the digits of each, divided by the number
    /// of its spaces. `None` if one is not such a number.
    ///
    /// draft-hixie-thewebsocketprotocol-76, 5.2.
    pub fn parse(first: &str, second: &str) -> Option<Self> {
        Some(Self {
            first: number(first)?,
            second: number(second)?,
        })
    }

    /// Returns the proof that a server understood the request, which `nonce` belongs to.
    pub fn answer(self, nonce: [u8; NONCE_BYTES]) -> [u8; 16] {
        let mut context = md5::Context::new();
        context.consume(self.first.to_be_bytes());
        context.consume(self.second.to_be_bytes());
        context.consume(nonce);
        context.finalize().0
    }
}

fn number(key: &str) -> Option<u32> {
    let digits: String = key.chars().filter(char::is_ascii_digit).collect();
    let spaces = u64::try_from(key.matches(' ').count()).ok()?;
    let digits: u64 = digits.parse().ok()?;
    if spaces == 0 || !digits.is_multiple_of(spaces) {
        return None;
    }
    u32::try_from(digits / spaces).ok()
}

/// Returns the head of the answer. `location` is the WebSocket's URL; both are values of fields that
/// hyper has accepted.
pub fn response_head(origin: &str, location: &str) -> String {
    format!(
        "HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Origin: {origin}\r\nSec-WebSocket-Location: {location}\r\n\r\n"
    )
}

/// Returns a text in its frame. UTF-8 never holds the byte that ends it.
pub fn text(text: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(text.len() + 2);
    frame.put_u8(TEXT_START);
    frame.extend_from_slice(text);
    frame.put_u8(TEXT_END);
    frame.freeze()
}

/// What a peer sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A text.
    Text(String),
    /// It ends the connection.
    Close,
}

/// Which rule a peer broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A frame of bytes, of which the draft gave only the form.
    #[error("a frame that is not a text")]
    NotText,
    /// A text that is not UTF-8.
    #[error("a text that is not UTF-8")]
    NotUtf8,
    /// A text that is longer than allowed.
    #[error("a text of more than {max} bytes")]
    TooLong {
        /// How long it may be.
        max: usize,
    },
}

/// Reads frames of a peer, however they are cut.
#[derive(Debug)]
pub struct Decoder {
    bytes_max: usize,
    /// The text that has begun.
    text: Option<Vec<u8>>,
    closing: bool,
}

impl Decoder {
    /// Starts between two frames. No text may have more than `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            text: None,
            closing: false,
        }
    }

    /// Returns the bytes of memory that a text takes whose end has not come.
    pub fn held_bytes(&self) -> usize {
        self.text.as_ref().map_or(0, Vec::capacity)
    }

    /// Returns the next event, or nothing until more bytes are there; takes what it reads from
    /// `input`.
    ///
    /// # Errors
    ///
    /// The rule that the peer broke.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Event>, DecodeError> {
        while let Some((&byte, rest)) = input.split_first() {
            if let Some(text) = &mut self.text {
                let end = memchr::memchr(TEXT_END, input);
                let (part, rest) = input
                    .split_at_checked(end.unwrap_or(input.len()))
                    .unwrap_or_default();
                if text.len() + part.len() > self.bytes_max {
                    let max = self.bytes_max;
                    return Err(DecodeError::TooLong { max });
                }
                text.extend_from_slice(part);
                *input = rest.get(1..).unwrap_or_default();
                if end.is_none() {
                    return Ok(None);
                }
                let text = self.text.take().unwrap_or_default();
                let text = String::from_utf8(text).map_err(|_invalid| DecodeError::NotUtf8)?;
                return Ok(Some(Event::Text(text)));
            }
            *input = rest;
            match (self.closing, byte) {
                (true, 0) => return Ok(Some(Event::Close)),
                (false, TEXT_START) => self.text = Some(Vec::new()),
                (false, TEXT_END) => self.closing = true,
                (true | false, _) => return Err(DecodeError::NotText),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
