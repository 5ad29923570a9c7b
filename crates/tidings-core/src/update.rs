//! An update: as published ([`Draft`]), and as stored in the history ([`Update`]).
//! [`grant`](crate::grant) decides who may publish or read it.

use std::fmt;
use std::sync::Arc;

use crate::event_id::EventId;
use crate::holder::Holder;
use crate::limits::{EVENT_TYPE_BYTES_MAX, TOPICS_PER_UPDATE_MAX};
use crate::position::Position;
use crate::print::Print;
use crate::target::Targets;
use crate::text::forbidden_character;
use crate::topic::Topic;

/// An update on its way into the history, checked and granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What it is about.
    pub topics: Topics,
    /// What the subscriber's `onmessage` receives.
    pub data: Arc<str>,
    /// Who may receive it.
    pub visibility: Visibility,
    /// The publisher's own id. Without one the history seals its position and its print.
    pub id: Option<EventId>,
    /// The name of the event that the subscriber sees.
    pub event_type: Option<EventType>,
    /// How many milliseconds the subscriber is to wait before it reconnects.
    pub retry_ms: Option<u64>,
    /// What it says of a subscription, if it is an event of the hub about one.
    pub presence: Option<Presence>,
}

impl Draft {
    /// Returns its size, as limits count it: the bytes of its texts, and 64 for the rest.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let id = self.id.as_ref().map_or(0, |id| id.as_str().len());
        let names = name_bytes(&self.topics, &self.visibility, self.event_type.as_ref());
        (names + id + self.data.len()) as u64 + REST_BYTES
    }
}

/// An update in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Its place. Later updates have greater ones.
    pub position: Position,
    /// Vouches for it and for what came before it; nothing if it is from before there were prints.
    pub print: Option<Print>,
    /// Cursor that a subscriber may resume from.
    pub id: EventId,
    /// Who made the id.
    pub id_source: IdSource,
    /// When the history took it, in Unix milliseconds by its own time (decision 0016).
    pub published_ms: u64,
    /// What it is about.
    pub topics: Topics,
    /// What the subscriber's `onmessage` receives.
    pub data: Arc<str>,
    /// Who may receive it.
    pub visibility: Visibility,
    /// The name of the event that the subscriber sees.
    pub event_type: Option<EventType>,
    /// How many milliseconds the subscriber is to wait before it reconnects.
    pub retry_ms: Option<u64>,
    /// What it says of a subscription, if it is an event of the hub about one.
    pub presence: Option<Presence>,
}

impl Update {
    /// Returns its size, as retention counts it: the bytes of its texts, and 64 for the rest.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let names = name_bytes(&self.topics, &self.visibility, self.event_type.as_ref());
        (names + self.id.as_str().len() + self.data.len()) as u64 + REST_BYTES
    }
}

/// Bytes that an update counts for beside its texts.
const REST_BYTES: u64 = 64;

/// Returns the bytes of the topics and targets, each with one more, and of the event type.
fn name_bytes(topics: &Topics, visibility: &Visibility, event_type: Option<&EventType>) -> usize {
    let topics: usize = topics.iter().map(|topic| topic.as_str().len() + 1).sum();
    let targets: usize = match visibility {
        Visibility::Public | Visibility::Private => 0,
        Visibility::Targeted(targets) => targets.iter().map(|name| name.as_str().len() + 1).sum(),
    };
    topics + targets + event_type.map_or(0, |name| name.as_str().len())
}

/// Who may receive an update. Mercure, "Publication", field `private`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Everyone whose matchers select it.
    Public,
    /// Of those, the subscribers whose grants cover one of its topics.
    Private,
    /// Of those, the subscribers whose token names one of these targets. Mercure before 0.8.
    Targeted(Targets),
}

impl Visibility {
    /// Returns whether no grant is needed.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        matches!(self, Self::Public)
    }
}

/// What an event of the hub says of a subscription. Such events have a retention of their own.
///
/// Mercure, "Subscription Events".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Presence {
    /// It began. Who holds it is stored beside the event, not in it: who comes back after a restart is
    /// recognised by that.
    Begins(Option<Holder>),
    /// It ended.
    Ends,
}

