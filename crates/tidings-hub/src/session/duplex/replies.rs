//! Replies that wait until the session can write them, and when the peer is not read from because of them.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Duplex;

/// Bytes of replies that may wait for a peer. A peer with more is not read from.
pub(super) const WAITING_BYTES_MAX: usize = 64 * 1024;
/// Updates that one peer may have on their way to the history.
const PUBLISHING_MAX: usize = 64;

/// The frames that wait, oldest first, and the replies that are still to come.
#[derive(Debug, Default)]
pub(super) struct Replies {
    waiting: VecDeque<Bytes>,
    bytes: usize,
    /// Updates on their way to the history. Each gets a reply.
    publishing: usize,
}

impl Duplex {
    /// Returns whether the peer is not read from for now, because replies wait or are still to come.
    pub(crate) fn is_input_paused(&self) -> bool {
        let replies = self.replies.borrow();
        // If all peers together hold too much, each goes on once its own replies were taken.
        let spent = || replies.bytes > 0 && !self.charge.borrow().may_hold();
        replies.bytes > WAITING_BYTES_MAX || spent() || replies.publishing >= PUBLISHING_MAX
    }

    /// Keeps a reply until the session can write it.
    pub(crate) fn keep_reply(&self, bytes: Bytes) {
        // Booked beyond the limits if need be: a peer that is over them is not read from.
        self.charge.borrow_mut().add(bytes.len());
        let mut replies = self.replies.borrow_mut();
        replies.bytes += bytes.len();
        replies.waiting.push_back(bytes);
    }

    /// Takes the next reply that waits.
    pub(crate) fn take_reply(&self) -> Option<Bytes> {
        let mut replies = self.replies.borrow_mut();
        let bytes = replies.waiting.pop_front()?;
        if replies.waiting.is_empty() {
            // An idle peer keeps no buffer.
            replies.waiting = VecDeque::new();
        }
        replies.bytes -= bytes.len();
        self.charge.borrow_mut().give_back(bytes.len());
        Some(bytes)
    }

    /// Counts an update that is on its way to the history.
    pub(crate) fn on_publishing(&self) {
        self.replies.borrow_mut().publishing += 1;
    }

    /// Counts that the history has taken or refused one.
    pub(crate) fn on_published(&self) {
        let mut replies = self.replies.borrow_mut();
        replies.publishing = replies.publishing.saturating_sub(1);
    }
}
