//! What the log says of a session: for a subscriber of 2019 the lines of its hub, and for everyone, if
//! that is configured, the line of the access log, which is complete only at the end of the stream.

use std::cell::Cell;
use std::net::SocketAddr;

use tidings_core::dialect::Dialect;
use tidings_wire::sse::KEEP_ALIVE;

use crate::hub::posted::Posted;
use crate::telemetry::access::Access;

/// A session that the log mentions.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    /// Where a subscriber of 2019 comes from.
    peer: Option<Box<str>>,
    access: Option<Access>,
    /// Bytes of content sent.
    bytes: Cell<u64>,
}

impl Noted {
    /// Writes that a subscriber of 2019 came.
    pub(crate) fn of_2019(peer: SocketAddr) -> Self {
        let peer = peer.to_string();
        tracing::info!(remote_addr = peer, "New subscriber");
        Self {
            peer: Some(peer.into()),
            ..Self::default()
        }
    }

    /// Keeps the request for the end of the stream, whose content begins with this many bytes.
    pub(crate) fn log_at_end(&mut self, access: Access, bytes: u64) {
        self.access = Some(access);
        self.bytes.set(bytes);
    }

    /// Takes note of an update that was sent.
    pub(crate) fn on_sent(&self, posted: &Posted, dialect: Dialect) {
        if self.access.is_some() {
            let length = posted.frame(dialect).event_len();
            self.bytes.set(self.bytes.get() + length as u64);
        }
        if let Some(peer) = self.peer.as_deref() {
            let id = posted.update.id.as_str();
            tracing::info!(event_id = id, remote_addr = peer, "Event sent");
        }
    }

    /// Takes note of a comment that kept the stream open.
    pub(crate) fn on_keep_alive(&self) {
        self.bytes.set(self.bytes.get() + KEEP_ALIVE.len() as u64);
    }

    /// Writes what is to be said of the end.
    pub(crate) fn on_end(&self) {
        if let Some(peer) = self.peer.as_deref() {
            tracing::info!(remote_addr = peer, "Subscriber disconnected");
        }
        if let Some(access) = &self.access {
            access.write(200, self.bytes.get());
        }
    }
}
