//! The history in an SQLite file: the writing side. Format: `docs/formats/history.md`.
//!
//! The log (`-wal`) is moved into the file by hand: SQLite's own automatic checkpoint hides a
//! failed sync of the file, after which the log must not be overwritten.

mod adopt;
mod failure;
mod files;
mod inspect;
mod log_index;
mod open;
mod reader;
mod row;
mod withdraw;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, params};
use tidings_cluster::Cut;
use tidings_core::{Holder, IdSource, Position, Presence, Print, Topic, Topics, Update};

use super::{Announced, Extent, Mark, PRINTS_KEPT, Storage, StorageError, StorageReader, Upkeep};
use crate::clock::ClockNote;
use crate::options::Order;
use crate::removed::Removed;
use failure::{read_failure, write_failure};
use files::Files;
use log_index::LogIndex;
use reader::{SqliteReader, print_at};

pub use adopt::{AdoptError, Adopted};
pub use inspect::HistoryFile;
pub use open::OpenError;

/// Stores updates in an SQLite file. Holds the lock of the file until it is dropped.
pub struct SqliteStorage {
    // Fields are dropped in this order, so that the connection is closed under the lock.
    connection: Connection,
    index: LogIndex,
    path: PathBuf,
    files: Files,
    order: Order,
    extent: Extent,
    removed: Removed,
    clock: Option<ClockNote>,
    /// The extent after the commit of the group.
    group_end: Option<(Position, Mark, Option<Print>)>,
    durability: Durability,
    /// Pages of the log that the index has room for in this transaction, and about how many were written.
    reserved_pages: u64,
    written_pages: u64,
    /// By about how many pages the log grew since it was last moved into the file.
    log_pages: u64,
    free_space: Upkeep,
    _lock: File,
}

/// Whether a commit waits for the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// It waits: `synchronous=FULL`.
    Synced,
    /// It does not wait, and is durable with the next commit that does: `synchronous=NORMAL`.
    Deferred,
}

impl SqliteStorage {
    /// Opens the history at `path`, or creates it with the order and epoch of `new`.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if it cannot be used, for instance because another hub uses it.
    pub fn open(path: &Path, new: Order) -> Result<Self, OpenError> {
        open::open(path, new)
    }

    /// Prepares a transaction: takes room for the index of the log, and sets how it is committed.
    fn prepare(&mut self, durability: Durability) -> Result<(), StorageError> {
        self.reserved_pages = TRANSACTION_PAGES;
        self.written_pages = 0;
        self.index.reserve(&self.path, self.reserved_pages)?;
        if self.durability == durability {
            return Ok(());
        }
        let pragma = match durability {
            Durability::Synced => "PRAGMA synchronous = FULL",
            Durability::Deferred => "PRAGMA synchronous = NORMAL",
        };
        self.connection
            .execute_batch(pragma)
            .map_err(write_failure)?;
        self.durability = durability;
        Ok(())
    }

