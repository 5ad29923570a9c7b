//! The queue for one peer: whole messages as on the wire, up to the high-water marks.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::ops::Range;

use bytes::Bytes;
use tidings_core::position::Position;
use tidings_wire::zmtp::decoder::Extent;
use tidings_wire::zmtp::frame;
use tokio::net::TcpStream;

use super::options::Limits;

/// Pieces written by one system call.
const PIECES_PER_WRITE: usize = 64;
/// Bytes written before other connections get their turn.
const BYTES_PER_TURN: usize = 1024 * 1024;
/// Bytes that may always be queued for a peer, regardless of the others.
const FLOOR_BYTES: usize = 16 * 1024;
/// Maximum number of queued heartbeat replies for a peer that does not read; further heartbeats get
/// no reply.
const CONTROL_MAX: usize = 8;

/// Whole messages, with the offsets of their ends.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) wire: Bytes,
    pub(crate) messages: Vec<Extent>,
    /// The position of the update of the first message, if it is to be known when all are written.
    pub(crate) place: Option<Position>,
}

impl Chunk {
    /// Makes a chunk of one message.
    pub(crate) fn one(wire: Vec<u8>) -> Self {
        let messages = vec![Self::first_of(&wire)];
        let wire = wire.into();
        Self {
            wire,
            messages,
            place: None,
        }
    }

    /// Returns the offsets in `wire`, which is one message.
    pub(crate) fn first_of(wire: &[u8]) -> Extent {
        let mut parts = frame::parts(wire);
        let first_len = parts.next().map_or(0, <[u8]>::len);
        Extent {
            end: wire.len(),
            first: frame::header_len(first_len),
            first_len,
            parts: 1 + parts.count(),
        }
    }

    /// Returns the range of message `index`.
    pub(crate) fn range(&self, index: usize) -> Range<usize> {
        let end = |index: usize| self.messages.get(index).map_or(0, |extent| extent.end);
        index.checked_sub(1).map_or(0, end)..end(index)
    }

    /// Returns the bytes of the messages in `indexes`.
    fn bytes(&self, indexes: &Range<usize>) -> Range<usize> {
        match indexes.end.checked_sub(1) {
            Some(last) if last >= indexes.start => {
                self.range(indexes.start).start..self.range(last).end
            }
            _ => 0..0,
        }
    }
}

/// The queue for one peer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    segments: VecDeque<Segment>,
    /// Bytes of the first segment that are already written.
    written: usize,
    messages: usize,
    bytes: usize,
    control: usize,
}

#[derive(Debug)]
struct Segment {
    bytes: Bytes,
    messages: usize,
    place: Option<Position>,
}

/// The result of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// The queue is empty.
    All,
    /// The socket is full.
    Blocked,
    /// There is more, but other connections wait.
    Turn,
}

impl Outbox {
    /// Queues the messages of `chunk` in `indexes`, as many as the marks allow. Returns how many
    /// did not fit. `total` is the number of bytes queued for all peers.
    pub(crate) fn offer(
        &mut self,
        chunk: &Chunk,
        indexes: Range<usize>,
        limits: &Limits,
        total: usize,
    ) -> usize {
        let all = indexes.len();
        let mut take = all.min(limits.queue_messages_max.saturating_sub(self.messages));
        let space = match total < limits.total_bytes_max {
            true => limits.queue_bytes_max,
            false => FLOOR_BYTES,
        };
        let space = space.saturating_sub(self.bytes);
        let start = chunk.range(indexes.start).start;
        // An empty outbox accepts a message of any permitted length.
        let fits = |count: usize| {
            let end = chunk.range(indexes.start + count - 1).end;
            end - start <= space || (count == 1 && self.bytes == 0)
        };
        if take > 0 && !fits(take) {
            let counts: Vec<usize> = (1..=take).collect();
            take = counts.partition_point(|&count| fits(count));
        }
        if take > 0 {
            let taken = indexes.start..indexes.start + take;
            self.push(Segment {
                bytes: chunk.wire.slice(chunk.bytes(&taken)),
                messages: take,
                place: chunk.place,
            });
        }
        all - take
    }

