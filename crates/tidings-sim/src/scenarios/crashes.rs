//! The process crashes at any moment.

use super::{Action, Scenario};

pub(super) const CRASHES: Scenario = Scenario {
    name: "crashes",
    shards: 2,
    subscribers: 6,
    steps: 800,
    ring_bytes: 16 * 1024,
    updates_max: None,
    age_max: None,
    data_bytes_max: 300,
    also: &[
        (Action::Connect, 15),
        (Action::Disconnect, 4),
        (Action::Crash, 2),
    ],
};
