//! Options of a history. The server's configuration is checked elsewhere and converted to them.

use std::path::PathBuf;
use std::time::Duration;

use tidings_cluster::Epoch;

/// The options of [`start`](crate::start).
#[derive(Debug, Clone)]
pub struct Options {
    /// Where updates are stored.
    pub kind: Kind,
    /// The retention.
    pub retention: Retention,
    /// Maximum number of drafts queued for the writer; beyond it an append is refused. Fewer
    /// ordered batches may be queued, because they are larger.
    pub queue_max: usize,
    /// Maximum number of updates committed as one group, at least 1.
    pub group_max: usize,
    /// Maximum number of requests queued for the reader; beyond it a read is refused as busy.
    pub reads_max: usize,
    /// Maximum size of the page cache in bytes of updates (16 MiB is a good value).
    ///
    /// The page that was read last is kept even if it is larger.
    pub cache_bytes_max: usize,
    /// Who orders the updates.
    pub order: Order,
}

impl Options {
    /// Returns the options of a history that is ordered by a relay of the epoch `epoch`; without
    /// one, those of a history that orders its own updates.
    #[must_use]
    pub fn ordered_by(self, epoch: Option<Epoch>) -> Self {
        Self {
            order: epoch.map_or(self.order, Order::Relay),
            ..self
        }
    }
}

/// Who orders the updates of a history, and where the secret of its ids comes from. Set when the
/// history is created; a history that orders its own updates can be given to a relay once
/// ([`give_order_away`](crate::storage::SqliteStorage::give_order_away)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The history itself: it accepts drafts. The epoch is unique to this history; in [`Options`]
    /// it is the epoch for a newly created history.
    Own(Epoch),
    /// A relay: the history accepts ordered updates. The epoch is the relay's; a history of another
    /// epoch is not opened.
    Relay(Epoch),
}

impl Order {
    /// Returns the epoch.
    #[must_use]
    pub const fn epoch(self) -> Epoch {
        match self {
            Self::Own(epoch) | Self::Relay(epoch) => epoch,
        }
    }
}

/// Where updates are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// In an SQLite file, with `-wal`, `-shm` and `.lock` files beside it.
    File {
        /// The file. Missing folders are created.
        path: PathBuf,
    },
    /// In memory, until the process ends.
    Memory,
    /// Not at all: updates get positions and ids, but every cursor is unknown.
    None,
}

/// Which updates are removed, and when. `None` sets no limit.
///
/// Applied about once a second, oldest update first, in bounded slices. The newest update is
/// removed only by age, never by count or bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Updates at least this old are removed.
    pub age_max: Option<Duration>,
    /// Maximum number of stored updates.
    pub updates_max: Option<u64>,
    /// Maximum size of stored updates in bytes, as [`Update::bytes`](tidings_core::Update::bytes)
    /// counts them.
    pub bytes_max: Option<u64>,
    /// The retention of the hub's own presence events, which do not count towards the other limits.
    pub presence: PresenceRetention,
}

/// Which presence events are removed, and when. They are removed with the surrounding updates at
/// the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresenceRetention {
    /// Events at least this old are removed. `None` sets no limit.
    pub age_max: Option<Duration>,
    /// Maximum number of stored events.
    pub events_max: u64,
}

impl PresenceRetention {
    /// The default: an hour, and ten thousand events.
    pub const DEFAULT: Self = Self {
        age_max: Some(Duration::from_secs(3600)),
        events_max: 10_000,
    };
}
