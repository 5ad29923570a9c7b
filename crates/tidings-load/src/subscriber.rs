//! A subscriber's connection: the response head, then marks until the end.

use std::io;

use crate::BenchError;
use crate::link::{Arrived, Link};
use crate::mark::{Mark, Scanner};
use crate::polling::Polling;
use crate::target::Transport;
use crate::xhr_streaming::XhrStreaming;

/// Bytes of a response head, or of a refusal, that are kept at most.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A ping as this hub sends it, and a masked pong; RFC 6455, 5.5.
const PING: &[u8] = b"\x89\x00";
const PONG: &[u8] = b"\x8a\x80\0\0\0\0";

/// One event stream, WebSocket, or chain of requests. All of them contain the marks as published,
/// so the framing is not parsed.
#[derive(Debug)]
pub(crate) struct Subscriber {
    link: Link,
    account: usize,
    transport: Transport,
    phase: Phase,
    scanner: Scanner,
    bytes: u64,
}

#[derive(Debug)]
enum Phase {
    /// The head is incomplete; its bytes so far.
    Head(Vec<u8>),
    Open,
    /// Responses one after another; the first one counts as the head.
    Polling {
        polling: Polling,
        opened: bool,
    },
    /// Streaming responses one after another.
    XhrStreaming(XhrStreaming),
}

/// The result of reading a subscriber's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing has changed.
    Same,
    /// The response head is complete.
    Opened,
}

impl Subscriber {
    /// Wraps a connection on which a subscription was just sent. `account` is its number in the
    /// ledger. `again` is the request that follows a response, for a poll up to its cursor.
    pub(crate) fn new(
        link: Link,
        account: usize,
        transport: Transport,
        again: Option<Vec<u8>>,
    ) -> Self {
        let phase = match again {
            Some(request) if transport == Transport::SockJs => {
                Phase::XhrStreaming(XhrStreaming::new(request))
            }
            Some(request) => Phase::Polling {
                polling: Polling::new(request),
                opened: false,
            },
            None => Phase::Head(Vec::new()),
        };
        Self {
            link,
            account,
            transport,
            phase,
            scanner: Scanner::default(),
            bytes: 0,
        }
    }

    /// Returns its number in the ledger.
    pub(crate) fn account(&self) -> usize {
        self.account
    }

    /// Returns the bytes of the stream so far, without the response head.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads what is available, at most one `buffer` of a plain connection.
    ///
    /// # Errors
    ///
    /// [`BenchError::Refused`] if it is not an event stream; [`BenchError::Connection`] if it
    /// ended.
    pub(crate) fn on_readable(
        &mut self,
        buffer: &mut [u8],
        mut on_mark: impl FnMut(Mark),
    ) -> Result<Turn, BenchError> {
        let mut turn = Turn::Same;
        loop {
            match self.link.read(buffer).map_err(BenchError::Connection)? {
                Arrived::Bytes(count) => {
                    let (piece, _) = buffer.split_at_checked(count).unwrap_or_default();
                    if self.on_bytes(piece, &mut on_mark)? == Turn::Opened {
                        turn = Turn::Opened;
                    }
                    if self.link.short_read_is_last() {
                        return Ok(turn);
                    }
                }
                Arrived::Nothing => return Ok(turn),
                Arrived::End => return Err(BenchError::Connection(ended())),
            }
        }
    }

    fn on_bytes(
        &mut self,
        piece: &[u8],
        on_mark: &mut impl FnMut(Mark),
    ) -> Result<Turn, BenchError> {
        if let Phase::Polling { .. } = self.phase {
            return self.on_answer(piece, on_mark);
        }
        if let Phase::XhrStreaming(xhr_streaming) = &mut self.phase {
            let received = xhr_streaming.on_bytes(piece)?;
            self.bytes += received.body.len() as u64;
            self.scanner.scan(received.body, on_mark);
            if let Some(next) = received.next {
                self.link.send(&next).map_err(BenchError::Connection)?;
            }
            return Ok(match received.opened {
                true => Turn::Opened,
                false => Turn::Same,
            });
        }
        let Phase::Head(head) = &mut self.phase else {
            self.bytes += piece.len() as u64;
            self.scanner.scan(piece, on_mark);
            // An extra pong, for bytes that only look like a ping, does no harm.
            if self.transport == Transport::WebSocket && memchr::memmem::find(piece, PING).is_some()
            {
                self.link.send(PONG).map_err(BenchError::Connection)?;
            }
            return Ok(Turn::Same);
        };
        head.extend_from_slice(piece);
        let Some(end) = end_of_head(head) else {
            return match head.len() > HEAD_BYTES_MAX {
                true => Err(refused("subscription", head)),
                false => Ok(Turn::Same),
            };
        };
        let opened = match self.transport {
            Transport::WebSocket => 101,
            Transport::EventStream | Transport::Http2 | Transport::LongPoll | Transport::SockJs => {
                200
            }
        };
        if status(head) != Some(opened) {
            return Err(refused("subscription", head));
        }
        let body = head.split_off(end);
        self.phase = Phase::Open;
        self.bytes += body.len() as u64;
        self.scanner.scan(&body, on_mark);
        Ok(Turn::Opened)
    }

    fn on_answer(
        &mut self,
        piece: &[u8],
        on_mark: &mut impl FnMut(Mark),
    ) -> Result<Turn, BenchError> {
        let Phase::Polling { polling, opened } = &mut self.phase else {
            return Ok(Turn::Same);
        };
        let Some(answer) = polling.on_bytes(piece)? else {
            return Ok(Turn::Same);
        };
        let first = !std::mem::replace(opened, true);
        self.link
            .send(&answer.next)
            .map_err(BenchError::Connection)?;
        let mut marks = 0;
        self.scanner.scan(&answer.body, |mark| {
            marks += 1;
            on_mark(mark);
        });
        if marks > 0 {
            self.bytes += answer.body.len() as u64;
        }
        Ok(if first { Turn::Opened } else { Turn::Same })
    }
}

/// Returns the error for a connection that the hub closed.
pub(crate) fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the hub closed it")
}

/// Returns the start of the body, if the head is complete.
pub(crate) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|place| place + 4)
}

/// Returns the status in a response head.
pub(crate) fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    line.strip_prefix("HTTP/1.")?
        .split(' ')
        .nth(1)?
        .parse()
        .ok()
}

/// Returns the error for an unexpected response.
pub(crate) fn refused(request: &'static str, answer: &[u8]) -> BenchError {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.lines().next().unwrap_or_default().to_owned();
    BenchError::Refused {
        request,
        status,
        detail: body.chars().take(300).collect(),
    }
}
