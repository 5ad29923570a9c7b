//! The interface between the history's rules and its storage.
//!
//! Only the writer uses [`Storage`], and only the reader uses [`StorageReader`], each on one
//! thread. Implementations: `sqlite` (the file), `memory`, and `nothing`. Simulated storages inject
//! faults.

mod memory;
mod nothing;
mod sqlite;

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use tidings_cluster::Cut;
use tidings_core::{Holder, Position, Print, Topic, Topics, Update};

use crate::clock::ClockNote;
use crate::options::Order;
use crate::removed::Removed;

pub use memory::MemoryStorage;
pub use nothing::NoStorage;
pub use sqlite::{AdoptError, Adopted, HistoryFile, OpenError, SqliteStorage};

/// Keeps updates in order of position. Blocks on the disk: only the writer calls it.
///
/// Between [`begin`](Self::begin) and [`commit`](Self::commit) or [`rollback`](Self::rollback)
/// come [`insert`](Self::insert) only. The default methods suit a storage without files.
pub trait Storage: Send {
    /// Returns who orders the updates, and the epoch, as decided when this history was created.
    fn order(&self) -> Order;

    /// Returns which positions are stored, as of the last commit and removal. Cheap.
    fn extent(&self) -> Extent;

    /// Starts a group.
    ///
    /// # Errors
    ///
    /// [`StorageError`]. The group is not started.
    fn begin(&mut self) -> Result<(), StorageError>;

    /// Adds `update` to the group. Its position follows the previous one without a gap.
    ///
    /// A presence event is also noted: [`announced`](Self::announced) returns those
    /// that began and did not end.
    ///
    /// # Errors
    ///
    /// [`StorageError`]. The group must be rolled back.
    fn insert(&mut self, update: &Arc<Update>, mark: Mark) -> Result<(), StorageError>;

    /// Adds what a relay keeps beside the update that was inserted last. A storage that keeps no
    /// updates keeps none of it.
    ///
    /// # Errors
    ///
    /// [`StorageError`]. The group must be rolled back.
    fn insert_note(&mut self, _position: Position, _note: &[u8]) -> Result<(), StorageError> {
        Ok(())
    }

    /// Makes the group durable: when this returns, a crash of the machine does not lose it.
    ///
    /// # Errors
    ///
    /// [`StorageError`]. The group must be rolled back. If it
    /// [leaves doubt](StorageError::leaves_doubt), nothing may be written any more.
    fn commit(&mut self) -> Result<(), StorageError>;

    /// Drops the group in progress, if there is one.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if the group may still exist. Nothing may be written any more.
    fn rollback(&mut self) -> Result<(), StorageError>;

    /// Returns the mark of the newest stored update up to `position`, if there is one.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if it cannot be read.
    fn mark(&mut self, position: Position) -> Result<Option<Mark>, StorageError>;

    /// Returns the print at `position`, as [`StorageReader::print`] does.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if it cannot be read.
    fn print(&mut self, position: Position) -> Result<Option<Print>, StorageError>;

    /// Removes every update up to and including `through`, whose mark is `mark`, and their prints
    /// except the one at `through`.
    ///
    /// A crash may undo the removal. It is then repeated.
    ///
    /// # Errors
    ///
    /// [`StorageError`]. Nothing was removed.
    fn trim(&mut self, through: Position, mark: Mark) -> Result<(), StorageError>;

    /// Withdraws the updates after `after`, up to `through`, that have `topic`: what stays of each
    /// is [`Update::withdrawn`], at its position. Presence events are not affected. When this
    /// returns, a crash of the machine does not undo it. Returns how many there were.
    ///
    /// # Errors
    ///
    /// [`StorageError`]. Nothing was changed, unless it leaves doubt.
    fn withdraw(
        &mut self,
        topic: &Topic,
        after: Position,
        through: Position,
    ) -> Result<u64, StorageError>;

    /// Leaves a line: removes updates at its end, or all of them, with their prints and notes.
    /// After [`Cut::All`] the extent has the position, the mark of the last update and no print.
    /// When this returns, a crash of the machine does not undo it.
    ///
    /// # Errors
    ///
    /// [`StorageError`]; nothing was removed, unless it leaves doubt.
    fn cut(&mut self, cut: Cut) -> Result<(), StorageError>;

    /// Returns the stored presence events up to and including `through`, oldest first: their
    /// positions and topics.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if they cannot be read.
    fn presence(&mut self, through: Position) -> Result<Vec<(Position, Topics)>, StorageError>;

