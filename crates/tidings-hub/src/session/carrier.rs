//! The socket of a session without a connection of its own: SockJS without a WebSocket. What the session
//! writes waits here for a request that receives it.
//!
//! Without such a receiver there is no room, so the session is behind and reads on when the next receiver
//! comes. Only what the last receiver left stays queued.

use std::cell::RefCell;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tidings_wire::websocket::encoder::payloads;

use super::socket::Sent;

/// Bytes after which a session is behind even though a receiver is there.
const SPACE_BYTES: usize = 64 * 1024;

/// The meeting point of a session and its receivers.
#[derive(Debug, Default)]
pub struct Carrier(RefCell<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether a receiver is there.
    open: bool,
    /// Whole WebSocket frames, as the session wrote them.
    written: Vec<Bytes>,
    bytes: usize,
    /// Whether the session has written everything that it has.
    idle: bool,
    closed: Option<Close>,
    session: Option<Waker>,
    receiver: Option<Waker>,
}

/// The close code and reason of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The close code, as in a WebSocket's close frame or one of SockJS's own.
    pub code: u16,
    /// One line for people. May be empty.
    pub reason: Box<str>,
}

/// How a receiver takes what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// As soon as there is something.
    Each,
    /// Once: when the session has written everything that it has, or as much as there is room for.
    AllOnce,
}

/// What a receiver gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// Texts of the session.
    Texts(Vec<Bytes>),
    /// There is nothing more.
    Closed(Close),
}

impl Carrier {
    /// Lets the session write: a receiver is there.
    pub fn open(&self) {
        let mut state = self.0.borrow_mut();
        state.open = true;
        wake(&mut state.session);
    }

    /// Stops the session from writing: the receiver has left.
    pub fn shut(&self) {
        let mut state = self.0.borrow_mut();
        state.open = false;
        state.receiver = None;
    }

    /// Returns whether a receiver is there.
    pub(crate) fn is_open(&self) -> bool {
        self.0.borrow().open
    }

    /// Returns the close code and reason, if the session was closed.
    pub(crate) fn closed(&self) -> Option<Close> {
        self.0.borrow().closed.clone()
    }

    /// Takes all of `bytes`, or nothing if there is no room.
    pub(crate) fn try_send(&self, bytes: &Bytes) -> Sent {
        let mut state = self.0.borrow_mut();
        if !state.has_space() {
            return Sent {
                taken: 0,
                flushed: false,
            };
        }
        state.bytes += bytes.len();
        state.written.push(bytes.clone());
        wake(&mut state.receiver);
        Sent {
            taken: bytes.len(),
            flushed: true,
        }
    }

    /// Returns the bytes that wait for a receiver.
    pub(crate) fn held_bytes(&self) -> usize {
        self.0.borrow().bytes
    }

    /// Waits for room.
    pub(crate) fn poll_space(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.borrow_mut();
        if state.has_space() {
            return Poll::Ready(());
        }
        state.session = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Notes whether the session has written everything that it has.
    pub(crate) fn set_idle(&self, idle: bool) {
        let mut state = self.0.borrow_mut();
        state.idle = idle;
        if idle {
            wake(&mut state.receiver);
        }
    }

    /// Closes the session after its `last` frames. The first code and reason count.
    pub(crate) fn close(&self, last: impl IntoIterator<Item = Bytes>, code: u16, reason: &str) {
        let mut state = self.0.borrow_mut();
        if state.closed.is_none() {
            state.written.extend(last);
            let reason = reason.into();
            state.closed = Some(Close { code, reason });
        }
        wake(&mut state.receiver);
    }

    /// Waits until there is something to take.
    pub fn poll_taken(&self, take: Take, cx: &Context<'_>) -> Poll<Taken> {
        let mut state = self.0.borrow_mut();
        let some = !state.written.is_empty();
        let full = state.bytes >= SPACE_BYTES;
        let all = state.idle || full || state.closed.is_some();
        if some && (take == Take::Each || all) {
            if take == Take::AllOnce {
                state.open = false;
            }
            state.bytes = 0;
            let written = std::mem::take(&mut state.written);
            let texts = written.into_iter().flat_map(payloads).collect();
            wake(&mut state.session);
            return Poll::Ready(Taken::Texts(texts));
        }
        if let Some(close) = state.closed.clone().filter(|_| !some) {
            return Poll::Ready(Taken::Closed(close));
        }
        state.receiver = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl State {
    fn has_space(&self) -> bool {
        self.open && self.bytes < SPACE_BYTES
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
