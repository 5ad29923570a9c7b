//! The contract between hubs and the engine of a cluster: what an engine must do, and nothing else.
//!
//! An engine gives updates their order and keeps a window of the newest ones. It knows no topic, no
//! grant and no id: an update is bytes to it. Everything else is in the hubs, above all the
//! history, from which what an engine loses is put back.
//!
//! ```text
//! append ──▶ position, time, print ──▶ tail (every hub, in order, without a hole)
//! state  ──▶ where the line ends, asked over the publish path
//! restore, repair, bump: change the line itself, by compare-and-set
//! lease, leases, claim: who is alive, and who stands in for whom
//! ```
//!
//! Rules for all methods:
//!
//! - **Before the first write** everything that can fail has been read and checked. A call that is
//!   not in doubt took everything or nothing.
//! - **Positions** are dense, from 1, below 2^53. An engine that reaches the end is `Full`.
//! - **Times** come from the engine's clock, in Unix milliseconds, and never decrease along the
//!   positions: an engine whose clock went back repeats the time of the entry before.
//! - **Prints** are formed by the engine in one step with the position: with
//!   [`link`](crate::link()), or with the same text and another hash. Hubs only compare them. An
//!   engine that cannot compute anything leaves that to its client, as long as the print is the same
//!   for everybody.
//! - **Connections are the engine's**, one for each [`Path`]. A call on a connection that turns out
//!   to be closed fails; the next call opens a new one. An engine never opens a connection and
//!   sends a call again by itself: a hub compares prints on each new connection, and looks for its
//!   own updates before it sends any again.
//! - **A dropped future** leaves the call in doubt and its connection unusable: the next call on
//!   that path opens a new one.
//! - **Bytes are bounded** on every hop: a request carries at most [`BATCH_ITEMS_MAX`] items and
//!   [`BATCH_BYTES_MAX`] bytes, or one item that is larger; an answer stays within the `bytes_max`
//!   of its call, or has one entry.

mod names;

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use tidings_core::{Digest, Position, Print};

use crate::Epoch;

pub use names::{
    BootId, EpochId, KEY_BYTES_MAX, Key, Kind, Name, NodeId, OfBoot, OfEpoch, OfNode, Origin,
    Sender,
};

/// Most items of an append, and most entries of a restore.
pub const BATCH_ITEMS_MAX: usize = 256;

/// Most bytes of the items of an append and of the entries of a restore or an answer. A single one
/// may have more.
pub const BATCH_BYTES_MAX: u64 = 1024 * 1024;

/// Most batches of one boot that an engine remembers the answers of. A hub has one batch in flight,
/// so the newest would do; the rest is slack.
pub const REMEMBERED_BATCHES: u64 = 8;

/// What a call returns: a future that lives on the thread that made it.
pub type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, EngineError>> + 'a>>;

/// Orders the updates of all hubs of a cluster.
///
/// Made on one thread and used on another, there by one relay: at most one call is in flight for
/// each [`Path`].
pub trait Engine: fmt::Debug + Send {
    /// Returns the engine's name as the configuration has it, for log lines and metrics.
    fn name(&self) -> &'static str;

    /// Closes the connection of `path`, if there is one. The next call opens a new one and looks up
    /// the topology anew: the primary by its Sentinels, the owner of the slot, the address.
    fn reset(&self, path: Path);

    /// Reads the cluster's line, or makes it if the prefix is unused: the epoch and the secret of
    /// `proposal` by compare-and-set, so that of several first hubs one decides. [`Path::Publish`].
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the engine does not answer.
    fn init(&self, proposal: Proposal) -> Call<'_, Init>;

    /// Takes the items of `append` at the next positions, all or none. [`Path::Publish`].
    ///
    /// Checks, in this order: the epoch; whether the batch was taken before (then the same answer
    /// again); [`Seen`]; and for each item its key (an item whose key is known, also by an earlier
    /// item of the batch, is not taken again, and the answer names the position that it has). Within
    /// the configured policy of acknowledgement: an answer of [`Appended::Taken`] means that the
    /// replicas that are required have it.
    ///
    /// [`Refusal::TooLarge`] comes last of these, so that it says of the batch that it was not found.
    /// An earlier call with the same batch that had no answer may still be on its way.
    ///
    /// # Errors
    ///
    /// [`EngineError`]; after [`InDoubt`](EngineError::InDoubt) the items may have been taken.
    fn append(&self, append: Append) -> Call<'_, Appended>;

