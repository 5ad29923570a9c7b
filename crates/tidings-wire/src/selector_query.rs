//! The parameters of a subscription before Mercure 1.0, from the query of its URL.
//!
//! Selectors are interpreted elsewhere, and whether such subscriptions are served is decided
//! elsewhere.

use crate::form::{ListName, NotUtf8, pairs};
use crate::subscribe_query::starts_with_match;

/// A subscription before 1.0, decoded but not validated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelectorQuery {
    /// Values of `topic`, in order, at least one: topics or URI templates.
    pub selectors: Vec<String>,
    /// The cursor, under any of its names. The request's `Last-Event-ID` field takes precedence.
    pub last_event_id: Option<String>,
}

/// Why the parameters are not those of such a subscription.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// The value of a selector or of the cursor is not UTF-8.
    #[error(transparent)]
    NotUtf8(#[from] NotUtf8),
    /// A list is in PHP's array notation, and would be lost silently.
    #[error(transparent)]
    List(#[from] ListName),
    /// There is no selector.
    #[error("missing \"topic\" parameter")]
    NoSelector,
    /// There are more selectors than the hub accepts.
    #[error("more than {max} topic parameters in one subscription request")]
    TooMany {
        /// How many selectors the hub accepts.
        max: usize,
    },
}

impl SelectorQuery {
    /// Returns whether `query` is a subscription before 1.0: it has a `topic`, and nothing from the
    /// namespace that 1.0 reserves.
    pub fn applies_to(query: &[u8]) -> bool {
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

    /// Decodes `query`, which does not include the `?`.
    ///
    /// The values of other parameters are not decoded. Keeps at most `selectors_max` selectors; the
    /// caller bounds the length of `query`.
    ///
    /// # Errors
    ///
    /// [`SelectorError`] for the first invalid parameter; a missing selector is reported last.
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

/// Returns the first cursor of `query`, under any of the names before 1.0.
pub fn old_cursor(query: &[u8]) -> Option<String> {
    let mut cursors = pairs(query).filter(|pair| is_cursor(&pair.name_bytes()));
    Some(cursors.next()?.value().ok()?.into_owned())
}

/// Returns the token in `query`, where subscribers of 0.x may send it.
pub fn token(query: &[u8]) -> Option<String> {
    let mut tokens = pairs(query).filter(|pair| *pair.name_bytes() == *b"authorization");
    let token = tokens.next()?.value().ok()?.into_owned();
    Some(token).filter(|token| !token.is_empty())
}

/// Returns whether a parameter is the cursor: by its name in 1.0, in 0.14 to 0.24, before those, or
/// in a widespread polyfill.
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
