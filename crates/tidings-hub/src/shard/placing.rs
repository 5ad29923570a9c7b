//! Which shard holds a stream. If another shard has far fewer sessions, the socket moves there.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::net::TcpStream;

use super::{Adoption, Inbox, Shard, Subscription};
use crate::account::Holder;
use crate::metrics::count;
use crate::session::Opening;
use crate::session::socket::Socket;

/// Sessions that a shard may have more than another one before a new stream is moved there.
const IMBALANCE_MAX: usize = 8;

impl Shard {
    /// Moves a stream of this shard's connection to the shard with the fewest sessions, or keeps it here if the
    /// difference is small.
    pub fn place(
        self: &Rc<Self>,
        socket: TcpStream,
        tls: Option<Box<rustls::ServerConnection>>,
        rest: (Subscription, Bytes, Arc<Holder>),
    ) {
        let (subscription, head, holder) = rest;
        let (index, inbox) = self.least_loaded();
        if index == self.index {
            self.hold(
                to_socket(socket, tls),
                subscription,
                Opening::Head(head),
                holder,
            );
            return;
        }
        let Ok(socket) = socket.into_std() else {
            return count(&self.metrics().connections_failed, "move");
        };
        let adoption = Box::new(Adoption {
            socket,
            tls,
            subscription,
            head,
            holder,
        });
        match inbox.try_adopt(adoption) {
            None => {
                self.metrics().sockets_moved.inc();
            }
            Some(adoption) => self.adopt(*adoption),
        }
    }

    fn least_loaded(&self) -> (usize, &Inbox) {
        let load = |index: usize| {
            self.shared
                .loads
                .get(index)
                .map_or(usize::MAX, |load| load.load(Ordering::Relaxed))
        };
        let least = (0..self.shared.loads.len())
            .min_by_key(|&index| load(index))
            .unwrap_or(self.index);
        let index = if load(self.index) <= load(least).saturating_add(IMBALANCE_MAX) {
            self.index
        } else {
            least
        };
        #[expect(clippy::expect_used, reason = "there are as many inboxes as loads")]
        (
            index,
            self.shared
                .inboxes
                .get(index)
                .expect("one inbox for each shard"),
        )
    }

    /// Makes a session for a stream that was moved here.
    pub(crate) fn adopt(self: &Rc<Self>, adoption: Adoption) {
        let Adoption {
            socket,
            tls,
            subscription,
            head,
            holder,
        } = adoption;
        match TcpStream::from_std(socket) {
            Ok(socket) => {
                self.hold(
                    to_socket(socket, tls),
                    subscription,
                    Opening::Head(head),
                    holder,
                );
            }
            Err(error) => {
                tracing::warn!(%error, "a moved socket could not be registered");
                count(&self.metrics().connections_failed, "move");
            }
        }
    }
}

fn to_socket(socket: TcpStream, tls: Option<Box<rustls::ServerConnection>>) -> Socket {
    match tls {
        Some(tls) => Socket::tls(socket, *tls),
        None => Socket::Plain(socket),
    }
}
