//! Everybody connects early and stays; the plain road.

use super::{Action, Scenario};

/// Everybody connects early and stays; the plain road.
pub(super) const CALM: Scenario = Scenario {
    name: "calm",
    shards: 2,
    subscribers: 6,
    steps: 400,
    ring_bytes: 64 * 1024,
    updates_max: None,
    data_bytes_max: 200,
    actions: &[
        (Action::Publish, 20),
        (Action::Read, 30),
        (Action::Write, 15),
        (Action::Answer, 10),
        (Action::Route, 15),
        (Action::Settle, 20),
        (Action::Advance, 5),
        (Action::Tick, 2),
        (Action::Connect, 10),
    ],
};
