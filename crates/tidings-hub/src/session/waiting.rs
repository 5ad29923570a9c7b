//! How a session's task waits for its peer and its shard: for a phase, for the socket to take more, for all
//! of some bytes to be sent, and at the end for the last bytes.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tidings_wire::frame::{Frame, LAST_CHUNK};

use super::progress::{Phase, Progress};
use super::socket::Input;
use super::{Ending, Session};
use crate::account::{COVERED_BYTES_MAX, Charge, Kind};
use crate::posted::Encoding;

/// Bytes that a subscriber may send after its request before it counts as hostile.
const STRAY_BYTES_MAX: usize = 64 * 1024;
/// How long the last bytes of a stream may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// What becomes of waiting for the peer when the session is told to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IfClosed {
    Ends,
    GoesOn,
}

impl Session {
    /// Waits until the phase is no longer `phase`, or the peer has closed its side.
    pub(super) async fn leave(&self, phase: Phase) -> Result<(), Ending> {
        loop {
            poll_fn(|cx| self.poll_event(phase, cx)).await?;
            if self.phase() != phase {
                return Ok(());
            }
        }
    }

    fn poll_event(&self, phase: Phase, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        if self.phase() != phase {
            return Poll::Ready(Ok(()));
        }
        self.keep_waker(cx);
        if self.duplex.is_some() {
            // The reading half of its task reads what the peer sends.
            return Poll::Pending;
        }
        loop {
            match self.socket.poll_readable(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Ending::WriteFailed)),
                Poll::Ready(Ok(())) => self.on_readable()?,
            }
        }
    }

    pub(super) fn keep_waker(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
    }

    pub(super) fn on_readable(&self) -> Result<(), Ending> {
        match self.socket.discard_input() {
            Ok(Input::Closed) => Err(Ending::PeerClosed),
            Err(_) => Err(Ending::WriteFailed),
            Ok(Input::Stray(count)) => {
                self.stray.set(self.stray.get().saturating_add(count));
                if self.stray.get() > STRAY_BYTES_MAX {
                    Err(Ending::Flooding)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Waits until everything written so far is out and the socket takes more. Meanwhile it books the bytes
    /// that the socket holds, and the `rest` that the caller still has to send.
    ///
    /// # Errors
    ///
    /// How the stream ends: the connection broke, the peer took nothing for `stall`, there is no room
    /// for what is held, or the session was told to close meanwhile.
    pub(crate) async fn writable(&self, rest: usize, stall: Duration) -> Result<(), Ending> {
        self.takes_more(rest, stall, IfClosed::Ends).await
    }

    async fn takes_more(
        &self,
        rest: usize,
        stall: Duration,
        if_closed: IfClosed,
    ) -> Result<(), Ending> {
        let mut charge = None;
        let ready = poll_fn(|cx| {
            if let (Phase::Closing(ending), IfClosed::Ends) = (self.phase(), if_closed) {
                return Poll::Ready(Err(ending));
            }
            self.keep_waker(cx);
            let ready = self.socket.poll_writable(cx);
            if ready.is_pending() && charge.is_none() {
                let held = rest + self.socket.held_bytes();
                charge = match self.book_waiting(held) {
                    Ok(charge) => Some(charge),
                    Err(ending) => return Poll::Ready(Err(ending)),
                };
            }
            ready.map_err(|_broken| Ending::WriteFailed)
        });
        if self.is_carried() {
            // The shard limits how long it may be without a receiver.
            return ready.await;
        }
        match tokio::time::timeout(stall, ready).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Ending::Stalled),
        }
    }

    /// Books bytes that wait for the peer. The first kilobyte is part of what the connection is booked with.
    fn book_waiting(&self, bytes: usize) -> Result<Option<Charge>, Ending> {
        // A poll takes everything at once and books it itself. If it were booked twice, concurrent polls
        // would refuse each other.
        if bytes <= COVERED_BYTES_MAX || self.encoding == Encoding::Lines {
            return Ok(None);
        }
        let charge = self.holder.take(Kind::Events, bytes);
        charge.map(Some).map_err(|_refusal| Ending::MemoryLimit)
    }

    /// Sends all of `bytes`. Waits for the peer as long as it takes something within each `stall`.
    ///
    /// # Errors
    ///
    /// As [`writable`](Self::writable); what was not sent is then the tail.
    pub(crate) async fn send_all(&self, bytes: Bytes, stall: Duration) -> Result<(), Ending> {
        self.send(bytes, stall, IfClosed::Ends).await
    }

    /// Sends the head of the answer, even if the stream has ended before it began: a request is
    /// answered. A socket that has just moved to this shard takes nothing for a moment. A session
    /// without a connection of its own has an empty head, and waits for its first one until it is told
    /// to close.
    ///
    /// # Errors
    ///
    /// As [`writable`](Self::writable), except that a session that was told to close goes on with its head.
    pub(super) async fn send_head(&self, head: Bytes, stall: Duration) -> Result<(), Ending> {
        let if_closed = match head.is_empty() {
            true => IfClosed::Ends,
            false => IfClosed::GoesOn,
        };
        self.send(head, stall, if_closed).await
    }

    async fn send(
        &self,
        mut bytes: Bytes,
        stall: Duration,
        if_closed: IfClosed,
    ) -> Result<(), Ending> {
        loop {
            if !bytes.is_empty() {
                let sent = self
                    .try_send(&bytes)
                    .map_err(|_broken| Ending::WriteFailed)?;
                drop(bytes.split_to(sent.taken));
                if bytes.is_empty() && sent.flushed {
                    return Ok(());
                }
            }
            if let Err(ending) = self.takes_more(bytes.len(), stall, if_closed).await {
                // The peer may have a part of it: nothing may follow on this connection.
                self.update(|progress| progress.keep_tail(bytes));
                return Err(ending);
            }
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// Returns how much is left of a partly sent event.
    pub(crate) fn tail_bytes(&self) -> usize {
        self.progress.borrow().tail_bytes()
    }

    /// Takes the rest of a partly sent event.
    pub(crate) fn take_tail(&self) -> Bytes {
        self.update(Progress::take_tail)
    }

    /// Ends the stream. If the peer may still listen, the stream ends cleanly, or breaks off with `abruptly`.
    /// `return_ms` is told to an event stream that ends because the hub is being stopped: in how many
    /// milliseconds it should come back (WHATWG HTML, "Server-sent events", field `retry`).
    pub(super) async fn finish(&self, ending: Ending, abruptly: bool, return_ms: Option<u64>) {
        // The response of a poll takes what was written, and books it.
        if self.encoding != Encoding::Lines {
            self.socket.give_up();
        }
        if ending.has_farewell() && abruptly {
            return self.socket.break_off();
        }
        let tail = self.take_tail();
        if ending.has_farewell() && tail.is_empty() {
            let words = self.farewell(return_ms.filter(|_| ending == Ending::Drained));
            // The phase is Closing, so a full socket ends this at once instead of waiting.
            self.send_all(words, FAREWELL).await.ok();
        }
        self.socket.finish();
    }

    /// Returns the last bytes of an event stream.
    fn farewell(&self, return_ms: Option<u64>) -> Bytes {
        let retry = return_ms.map(Frame::retry);
        match self.encoding {
            Encoding::Chunked => {
                let retry = retry.map(|retry| retry.chunk().clone()).unwrap_or_default();
                [&retry[..], LAST_CHUNK].concat().into()
            }
            Encoding::Plain => retry.map(|retry| retry.event()).unwrap_or_default(),
            Encoding::WebSocket(..) | Encoding::Lines => Bytes::new(),
        }
    }
}
