//! How a member behaves, and what it shows.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::Sender;
use crate::record::Setting;

/// How a member behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// This start of this hub.
    pub me: Sender,
    /// How long a publish waits while the engine is away.
    pub wait_max: Duration,
    /// Most publishes that wait.
    pub waiting_max: usize,
    /// Most bytes of publishes that wait to be sent.
    pub waiting_bytes_max: u64,
    /// Its part among the hubs.
    pub membership: Membership,
}

/// What a hub is among the others of its cluster.
#[derive(Debug, Clone)]
pub struct Membership {
    /// How long a hub that does not renew its lease counts as living.
    pub lease: Duration,
    /// Where other hubs reach this one, if they may.
    pub address: Option<Arc<str>>,
    /// Whether this hub can ask others for updates that the engine does not keep any more.
    pub fetches: bool,
    /// The settings that hubs of one cluster share.
    pub settings: Arc<[Setting]>,
    /// The names of what one hub of the cluster does. This hub holds those that nobody else does.
    pub names: Arc<[Arc<str>]>,
    /// The one among them whose holder claims hubs that have died.
    pub claims_with: Option<Arc<str>>,
}

impl Membership {
    /// The name of the lease whose holder answers for the subscriptions of hubs that have died.
    pub const PRESENCE: &'static str = "presence";

    /// How long a lease lasts: a hub that dies is claimed within two thirds more.
    pub const LEASE: Duration = Duration::from_secs(6);
}

impl Default for Membership {
    fn default() -> Self {
        let presence: Arc<str> = Self::PRESENCE.into();
        Self {
            lease: Self::LEASE,
            address: None,
            fetches: false,
            settings: Arc::default(),
            names: Arc::new([Arc::clone(&presence)]),
            claims_with: Some(presence),
        }
    }
}

/// What a member counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Appends that the engine took.
    pub appends: u64,
    /// Updates in them: divided by the appends, the mean batch.
    pub appended: u64,
    /// Updates sent again, because the engine lost them or left them in doubt.
    pub retries: u64,
    /// Times the engine's line was shorter than what this hub had.
    pub rewinds: u64,
    /// Times this hub put a lost tail back, and the updates in them.
    pub heals: u64,
    /// Updates put back.
    pub healed: u64,
    /// Times this hub had another line than the engine.
    pub forks: u64,
    /// Updates of such lines that were published anew.
    pub republished: u64,
    /// Times this hub began anew in the middle of the line, because nobody had what came before.
    pub holes: u64,
    /// Updates that other hubs gave, because the engine did not keep them any more.
    pub fetched: u64,
    /// Times another hub was asked for such updates and gave none.
    pub failed_fetches: u64,
    /// Times the epoch changed.
    pub epochs: u64,
    /// Probes that the engine answered.
    pub probes: u64,
    /// Times the follower was found to read from where nothing new arrives.
    pub stale: u64,
    /// Updates that were refused because the engine takes none of their size.
    pub too_large: u64,
    /// Acknowledged updates that the engine lost and does not take again because of their size: this
    /// hub keeps them in memory.
    pub stranded: u64,
    /// Publishes that waited in vain.
    pub expired: u64,
    /// Calls that the engine did not answer, or refused.
    pub faults: u64,
    /// Hubs that had died and that this one claimed.
    pub claims: u64,
    /// Times another hub claimed this one, because its lease had lapsed.
    pub claimed_by: u64,
    /// Publishes that were answered with an earlier update of the same key.
    pub repeats: u64,
}

/// What a member is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// It waits before it asks again.
    #[default]
    Waiting,
    /// It asks where the line ends, and compares.
    Looking,
    /// It fetches from another hub what the engine does not keep any more.
    Fetching,
    /// It puts a lost tail back.
    Healing,
    /// It leaves another line.
    Forked,
    /// It follows, and has not caught up yet.
    CatchingUp,
    /// It follows.
    Following,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Looking,
        Self::Fetching,
        Self::Healing,
        Self::Forked,
        Self::CatchingUp,
        Self::Following,
    ];

    /// Returns the word for it in metrics and log lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Looking => "looking",
            Self::Fetching => "fetching",
            Self::Healing => "healing",
            Self::Forked => "forked",
            Self::CatchingUp => "catching_up",
            Self::Following => "following",
        }
    }
}

/// What a member shows.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// What it is doing.
    pub standing: Standing,
    /// Why it cannot order updates, as one line.
    pub reason: Option<Arc<str>>,
    /// How many publishes wait.
    pub waiting: usize,
    /// How many positions the history is behind the engine, as far as that is known.
    pub behind: u64,
    /// What it counts.
    pub counters: Counters,
}

impl Status {
    /// Returns its numbers. `behind_for` is how long the history has been behind.
    #[must_use]
    pub const fn figures(&self, behind_for: Duration) -> ClusterFigures {
        ClusterFigures {
            standing: self.standing,
            behind: self.behind,
            behind_for,
            counters: self.counters,
        }
    }
}

/// The numbers of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClusterFigures {
    /// What it is doing.
    pub standing: Standing,
    /// How many positions the history is behind the engine, as far as that is known.
    pub behind: u64,
    /// How long it has been behind.
    pub behind_for: Duration,
    /// What it counts.
    pub counters: Counters,
}