/// Who made the id of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdSource {
    /// The history, from the position and the print.
    Hub,
    /// Whoever published it.
    Publisher,
}

/// The topics of one update: at least one, at most [`TOPICS_PER_UPDATE_MAX`], in the publisher's
/// order. Cloning shares them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    canonical: Topic,
    all: Arc<[Topic]>,
}

impl Topics {
    /// Takes the topics in the order in which they were published.
    ///
    /// # Errors
    ///
    /// [`TopicsError`] if there is none, or too many. Mercure, "Publication", field `topic`.
    pub fn new(topics: Vec<Topic>) -> Result<Self, TopicsError> {
        let canonical = topics.first().ok_or(TopicsError::None)?.clone();
        if topics.len() > TOPICS_PER_UPDATE_MAX {
            return Err(TopicsError::TooMany {
                count: topics.len(),
                max: TOPICS_PER_UPDATE_MAX,
            });
        }
        Ok(Self {
            canonical,
            all: topics.into(),
        })
    }

    /// Takes the one topic of an update that has no alternate topics.
    #[must_use]
    pub fn one(topic: Topic) -> Self {
        Self {
            all: Arc::new([topic.clone()]),
            canonical: topic,
        }
    }

    /// Returns the first topic, which names the updated resource. Mercure, "Terminology".
    #[must_use]
    pub fn canonical(&self) -> &Topic {
        &self.canonical
    }

    /// Returns all topics, the canonical one first.
    pub fn iter(&self) -> std::slice::Iter<'_, Topic> {
        self.all.iter()
    }

    /// Returns how many topics there are, the canonical one included.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always at least one")]
    pub fn len(&self) -> usize {
        self.all.len()
    }
}

impl<'a> IntoIterator for &'a Topics {
    type Item = &'a Topic;
    type IntoIter = std::slice::Iter<'a, Topic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Why a list of topics cannot belong to one update.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicsError {
    /// An update is about something.
    #[error("an update has no topic")]
    None,
    /// There are more topics than the limit.
    #[error("an update has {count} topics, more than {max}")]
    TooMany {
        /// How many.
        count: usize,
        /// The limit.
        max: usize,
    },
}

/// The name of an event, as `addEventListener` takes it. Cloning shares the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventType(Arc<str>);

impl EventType {
    /// Reads an event type that a publisher supplied.
    ///
    /// A form field that is present and empty supplies none: whoever reads the form leaves it
    /// out instead of passing `""` here.
    ///
    /// # Errors
    ///
    /// The rule that `text` breaks. Mercure, "Publication", field `type`.
    pub fn parse(text: &str) -> Result<Self, EventTypeError> {
        if text.is_empty() {
            return Err(EventTypeError::Empty);
        }
        if text == MERCURE {
            return Err(EventTypeError::Reserved);
        }
        if text.len() > EVENT_TYPE_BYTES_MAX {
            return Err(EventTypeError::TooLong {
                bytes: text.len(),
                max: EVENT_TYPE_BYTES_MAX,
            });
        }
        if let Some(character) = forbidden_character(text) {
            return Err(EventTypeError::ForbiddenCharacter { character });
        }
        Ok(Self(text.into()))
    }

    /// Returns `mercure`, the type of the events that the hub itself makes and nobody else may.
    ///
    /// Mercure, "Reserved Hub Namespace".
    #[must_use]
    pub fn mercure() -> Self {
        Self(MERCURE.into())
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no event type for a publisher to supply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventTypeError {
    /// An event without a name has no type at all.
    #[error("an event type is empty")]
    Empty,
    /// Subscribers trust that events of this type come from the hub.
    #[error("the event type 'mercure' is reserved for the hub")]
    Reserved,
    /// The type contains an invisible character.
    #[error("an event type contains {character:?}, a control or format character")]
    ForbiddenCharacter {
        /// The first one.
        character: char,
    },
    /// The type is longer than the limit.
    #[error("an event type has {bytes} bytes, more than {max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}

const MERCURE: &str = "mercure";

#[cfg(test)]
mod tests;
