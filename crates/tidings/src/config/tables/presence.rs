//! `[presence]`: how the hub keeps track of subscriptions.

use std::time::Duration;

use tidings_history::PresenceRetention;

use crate::config::keys::rule::{flag, number};
use tidings_hub::presence::Options;

table! {
    /// The `[presence]` table.
    pub struct PresenceTable = "presence" {
        /// Whether the hub publishes an event when a subscription begins or ends, and lists the
        /// active subscriptions on request. Holders of a grant can then see who listens to what.
        enabled: bool = flag(false).start();
        /// Seconds within which a subscriber can reconnect without a presence event. It is
        /// recognised by the `iss` and `sub` of its token, also after a restart of the hub. With 0,
        /// every disconnect is published at once.
        grace as "grace_secs": Duration = number(0).secs().live();
        /// Maximum number of subscriptions in one response. Longer lists are split into pages.
        page_size_max: usize = number(DEFAULT.page_size_max as u64).at_least(1).start();
        /// Maximum number of subscriptions that the hub tracks. Further ones receive updates but
        /// are not listed; `tidings_presence_untracked_total` counts them.
        subscriptions_max: usize = number(DEFAULT.subscriptions_max as u64).at_least(1).start();
        /// Maximum number of stored presence events. They do not count towards other limits.
        events_max as "retain_events": u64 = number(KEPT.events_max).live();
        /// Minutes that a presence event is stored. 0 sets no limit.
        age_max as "retain_minutes": Option<Duration> =
            number(KEPT_MINUTES).minutes().zero_is_none().live();
    }
}

impl PresenceTable {
    /// Returns the options of presence; `None` if it is off. `old_paths`: whether to publish what
    /// subscribers of 0.x read, too.
    pub fn options(&self, old_paths: bool) -> Option<Options> {
        self.enabled.then_some(Options {
            grace: self.grace,
            subscriptions_max: self.subscriptions_max,
            page_size_max: self.page_size_max,
            old_paths,
        })
    }

    /// Returns how long presence events are stored.
    pub fn retention(&self) -> PresenceRetention {
        PresenceRetention {
            age_max: self.age_max,
            events_max: self.events_max,
        }
    }
}

/// The defaults of presence.
const DEFAULT: Options = Options::DEFAULT;
/// The default retention of presence events.
const KEPT: PresenceRetention = PresenceRetention::DEFAULT;
const KEPT_MINUTES: u64 = match KEPT.age_max {
    Some(age) => age.as_secs() / 60,
    None => 0,
};
