//! A long-polling subscriber: consecutive requests on one connection, each with the cursor of the
//! previous response.

use crate::BenchError;
use crate::subscriber::{end_of_head, refused, status};

/// The largest response, in bytes: an update of a megabyte and those after it fit.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The text before the cursor for the next request, at the end of each response.
const CURSOR: &[u8] = b"\"last_event_id\":\"";

/// The bytes of a response so far, and the request that follows it.
#[derive(Debug)]
pub(crate) struct Polling {
    /// The request up to the cursor.
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// A complete response.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The updates, as encoded in the response.
    pub(crate) body: Vec<u8>,
    /// The next request to send.
    pub(crate) next: Vec<u8>,
}

impl Polling {
    /// Starts with a request that was sent. `request` is the one to repeat, up to its cursor.
    pub(crate) fn new(request: Vec<u8>) -> Self {
        Self {
            request,
            answer: Vec::new(),
        }
    }

    /// Handles a piece; returns the response once it is complete.
    ///
    /// # Errors
    ///
    /// [`BenchError::Refused`] if it is not the response to a poll.
    pub(crate) fn on_bytes(&mut self, piece: &[u8]) -> Result<Option<Answer>, BenchError> {
        self.answer.extend_from_slice(piece);
        let Some(end) = end_of_head(&self.answer) else {
            return self.go_on();
        };
        let (head, body) = self.answer.split_at_checked(end).unwrap_or_default();
        let Some(length) = content_length(head).filter(|_| status(head) == Some(200)) else {
            return Err(refused("poll", &self.answer));
        };
        if body.len() < length {
            return self.go_on();
        }
        let Some(cursor) = cursor(body) else {
            return Err(refused("poll", &self.answer));
        };
        let mut next = self.request.clone();
        next.extend_from_slice(b"Last-Event-ID: ");
        next.extend_from_slice(cursor);
        next.extend_from_slice(b"\r\n\r\n");
        let body = self.answer.split_off(end);
        self.answer = Vec::new();
        Ok(Some(Answer { body, next }))
    }

    fn go_on(&self) -> Result<Option<Answer>, BenchError> {
        match self.answer.len() > ANSWER_BYTES_MAX {
            true => Err(refused("poll", &self.answer)),
            false => Ok(None),
        }
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).ok()?;
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, length) = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    length.trim().parse().ok()
}

/// Returns the cursor in a response. The hub's own ids need no escapes.
fn cursor(body: &[u8]) -> Option<&[u8]> {
    let place = memchr::memmem::rfind(body, CURSOR)?;
    let (_, from) = body.split_at_checked(place + CURSOR.len())?;
    from.split(|byte| *byte == b'"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_wherever_it_is_cut_and_asks_on_from_its_cursor() {
        let body =
            "{\"updates\":[{\"id\":\"urn:1\",\"data\":\"x\"}],\"last_event_id\":\"urn:1\"}\n";
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
        for cut in 0..answer.len() {
            let (first, second) = answer.split_at(cut);
            let mut polling = Polling::new(b"GET / HTTP/1.1\r\n".to_vec());
            assert!(polling.on_bytes(first.as_bytes()).unwrap().is_none());
            let whole = polling.on_bytes(second.as_bytes()).unwrap().unwrap();
            assert_eq!(whole.body, body.as_bytes());
            assert_eq!(
                whole.next,
                b"GET / HTTP/1.1\r\nLast-Event-ID: urn:1\r\n\r\n"
            );
        }
    }

    #[test]
    fn a_refusal_is_an_error() {
        let mut polling = Polling::new(Vec::new());
        let answer = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno";
        assert!(polling.on_bytes(answer).is_err());
    }
}
