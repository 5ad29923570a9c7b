//! A subscriber that reads an event stream as a browser would.

use std::collections::VecDeque;
use std::time::Instant;

use tidings_wire::sse_decoder::{Decoded, Decoder, Event};

use super::DEADLINE;
use super::exchange::{Answer, Connection, Request};

/// Bytes of the longest event in the tests.
const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An open event stream.
pub struct EventStream {
    connection: Connection,
    /// The response's head.
    pub head: Answer,
    decoder: Decoder,
    decoded: VecDeque<Decoded>,
    chunked: bool,
}

impl EventStream {
    /// Sends the request and reads the head; anything but 200 fails the test.
    #[track_caller]
    pub fn open(mut connection: Connection, request: &Request) -> Self {
        connection.send_request(request);
        Self::read(connection)
    }

    /// Reads the head of a stream that was asked for already.
    #[track_caller]
    pub fn read(mut connection: Connection) -> Self {
        let head = connection.read_head();
        Self::after_head(connection, head)
    }

    /// Goes on after a head that was read already.
    #[track_caller]
    pub fn after_head(connection: Connection, head: Answer) -> Self {
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        let chunked = head.header("transfer-encoding") == Some("chunked");
        Self {
            connection,
            head,
            decoder: Decoder::new(EVENT_BYTES_MAX, ""),
            decoded: VecDeque::new(),
            chunked,
        }
    }

    /// Returns what comes next, comments and `retry` included; nothing at the end of the stream.
    pub fn next_decoded(&mut self) -> Option<Decoded> {
        while self.decoded.is_empty() {
            let bytes = if self.chunked {
                self.connection.read_chunk()?
            } else {
                self.connection.read_some()?
            };
            let mut decoded = Vec::new();
            self.decoder
                .push(&bytes, &mut decoded)
                .expect("an event stream");
            self.decoded.extend(decoded);
        }
        self.decoded.pop_front()
    }

    /// Returns the next event; nothing at the end of the stream. Fails at the deadline, however
    /// many comments come until then.
    #[track_caller]
    pub fn next_event(&mut self) -> Option<Event> {
        let start = Instant::now();
        loop {
            if let Decoded::Event(event) = self.next_decoded()? {
                return Some(event);
            }
            assert!(start.elapsed() < DEADLINE, "no event came in time");
        }
    }

    /// Returns the next event; the end of the stream fails the test.
    #[track_caller]
    pub fn event(&mut self) -> Event {
        self.next_event().expect("the stream goes on")
    }

    /// Returns the data of the next `count` events.
    #[track_caller]
    pub fn data(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.event().data).collect()
    }

    /// Returns the connection, for what a subscriber does not do.
    pub fn into_connection(self) -> Connection {
        self.connection
    }
}
