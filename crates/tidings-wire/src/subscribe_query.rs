//! The parameters of a subscription, from the query of its URL and the body of a QUERY request.
//!
//! Matcher types and patterns are validated elsewhere.

use std::borrow::Cow;

use crate::form::{NotUtf8, Pair, pairs, shown};

/// The matcher type that the bare `match` parameter selects.
pub const DEFAULT_MATCHER_TYPE: &str = "exact";

/// A subscription, decoded but not validated.
///
/// Mercure, "Subscription".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeQuery {
    /// Matcher type and pattern of every matcher, at least one: those of the query, then those of
    /// the body. The type has the form `[a-z][a-z0-9]*`; the hub may not know it.
    pub matchers: Vec<(String, String)>,
    /// The first `last_event_id` of the query, otherwise of the body. The request's `Last-Event-ID`
    /// field takes precedence.
    pub last_event_id: Option<String>,
}

/// Why the parameters are not those of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The value of a matcher or of `last_event_id` is not UTF-8.
    #[error(transparent)]
    NotUtf8(#[from] NotUtf8),
    /// A name in the reserved `match` namespace is not a matcher parameter.
    #[error("unknown topic matcher query parameter {name:?}")]
    UnknownMatcherType {
        /// The name, shortened to [`SHOWN_CHARACTERS_MAX`](crate::form::SHOWN_CHARACTERS_MAX).
        name: Box<str>,
    },
    /// There is no matcher.
    #[error("missing \"match\" subscription parameter")]
    NoMatcher,
    /// There are more matchers than the hub accepts.
    #[error("more than {max} topic matchers in one subscription request")]
    TooManyMatchers {
        /// How many matchers the hub accepts.
        max: usize,
    },
}

impl SubscribeQuery {
    /// Decodes the union of `query`, which does not include the `?`, and `body`.
    ///
    /// The values of other parameters are not decoded. Keeps at most `matchers_max` matchers; the
    /// caller bounds the lengths of `query` and `body`.
    ///
    /// # Errors
    ///
    /// [`QueryError`] for the first invalid parameter; a missing matcher is reported last.
    ///
    /// Mercure, "Subscription".
    pub fn decode(
        query: &[u8],
        body: Option<&[u8]>,
        matchers_max: usize,
    ) -> Result<Self, QueryError> {
        let mut decoded = Self {
            matchers: Vec::new(),
            last_event_id: None,
        };
        for pair in pairs(query).chain(pairs(body.unwrap_or_default())) {
            match parse_name(pair)? {
                Name::Matcher(_) if decoded.matchers.len() >= matchers_max => {
                    return Err(QueryError::TooManyMatchers { max: matchers_max });
                }
                Name::Matcher(matcher_type) => {
                    decoded
                        .matchers
                        .push((matcher_type, pair.value()?.into_owned()));
                }
                Name::LastEventId if decoded.last_event_id.is_none() => {
                    decoded.last_event_id = Some(pair.value()?.into_owned());
                }
                Name::LastEventId | Name::Other => {}
            }
        }
        if decoded.matchers.is_empty() {
            return Err(QueryError::NoMatcher);
        }
        Ok(decoded)
    }
}

/// The meaning of a parameter's name.
enum Name {
    Matcher(String),
    LastEventId,
    Other,
}

fn parse_name(pair: Pair<'_>) -> Result<Name, QueryError> {
    let name: Cow<'_, [u8]> = pair.name_bytes();
    match name.as_ref() {
        b"match" => Ok(Name::Matcher(DEFAULT_MATCHER_TYPE.to_owned())),
        b"last_event_id" => Ok(Name::LastEventId),
        other if starts_with_match(other) => {
            matcher_type(other)
                .map(Name::Matcher)
                .ok_or_else(|| QueryError::UnknownMatcherType {
                    name: shown(&String::from_utf8_lossy(other)),
                })
        }
        _ => Ok(Name::Other),
    }
}

/// Returns whether `name` is in the reserved namespace, in any ASCII case.
pub(crate) fn starts_with_match(name: &[u8]) -> bool {
    name.get(..5)
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"match"))
}

/// Returns the matcher type of `match_<type>`.
///
/// Mercure, "Mercure Topic Matcher Types Registry".
fn matcher_type(name: &[u8]) -> Option<String> {
    let suffix = name.strip_prefix(b"match_")?;
    let (first, rest) = suffix.split_first()?;
    let canonical = first.is_ascii_lowercase()
        && rest
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if !canonical {
        return None;
    }
    String::from_utf8(suffix.to_vec()).ok()
}

#[cfg(test)]
mod tests;
