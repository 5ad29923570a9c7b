//! PULL, SUB, XSUB and REP: inbound messages, on their way to outputs or into the hub.

use std::rc::Rc;

use tidings_wire::zmtp::SocketType;
use tidings_wire::zmtp::command::{encode_cancel, encode_subscribe};
use tidings_wire::zmtp::frame;

use super::Shared;
use super::data_source::DataSource;
use super::hub_in::HubDoor;
use super::outbox::Chunk;
use super::session::{Session, Socket, Takes};
use super::turn::Turn;
use tidings_hub::metrics::count_many;
use tokio::sync::watch;

/// A socket that receives messages.
pub(crate) struct Input {
    shared: Rc<Shared>,
    socket_type: SocketType,
    /// The prefixes that a SUB or XSUB socket subscribes to.
    prefixes: Vec<Vec<u8>>,
    route: Rc<Route>,
    /// Whose turn it is to take its messages. Nothing if every hub takes those that it gets.
    turn: Option<watch::Receiver<Turn>>,
}

/// Where messages go.
pub(crate) enum Route {
    /// To sockets, unchanged.
    Outputs(Vec<Rc<Socket>>),
    /// Into the hub.
    Hub(HubDoor),
}

impl Input {
    /// Makes a socket without peers.
    pub(crate) fn new(
        shared: &Rc<Shared>,
        source: &DataSource,
        route: Rc<Route>,
        prefixes: Vec<Vec<u8>>,
        turn: Option<watch::Receiver<Turn>>,
    ) -> Self {
        Self {
            shared: Rc::clone(shared),
            socket_type: source.socket_type,
            prefixes,
            route,
            turn,
        }
    }

    /// Returns whose turn it is to take its messages.
    pub(crate) fn turn(&self) -> Option<watch::Receiver<Turn>> {
        self.turn.clone()
    }

    fn turn_now(&self) -> Turn {
        self.turn.as_ref().map_or(Turn::Here, |turn| *turn.borrow())
    }

    /// Sends a subscriber's subscriptions to a peer, or takes them back, as the turn is. While nobody knows
    /// whose turn it is, they stay as they are.
    pub(crate) fn settle(&self, session: &Session) -> Takes {
        if !matches!(self.socket_type, SocketType::Sub | SocketType::XSub) {
            return Takes::Messages;
        }
        let (turn, subscribed) = (self.turn_now(), session.subscribed.get());
        let encode: fn(&mut Vec<u8>, &[u8], u8) = match (turn, subscribed) {
            (Turn::Here, false) => encode_subscribe,
            (Turn::Elsewhere, true) => encode_cancel,
            (Turn::Open, true) => return Takes::Nothing,
            (Turn::Here, true) | (Turn::Elsewhere | Turn::Open, false) => return Takes::Messages,
        };
        let mut wanted = Vec::new();
        for prefix in &self.prefixes {
            encode(&mut wanted, prefix, session.minor);
        }
        session.outbox.borrow_mut().add(wanted.into(), 0);
        session.subscribed.set(!subscribed);
        Takes::Messages
    }

    /// Forwards messages, waiting while there is no space. The broker does not read from the peer
    /// in the meantime, which is its backpressure.
    pub(crate) async fn on_chunk(&self, session: &Session, chunk: Chunk) {
        self.shared
            .counters
            .received
            .inc_by(chunk.messages.len() as u64);
        if self.turn_now() == Turn::Elsewhere {
            // They were on their way when the subscriptions were taken back.
            let count = chunk.messages.len() as u64;
            return count_many(&self.shared.counters.dropped, "other_hub", count);
        }
        if self.socket_type != SocketType::Rep {
            return self.route.take(chunk).await;
        }
        for index in 0..chunk.messages.len() {
            let wire = chunk.wire.get(chunk.range(index)).unwrap_or_default();
            let parts: Vec<&[u8]> = frame::parts(wire).collect();
            let Some(end) = parts.iter().position(|part| part.is_empty()) else {
                count_many(&self.shared.counters.dropped, "envelope", 1);
                continue;
            };
            let (envelope, asked) = parts.split_at(end + 1);
            let answer = match asked {
                [] => "error: there is nothing after the envelope".to_owned(),
                asked => {
                    let mut message = Vec::new();
                    frame::encode_message(&mut message, asked);
                    self.route.ask(Chunk::one(message)).await
                }
            };
            let mut reply = Vec::new();
            let parts = [envelope, &[answer.as_bytes()]].concat();
            frame::encode_message(&mut reply, &parts);
            self.shared.on_queue(0, reply.len());
            session.outbox.borrow_mut().add(reply.into(), 1);
        }
    }
}

impl Route {
    async fn take(&self, chunk: Chunk) {
        match self {
            Self::Outputs(outputs) => {
                for output in outputs {
                    output.send(&chunk).await;
                }
            }
            Self::Hub(door) => door.take(chunk).await,
        }
    }

    /// Forwards one message. Returns the reply for its sender: the id of the new update, or `ok`
    /// without a hub, or `error: …`.
    async fn ask(&self, chunk: Chunk) -> String {
        match self {
            Self::Outputs(_) => {
                self.take(chunk).await;
                "ok".to_owned()
            }
            Self::Hub(door) => door.ask(chunk).await,
        }
    }
}
