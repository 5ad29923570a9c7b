//! Connections are lost all the time, in every phase of a subscriber.

use super::{Action, Scenario};

pub(super) const RECONNECTS: Scenario = Scenario {
    name: "reconnects",
    shards: 2,
    subscribers: 8,
    steps: 800,
    ring_bytes: 16 * 1024,
    updates_max: None,
    age_max: None,
    data_bytes_max: 300,
    also: &[(Action::Connect, 15), (Action::Disconnect, 8)],
};
