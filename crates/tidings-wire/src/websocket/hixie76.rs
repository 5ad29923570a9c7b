//! The WebSocket of Safari 5 and Chrome 6 to 13: `draft-hixie-thewebsocketprotocol-76`, of 2010.
//!
//! ```text
//! request with two keys ─▶ 101 ─▶ eight bytes ─▶ sixteen bytes ─▶ texts between 0x00 and 0xff
//! ```

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes that the peer sends after the head of its request.
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
    /// Reads `Sec-WebSocket-Key1` and `Sec-WebSocket-Key2`: the digits of each, divided by its
    /// number of spaces. `None` if one is not such a number.
    ///
    /// draft-hixie-thewebsocketprotocol-76, 5.2.
    pub fn parse(first: &str, second: &str) -> Option<Self> {
        Some(Self {
            first: number(first)?,
            second: number(second)?,
        })
    }

    /// Returns the proof that the server understood the request that came with `nonce`.
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

/// Returns the head of the response. `location` is the WebSocket's URL. Both are values of fields
/// that hyper has accepted.
pub fn response_head(origin: &str, location: &str) -> String {
    format!(
        "HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Origin: {origin}\r\nSec-WebSocket-Location: {location}\r\n\r\n"
    )
}

/// Returns a text in its frame. UTF-8 never contains the byte that ends the frame.
pub fn text(text: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(text.len() + 2);
    frame.put_u8(TEXT_START);
    frame.extend_from_slice(text);
    frame.put_u8(TEXT_END);
    frame.freeze()
}

/// A decoded text or close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A text message.
    Text(String),
    /// The peer closes the connection.
    Close,
}

/// The rule that a peer broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A binary frame; the draft defines only its form.
    #[error("a frame that is not a text")]
    NotText,
    /// The text is not UTF-8.
    #[error("a text that is not UTF-8")]
    NotUtf8,
    /// The text exceeds the limit.
    #[error("a text of more than {max} bytes")]
    TooLong {
        /// The limit.
        max: usize,
    },
}

/// Decodes the frames of a peer from chunks of any size.
#[derive(Debug)]
pub struct Decoder {
    bytes_max: usize,
    /// The text that is arriving.
    text: Option<Vec<u8>>,
    closing: bool,
}

impl Decoder {
    /// Starts between two frames. A text may have up to `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            text: None,
            closing: false,
        }
    }

    /// Returns the bytes of memory of the text that is arriving.
    pub fn held_bytes(&self) -> usize {
        self.text.as_ref().map_or(0, Vec::capacity)
    }

    /// Returns the next event, or `None` if it is not complete. Removes the bytes that it reads
    /// from `input`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] names the rule that the peer broke.
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