    fn execute(&self, sql: &str) -> Result<(), StorageError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(write_failure)?;
        statement.execute([]).map_err(write_failure)?;
        Ok(())
    }

    /// Executes a statement whose parameter is a position. Returns how many rows it changed.
    fn execute_at(&self, sql: &str, position: Position) -> Result<usize, StorageError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(write_failure)?;
        statement
            .execute(params![position.get().cast_signed()])
            .map_err(write_failure)
    }

    fn remove(&self, through: Position, mark: Mark) -> Result<(), StorageError> {
        self.execute("BEGIN IMMEDIATE")?;
        for sql in [FORGET_LEFT_LINE, KEEP_PRINT, DELETE_UPDATES, FORGET_PRINTS] {
            self.execute_at(sql, through)?;
        }
        if matches!(self.order, Order::Relay(_)) {
            self.execute_at(DELETE_NOTES, through)?;
        }
        for (name, value) in [
            ("trimmed_through", through.get()),
            ("trimmed_bytes", mark.bytes_through),
            ("trimmed_updates", mark.updates_through),
            ("trimmed_published_ms", mark.published_ms),
        ] {
            self.set_meta(name, value)?;
        }
        self.execute("COMMIT")
    }

    /// Removes the end of a line, or all of it.
    fn remove_line(&self, cut: Cut) -> Result<(), StorageError> {
        self.execute("BEGIN IMMEDIATE")?;
        let (from, extent) = match cut {
            Cut::After(after) => (after, None),
            Cut::All(after) => {
                self.execute(FORGET_ALL)?;
                (Position::ZERO, Some(self.extent.cut_all(after)))
            }
        };
        for sql in [FORGET_CUT, CUT_UPDATES, CUT_PRINTS, CUT_NOTES] {
            self.execute_at(sql, from)?;
        }
        let (Cut::After(left) | Cut::All(left)) = cut;
        self.set_meta(LEFT_LINE_AT, left.get())?;
        match extent {
            Some(extent) => {
                for (name, value) in [
                    ("trimmed_through", extent.trimmed_through.get()),
                    ("trimmed_bytes", extent.trimmed_mark.bytes_through),
                    ("trimmed_updates", extent.trimmed_mark.updates_through),
                    ("trimmed_published_ms", extent.trimmed_mark.published_ms),
                    ("unprinted_through", extent.unprinted_through.get()),
                    ("presence_trimmed_through", extent.last.get()),
                ] {
                    self.set_meta(name, value)?;
                }
            }
            None => {
                let trimmed = self.extent.presence_trimmed_through.min(from);
                self.set_meta("presence_trimmed_through", trimmed.get())?;
            }
        }
        self.execute("COMMIT")
    }

    fn remove_presence(&self, through: Position, known: &str) -> Result<usize, StorageError> {
        self.execute("BEGIN IMMEDIATE")?;
        self.execute_at(KEEP_PRESENCE_PRINTS, through)?;
        let removed = self.execute_at(DELETE_PRESENCE, through)?;
        let prints_from = self.extent.last.get().saturating_sub(PRINTS_KEPT);
        self.execute_at(FORGET_PRINTS, Position::new(prints_from))?;
        self.set_meta("presence_trimmed_through", through.get())?;
        let mut set = self
            .connection
            .prepare_cached(SET_REMOVED)
            .map_err(write_failure)?;
        set.execute([known]).map_err(write_failure)?;
        self.execute("COMMIT")?;
        Ok(removed)
    }

    fn write_clock(&self, note: ClockNote) -> Result<(), StorageError> {
        self.execute("BEGIN IMMEDIATE")?;
        self.set_meta(CLOCK_OWN, note.own_ms)?;
        self.set_meta(CLOCK_WALL, note.wall_ms)?;
        self.execute("COMMIT")
    }

    fn set_meta(&self, name: &str, value: u64) -> Result<(), StorageError> {
        let mut set = self
            .connection
            .prepare_cached(SET_META)
            .map_err(write_failure)?;
        set.execute(params![name, value.cast_signed()])
            .map_err(write_failure)?;
        Ok(())
    }

    /// Stores what a presence event says about its subscription, in the group of the event.
    fn note(&self, update: &Update, presence: Presence) -> Result<(), StorageError> {
        let topics = row::joined(&update.topics);
        let prepared = |sql| self.connection.prepare_cached(sql).map_err(write_failure);
        let written = match presence {
            Presence::Begins(holder) => {
                let holder = holder.map(Holder::bytes);
                let position = update.position.get().cast_signed();
                let columns = params![topics, &*update.data, holder, update.note, position];
                prepared(NOTE)?.execute(columns)
            }
            Presence::Ends => prepared(FORGET)?.execute([topics]),
        };
        written.map(drop).map_err(write_failure)
    }

    /// Moves the log into the file, except pages whose old versions a reader still needs.
    fn checkpoint(&mut self, mode: &str) -> Result<(), StorageError> {
        let pragma = format!("PRAGMA wal_checkpoint({mode})");
        self.connection
            .query_row(&pragma, [], |_| Ok(()))
            .map_err(write_failure)?;
        self.log_pages = 0;
        Ok(())
    }

    /// Moves a slice of pages from the end of the file into free pages, and truncates the file.
    fn vacuum_slice(&mut self) -> Result<(), StorageError> {
        self.prepare(Durability::Deferred)?;
        let pragma = format!("PRAGMA incremental_vacuum({VACUUM_PAGES})");
        let mut statement = self
            .connection
            .prepare_cached(&pragma)
            .map_err(write_failure)?;
        let mut rows = statement.query([]).map_err(write_failure)?;
        // Each step moves one page.
        while rows.next().map_err(write_failure)?.is_some() {}
        Ok(())
    }

    /// Decides whether enough of the file is free to give back.
    fn look_at_free_space(&mut self) -> Result<(), StorageError> {
        let count = |pragma: &str| {
            let row = self
                .connection
                .query_row(pragma, [], |row| row.get::<_, i64>(0));
            row.map_err(read_failure)
        };
        let free = count("PRAGMA freelist_count")?;
        let slack = FREE_PAGES_MIN.max(count("PRAGMA page_count")? / 8);
        let due = free > slack;
        if self.free_space == Upkeep::Due && !due {
            // The file shrinks when the log is moved into it.
            self.log_pages = self.log_pages.max(CHECKPOINT_PAGES);
        }
        self.free_space = if due { Upkeep::Due } else { Upkeep::None };
        Ok(())
    }
}