    /// Removes the presence events up to and including
    /// [`removed.through()`](Removed::through), no other updates, and stores the summary. The newest
    /// position is never among them. The prints of at least the last [`PRINTS_KEPT`] positions stay.
    ///
    /// # Errors
    ///
    /// [`StorageError`]. Nothing was removed.
    fn trim_presence(&mut self, removed: &Removed) -> Result<(), StorageError>;

    /// Returns the summary of removed presence events.
    fn removed(&self) -> Removed {
        Removed::unknown(self.extent().presence_trimmed_through)
    }

    /// Returns the subscriptions that were announced and not ended. Empty for a storage that ends with
    /// its process.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if they cannot be read.
    fn announced(&mut self) -> Result<Vec<Announced>, StorageError> {
        Ok(Vec::new())
    }

    /// Returns the newest update that was left by the last [`cut`](Self::cut). Nothing if there was none, or
    /// if [`trim`](Self::trim) has removed a message for hubs that came after it, and for a storage that
    /// ends with its process.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if it cannot be read.
    fn left_line_at(&mut self) -> Result<Option<Position>, StorageError> {
        Ok(None)
    }

    /// Returns the stored messages for hubs, oldest first. Empty for a storage that ends with its
    /// process.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if they cannot be read.
    fn for_hubs(&mut self) -> Result<Vec<Arc<Update>>, StorageError> {
        Ok(Vec::new())
    }

    /// Returns the last stored note of the history's time and the machine's clock.
    fn clock(&self) -> Option<ClockNote> {
        None
    }

    /// Stores a note of the history's time. A crash may undo it.
    ///
    /// # Errors
    ///
    /// [`StorageError`]. The earlier note stays.
    fn note_clock(&mut self, _note: ClockNote) -> Result<(), StorageError> {
        Ok(())
    }

