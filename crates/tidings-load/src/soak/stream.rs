//! One subscription's connection: the response head, then events until either side closes it.

use std::io;

use crate::link::{Arrived, Link};
use crate::soak::events::{BadChunk, Body, Event, Events};
use crate::subscriber::{end_of_head, status};

/// Bytes of an answer's head that are kept.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// An open connection with a subscription on it.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) link: Link,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The head is not complete; what there is of it.
    Head(Vec<u8>),
    Open(Events),
}

/// Something that a connection brought.
#[derive(Debug)]
pub(crate) enum Brought<'a> {
    /// The subscription was taken, from this cursor on.
    Opened { from: Option<String> },
    /// An event.
    Event(&'a Event),
}

/// How a connection stands after it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It goes on.
    Open,
    /// The hub closed it, or it broke.
    Ended,
    /// The hub answered with another status than 200.
    Refused(u16),
    /// What came is not what HTTP allows.
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

    /// Says whether the subscription was taken.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Reads what is there, at most one `buffer` of it from a plain connection.
    pub(crate) fn on_readable(
        &mut self,
        buffer: &mut [u8],
        mut on_brought: impl FnMut(Brought<'_>),
    ) -> Standing {
        loop {
            match self.link.read(buffer) {
                Ok(Arrived::Bytes(count)) => {
                    let (piece, _) = buffer.split_at_checked(count).unwrap_or_default();
                    let standing = self.on_bytes(piece, &mut on_brought);
                    if standing != Standing::Open || self.link.short_read_is_last() {
                        return standing;
                    }
                }
                Ok(Arrived::Nothing) => return Standing::Open,
                Ok(Arrived::End) | Err(_) => return Standing::Ended,
            }
        }
    }

    fn on_bytes(&mut self, piece: &[u8], on_brought: &mut impl FnMut(Brought<'_>)) -> Standing {
        let head = match &mut self.phase {
            Phase::Open(events) => return read_events(events, piece, on_brought),
            Phase::Head(head) => head,
        };
        head.extend_from_slice(piece);
        let Some(end) = end_of_head(head) else {
            return match head.len() > HEAD_BYTES_MAX {
                true => Standing::Garbled,
                false => Standing::Open,
            };
        };
        match status(head) {
            Some(200) => {}
            Some(status) => return Standing::Refused(status),
            None => return Standing::Garbled,
        }
        let body = head.split_off(end);
        let chunked = field(head, "transfer-encoding").is_some();
        on_brought(Brought::Opened {
            from: field(head, "mercure-last-event-id"),
        });
        let mut events = Events::new(if chunked { Body::Chunked } else { Body::Plain });
        let standing = read_events(&mut events, &body, on_brought);
        self.phase = Phase::Open(events);
        standing
    }
}

fn read_events(
    events: &mut Events,
    piece: &[u8],
    on_brought: &mut impl FnMut(Brought<'_>),
) -> Standing {
    match events.push(piece, |event| on_brought(Brought::Event(event))) {
        Ok(()) => Standing::Open,
        Err(BadChunk) => Standing::Garbled,
    }
}

/// Returns the value of a field of an answer's head.
fn field(head: &[u8], name: &str) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
    Some(value.trim().to_owned())
}

/// Makes the error about a connection that cannot be used.
pub(crate) fn garbled() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what the hub sent is not HTTP")
}
