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
use crate::trace::TraceContext;

/// An update that has been checked and authorized, before the history stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What the update is about.
    pub topics: Topics,
    /// What the subscriber's `onmessage` receives.
    pub data: Arc<str>,
    /// Who may receive it.
    pub visibility: Visibility,
    /// The publisher's own id. Without one, the history makes an id from the position and the
    /// print.
    pub id: Option<EventId>,
    /// The name of the event that subscribers receive.
    pub event_type: Option<EventType>,
    /// How many milliseconds subscribers should wait before they reconnect.
    pub retry_ms: Option<u64>,
    /// What a presence event says; `None` for any other update.
    pub presence: Option<Presence>,
    /// The span that it was published in, if its deliveries are traced.
    pub trace: Option<TraceContext>,
}

impl Draft {
    /// Returns whether the hub itself publishes it: a presence event, or a message for hubs.
    #[must_use]
    pub const fn is_of_hub(&self) -> bool {
        self.presence.is_some() || self.visibility.is_for_hubs()
    }

    /// Returns what stands at a position whose update is gone for every reader, as
    /// [`Update::withdrawn`] leaves it.
    #[must_use]
    pub fn withdrawn() -> Self {
        Self {
            topics: Topics::one(Topic::of_hub(WITHDRAWN)),
            data: Arc::from(""),
            visibility: Visibility::Withdrawn,
            id: None,
            event_type: None,
            retry_ms: None,
            presence: None,
            trace: None,
        }
    }

    /// Returns the size that limits count: the bytes of its texts, and 64 for the rest.
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
    /// Its position. Later updates have greater ones.
    pub position: Position,
    /// Vouches for this update and all before it; `None` for an update that predates prints.
    pub print: Option<Print>,
    /// The cursor from which a subscriber may resume.
    pub id: EventId,
    /// Who made the id.
    pub id_source: IdSource,
    /// When the history stored it, in Unix milliseconds of the history's own time (decision 0016).
    pub published_ms: u64,
    /// What the update is about.
    pub topics: Topics,
    /// What the subscriber's `onmessage` receives.
    pub data: Arc<str>,
    /// Who may receive it.
    pub visibility: Visibility,
    /// The name of the event that subscribers receive.
    pub event_type: Option<EventType>,
    /// How many milliseconds subscribers should wait before they reconnect.
    pub retry_ms: Option<u64>,
    /// What a presence event says; `None` for any other update.
    pub presence: Option<Presence>,
    /// The span that it was published in, if its deliveries are traced.
    pub trace: Option<TraceContext>,
    /// What the relay of a cluster stores beside an update that the hub itself published; `None` for
    /// any other update, and where it was read from the history.
    pub note: Option<Arc<[u8]>>,
}

impl Update {
    /// Returns whether the hub itself published it: a presence event, or a message for hubs.
    #[must_use]
    pub const fn is_of_hub(&self) -> bool {
        self.presence.is_some() || self.visibility.is_for_hubs()
    }

    /// Returns what a purge leaves of it: its place, its print and its id, at which a cursor may
    /// stand, and nothing that its publisher wrote.
    #[must_use]
    pub fn withdrawn(&self) -> Self {
        Self {
            topics: Topics::one(Topic::of_hub(WITHDRAWN)),
            data: Arc::from(""),
            visibility: Visibility::Withdrawn,
            event_type: None,
            retry_ms: None,
            trace: None,
            ..self.clone()
        }
    }

    /// Returns the size that retention counts: the bytes of its texts, and 64 for the rest.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let names = name_bytes(&self.topics, &self.visibility, self.event_type.as_ref());
        (names + self.id.as_str().len() + self.data.len()) as u64 + REST_BYTES
    }
}

/// Bytes that an update counts for in addition to its texts.
const REST_BYTES: u64 = 64;

/// Returns the bytes of the topics and targets, plus one for each, and of the event type.
fn name_bytes(topics: &Topics, visibility: &Visibility, event_type: Option<&EventType>) -> usize {
    let topics: usize = topics.iter().map(|topic| topic.as_str().len() + 1).sum();
    let targets: usize = match visibility {
        Visibility::Public | Visibility::Private | Visibility::Hubs | Visibility::Withdrawn => 0,
        Visibility::Targeted(targets) => targets.iter().map(|name| name.as_str().len() + 1).sum(),
    };
    topics + targets + event_type.map_or(0, |name| name.as_str().len())
}

/// Who may receive an update. Mercure, "Publication", field `private`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Every subscriber with a matcher for it.
    Public,
    /// Among those, the subscribers whose grants cover one of its topics.
    Private,
    /// Among those, the subscribers whose token names one of these targets. Mercure before 0.8.
    Targeted(Targets),
    /// No subscriber: what hubs tell each other.
    Hubs,
    /// Nobody: an operator purged it from the history. A draft is withdrawn only where a cluster puts
    /// back what its engine lost.
    Withdrawn,
}

impl Visibility {
    /// Returns whether no grant is needed.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        matches!(self, Self::Public)
    }

    /// Returns whether it is for hubs alone.
    #[must_use]
    pub const fn is_for_hubs(&self) -> bool {
        matches!(self, Self::Hubs)
    }
}

/// What a presence event says about a subscription. Presence events have their own retention.
///
/// Mercure, "Subscription Events".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Presence {
    /// The subscription began. The holder is stored beside the event, not in it: it recognizes a
    /// subscriber that returns after a restart.
    Begins(Option<Holder>),
    /// The subscription ended.
    Ends,
}

/// Who made the id of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdSource {
    /// The history, from the position and the print.
    Hub,
    /// The publisher.
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
    /// Takes the topics in the order of publication.
    ///
    /// # Errors
    ///
    /// [`TopicsError`] if there is no topic, or more than the limit. Mercure, "Publication", field
    /// `topic`.
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

/// Why a list of topics is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicsError {
    /// Every update has a topic.
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

/// The name of an event, as passed to `addEventListener`. Cloning shares the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventType(Arc<str>);

impl EventType {
    /// Reads an event type from a publication.
    ///
    /// A form field that is present and empty supplies no type. The form's decoder leaves it out
    /// and does not pass `""` here.
    ///
    /// # Errors
    ///
    /// [`EventTypeError`] names the rule that `text` breaks. Mercure, "Publication", field `type`.
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

    /// Returns `mercure`, the type of the events that only the hub makes.
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

/// Why a publisher cannot supply a text as an event type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventTypeError {
    /// An event with an empty name would have no type.
    #[error("an event type is empty")]
    Empty,
    /// Subscribers trust that events of this type come from the hub.
    #[error("the event type 'mercure' is reserved for the hub")]
    Reserved,
    /// The type contains an invisible character.
    #[error("an event type contains {character:?}, a control or format character")]
    ForbiddenCharacter {
        /// The first such character.
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

/// The topic in place of those of a withdrawn update.
pub const WITHDRAWN: &str = "urn:tidings:withdrawn";

const MERCURE: &str = "mercure";

#[cfg(test)]
mod tests;
