//! The relay, which orders updates: it assigns each one its position.
//!
//! An update takes the same path in a single hub and in a cluster. Ingest checks and grants a draft
//! and hands it to a [`Relay`]; the hub's [`History`] stores it; the router delivers what was
//! stored. This crate defines the interface between these three: the two traits, the errors, the
//! completions, the [`OrderedUpdate`] of a cluster and the [`Epoch`] that its hubs share. It knows
//! no storage.
//!
//! ```text
//!              ┌─ Loopback ──────────────── History::append ─────────┐
//! ingest ─▶ Relay                                                    ├─▶ router
//!              └─ an engine ─ its order ─▶ History::append_ordered ──┘
//! ```
//!
//! A history is in one of two modes and refuses input of the other. Without a cluster it accepts
//! drafts and orders them itself: the relay is [`Loopback`]. In a cluster an engine orders the
//! updates, and the history of every hub stores the same updates at the same positions.

mod bytes;
pub mod driver;
pub mod engine;
pub mod envelope;
mod epoch;
mod error;
pub mod host;
mod keys;
mod link;
mod loopback;
pub mod member;
mod movable;
mod ordered;
pub mod page;
pub mod peers;
pub mod record;
pub mod roster;
pub mod sabotage;
pub mod safety;

use std::fmt;
use std::sync::Arc;

use tidings_core::{Draft, Position, Print, Update};
use tokio::sync::watch;

use crate::roster::Roster;

pub use engine::Key;
pub use envelope::{Envelope, EnvelopeError};
pub use epoch::Epoch;
pub use error::{Cause, InboundError, RelayError, StartError};
pub use keys::KEEP_FOR as KEYS_KEPT_FOR;
pub use link::{link, link_sha256};
pub use loopback::Loopback;
pub use movable::{Movable, Successor};
pub use ordered::{Batch, Cut, OrderedUpdate, Stretch};

/// Takes the outcome of one publish. Must not block.
///
/// An update that was stored is reported from within the history's own completion, on its thread, so
/// that the hub can hand over the answers of a whole group at once. A failure may be reported from
/// any thread.
pub type Done = Box<dyn FnOnce(Result<Arc<Update>, RelayError>) + Send>;

/// Takes the outcome of one batch: the updates that are new to this hub, in order. Updates that it
/// had already are left out. Must not block.
pub type BatchDone = Box<dyn FnOnce(Result<Vec<Arc<Update>>, InboundError>) + Send>;

/// Takes what a history stores from a position on. Must not block.
pub type StretchDone = Box<dyn FnOnce(Result<Stretch, RelayError>) + Send>;

/// Takes the outcome of a cut. Must not block.
pub type CutDone = Box<dyn FnOnce(Result<(), RelayError>) + Send>;

/// Takes whether a history has caught up. Must not block.
pub type CaughtUp = Box<dyn FnOnce(bool) + Send>;

/// One of several drafts that a relay takes in order.
pub struct Publication {
    /// The draft.
    pub draft: Draft,
    /// By which it is stored once.
    pub key: Option<Key>,
    /// Takes the outcome. Dropped unused if the draft was refused at once.
    pub done: Done,
}

impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publication")
            .field("draft", &self.draft)
            .finish_non_exhaustive()
    }
}

/// Gives checked and granted drafts their positions.
///
/// [`epoch`](Self::epoch) comes first, since the history is opened with it, then
/// [`start`](Self::start). [`stop`](Self::stop) comes before the history is closed.
pub trait Relay: fmt::Debug + Send + Sync {
    /// Returns the epoch whose updates this relay orders.
    ///
    /// Nothing means that the hub's own history orders, under an epoch of its own.
    fn epoch(&self) -> Option<Epoch>;

    /// Starts the relay. A relay that orders hands to `history` every update after
    /// [`History::last`], in order, from now on.
    ///
    /// # Errors
    ///
    /// [`StartError`] if it cannot run. Nothing was started then.
    fn start(&self, history: Arc<dyn History>) -> Result<(), StartError>;

    /// Takes `draft`. Never waits. What comes with a `key` that is known is not stored again: its
    /// answer is the update that came with the key first. A key is known for five minutes at least,
    /// as long as its place is large enough.
    ///
    /// `done` is called once: when the update has its position and is durable on this hub, or with
    /// the reason why it was not taken.
    ///
    /// # Errors
    ///
    /// [`RelayError`], with `done` dropped unused, if the draft is refused at once:
    /// [`Busy`](RelayError::Busy) or [`Closed`](RelayError::Closed) by a relay that runs.
    fn publish(&self, draft: Draft, key: Option<Key>, done: Done) -> Result<(), RelayError>;

