//! How a history is set up. The server's configuration is checked elsewhere and ends up here.

use std::path::PathBuf;
use std::time::Duration;

use tidings_cluster::Epoch;

/// Everything that [`start`](crate::start) needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where updates are kept.
    pub kind: Kind,
    /// What is removed, and when.
    pub retention: Retention,
    /// Most drafts that wait for the writer; beyond it an append is refused. Of batches that a
    /// relay ordered, fewer may wait: they are larger.
    pub queue_max: usize,
    /// Most updates that are committed as one group, at least 1.
    pub group_max: usize,
    /// Most requests that wait for the reader; beyond it a read is refused as busy.
    pub reads_max: usize,
    /// Most bytes of updates that the page cache holds (16 MiB is a good value).
    ///
    /// The page that was read last is kept even when it alone is larger.
    pub cache_bytes_max: usize,
    /// Who orders the updates.
    pub order: Order,
}

impl Options {
    /// Returns the options of a history whose updates a relay of the epoch `epoch` orders; without
    /// one, those of a history that orders.
    #[must_use]
    pub fn ordered_by(self, epoch: Option<Epoch>) -> Self {
        Self {
            order: epoch.map_or(self.order, Order::Relay),
            ..self
        }
    }
}

/// Who orders the updates of a history, and where the secret of its ids comes from. It is decided
/// when the history is created, and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The history itself: it takes drafts. The epoch is its own, and of no other history; in
    /// [`Options`] it is the one of a history that this start creates.
    Own(Epoch),
    /// A relay: the history takes ordered updates. The epoch is the relay's, and a history of
    /// another epoch is not opened.
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
    /// Nowhere: updates get positions and ids, every cursor is unknown.
    None,
}

/// What is removed, and when. `None` sets no limit.
///
/// Applied about once a second, oldest update first, in bounded slices. The newest update is
/// removed only by age, never by count or bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Updates at least this old are removed.
    pub age_max: Option<Duration>,
    /// At most this many updates are kept.
    pub updates_max: Option<u64>,
    /// At most this many bytes of updates are kept, as [`Update::bytes`](tidings_core::Update::bytes) counts them.
    pub bytes_max: Option<u64>,
    /// What is removed of the hub's own presence events, which count in no other limit.
    pub presence: PresenceRetention,
}

/// What is removed of the presence events, and when. They end with the updates around
/// them at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresenceRetention {
    /// Events at least this old are removed. `None` sets no limit.
    pub age_max: Option<Duration>,
    /// At most this many events are kept.
    pub events_max: u64,
}

impl PresenceRetention {
    /// What counts where nothing else is said: an hour, and ten thousand events.
    pub const DEFAULT: Self = Self {
        age_max: Some(Duration::from_secs(3600)),
        events_max: 10_000,
    };
}
