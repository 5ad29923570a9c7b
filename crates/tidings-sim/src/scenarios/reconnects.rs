//! Connections are lost all the time, in every phase of a subscriber.

use super::{Action, Scenario};

/// Connections are lost all the time, in every phase of a subscriber.
pub(super) const RECONNECTS: Scenario = Scenario {
    name: "reconnects",
    shards: 2,
    subscribers: 8,
    steps: 800,
    ring_bytes: 16 * 1024,
    updates_max: None,
    data_bytes_max: 300,
    actions: &[
        (Action::Publish, 20),
        (Action::Read, 30),
        (Action::Write, 15),
        (Action::Answer, 10),
        (Action::Route, 15),
        (Action::Settle, 20),
        (Action::Advance, 5),
        (Action::Tick, 2),
        (Action::Connect, 15),
        (Action::Disconnect, 8),
    ],
};
