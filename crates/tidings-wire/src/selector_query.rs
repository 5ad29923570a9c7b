//! The parameters of a subscription before Mercure 1.0, from the query of its URL.
//!
//! Selectors are interpreted elsewhere, and whether such subscriptions are served is decided
//! elsewhere.

use crate::form::{ListName, NotUtf8, pairs};
use crate::subscribe_query::starts_with_match;

/// What a subscriber of before 1.0 asked for, read but not checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelectorQuery {
    /// Values of `topic` in their order, at least one: topics or URI templates.
    pub selectors: Vec<String>,
    /// The cursor, by any of its names. The `Last-Event-ID` field of the request goes before it.
    pub last_event_id: Option<String>,
}

/// Why the parameters are not those of such a subscription.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// The value of a selector or of the cursor is not UTF-8.
    #[error(transparent)]
    NotUtf8(#[from] NotUtf8),
    /// A list is written as PHP writes arrays, which would be lost silently.
    #[error(transparent)]
    List(#[from] ListName),
    /// There is no selector.
    #[error("missing \"topic\" parameter")]
    NoSelector,
    /// There are more selectors than the hub takes.
    #[error("more than {max} topic parameters in one subscription request")]
    TooMany {
        /// How many selectors the hub takes.
        max: usize,
    },
}

impl SelectorQuery {
    /// Says whether `query` asks in the way of before 1.0: with `topic`, and with nothing of the
    /// namespace in which 1.0 asks.
    pub fn is_meant_by(query: &[u8]) -> bool {
        let mut topic = false;
        for pair in pairs(query) {
            let name = pair.name_bytes();
            if starts_with_match(&name) {
                return false;
            }
            topic |= *name == *b"topic" || ListName::refuse(pair, "topic").is_err();
        }
        topic
    }

    /// Reads `query`, without its `?`.
    ///
    /// Other parameters are skipped without a look at their value. Keeps at most `selectors_max`
    /// selectors; the caller bounds the length of `query`.
    ///
    /// # Errors
    ///
    /// The first rule that a parameter breaks; a missing selector last.
    pub fn decode(query: &[u8], selectors_max: usize) -> Result<Self, SelectorError> {
        let mut decoded = Self::default();
        for pair in pairs(query) {
            ListName::refuse(pair, "topic")?;
            match &*pair.name_bytes() {
                b"topic" if decoded.selectors.len() >= selectors_max => {
                    return Err(SelectorError::TooMany { max: selectors_max });
                }
                b"topic" => decoded.selectors.push(pair.value()?.into_owned()),
                name if decoded.last_event_id.is_none() && is_cursor(name) => {
                    decoded.last_event_id = Some(pair.value()?.into_owned());
                }
                _ => {}
            }
        }
        if decoded.selectors.is_empty() {
            return Err(SelectorError::NoSelector);
        }
        Ok(decoded)
    }
}

/// Returns the first cursor of `query` by any of the names that it had before 1.0.
pub fn old_cursor(query: &[u8]) -> Option<String> {
    let mut cursors = pairs(query).filter(|pair| is_cursor(&pair.name_bytes()));
    Some(cursors.next()?.value().ok()?.into_owned())
}

/// Returns the token that stands in `query`, as subscribers of 0.x may send it.
pub fn token(query: &[u8]) -> Option<String> {
    let mut tokens = pairs(query).filter(|pair| *pair.name_bytes() == *b"authorization");
    let token = tokens.next()?.value().ok()?.into_owned();
    Some(token).filter(|token| !token.is_empty())
}

/// Says whether a parameter holds the cursor: as 1.0 calls it, as 0.14 to 0.24 did, as those before
/// did, and as a widespread polyfill does.
fn is_cursor(name: &[u8]) -> bool {
    [
        b"last_event_id".as_slice(),
        b"lastEventID",
        b"Last-Event-ID",
        b"lastEventId",
    ]
    .contains(&name)
}

#[cfg(test)]
mod tests;
