//! Subscriptions that an earlier process announced and did not end. With a grace period they are kept as if
//! their subscribers had just left, since these may come back; without one, they have ended.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use tidings_core::matcher::{Matcher, MatcherType};
use tidings_core::update::Presence;
use tidings_history::sabotage::{Rule, skips};
use tidings_history::storage::Announced;
use tokio::time::Instant;

use super::draft::draft;
use super::{About, Home, Member, Number, Subscription, Table};
use tidings_wire::subscription_document::Document;

/// Parsed matchers, by type and pattern. Thousands of subscriptions may have the same.
type Read = HashMap<(Box<str>, Box<str>), Option<Matcher>, RandomState>;

impl Table {
    /// Takes over the subscriptions that an earlier process left. Returns how many of them end at once.
    pub(crate) fn take_over(&mut self, ghosts: Vec<Announced>, now: Instant) -> usize {
        if skips(Rule::EndGhosts) {
            return 0;
        }
        let mut ended = 0;
        let mut read = Read::default();
        let mut members: HashMap<Arc<str>, Member, RandomState> = HashMap::default();
        for ghost in ghosts {
            if let Some(subscription) = self.revived(&ghost, &mut read) {
                let (subscriber, holder) =
                    (Arc::clone(&subscription.subscriber), subscription.holder);
                let number = self.number_of(&subscription);
                self.list(number, subscription, true, Home::Here);
                let member = members.entry(Arc::clone(&subscriber));
                let member = member.or_insert_with(|| Member {
                    subscriber,
                    holder,
                    entries: SmallVec::new(),
                });
                member.entries.push(number);
            } else {
                let number = self.take_number_of_ghost(&ghost);
                self.add(number, About::Ghost(ghost), false, true);
                self.queue(number);
                ended += 1;
            }
        }
        for (_, member) in members {
            self.say_for_hubs(&member);
            self.park(member, now);
        }
        ended
    }

    fn take_number_of_ghost(&mut self, ghost: &Announced) -> Number {
        match serde_json::from_str::<Document<'_>>(&ghost.data) {
            Ok(document) if self.cluster.is_some() => self.shared_number(
                &document.match_type,
                &document.pattern,
                &document.subscriber,
            ),
            Ok(_) | Err(_) => self.take_number(),
        }
    }

    /// Returns the subscription of a ghost, if its subscriber may come back for it and if this hub would announce
    /// it in exactly the same form.
    fn revived(&self, ghost: &Announced, read: &mut Read) -> Option<Subscription> {
        if self.options.grace.is_zero() || self.live >= self.options.subscriptions_max {
            return None;
        }
        let holder = Some(ghost.holder?);
        let document: Document<'_> = serde_json::from_str(&ghost.data).ok()?;
        let (kind, pattern) = (document.match_type, document.pattern);
        let matcher = read
            .entry((kind.into(), pattern.into()))
            .or_insert_with_key(|(kind, pattern)| {
                let kind = MatcherType::from_name(kind)?;
                Matcher::parse(kind, pattern, &self.hub).ok()
            });
        let subscription = Subscription {
            subscriber: document.subscriber.into(),
            matcher: matcher.clone()?,
            payload: document.payload.map(|payload| payload.get().into()),
            holder,
            changed: 0,
        };
        let about = About::Subscription(subscription);
        let event = draft(
            &about,
            Presence::Begins(holder),
            &self.hub,
            self.options.old_paths,
        );
        let same = event.topics == ghost.topics && event.data == ghost.data;
        match about {
            About::Subscription(subscription) if same => Some(subscription),
            About::Subscription(_) | About::Ghost(_) => None,
        }
    }
}