impl Storage for SqliteStorage {
    fn order(&self) -> Order {
        self.order
    }

    fn extent(&self) -> Extent {
        self.extent
    }

    fn begin(&mut self) -> Result<(), StorageError> {
        self.group_end = None;
        self.prepare(Durability::Synced)?;
        self.execute("BEGIN IMMEDIATE")
    }

    fn insert(&mut self, update: &Arc<Update>, mark: Mark) -> Result<(), StorageError> {
        self.written_pages += PAGES_PER_UPDATE + update.bytes() / PAGE_BYTES;
        if self.written_pages > self.reserved_pages {
            self.reserved_pages = self.written_pages * 2;
            self.index.reserve(&self.path, self.reserved_pages)?;
        }
        let mut statement = self
            .connection
            .prepare_cached(row::INSERT)
            .map_err(write_failure)?;
        row::insert(&mut statement, update, mark).map_err(write_failure)?;
        if let Some(presence) = update.presence {
            self.note(update, presence)?;
            self.log_pages += 1;
        }
        let before = self
            .group_end
            .map_or(self.extent.last_mark, |(_, mark, _)| mark);
        let bytes = mark.bytes_through.saturating_sub(before.bytes_through);
        self.log_pages += bytes / PAGE_BYTES;
        if update.id_source == IdSource::Publisher {
            // Writes to the index of publishers' ids are scattered.
            self.log_pages += 1;
        }
        self.group_end = Some((update.position, mark, update.print));
        Ok(())
    }

