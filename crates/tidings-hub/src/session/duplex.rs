//! The receiving half of a two-way session (WebSocket, SockJS): the frame decoder, inbound texts and replies
//! that wait, rate limits, and the identity that publishes. Nothing here writes to a socket or waits.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tidings_auth::Identity;
use tidings_core::matcher::Matcher;
use tidings_wire::sockjs::{self, Text};
use tidings_wire::websocket::close::CloseCode;
use tidings_wire::websocket::deflate::{Agreement, Inflating};
use tidings_wire::websocket::encoder;
use tidings_wire::websocket::frames::{DecodeError, Decoder, Event, Limits, Role};
use tokio::sync::oneshot;

use super::protocol::Protocol;
use super::socket::Socket;
use super::{Ending, Phase, Session, Start};
use crate::account::{Charge, Holder, Kind, OverLimit};
use crate::posted::Encoding;
use crate::posted::Posted;
use crate::shard::timers::Tick;

/// Bytes of answers that may wait for a peer. One that does not take them is not read from.
const WAITING_BYTES_MAX: usize = 64 * 1024;
/// Bytes that a text takes beside its own while it waits to be processed.
const INBOUND_OVERHEAD_BYTES: usize = 48;
/// Updates that one peer may have on their way to the history.
const PUBLISHING_MAX: usize = 64;
/// Bytes that a peer's compressed texts may become in a second; one that is faster is not read from
/// until the second is over. A few bytes may be a megabyte of work.
pub const INFLATED_BYTES_PER_SECOND_MAX: usize = 8 * 1024 * 1024;
/// What compiling a URL pattern counts as: a peer may ask for a hundred others in each frame.
const PATTERN_BYTES: usize = 64 * 1024;

/// How a peer is shown that its connection is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// WebSocket pings, which the peer must answer.
    Pings,
    /// SockJS heartbeat frames, and pings.
    Framed,
    /// SockJS heartbeat frames alone, while a receiver is there.
    Carried,
}

/// A text that a peer sent, perhaps together with others.
#[derive(Debug)]
pub(crate) struct InboundText {
    pub(crate) text: Text,
    /// With the last text of a batch: told once the whole batch was processed.
    pub(crate) last: Option<oneshot::Sender<()>>,
}

/// What a [`Duplex`] is made of. Unlike it, the parts may move to another thread.
#[derive(Debug)]
pub struct Parts {
    /// The protocol of the session.
    pub protocol: Box<dyn Protocol>,
    /// How long a message may be, and in how many fragments it may come.
    pub limits: Limits,
    /// Frames in a second; 0 for any number.
    pub frames_per_second_max: u32,
    /// Bytes that its compressed texts may become in a second.
    pub inflated_per_second_max: usize,
    /// How the peer is shown that its connection is alive.
    pub heartbeat: Heartbeat,
    /// Time between two heartbeats; none for no heartbeats.
    pub heartbeat_interval: Option<Duration>,
    /// The compression that was negotiated, if any.
    pub agreement: Option<Agreement>,
    /// Who publishes, if it may.
    pub publisher: Option<Arc<Identity>>,
    /// When the connection ends whatever token it has.
    pub lifetime: Option<tokio::time::Instant>,
    /// What the peer sent right behind its request.
    pub unread: Bytes,
}

/// The receiving half of one two-way session.
#[derive(Debug)]
pub struct Duplex {
    protocol: Box<dyn Protocol>,
    publisher: RefCell<Option<Arc<Identity>>>,
    pub(crate) lifetime: Option<Tick>,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) heartbeat_interval: Option<Duration>,
    /// Inbound texts that wait, an incomplete message included, and replies that wait.
    charge: RefCell<Charge>,
    /// Bytes of it that an incomplete message takes.
    partial_bytes: Cell<usize>,
    decoder: RefCell<Decoder>,
    unread: RefCell<Bytes>,
    /// Texts that wait to be processed, oldest first.
    inbound: RefCell<VecDeque<InboundText>>,
    inbound_bytes: Cell<usize>,
    waiting: RefCell<VecDeque<Bytes>>,
    waiting_bytes: Cell<usize>,
    /// Updates on their way to the history.
    publishing: Cell<usize>,
    /// Matchers that the router is asked to intern.
    joining: RefCell<Option<Joining>>,
    /// Whether the peer has still to be told that a catch-up begins.
    unannounced: Cell<bool>,
    /// Whether the peer is to be told when it has caught up.
    tells_caught_up: Cell<bool>,
    /// Whether the peer sent something since the last ping.
    active: Cell<bool>,
    last_ping: Cell<Tick>,
    frames_per_second_max: u32,
    inflated_per_second_max: usize,
    second: Cell<(Tick, u32)>,
    /// Bytes that were inflated since then, and what counts like that.
    inflated: Cell<(Tick, usize)>,
    farewell: RefCell<Option<(CloseCode, Box<str>)>>,
}

