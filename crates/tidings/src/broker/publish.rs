//! PUB and XPUB: each message goes to all peers that subscribed to a prefix of it. A slow peer
//! loses messages beyond its high-water mark and delays nobody.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use bytes::BytesMut;
use hashbrown::HashSet;
use slab::Slab;
use tidings_wire::zmtp::decoder::Extent;
use tidings_wire::zmtp::prefixes::Prefixes;
use tidings_wire::zmtp::{ProtocolError, SUBSCRIPTION_BYTES_MAX, SocketType};

use super::Shared;
use super::outbox::Chunk;
use super::session::Session;
use tidings_hub::metrics::count_many;

/// Maximum number of nodes in the subscription tree.
const NODES_MAX: usize = 1024 * 1024;
/// One peer may use this fraction of the free nodes. However many a few peers use, the next one has
/// space; the first may use a fifth of all.
const SHARE_OF_FREE: usize = 4;

/// A publishing socket.
pub(crate) struct Publisher {
    shared: Rc<Shared>,
    sessions: RefCell<Slab<Rc<Session>>>,
    prefixes: RefCell<Prefixes>,
    /// The subscriptions of each peer, by its number.
    subscriptions: RefCell<HashMap<usize, Own>>,
    socket_type: SocketType,
    dropped: Cell<u64>,
}

/// The subscriptions of one peer.
#[derive(Default)]
struct Own {
    prefixes: HashSet<Box<[u8]>>,
    /// Their size in bytes: an upper bound of the nodes they need.
    bytes: usize,
}

impl Publisher {
    /// Makes a socket without peers.
    pub(crate) fn new(shared: &Rc<Shared>, socket_type: SocketType) -> Self {
        Self {
            shared: Rc::clone(shared),
            sessions: RefCell::default(),
            prefixes: RefCell::default(),
            subscriptions: RefCell::default(),
            socket_type,
            dropped: Cell::new(0),
        }
    }

    /// Adds a peer. It receives nothing until it subscribes.
    pub(crate) fn enter(&self, mut session: Session) -> Rc<Session> {
        let mut sessions = self.sessions.borrow_mut();
        let entry = sessions.vacant_entry();
        session.key = entry.key();
        let session = Rc::new(session);
        entry.insert(Rc::clone(&session));
        session
    }

    /// Removes a peer.
    pub(crate) fn leave(&self, session: &Session) {
        let own = self.subscriptions.borrow_mut().remove(&session.key);
        let mut prefixes = self.prefixes.borrow_mut();
        for prefix in own.into_iter().flat_map(|own| own.prefixes) {
            prefixes.remove(&prefix, number(session.key));
            self.shared.counters.subscriptions.dec();
        }
        self.sessions.borrow_mut().remove(session.key);
    }

    /// Adds a peer's subscription.
    ///
    /// # Errors
    ///
    /// The limit that the peer's subscriptions exceed.
    pub(crate) fn subscribe(&self, session: &Session, prefix: &[u8]) -> Result<(), ProtocolError> {
        if prefix.len() > SUBSCRIPTION_BYTES_MAX {
            let bytes = prefix.len();
            return Err(ProtocolError::SubscriptionTooLong { bytes });
        }
        let mut subscriptions = self.subscriptions.borrow_mut();
        let own = subscriptions.entry(session.key).or_default();
        let mut prefixes = self.prefixes.borrow_mut();
        if own.prefixes.contains(prefix) {
            return Ok(());
        }
        let max = self.shared.limits.subscriptions_max;
        if own.prefixes.len() >= max {
            return Err(ProtocolError::TooManySubscriptions { max });
        }
        let bytes = own.bytes + prefix.len();
        let bytes_max = NODES_MAX.saturating_sub(prefixes.len()) / SHARE_OF_FREE;
        if bytes > bytes_max {
            return Err(ProtocolError::SubscriptionsTooLong { max: bytes_max });
        }
        own.bytes = bytes;
        own.prefixes.insert(prefix.into());
        prefixes.insert(prefix, number(session.key));
        self.shared.counters.subscriptions.inc();
        Ok(())
    }

    /// Removes a peer's subscription.
    pub(crate) fn cancel(&self, session: &Session, prefix: &[u8]) {
        let mut subscriptions = self.subscriptions.borrow_mut();
        let own = subscriptions.get_mut(&session.key);
        if let Some(own) = own
            && own.prefixes.remove(prefix)
        {
            own.bytes -= prefix.len();
            let mut prefixes = self.prefixes.borrow_mut();
            prefixes.remove(prefix, number(session.key));
            self.shared.counters.subscriptions.dec();
        }
    }

