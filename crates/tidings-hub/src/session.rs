//! One subscriber's event stream, from joining to its end.
//!
//! While it is live, the shard's sweep writes to it. While it is behind, its own task reads on from
//! the ring or the history and writes when the socket takes more: resuming after a reconnect and
//! catching up after a full socket are the same thing. Where it stands, [`progress`] decides.

pub mod carrier;
pub mod catching_up;
pub mod duplex;
pub mod log;
pub mod pipe;
pub mod progress;
pub mod protocol;
pub mod service;
pub mod socket;
pub mod watcher;
pub mod websocket;

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tidings_auth::Identity;
use tidings_core::dialect::Dialect;
use tidings_core::hub::SubscriberId;
use tidings_core::hub_url::HubUrl;
use tidings_core::index::MatcherId;
use tidings_core::matcher::{Matcher, MatcherType};
use tidings_core::position::Position;
use tidings_history::sabotage::{Rule, skips};
use tidings_wire::frame::LAST_CHUNK;
use tokio::sync::oneshot;

use self::duplex::Duplex;
use self::log::SessionLog;
pub use self::progress::Phase;
use self::progress::Progress;
use self::socket::{Input, Sent, Socket};
use crate::account::{Booked, COVERED_BYTES_MAX, Charge, Holder, Kind};
use crate::posted::{Encoding, Posted};
use crate::router::Ticket;
use crate::shard::Shard;
use crate::shard::timers::Tick;

/// Bytes that a subscriber may send after its request before it is taken for hostile.
const STRAY_BYTES_MAX: usize = 64 * 1024;
/// How long the last bytes of a stream may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a stream ended; the words of `tidings_sessions_closed_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The peer went away.
    PeerClosed,
    /// A write failed.
    Broken,
    /// The token's `exp` came.
    TokenExpired,
    /// The connection lived as long as the configuration allows.
    Lifetime,
    /// The peer took nothing for too long.
    Stalled,
    /// Retention removed what the subscriber had still to read.
    Overtaken,
    /// The history could not be read.
    HistoryUnreadable,
    /// The peer sent more than it may: after the request of an event stream, or frames in a second.
    Flooding,
    /// The poll that it was for has its answer.
    Answered,
    /// The peer said that it ends, by a close frame.
    Closed,
    /// The peer broke a rule of WebSocket.
    Violation,
    /// The peer asked for what it may not have, and there is no other way to say it.
    Refused,
    /// The peer did not answer a ping.
    Silent,
    /// No token came in time.
    Anonymous,
    /// There was no room for what the hub would have had to hold for the peer.
    HeldBytes,
    /// The hub is being stopped.
    Drained,
}

impl Ending {
    /// Returns the word used in metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PeerClosed => "peer_closed",
            Self::Broken => "broken",
            Self::TokenExpired => "token_expired",
            Self::Lifetime => "lifetime",
            Self::Stalled => "stalled",
            Self::Overtaken => "overtaken",
            Self::HistoryUnreadable => "history_unreadable",
            Self::Flooding => "flooding",
            Self::Answered => "answered",
            Self::Closed => "closed",
            Self::Violation => "violation",
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::Anonymous => "anonymous",
            Self::HeldBytes => "held_bytes",
            Self::Drained => "drained",
        }
    }

    /// Returns whether the peer may still be listening, so that the stream ends in good form.
    fn has_farewell(self) -> bool {
        match self {
            Self::TokenExpired
            | Self::Lifetime
            | Self::Overtaken
            | Self::HistoryUnreadable
            | Self::Drained => true,
            Self::PeerClosed
            | Self::Broken
            | Self::Stalled
            | Self::Flooding
            | Self::Answered
            | Self::Closed
            | Self::Violation
            | Self::Refused
            | Self::Silent
            | Self::Anonymous
            | Self::HeldBytes => false,
        }
    }
}

/// Where a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what comes after joining.
    Now,
    /// After a position of the history.
    After(Position),
    /// After a position, and the subscriber is told that presence events which it may see are gone.
    AfterGap(Position),
    /// With the oldest update that is kept once reading begins.
    Oldest,
}

