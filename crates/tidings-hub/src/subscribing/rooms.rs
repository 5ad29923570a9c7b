//! The rules of rooms: which topics have one, whether tokens are asked for, and who may join. A peer of a
//! room receives what the others send (`session/protocol/room`).

use std::sync::Arc;

use tidings_auth::Identity;
use tidings_core::hub_url::HubUrl;
use tidings_core::topic::{Topic, TopicError};

use super::{Admitted, SubscribeError, admit, exactly};
use crate::account::Holder;
use crate::shard::Shard;

/// What a peer without a token is told where it needs one.
const NEEDS_A_TOKEN: &str = "joining this room needs an access token";

/// Who may join rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody may receive and send. Tokens are not asked for.
    Anonymous,
    /// Holders of a token that allows publishing to the topic may send. Receiving follows the rules of
    /// subscribing elsewhere.
    Token,
}

/// The rooms of a hub.
#[derive(Clone, Copy, Debug)]
pub struct Rooms<'a> {
    /// Who may join.
    pub access: Access,
    /// The topics that have a room. A `*` at the end matches anything.
    pub topics: &'a [String],
    /// Whether messages are private updates.
    pub private: bool,
}

/// Why there is no room of a name.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// The name is not a topic.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The topic is below the hub's own path.
    #[error("\"{topic}\" is reserved for the hub")]
    Reserved {
        /// The topic that was refused.
        topic: Topic,
    },
    /// The topic has no room.
    #[error("there is nothing at this path")]
    Unknown,
}

impl Rooms<'_> {
    /// Returns the topic of the room called `name`.
    ///
    /// # Errors
    ///
    /// There is no such room.
    pub fn topic(&self, name: &str, hub: &HubUrl) -> Result<Topic, RoomError> {
        let topic = Topic::parse(name)?;
        if hub.reserves(&topic) {
            return Err(RoomError::Reserved { topic });
        }
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => topic.as_str().starts_with(beginning),
            None => topic.as_str() == pattern,
        };
        if self.topics.iter().any(matches) {
            Ok(topic)
        } else {
            Err(RoomError::Unknown)
        }
    }

    /// Returns whether peers are asked for a token. Where anybody may send, a cookie that a browser holds for
    /// another part of the site means nothing.
    pub fn asks_for_tokens(&self) -> bool {
        match self.access {
            Access::Token => true,
            Access::Anonymous => false,
        }
    }

    /// Admits a peer to the room of `topic`.
    ///
    /// # Errors
    ///
    /// It needs a token, or there is no room for its matcher.
    pub async fn admit(
        &self,
        shard: &Shard,
        holder: &Arc<Holder>,
        topic: &Topic,
        identity: Option<Arc<Identity>>,
    ) -> Result<Admitted, SubscribeError> {
        let anonymous = match self.access {
            Access::Anonymous => true,
            Access::Token => !self.private && shard.options().anonymous,
        };
        if identity.is_none() && !anonymous {
            return Err(SubscribeError::Anonymous { how: NEEDS_A_TOKEN });
        }
        let matchers = exactly(shard, topic.as_str())?;
        admit(shard, holder, identity, matchers, None).await
    }
}