    /// Reads the subscriptions that peers of ZMTP 3.0 send as messages.
    ///
    /// # Errors
    ///
    /// An exceeded limit, or a message that is not a subscription.
    pub(crate) fn on_chunk(&self, session: &Session, chunk: &Chunk) -> Result<(), ProtocolError> {
        for extent in &chunk.messages {
            match first_part(chunk, extent).split_first() {
                Some((1, prefix)) if extent.parts == 1 => self.subscribe(session, prefix)?,
                Some((0, prefix)) if extent.parts == 1 => self.cancel(session, prefix),
                // An XSUB peer may send arbitrary messages upstream.
                _ if self.socket_type == SocketType::XPub => {}
                _ => return Err(ProtocolError::UnexpectedMessage(SocketType::Sub)),
            }
        }
        Ok(())
    }

    /// Queues each message for the peers that subscribed to it. Never waits.
    pub(crate) fn publish(&self, chunk: &Chunk) {
        let sessions = self.sessions.borrow();
        let prefixes = self.prefixes.borrow();
        for &key in prefixes.everything() {
            if let Some(session) = sessions.get(key as usize) {
                self.give(session, chunk, 0..chunk.messages.len());
                session.wake();
            }
        }
        if prefixes.only_everything() {
            return;
        }
        let all: HashSet<u32> = prefixes.everything().iter().copied().collect();
        let mut touched: Vec<&Rc<Session>> = Vec::new();
        for (index, extent) in chunk.messages.iter().enumerate() {
            prefixes.visit(first_part(chunk, extent), |key| {
                let Some(session) = sessions.get(key as usize) else {
                    return;
                };
                let mut picked = session.picked.borrow_mut();
                if all.contains(&key) || picked.last() == Some(&index) {
                    return;
                }
                if picked.is_empty() {
                    touched.push(session);
                }
                picked.push(index);
            });
        }
        for session in touched {
            let picked = std::mem::take(&mut *session.picked.borrow_mut());
            self.give_picked(session, chunk, &picked);
            session.wake();
        }
    }

    fn give_picked(&self, session: &Session, chunk: &Chunk, picked: &[usize]) {
        let bytes: usize = picked.iter().map(|&index| chunk.range(index).len()).sum();
        if bytes * 2 >= chunk.wire.len() {
            for run in picked.chunk_by(|one, next| one + 1 == *next) {
                if let (Some(&first), Some(&last)) = (run.first(), run.last()) {
                    self.give(session, chunk, first..last + 1);
                }
            }
            return;
        }
        // A small part of a large chunk must not keep the whole chunk in memory.
        let mut wire = BytesMut::with_capacity(bytes);
        let mut messages = Vec::with_capacity(picked.len());
        for &index in picked {
            let range = chunk.range(index);
            wire.extend_from_slice(chunk.wire.get(range).unwrap_or_default());
            if let Some(extent) = chunk.messages.get(index) {
                let end = wire.len();
                messages.push(Extent { end, ..*extent });
            }
        }
        let wire = wire.freeze();
        let count = messages.len();
        let place = None;
        let chunk = Chunk {
            wire,
            messages,
            place,
        };
        self.give(session, &chunk, 0..count);
    }

    fn give(&self, session: &Session, chunk: &Chunk, indexes: std::ops::Range<usize>) {
        let mut outbox = session.outbox.borrow_mut();
        let before = outbox.bytes();
        let total = self.shared.queued.get();
        let lost = outbox.offer(chunk, indexes, &self.shared.limits, total);
        self.shared.on_queue(before, outbox.bytes());
        if lost > 0 {
            self.on_lost(lost as u64);
        }
    }

    fn on_lost(&self, lost: u64) {
        count_many(&self.shared.counters.dropped, "high_water_mark", lost);
        let before = self.dropped.replace(self.dropped.get() + lost);
        // Logs the first loss, and then each power of ten.
        if before == 0 || before.ilog10() != (before + lost).ilog10() {
            tracing::warn!(
                socket = self.socket_type.name(),
                dropped = before + lost,
                "a subscriber is too slow and loses messages"
            );
        }
    }
}

fn first_part<'a>(chunk: &'a Chunk, extent: &Extent) -> &'a [u8] {
    let end = extent.first + extent.first_len;
    chunk.wire.get(extent.first..end).unwrap_or_default()
}

/// A peer's number in the subscription tree; there are far fewer connections than numbers.
fn number(key: usize) -> u32 {
    u32::try_from(key).unwrap_or(u32::MAX)
}
