//! What is logged of a session. A subscriber in the 2019 dialect gets the log lines of that hub. With the
//! access log on, every session gets its line, which is complete only at the end of the stream.

use std::cell::Cell;
use std::fmt;

use tidings_core::dialect::Dialect;
use tidings_wire::sse::KEEP_ALIVE;

use crate::posted::Posted;

/// Called at the end of a session with the bytes of content that it sent.
pub(crate) type AtEnd = Box<dyn FnOnce(u64) + Send>;

/// What is logged of one session.
#[derive(Default)]
pub struct SessionLog {
    /// The address of a subscriber in the 2019 dialect.
    peer: Option<Box<str>>,
    at_end: Cell<Option<AtEnd>>,
    /// Whether the bytes are counted.
    counts: bool,
    /// Bytes of content sent.
    bytes: Cell<u64>,
}

impl SessionLog {
    /// Logs that a subscriber in the 2019 dialect connected.
    pub fn of_2019(peer: &str) -> Self {
        tracing::info!(remote_addr = peer, "New subscriber");
        Self {
            peer: Some(peer.into()),
            ..Self::default()
        }
    }

    /// Counts the bytes of content, beginning at `bytes`, and passes the sum to `at_end`.
    pub fn count_until_end(&mut self, bytes: u64, at_end: AtEnd) {
        self.at_end = Cell::new(Some(at_end));
        self.counts = true;
        self.bytes.set(bytes);
    }

    /// Counts and logs an update that was sent.
    pub(crate) fn on_sent(&self, posted: &Posted, dialect: Dialect) {
        if self.counts {
            let length = posted.frame(dialect).event_len();
            self.bytes.set(self.bytes.get() + length as u64);
        }
        if let Some(peer) = self.peer.as_deref() {
            let id = posted.update.id.as_str();
            tracing::info!(event_id = id, remote_addr = peer, "Event sent");
        }
    }

    /// Counts a keep-alive comment.
    pub(crate) fn on_keep_alive(&self) {
        self.bytes.set(self.bytes.get() + KEEP_ALIVE.len() as u64);
    }

    /// Logs the end of the session.
    pub(crate) fn on_end(&self) {
        if let Some(peer) = self.peer.as_deref() {
            tracing::info!(remote_addr = peer, "Subscriber disconnected");
        }
        if let Some(at_end) = self.at_end.take() {
            at_end(self.bytes.get());
        }
    }
}

impl fmt::Debug for SessionLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut noted = f.debug_struct("SessionLog");
        noted.field("peer", &self.peer).field("bytes", &self.bytes);
        noted.finish_non_exhaustive()
    }
}
