//! What only a two-way session does: it frames texts for its peer, changes its identity, knows its own
//! updates, and holds a catch-up back until the peer was told of it.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use tidings_auth::Identity;
use tidings_wire::sockjs;
use tidings_wire::websocket::encoder;

use super::socket::Socket;
use super::{Ending, Phase, Session};
use crate::posted::{Encoding, Posted};

impl Session {
    /// Returns the frame that carries `text` to its peer.
    pub(crate) fn text(&self, text: &str) -> Bytes {
        if self.speaks_sockjs() {
            encoder::text(&sockjs::outbound::unicode_frame(text))
        } else {
            encoder::text(text)
        }
    }

    /// Returns whether a SockJS receiver takes what is written now. Only for a session that has no connection
    /// of its own.
    pub(crate) fn is_received(&self) -> bool {
        matches!(&self.socket, Socket::Carrier(carrier) if carrier.is_open())
    }

    /// Returns whether its texts travel in SockJS frames, in both directions.
    pub(crate) fn speaks_sockjs(&self) -> bool {
        matches!(self.encoding, Encoding::WebSocket(texts, _) if texts.in_sockjs)
    }

    /// Makes it read with another token from now on.
    pub(crate) fn identify(&self, identity: Option<Arc<Identity>>) {
        *self.identity.borrow_mut() = identity;
    }

    /// Returns whether its peer published this update and is not to receive it.
    pub(crate) fn is_echo_of(&self, posted: &Posted) -> bool {
        self.duplex
            .as_ref()
            .is_some_and(|duplex| duplex.protocol().is_echo(&posted.update))
    }

    /// Takes the next reply that waits.
    pub(crate) fn take_reply(&self) -> Option<Bytes> {
        self.duplex.as_ref()?.take_reply()
    }

    /// Waits until the socket takes more, in any phase.
    pub(crate) async fn socket_writable(&self) -> io::Result<()> {
        poll_fn(|cx| self.socket.poll_writable(cx)).await
    }

    /// Returns whether the peer has still to be told that a catch-up begins.
    pub(super) fn is_unannounced(&self) -> bool {
        self.duplex
            .as_ref()
            .is_some_and(|duplex| duplex.is_unannounced())
    }

    /// Waits until the peer was told that a catch-up begins.
    pub(super) async fn announced(&self) -> Result<(), Ending> {
        poll_fn(|cx| {
            if let Phase::Closing(ending) = self.phase() {
                return Poll::Ready(Err(ending));
            }
            self.keep_waker(cx);
            if self.is_unannounced() {
                Poll::Pending
            } else {
                Poll::Ready(Ok(()))
            }
        })
        .await
    }

    /// Returns the socket, for the reading half of the task.
    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }
}
