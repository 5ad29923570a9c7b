//! A room: each message of a peer is published to one topic, and every other peer of the topic receives its
//! text unchanged, as in Ratchet's chat. `subscribing/rooms` decides who may join.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

use tidings_core::topic::Topic;
use tidings_core::update::{IdSource, Update};
use tidings_wire::publish_form::PublishForm;
use tidings_wire::websocket::close::CloseCode;

use super::{Form, Peer, Pending, Protocol, at_once};
use crate::account::{Kind, Meter};
use crate::ingest::{PublishError, Publisher};
use crate::metrics::count;
use crate::posted::Posted;
use crate::refusal::{self, Refusal};
use crate::session::Ending;
use crate::session::websocket::over_limit;
use crate::subscribing::rooms::{Access, Rooms};
use crate::tasks;

/// One peer of a room.
#[derive(Debug)]
pub struct Room {
    topic: Topic,
    access: Access,
    /// Whether messages are private updates.
    private: bool,
    /// The start of the event ids of all its messages, so that it does not receive them itself.
    signature: Box<str>,
    /// How many messages it has published.
    published: Cell<u64>,
}

impl Room {
    /// Makes a peer. `random` tells it apart from all others.
    pub fn new(topic: Topic, rooms: Rooms<'_>, random: u64) -> Self {
        Self {
            topic,
            access: rooms.access,
            private: rooms.private,
            signature: signature(random),
            published: Cell::new(0),
        }
    }

    /// Returns the event id of the peer's next message.
    fn new_id(&self) -> String {
        let published = self.published.get();
        self.published.set(published.wrapping_add(1));
        // The variant of RFC 9562 in the two highest bits, and the number below.
        let number = VARIANT | (published & !VARIANT_BITS);
        let (high, low) = (number >> 48, number & 0xFFFF_FFFF_FFFF);
        format!("{}{high:04x}-{low:012x}", self.signature)
    }

    /// Publishes a message of the peer.
    fn publish(&self, peer: Peer<'_>, text: String) -> Result<(), Ending> {
        let Peer {
            shard,
            session,
            duplex,
        } = peer;
        let publisher = duplex.publisher();
        if publisher.is_none() && self.access == Access::Token {
            duplex.close_with(
                CloseCode::POLICY,
                "sending here needs a token that allows publishing",
            );
            return Err(Ending::Refused);
        }
        let form = PublishForm {
            traceparent: None,
            topics: vec![self.topic.as_str().to_owned()],
            data: Some(text),
            private: self.private,
            id: Some(self.new_id()),
            event_type: None,
            retry: None,
        };
        let bytes = form.data.as_deref().map_or(0, str::len);
        let charge = session
            .holder()
            .take(Kind::Publication, bytes)
            .map_err(|over| over_limit(duplex, over))?;
        duplex.on_publishing();
        let (shard, session, access) = (Rc::clone(shard), Rc::clone(session), self.access);
        tasks::spawn(async move {
            let identity = publisher.as_deref();
            let publisher = match identity {
                Some(identity) if access == Access::Token => Publisher::Grants(&identity.grants),
                Some(_) | None => Publisher::Unchecked,
            };
            let meter = Meter {
                holder: session.holder(),
                identity,
            };
            let published = shard.ingest().publish(form, publisher, Some(meter), None);
            let result = published.await;
            let Some(duplex) = &session.duplex else {
                return;
            };
            duplex.on_published();
            drop(charge);
            match result {
                Ok(_) => {
                    shard.metrics().updates.inc();
                    session.wake();
                }
                Err(error) => {
                    let refusal = Refusal::of_publishing(&error, true);
                    count(&shard.metrics().publish_refused, refusal.name);
                    duplex.close_with(close_code(&error, &refusal), &error.to_string());
                    session.close(Ending::Refused);
                }
            }
        });
        Ok(())
    }
}

/// The two bits of a UUID's second half that hold its variant, and the variant of RFC 9562 in them.
const VARIANT_BITS: u64 = 0b11 << 62;
const VARIANT: u64 = 0b10 << 62;

impl Protocol for Room {
    fn form(&self) -> Form {
        Form::DATA
    }

    fn on_text<'a>(&'a self, peer: Peer<'a>, text: String) -> Pending<'a> {
        at_once(self.publish(peer, text))
    }

    /// As in Ratchet, the others receive a text message whatever kind of message came.
    fn on_binary(&self, peer: Peer<'_>, bytes: Vec<u8>) -> Result<(), Ending> {
        match String::from_utf8(bytes) {
            Ok(text) => self.publish(peer, text),
            Err(_) => {
                let reason = "the binary message is not UTF-8";
                peer.duplex.close_with(CloseCode::UNSUPPORTED, reason);
                Err(Ending::Violation)
            }
        }
    }

    fn is_echo(&self, update: &Update) -> bool {
        update.id_source == IdSource::Publisher && update.id.as_str().starts_with(&*self.signature)
    }
}

/// Encodes an update as its data and nothing else.
pub(crate) fn update(posted: &Posted) -> Cow<'_, str> {
    Cow::Borrowed(&posted.update.data)
}

/// The table from kinds of refusal to close codes: a message that is refused closes the connection.
fn close_code(error: &PublishError, refusal: &Refusal) -> CloseCode {
    if matches!(error, PublishError::Closed) {
        return CloseCode::RESTART;
    }
    match refusal.kind {
        refusal::Kind::TooMuch | refusal::Kind::Unavailable => CloseCode::TRY_LATER,
        refusal::Kind::Invalid
        | refusal::Kind::TooLarge
        | refusal::Kind::TokenMissing
        | refusal::Kind::TokenInvalid
        | refusal::Kind::ScopeInsufficient
        | refusal::Kind::Contradicts
        | refusal::Kind::NotFound => CloseCode::POLICY,
    }
}

/// Returns the start of one peer's event ids: a version 8 UUID up to the variant (RFC 9562, 5.8) with sixty
/// random bits.
fn signature(random: u64) -> Box<str> {
    let (time_low, mid, high) = (random >> 32, random >> 16 & 0xFFFF, random & 0xFFF);
    format!("urn:uuid:{time_low:08x}-{mid:04x}-8{high:03x}-").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_messages_have_ids_of_its_own() {
        let topic = Topic::parse("chat").unwrap();
        let rooms = Rooms {
            access: Access::Anonymous,
            topics: &[],
            private: false,
        };
        let room = Room::new(topic, rooms, 0x0123_4567_89ab_cdef);
        assert_eq!(
            [room.new_id(), room.new_id()],
            [
                "urn:uuid:01234567-89ab-8def-8000-000000000000",
                "urn:uuid:01234567-89ab-8def-8000-000000000001"
            ]
        );
    }
}