    /// Takes drafts that must not overtake each other: a draft is stored only if those before it are,
    /// or were with their keys. In a cluster they share one deadline, so that none is sent after one
    /// before it has waited in vain. Never waits.
    ///
    /// # Errors
    ///
    /// [`RelayError`] of the first draft that is refused at once. It and those after it are not taken.
    fn publish_in_order(&self, publications: Vec<Publication>) -> Result<(), RelayError> {
        let mut publications = publications.into_iter();
        publications.try_for_each(|one| self.publish(one.draft, one.key, one.done))
    }

    /// Has the history catch up with the cluster. Never waits.
    ///
    /// `done` is called once: with true when the history has everything that had its position when
    /// this was called, with false if that cannot be said in time.
    ///
    /// Returns false, with `done` dropped unused, if nothing can be ahead of the history: it orders
    /// its updates itself.
    fn catch_up(&self, done: CaughtUp) -> bool {
        drop(done);
        false
    }

    /// Returns whether the relay itself can order updates. The history has a health of its own.
    fn health(&self) -> Health;

    /// Returns who is in the cluster, as it changes: nothing on a hub without one. What is watched is
    /// nothing until the relay has started.
    fn roster(&self) -> Option<watch::Receiver<Option<Arc<Roster>>>> {
        None
    }

    /// Leaves `note` to the next holder of the lease `name`, if this hub holds that; see
    /// [`Roster::named`]. Of several notes the newest is left, soon and at the stop. Never waits.
    fn leave(&self, name: Arc<str>, note: Arc<[u8]>) {
        drop((name, note));
    }

    /// Returns what the relay counts and measures.
    fn figures(&self) -> Figures;

    /// Stops the relay: every later publish is [`Closed`](RelayError::Closed), and nothing more is
    /// handed to the history. What was taken before is still answered, at the latest when the
    /// history is closed. Blocks until the relay's own threads have ended.
    fn stop(&self);
}

/// The hub's history, as its relay sees it.
pub trait History: fmt::Debug + Send + Sync {
    /// Returns the position of the newest stored update: [`Position::ZERO`] before the first.
    fn last(&self) -> Position;

    /// Returns how many drafts or batches wait to be stored.
    fn waiting(&self) -> usize;

    /// Stores `draft` at the next position. Never waits. For a history that orders.
    ///
    /// `done` is called on the history's thread: when the update is durable and handed to the
    /// router, or with the reason why it was not taken.
    ///
    /// # Errors
    ///
    /// [`RelayError`], with `done` dropped unused, if the draft cannot be queued.
    fn append(&self, draft: Draft, done: Done) -> Result<(), RelayError>;

    /// Stores the updates of `batch` at the positions that they have. Never waits. For a history
    /// whose updates a relay orders.
    ///
    /// All of them are taken or none. `done` is called as for [`append`](Self::append). Few batches
    /// may wait, so that a relay that reads faster than the disk writes holds a bounded amount of
    /// memory: it hands over the next batch when one is done.
    ///
    /// # Errors
    ///
    /// [`RelayError`], with `done` dropped unused, if the batch cannot be queued.
    fn append_ordered(&self, batch: Batch, done: BatchDone) -> Result<(), RelayError>;

    /// Returns the position and the print of the newest stored update. No print before the first,
    /// and after a [`Cut::All`].
    fn tip(&self) -> (Position, Option<Print>);

    /// Returns the first stored position: the one after [`last`](Self::last) if nothing is stored.
    fn oldest(&self) -> Position;

    /// Returns whether updates are taken.
    ///
    /// # Errors
    ///
    /// Why not.
    fn takes_updates(&self) -> Result<(), RelayError>;

    /// Reads the stored updates `from..=to` of at most `bytes_max` bytes, or one that is larger.
    /// For a history whose updates a relay orders. Never waits.
    ///
    /// # Errors
    ///
    /// [`RelayError`], with `done` dropped unused, if the request cannot be queued.
    fn stretch(
        &self,
        from: Position,
        to: Position,
        bytes_max: u64,
        done: StretchDone,
    ) -> Result<(), RelayError>;

    /// Leaves a line that is not the relay's, after what is queued. Subscribers that may have seen
    /// something of it are told. For a history whose updates a relay orders. Never waits.
    ///
    /// # Errors
    ///
    /// [`RelayError`], with `done` dropped unused, if the request cannot be queued.
    fn cut(&self, cut: Cut, done: CutDone) -> Result<(), RelayError>;
}

/// Whether a relay can order updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Ok,
    /// It cannot: it does not run, or its engine does not answer.
    Unavailable {
        /// Why, as one line of text.
        reason: Arc<str>,
    },
}

/// What a relay counts and measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Drafts that wait for their position.
    pub waiting: usize,
    /// Publishes that were answered with an earlier update of the same key.
    pub repeats: u64,
    /// Keys that were forgotten before their time, because there were too many.
    pub keys_forgotten: u64,
    /// Those of a cluster, if there is one.
    pub cluster: Option<member::ClusterFigures>,
}
