//! A session: one subscriber's state on its shard, and which updates it gets.
//!
//! While a session is live, the shard's sweep writes to it. While it is behind, its own task (`run`) reads
//! from the ring or the history, and writes when the socket takes more. Resuming after a reconnect and
//! catching up after a full socket are the same mechanism. [`progress`] owns the phase and the position.

pub mod carrier;
pub mod catching_up;
pub mod duplex;
mod ending;
pub mod log;
pub mod pipe;
pub mod progress;
pub mod protocol;
mod run;
pub mod service;
pub mod socket;
mod two_way;
mod waiting;
pub mod watcher;
pub mod websocket;

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::io;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use tidings_auth::Identity;
use tidings_core::dialect::Dialect;
use tidings_core::hub::SubscriberId;
use tidings_core::hub_url::HubUrl;
use tidings_core::index::MatcherId;
use tidings_core::matcher::Matcher;
use tidings_core::position::Position;
use tidings_history::sabotage::{Rule, skips};

use self::duplex::Duplex;
pub use self::ending::Ending;
use self::log::SessionLog;
pub use self::progress::Phase;
use self::progress::Progress;
pub use self::run::Opening;
pub(crate) use self::run::run;
use self::socket::{Sent, Socket};
use crate::account::{Booked, Holder};
use crate::metrics::Transport;
use crate::posted::{Encoding, Posted};
use crate::shard::timers::Tick;

/// Where a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the updates after it has joined.
    Now,
    /// After this position.
    After(Position),
    /// After this position. The subscriber is told that presence events that it may see are gone.
    AfterGap(Position),
    /// With the oldest update that the history keeps when reading begins.
    Oldest,
}

/// One subscriber's state on its shard. Small, since there may be a hundred thousand.
#[derive(Debug)]
pub struct Session {
    pub(crate) id: SubscriberId,
    pub(crate) encoding: Encoding,
    /// The Mercure version that its peer speaks.
    pub(crate) dialect: Dialect,
    /// What is logged of it, if anything.
    pub(crate) log: Option<Box<SessionLog>>,
    socket: Socket,
    /// Which updates it subscribes to.
    matchers: RefCell<Box<[Matcher]>>,
    /// The memory booked for them.
    booked: RefCell<Booked>,
    /// The ids of the matchers, in their order; empty until the router has interned them.
    interned: RefCell<Box<[MatcherId]>>,
    /// The identity and grants of its token; none for an anonymous subscriber.
    identity: RefCell<Option<Arc<Identity>>>,
    progress: RefCell<Progress>,
    began: Tick,
    last_sent: Cell<Tick>,
    deadline: Cell<Option<(Tick, Ending)>>,
    next_look: Cell<Tick>,
    stray: Cell<usize>,
    /// The receiving half, if it is two-way: over a WebSocket or SockJS.
    pub duplex: Option<Box<Duplex>>,
    waker: RefCell<Option<Waker>>,
    /// The holder that its memory is booked for.
    holder: Arc<Holder>,
}

/// What a session is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) id: SubscriberId,
    pub(crate) encoding: Encoding,
    pub(crate) dialect: Dialect,
    pub(crate) log: Option<Box<SessionLog>>,
    pub(crate) socket: Socket,
    pub(crate) matchers: Box<[Matcher]>,
    pub(crate) booked: Booked,
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) now: Tick,
    pub(crate) deadline: Option<(Tick, Ending)>,
    pub(crate) duplex: Option<Box<Duplex>>,
    pub(crate) holder: Arc<Holder>,
}