/// Matchers on their way to becoming part of a subscription.
#[derive(Debug)]
pub(crate) struct Joining {
    pub(crate) matchers: Box<[Matcher]>,
    pub(crate) start: Start,
}

impl Duplex {
    /// Makes the duplex of a connection that has just been opened.
    pub(crate) fn new(
        parts: Parts,
        holder: &Arc<Holder>,
        now: Tick,
        lifetime: Option<Tick>,
    ) -> Self {
        let kind = match parts.heartbeat {
            Heartbeat::Pings | Heartbeat::Framed => Kind::WebSocket,
            Heartbeat::Carried => Kind::SockJs,
        };
        let inflating = parts.agreement.as_ref().map(Inflating::new);
        Self {
            protocol: parts.protocol,
            publisher: RefCell::new(parts.publisher),
            lifetime,
            heartbeat: parts.heartbeat,
            heartbeat_interval: parts.heartbeat_interval,
            charge: RefCell::new(holder.book(kind, 0)),
            partial_bytes: Cell::new(0),
            inbound: RefCell::default(),
            inbound_bytes: Cell::new(0),
            decoder: RefCell::new(Decoder::new(Role::Server, parts.limits, inflating)),
            unread: RefCell::new(parts.unread),
            waiting: RefCell::default(),
            waiting_bytes: Cell::new(0),
            publishing: Cell::new(0),
            joining: RefCell::default(),
            unannounced: Cell::new(false),
            tells_caught_up: Cell::new(false),
            active: Cell::new(true),
            last_ping: Cell::new(now),
            frames_per_second_max: parts.frames_per_second_max,
            inflated_per_second_max: parts.inflated_per_second_max,
            second: Cell::new((now, 0)),
            inflated: Cell::new((now, 0)),
            farewell: RefCell::default(),
        }
    }

    /// Returns what the peer speaks.
    pub(crate) fn protocol(&self) -> &dyn Protocol {
        &*self.protocol
    }

    /// Returns the next event of what was received, or nothing until more is.
    ///
    /// # Errors
    ///
    /// The rule that the peer broke.
    pub(crate) fn next_event(&self) -> Result<Option<Event>, DecodeError> {
        let mut unread = self.unread.borrow_mut();
        let mut input: &[u8] = &unread;
        let before = input.len();
        let event = self.decoder.borrow_mut().decode(&mut input)?;
        let read = before - input.len();
        unread.advance(read);
        if unread.is_empty() {
            *unread = Bytes::new();
        }
        Ok(event)
    }

    /// Takes what came from the socket; everything before was read.
    pub(crate) fn receive(&self, bytes: &[u8]) {
        debug_assert!(
            self.unread.borrow().is_empty(),
            "read before more is received"
        );
        *self.unread.borrow_mut() = Bytes::copy_from_slice(bytes);
    }

    /// Books what the decoder keeps of an incomplete message.
    ///
    /// # Errors
    ///
    /// There is no room for it.
    pub(crate) fn book_partial(&self) -> Result<(), OverLimit> {
        let (held, booked) = (self.decoder.borrow().held_bytes(), self.partial_bytes.get());
        let mut charge = self.charge.borrow_mut();
        match held.checked_sub(booked) {
            Some(more) => charge.grow(more)?,
            None => charge.give_back(booked - held),
        }
        self.partial_bytes.set(held);
        Ok(())
    }

    /// Drops an incomplete message, and whatever the peer sends from now on.
    pub(crate) fn discard_partial(&self) {
        self.decoder.borrow_mut().discard();
        self.charge
            .borrow_mut()
            .give_back(self.partial_bytes.replace(0));
    }

    /// Queues texts that arrived together; `processed` is told when all of them were processed.
    ///
    /// # Errors
    ///
    /// There is no room for them.
    pub fn push_inbound(
        &self,
        texts: Vec<Text>,
        processed: Option<oneshot::Sender<()>>,
    ) -> Result<(), OverLimit> {
        let mut inbound = self.inbound.borrow_mut();
        let bytes = cost(&texts);
        self.charge.borrow_mut().grow(bytes)?;
        self.inbound_bytes.set(self.inbound_bytes.get() + bytes);
        for text in texts {
            inbound.push_back(InboundText { text, last: None });
        }
        match (inbound.back_mut(), processed) {
            (Some(inbound), processed) => inbound.last = processed,
            // An empty batch is processed already.
            (None, Some(processed)) => drop(processed.send(())),
            (None, None) => {}
        }
        Ok(())
    }

