//! The scenarios, one file each, and what defines them: how often each action happens.

mod calm;
mod clock;
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

/// One action in a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A publisher publishes.
    Publish,
    /// A disconnected subscriber connects.
    Connect,
    /// A subscriber loses its connection.
    Disconnect,
    /// A subscriber reads part of its stream.
    Read,
    /// The history's writer commits a group.
    Write,
    /// The history's reader answers requests.
    Answer,
    /// The router runs.
    Route,
    /// The shards run.
    Settle,
    /// Time advances.
    Advance,
    /// The history applies retention and checks its health.
    Tick,
    /// The process crashes and restarts.
    Crash,
    /// The history is copied.
    BackUp,
    /// The process crashes, and restarts on the most recent copy of the history.
    Restore,
    /// The machine's clock is set to a distant time, or to the right one.
    SetClock,
    /// The disk's state changes.
    Fault(Fault),
}

/// One scenario.
#[derive(Debug)]
pub struct Scenario {
    /// The name on the command line.
    pub name: &'static str,
    /// Shards of the hub.
    pub shards: usize,
    /// Subscribers, each over all its connections.
    pub subscribers: usize,
    /// Actions before all faults are cleared.
    pub steps: usize,
    /// Bytes of the hub's ring of recent updates.
    pub ring_bytes: usize,
    /// Retention: the maximum number of updates.
    pub updates_max: Option<u64>,
    /// Retention: the maximum age of updates.
    pub age_max: Option<Duration>,
    /// Maximum bytes of an update's data.
    pub data_bytes_max: usize,
    /// Actions in addition to the usual ones, with their weights.
    pub also: &'static [(Action, u32)],
}

/// The actions of every scenario, with their weights.
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
];

impl Scenario {
    /// Returns the scenario with this name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }

    /// Chooses the next action at random.
    pub fn choose(&self, dice: &mut Rng) -> Action {
        weighted(dice, USUAL.iter().chain(self.also)).unwrap_or(Action::Settle)
    }
}

/// Chooses one action at random, by weight. Returns nothing if there is none.
pub(crate) fn weighted<'a, A: Copy + 'a>(
    dice: &mut Rng,
    actions: impl Iterator<Item = &'a (A, u32)> + Clone,
) -> Option<A> {
    let total: u32 = actions.clone().map(|(_, weight)| weight).sum();
    let mut point = dice.u32(0..total.max(1));
    for (action, weight) in actions {
        if point < *weight {
            return Some(*action);
        }
        point -= weight;
    }
    None
}