    /// Finds out with a small write whether writes succeed.
    ///
    /// # Errors
    ///
    /// [`StorageError`]: the fault persists.
    fn probe(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    /// Checks the storage about once a second: for instance that the file was not replaced.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if something is wrong.
    fn check(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    /// Returns whether [`maintain`](Self::maintain) has something to do. Cheap.
    fn upkeep(&self) -> Upkeep {
        Upkeep::None
    }

    /// Does one bounded slice of maintenance: moves the log into the file, or gives space back.
    ///
    /// # Errors
    ///
    /// [`StorageError`]. No update is lost unless the error leaves doubt.
    fn maintain(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    /// Cleans up before the process ends.
    ///
    /// # Errors
    ///
    /// [`StorageError`]. What was committed stays committed.
    fn close(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    /// Opens the reading side, for another thread.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if it cannot be opened.
    fn reader(&self) -> Result<Box<dyn StorageReader>, StorageError>;

    /// Opens a reading side that also sees what another process commits after this storage was
    /// dropped. Returns nothing where no other process can open the storage.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if it cannot be opened.
    fn shared_reader(&self) -> Result<Option<Box<dyn StorageReader>>, StorageError> {
        Ok(None)
    }
}

/// Reads committed updates, concurrently with the writer.
pub trait StorageReader: Send {
    /// Appends the stored updates `from..=through` to `updates`, oldest first.
    ///
    /// Stops after the update that reaches `bytes_max`. Updates that retention removed
    /// are missing at the front only, presence events everywhere up to
    /// [`presence_trimmed_through`](Extent::presence_trimmed_through).
    ///
    /// # Errors
    ///
    /// [`StorageError`] if they cannot be read.
    fn read(
        &mut self,
        from: Position,
        through: Position,
        bytes_max: u64,
        updates: &mut Vec<Arc<Update>>,
    ) -> Result<(), StorageError>;

    /// Returns the position of the earliest stored update to which its publisher gave the id `id`.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if it cannot be read.
    fn find(&mut self, id: &str) -> Result<Option<Position>, StorageError>;

    /// Returns the print at `position`. The prints of removed presence events and of the last removed
    /// update are stored too. None if there is no print.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if it cannot be read.
    fn print(&mut self, position: Position) -> Result<Option<Print>, StorageError>;

    /// Returns what a relay keeps beside the update at `position`.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if it cannot be read.
    fn note(&mut self, _position: Position) -> Result<Option<Arc<[u8]>>, StorageError> {
        Ok(None)
    }
}

/// Positions, back from the newest, whose prints stay although their presence events were removed. So
/// a subscriber that resumes at such an event gets a correct answer.
pub const PRINTS_KEPT: u64 = 1_000_000;

/// Which positions are stored: those after `trimmed_through`, up to `last`, except the presence
/// events up to `presence_trimmed_through`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Every position up to this one was removed. [`Position::ZERO`] if none was.
    pub trimmed_through: Position,
    /// The mark of the update at `trimmed_through`.
    pub trimmed_mark: Mark,
    /// The newest update. [`Position::ZERO`] if there never was one.
    pub last: Position,
    /// The mark of the newest update, even if it was removed.
    pub last_mark: Mark,
    /// The print of the newest update, even if it was removed.
    pub last_print: Option<Print>,
    /// Updates up to this position have no print: an earlier version of the hub wrote them.
    pub unprinted_through: Position,
    /// Every presence event up to this position was removed.
    pub presence_trimmed_through: Position,
}

impl Extent {
    /// Returns what is left of this after [`Cut::All`] at `after`.
    #[must_use]
    pub const fn cut_all(self, after: Position) -> Self {
        Self {
            trimmed_through: after,
            trimmed_mark: self.last_mark,
            last: after,
            last_mark: self.last_mark,
            last_print: None,
            unprinted_through: after,
            presence_trimmed_through: after,
        }
    }

    /// A history without updates.
    pub const EMPTY: Self = Self {
        trimmed_through: Position::ZERO,
        trimmed_mark: Mark::ZERO,
        last: Position::ZERO,
        last_mark: Mark::ZERO,
        last_print: None,
        unprinted_through: Position::ZERO,
        presence_trimmed_through: Position::ZERO,
    };
}

/// What retention needs to know of an update. Neither field decreases along the positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// When it was committed by the history's own time, in milliseconds since the Unix epoch.
    pub published_ms: u64,
    /// Bytes of all updates from the first of the history through this one, without presence
    /// events.
    pub bytes_through: u64,
    /// Number of updates from the first of the history through this one, without presence
    /// events.
    pub updates_through: u64,
}

impl Mark {
    /// The mark before the first update.
    pub const ZERO: Self = Self {
        published_ms: 0,
        bytes_through: 0,
        updates_through: 0,
    };

    /// Returns the mark of `update`, which comes right after the one that this mark is of.
    #[must_use]
    pub fn after(self, update: &Update) -> Self {
        let ordinary = update.presence.is_none();
        Self {
            published_ms: update.published_ms,
            bytes_through: self.bytes_through.saturating_add(if ordinary {
                update.bytes()
            } else {
                0
            }),
            updates_through: self.updates_through + u64::from(ordinary),
        }
    }
}

/// A subscription that was said to have begun, in the words of that event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// The event's topics.
    pub topics: Topics,
    /// The event's data.
    pub data: Arc<str>,
    /// Who holds it, if that may be recognised.
    pub holder: Option<Holder>,
    /// What the relay stored beside the event.
    pub note: Option<Arc<[u8]>>,
    /// Where the event is in the order. None in a file of an earlier version.
    pub position: Option<Position>,
}

/// Whether there is upkeep to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upkeep {
    /// Nothing to do.
    None,
    /// [`Storage::maintain`] should be called soon.
    Due,
}

/// A fault of the storage.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No space is left, or less than the history needs to be safe.
    #[error("no space is left on the disk of the history")]
    Full,
    /// Writing failed. What was committed before is whole.
    #[error("the history cannot be written")]
    Unwritable(#[source] Cause),
    /// Reading failed.
    #[error("the history cannot be read")]
    Unreadable(#[source] Cause),
    /// What is stored is not what the history wrote.
    #[error("the history is damaged")]
    Damaged(#[source] Cause),
    /// A sync failed. What was written since the one before may be lost, although later syncs
    /// succeed, so none of it may be built upon.
    #[error("the history could not be synced to the disk")]
    SyncFailed(#[source] Cause),
    /// A group that failed could not be dropped, so it might be committed with a later one.
    #[error("a group of updates that failed could not be dropped from the history")]
    NotRolledBack(#[source] Cause),
    /// A file was removed or replaced while the hub wrote to it.
    #[error(
        "the history's file {path} was removed or replaced while the hub ran: stop the hub before \
         its files are touched"
    )]
    Replaced {
        /// Which file.
        path: PathBuf,
    },
}

/// The lower fault behind a [`StorageError`].
pub type Cause = Box<dyn Error + Send + Sync>;

impl StorageError {
    /// Returns whether nothing may be acknowledged any more after this error.
    #[must_use]
    pub fn leaves_doubt(&self) -> bool {
        match self {
            Self::SyncFailed(_)
            | Self::NotRolledBack(_)
            | Self::Damaged(_)
            | Self::Replaced { .. } => true,
            Self::Full | Self::Unwritable(_) | Self::Unreadable(_) => false,
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