    /// Takes the next text that waits to be processed.
    pub(crate) fn next_inbound(&self) -> Option<InboundText> {
        let mut waiting = self.inbound.borrow_mut();
        let inbound = waiting.pop_front()?;
        if waiting.is_empty() {
            *waiting = VecDeque::new();
        }
        let bytes = cost(std::slice::from_ref(&inbound.text));
        self.inbound_bytes.set(self.inbound_bytes.get() - bytes);
        self.charge.borrow_mut().give_back(bytes);
        Some(inbound)
    }

    /// Returns whether a text waits to be processed.
    pub(crate) fn has_inbound(&self) -> bool {
        !self.inbound.borrow().is_empty()
    }

    /// Returns the bytes that texts take that wait to be processed.
    pub(crate) fn inbound_bytes(&self) -> usize {
        self.inbound_bytes.get()
    }

    /// Counts a frame; returns whether there were too many in this second.
    pub(crate) fn is_flooding(&self, now: Tick) -> bool {
        let (since, count) = self.second.get();
        let (since, count) = if since.after(Duration::from_secs(1)) <= now {
            (now, 1)
        } else {
            (since, count.saturating_add(1))
        };
        self.second.set((since, count));
        self.frames_per_second_max > 0 && count > self.frames_per_second_max
    }

    /// Counts URL patterns that the peer asked for.
    pub(crate) fn on_patterns(&self, count: usize) {
        let (since, sum) = self.inflated.get();
        let cost = count.saturating_mul(PATTERN_BYTES);
        self.inflated.set((since, sum.saturating_add(cost)));
    }

    /// Returns whether the peer made so much work in this second that it is to wait.
    pub(crate) fn is_too_busy(&self, now: Tick) -> bool {
        let fresh = self.decoder.borrow_mut().take_inflated();
        let (since, sum) = self.inflated.get();
        let (since, sum) = if since.after(Duration::from_secs(1)) <= now {
            (now, fresh)
        } else {
            (since, sum.saturating_add(fresh))
        };
        self.inflated.set((since, sum));
        sum > self.inflated_per_second_max
    }

    /// Returns whether nothing more is to be read for now.
    pub(crate) fn is_clogged(&self) -> bool {
        let waiting = self.waiting_bytes.get();
        // Where all together hold too much, each goes on when its own answers were taken.
        let spent = || waiting > 0 && !self.charge.borrow().may_hold();
        waiting > WAITING_BYTES_MAX || spent() || self.publishing.get() >= PUBLISHING_MAX
    }

    /// Keeps an answer until the session can write it.
    pub(crate) fn keep(&self, bytes: Bytes) {
        self.waiting_bytes
            .set(self.waiting_bytes.get() + bytes.len());
        // Whatever the limits say: one that is over them is not read from.
        self.charge.borrow_mut().add(bytes.len());
        self.waiting.borrow_mut().push_back(bytes);
    }

    /// Takes the next answer that waits.
    pub(crate) fn take_waiting(&self) -> Option<Bytes> {
        let mut waiting = self.waiting.borrow_mut();
        let bytes = waiting.pop_front()?;
        if waiting.is_empty() {
            *waiting = VecDeque::new();
        }
        self.waiting_bytes
            .set(self.waiting_bytes.get() - bytes.len());
        self.charge.borrow_mut().give_back(bytes.len());
        Some(bytes)
    }

    /// Counts an update that is on its way to the history.
    pub(crate) fn on_publishing(&self) {
        self.publishing.set(self.publishing.get() + 1);
    }

    /// Counts its arrival.
    pub(crate) fn on_published(&self) {
        self.publishing.set(self.publishing.get().saturating_sub(1));
    }

    /// Keeps the matchers that the router was asked to intern, until it answers.
    pub(crate) fn set_joining(&self, joining: Joining) {
        *self.joining.borrow_mut() = Some(joining);
    }

    /// Takes what the router has interned.
    pub(crate) fn take_joining(&self) -> Option<Joining> {
        self.joining.borrow_mut().take()
    }

    /// Returns whether the router was asked and has not answered.
    pub(crate) fn is_joining(&self) -> bool {
        self.joining.borrow().is_some()
    }