    fn insert_note(&mut self, position: Position, note: &[u8]) -> Result<(), StorageError> {
        let mut statement = self
            .connection
            .prepare_cached(INSERT_NOTE)
            .map_err(write_failure)?;
        statement
            .execute(params![position.get().cast_signed(), note])
            .map_err(write_failure)?;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StorageError> {
        self.execute("COMMIT")?;
        self.log_pages += 2;
        // After the sync. Otherwise updates could be acknowledged although a file was replaced before it.
        self.files.check()?;
        if let Some((last, last_mark, last_print)) = self.group_end.take() {
            self.extent.last = last;
            self.extent.last_mark = last_mark;
            self.extent.last_print = last_print;
        }
        Ok(())
    }

    fn rollback(&mut self) -> Result<(), StorageError> {
        self.group_end = None;
        // After some faults SQLite has dropped the group itself.
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.execute("ROLLBACK")
    }

    fn mark(&mut self, position: Position) -> Result<Option<Mark>, StorageError> {
        let mut statement = self.connection.prepare_cached(MARK).map_err(read_failure)?;
        let row = statement.query_row([position.get().cast_signed()], |row| {
            Ok(Mark {
                published_ms: row.get::<_, i64>(0)?.cast_unsigned(),
                bytes_through: row.get::<_, i64>(1)?.cast_unsigned(),
                updates_through: row.get::<_, i64>(2)?.cast_unsigned(),
            })
        });
        row.optional().map_err(read_failure)
    }

    fn print(&mut self, position: Position) -> Result<Option<Print>, StorageError> {
        print_at(&self.connection, position)
    }

    fn trim(&mut self, through: Position, mark: Mark) -> Result<(), StorageError> {
        self.prepare(Durability::Deferred)?;
        if let Err(fault) = self.remove(through, mark) {
            self.rollback()?;
            return Err(fault);
        }
        let before = self.extent.trimmed_mark.bytes_through;
        let bytes = mark.bytes_through.saturating_sub(before);
        self.log_pages += 4 + bytes / PAGE_BYTES;
        self.extent.trimmed_through = through;
        self.extent.trimmed_mark = mark;
        Ok(())
    }

    fn withdraw(
        &mut self,
        topic: &Topic,
        after: Position,
        through: Position,
    ) -> Result<u64, StorageError> {
        self.prepare(Durability::Synced)?;
        match self.withdraw_rows(topic, after, through) {
            Ok(updates) => {
                self.files.check()?;
                if updates > 0 {
                    // What was withdrawn leaves the log soon.
                    self.log_pages = CHECKPOINT_PAGES;
                }
                Ok(updates)
            }
            Err(fault) => {
                self.rollback()?;
                Err(fault)
            }
        }
    }

    fn cut(&mut self, cut: Cut) -> Result<(), StorageError> {
        self.prepare(Durability::Synced)?;
        if let Err(fault) = self.remove_line(cut) {
            self.rollback()?;
            return Err(fault);
        }
        self.files.check()?;
        self.extent = open::extent(&self.connection)?;
        self.removed = open::removed(&self.connection, &self.extent)?;
        self.log_pages = CHECKPOINT_PAGES;
        Ok(())
    }

    fn presence(&mut self, through: Position) -> Result<Vec<(Position, Topics)>, StorageError> {
        let mut statement = self
            .connection
            .prepare_cached(PRESENCE)
            .map_err(read_failure)?;
        let mut rows = statement
            .query([through.get().cast_signed()])
            .map_err(read_failure)?;
        let mut events = Vec::new();
        while let Some(row) = rows.next().map_err(read_failure)? {
            events.push(row::read_place(row)?);
        }
        Ok(events)
    }

    fn trim_presence(&mut self, removed: &Removed) -> Result<(), StorageError> {
        self.prepare(Durability::Deferred)?;
        let known = removed.encode();
        match self.remove_presence(removed.through(), &known) {
            Ok(count) => {
                self.log_pages += 4 + count as u64 + known.len() as u64 / PAGE_BYTES;
                self.extent.presence_trimmed_through = removed.through();
                self.removed = removed.clone();
                Ok(())
            }
            Err(fault) => {
                self.rollback()?;
                Err(fault)
            }
        }
    }

    fn removed(&self) -> Removed {
        self.removed.clone()
    }

    fn announced(&mut self) -> Result<Vec<Announced>, StorageError> {
        let mut statement = self.connection.prepare(NOTED).map_err(read_failure)?;
        let mut rows = statement.query([]).map_err(read_failure)?;
        let mut announced = Vec::new();
        while let Some(row) = rows.next().map_err(read_failure)? {
            announced.push(row::read_noted(row)?);
        }
        Ok(announced)
    }

    fn left_line_at(&mut self) -> Result<Option<Position>, StorageError> {
        open::left_line_at(&self.connection)
    }

    fn for_hubs(&mut self) -> Result<Vec<Arc<Update>>, StorageError> {
        let mut statement = self.connection.prepare(FOR_HUBS).map_err(read_failure)?;
        let mut rows = statement.query([]).map_err(read_failure)?;
        let mut messages = Vec::new();
        while let Some(row) = rows.next().map_err(read_failure)? {
            messages.push(Arc::new(row::read(row)?));
        }
        Ok(messages)
    }

    fn clock(&self) -> Option<ClockNote> {
        self.clock
    }

    fn note_clock(&mut self, note: ClockNote) -> Result<(), StorageError> {
        self.prepare(Durability::Deferred)?;
        if let Err(fault) = self.write_clock(note) {
            self.rollback()?;
            return Err(fault);
        }
        self.log_pages += 1;
        self.clock = Some(note);
        Ok(())
    }

    fn probe(&mut self) -> Result<(), StorageError> {
        // Without some room in reserve, the next large update would fail at once, and health
        // would change every second.
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        if let Ok(space) = rustix::fs::statvfs(folder)
            && space.f_bavail.saturating_mul(space.f_frsize) < SPARE_BYTES_MIN
        {
            return Err(StorageError::Full);
        }
        self.prepare(Durability::Synced)?;
        self.execute("BEGIN IMMEDIATE")?;
        let written = self
            .connection
            .execute(
                "UPDATE meta SET value = value + 1 WHERE name = 'probes'",
                [],
            )
            .map_err(write_failure)
            .and_then(|_| self.execute("COMMIT"));
        if let Err(fault) = written {
            self.rollback()?;
            return Err(fault);
        }
        self.log_pages += 1;
        Ok(())
    }

    fn check(&mut self) -> Result<(), StorageError> {
        self.files.check()?;
        self.look_at_free_space()
    }

    fn upkeep(&self) -> Upkeep {
        if self.log_pages >= CHECKPOINT_PAGES {
            Upkeep::Due
        } else {
            self.free_space
        }
    }

    fn maintain(&mut self) -> Result<(), StorageError> {
        if self.log_pages >= CHECKPOINT_PAGES {
            return self.checkpoint("PASSIVE");
        }
        if self.free_space == Upkeep::Due {
            self.vacuum_slice()?;
            self.log_pages += VACUUM_PAGES;
            return self.look_at_free_space();
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), StorageError> {
        self.prepare(Durability::Synced)?;
        self.checkpoint("TRUNCATE")?;
        // Lets the close of the connection remove the empty log.
        self.connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
            .map_err(write_failure)?;
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn StorageReader>, StorageError> {
        Ok(Box::new(SqliteReader::open(&self.path, &self.index)?))
    }

    fn shared_reader(&self) -> Result<Option<Box<dyn StorageReader>>, StorageError> {
        match &self.index {
            LogIndex::Shared { .. } => Ok(Some(self.reader()?)),
            LogIndex::Private => Ok(None),
        }
    }
}

/// Bytes of a page of the file.
const PAGE_BYTES: u64 = 4096;

/// The log is moved into the file once it has grown by about this many pages (4 MiB).
const CHECKPOINT_PAGES: u64 = 1000;

/// Pages that a transaction may write before it takes more room in the index of the log. Enough for maintenance,
/// and for many small updates.
const TRANSACTION_PAGES: u64 = 4096;

/// Pages that an update changes beside those of its data: pages of the tables and their indexes.
const PAGES_PER_UPDATE: u64 = 8;

/// Pages that one slice of maintenance moves.
const VACUUM_PAGES: u64 = 256;

/// Free pages that stay in the file for the next updates. Or an eighth of the file, if that is more.
const FREE_PAGES_MIN: i64 = 256;

/// Free bytes that the disk must have before a history that refused updates accepts them again.
const SPARE_BYTES_MIN: u64 = 1024 * 1024;

const MARK: &str = "SELECT published_ms, bytes_through, position - presence_through FROM updates \
    WHERE position <= ?1 ORDER BY position DESC LIMIT 1";
const KEEP_PRINT: &str = "INSERT OR REPLACE INTO prints (position, print) \
    SELECT position, print FROM updates WHERE position = ?1 AND print IS NOT NULL";
const KEEP_PRESENCE_PRINTS: &str = "INSERT OR REPLACE INTO prints (position, print) \
    SELECT position, print FROM updates \
    WHERE presence IS NOT NULL AND print IS NOT NULL AND position <= ?1";
const FORGET_PRINTS: &str = "DELETE FROM prints WHERE position < ?1";
const DELETE_UPDATES: &str = "DELETE FROM updates WHERE position <= ?1";
const DELETE_PRESENCE: &str = "DELETE FROM updates WHERE presence IS NOT NULL AND position <= ?1";
/// A subscription whose begin is cut was not said to have begun. One whose end is cut is not there
/// any more: who published that end publishes it again.
const FORGET_CUT: &str = "DELETE FROM subscriptions WHERE topics IN \
    (SELECT topics FROM updates WHERE presence = 1 AND position > ?1)";
/// Nothing is known of what ended meanwhile.
const FORGET_ALL: &str = "DELETE FROM subscriptions";
/// The message after it can have been the roll call that it is kept for.
const FORGET_LEFT_LINE: &str = "DELETE FROM meta WHERE name = 'left_line_at' AND value < \
    (SELECT max(position) FROM updates WHERE private = 3 AND presence IS NULL AND position <= ?1)";
const CUT_UPDATES: &str = "DELETE FROM updates WHERE position > ?1";
const CUT_PRINTS: &str = "DELETE FROM prints WHERE position > ?1";
const CUT_NOTES: &str = "DELETE FROM notes WHERE position > ?1";
const DELETE_NOTES: &str = "DELETE FROM notes WHERE position <= ?1";
const INSERT_NOTE: &str = "INSERT INTO notes (position, note) VALUES (?1, ?2)";
/// Events for hubs alone (`private` 3) are nobody's gap.
const PRESENCE: &str = "SELECT position, topics FROM updates \
    WHERE presence IS NOT NULL AND private <> 3 AND position <= ?1 ORDER BY position";
const FOR_HUBS: &str = "SELECT position, published_ms, id, own_id, topics, type, \
    retry_ms, private, data, presence, print, trace FROM updates \
    WHERE private = 3 AND presence IS NULL ORDER BY position";
const SET_REMOVED: &str =
    "INSERT OR REPLACE INTO meta (name, value) VALUES ('presence_removed', ?1)";
const SET_META: &str = "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)";
/// Older versions did not note it.
const LEFT_LINE_AT: &str = "left_line_at";
const CLOCK_OWN: &str = "clock_ms";
const CLOCK_WALL: &str = "clock_wall_ms";
const NOTE: &str = "INSERT OR REPLACE INTO subscriptions (topics, data, holder, note, position) \
    VALUES (?1, ?2, ?3, ?4, ?5)";
const FORGET: &str = "DELETE FROM subscriptions WHERE topics = ?1";
const NOTED: &str = "SELECT topics, data, holder, note, position FROM subscriptions";
