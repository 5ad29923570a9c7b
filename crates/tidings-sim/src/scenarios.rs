//! The scenarios, one file each, and their ingredient: how often each action happens.

mod calm;
mod clock;
mod cluster;
mod crashes;
mod full_disk;
mod going_back;
mod lagging;
mod reconnects;
mod retention;
mod sync_faults;

use std::time::Duration;

use fastrand::Rng;

use crate::disk::Fault;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Somebody publishes.
    Publish,
    /// Somebody who is away connects.
    Connect,
    /// Somebody loses the connection.
    Disconnect,
    /// Somebody reads some of the stream.
    Read,
    /// The history's writer commits a group.
    Write,
    /// The history's reader answers.
    Answer,
    /// The router works.
    Route,
    /// The shards work.
    Settle,
    /// Time passes.
    Advance,
    /// The history looks after retention and its health.
    Tick,
    /// The process dies, and the next one starts.
    Crash,
    /// The history is copied.
    BackUp,
    /// The process dies, and the next one starts on the copy that was made last.
    Restore,
    /// The machine's clock is set to a time far away, or to the right one.
    SetClock,
    /// The disk's state changes.
    Fault(Fault),
    /// The cluster's engine answers nobody any more.
    EngineAway,
    /// It answers again.
    EngineBack,
    /// The hub's relay loses its connection, and goes on at an update that the hub may have.
    Reconnect,
}

/// Who orders the updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderedBy {
    /// The hub's own history.
    History,
    /// The engine of a cluster.
    Engine,
}

/// A kind of world.
#[derive(Debug)]
pub struct Scenario {
    /// The name on the command line.
    pub name: &'static str,
    /// Shards of the hub.
    pub shards: usize,
    /// Subscribers, over all their connections.
    pub subscribers: usize,
    /// Actions before everything is mended.
    pub steps: usize,
    /// Bytes of the hub's ring of recent updates.
    pub ring_bytes: usize,
    /// Who orders the updates.
    pub ordered_by: OrderedBy,
    /// Updates that retention leaves.
    pub updates_max: Option<u64>,
    /// How old updates become.
    pub age_max: Option<Duration>,
    /// Bytes of the longest data.
    pub data_bytes_max: usize,
    /// What happens beside the usual, and how often in relation to all.
    pub also: &'static [(Action, u32)],
}

/// What happens in every scenario.
const USUAL: &[(Action, u32)] = &[
    (Action::Publish, 20),
    (Action::Read, 30),
    (Action::Write, 15),
    (Action::Answer, 10),
    (Action::Route, 15),
    (Action::Settle, 20),
    (Action::Advance, 5),
    (Action::Tick, 2),
];

/// All scenarios.
pub const SCENARIOS: &[Scenario] = &[
    calm::CALM,
    reconnects::RECONNECTS,
    lagging::LAGGING,
    crashes::CRASHES,
    full_disk::FULL_DISK,
    sync_faults::SYNC_FAULTS,
    retention::RETENTION,
    going_back::GOING_BACK,
    clock::CLOCK,
    cluster::CLUSTER,
];

impl Scenario {
    /// Returns the scenario of this name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }

    /// Lets the dice choose what happens next.
    pub fn choose(&self, dice: &mut Rng) -> Action {
        let actions = || USUAL.iter().chain(self.also);
        let total: u32 = actions().map(|(_, weight)| weight).sum();
        let mut point = dice.u32(0..total);
        for (action, weight) in actions() {
            if point < *weight {
                return *action;
            }
            point -= weight;
        }
        Action::Settle
    }
}
