//! One subscription's connection: the response head, then events until either side closes it.

use std::io;

use crate::link::{Arrived, Link};
use crate::soak::events::{BadChunk, Body, Event, Events};
use crate::subscriber::{end_of_head, status};

/// Bytes of a response head that are kept at most.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// An open connection with one subscription.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) link: Link,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The head is incomplete; its bytes so far.
    Head(Vec<u8>),
    Open(Events),
}

/// What a connection delivered.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    /// The hub accepted the subscription, starting at this cursor.
    Opened { from: Option<String> },
    /// An event.
    Event(&'a Event),
}

/// The state of a connection after a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamState {
    /// It is open.
    Open,
    /// The hub closed it, or it failed.
    Ended,
    /// The hub answered with a status other than 200.
    Refused(u16),
    /// The received bytes are not valid HTTP.
    Garbled,
}

impl Stream {
    /// Wraps a connection on which a subscription was just sent.
    pub(crate) fn new(link: Link) -> Self {
        Self {
            link,
            phase: Phase::Head(Vec::new()),
        }
    }

    /// Returns whether the hub has accepted the subscription.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Returns the reconnection time that the stream told last.
    pub(crate) fn retry_ms(&self) -> Option<u64> {
        match &self.phase {
            Phase::Head(_) => None,
            Phase::Open(events) => events.retry_ms(),
        }
    }

    /// Reads what is available, at most one `buffer` of a plain connection.
    pub(crate) fn on_readable(
        &mut self,
        buffer: &mut [u8],
        mut on_incoming: impl FnMut(Incoming<'_>),
    ) -> StreamState {
        loop {
            match self.link.read(buffer) {
                Ok(Arrived::Bytes(count)) => {
                    let (piece, _) = buffer.split_at_checked(count).unwrap_or_default();
                    let state = self.on_bytes(piece, &mut on_incoming);
                    if state != StreamState::Open || self.link.short_read_is_last() {
                        return state;
                    }
                }
                Ok(Arrived::Nothing) => return StreamState::Open,
                Ok(Arrived::End) | Err(_) => return StreamState::Ended,
            }
        }
    }

    fn on_bytes(
        &mut self,
        piece: &[u8],
        on_incoming: &mut impl FnMut(Incoming<'_>),
    ) -> StreamState {
        let head = match &mut self.phase {
            Phase::Open(events) => return read_events(events, piece, on_incoming),
            Phase::Head(head) => head,
        };
        head.extend_from_slice(piece);
        let Some(end) = end_of_head(head) else {
            return match head.len() > HEAD_BYTES_MAX {
                true => StreamState::Garbled,
                false => StreamState::Open,
            };
        };
        match status(head) {
            Some(200) => {}
            Some(status) => return StreamState::Refused(status),
            None => return StreamState::Garbled,
        }
        let body = head.split_off(end);
        let chunked = field(head, "transfer-encoding").is_some();
        on_incoming(Incoming::Opened {
            from: field(head, "mercure-last-event-id"),
        });
        let mut events = Events::new(if chunked { Body::Chunked } else { Body::Plain });
        let state = read_events(&mut events, &body, on_incoming);
        self.phase = Phase::Open(events);
        state
    }
}

fn read_events(
    events: &mut Events,
    piece: &[u8],
    on_incoming: &mut impl FnMut(Incoming<'_>),
) -> StreamState {
    match events.push(piece, |event| on_incoming(Incoming::Event(event))) {
        Ok(()) => StreamState::Open,
        Err(BadChunk) => StreamState::Garbled,
    }
}

/// Returns the value of a field in a response head.
fn field(head: &[u8], name: &str) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
    Some(value.trim().to_owned())
}

/// Returns the error for an unusable connection.
pub(crate) fn garbled() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what the hub sent is not HTTP")
}
