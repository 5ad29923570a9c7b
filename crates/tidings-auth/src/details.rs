//! Reads the claim `authorization_details` into grants.
//!
//! One invalid detail refuses the whole token: acting on the others would silently change what the issuer
//! allowed. Member names are case-sensitive, as in JSON.
//!
//! Mercure, "Authorization Details", "Topic Matcher List" and "Payloads"; RFC 9396, 2.

use std::sync::Arc;

use tidings_core::limits::{TOKEN_DETAILS_MAX, TOKEN_MATCHERS_MAX};
use tidings_core::{Grants, GrantsError, HubUrl, Matcher, MatcherError, MatcherType, PayloadRule};

use super::json::{Json, Object};
use super::token_error::TokenError;

/// What is wrong with an authorization detail.
#[derive(Debug, thiserror::Error)]
pub enum DetailError {
    /// The entry is not an object.
    #[error("it is not an object")]
    NotObject,
    /// The entry has no type. RFC 9396, 2.
    #[error("it has no type, or one that is not a string")]
    Type,
    /// `actions` is missing, empty or not an array of strings.
    #[error("actions is not a non-empty array of strings")]
    Actions,
    /// `topics` is missing, empty or not an array.
    #[error("topics is not a non-empty array of matcher objects")]
    Topics,
    /// A topic matcher is not an object with a string `match`.
    #[error("topics[{index}] is not an object with a string match")]
    Match {
        /// Which one, from 0.
        index: usize,
    },
    /// A matcher type that the hub does not know.
    #[error("topics[{index}]: match_type {found} is not known; exact and urlpattern are")]
    MatchType {
        /// Which matcher, from 0.
        index: usize,
        /// The `match_type` as JSON.
        found: Box<str>,
    },
    /// A matcher that is not valid for its type.
    #[error("topics[{index}]: {source}")]
    Matcher {
        /// Which one, from 0.
        index: usize,
        /// The rule that it breaks.
        source: MatcherError,
    },
    /// `payload` is not an object.
    #[error("payload is not an object")]
    Payload,
}

/// Parses the claim. An absent claim grants nothing.
///
/// # Errors
///
/// The first rule that an entry of Mercure's type breaks, or the bound that is exceeded. Entries of other types
/// are skipped.
pub(crate) fn parse(claim: Option<&Json>, hub: &HubUrl) -> Result<Grants, TokenError> {
    let Some(claim) = claim else {
        return Ok(Grants::default());
    };
    let entries = claim.as_array().ok_or(TokenError::DetailsNotArray)?;
    let details = mercure_details(entries)?;
    let mut grants = Collected::default();
    for (index, detail) in details {
        grants
            .add(detail, hub)
            .map_err(|source| TokenError::Detail { index, source })?;
    }
    Ok(Grants::new(
        grants.publish,
        grants.subscribe,
        grants.payloads,
    )?)
}

/// The grants of the details parsed so far.
#[derive(Default)]
struct Collected {
    publish: Vec<Matcher>,
    subscribe: Vec<Matcher>,
    payloads: Vec<PayloadRule>,
}

impl Collected {
    fn add(&mut self, detail: &Object, hub: &HubUrl) -> Result<(), DetailError> {
        let (publish, subscribe) = actions(detail)?;
        let mut matchers = Vec::new();
        for (index, entry) in topics(detail)?.iter().enumerate() {
            matchers.push(matcher(index, entry, hub)?);
        }
        let payload: Option<Arc<str>> = match detail.find("payload") {
            None => None,
            Some(payload @ Json::Object(_)) => Some(payload.to_string().into()),
            Some(_) => return Err(DetailError::Payload),
        };
        if publish {
            self.publish.extend_from_slice(&matchers);
        }
        if subscribe {
            self.subscribe.extend_from_slice(&matchers);
            self.payloads.push(PayloadRule {
                topics: matchers,
                payload,
            });
        }
        Ok(())
    }
}

/// Selects the entries of Mercure's type, with their indexes. Checks their number before any pattern is compiled.
fn mercure_details(entries: &[Json]) -> Result<Vec<(usize, &Object)>, TokenError> {
    let mut details = Vec::new();
    let mut matchers = 0;
    for (index, entry) in entries.iter().enumerate() {
        let refused = |source| TokenError::Detail { index, source };
        if let Some(detail) = mercure_detail(entry).map_err(refused)? {
            matchers += topics(detail).map_err(refused)?.len();
            details.push((index, detail));
        }
    }
    if details.len() > TOKEN_DETAILS_MAX {
        let (count, max) = (details.len(), TOKEN_DETAILS_MAX);
        return Err(GrantsError::TooManyDetails { count, max }.into());
    }
    if matchers > TOKEN_MATCHERS_MAX {
        let (count, max) = (matchers, TOKEN_MATCHERS_MAX);
        return Err(GrantsError::TooManyMatchers { count, max }.into());
    }
    Ok(details)
}

/// Returns the entry's members if it has Mercure's type, `None` if it has another.
fn mercure_detail(entry: &Json) -> Result<Option<&Object>, DetailError> {
    let object = entry.as_object().ok_or(DetailError::NotObject)?;
    let kind = object
        .find("type")
        .and_then(Json::as_str)
        .ok_or(DetailError::Type)?;
    Ok((kind == DETAIL_TYPE).then_some(object))
}

/// Returns whether the actions contain `publish` and `subscribe`. Unknown actions grant nothing.
fn actions(detail: &Object) -> Result<(bool, bool), DetailError> {
    let actions = detail
        .find("actions")
        .and_then(Json::as_array)
        .ok_or(DetailError::Actions)?;
    if actions.is_empty() || actions.iter().any(|action| action.as_str().is_none()) {
        return Err(DetailError::Actions);
    }
    let contains = |name| actions.iter().any(|action| action.as_str() == Some(name));
    Ok((contains("publish"), contains("subscribe")))
}

fn topics(detail: &Object) -> Result<&[Json], DetailError> {
    let topics = detail
        .find("topics")
        .and_then(Json::as_array)
        .ok_or(DetailError::Topics)?;
    if topics.is_empty() {
        Err(DetailError::Topics)
    } else {
        Ok(topics)
    }
}

fn matcher(index: usize, entry: &Json, hub: &HubUrl) -> Result<Matcher, DetailError> {
    let object = entry.as_object().ok_or(DetailError::Match { index })?;
    let pattern = object.find("match").and_then(Json::as_str);
    let pattern = pattern.ok_or(DetailError::Match { index })?;
    let kind = match object.find("match_type") {
        None => MatcherType::Exact,
        Some(found) => found
            .as_str()
            .and_then(MatcherType::from_name)
            .ok_or_else(|| DetailError::MatchType {
                index,
                found: found.to_string().into(),
            })?,
    };
    Matcher::parse(kind, pattern, hub).map_err(|source| DetailError::Matcher { index, source })
}

/// The type of Mercure's authorization details, compared byte by byte.
pub const DETAIL_TYPE: &str = "https://mercure.rocks/authorization-detail";

#[cfg(test)]
mod tests;
