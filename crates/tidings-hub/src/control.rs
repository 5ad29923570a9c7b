//! What hubs tell each other, and an operator all of them: messages that take the road of updates, so
//! that every hub gets all of them in the same order, after an absence too.
//!
//! ```text
//! operator, presence ─▶ ingest ─▶ relay ─▶ history ─▶ router ─▶ Listener (on each hub)
//! ```
//!
//! No subscriber receives a message: it has no readers but hubs ([`Visibility::Hubs`]). Its data is
//! JSON: `{"version":1,"message":{"disconnect":{…}}}`. A message of another version, or one that
//! this hub does not know, is from a newer hub: it is logged and skipped.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidings_core::hub_url::HubUrl;
use tidings_core::topic::Topic;
use tidings_core::update::{Draft, Topics, Update, Visibility};
use tidings_history::Tip;
use tidings_history::sabotage::{Rule, skips};

/// The version of the data that this hub writes, and the only one that it reads.
pub const VERSION: u32 = 1;

/// What the topic of all messages has after the hub's path.
const BELOW_HUB: &str = "/hubs";

/// A message for all hubs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// Close the connections of a token's subject.
    Disconnect {
        /// The subject, `sub`.
        subject: Box<str>,
    },
    /// Accept a token no more, and close what was opened with it.
    Revoke {
        /// The id of the token, `jti`.
        token: Box<str>,
        /// Until when it is refused, in seconds of Unix time. For good if there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<u64>,
    },
    /// Accept a revoked token again.
    Reinstate {
        /// The id of the token, `jti`.
        token: Box<str>,
    },
    /// Forget the stored updates of a topic.
    Purge {
        /// The topic.
        topic: Box<str>,
    },
    /// Say which subscriptions you have: who asks may have missed events about them.
    RollCall,
    /// That was the answer to a roll call: the hub that sends this has no other subscriptions that
    /// began before it.
    Present {
        /// The position of the roll call.
        called: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct Wire<M> {
    version: u32,
    message: M,
}

impl Message {
    /// Returns the draft that carries this message.
    #[must_use]
    pub fn draft(&self, hub: &HubUrl) -> Draft {
        let wire = Wire {
            version: VERSION,
            message: self,
        };
        // Texts and names always serialize.
        let data = serde_json::to_string(&wire).unwrap_or_default();
        Draft {
            trace: None,
            topics: Topics::one(Topic::of_hub(&format!("{}{BELOW_HUB}", hub.path()))),
            data: data.into(),
            visibility: Visibility::Hubs,
            id: None,
            event_type: None,
            retry_ms: None,
            presence: None,
        }
    }

    /// Returns the message that an update carries: nothing if it is none, or of a newer hub.
    #[must_use]
    pub fn of(update: &Update) -> Option<Self> {
        if !update.visibility.is_for_hubs() || update.presence.is_some() {
            return None;
        }
        match serde_json::from_str::<Wire<Self>>(&update.data) {
            Ok(wire) if wire.version == VERSION => Some(wire.message),
            Ok(Wire { version, .. }) => {
                tracing::warn!(
                    version,
                    "a message of a newer hub is skipped: upgrade this hub"
                );
                None
            }
            Err(error) => {
                tracing::warn!(%error, "a message of a newer hub is skipped: upgrade this hub");
                None
            }
        }
    }
}

/// Hears what the hubs themselves publish, presence events and messages, in order, on the router's
/// thread.
pub trait Listener: Send {
    /// Takes what hubs published of a group: often nothing. `tip` is the end of the group. May wait
    /// for whatever takes in more slowly than updates come.
    fn on_committed(&mut self, own: &[Arc<Update>], tip: Tip);

    /// The history left its line, and ends here now. What of the line was acknowledged comes again.
    fn on_cut(&mut self, tip: Tip);
}

/// Does what an operator asks of all hubs. Implemented by what serves operators.
pub trait Handler: Send {
    /// Does it. `update` is the message as it is stored. Must not block: it runs on the router's
    /// thread.
    ///
    /// A message may come more than once: after a crash, and when a hub leaves its line.
    fn on_message(&mut self, message: Message, update: &Update);
}

/// A listener that passes on what operators ask for.
pub struct Operators<H>(H);

impl<H: Handler> Operators<H> {
    /// Makes the listener. `handler` gets at once what was `stored` before this start, so that a
    /// token that was revoked is known from the first request on.
    pub fn new(mut handler: H, stored: &[Arc<Update>]) -> Self {
        pass(&mut handler, stored);
        Self(handler)
    }
}

impl<H: Handler> Listener for Operators<H> {
    fn on_committed(&mut self, own: &[Arc<Update>], _tip: Tip) {
        pass(&mut self.0, own);
    }

    fn on_cut(&mut self, _tip: Tip) {}
}

fn pass(handler: &mut impl Handler, own: &[Arc<Update>]) {
    for update in own {
        if skips(Rule::PassMessagesOn) {
            continue;
        }
        match Message::of(update) {
            Some(
                message @ (Message::Disconnect { .. }
                | Message::Revoke { .. }
                | Message::Reinstate { .. }
                | Message::Purge { .. }),
            ) => handler.on_message(message, update),
            // Those of presence.
            Some(Message::RollCall | Message::Present { .. }) | None => {}
        }
    }
}

#[cfg(test)]
mod tests;
