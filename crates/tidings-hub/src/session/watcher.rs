//! Who may see presence events, and whether the history has lost some that a subscriber may see.

use smallvec::SmallVec;
use tidings_core::grant::Grants;
use tidings_core::hub_url::HubUrl;
use tidings_core::matcher::Matcher;
use tidings_core::position::Position;
use tidings_core::subject::Subject;

use crate::shard::Shard;
use tidings_wire::subscription_document::BELOW_HUB;

/// What decides which presence events a subscriber sees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watcher<'a> {
    pub(crate) matchers: &'a [Matcher],
    /// None for an anonymous subscriber. It sees no presence events, since all are private.
    pub(crate) grants: Option<&'a Grants>,
}

impl Watcher<'_> {
    /// Returns whether presence events may be for it: selected and granted. Never wrongly `false`.
    pub(crate) fn watches(self, hub: &HubUrl) -> bool {
        let below = format!("{}{BELOW_HUB}", hub.path());
        self.asks_and_may(|matcher| matcher.may_match_below(&below, hub))
    }

    /// Returns whether a presence event after `after` that is for it is gone. Never wrongly `false`. Also
    /// `true` if the history does not know what is gone.
    pub(crate) fn misses(self, shard: &Shard, after: Position) -> bool {
        let (history, hub) = (shard.history(), shard.hub());
        if after >= history.presence_trimmed() || !self.watches(hub) {
            return false;
        }
        let removed = history.removed();
        if after < removed.unknown_through() {
            return true;
        }
        removed.after(after).iter().any(|(_, topics)| {
            let subjects: SmallVec<[Subject; 2]> = topics
                .iter()
                .map(|topic| Subject::new(topic, hub))
                .collect();
            let beside = |matcher: &Matcher| {
                let mut subjects = subjects.iter();
                subjects.any(|subject| matcher.may_match_beside(subject))
            };
            self.asks_and_may(beside)
        })
    }

    fn asks_and_may(self, selects: impl Fn(&Matcher) -> bool) -> bool {
        let Some(grants) = self.grants else {
            return false;
        };
        self.matchers.iter().any(&selects)
            && (grants.reads_all_targets() || grants.subscribe().iter().any(&selects))
    }
}
