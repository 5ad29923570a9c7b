//! The I/O state of a connection while hyper owns its socket: whether the last write found the socket full, and
//! whether the peer has closed its side. Requests read it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Written by a connection's stream, read by the requests on it.
#[derive(Debug, Default)]
pub(crate) struct IoState {
    held_up: Cell<bool>,
    /// How many responses watch for the peer's end.
    watches: Cell<usize>,
    ended: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl IoState {
    /// Returns whether the last write found the socket full. If not, and hyper has nothing more to write, the kernel
    /// has everything.
    pub(crate) fn held_up(&self) -> bool {
        self.held_up.get()
    }

    /// Notes whether the last write found the socket full.
    pub(crate) fn set_held_up(&self, held_up: bool) {
        self.held_up.set(held_up);
    }

    /// Returns whether a response watches for the peer's end, which has not come.
    pub(crate) fn is_watched(&self) -> bool {
        self.watches.get() > 0 && !self.ended.get()
    }

    /// Notes that the peer has closed its side.
    pub(crate) fn set_ended(&self) {
        self.ended.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Makes the stream check whether the peer has closed its side, as long as the watch exists. hyper does not check
    /// while a response is on its way.
    pub(crate) fn watch(self: &Rc<Self>) -> Watch {
        self.watches.set(self.watches.get() + 1);
        Watch(Rc::clone(self))
    }
}

/// See [`IoState::watch`].
#[derive(Debug)]
pub(crate) struct Watch(Rc<IoState>);

impl Watch {
    /// Waits until the peer closes its side.
    pub(crate) fn poll_ended(&self, cx: &Context<'_>) -> Poll<()> {
        if self.0.ended.get() {
            return Poll::Ready(());
        }
        *self.0.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.watches.set(self.0.watches.get() - 1);
    }
}
