//! A SockJS subscriber without a WebSocket: consecutive streaming responses on one connection.

use crate::BenchError;
use crate::subscriber::{end_of_head, refused, status};

/// Bytes of a response head that are kept at most.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The end of the last chunk of a response; RFC 9112, 7.1.
const LAST: &[u8] = b"\r\n0\r\n\r\n";
/// The beginning of the hub's first text, as escaped in a SockJS frame.
const OPEN: &[u8] = b"{\\\"open\\\":";

/// The state of the chain of responses.
#[derive(Debug)]
pub(crate) struct XhrStreaming {
    /// The request that is repeated for every response.
    request: Vec<u8>,
    /// The head of a response while it is incomplete, then the last bytes of its body.
    kept: Vec<u8>,
    in_head: bool,
    opened: bool,
}

/// What a piece contained.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Received<'a> {
    /// Body bytes as received, without any head.
    pub(crate) body: &'a [u8],
    /// Whether the hub has confirmed the subscription.
    pub(crate) opened: bool,
    /// The next request to send, if a response ended.
    pub(crate) next: Option<Vec<u8>>,
}

impl XhrStreaming {
    /// Starts with a request that was sent and that is to be repeated.
    pub(crate) fn new(request: Vec<u8>) -> Self {
        Self {
            request,
            kept: Vec::new(),
            in_head: true,
            opened: false,
        }
    }

    /// Handles a piece.
    ///
    /// # Errors
    ///
    /// [`BenchError::Refused`] if this is not a response with frames.
    pub(crate) fn on_bytes<'a>(&mut self, piece: &'a [u8]) -> Result<Received<'a>, BenchError> {
        let mut body = piece;
        if self.in_head {
            let before = self.kept.len();
            self.kept.extend_from_slice(piece);
            let Some(end) = end_of_head(&self.kept) else {
                return match self.kept.len() > HEAD_BYTES_MAX {
                    true => Err(refused("SockJS", &self.kept)),
                    false => Ok(Received::default()),
                };
            };
            if status(&self.kept) != Some(200) {
                return Err(refused("SockJS", &self.kept));
            }
            (_, body) = piece.split_at_checked(end - before).unwrap_or_default();
            self.in_head = false;
            self.kept.clear();
        }
        self.kept.extend_from_slice(body);
        let opened = !self.opened && memchr::memmem::find(&self.kept, OPEN).is_some();
        self.opened |= opened;
        let mut next = None;
        if self.kept.ends_with(LAST) {
            self.in_head = true;
            self.kept.clear();
            next = Some(self.request.clone());
        } else {
            let long = LAST.len().max(OPEN.len()) - 1;
            self.kept.drain(..self.kept.len().saturating_sub(long));
        }
        Ok(Received { body, opened, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_follow_each_other_wherever_they_are_cut() {
        let first =
            "HTTP/1.1 200 OK\r\n\r\n2\r\no\n\r\n18\r\na[\"{\\\"open\\\":{}}\"]\n\r\n0\r\n\r\n";
        let second = "HTTP/1.1 200 OK\r\n\r\n6\r\na[1]\n\r\n0\r\n\r\n";
        for cut in 1..first.len() {
            let mut xhr_streaming = XhrStreaming::new(b"POST".to_vec());
            let (mut body, mut opened, mut asked) = (Vec::new(), 0, 0);
            let (one, two) = first.split_at(cut);
            for piece in [one, two, second] {
                let received = xhr_streaming.on_bytes(piece.as_bytes()).unwrap();
                body.extend_from_slice(received.body);
                opened += usize::from(received.opened);
                asked += usize::from(received.next.is_some());
            }
            assert_eq!((opened, asked), (1, 2), "cut at {cut}");
            let text = String::from_utf8(body).unwrap();
            assert!(text.contains("a[1]") && !text.contains("200 OK"), "{text}");
        }
    }

    #[test]
    fn a_refusal_is_an_error() {
        let mut xhr_streaming = XhrStreaming::new(Vec::new());
        assert!(
            xhr_streaming
                .on_bytes(b"HTTP/1.1 404 Not Found\r\n\r\n")
                .is_err()
        );
    }
}
