//! The form in which an update is in an engine: version 1, and version 2 for an update with a trace.
//!
//! | bytes | meaning |
//! |---|---|
//! | 1 | version: 1, or 2 with a trace |
//! | 1 | readers: 0 public, 1 private, 2 targeted, 3 hubs alone, 4 nobody: withdrawn by a purge |
//! | 1 | presence: 0 none, 1 begins, 2 begins with a holder, 3 ends |
//! | 1 | what follows, as bits: 1 id, 2 type, 4 retry, 8 key, 16 trace; the others are 0 |
//! | list | topics, the canonical one first |
//! | list | targets, with readers 2 |
//! | text | id, type, each if there is one |
//! | number | retry in milliseconds, if there is one |
//! | text, number | key, and for how many milliseconds it is kept, if there is one |
//! | 16 | holder, with presence 2 |
//! | 25 | trace, if there is one: 16 bytes of the trace, 8 of the span, 1 of flags (W3C Trace Context) |
//! | text | data |
//!
//! A number is in LEB128, at most 10 bytes; a text is its length in bytes as a number, and its
//! bytes; a list is its length as a number, and its texts. Nothing follows the data.
//!
//! Hubs of two versions run side by side while a cluster is upgraded, so a hub reads the versions
//! before its own as well, and a new version is written only when all hubs read it: their
//! [records](crate::record) say so. Until then, a traced update is sent without its trace.

use std::sync::Arc;

use tidings_core::event_id::EventId;
use tidings_core::topic::{Topic, TopicError};
use tidings_core::{
    Draft, EventType, Holder, Presence, Target, Targets, Topics, TraceContext, Visibility,
};

use crate::bytes::{Rest, Unreadable, put, put_number};
use crate::engine::Key;

/// An update, and what is kept beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The update.
    pub draft: Draft,
    /// By which it is taken once, and for how many milliseconds that is remembered.
    pub key: Option<(Key, u64)>,
}

/// Why bytes are no envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// It ends too early.
    #[error("an envelope ends within {part}")]
    Truncated {
        /// Within what.
        part: &'static str,
    },
    /// A newer hub wrote it.
    #[error("an envelope has version {version}, which this hub does not know: upgrade the hub")]
    Version {
        /// The version.
        version: u8,
    },
    /// A part has a value that no hub writes.
    #[error("an envelope has {part} that no hub writes")]
    Invalid {
        /// Which part.
        part: &'static str,
    },
    /// Something follows the data.
    #[error("{bytes} bytes follow the data of an envelope")]
    Trailing {
        /// How many bytes.
        bytes: usize,
    },
}

impl Envelope {
    /// Returns the bytes of this update.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let draft = &self.draft;
        let mut bytes = Vec::with_capacity(draft.data.len() + 128);
        let readers = match draft.visibility {
            Visibility::Public => 0,
            Visibility::Private => 1,
            Visibility::Targeted(_) => 2,
            Visibility::Hubs => 3,
            Visibility::Withdrawn => 4,
        };
        let presence = match draft.presence {
            None => 0,
            Some(Presence::Begins(None)) => 1,
            Some(Presence::Begins(Some(_))) => 2,
            Some(Presence::Ends) => 3,
        };
        let follows = [
            (draft.id.is_some(), HAS_ID),
            (draft.event_type.is_some(), HAS_TYPE),
            (draft.retry_ms.is_some(), HAS_RETRY),
            (self.key.is_some(), HAS_KEY),
            (draft.trace.is_some(), HAS_TRACE),
        ];
        let follows = follows.into_iter().filter(|(has, _)| *has);
        let follows = follows.fold(0, |bits, (_, bit)| bits | bit);
        let version = match draft.trace {
            None => VERSION_WITHOUT_TRACES,
            Some(_) => VERSION,
        };
        bytes.extend([version, readers, presence, follows]);
        put_texts(&mut bytes, draft.topics.iter().map(Topic::as_str));
        if let Visibility::Targeted(targets) = &draft.visibility {
            put_texts(&mut bytes, targets.iter().map(Target::as_str));
        }
        if let Some(id) = &draft.id {
            put(&mut bytes, id.as_str().as_bytes());
        }
        if let Some(event_type) = &draft.event_type {
            put(&mut bytes, event_type.as_str().as_bytes());
        }
        if let Some(retry_ms) = draft.retry_ms {
            put_number(&mut bytes, retry_ms);
        }
        if let Some((key, kept_ms)) = &self.key {
            put(&mut bytes, key.bytes());
            put_number(&mut bytes, *kept_ms);
        }
        if let Some(Presence::Begins(Some(holder))) = draft.presence {
            bytes.extend(holder.bytes());
        }
        if let Some(trace) = draft.trace {
            bytes.extend(trace.to_bytes());
        }
        put(&mut bytes, draft.data.as_bytes());
        bytes
    }

    /// Reads the bytes of an update.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`] if no hub that this one knows wrote them.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut rest = Rest(bytes);
        let version = rest.byte("the version")?;
        let known = match version {
            VERSION_WITHOUT_TRACES => HAS_ID | HAS_TYPE | HAS_RETRY | HAS_KEY,
            // It says that there is a trace.
            VERSION => HAS_ID | HAS_TYPE | HAS_RETRY | HAS_KEY | HAS_TRACE,
            _ => return Err(EnvelopeError::Version { version }),
        };
        let readers = rest.byte("the readers")?;
        let presence = rest.byte("the presence")?;
        let follows = rest.byte("the parts")?;
        if follows & !known != 0 || (version == VERSION && follows & HAS_TRACE == 0) {
            return Err(EnvelopeError::Invalid { part: "parts" });
        }
        let topics = rest.texts("the topics", topic)?;
        let topics = Topics::new(topics).map_err(|_invalid| invalid("topics"))?;
        let visibility = match readers {
            0 => Visibility::Public,
            1 => Visibility::Private,
            2 => {
                let targets = rest.texts("the targets", |text| Target::parse(text).ok())?;
                let targets = Targets::new(targets).map_err(|_invalid| invalid("targets"))?;
                Visibility::Targeted(targets.ok_or(invalid("targets"))?)
            }
            3 => Visibility::Hubs,
            4 => Visibility::Withdrawn,
            _ => return Err(invalid("readers")),
        };
        let has = |bit| follows & bit != 0;
        let id =
            has(HAS_ID).then(|| rest.parsed("the id", |text| EventId::parse_stored(text).ok()));
        let id = id.transpose()?;
        let event_type = has(HAS_TYPE).then(|| rest.parsed("the type", event_type));
        let event_type = event_type.transpose()?;
        let retry_ms = has(HAS_RETRY).then(|| rest.number("the retry"));
        let retry_ms = retry_ms.transpose()?;
        let key = has(HAS_KEY).then(|| key(&mut rest)).transpose()?;
        let presence = match presence {
            0 => None,
            1 => Some(Presence::Begins(None)),
            2 => Some(Presence::Begins(Some(holder(&mut rest)?))),
            3 => Some(Presence::Ends),
            _ => return Err(invalid("presence")),
        };
        let trace = has(HAS_TRACE).then(|| trace(&mut rest)).transpose()?;
        let data = Arc::from(rest.text("the data")?);
        match rest.0.len() {
            0 => Ok(Self {
                draft: Draft {
                    trace,
                    topics,
                    data,
                    visibility,
                    id,
                    event_type,
                    retry_ms,
                    presence,
                },
                key,
            }),
            bytes => Err(EnvelopeError::Trailing { bytes }),
        }
    }
}

