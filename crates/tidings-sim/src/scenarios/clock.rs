//! The machine's clock is set years ahead and back, also while the hub is down.

use std::time::Duration;

use super::{Action, Scenario};

pub(super) const CLOCK: Scenario = Scenario {
    name: "clock",
    shards: 2,
    subscribers: 6,
    steps: 1500,
    ring_bytes: 4 * 1024,
    updates_max: None,
    age_max: Some(Duration::from_secs(20)),
    data_bytes_max: 300,
    also: &[
        (Action::Connect, 12),
        (Action::Disconnect, 6),
        (Action::Tick, 10),
        (Action::SetClock, 2),
        (Action::Crash, 1),
    ],
};
