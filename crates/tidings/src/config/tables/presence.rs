//! `[presence]`: how the hub keeps track of subscriptions.

use std::time::Duration;

use tidings_history::PresenceRetention;

use crate::config::keys::rule::{flag, number};
use tidings_hub::presence::Options;

table! {
    /// The `[presence]` table.
    pub struct PresenceTable = "presence" {
        /// Whether the hub publishes an event when a subscription begins or ends, and answers which
        /// ones there are. It tells whoever holds a grant for them who listens to what.
        enabled: bool = flag(false).start();
        /// Seconds that a subscriber who left may take to come back without an event. It is
        /// recognised by the `iss` and `sub` of its token, also after a restart of the hub. 0 tells
        /// at once.
        grace as "grace_secs": Duration = number(0).secs().live();
        /// Subscriptions in one answer. A longer list comes in pages.
        page_max: usize = number(DEFAULT.page_max as u64).at_least(1).live();
        /// Subscriptions that the hub keeps track of. Further ones receive updates, but are not
        /// shown, and are counted in `tidings_presence_untracked_total`.
        subscriptions_max: usize = number(DEFAULT.subscriptions_max as u64).at_least(1).live();
        /// Number of presence events that are kept for those who come back. They count
        /// in no other limit.
        events_max as "retain_events": u64 = number(KEPT.events_max).live();
        /// Minutes that a presence event is kept. 0 sets no limit.
        age_max as "retain_minutes": Option<Duration> =
            number(KEPT_MINUTES).minutes().zero_is_none().live();
    }
}

/// What presence takes where nothing is configured.
const DEFAULT: Options = Options::DEFAULT;
/// What the history keeps of its events then.
const KEPT: PresenceRetention = PresenceRetention::DEFAULT;
const KEPT_MINUTES: u64 = match KEPT.age_max {
    Some(age) => age.as_secs() / 60,
    None => 0,
};
