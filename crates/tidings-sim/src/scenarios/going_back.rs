//! The history goes back to an older copy, and continues with other updates at the same positions.

use super::{Action, Scenario};

pub(super) const GOING_BACK: Scenario = Scenario {
    name: "going-back",
    shards: 2,
    subscribers: 4,
    steps: 3000,
    ring_bytes: 16 * 1024,
    updates_max: None,
    age_max: None,
    data_bytes_max: 200,
    also: &[
        (Action::Connect, 8),
        (Action::Disconnect, 5),
        (Action::BackUp, 1),
        (Action::Restore, 1),
    ],
};