impl Session {
    /// Makes a session that is joining.
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            id: parts.id,
            encoding: parts.encoding,
            dialect: parts.dialect,
            log: parts.log,
            socket: parts.socket,
            matchers: RefCell::new(parts.matchers),
            booked: RefCell::new(parts.booked),
            interned: RefCell::default(),
            identity: RefCell::new(parts.identity),
            progress: RefCell::new(Progress::new()),
            began: parts.now,
            last_sent: Cell::new(parts.now),
            deadline: Cell::new(parts.deadline),
            next_look: Cell::new(parts.now),
            stray: Cell::new(0),
            duplex: parts.duplex,
            waker: RefCell::default(),
            holder: parts.holder,
        }
    }

    /// Logs an update that was sent, if this session is logged.
    pub(crate) fn note_sent(&self, posted: &Posted) {
        if let Some(log) = &self.log {
            log.on_sent(posted, self.dialect);
        }
    }

    /// Returns the identity of its token; none for an anonymous subscriber.
    pub(crate) fn identity(&self) -> Option<Arc<Identity>> {
        self.identity.borrow().clone()
    }

    /// Returns the holder that its memory is booked for.
    pub(crate) fn holder(&self) -> &Arc<Holder> {
        &self.holder
    }

    /// Returns the bytes of `posted` for this peer.
    pub(crate) fn bytes(&self, posted: &Posted) -> Bytes {
        self.encoding.bytes(posted, self.dialect)
    }

    /// Changes or reads its progress. If the phase changes, its task is woken.
    pub fn update<T>(&self, change: impl FnOnce(&mut Progress) -> T) -> T {
        let (before, result, phase) = {
            let mut progress = self.progress.borrow_mut();
            let before = progress.phase();
            let result = change(&mut progress);
            (before, result, progress.phase())
        };
        if phase != before {
            if let Socket::Carrier(carrier) = &self.socket {
                carrier.set_idle(phase == Phase::Live);
            }
            self.wake();
        }
        result
    }

    /// Returns its phase.
    pub fn phase(&self) -> Phase {
        self.progress.borrow().phase()
    }

    /// Returns the position after which it reads on.
    pub(crate) fn position(&self) -> Position {
        self.progress.borrow().position()
    }

    /// Returns whether it is live and has had everything that its shard has seen.
    pub fn is_up_to_date(&self) -> bool {
        self.progress.borrow().is_up_to_date()
    }

    /// Returns whether added matchers are still catching up.
    pub(crate) fn is_adding(&self) -> bool {
        self.progress.borrow().is_adding()
    }

    /// Asks its task to close it. The first reason counts.
    pub fn close(&self, ending: Ending) {
        self.update(|progress| progress.close(ending));
    }

    /// Returns its matchers.
    pub(crate) fn matchers(&self) -> Ref<'_, [Matcher]> {
        Ref::map(self.matchers.borrow(), |matchers| &**matchers)
    }

    /// Takes its matchers and their interned ids. The caller sets them again, or the session ends.
    pub(crate) fn take_matchers(&self) -> (Box<[Matcher]>, Box<[MatcherId]>) {
        (self.matchers.take(), self.interned.take())
    }

    /// Sets its matchers and their interned ids.
    pub(crate) fn set_matchers(&self, matchers: Box<[Matcher]>, ids: Box<[MatcherId]>) {
        *self.matchers.borrow_mut() = matchers;
        *self.interned.borrow_mut() = ids;
    }

    /// Sets the ids of its matchers, which the router has interned.
    pub(crate) fn set_interned(&self, ids: Box<[MatcherId]>) {
        *self.interned.borrow_mut() = ids;
    }

    /// Takes the ids of its matchers.
    pub(crate) fn take_interned(&self) -> Box<[MatcherId]> {
        self.interned.take()
    }

    /// Returns what is booked for its matchers.
    pub(crate) fn booked(&self) -> RefMut<'_, Booked> {
        self.booked.borrow_mut()
    }

    /// Returns when it began.
    pub(crate) fn began(&self) -> Tick {
        self.began
    }

    /// Returns the position up to which it has received everything, if its shard has seen everything
    /// up to `last`. None while it has not begun to read.
    pub(crate) fn reached(&self, last: Position) -> Option<Position> {
        let progress = self.progress.borrow();
        match progress.phase() {
            Phase::Joining => None,
            Phase::Behind | Phase::Live | Phase::Closing(_) => progress.reached(last),
        }
    }

    /// Returns when a write to it was last tried.
    pub(crate) fn last_sent(&self) -> Tick {
        self.last_sent.get()
    }

    /// Notes that a write to it was tried at `now`.
    pub(crate) fn set_last_sent(&self, now: Tick) {
        self.last_sent.set(now);
    }

    /// Returns when it ends at the latest, and why.
    pub(crate) fn deadline(&self) -> Option<(Tick, Ending)> {
        self.deadline.get()
    }

    /// Sets when it ends at the latest.
    pub(crate) fn set_deadline(&self, deadline: Option<(Tick, Ending)>) {
        self.deadline.set(deadline);
    }

    /// Returns when the engine looks at it next.
    pub(crate) fn next_look(&self) -> Tick {
        self.next_look.get()
    }

    /// Sets when the engine looks at it next.
    pub(crate) fn set_next_look(&self, tick: Tick) {
        self.next_look.set(tick);
    }

    /// Wakes the session's task.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Makes its task read on after `next`, once it has sent the `tail` of an event that was cut.
    pub(crate) fn fall_behind(&self, next: Position, tail: Bytes) {
        // A SockJS session without a receiver is always behind. That does not count as lagging.
        let lagging = !self.is_carried();
        self.update(|progress| progress.fall_behind(next, tail, lagging));
    }

    /// Returns whether another task writes to the connection: hyper for an HTTP/2 stream, or a SockJS
    /// receiver. Such a socket takes all of a write or nothing.
    pub(crate) fn is_body(&self) -> bool {
        matches!(
            self.socket,
            Socket::Body(_) | Socket::Pipe(_) | Socket::Carrier(_)
        )
    }

    /// Returns whether it has a WebSocket of its own.
    pub(crate) fn is_websocket(&self) -> bool {
        self.duplex.is_some() && !self.is_carried()
    }

    /// Returns how its updates reach it.
    pub(crate) fn transport(&self) -> Transport {
        match self.encoding {
            Encoding::Lines => Transport::LongPoll,
            Encoding::WebSocket(texts, _) if texts.in_sockjs => Transport::SockJs,
            Encoding::WebSocket(..) => Transport::WebSocket,
            Encoding::Chunked | Encoding::Plain => Transport::Sse,
        }
    }

    /// Returns whether it has no connection of its own.
    pub(crate) fn is_carried(&self) -> bool {
        matches!(self.socket, Socket::Carrier(_))
    }

    /// Writes as much as the socket takes without waiting.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub(crate) fn try_send(&self, bytes: &Bytes) -> io::Result<Sent> {
        self.socket.try_send(bytes)
    }
}

