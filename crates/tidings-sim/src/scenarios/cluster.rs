//! An engine orders the updates. The process crashes, the disk is full or fails a sync, and the
//! engine is unreachable and repeats updates. The hub then continues with the engine's log where
//! its own history ends.

use super::{Action, OrderedBy, Scenario};
use crate::disk::Fault;

pub(super) const CLUSTER: Scenario = Scenario {
    name: "cluster",
    shards: 2,
    subscribers: 6,
    steps: 1200,
    ring_bytes: 16 * 1024,
    ordered_by: OrderedBy::Engine,
    updates_max: None,
    age_max: None,
    data_bytes_max: 300,
    also: &[
        (Action::Connect, 15),
        (Action::Disconnect, 5),
        (Action::Crash, 1),
        (Action::Fault(Fault::Full), 1),
        (Action::Fault(Fault::Sync), 1),
        (Action::Fault(Fault::None), 6),
        (Action::Tick, 8),
        (Action::EngineAway, 1),
        (Action::EngineBack, 3),
        (Action::Reconnect, 3),
    ],
};
