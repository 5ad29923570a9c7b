//! What a token allows. How a token is read and verified is for the server; here is only what
//! follows from it.

use std::sync::Arc;

use crate::limits::{TOKEN_DETAILS_MAX, TOKEN_MATCHERS_MAX};
use crate::matcher::Matcher;
use crate::subject::Subject;

/// What one token allows its bearer to publish and to read. The default allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    publish: Vec<Matcher>,
    subscribe: Vec<Matcher>,
    payloads: Vec<PayloadRule>,
}

/// What to say about a subscription, in its events and in the subscription API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadRule {
    /// The subscriptions that it is about: their matcher's text is taken as a topic.
    pub topics: Vec<Matcher>,
    /// The text of a JSON object. A rule without one ends the search with no payload.
    pub payload: Option<Arc<str>>,
}

impl Grants {
    /// Takes what the token says, in the order in which the token says it.
    ///
    /// # Errors
    ///
    /// [`GrantsError`] if it says more than the limits allow. Mercure, "Authorization Details".
    pub fn new(
        publish: Vec<Matcher>,
        subscribe: Vec<Matcher>,
        payloads: Vec<PayloadRule>,
    ) -> Result<Self, GrantsError> {
        if payloads.len() > TOKEN_DETAILS_MAX {
            let (count, max) = (payloads.len(), TOKEN_DETAILS_MAX);
            return Err(GrantsError::TooManyDetails { count, max });
        }
        let of_rules = payloads.iter().map(|rule| rule.topics.len()).sum();
        let count = publish.len().max(subscribe.len()).max(of_rules);
        if count > TOKEN_MATCHERS_MAX {
            return Err(GrantsError::TooManyMatchers {
                count,
                max: TOKEN_MATCHERS_MAX,
            });
        }
        Ok(Self {
            publish,
            subscribe,
            payloads,
        })
    }

    /// Returns whether every one of an update's topics may be published.
    ///
    /// # Errors
    ///
    /// The index of the first topic that may not. Mercure, "Publishers".
    pub fn allows_publish(&self, subjects: &[Subject]) -> Result<(), usize> {
        let refused = subjects
            .iter()
            .position(|subject| !any_matches(&self.publish, subject));
        refused.map_or(Ok(()), Err)
    }

    /// Returns whether a private update with these topics may be read: one of them is enough.
    ///
    /// Mercure, "Subscribers".
    #[must_use]
    pub fn allows_read(&self, subjects: &[Subject]) -> bool {
        subjects
            .iter()
            .any(|subject| any_matches(&self.subscribe, subject))
    }

    /// Returns the payload of the subscription whose matcher, taken as a topic, is `subject`: that
    /// of the first rule that matches, the text of a JSON object.
    ///
    /// Mercure, "Payloads".
    #[must_use]
    pub fn payload_for(&self, subject: &Subject) -> Option<&str> {
        self.payloads
            .iter()
            .find(|rule| any_matches(&rule.topics, subject))?
            .payload
            .as_deref()
    }

    /// Returns all matchers, those that choose payloads included: what keeping the grants costs.
    pub fn matchers(&self) -> impl Iterator<Item = &Matcher> {
        let of_rules = self.payloads.iter().flat_map(|rule| &rule.topics);
        self.publish.iter().chain(&self.subscribe).chain(of_rules)
    }

    /// Returns what may be published, as the token says it.
    #[must_use]
    pub fn publish(&self) -> &[Matcher] {
        &self.publish
    }

    /// Returns what may be read, as the token says it.
    #[must_use]
    pub fn subscribe(&self) -> &[Matcher] {
        &self.subscribe
    }
}

/// Why a token's grants are not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantsError {
    /// There are more authorization details than the limit.
    #[error("a token has {count} authorization details, more than {max}")]
    TooManyDetails {
        /// How many.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// There are more matchers than the limit.
    #[error("a token has {count} matchers, more than {max}")]
    TooManyMatchers {
        /// How many.
        count: usize,
        /// The limit.
        max: usize,
    },
}

fn any_matches(matchers: &[Matcher], subject: &Subject) -> bool {
    matchers.iter().any(|matcher| matcher.matches(subject))
}

#[cfg(test)]
mod tests;
