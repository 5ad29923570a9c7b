//! The disk is full, or refuses writes, for a while; then there is space again.

use super::{Action, Scenario};
use crate::disk::Fault;

pub(super) const FULL_DISK: Scenario = Scenario {
    name: "full-disk",
    shards: 2,
    subscribers: 5,
    steps: 800,
    ring_bytes: 16 * 1024,
    updates_max: None,
    age_max: None,
    data_bytes_max: 300,
    also: &[
        (Action::Connect, 12),
        (Action::Disconnect, 4),
        (Action::Fault(Fault::Full), 2),
        (Action::Fault(Fault::Write), 1),
        (Action::Fault(Fault::None), 6),
        (Action::Tick, 8),
    ],
};