    /// Returns the entries after `after`, in order, of at most `bytes_max` bytes; waits for the
    /// first if there is none, for a time of the engine's own choice between 1 and 10 seconds, and
    /// then returns no entries. [`Path::Tail`].
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the engine does not answer.
    fn tail(&self, after: Position, bytes_max: u64) -> Call<'_, Tailed>;

    /// Returns the entries `from..=to`, in order, of at most `bytes_max` bytes, and does not wait.
    /// The caller asks again after the last one. [`Path::Control`].
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the engine does not answer.
    fn range(&self, from: Position, to: Position, bytes_max: u64) -> Call<'_, Tailed>;

    /// Returns where the line ends: by a write, on a connection that takes appends, so that a
    /// replica or a demoted primary cannot answer; over a topology that was looked up for this call
    /// (what a majority of the Sentinels say). [`Path::Control`].
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the engine does not answer.
    fn state(&self) -> Call<'_, State>;

    /// Puts a lost tail back: if the epoch, the last position and the print there are those that are
    /// expected, the entries are stored with the positions, times, prints and origins that they have, and
    /// their keys for the rest of their life. On an engine that has nothing, the epoch and the
    /// secret are put back as well, and the window begins at the first entry. An engine that cannot
    /// take an entry of this size refuses the call and names the setting: nothing else may have its
    /// place. [`Path::Publish`].
    ///
    /// # Errors
    ///
    /// [`EngineError`]; after [`InDoubt`](EngineError::InDoubt) the entries may have been stored.
    fn restore(&self, restore: Restore) -> Call<'_, Changed>;

    /// Moves the end of a line to entries that are there beyond it, after an append that died
    /// midway and answered [`Refusal::Repair`]: if the epoch and the last position are the
    /// expected ones. [`Path::Publish`].
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the engine does not answer.
    fn repair(&self, expected: LineEnd) -> Call<'_, Changed>;

    /// Gives the line a new epoch, if the epoch and the last position are the expected ones.
    /// Positions go on. [`Path::Publish`].
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the engine does not answer.
    fn bump(&self, expected: LineEnd, new: EpochId) -> Call<'_, Changed>;

    /// Takes or renews a lease for `lease.ttl_ms` of the engine's clock. A lease of
    /// [`LeaseName::Node`] is its node's own; one with another name is held by one node at a time,
    /// and given up by its holder with a `ttl_ms` of 0: then it is free at once. Without a holder
    /// nothing happens at 0. [`Path::Control`].
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the engine does not answer.
    fn lease(&self, lease: Lease) -> Call<'_, Leased>;

    /// Returns the leases of all nodes, also those that have lapsed and that nobody claimed.
    /// [`Path::Control`].
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the engine does not answer.
    fn leases(&self) -> Call<'_, Vec<NodeLease>>;

    /// Claims what `dead` left: succeeds for one claimant, and only if the lease of that boot has
    /// lapsed. Its record is removed, and returned to the claimant. A claimant that dies is claimed
    /// itself: what it claimed must be in its own record before it acts. [`Path::Control`].
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the engine does not answer.
    fn claim(&self, dead: Sender, by: Sender) -> Call<'_, Claimed>;
}

/// The connections of an engine, by what they are for. They do not wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Path {
    /// What changes the line.
    Publish,
    /// The follower, which waits for entries.
    Tail,
    /// Probes, leases, ranges.
    Control,
}

impl Path {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Publish, Self::Tail, Self::Control];
}

/// Something for each path.
#[derive(Debug, Default)]
pub struct ByPath<T> {
    publish: T,
    tail: T,
    control: T,
}

impl<T> ByPath<T> {
    /// Returns what there is for `path`.
    #[must_use]
    pub const fn of(&self, path: Path) -> &T {
        match path {
            Path::Publish => &self.publish,
            Path::Tail => &self.tail,
            Path::Control => &self.control,
        }
    }

    /// Returns what there is for `path`, to be changed.
    #[must_use]
    pub const fn of_mut(&mut self, path: Path) -> &mut T {
        match path {
            Path::Publish => &mut self.publish,
            Path::Tail => &mut self.tail,
            Path::Control => &mut self.control,
        }
    }
}

/// What a first hub proposes for a new line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposal {
    /// The epoch.
    pub epoch: EpochId,
    /// The secret of ids and prints. Nothing only reads: an unused prefix stays unused.
    pub secret: Option<Epoch>,
}

/// What [`Engine::init`] found or made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Init {
    /// The proposal became the line.
    Made(Line),
    /// There is a line.
    Found(Line),
    /// There is none, and none was proposed.
    None,
    /// There is a log without its head, or a head that cannot be read: some of the engine's keys
    /// were lost. It is not started over.
    Half,
}

