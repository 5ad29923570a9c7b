//! One event, encoded once for all its subscribers.
//!
//! HTTP/1.1 subscribers receive it as a chunk, HTTP/2 subscribers and others as the event alone;
//! both are parts of one allocation.

use bytes::Bytes;

use crate::sse::{EventFields, encode_event, encode_retry, event_len};

/// [`KEEP_ALIVE`](crate::sse::KEEP_ALIVE) as a chunk.
pub const KEEP_ALIVE_CHUNK: &[u8] = b"2\r\n:\n\r\n";

/// The chunk that ends a body without trailers. RFC 9112, 7.1.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The bytes of one event. Cloning shares them.
///
/// ```text
/// 2f CR LF  event: ...  id: ...  data: ... LF LF  CR LF
/// |         '------------- event -------------'       |
/// '---------------------- chunk ----------------------'
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    chunk: Bytes,
    event_start: usize,
}

impl Frame {
    /// Encodes `event` in one allocation of the exact size.
    pub fn encode(event: EventFields<'_>) -> Self {
        Self::build(event_len(event), |out| encode_event(out, event))
    }

    /// Returns a frame that sets the reconnection time to `ms` milliseconds and dispatches no
    /// event.
    ///
    /// WHATWG HTML, "Parsing an event stream".
    pub fn retry(ms: u64) -> Self {
        let mut retry = Vec::new();
        encode_retry(&mut retry, ms);
        Self::build(retry.len(), |out| out.extend_from_slice(&retry))
    }

    /// Returns the event as a chunk of an HTTP/1.1 body. RFC 9112, 7.1.
    pub fn chunk(&self) -> &Bytes {
        &self.chunk
    }

    /// Returns the event alone, sharing the bytes of the chunk.
    pub fn event(&self) -> Bytes {
        self.chunk
            .slice(self.event_start..self.chunk.len() - CRLF.len())
    }

    /// Returns the length of the event alone, in bytes.
    pub fn event_len(&self) -> usize {
        self.chunk.len() - CRLF.len() - self.event_start
    }

    fn build(event_len: usize, append_event: impl FnOnce(&mut Vec<u8>)) -> Self {
        let size_len = hex_len(event_len);
        let mut chunk = Vec::with_capacity(size_len + event_len + 2 * CRLF.len());
        append_hex(&mut chunk, event_len, size_len);
        chunk.extend_from_slice(CRLF);
        let event_start = chunk.len();
        append_event(&mut chunk);
        // A wrong size would desynchronise every HTTP/1.1 connection that receives the frame.
        assert_eq!(
            chunk.len(),
            event_start + event_len,
            "the length of an event is computed"
        );
        chunk.extend_from_slice(CRLF);
        Self {
            chunk: Bytes::from(chunk),
            event_start,
        }
    }
}

const CRLF: &[u8] = b"\r\n";

/// Returns how many hex digits `number` has.
fn hex_len(number: usize) -> usize {
    std::iter::successors(Some(number), |rest| {
        Some(rest >> 4).filter(|rest| *rest > 0)
    })
    .count()
}

/// Appends the last `digits` hex digits of `number`, in lower case.
fn append_hex(out: &mut Vec<u8>, number: usize, digits: usize) {
    for place in (0..digits).rev() {
        let digit = u8::try_from(number >> (4 * place) & 15).unwrap_or_default();
        out.push(if digit < 10 {
            b'0' + digit
        } else {
            b'a' + digit - 10
        });
    }
}

#[cfg(test)]
mod tests;
