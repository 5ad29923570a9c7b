//! A publisher's keep-alive connection with one update in flight.

use crate::BenchError;
use crate::link::{Arrived, Link};
use crate::subscriber::{end_of_head, ended, refused, status};

/// One keep-alive connection for publishing.
#[derive(Debug)]
pub(crate) struct Publisher {
    link: Link,
    answer: Vec<u8>,
    /// When the update in flight was sent.
    sent_ns: Option<u64>,
}

/// The result of reading a publisher's connection.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The response is incomplete.
    Incomplete,
    /// The update in flight was acknowledged.
    Acknowledged(Acknowledged),
    /// The hub closed the connection while nothing was in flight, which is allowed.
    Closed,
}

/// A complete acknowledgement.
#[derive(Debug)]
pub(crate) struct Acknowledged {
    /// When the update was sent.
    pub(crate) sent_ns: u64,
    /// The event id from the hub.
    pub(crate) id: String,
    /// Whether the hub takes no more on this connection (RFC 9112, 9.6).
    pub(crate) is_last: bool,
}

impl Publisher {
    /// Wraps a new connection.
    pub(crate) fn new(link: Link) -> Self {
        Self {
            link,
            answer: Vec::new(),
            sent_ns: None,
        }
    }

    /// Sends a request. The previous update must have been acknowledged.
    ///
    /// # Errors
    ///
    /// [`BenchError::Connection`] if sending fails.
    pub(crate) fn send(&mut self, request: &[u8], now_ns: u64) -> Result<(), BenchError> {
        self.sent_ns = Some(now_ns);
        self.link.send(request).map_err(BenchError::Connection)
    }

    /// Reads what is available.
    ///
    /// # Errors
    ///
    /// [`BenchError::Refused`] if the update was refused, [`BenchError::Connection`] if the
    /// connection ended with one in flight.
    /// connection ended while one was in flight.
    pub(crate) fn on_readable(&mut self, buffer: &mut [u8]) -> Result<Answer, BenchError> {
        loop {
            match self.link.read(buffer).map_err(BenchError::Connection)? {
                Arrived::Bytes(count) => {
                    let (piece, _) = buffer.split_at_checked(count).unwrap_or_default();
                    self.answer.extend_from_slice(piece);
                    if self.link.short_read_is_last() {
                        return self.take_answer();
                    }
                }
                Arrived::Nothing => return self.take_answer(),
                Arrived::End if self.sent_ns.is_none() => return Ok(Answer::Closed),
                Arrived::End => return Err(BenchError::Connection(ended())),
            }
        }
    }

    fn take_answer(&mut self) -> Result<Answer, BenchError> {
        let Some(end) = end_of_head(&self.answer) else {
            return Ok(Answer::Incomplete);
        };
        let (head, body) = self.answer.split_at_checked(end).unwrap_or_default();
        // Without a length, the end of the response would be unknown.
        let length = content_length(head).ok_or_else(|| refused("publication", &self.answer))?;
        if body.len() < length {
            return Ok(Answer::Incomplete);
        }
        if status(head) != Some(200) {
            return Err(refused("publication", &self.answer));
        }
        let id = String::from_utf8_lossy(body).into_owned();
        let is_last = field(head, "connection").is_some_and(|value| value.trim() == "close");
        self.answer.clear();
        Ok(self.sent_ns.take().map_or(Answer::Incomplete, |sent_ns| {
            Answer::Acknowledged(Acknowledged {
                sent_ns,
                id,
                is_last,
            })
        }))
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    field(head, "content-length")?.trim().parse().ok()
}

/// Returns the value of the first field of that name.
fn field<'a>(head: &'a [u8], wanted: &str) -> Option<&'a str> {
    let head = std::str::from_utf8(head).ok()?;
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
    Some(value)
}
