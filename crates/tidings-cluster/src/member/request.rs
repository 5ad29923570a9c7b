//! What a member asks of its engine and its history, and what it is told.

use std::fmt;
use std::sync::Arc;

use tidings_core::{Draft, Position};

use super::catching_up::CatchUp;
use crate::engine::{
    Append, Appended, Call, Changed, Claimed, Engine, EngineError, EpochId, Init, Key, Lease,
    Leased, LineEnd, NodeLease, Origin, Path, Proposal, Restore, Sender, State, Tailed,
};
use crate::page::Page;
use crate::peers::{Fetch, PeerError};
use crate::{Batch, Cut, Done, InboundError, RelayError, Stretch};

/// A call of the engine.
#[derive(Debug, Clone)]
pub enum Request {
    /// [`Engine::init`].
    Init(Proposal),
    /// [`Engine::append`].
    Append(Append),
    /// [`Engine::tail`].
    Tail {
        /// The last position that is there.
        after: Position,
        /// Bytes of the answer.
        bytes_max: u64,
    },
    /// [`Engine::range`].
    Range {
        /// The first position.
        from: Position,
        /// The last position.
        to: Position,
        /// Bytes of the answer.
        bytes_max: u64,
    },
    /// [`Engine::state`].
    State,
    /// [`Engine::restore`].
    Restore(Restore),
    /// [`Engine::repair`].
    Repair(LineEnd),
    /// [`Engine::bump`].
    Bump(LineEnd, EpochId),
    /// [`Engine::lease`].
    Lease(Lease),
    /// [`Engine::leases`].
    Leases,
    /// [`Engine::claim`].
    Claim {
        /// Whom.
        dead: Sender,
        /// For whom.
        by: Sender,
    },
}

/// The answer to a [`Request`].
#[derive(Debug, Clone)]
pub enum Reply {
    /// Of [`Engine::init`].
    Init(Init),
    /// Of [`Engine::append`].
    Appended(Appended),
    /// Of [`Engine::tail`] and [`Engine::range`].
    Tailed(Tailed),
    /// Of [`Engine::state`].
    State(State),
    /// Of [`Engine::restore`], [`Engine::repair`] and [`Engine::bump`].
    Changed(Changed),
    /// Of [`Engine::lease`].
    Leased(Leased),
    /// Of [`Engine::leases`].
    Leases(Vec<NodeLease>),
    /// Of [`Engine::claim`].
    Claimed(Claimed),
}

impl Request {
    /// Returns the connection that it goes over.
    #[must_use]
    pub const fn path(&self) -> Path {
        match self {
            Self::Init(_)
            | Self::Append(_)
            | Self::Restore(_)
            | Self::Repair(_)
            | Self::Bump(_, _) => Path::Publish,
            Self::Tail { .. } => Path::Tail,
            Self::Range { .. }
            | Self::State
            | Self::Lease(_)
            | Self::Leases
            | Self::Claim { .. } => Path::Control,
        }
    }

    /// Calls `engine`.
    pub fn call(self, engine: &dyn Engine) -> Call<'_, Reply> {
        Box::pin(async move {
            Ok(match self {
                Self::Init(proposal) => Reply::Init(engine.init(proposal).await?),
                Self::Append(append) => Reply::Appended(engine.append(append).await?),
                Self::Tail { after, bytes_max } => {
                    Reply::Tailed(engine.tail(after, bytes_max).await?)
                }
                Self::Range {
                    from,
                    to,
                    bytes_max,
                } => Reply::Tailed(engine.range(from, to, bytes_max).await?),
                Self::State => Reply::State(engine.state().await?),
                Self::Restore(restore) => Reply::Changed(engine.restore(restore).await?),
                Self::Repair(expected) => Reply::Changed(engine.repair(expected).await?),
                Self::Bump(expected, new) => Reply::Changed(engine.bump(expected, new).await?),
                Self::Lease(lease) => Reply::Leased(engine.lease(lease).await?),
                Self::Leases => Reply::Leases(engine.leases().await?),
                Self::Claim { dead, by } => Reply::Claimed(engine.claim(dead, by).await?),
            })
        })
    }
}

/// What a member wants done.
#[derive(Debug)]
pub enum Output {
    /// Call the engine. There is one call for each path at a time.
    Call(Request),
    /// Forget the call of this path, if there is one, and its connection.
    Reset(Path),
    /// Hand the batch to the history, with those who wait for its updates.
    Store(Batch, Vec<Waiter>),
    /// Read from the history.
    Read {
        /// The first position.
        from: Position,
        /// The last position.
        to: Position,
        /// Bytes of the answer.
        bytes_max: u64,
    },
    /// Cut the history.
    Cut(Cut),
    /// Ask another hub. A question before this one is not waited for any more.
    Fetch(Fetch),
}

/// What a member is told.
#[derive(Debug)]
pub enum Input {
    /// Somebody publishes updates that must not overtake each other.
    Publish(Vec<Publish>),
    /// Somebody waits until the history has what the engine has now.
    CatchUp(CatchUp),
    /// This hub leaves a note under the name of a lease that it holds.
    Note(Arc<str>, Arc<[u8]>),
    /// The engine answered, or did not.
    Reply(Path, Result<Reply, EngineError>),
    /// The history has stored a batch, or not; then those who wait come back.
    Stored(Result<(), InboundError>, Vec<Waiter>),
    /// The history was read.
    Read(Result<Stretch, RelayError>),
    /// The history was cut.
    Cut(Result<(), RelayError>),
    /// Another hub answered the question with this ticket, or did not.
    Fetched(u64, Result<Page, PeerError>),
}

/// An update that is to be published.
pub struct Publish {
    /// The update.
    pub draft: Draft,
    /// By which it is taken once, and for how many milliseconds at least.
    pub key: Option<(Key, u64)>,
    /// Takes the outcome.
    pub done: Done,
}

/// Somebody who waits for the update at a position to be stored.
pub struct Waiter {
    pub(super) position: Position,
    pub(super) origin: Origin,
    pub(super) done: Done,
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("draft", &self.draft)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter")
            .field("position", &self.position)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// Answers those whose updates were stored, and returns the others: for whoever performs
/// [`Output::Store`], on the history's thread.
pub fn answer(waiters: Vec<Waiter>, stored: &[Arc<tidings_core::Update>]) -> Vec<Waiter> {
    let mut rest = Vec::new();
    for waiter in waiters {
        let found = stored.binary_search_by_key(&waiter.position, |update| update.position);
        match found.ok().and_then(|index| stored.get(index)) {
            Some(update) => (waiter.done)(Ok(Arc::clone(update))),
            None => rest.push(waiter),
        }
    }
    rest
}
