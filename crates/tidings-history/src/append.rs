//! The writer's input and output types. The writer itself is in `writer.rs`.

use std::sync::Arc;

use tidings_cluster::{Batch, BatchDone, Cut, CutDone, Done, RelayError};
use tidings_core::{Draft, Position, Topic, Update};

use crate::published::Tip;

/// Receives the writer's output for each group, on the writer thread. Must not block.
pub type Outlet = Box<dyn FnMut(Step) + Send>;

/// The writer's output.
#[derive(Debug)]
pub enum Step {
    /// The group is durable. Groups come in order of position. Comes before the group's [`Done`]s are called.
    /// Does not come for a group that was refused.
    Committed(Vec<Arc<Update>>),
    /// All completions of one batch were called, whether accepted or refused. A caller that waits
    /// for many of them is woken here once, instead of at each.
    Answered,
    /// The line was cut: this is the newest update now. Whoever has seen a later one has seen what
    /// is gone; what comes next follows here.
    Cut(Tip),
}

/// One item for the writer. Its completion is called exactly once.
pub enum Append {
    /// For a history that orders its updates: an update for the next position.
    Draft {
        /// What to store.
        draft: Draft,
        /// Takes the result.
        done: Done,
    },
    /// For a history ordered by a relay: updates with their positions.
    Ordered {
        /// What to store.
        batch: Batch,
        /// Takes the result.
        done: BatchDone,
    },
    /// For a history ordered by a relay: leave a line.
    Cut {
        /// Where.
        cut: Cut,
        /// Takes the result.
        done: CutDone,
    },
    /// For a history that orders its updates: withdraw a slice of a topic's updates.
    Purge {
        /// Which.
        purge: Purge,
        /// Takes the result.
        done: PurgeDone,
    },
}

/// A slice of a topic's history that is to be withdrawn.
#[derive(Debug, Clone)]
pub struct Purge {
    /// The topic: all updates that have it, as canonical or alternate topic.
    pub topic: Topic,
    /// What comes after this position.
    pub after: Position,
    /// Up to this position.
    pub through: Position,
}

/// What one slice of a purge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    /// How many updates were withdrawn.
    pub updates: u64,
    /// The position up to which the topic was purged: what is left comes after it.
    pub through: Position,
}

/// Receives the result of a slice, on the writer thread. Must not block.
pub type PurgeDone = Box<dyn FnOnce(Result<Purged, RelayError>) + Send>;

impl Append {
    /// Returns the number of updates.
    pub(crate) fn updates(&self) -> usize {
        match self {
            Self::Draft { .. } => 1,
            Self::Ordered { batch, .. } => batch.updates().len(),
            Self::Cut { .. } | Self::Purge { .. } => 0,
        }
    }
}
