//! PUSH: each message goes to one peer, in turn. Messages without a peer are queued, up to the
//! mark.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

use slab::Slab;
use tidings_core::position::Position;
use tokio::sync::Notify;

use super::Shared;
use super::outbox::{Chunk, Outbox};
use super::session::Session;
use tidings_hub::metrics::count_many;

/// A pushing socket.
pub(crate) struct Pusher {
    shared: Rc<Shared>,
    sessions: RefCell<Slab<Rc<Session>>>,
    /// Messages without a peer, including those of peers that disconnected.
    waiting: RefCell<Outbox>,
    /// The peer whose turn it is.
    turn: Cell<usize>,
    space: Notify,
}

impl Pusher {
    /// Makes a socket without peers.
    pub(crate) fn new(shared: &Rc<Shared>) -> Self {
        Self {
            shared: Rc::clone(shared),
            sessions: RefCell::default(),
            waiting: RefCell::default(),
            turn: Cell::new(0),
            space: Notify::new(),
        }
    }

    /// Adds a peer, which gets the queued messages.
    pub(crate) fn enter(&self, mut session: Session) -> Rc<Session> {
        let mut sessions = self.sessions.borrow_mut();
        let entry = sessions.vacant_entry();
        session.key = entry.key();
        self.waiting
            .borrow_mut()
            .give_back(&mut session.outbox.borrow_mut());
        let session = Rc::new(session);
        entry.insert(Rc::clone(&session));
        self.space.notify_waiters();
        session
    }

    /// Removes a peer. Messages that were not partly written to it wait for another peer.
    pub(crate) fn leave(&self, session: &Session) {
        self.sessions.borrow_mut().remove(session.key);
        let mut outbox = session.outbox.borrow_mut();
        let lost = outbox.give_back(&mut self.waiting.borrow_mut());
        count_many(&self.shared.counters.dropped, "disconnected", lost as u64);
    }

    /// Wakes the tasks that wait for space.
    pub(crate) fn on_space(&self) {
        self.space.notify_waiters();
    }

    /// Queues messages, waiting while all peers are full.
    pub(crate) async fn push(&self, chunk: &Chunk) {
        let mut rest = 0..chunk.messages.len();
        loop {
            let space = self.space.notified();
            rest = self.spread(chunk, rest);
            if rest.is_empty() {
                return;
            }
            space.await;
        }
    }

    /// Queues messages. Messages without space are dropped and counted.
    pub(crate) fn offer(&self, chunk: &Chunk) {
        let rest = self.spread(chunk, 0..chunk.messages.len());
        if !rest.is_empty() {
            let lost = rest.len() as u64;
            count_many(&self.shared.counters.dropped, "no_receiver", lost);
        }
    }

    /// Returns the place of the first update that is not written to a peer completely.
    pub(crate) fn unsent(&self) -> Option<Position> {
        let sessions = self.sessions.borrow();
        let waiting = self.waiting.borrow().first_place();
        let queued = sessions
            .iter()
            .filter_map(|(_, session)| session.outbox.borrow().first_place());
        queued.chain(waiting).min()
    }

    /// Drops what is queued and not partly written to a peer.
    pub(crate) fn clear(&self) {
        self.waiting.borrow_mut().clear();
        for (_, session) in &*self.sessions.borrow() {
            let mut outbox = session.outbox.borrow_mut();
            let before = outbox.bytes();
            outbox.clear();
            self.shared.on_queue(before, outbox.bytes());
        }
    }

    /// Queues as many messages as there is space for. Returns the others.
    fn spread(&self, chunk: &Chunk, mut rest: Range<usize>) -> Range<usize> {
        let sessions = self.sessions.borrow();
        let limits = &self.shared.limits;
        if sessions.is_empty() {
            let mut waiting = self.waiting.borrow_mut();
            let lost = waiting.offer(chunk, rest.clone(), limits, 0);
            return rest.end - lost..rest.end;
        }
        while !rest.is_empty() {
            let open =
                |(_, session): &(usize, &Rc<Session>)| session.outbox.borrow().has_space(limits);
            let turn = self.turn.get();
            let next = sessions.iter().filter(open).find(|(key, _)| *key >= turn);
            let Some((key, session)) = next.or_else(|| sessions.iter().find(open)) else {
                break;
            };
            self.turn.set(key + 1);
            // A single peer gets everything at once; several peers get one message each, in turn.
            let count = if sessions.len() == 1 { rest.len() } else { 1 };
            let given = rest.start..rest.start + count;
            let mut outbox = session.outbox.borrow_mut();
            let before = outbox.bytes();
            let lost = outbox.offer(chunk, given, limits, 0);
            self.shared.on_queue(before, outbox.bytes());
            rest.start += count - lost;
            session.wake();
            if lost > 0 {
                break;
            }
        }
        rest
    }
}
