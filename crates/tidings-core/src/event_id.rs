//! Event ids, which subscribers receive and resume from: those supplied by publishers, and those
//! sent back by subscribers. [`id_seal`](crate::id_seal) makes the hub's own ids.

use std::fmt;
use std::sync::Arc;

use crate::limits::EVENT_ID_BYTES_MAX;
use crate::text::forbidden_character;

/// The cursor that asks for everything there is.
///
/// Mercure, "Reconnection, State Reconciliation, and Event Sourcing".
pub const EARLIEST: &str = "earliest";

/// The public id of an update. Cloning shares the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventId(Arc<str>);

impl EventId {
    /// Reads an id that a publisher supplied.
    ///
    /// A form field that is present and empty supplies none: whoever reads the form leaves it
    /// out instead of passing `""` here.
    ///
    /// # Errors
    ///
    /// The rule that `text` breaks. Mercure, "Publication", field `id`.
    pub fn parse(text: &str) -> Result<Self, EventIdError> {
        if text.starts_with(' ') || text.ends_with(' ') {
            return Err(EventIdError::OuterSpace);
        }
        Self::parse_stored(text)
    }

    /// Reads an id that was stored. Files from before the rule about spaces have such ids.
    ///
    /// # Errors
    ///
    /// The rule that `text` breaks.
    pub fn parse_stored(text: &str) -> Result<Self, EventIdError> {
        if text.is_empty() {
            return Err(EventIdError::Empty);
        }
        if text == EARLIEST {
            return Err(EventIdError::Earliest);
        }
        if text.starts_with('#') {
            return Err(EventIdError::Fragment);
        }
        if text.len() > EVENT_ID_BYTES_MAX {
            return Err(EventIdError::TooLong {
                bytes: text.len(),
                max: EVENT_ID_BYTES_MAX,
            });
        }
        if let Some(character) = forbidden_character(text) {
            return Err(EventIdError::ForbiddenCharacter { character });
        }
        Ok(Self(text.into()))
    }

    /// Wraps an id that this hub made, or that it checked when it was published.
    pub(crate) fn from_hub(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the id as subscribers see it.
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

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no id for a publisher to supply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventIdError {
    /// An empty id would make a subscriber forget where it is.
    #[error("an event id is empty")]
    Empty,
    /// The word is a cursor of its own.
    #[error("'earliest' is reserved and cannot be an event id")]
    Earliest,
    /// Fragments are left to the hub.
    #[error("an event id begins with '#', which is reserved for the hub")]
    Fragment,
    /// HTTP drops spaces around a field's value, so that a subscriber would resume at another id.
    #[error("an event id begins or ends with a space, which Last-Event-ID cannot carry")]
    OuterSpace,
    /// The id contains an invisible character.
    #[error("an event id contains {character:?}, a control or format character")]
    ForbiddenCharacter {
        /// The first one.
        character: char,
    },
    /// The id is longer than the limit.
    #[error("an event id has {bytes} bytes, more than {max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}

/// Where a subscriber wants to read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// From the oldest update that is kept.
    Earliest,
    /// After the update that has this id, which may be unknown.
    After(Arc<str>),
}

impl Cursor {
    /// Reads a cursor as a subscriber sent it. Any text is one: an id that was never given is
    /// found out when it is looked up, and answered as such.
    ///
    /// `""` means [`Earliest`](Self::Earliest), as `earliest` does: a subscriber that names no
    /// event has seen none.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "" | EARLIEST => Self::Earliest,
            _ => Self::After(text.into()),
        }
    }

    /// Returns the cursor as subscribers send it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Earliest => EARLIEST,
            Self::After(id) => id,
        }
    }
}

#[cfg(test)]
mod tests;