/// Whether an update is for a subscriber, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A matcher selects it, and it is public or granted.
    Receives,
    /// No matcher selects it.
    NotSelected,
    /// A matcher selects it, but it is private and the token does not grant it.
    NotGranted,
    /// The subscriber published it itself, by a protocol that sends nothing back to its sender.
    Echo,
}

/// Returns whether an update is for a subscriber: asked for by a matcher, and public or granted.
pub(crate) fn concerns(session: &Session, posted: &Posted, hub: &HubUrl) -> bool {
    verdict(session, posted, hub) == Verdict::Receives
}

/// Returns whether an update is for a subscriber, or why not.
pub(crate) fn verdict(session: &Session, posted: &Posted, hub: &HubUrl) -> Verdict {
    let update = &posted.update;
    if session.is_echo_of(posted) {
        return Verdict::Echo;
    }
    let selects = |matcher: &Matcher| posted.is_selected_by(matcher, hub);
    let matchers = session.matchers();
    // While added matchers catch up, the earlier ones have had these updates.
    let scope = session
        .progress
        .borrow()
        .scope(update.position, matchers.len());
    let old = matchers.get(..scope.had).unwrap_or_default();
    let new = matchers.get(scope.had..scope.until).unwrap_or_default();
    let wanted = new.iter().any(selects) && !old.iter().any(selects);
    let granted =
        || skips(Rule::AskGrantsOnReplay) || may_read(session.identity().as_deref(), posted, hub);
    match wanted {
        false => Verdict::NotSelected,
        true if granted() => Verdict::Receives,
        true => Verdict::NotGranted,
    }
}

/// Returns whether a token lets a subscriber read an update.
///
/// Mercure, "Subscribers": a private update needs a `subscribe` grant on one of its topics. An
/// anonymous subscriber reads what is public.
pub(crate) fn may_read(identity: Option<&Identity>, posted: &Posted, hub: &HubUrl) -> bool {
    posted.is_readable_with(identity.map(|identity| &*identity.grants), hub)
}

#[cfg(test)]
mod tests;
