//! The receiving half of a two-way session (WebSocket, SockJS). Nothing here writes to a socket or waits.
//!
//! Each part of its state is one file: `decoding` turns bytes into frames, `inbound` queues texts, `rates`
//! limits them, `replies` keeps what is to be written, `adding` follows new matchers to the router, and
//! `liveness` knows the heartbeats. They share one charge to the memory account, which is here.

mod adding;
mod decoding;
mod inbound;
mod liveness;
mod rates;
mod replies;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidings_auth::Identity;
use tidings_wire::websocket::close::CloseCode;
use tidings_wire::websocket::deflate::{Agreement, Inflater};
use tidings_wire::websocket::frames::{Decoder, Limits, Role};

use self::adding::Adding;
pub(crate) use self::adding::Joining;
use self::decoding::Received;
use self::inbound::InboundTexts;
pub(crate) use self::inbound::cost;
pub use self::liveness::Heartbeat;
use self::liveness::Liveness;
pub use self::rates::INFLATED_BYTES_PER_SECOND_MAX;
use self::rates::Rates;
use self::replies::Replies;
use super::protocol::Protocol;
use crate::account::{Charge, Holder, Kind};
use crate::shard::timers::Tick;

/// What a [`Duplex`] is made of. Unlike it, the parts may move to another thread.
#[derive(Debug)]
pub struct Parts {
    /// The protocol of the session.
    pub protocol: Box<dyn Protocol>,
    /// How long a message may be, and in how many fragments it may come.
    pub limits: Limits,
    /// Frames in a second; 0 for any number.
    pub frames_per_second_max: u32,
    /// Bytes that compressed messages may inflate to in a second.
    pub inflated_per_second_max: usize,
    /// How the peer is shown that its connection is alive.
    pub heartbeat: Heartbeat,
    /// Time between two heartbeats; none for no heartbeats.
    pub heartbeat_interval: Option<Duration>,
    /// The compression that was negotiated, if any.
    pub agreement: Option<Agreement>,
    /// The identity that publishes; none if the peer may not publish.
    pub publisher: Option<Arc<Identity>>,
    /// When the connection ends, whatever token it has.
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
    /// The memory of inbound texts, of an incomplete message, and of replies.
    charge: RefCell<Charge>,
    received: RefCell<Received>,
    inbound: RefCell<InboundTexts>,
    rates: RefCell<Rates>,
    replies: RefCell<Replies>,
    adding: RefCell<Adding>,
    liveness: RefCell<Liveness>,
    farewell: RefCell<Option<(CloseCode, Box<str>)>>,
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
        let inflating = parts.agreement.as_ref().map(Inflater::new);
        let decoder = Decoder::new(Role::Server, parts.limits, inflating);
        let rates = Rates::new(
            parts.frames_per_second_max,
            parts.inflated_per_second_max,
            now,
        );
        let liveness = Liveness::new(parts.heartbeat, parts.heartbeat_interval, now);
        Self {
            protocol: parts.protocol,
            publisher: RefCell::new(parts.publisher),
            lifetime,
            charge: RefCell::new(holder.book(kind, 0)),
            received: RefCell::new(Received::new(decoder, parts.unread)),
            inbound: RefCell::default(),
            rates: RefCell::new(rates),
            replies: RefCell::default(),
            adding: RefCell::default(),
            liveness: RefCell::new(liveness),
            farewell: RefCell::default(),
        }
    }

    /// Returns the protocol of the session.
    pub(crate) fn protocol(&self) -> &dyn Protocol {
        &*self.protocol
    }

    /// Returns the identity that publishes; none if the peer may not publish.
    pub(crate) fn publisher(&self) -> Option<Arc<Identity>> {
        self.publisher.borrow().clone()
    }

    /// Sets the identity that publishes.
    pub(crate) fn set_publisher(&self, publisher: Option<Arc<Identity>>) {
        *self.publisher.borrow_mut() = publisher;
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

#[cfg(test)]
mod tests;
