//! Updates that come with their positions, in batches of bounded size.

use std::collections::VecDeque;
use std::sync::Arc;

use tidings_core::{Draft, Position, Print};

/// An update whose place was decided outside this hub.
///
/// Every hub makes the same [`Update`](tidings_core::Update) of it: the hub-made id and the print
/// follow from the epoch, the position, the time and the contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderedUpdate {
    /// Its place. Positions are dense, from 1.
    pub position: Position,
    /// When it got its place, in Unix milliseconds by whoever ordered it. Never less than that of
    /// the position before.
    pub published_ms: u64,
    /// The print that the sender of this update has for it, if it keeps prints of this kind.
    pub print: Option<Print>,
    /// The contents, and the id if the publisher supplied one. Without one, each hub makes the id.
    pub draft: Draft,
    /// What the relay keeps beside it, for itself: the print vouches for it too. Nothing beside what
    /// no relay ordered: the history did, before it was adopted, and formed the print as a history of
    /// its own does.
    pub note: Arc<[u8]>,
}

/// What a history stores from a position on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    /// The print of the position before, if it is kept.
    pub before: Option<Print>,
    /// The updates, in order, each with its print. Positions may be missing: retention removes
    /// presence events sooner than others.
    pub updates: Vec<OrderedUpdate>,
}

/// How a history leaves a line that is not the relay's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Everything after this position goes, which is not before the oldest.
    After(Position),
    /// Everything goes, and what comes next follows this position: nothing is known of what was
    /// before.
    All(Position),
}

/// Ordered updates that are stored as one group: at least one, and no more than the bounds allow.
#[derive(Debug)]
pub struct Batch {
    updates: Vec<OrderedUpdate>,
}

impl Batch {
    /// Most updates of a batch.
    pub const UPDATES_MAX: usize = 256;
    /// Most bytes of a batch, as [`Draft::bytes`] counts them. A single update may have more.
    pub const BYTES_MAX: u64 = 1024 * 1024;

    /// Takes as many updates from the front of `waiting` as a batch holds. Returns nothing if none
    /// waits.
    #[must_use]
    pub fn take(waiting: &mut VecDeque<OrderedUpdate>) -> Option<Self> {
        let mut bytes = 0_u64;
        let fits = waiting
            .iter()
            .take(Self::UPDATES_MAX)
            .take_while(|update| {
                bytes = bytes.saturating_add(update.draft.bytes());
                bytes <= Self::BYTES_MAX
            })
            .count();
        let count = fits.max(1).min(waiting.len());
        let updates: Vec<OrderedUpdate> = waiting.drain(..count).collect();
        (!updates.is_empty()).then_some(Self { updates })
    }

    /// Returns the updates, in the order in which they were given.
    #[must_use]
    pub fn updates(&self) -> &[OrderedUpdate] {
        &self.updates
    }

    /// Gives the updates out.
    #[must_use]
    pub fn into_updates(self) -> Vec<OrderedUpdate> {
        self.updates
    }
}
