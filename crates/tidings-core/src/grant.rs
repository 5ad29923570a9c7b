//! What a token allows. Tokens are parsed and verified in `tidings-auth`.

use std::sync::Arc;

use crate::limits::{TOKEN_DETAILS_MAX, TOKEN_MATCHERS_MAX};
use crate::matcher::Matcher;
use crate::subject::Subject;
use crate::target::{Target, TargetGrant, Targets};
use crate::update::Visibility;

/// What one token allows its bearer to publish and to read. The default allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    publish: Vec<Matcher>,
    subscribe: Vec<Matcher>,
    payloads: Vec<PayloadRule>,
    /// From a token of Mercure before 0.8.
    targets: RoleTargets,
}

/// The targets that a token of Mercure before 0.8 names for each role; `None` for a role that the
/// token does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleTargets {
    /// The audiences its bearer may publish to. With this role it may also publish updates for
    /// everybody.
    pub publish: Option<TargetGrant>,
    /// The audiences that its bearer belongs to.
    pub subscribe: Option<TargetGrant>,
}

/// The payload of a subscription, in presence events and in the subscription API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadRule {
    /// The subscriptions that the rule applies to: each subscription's matcher is tested as if it
    /// were a topic.
    pub topics: Vec<Matcher>,
    /// The text of a JSON object; in Mercure 0.x, of any JSON value. A rule without one ends the
    /// search, and the subscription has no payload.
    pub payload: Option<Arc<str>>,
}

impl Grants {
    /// Takes the claims of a token, in the token's order.
    ///
    /// # Errors
    ///
    /// [`GrantsError`] if they exceed the limits. Mercure, "Authorization Details".
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
            targets: RoleTargets::default(),
        })
    }

    /// Takes the targets of a token of Mercure before 0.8. A token that names every target for
    /// subscribing lets its bearer read everything.
    #[must_use]
    pub fn of_targets(targets: RoleTargets) -> Self {
        Self {
            targets,
            ..Self::default()
        }
    }

    /// Checks that an update for `targets` may be published. An update without targets is for
    /// everybody.
    ///
    /// # Errors
    ///
    /// The first target that the token does not name, or `None` if the token may not publish at
    /// all.
    pub fn allows_targets<'a>(
        &self,
        targets: Option<&'a Targets>,
    ) -> Result<(), Option<&'a Target>> {
        let Some(own) = &self.targets.publish else {
            return Err(None);
        };
        let mut all = targets.into_iter().flatten();
        match all.find(|target| !own.covers(target)) {
            Some(refused) => Err(Some(refused)),
            None => Ok(()),
        }
    }

    /// Checks that every topic of an update may be published.
    ///
    /// # Errors
    ///
    /// The index of the first topic that the token does not cover. Mercure, "Publishers".
    pub fn allows_publish(&self, subjects: &[Subject]) -> Result<(), usize> {
        let refused = subjects
            .iter()
            .position(|subject| !any_matches(&self.publish, subject));
        refused.map_or(Ok(()), Err)
    }

    /// Returns whether a private update with these topics may be read. One granted topic is enough.
    ///
    /// Mercure, "Subscribers".
    #[must_use]
    pub fn allows_read(&self, subjects: &[Subject]) -> bool {
        self.reads_all_targets()
            || subjects
                .iter()
                .any(|subject| any_matches(&self.subscribe, subject))
    }

    /// Returns whether this is a token of Mercure before 0.8 that may read everything.
    #[must_use]
    pub fn reads_all_targets(&self) -> bool {
        self.targets.subscribe == Some(TargetGrant::All)
    }

    /// Returns whether an update with these topics may be read. A private update needs one granted
    /// topic, a targeted update one named target. A grant for everything covers both.
    #[must_use]
    pub fn allows_update(&self, visibility: &Visibility, subjects: &[Subject]) -> bool {
        match visibility {
            Visibility::Public => true,
            Visibility::Private => self.allows_read(subjects),
            Visibility::Withdrawn => false,
            Visibility::Targeted(targets) => {
                let own = self.targets.subscribe.as_ref();
                own.is_some_and(|own| targets.iter().any(|target| own.covers(target)))
                    || self.subscribe.iter().any(Matcher::is_wildcard)
            }
            Visibility::Hubs => false,
        }
    }

    /// Returns the payload of a subscription, whose matcher is passed as `subject`: the text of a
    /// JSON object from the first rule that matches.
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

    /// Returns all matchers, including those of payload rules. They decide how much memory the
    /// grants take.
    pub fn matchers(&self) -> impl Iterator<Item = &Matcher> {
        let of_rules = self.payloads.iter().flat_map(|rule| &rule.topics);
        self.publish.iter().chain(&self.subscribe).chain(of_rules)
    }

    /// Returns how many targets the token names.
    #[must_use]
    pub fn targets(&self) -> usize {
        let count = |grant: &Option<TargetGrant>| match grant {
            Some(TargetGrant::Of(targets)) => targets.len(),
            Some(TargetGrant::All) | None => 0,
        };
        count(&self.targets.publish) + count(&self.targets.subscribe)
    }

    /// Returns the matchers for publishing, in the token's order.
    #[must_use]
    pub fn publish(&self) -> &[Matcher] {
        &self.publish
    }

    /// Returns the matchers for reading, in the token's order.
    #[must_use]
    pub fn subscribe(&self) -> &[Matcher] {
        &self.subscribe
    }
}

/// Why a token's grants are refused.
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
