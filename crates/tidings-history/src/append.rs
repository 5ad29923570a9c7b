//! What is queued for the writer, and what the writer gives out. Not the writing: `writer.rs`.

use std::sync::Arc;

use tidings_cluster::{Batch, BatchDone, Done};
use tidings_core::{Draft, Update};

/// Takes what the writer has done with each group, on the writer thread. Must not block.
pub type Outlet = Box<dyn FnMut(Step) + Send>;

/// What the writer has done with what was queued.
#[derive(Debug)]
pub enum Step {
    /// The group is durable; groups come in order of position. Comes before the [`Done`]s of the
    /// group, and not at all for a group that was refused.
    Committed(Vec<Arc<Update>>),
    /// Every completion of what was queued together was called, be it taken or refused. Whoever
    /// waits for many of them is woken here, once, instead of at each.
    Answered,
}

/// One item on its way to the writer. Its completion is called exactly once.
pub enum Append {
    /// For a history that orders: an update for the next position.
    Draft {
        /// What to store.
        draft: Draft,
        /// Takes the result.
        done: Done,
    },
    /// For a history that a relay orders: updates with their positions.
    Ordered {
        /// What to store.
        batch: Batch,
        /// Takes the result.
        done: BatchDone,
    },
}

impl Append {
    /// Returns how many updates it carries.
    pub(crate) fn updates(&self) -> usize {
        match self {
            Self::Draft { .. } => 1,
            Self::Ordered { batch, .. } => batch.updates().len(),
        }
    }
}
