//! Syncs fail: the hub must stop acknowledging, and the next start finds what was stored.

use super::{Action, Scenario};
use crate::disk::Fault;

pub(super) const SYNC_FAULTS: Scenario = Scenario {
    name: "sync-faults",
    shards: 2,
    subscribers: 5,
    steps: 800,
    ring_bytes: 16 * 1024,
    updates_max: None,
    age_max: None,
    data_bytes_max: 300,
    also: &[
        (Action::Connect, 12),
        (Action::Disconnect, 3),
        (Action::Fault(Fault::Sync), 1),
        (Action::Crash, 1),
    ],
};
