//! Retention is short: it overtakes subscribers that were offline or slow, and the hub tells them.

use super::{Action, Scenario};

pub(super) const RETENTION: Scenario = Scenario {
    name: "retention",
    shards: 2,
    subscribers: 6,
    steps: 900,
    ring_bytes: 4 * 1024,
    updates_max: Some(20),
    age_max: None,
    data_bytes_max: 400,
    also: &[
        (Action::Connect, 12),
        (Action::Disconnect, 6),
        (Action::Tick, 10),
        (Action::Crash, 1),
    ],
};
