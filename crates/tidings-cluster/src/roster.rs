//! Who is in the cluster, as one hub sees it: what its leases say.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Note, Sender};
use crate::record::Record;

/// The hubs of a cluster, as of one look at the leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// This start of this hub. Another one after somebody claimed the hub while it was paused.
    pub me: Sender,
    /// The others that have a lease, or had one that nobody claimed yet.
    pub peers: Vec<Peer>,
    /// The named leases that this hub takes part in, in the order of its membership.
    pub named: Vec<Named>,
    /// The starts that this hub claimed, newest last: at most [`CLAIMED_MAX`].
    pub claimed: Vec<Sender>,
    /// How many looks there were. None yet at 0: nothing is known then.
    pub looks: u64,
    /// How long a lease lasts. A hub that lives renews it several times in this time.
    pub lease: Duration,
}

/// A named lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: Arc<str>,
    /// Who holds it.
    pub holder: Holder,
    /// What its holders left, as far as this hub was told.
    pub note: Note,
}

/// Who holds a named lease, as far as a hub knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// That is not known: the engine was not asked, or is away for so long that the lease of this hub
    /// has lapsed.
    Unknown,
    /// This hub.
    Here,
    /// Another one.
    Another(Sender),
}

/// Another hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The hub and its start.
    pub run: Sender,
    /// Whether its lease runs.
    pub alive: bool,
    /// What it left in its lease, if that can be read.
    pub record: Option<Arc<Record>>,
}

/// Most claimed starts that a [`Roster`] names.
pub const CLAIMED_MAX: usize = 64;

impl Roster {
    /// Makes the roster of a hub that knows nothing yet.
    #[must_use]
    pub fn unknown(me: Sender, lease: Duration) -> Self {
        Self {
            me,
            peers: Vec::new(),
            named: Vec::new(),
            claimed: Vec::new(),
            looks: 0,
            lease,
        }
    }

    /// Returns whether this hub holds the lease of this name.
    #[must_use]
    pub fn holds(&self, name: &str) -> bool {
        let named = self.named(name);
        named.is_some_and(|named| named.holder == Holder::Here)
    }

    /// Returns the lease of this name, if this hub takes part in it.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Named> {
        self.named.iter().find(|named| &*named.name == name)
    }

    /// Returns whether a start of a hub has a lease, or had one that nobody claimed yet.
    #[must_use]
    pub fn lists(&self, run: Sender) -> bool {
        self.me == run || self.peers.iter().any(|peer| peer.run == run)
    }

    /// Returns where the living hubs can be reached.
    pub fn addresses(&self) -> impl Iterator<Item = &Arc<str>> {
        let living = self.peers.iter().filter(|peer| peer.alive);
        living.filter_map(|peer| peer.record.as_ref()?.address.as_ref())
    }
}