fn topic(text: &str) -> Option<Topic> {
    match Topic::parse(text) {
        Ok(topic) => Some(topic),
        // The hub's own topics may be longer than those of publishers.
        Err(TopicError::TooLong { .. }) => Some(Topic::of_hub(text)),
        Err(_) => None,
    }
}

fn event_type(text: &str) -> Option<EventType> {
    // Only the hub itself may use this name.
    let reserved = EventType::mercure();
    match text == reserved.as_str() {
        true => Some(reserved),
        false => EventType::parse(text).ok(),
    }
}

const fn invalid(part: &'static str) -> EnvelopeError {
    EnvelopeError::Invalid { part }
}

fn put_texts<'a>(bytes: &mut Vec<u8>, texts: impl ExactSizeIterator<Item = &'a str>) {
    put_number(bytes, texts.len() as u64);
    for text in texts {
        put(bytes, text.as_bytes());
    }
}

impl From<Unreadable> for EnvelopeError {
    fn from(error: Unreadable) -> Self {
        match error {
            Unreadable::Truncated(part) => Self::Truncated { part },
            Unreadable::Invalid(part) => Self::Invalid { part },
        }
    }
}

fn key(rest: &mut Rest<'_>) -> Result<(Key, u64), EnvelopeError> {
    let key = Key::new(rest.bytes("the key")?).ok_or(invalid("the key"))?;
    Ok((key, rest.number("the key")?))
}

fn holder(rest: &mut Rest<'_>) -> Result<Holder, EnvelopeError> {
    let part = "the holder";
    let bytes = rest.take(16, part)?;
    let bytes = bytes.try_into().map_err(|_length| invalid(part))?;
    Ok(Holder::new(bytes))
}

fn trace(rest: &mut Rest<'_>) -> Result<TraceContext, EnvelopeError> {
    let part = "the trace";
    let bytes = rest.take(TRACE_BYTES, part)?;
    // Flags that this version does not write are none that it may drop.
    TraceContext::of_bytes(bytes)
        .filter(|trace| trace.to_bytes() == bytes)
        .ok_or(EnvelopeError::Invalid { part })
}

/// The newest version that this hub reads. It is written for updates with a trace.
pub const VERSION: u8 = 2;
/// The version of all other updates.
const VERSION_WITHOUT_TRACES: u8 = 1;
const TRACE_BYTES: usize = 25;

const HAS_ID: u8 = 1;
const HAS_TYPE: u8 = 2;
const HAS_RETRY: u8 = 4;
const HAS_KEY: u8 = 8;
const HAS_TRACE: u8 = 16;

#[cfg(test)]
mod tests;
