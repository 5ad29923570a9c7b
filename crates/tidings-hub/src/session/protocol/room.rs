//! A conversation: each text of a peer is published to one topic, and every other peer of the topic gets the
//! text as it is, as in Ratchet's chat.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

use tidings_core::topic::Topic;
use tidings_core::update::{IdSource, Update};
use tidings_wire::publish_form::PublishForm;
use tidings_wire::websocket::close::CloseCode;

use super::{Form, Peer, Pending, Protocol, at_once};
use crate::account::Kind;
use crate::ingest::{PublishError, Publisher};
use crate::metrics::count;
use crate::posted::Posted;
use crate::refusal::{self, Refusal};
use crate::session::Ending;
use crate::session::websocket::overdrawn;
use crate::tasks;

/// One peer of a conversation.
#[derive(Debug)]
pub struct Conversation {
    topic: Topic,
    /// Whether only those with a grant may read what is said.
    private: bool,
    /// Whether everybody may speak; otherwise a grant is needed.
    open: bool,
    /// What the ids of all that it says begin with, so that it does not hear itself.
    signature: Box<str>,
    /// How often it has spoken.
    said: Cell<u64>,
}

impl Conversation {
    /// Makes a peer. `random` tells it apart from all others.
    pub fn new(topic: Topic, private: bool, open: bool, random: u64) -> Self {
        Self {
            topic,
            private,
            open,
            signature: signature(random),
            said: Cell::new(0),
        }
    }

    /// Returns a new id for what the peer says.
    fn new_id(&self) -> String {
        let said = self.said.get();
        self.said.set(said.wrapping_add(1));
        // The variant of RFC 9562 in the two highest bits, and the number below.
        let number = VARIANT | (said & !VARIANT_BITS);
        let (high, low) = (number >> 48, number & 0xFFFF_FFFF_FFFF);
        format!("{}{high:04x}-{low:012x}", self.signature)
    }

    /// Publishes what the peer says.
    fn say(&self, peer: Peer<'_>, text: String) -> Result<(), Ending> {
        let Peer {
            shard,
            session,
            duplex,
        } = peer;
        let publisher = duplex.publisher();
        if publisher.is_none() && !self.open {
            duplex.close_with(
                CloseCode::POLICY,
                "speaking here needs a token that allows publishing",
            );
            return Err(Ending::Refused);
        }
        let form = PublishForm {
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
            .map_err(|over| overdrawn(duplex, over))?;
        duplex.on_publishing();
        let (shard, session, open) = (Rc::clone(shard), Rc::clone(session), self.open);
        tasks::spawn(async move {
            let publisher = match &publisher {
                Some(identity) if !open => Publisher::Grants(&identity.grants),
                Some(_) | None => Publisher::Unchecked,
            };
            let result = shard.ingest().publish(form, publisher).await;
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
                    count(&shard.metrics().publish_refused, "conversation");
                    duplex.close_with(close_code(&error), &error.to_string());
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

impl Protocol for Conversation {
    fn form(&self) -> Form {
        Form::DATA
    }

    fn on_text<'a>(&'a self, peer: Peer<'a>, text: String) -> Pending<'a> {
        at_once(self.say(peer, text))
    }

    /// As Ratchet does it: the others get a text whatever kind of frame came.
    fn on_binary(&self, peer: Peer<'_>, bytes: Vec<u8>) -> Result<(), Ending> {
        match String::from_utf8(bytes) {
            Ok(text) => self.say(peer, text),
            Err(_) => {
                let reason = "binary that is not UTF-8";
                peer.duplex.close_with(CloseCode::UNSUPPORTED, reason);
                Err(Ending::Violation)
            }
        }
    }

    fn is_echo(&self, update: &Update) -> bool {
        update.id_source == IdSource::Publisher && update.id.as_str().starts_with(&*self.signature)
    }
}

/// Tells an update as its data and nothing else.
pub(crate) fn update(posted: &Posted) -> Cow<'_, str> {
    Cow::Borrowed(&posted.update.data)
}

/// The table from refusals to close codes: a text that is refused closes the connection.
fn close_code(error: &PublishError) -> CloseCode {
    if matches!(error, PublishError::Closed) {
        return CloseCode::RESTART;
    }
    match Refusal::of_publishing(error, true).kind {
        refusal::Kind::TooMuch | refusal::Kind::Unavailable => CloseCode::TRY_LATER,
        refusal::Kind::Invalid
        | refusal::Kind::TooLarge
        | refusal::Kind::TokenMissing
        | refusal::Kind::TokenInvalid
        | refusal::Kind::ScopeInsufficient
        | refusal::Kind::NotFound => CloseCode::POLICY,
    }
}

/// Returns what the ids of one peer begin with: a version 8 UUID up to the variant (RFC 9562, 5.8) with
/// sixty random bits.
fn signature(random: u64) -> Box<str> {
    let (time_low, mid, high) = (random >> 32, random >> 16 & 0xFFFF, random & 0xFFF);
    format!("urn:uuid:{time_low:08x}-{mid:04x}-8{high:03x}-").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_has_ids_of_its_own() {
        let topic = Topic::parse("chat").unwrap();
        let conversation = Conversation::new(topic, false, true, 0x0123_4567_89ab_cdef);
        assert_eq!(
            [conversation.new_id(), conversation.new_id()],
            [
                "urn:uuid:01234567-89ab-8def-8000-000000000000",
                "urn:uuid:01234567-89ab-8def-8000-000000000001"
            ]
        );
    }
}