/// A line of updates, as the engine has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Its epoch.
    pub epoch: EpochId,
    /// The secret of its ids and prints.
    pub secret: Epoch,
    /// The oldest entry of the window: the position after `last` if the window is empty.
    pub oldest: Position,
    /// The newest position.
    pub last: Position,
    /// The print of the newest entry; nothing before the first.
    pub print: Option<Print>,
    /// Whether there are entries beyond `last`, because an append died midway. Who looks for its own
    /// updates has them repaired first: they are in the line as soon as anybody does.
    pub torn: bool,
}

/// The end of a line that a change expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineEnd {
    /// The epoch.
    pub epoch: EpochId,
    /// The newest position.
    pub last: Position,
}

/// Where a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There is one.
    Line(Line),
    /// The engine has nothing under the prefix: it is new, or lost everything.
    None,
    /// As [`Init::Half`].
    Half,
}

/// How far a sender has seen the line: what its own history has stored last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The position: an engine that has less refuses.
    pub position: Position,
    /// The print there, to be compared. A sender leaves it out where it was compared before on the
    /// same connection, because an engine may have to read the entry for it.
    pub print: Option<Print>,
}

/// A batch that gets its positions.
#[derive(Debug, Clone)]
pub struct Append {
    /// The epoch that the sender follows.
    pub epoch: EpochId,
    /// How far it has seen.
    pub seen: Seen,
    /// Who sends.
    pub sender: Sender,
    /// The number of the batch. A repetition has the same number and the same items.
    pub batch: u64,
    /// At least one, and at most [`BATCH_ITEMS_MAX`].
    pub items: Arc<[Item]>,
}

/// An update on its way to its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Who accepted it: the sender of the batch, or of an earlier one if it is sent again after its
    /// line was cut.
    pub origin: Origin,
    /// A keyed hash of its contents, from which the print is formed.
    pub digest: Digest,
    /// By which it is taken once, and for how many milliseconds at least.
    pub key: Option<(Key, u64)>,
    /// The update, in an [`Envelope`](crate::envelope).
    pub bytes: Arc<[u8]>,
}

/// An update at its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub position: Position,
    /// When it got its place, in Unix milliseconds by the engine's clock. Never less than before.
    pub published_ms: u64,
    /// Who accepted it.
    pub origin: Origin,
    /// Vouches for it and for everything before it. Nothing if the engine leaves it to the hubs.
    pub print: Option<Print>,
    /// The update, in an [`Envelope`](crate::envelope).
    pub bytes: Arc<[u8]>,
}

/// The answer to an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// Everything was taken.
    Taken {
        /// The place of each item, in the order of the batch.
        places: Vec<Place>,
        /// The newest position of the line.
        last: Position,
        /// Whether this is the answer to an earlier call.
        again: Again,
    },
    /// Nothing was taken.
    Refused {
        /// Why.
        why: Refusal,
        /// The newest position of the engine's line.
        last: Position,
    },
}

/// Where an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It was taken there.
    New(Position),
    /// Its key was known: what came with the key first is there.
    Known(Position),
}

/// Whether an answer was given before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// It was not: the items were taken now.
    No,
    /// It was: the engine remembered the batch.
    Yes,
}

/// Why an engine took nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The line ends before what the sender has seen. Whether it is the same line is not said.
    Rewound,
    /// At what the sender has seen is another update.
    Forked,
    /// What the sender has seen is not in the window any more, so that its print cannot be
    /// compared: it catches up first.
    Behind,
    /// There are entries beyond the end of the line: [`Engine::repair`] comes first.
    Repair,
    /// The line has another epoch.
    OtherEpoch,
    /// The engine has no line: it lost everything.
    None,
    /// No more fits: the engine's memory or disk is full, or positions have come to their end.
    Full,
    /// An item is larger than the engine can take, whatever is sent with it: only a setting of the
    /// engine changes that. The sender goes on without it.
    TooLarge(TooLarge),
}

/// An item that an engine cannot take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error(
    "it needs a message of {bytes} bytes, and `{setting}` of the cluster's engine allows {max}"
)]
pub struct TooLarge {
    /// Which of the batch, counted from 0. There may be more of them.
    pub index: usize,
    /// What it needs, with what the engine sends beside it.
    pub bytes: u64,
    /// What the engine takes.
    pub max: u64,
    /// The engine's own name of that bound.
    pub setting: &'static str,
}

