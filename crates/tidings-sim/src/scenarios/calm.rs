//! Everybody connects early and stays: the normal case.

use super::{Action, Scenario};

pub(super) const CALM: Scenario = Scenario {
    name: "calm",
    shards: 2,
    subscribers: 6,
    steps: 400,
    ring_bytes: 64 * 1024,
    updates_max: None,
    age_max: None,
    data_bytes_max: 200,
    also: &[(Action::Connect, 10)],
};