/// One subscriber's state on its shard. Small, since there may be a hundred thousand.
#[derive(Debug)]
pub struct Session {
    pub(crate) id: SubscriberId,
    pub(crate) encoding: Encoding,
    /// Which Mercure it speaks.
    pub(crate) dialect: Dialect,
    /// What the log says of it, if it mentions it.
    pub(crate) log: Option<Box<SessionLog>>,
    socket: Socket,
    /// What it asks for.
    matchers: RefCell<Box<[Matcher]>>,
    /// What is held for it because of them.
    booked: RefCell<Booked>,
    /// The same in the same order, interned by the router; empty until joined.
    interned: RefCell<Box<[MatcherId]>>,
    /// Who it is and what it may read, by its token; none for an anonymous subscriber.
    identity: RefCell<Option<Arc<Identity>>>,
    progress: RefCell<Progress>,
    last_sent: Cell<Tick>,
    deadline: Cell<Option<(Tick, Ending)>>,
    next_look: Cell<Tick>,
    stray: Cell<usize>,
    /// What it has beside if its peer may say something: a WebSocket.
    pub duplex: Option<Box<Duplex>>,
    waker: RefCell<Option<Waker>>,
    /// Whose memory it is that it holds.
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
            last_sent: Cell::new(parts.now),
            deadline: Cell::new(parts.deadline),
            next_look: Cell::new(parts.now),
            stray: Cell::new(0),
            duplex: parts.duplex,
            waker: RefCell::default(),
            holder: parts.holder,
        }
    }

    /// Writes into the log that an update was sent, if that is to be noted.
    pub(crate) fn note_sent(&self, posted: &Posted) {
        if let Some(log) = &self.log {
            log.on_sent(posted, self.dialect);
        }
    }

    /// Returns who it is, by its token; nothing for an anonymous subscriber.
    pub(crate) fn identity(&self) -> Option<Arc<Identity>> {
        self.identity.borrow().clone()
    }

    /// Returns whose memory it is that the session holds.
    pub(crate) fn holder(&self) -> &Arc<Holder> {
        &self.holder
    }

    /// Returns the bytes of `posted` for this peer.
    pub(crate) fn bytes(&self, posted: &Posted) -> Bytes {
        self.encoding.bytes(posted, self.dialect)
    }

    /// Changes where it stands, or asks for it. If it is in another phase then, its task sees it.
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

    /// Returns where it stands.
    pub fn phase(&self) -> Phase {
        self.progress.borrow().phase()
    }

    /// Returns the position that it reads on after.
    pub(crate) fn position(&self) -> Position {
        self.progress.borrow().position()
    }

    /// Returns whether all that its shard has seen was handed over, or was not for it.
    pub fn is_up_to_date(&self) -> bool {
        self.progress.borrow().is_up_to_date()
    }

    /// Returns whether matchers that were added have not had everything yet.
    pub(crate) fn is_adding(&self) -> bool {
        self.progress.borrow().is_adding()
    }

    /// Lets its task close it; the first reason counts.
    pub fn close(&self, ending: Ending) {
        self.update(|progress| progress.close(ending));
    }

    /// Returns what it asks for.
    pub(crate) fn matchers(&self) -> Ref<'_, [Matcher]> {
        Ref::map(self.matchers.borrow(), |matchers| &**matchers)
    }

    /// Takes what it asks for, with the ids that the router gave. To be set again, or for good.
    pub(crate) fn take_matchers(&self) -> (Box<[Matcher]>, Box<[MatcherId]>) {
        (self.matchers.take(), self.interned.take())
    }

    /// Sets what it asks for.
    pub(crate) fn set_matchers(&self, matchers: Box<[Matcher]>, ids: Box<[MatcherId]>) {
        *self.matchers.borrow_mut() = matchers;
        *self.interned.borrow_mut() = ids;
    }

    /// Sets the ids that the router gave to what it asks for.
    pub(crate) fn set_interned(&self, ids: Box<[MatcherId]>) {
        *self.interned.borrow_mut() = ids;
    }

    /// Takes the ids that the router gave.
    pub(crate) fn take_interned(&self) -> Box<[MatcherId]> {
        self.interned.take()
    }

    /// Returns what is held for it because of its matchers.
    pub(crate) fn booked(&self) -> RefMut<'_, Booked> {
        self.booked.borrow_mut()
    }

    /// Returns when something was last sent to it, or at least tried.
    pub(crate) fn last_sent(&self) -> Tick {
        self.last_sent.get()
    }

    /// Notes that something was sent to it.
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

    /// Lets the session's task look around.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Lets its task read on after `next`, once the `tail` of the event that was cut is out.
    pub(crate) fn fall_behind(&self, next: Position, tail: Bytes) {
        // Without a receiver a session of SockJS is always behind; that is not lagging.
        let lagging = !self.is_carried();
        self.update(|progress| progress.fall_behind(next, tail, lagging));
    }

    /// Returns whether somebody else writes the stream: hyper into a stream of HTTP/2, or receivers of
    /// SockJS. Such a socket takes all or nothing.
    pub(crate) fn is_body(&self) -> bool {
        matches!(
            self.socket,
            Socket::Body(_) | Socket::Pipe(_) | Socket::Carrier(_)
        )
    }

    /// Returns whether its peer speaks by a WebSocket of its own.
    pub(crate) fn is_websocket(&self) -> bool {
        self.duplex.is_some() && !self.is_carried()
    }

    /// Returns whether it has no connection of its own.
    pub(crate) fn is_carried(&self) -> bool {
        matches!(self.socket, Socket::Carrier(_))
    }

    /// Writes what the socket takes at once.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub(crate) fn try_send(&self, bytes: &Bytes) -> io::Result<Sent> {
        self.socket.try_send(bytes)
    }

    /// Waits for a phase other than `phase`, or for the end of the peer.
    async fn leave(&self, phase: Phase) -> Result<(), Ending> {
        loop {
            poll_fn(|cx| self.poll_event(phase, cx)).await?;
            if self.phase() != phase {
                return Ok(());
            }
        }
    }

    fn poll_event(&self, phase: Phase, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        if self.phase() != phase {
            return Poll::Ready(Ok(()));
        }
        self.keep_waker(cx);
        if self.duplex.is_some() {
            // What it says is read by the other half of its task.
            return Poll::Pending;
        }
        loop {
            match self.socket.poll_readable(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Ending::Broken)),
                Poll::Ready(Ok(())) => self.on_readable()?,
            }
        }
    }

    fn keep_waker(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
    }

    fn on_readable(&self) -> Result<(), Ending> {
        match self.socket.discard_input() {
            Ok(Input::Closed) => Err(Ending::PeerClosed),
            Err(_) => Err(Ending::Broken),
            Ok(Input::Stray(count)) => {
                self.stray.set(self.stray.get().saturating_add(count));
                if self.stray.get() > STRAY_BYTES_MAX {
                    Err(Ending::Flooding)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Waits until everything handed over so far is out and the socket may take more. What is held
    /// meanwhile is booked: that, and the `rest` of what is to be sent.
    ///
    /// # Errors
    ///
    /// How the stream ends: the connection broke, the peer took nothing for `stall`, there is no room
    /// for what is held, or the session was told to close meanwhile.
    pub(crate) async fn writable(&self, rest: usize, stall: Duration) -> Result<(), Ending> {
        let mut charge = None;
        let ready = poll_fn(|cx| {
            if let Phase::Closing(ending) = self.phase() {
                return Poll::Ready(Err(ending));
            }
            self.keep_waker(cx);
            let ready = self.socket.poll_writable(cx);
            if ready.is_pending() && charge.is_none() {
                let held = rest + self.socket.held_bytes();
                charge = match self.book_waiting(held) {
                    Ok(charge) => Some(charge),
                    Err(ending) => return Poll::Ready(Err(ending)),
                };
            }
            ready.map_err(|_broken| Ending::Broken)
        });
        if self.is_carried() {
            // How long it may be without a receiver is looked after elsewhere.
            return ready.await;
        }
        match tokio::time::timeout(stall, ready).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Ending::Stalled),
        }
    }

    /// Books what waits for the peer; a kilobyte is covered by what the connection or stream costs.
    fn book_waiting(&self, bytes: usize) -> Result<Option<Charge>, Ending> {
        // A poll takes at once what it is sent, and books it itself: booked twice, polls that come
        // together would refuse each other.
        if bytes <= COVERED_BYTES_MAX || self.encoding == Encoding::Lines {
            return Ok(None);
        }
        let charge = self.holder.take(Kind::Events, bytes);
        charge.map(Some).map_err(|_refusal| Ending::HeldBytes)
    }

    /// Sends all of `bytes`, waiting for the peer as long as it takes something every `stall`.
    ///
    /// # Errors
    ///
    /// As [`writable`](Self::writable); what was not sent is then the tail.
    pub(crate) async fn send_all(&self, mut bytes: Bytes, stall: Duration) -> Result<(), Ending> {
        loop {
            if !bytes.is_empty() {
                let sent = self.try_send(&bytes).map_err(|_broken| Ending::Broken)?;
                drop(bytes.split_to(sent.taken));
                if bytes.is_empty() && sent.flushed {
                    return Ok(());
                }
            }
            if let Err(ending) = self.writable(bytes.len(), stall).await {
                // The peer may have a part of it: nothing may follow on this connection.
                self.update(|progress| progress.keep_tail(bytes));
                return Err(ending);
            }
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// Returns how much is left of a partly sent event.
    pub(crate) fn tail_bytes(&self) -> usize {
        self.progress.borrow().tail_bytes()
    }

    /// Takes the rest of a partly sent event.
    pub(crate) fn take_tail(&self) -> Bytes {
        self.update(Progress::take_tail)
    }

    /// Ends the stream: if the peer may still listen, in the form that the configuration asks for.
    async fn finish(&self, ending: Ending, abruptly: bool) {
        // What a poll is sent is taken by its answer, which books it.
        if self.encoding != Encoding::Lines {
            self.socket.give_up();
        }
        if ending.has_farewell() && abruptly {
            return self.socket.break_off();
        }
        let tail = self.take_tail();
        if ending.has_farewell() && self.encoding == Encoding::Chunked && tail.is_empty() {
            // The phase is Closing, so a full socket ends this at once instead of waiting.
            let farewell = self.send_all(Bytes::from_static(LAST_CHUNK), FAREWELL);
            farewell.await.ok();
        }
        self.socket.finish();
    }
}

/// How a stream begins on the wire.
#[derive(Debug)]
pub enum Opening {
    /// These bytes are the response head; they go out once the subscriber has joined.
    Head(Bytes),
    /// hyper sends the head when told that the subscriber has joined; `prelude` comes next.
    Response {
        /// Tells the request to send its head.
        ready: oneshot::Sender<()>,
        /// The first bytes of the body; may be empty.
        prelude: Bytes,
    },
}

/// Runs a session to its end, then removes it from its shard.
pub(crate) async fn run(shard: Rc<Shard>, session: Rc<Session>, opening: Opening, start: Start) {
    if session.duplex.is_some() {
        return websocket::run(shard, session, opening, start).await;
    }
    let ending = match live(&shard, &session, opening, start).await {
        Ok(never) => match never {},
        Err(ending) => ending,
    };
    session.close(ending);
    Box::pin(session.finish(ending, shard.options().ends_abruptly)).await;
    shard.on_session_end(&session, ending);
}

async fn live(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    opening: Opening,
    start: Start,
) -> Result<std::convert::Infallible, Ending> {
    // Boxed, since a live session waits here for hours with the largest state of its past.
    Box::pin(begin(shard, session, opening, start)).await?;
    loop {
        match session.phase() {
            Phase::Joining | Phase::Live => session.leave(session.phase()).await?,
            Phase::Behind => Box::pin(catching_up::catch_up(shard, session)).await?,
            Phase::Closing(ending) => return Err(ending),
        }
    }
}

/// Joins, and sends what a stream begins with.
async fn begin(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    opening: Opening,
    start: Start,
) -> Result<(), Ending> {
    if session.duplex.is_none() {
        // The TLS state may hold what came right behind the request: no event of the socket tells.
        session.on_readable()?;
    }
    let matchers: Box<[Matcher]> = (&*session.matchers()).into();
    shard
        .router()
        .join(shard.index(), Ticket(session.id), matchers)
        .await;
    session.leave(Phase::Joining).await?;
    if start != Start::Now {
        let kept = shard.kept();
        session.update(|progress| progress.begin(start, kept));
    }
    if let Some(duplex) = &session.duplex {
        websocket::greet(shard, session, duplex, start).await;
    }
    // After joining, so that it receives its own event, if that is for it; and after the greeting, which
    // comes before all answers.
    shard.tell_joined(session).await;
    match opening {
        Opening::Head(head) => session.send_all(head, shard.stall()).await?,
        Opening::Response { ready, prelude } => {
            // The request may be gone: then the body is dropped, which the next step sees.
            ready.send(()).ok();
            session.send_all(prelude, shard.stall()).await?;
        }
    }
    Ok(())
}

/// Returns whether an update is for a subscriber: asked for by a matcher, and public or granted.
pub(crate) fn concerns(session: &Session, posted: &Posted, hub: &HubUrl) -> bool {
    let update = &posted.update;
    if session.is_echo_of(posted) {
        return false;
    }
    let selects = |matcher: &Matcher| {
        // Without resolving the topics as URLs, which only URL patterns need.
        if matcher.kind() != MatcherType::UrlPattern || matcher.is_wildcard() {
            let mut topics = update.topics.iter();
            return topics.any(|topic| matcher.matches_text(topic.as_str()) == Some(true));
        }
        let mut subjects = posted.subjects(hub).iter();
        subjects.any(|subject| matcher.matches(subject))
    };
    let matchers = session.matchers();
    // While matchers that were added read on, the others have had these updates.
    let scope = session
        .progress
        .borrow()
        .scope(update.position, matchers.len());
    let old = matchers.get(..scope.had).unwrap_or_default();
    let new = matchers.get(scope.had..scope.until).unwrap_or_default();
    let wanted = new.iter().any(selects) && !old.iter().any(selects);
    wanted
        && (skips(Rule::AskGrantsOnReplay) || may_read(session.identity().as_deref(), posted, hub))
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