/// What follows a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tailed {
    /// These entries, of which the first one follows: dense and in order. None came in time.
    Entries(Vec<Entry>),
    /// What follows is not in the window any more.
    Hole {
        /// The oldest entry of the window: the position after the last one if it is empty.
        oldest: Position,
    },
    /// The line ends before the position: the engine lost its tail, or is another one.
    Rewound {
        /// The newest position.
        last: Position,
    },
}

/// A tail that is put back.
#[derive(Debug, Clone)]
pub struct Restore {
    /// The epoch of the line.
    pub epoch: EpochId,
    /// The secret, for an engine that has nothing.
    pub secret: Epoch,
    /// The newest position of the engine's line, after which the entries follow; nothing if the
    /// engine has nothing, and the window begins with the first entry.
    pub expected_last: Option<Position>,
    /// The print there; nothing before the first entry. Another line may end at the same position.
    pub expected_print: Option<Print>,
    /// The entries, dense, at least one, each with its print.
    pub entries: Vec<Restored>,
}

/// An entry that is put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// As it was.
    pub entry: Entry,
    /// By which it is known, and for how many milliseconds more.
    pub key: Option<(Key, u64)>,
}

/// The answer to a compare-and-set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It was done.
    Done {
        /// The newest position now.
        last: Position,
    },
    /// The line is not what was expected: somebody else was faster. Nothing was changed.
    Moved(State),
    /// There are entries beyond the end of the line: [`Engine::repair`] comes first. Nothing was
    /// changed.
    Repair {
        /// The newest position.
        last: Position,
    },
    /// There is no room. Nothing was changed.
    Full,
}

/// The name of a lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LeaseName {
    /// That a node lives.
    Node,
    /// That a node does what one of the cluster does: `trim`, say. Lower-case letters, digits, `-`.
    Named(Arc<str>),
}

/// A lease to take or renew.
#[derive(Debug, Clone)]
pub struct Lease {
    /// What of.
    pub name: LeaseName,
    /// Who takes it.
    pub holder: Sender,
    /// How long it lasts, by the engine's clock.
    pub ttl_ms: u64,
    /// What the holder leaves: of a node to whoever claims it, of a name to its next holder, in at
    /// most [`NOTE_BYTES_MAX`] bytes. Nothing leaves what it left before. Who does not get the lease
    /// leaves nothing.
    pub record: Option<Arc<[u8]>>,
}

/// The answer to a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leased {
    /// The caller holds it, or has just given it up.
    Held(Note),
    /// Somebody else does: under a name, or because the caller's own node was claimed meanwhile,
    /// when the caller begins anew under another boot.
    HeldBy(Sender, Note),
}

/// What the last holder of a named lease left that left anything, however long ago. Nothing of the
/// lease of a node.
pub type Note = Option<Arc<[u8]>>;

/// Most bytes of the note of a named lease.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;

/// The lease of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLease {
    /// The node and its start.
    pub holder: Sender,
    /// What it left.
    pub record: Arc<[u8]>,
    /// Whether the lease runs.
    pub alive: bool,
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The claimant has it, with the record.
    Won(Arc<[u8]>),
    /// The lease runs.
    Alive,
    /// Somebody else claimed it, or there never was one.
    Gone,
}

/// Why a call has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// The engine was not reached: nothing was sent.
    #[error("the engine cannot be reached")]
    Unreachable {
        /// The fault.
        #[source]
        cause: EngineCause,
    },
    /// The connection broke or the time was over after the call was sent: it may have been done.
    #[error("the engine did not answer")]
    InDoubt {
        /// The fault.
        #[source]
        cause: EngineCause,
    },
    /// The engine refused the call as a whole and did nothing: it is a replica, has too few
    /// replicas, is loading, or does not let this user in.
    #[error("the engine refuses: {reason}")]
    Refused {
        /// What it said, and what to do.
        reason: Arc<str>,
    },
    /// The engine stores or says what no hub wrote: an answer that cannot be read, an entry that is
    /// damaged, a key of another program.
    #[error("the engine holds what no hub of this version wrote: {what}")]
    Foreign {
        /// What.
        what: Arc<str>,
    },
}

/// The fault behind an [`EngineError`].
pub type EngineCause = Arc<dyn Error + Send + Sync>;

impl EngineError {
    /// Returns whether the call may have been done all the same.
    #[must_use]
    pub const fn leaves_doubt(&self) -> bool {
        match self {
            Self::InDoubt { .. } => true,
            Self::Unreachable { .. } | Self::Refused { .. } | Self::Foreign { .. } => false,
        }
    }

    /// Returns the error and its causes as one line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        line
    }
}
