//! Event ids, which subscribers receive and resume from: those supplied by publishers, and those
//! sent back by subscribers. [`id_seal`](crate::id_seal) makes the hub's own ids.

use std::fmt;
use std::sync::Arc;

use crate::limits::EVENT_ID_BYTES_MAX;
use crate::text::forbidden_character;

/// The cursor that asks for the whole history.
///
/// Mercure, "Reconnection, State Reconciliation, and Event Sourcing".
pub const EARLIEST: &str = "earliest";

/// The public id of an update. Cloning shares the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventId(Arc<str>);

impl EventId {
    /// Reads an id that a publisher supplied.
    ///
    /// A form field that is present and empty supplies no id. The form's decoder leaves it out and
    /// does not pass `""` here.
    ///
    /// # Errors
    ///
    /// [`EventIdError`] names the rule that `text` breaks. Mercure, "Publication", field `id`.
    pub fn parse(text: &str) -> Result<Self, EventIdError> {
        if text.starts_with(' ') || text.ends_with(' ') {
            return Err(EventIdError::OuterSpace);
        }
        Self::parse_stored(text)
    }

    /// Reads an id from the history. Files that predate the rule about spaces may contain such ids.
    ///
    /// # Errors
    ///
    /// [`EventIdError`] names the rule that `text` breaks.
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

    /// Wraps an id that this hub made, or that it checked when the update was published.
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

/// Why a publisher cannot supply a text as an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventIdError {
    /// An empty id would make a subscriber forget its cursor.
    #[error("an event id is empty")]
    Empty,
    /// The word `earliest` is a cursor itself.
    #[error("'earliest' is reserved and cannot be an event id")]
    Earliest,
    /// Ids that begin with `#` are reserved for the hub.
    #[error("an event id begins with '#', which is reserved for the hub")]
    Fragment,
    /// HTTP drops spaces around a header's value, so a subscriber would resume at another id.
    #[error("an event id begins or ends with a space, which Last-Event-ID cannot carry")]
    OuterSpace,
    /// The id contains an invisible character.
    #[error("an event id contains {character:?}, a control or format character")]
    ForbiddenCharacter {
        /// The first such character.
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

/// Where a subscriber resumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// From the oldest retained update.
    Earliest,
    /// After the update that has this id, which may be unknown.
    After(Arc<str>),
}

impl Cursor {
    /// Reads a cursor as a subscriber sent it. Any text is a cursor: the lookup finds out whether
    /// the id is known.
    ///
    /// `""` means [`Earliest`](Self::Earliest), like `earliest`: a subscriber that names no event
    /// has seen none.
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
