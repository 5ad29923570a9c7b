//! What happens to the hubs and to the engine, and how often.

use fastrand::Rng;

use crate::disk::Fault;
use crate::scenarios::weighted;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Somebody publishes on some hub.
    Publish,
    /// Somebody tells all hubs something.
    Tell,
    /// A hub's member works, and calls go on.
    Work,
    /// A hub's threads work.
    Turn,
    /// A subscriber reads.
    Read,
    /// A subscriber moves to another hub.
    Move,
    /// Time passes.
    Advance,
    /// The replica catches up.
    Replicate,
    /// The replica becomes the primary; the old one is dead.
    FailOver,
    /// The replica becomes the primary, and the old one goes on for those who are connected to it.
    Split,
    /// The old one ends.
    Demote,
    /// The engine loses everything.
    Forget,
    /// The next append dies midway.
    Die,
    /// The engine answers nobody.
    Away,
    /// It answers again.
    Back,
    /// An operator lowers the bound of what the engine takes.
    Narrow,
    /// An operator removes the bound.
    Widen,
    /// A hub dies.
    Crash,
    /// A hub starts.
    Start,
    /// A hub dies, and its disk is empty when it starts again.
    Empty,
    /// The engine's clock goes to another time.
    SetClock,
    /// Writes to a hub's disk end like this.
    Disk(Fault),
}

/// A kind of cluster.
#[derive(Debug)]
pub struct Scenario {
    /// The name on the command line.
    pub name: &'static str,
    /// Hubs.
    pub hubs: usize,
    /// Actions before everything is mended.
    pub steps: usize,
    /// Entries that the engine keeps.
    pub window_max: Option<u64>,
    /// Whether answers are lost.
    pub lossy: bool,
    /// Whether calls that were given up arrive later than calls that were sent after them. Not where
    /// appends die midway: that both happen to one batch is beyond what is promised.
    pub late: bool,
    /// Whether publishers give ids. Not where lines are cut: what was published anew has the same
    /// id at another place, and who resumes after it is not told (decision 0020).
    pub own_ids: bool,
    /// Whether hubs fetch from each other what the engine does not keep any more.
    pub fetches: bool,
    /// Whether a hub is dead at the end, so that the others answer for its subscriptions.
    pub one_dies: bool,
    /// What happens beside the usual, and how often in relation to all.
    pub also: &'static [(Action, u32)],
}

const USUAL: &[(Action, u32)] = &[
    (Action::Publish, 12),
    (Action::Tell, 1),
    (Action::Work, 60),
    (Action::Turn, 60),
    (Action::Read, 10),
    (Action::Move, 1),
    (Action::Advance, 6),
    (Action::Replicate, 4),
];

const CALM: Scenario = Scenario {
    name: "cluster-calm",
    hubs: 3,
    steps: 1500,
    window_max: None,
    lossy: false,
    late: false,
    own_ids: true,
    fetches: false,
    one_dies: false,
    also: &[],
};

/// The lists of scenarios of a cluster.
pub const CLUSTERS: &[Scenario] = &[
    CALM,
    Scenario {
        name: "cluster-lost-replies",
        lossy: true,
        late: true,
        also: &[(Action::Away, 1), (Action::Back, 4), (Action::SetClock, 1)],
        ..CALM
    },
    // Updates that their hub let in, and that are too large for the engine when they come there.
    Scenario {
        name: "cluster-too-large",
        lossy: true,
        late: true,
        also: &[
            (Action::Narrow, 3),
            (Action::Widen, 1),
            (Action::Away, 1),
            (Action::Back, 4),
            (Action::Crash, 1),
            (Action::Start, 6),
        ],
        ..CALM
    },
    Scenario {
        name: "cluster-hub-crashes",
        lossy: true,
        late: true,
        also: &[(Action::Crash, 1), (Action::Start, 4)],
        ..CALM
    },
    Scenario {
        name: "cluster-died-midway",
        lossy: true,
        also: &[(Action::Die, 2), (Action::Crash, 1), (Action::Start, 6)],
        ..CALM
    },
    Scenario {
        name: "cluster-rewinds",
        lossy: true,
        own_ids: false,
        late: true,
        also: &[(Action::FailOver, 1)],
        ..CALM
    },
    Scenario {
        name: "cluster-split-primary",
        lossy: true,
        own_ids: false,
        late: true,
        also: &[(Action::Split, 1), (Action::Demote, 1)],
        ..CALM
    },
    Scenario {
        name: "cluster-empty-engine",
        lossy: true,
        own_ids: false,
        late: true,
        also: &[(Action::Forget, 1), (Action::FailOver, 1)],
        ..CALM
    },
    Scenario {
        name: "cluster-away-too-long",
        window_max: Some(20),
        lossy: true,
        late: true,
        also: &[(Action::Crash, 2), (Action::Start, 2)],
        ..CALM
    },
    Scenario {
        name: "cluster-fetches",
        window_max: Some(20),
        lossy: true,
        late: true,
        fetches: true,
        also: &[(Action::Crash, 2), (Action::Start, 3), (Action::Empty, 1)],
        ..CALM
    },
    Scenario {
        name: "cluster-disk-faults",
        lossy: true,
        late: true,
        also: &[
            (Action::Disk(Fault::Full), 1),
            (Action::Disk(Fault::Sync), 1),
            (Action::Disk(Fault::None), 8),
            (Action::Away, 1),
            (Action::Back, 4),
            (Action::Start, 4),
        ],
        ..CALM
    },
    // Subscribers that move all the time, and a hub that dies for good.
    Scenario {
        name: "cluster-presence",
        lossy: true,
        late: true,
        one_dies: true,
        also: &[
            (Action::Move, 6),
            (Action::Read, 30),
            (Action::Crash, 1),
            (Action::Start, 6),
            (Action::SetClock, 1),
        ],
        ..CALM
    },
    // Everything that happens to the engine. Hubs do not die here: one that dies between two
    // failovers that each lose the same update is beyond what is promised (decision 0020).
    Scenario {
        name: "cluster-everything",
        steps: 3000,
        lossy: true,
        own_ids: false,
        also: &[
            (Action::Split, 1),
            (Action::FailOver, 1),
            (Action::Demote, 2),
            (Action::Die, 1),
            (Action::Away, 1),
            (Action::Back, 6),
            (Action::SetClock, 1),
            (Action::Narrow, 1),
            (Action::Widen, 3),
        ],
        ..CALM
    },
];

impl Scenario {
    /// Returns the scenario of this name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        CLUSTERS.iter().find(|scenario| scenario.name == name)
    }

    /// Lets the dice choose what happens next.
    pub fn choose(&self, dice: &mut Rng) -> Action {
        weighted(dice, USUAL.iter().chain(self.also)).unwrap_or(Action::Work)
    }
}