    /// Queues `bytes`, which contain `messages`, ignoring the marks.
    pub(crate) fn add(&mut self, bytes: Bytes, messages: usize) {
        self.push(Segment {
            bytes,
            messages,
            place: None,
        });
    }

    fn push(&mut self, segment: Segment) {
        self.bytes += segment.bytes.len();
        self.messages += segment.messages;
        self.segments.push_back(segment);
    }

    /// Returns the first place among the queued messages.
    pub(crate) fn first_place(&self) -> Option<Position> {
        self.segments.iter().filter_map(|one| one.place).min()
    }

    /// Drops what is not partly written.
    pub(crate) fn clear(&mut self) {
        let begun = self.segments.pop_front().filter(|_| self.written > 0);
        let written = self.written;
        *self = Self::default();
        if let Some(begun) = begun {
            self.bytes = begun.bytes.len() - written;
            self.written = written;
            self.messages = begun.messages;
            self.control = usize::from(begun.messages == 0);
            self.segments.push_back(begun);
        }
    }

    /// Queues a reply that is not a message. A peer that reads nothing loses further ones.
    pub(crate) fn control(&mut self, bytes: Vec<u8>) {
        if self.control < CONTROL_MAX {
            self.control += 1;
            self.add(bytes.into(), 0);
        }
    }

    /// Returns whether another message fits.
    pub(crate) fn has_space(&self, limits: &Limits) -> bool {
        self.messages < limits.queue_messages_max && self.bytes < limits.queue_bytes_max
    }

    /// Returns the number of queued bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Moves the messages that are not partly written to `other`. Returns how many messages may be
    /// lost.
    pub(crate) fn give_back(&mut self, other: &mut Self) -> usize {
        let mut lost = 0;
        if self.written > 0
            && let Some(begun) = self.segments.pop_front()
        {
            // A segment may contain several messages; which of them arrived is unknown.
            lost = begun.messages;
        }
        for segment in self.segments.drain(..).filter(|s| s.messages > 0) {
            other.push(segment);
        }
        *self = Self::default();
        lost
    }

    /// Writes the queue. Returns the result and the number of completely written messages.
    ///
    /// # Errors
    ///
    /// The connection is closed.
    pub(crate) fn write(&mut self, stream: &TcpStream) -> io::Result<(Wrote, usize)> {
        let (mut out, mut turn) = (0, 0);
        while !self.segments.is_empty() {
            if turn >= BYTES_PER_TURN {
                return Ok((Wrote::Turn, out));
            }
            let written = match self.write_once(stream) {
                Ok(written) => written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok((Wrote::Blocked, out));
                }
                Err(error) => return Err(error),
            };
            turn += written;
            out += self.advance(written);
        }
        Ok((Wrote::All, out))
    }

    fn write_once(&self, stream: &TcpStream) -> io::Result<usize> {
        let mut pieces: smallvec::SmallVec<[IoSlice<'_>; PIECES_PER_WRITE]> =
            smallvec::SmallVec::new();
        let mut skip = self.written;
        for segment in self.segments.iter().take(PIECES_PER_WRITE) {
            let rest = segment.bytes.get(skip..).unwrap_or_default();
            pieces.push(IoSlice::new(rest));
            skip = 0;
        }
        match stream.try_write_vectored(&pieces)? {
            0 => Err(ErrorKind::WriteZero.into()),
            written => Ok(written),
        }
    }

    /// Accounts for `written` bytes. Returns how many messages they complete.
    fn advance(&mut self, mut written: usize) -> usize {
        let mut out = 0;
        self.bytes -= written;
        while let Some(first) = self.segments.front() {
            let rest = first.bytes.len() - self.written;
            if written < rest {
                self.written += written;
                break;
            }
            written -= rest;
            self.written = 0;
            out += first.messages;
            self.messages -= first.messages;
            self.control -= usize::from(first.messages == 0 && self.control > 0);
            self.segments.pop_front();
        }
        out
    }
}

#[cfg(test)]
mod tests;
