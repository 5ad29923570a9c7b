//! A topic: the name that updates are published under.
//! [`HubUrl::reserves`](crate::HubUrl::reserves) says whether it is in the hub's own namespace,
//! where only the hub may publish.

use std::fmt;
use std::sync::Arc;

use crate::limits::TOPIC_BYTES_MAX;
use crate::text::forbidden_character;

/// The name that updates are published under. It is never empty, never `*`, and has no invisible
/// characters. A topic from a publisher has at most [`TOPIC_BYTES_MAX`] bytes. Topics are compared
/// byte for byte. Cloning shares the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

impl Topic {
    /// Reads a topic from a publication.
    ///
    /// # Errors
    ///
    /// [`TopicError`] names the rule that `text` breaks. Mercure, "Terminology" and "Publication".
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        if text == "*" {
            return Err(TopicError::Wildcard);
        }
        if text.len() > TOPIC_BYTES_MAX {
            return Err(TopicError::TooLong {
                bytes: text.len(),
                max: TOPIC_BYTES_MAX,
            });
        }
        if let Some(character) = forbidden_character(text) {
            return Err(TopicError::ForbiddenCharacter { character });
        }
        Ok(Self(text.into()))
    }

    /// Takes a topic that the hub built from checked parts. It may be longer than the limit for
    /// publishers, since it contains the encoded text of a matcher.
    ///
    /// Mercure, "Subscription Events".
    #[must_use]
    pub fn of_hub(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the topic as it was published.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the shared text.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a valid topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Nothing could match an empty topic.
    #[error("a topic is empty")]
    Empty,
    /// `*` is the matcher of every topic, so no matcher could name this topic alone.
    #[error("'*' is the wildcard matcher and cannot be a topic")]
    Wildcard,
    /// The topic contains an invisible character.
    #[error("a topic contains {character:?}, a control or format character")]
    ForbiddenCharacter {
        /// The first such character.
        character: char,
    },
    /// The topic is longer than the limit.
    #[error("a topic has {bytes} bytes, more than {max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}

#[cfg(test)]
mod tests;
