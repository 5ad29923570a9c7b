//! Subscribers read slowly, publishers are fast, and the ring is small: replays from disk.

use super::{Action, Scenario};

pub(super) const LAGGING: Scenario = Scenario {
    name: "lagging",
    shards: 2,
    subscribers: 6,
    steps: 900,
    ring_bytes: 4 * 1024,
    updates_max: None,
    age_max: None,
    data_bytes_max: 3000,
    also: &[
        (Action::Connect, 10),
        (Action::Publish, 40),
        (Action::Disconnect, 1),
    ],
};