    /// Has the peer told that what its new matchers select comes next, and when it has come.
    pub(crate) fn announce_later(&self) {
        self.unannounced.set(true);
        self.tells_caught_up.set(true);
    }

    /// Has the peer told when it has caught up.
    pub(crate) fn tell_caught_up(&self) {
        self.tells_caught_up.set(true);
    }

    /// Returns whether the peer is still to be told that it has caught up. The mark is cleared.
    pub(crate) fn takes_caught_up(&self) -> bool {
        self.tells_caught_up.take()
    }

    /// Returns who publishes, if it may.
    pub(crate) fn publisher(&self) -> Option<Arc<Identity>> {
        self.publisher.borrow().clone()
    }

    /// Sets who publishes.
    pub(crate) fn set_publisher(&self, publisher: Option<Arc<Identity>>) {
        *self.publisher.borrow_mut() = publisher;
    }

    /// Notes that the peer is alive.
    pub(crate) fn note_activity(&self) {
        self.active.set(true);
    }

    /// Returns whether the peer sent something since the last call. The mark is cleared.
    pub(crate) fn take_active(&self) -> bool {
        self.active.replace(false)
    }

    /// Returns when the last heartbeat was due.
    pub(crate) fn last_ping(&self) -> Tick {
        self.last_ping.get()
    }

    /// Notes that a heartbeat is due now.
    pub(crate) fn set_last_ping(&self, now: Tick) {
        self.last_ping.set(now);
    }

    /// Takes note that the peer was told.
    pub(crate) fn announce(&self) {
        self.unannounced.set(false);
    }

    /// Returns whether the peer has still to be told that a catch-up begins.
    pub(crate) fn is_unannounced(&self) -> bool {
        self.unannounced.get()
    }

    /// Sets the close code and reason that the peer is told at the end. The last call counts.
    pub(crate) fn close_with(&self, code: CloseCode, reason: &str) {
        *self.farewell.borrow_mut() = Some((code, reason.into()));
    }

    /// Takes the close code and reason.
    pub(crate) fn take_farewell(&self) -> Option<(CloseCode, Box<str>)> {
        self.farewell.borrow_mut().take()
    }
}

/// Returns the bytes that texts take while they wait to be processed.
pub(crate) fn cost(texts: &[Text]) -> usize {
    let bytes: usize = texts.iter().map(Text::len).sum();
    bytes + INBOUND_OVERHEAD_BYTES * texts.len()
}

/// What only a session with a duplex does.
impl Session {
    /// Returns the frame that says `text` to its peer.
    pub(crate) fn text(&self, text: &str) -> Bytes {
        if self.speaks_sockjs() {
            encoder::text(&sockjs::outbound::unicode_frame(text))
        } else {
            encoder::text(text)
        }
    }

    /// Returns whether somebody takes what it writes now, if it has no connection of its own.
    pub(crate) fn is_received(&self) -> bool {
        matches!(&self.socket, Socket::Carrier(carrier) if carrier.is_open())
    }

    /// Returns whether its texts travel in frames of SockJS, in both directions.
    pub(crate) fn speaks_sockjs(&self) -> bool {
        matches!(self.encoding, Encoding::WebSocket(texts, _) if texts.in_sockjs)
    }

    /// Makes it read by another token from now on.
    pub(crate) fn identify(&self, identity: Option<Arc<Identity>>) {
        *self.identity.borrow_mut() = identity;
    }

    /// Returns whether it sent this update itself and is not to hear it again.
    pub(crate) fn is_echo_of(&self, posted: &Posted) -> bool {
        self.duplex
            .as_ref()
            .is_some_and(|duplex| duplex.protocol.is_echo(&posted.update))
    }

    /// Takes the next answer that waits for its turn.
    pub(crate) fn take_waiting(&self) -> Option<Bytes> {
        self.duplex.as_ref()?.take_waiting()
    }

    /// Waits until the socket may take more, whatever the phase.
    pub(crate) async fn drained(&self) -> io::Result<()> {
        poll_fn(|cx| self.socket.poll_writable(cx)).await
    }

    /// Returns whether the peer has still to be told what comes next.
    pub(super) fn is_unannounced(&self) -> bool {
        self.duplex
            .as_ref()
            .is_some_and(|duplex| duplex.is_unannounced())
    }

    /// Waits until the peer was told what comes next.
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

    /// Returns the socket, for the half of the task that reads.
    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }
}

#[cfg(test)]
mod tests;
