//! Opens or creates the file: lock, header, pragmas, tables, version.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use tidings_cluster::Epoch;
use tidings_core::Position;

use crate::clock::ClockNote;
use crate::options::Order;
use crate::removed::Removed;
use crate::storage::{Extent, Mark, Storage, StorageError, Upkeep};

use super::failure::{read_failure, write_failure};
use super::files::{Files, lock_path, real_path};
use super::log_index::LogIndex;
use super::reader::print_at;
use super::{CLOCK_OWN, CLOCK_WALL, Durability, LEFT_LINE_AT, SqliteStorage};

/// Why a history could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder of the file is missing and cannot be created.
    #[error("the folder {path} of the history cannot be created")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process holds the lock of the file.
    #[error("another hub{} uses the history {path}", .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    InUse {
        /// The file.
        path: PathBuf,
        /// The id of the other process, if it wrote it into the lock file.
        pid: Option<u32>,
    },
    /// The file, or the lock beside it, cannot be opened for writing.
    #[error("the history {path} cannot be opened for writing")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no file, or it cannot be opened for reading.
    #[error("the history {path} cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not a history.
    #[error("{path} is not a history of Tidings")]
    NotAHistory {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later version.
    #[error("the history {path} has format {found}, and this version reads up to format {FORMAT}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The file was written by an earlier version, which only a hub may change.
    #[error(
        "the history {path} has format {found}, and this command reads format {FORMAT}: start a hub of \
         this version once to upgrade it"
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// The format that it has.
        found: u32,
    },
    /// The storage has a fault.
    #[error("the history {path} cannot be used")]
    Storage {
        /// The file.
        path: PathBuf,
        /// The fault.
        #[source]
        source: StorageError,
    },
}

pub(super) fn open(path: &Path, new: Order) -> Result<SqliteStorage, OpenError> {
    let in_storage = |source| OpenError::Storage {
        path: path.into(),
        source,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|source| OpenError::Folder {
            path: folder.into(),
            source,
        })?;
    }
    let in_file = |source| OpenError::File {
        path: path.into(),
        source,
    };
    // All names of one file share one lock.
    let path = &*real_path(path).map_err(in_file)?;
    let lock = lock(path)?;
    // The file contains private updates and the key of the event ids, so nobody else may read it. SQLite gives
    // the files beside it the same permissions.
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(in_file)?;
    let mut header = Vec::new();
    (&file)
        .take(HEADER.len() as u64)
        .read_to_end(&mut header)
        .map_err(in_file)?;
    if !header.is_empty() && header != HEADER {
        return Err(OpenError::NotAHistory { path: path.into() });
    }
    // Closing any handle of a file drops the locks that SQLite holds on it in this process, so
    // this one is closed before SQLite opens the file.
    drop(file);
    let (connection, index) = connect(path, header.is_empty()).map_err(in_storage)?;
    prepare(&connection, path, new)?;
    let order = order(&connection).map_err(in_storage)?;
    let extent = extent(&connection).map_err(in_storage)?;
    let removed = removed(&connection, &extent).map_err(in_storage)?;
    let clock = clock(&connection).map_err(in_storage)?;
    let mut storage = SqliteStorage {
        connection,
        index,
        path: path.into(),
        files: Files::new(path).map_err(in_storage)?,
        order,
        extent,
        removed,
        clock,
        group_end: None,
        durability: Durability::Synced,
        reserved_pages: 0,
        written_pages: 0,
        // What a crash left in the log is soon moved into the file.
        log_pages: super::CHECKPOINT_PAGES,
        free_space: Upkeep::None,
        _lock: lock,
    };
    match storage.probe() {
        // The writer refuses updates until there is room. The reader serves what is stored.
        Ok(()) | Err(StorageError::Full) => Ok(storage),
        Err(source) => Err(OpenError::Storage {
            path: path.into(),
            source,
        }),
    }
}

/// Opens an existing file for reading alone, without its lock.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, OpenError> {
    let in_storage = |source| OpenError::Storage {
        path: path.into(),
        source,
    };
    // SQLite's own error does not say why.
    File::open(path).map_err(|source| OpenError::Unreadable {
        path: path.into(),
        source,
    })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags_and_vfs(path, flags, SHARED_VFS)
        .map_err(|error| in_storage(read_failure(error)))?;
    connection
        .busy_timeout(BUSY_WAIT)
        .map_err(|error| in_storage(read_failure(error)))?;
    match format(&connection) {
        Ok(Format::Version(FORMAT)) => Ok(connection),
        Ok(Format::None | Format::Foreign) => Err(OpenError::NotAHistory { path: path.into() }),
        Ok(Format::Version(found)) if found < FORMAT => Err(OpenError::Older {
            path: path.into(),
            found,
        }),
        Ok(Format::Version(found)) => Err(OpenError::Newer {
            path: path.into(),
            found,
        }),
        Err(StorageError::Damaged(_)) => Err(OpenError::NotAHistory { path: path.into() }),
        Err(fault) => Err(in_storage(fault)),
    }
}

/// Takes the lock of the history. It ends with the process, even after a crash.
fn lock(path: &Path) -> Result<File, OpenError> {
    let lock_path = lock_path(path);
    let in_lock = |source| OpenError::File {
        path: lock_path.clone(),
        source,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path)
        .map_err(in_lock)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Without the id the error is still correct.
            let pid = match (&file).take(20).read_to_string(&mut text) {
                Ok(_) => text.trim().parse().ok(),
                Err(_) => None,
            };
            return Err(OpenError::InUse {
                path: path.into(),
                pid,
            });
        }
        Err(TryLockError::Error(source)) => return Err(in_lock(source)),
    }
    // The id only improves the error above. A full disk may refuse the write.
    if file.set_len(0).is_ok() && writeln!(file, "{}", std::process::id()).is_err() {
        tracing::debug!(path = %lock_path.display(), "cannot write the process id to the lock file");
    }
    Ok(file)
}

/// Opens the file with SQLite. On a full disk there may be no room for the index that SQLite shares with other
/// programs. Then the file is opened for this process alone.
fn connect(path: &Path, new: bool) -> Result<(Connection, LogIndex), StorageError> {
    if LogIndex::fits(path) {
        let connection = connect_by(SHARED_VFS, path, new)?;
        match LogIndex::shared(path) {
            Ok(index) => return Ok((connection, index)),
            // Another process created it first.
            Err(StorageError::Full) => {}
            Err(fault) => return Err(fault),
        }
    }
    tracing::warn!(
        path = %path.display(),
        "the history's disk is full: no other program can read the history until the next start"
    );
    Ok((connect_by(PRIVATE_VFS, path, new)?, LogIndex::Private))
}

fn connect_by(vfs: &CStr, path: &Path, new: bool) -> Result<Connection, StorageError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags_and_vfs(path, flags, vfs).map_err(write_failure)?;
    connection.busy_timeout(BUSY_WAIT).map_err(write_failure)?;
    connection.set_prepared_statement_cache_capacity(32);
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(write_failure)?;
    // The page size and the vacuum can only be chosen while the file is empty, before the log. Choosing
    // the vacuum again writes, for which there may be no room.
    if new {
        let pragmas = "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL";
        connection.execute_batch(pragmas).map_err(write_failure)?;
    }
    let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0));
    let mode: String = mode.map_err(write_failure)?;
    if mode != "wal" {
        let cause = "its file system cannot share memory between connections";
        return Err(StorageError::Unwritable(cause.into()));
    }
    for pragma in [
        "PRAGMA synchronous = FULL",
        "PRAGMA wal_autocheckpoint = 0",
        "PRAGMA journal_size_limit = 16777216",
        "PRAGMA cache_size = -8192",
        "PRAGMA temp_store = MEMORY",
    ] {
        connection.execute_batch(pragma).map_err(write_failure)?;
    }
    Ok(connection)
}

/// Makes a new file a history, and upgrades an older one to this version's format.
fn prepare(connection: &Connection, path: &Path, new: Order) -> Result<(), OpenError> {
    let prepared = match format(connection) {
        Ok(Format::None) => create(connection, new)
            .and_then(|()| add_presence(connection))
            .and_then(|()| add_prints(connection)),
        Ok(Format::Foreign) => return Err(OpenError::NotAHistory { path: path.into() }),
        Ok(Format::Version(FORMAT)) => Ok(()),
        // A crash during the creation of a file leaves this format, too.
        Ok(Format::Version(FORMAT_WITHOUT_PRESENCE)) => {
            add_presence(connection).and_then(|()| add_prints(connection))
        }
        Ok(Format::Version(FORMAT_WITHOUT_PRINTS)) => add_prints(connection),
        Ok(Format::Version(found)) => {
            return Err(OpenError::Newer {
                path: path.into(),
                found,
            });
        }
        Err(fault) => Err(fault),
    };
    let prepared = prepared
        .and_then(|()| add_columns(connection))
        .and_then(|()| add_index(connection))
        .and_then(|()| add_notes(connection));
    prepared.map_err(|source| OpenError::Storage {
        path: path.into(),
        source,
    })
}

enum Format {
    /// The file has no table at all: it is new, or its creation was cut short.
    None,
    /// The file has tables of another program.
    Foreign,
    Version(u32),
}

fn format(connection: &Connection) -> Result<Format, StorageError> {
    let count = "SELECT count(*) FROM sqlite_schema WHERE name IN ('meta', 'updates')";
    let ours: i64 = connection
        .query_row(count, [], |row| row.get(0))
        .map_err(read_failure)?;
    let all = "SELECT count(*) FROM sqlite_schema";
    let all: i64 = connection
        .query_row(all, [], |row| row.get(0))
        .map_err(read_failure)?;
    let application = connection.query_row("PRAGMA application_id", [], |row| row.get::<_, i64>(0));
    let application = application.map_err(read_failure)?;
    if all == 0 && application == 0 {
        return Ok(Format::None);
    }
    if ours == 0 || application != APPLICATION_ID {
        return Ok(Format::Foreign);
    }
    Ok(Format::Version(
        u32::try_from(meta(connection, "format")?).unwrap_or(u32::MAX),
    ))
}

fn create(connection: &Connection, order: Order) -> Result<(), StorageError> {
    let tables = format!(
        "BEGIN IMMEDIATE;
        PRAGMA application_id = {APPLICATION_ID};
        CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
        CREATE TABLE updates (
            position INTEGER PRIMARY KEY,
            published_ms INTEGER NOT NULL,
            id TEXT NOT NULL,
            own_id INTEGER NOT NULL,
            topics TEXT NOT NULL,
            type TEXT,
            retry_ms INTEGER,
            private INTEGER NOT NULL,
            data TEXT NOT NULL,
            bytes_through INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX updates_own_id ON updates (id, position) WHERE own_id = 1;"
    );
    connection.execute_batch(&tables).map_err(write_failure)?;
    let insert = "INSERT INTO meta (name, value) VALUES (?1, ?2)";
    for (name, value) in [
        ("format", i64::from(FORMAT_WITHOUT_PRESENCE)),
        ("trimmed_through", 0),
        ("trimmed_bytes", 0),
        ("trimmed_published_ms", 0),
        ("probes", 0),
    ] {
        connection
            .execute(insert, params![name, value])
            .map_err(write_failure)?;
    }
    connection
        .execute(insert, params!["epoch", order.epoch().secret()])
        .map_err(write_failure)?;
    if matches!(order, Order::Relay(_)) {
        connection
            .execute(insert, params![ORDERED_BY, RELAY])
            .map_err(write_failure)?;
    }
    connection.execute_batch("COMMIT").map_err(write_failure)
}

/// Upgrades a file of format 1 to format 2. Cheap: no row is rewritten.
fn add_presence(connection: &Connection) -> Result<(), StorageError> {
    let changes = format!(
        "BEGIN IMMEDIATE;
        ALTER TABLE updates ADD COLUMN presence INTEGER;
        ALTER TABLE updates ADD COLUMN presence_through INTEGER NOT NULL DEFAULT 0;
        CREATE INDEX updates_presence ON updates (position) WHERE presence IS NOT NULL;
        CREATE TABLE subscriptions (topics TEXT PRIMARY KEY, data TEXT NOT NULL)
            STRICT, WITHOUT ROWID;
        INSERT INTO meta (name, value) VALUES ('presence_trimmed_through', 0);
        INSERT INTO meta (name, value)
            SELECT 'trimmed_updates', value FROM meta WHERE name = 'trimmed_through';
        UPDATE meta SET value = {FORMAT_WITHOUT_PRINTS} WHERE name = 'format';
        COMMIT"
    );
    connection.execute_batch(&changes).map_err(write_failure)
}

/// Upgrades a file of format 2 to format 3. Cheap: no row is rewritten. The existing updates have no print.
fn add_prints(connection: &Connection) -> Result<(), StorageError> {
    let changes = format!(
        "BEGIN IMMEDIATE;
        ALTER TABLE updates ADD COLUMN print BLOB;
        CREATE TABLE prints (position INTEGER PRIMARY KEY, print BLOB NOT NULL) STRICT;
        INSERT INTO meta (name, value)
            SELECT 'unprinted_through', coalesce(
                (SELECT max(position) FROM updates),
                (SELECT value FROM meta WHERE name = 'trimmed_through')
            );
        UPDATE meta SET value = {FORMAT} WHERE name = 'format';
        COMMIT"
    );
    connection.execute_batch(&changes).map_err(write_failure)
}

/// Adds columns to a file of format 3 that began without them. Older hubs of this format write rows that have
/// nothing in them.
fn add_columns(connection: &Connection) -> Result<(), StorageError> {
    for (table, column, kind) in [
        ("subscriptions", "holder", "BLOB"),
        ("subscriptions", "note", "BLOB"),
        ("subscriptions", "position", "INTEGER"),
        ("updates", TRACE, "BLOB"),
    ] {
        if !has_column(connection, table, column)? {
            let change = format!("ALTER TABLE {table} ADD COLUMN {column} {kind}");
            connection.execute_batch(&change).map_err(write_failure)?;
        }
    }
    Ok(())
}

/// Returns whether the rows of updates have traces, which is so once a hub of this version has opened the file.
pub(super) fn has_traces(connection: &Connection) -> Result<bool, StorageError> {
    has_column(connection, "updates", TRACE)
}

/// The column of updates with the span that they were published in.
const TRACE: &str = "trace";

fn has_column(connection: &Connection, table: &str, column: &str) -> Result<bool, StorageError> {
    let count = "SELECT count(*) FROM pragma_table_info(?1) WHERE name = ?2";
    let count: i64 = connection
        .query_row(count, [table, column], |row| row.get(0))
        .map_err(read_failure)?;
    Ok(count > 0)
}

/// Adds the index of messages for hubs, which are few, to a file that began without it.
fn add_index(connection: &Connection) -> Result<(), StorageError> {
    let change = format!(
        "CREATE INDEX IF NOT EXISTS updates_for_hubs ON updates (position) \
        WHERE private = {}",
        super::row::HUBS
    );
    connection.execute_batch(&change).map_err(write_failure)
}

/// Adds the table of what a relay keeps, to a file whose updates a relay orders.
fn add_notes(connection: &Connection) -> Result<(), StorageError> {
    if matches!(order(connection)?, Order::Own(_)) {
        return Ok(());
    }
    let change = "CREATE TABLE IF NOT EXISTS notes \
        (position INTEGER PRIMARY KEY, note BLOB NOT NULL) STRICT";
    connection.execute_batch(change).map_err(write_failure)
}

pub(super) fn extent(connection: &Connection) -> Result<Extent, StorageError> {
    let trimmed_through = Position::new(meta(connection, "trimmed_through")?);
    let trimmed_mark = Mark {
        published_ms: meta(connection, "trimmed_published_ms")?,
        bytes_through: meta(connection, "trimmed_bytes")?,
        updates_through: meta(connection, "trimmed_updates")?,
    };
    let newest = "SELECT position, published_ms, bytes_through, position - presence_through \
        FROM updates ORDER BY position DESC LIMIT 1";
    let newest = connection.query_row(newest, [], |row| {
        let position = Position::new(row.get::<_, i64>(0)?.cast_unsigned());
        let published_ms = row.get::<_, i64>(1)?.cast_unsigned();
        let bytes_through = row.get::<_, i64>(2)?.cast_unsigned();
        let updates_through = row.get::<_, i64>(3)?.cast_unsigned();
        let mark = Mark {
            published_ms,
            bytes_through,
            updates_through,
        };
        Ok((position, mark))
    });
    let newest = newest.optional().map_err(read_failure)?;
    let (last, last_mark) = newest.unwrap_or((trimmed_through, trimmed_mark));
    let last_print = print_at(connection, last)?;
    Ok(Extent {
        trimmed_through,
        trimmed_mark,
        last,
        last_mark,
        last_print,
        unprinted_through: Position::new(meta(connection, "unprinted_through")?),
        presence_trimmed_through: Position::new(meta(connection, "presence_trimmed_through")?),
    })
}

/// Returns the newest update that the last cut left.
pub(super) fn left_line_at(connection: &Connection) -> Result<Option<Position>, StorageError> {
    let at = connection.query_row(META, [LEFT_LINE_AT], |row| row.get::<_, i64>(0));
    let at = at.optional().map_err(read_failure)?;
    Ok(at.map(|at| Position::new(at.cast_unsigned())))
}

/// Returns the summary of removed presence events. Older hubs remove events without a summary. Then nothing is
/// known about them.
pub(super) fn removed(connection: &Connection, extent: &Extent) -> Result<Removed, StorageError> {
    let through = extent.presence_trimmed_through;
    let text = connection
        .query_row(META, ["presence_removed"], |row| row.get::<_, String>(0))
        .optional()
        .map_err(read_failure)?;
    let removed = text.and_then(|text| Removed::decode(&text));
    Ok(removed
        .filter(|removed| removed.through() == through)
        .unwrap_or_else(|| Removed::unknown(through)))
}

/// Returns the last note of the history's time. Older versions stored none.
fn clock(connection: &Connection) -> Result<Option<ClockNote>, StorageError> {
    let noted = |name| {
        let value = connection.query_row(META, [name], |row| row.get::<_, i64>(0));
        let value = value.optional().map_err(read_failure)?;
        Ok(value.map(i64::cast_unsigned))
    };
    let (own_ms, wall_ms) = (noted(CLOCK_OWN)?, noted(CLOCK_WALL)?);
    Ok(own_ms
        .zip(wall_ms)
        .map(|(own_ms, wall_ms)| ClockNote { own_ms, wall_ms }))
}

fn meta(connection: &Connection, name: &str) -> Result<u64, StorageError> {
    let value = connection.query_row(META, [name], |row| row.get::<_, i64>(0));
    value.map(i64::cast_unsigned).map_err(read_failure)
}

/// Returns who orders the updates, and the epoch.
pub(super) fn order(connection: &Connection) -> Result<Order, StorageError> {
    let epoch = connection
        .query_row(META, ["epoch"], |row| row.get(0))
        .map(Epoch::new)
        .map_err(read_failure)?;
    let ordered_by = connection
        .query_row(META, [ORDERED_BY], |row| row.get::<_, String>(0))
        .optional()
        .map_err(read_failure)?;
    match ordered_by.as_deref() {
        None => Ok(Order::Own(epoch)),
        Some(RELAY) => Ok(Order::Relay(epoch)),
        Some(other) => {
            let cause = format!("the row ordered_by of its table meta says {other:?}");
            Err(StorageError::Damaged(cause.into()))
        }
    }
}

/// The row that says who orders. It is absent if the history does.
pub(super) const ORDERED_BY: &str = "ordered_by";
pub(super) const RELAY: &str = "relay";

/// The format that this version writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 3;

/// The format before prints.
const FORMAT_WITHOUT_PRINTS: u32 = 2;

/// The format before presence events.
const FORMAT_WITHOUT_PRESENCE: u32 = 1;

/// `TDGS` in the header of the file, which `file` and SQLite's tools show.
const APPLICATION_ID: i64 = 0x5444_4753;

/// SQLite's VFS for the file: the usual one, and one that holds the index of the log in memory and locks other
/// processes out.
pub(super) const SHARED_VFS: &CStr = c"unix";
pub(super) const PRIVATE_VFS: &CStr = c"unix-excl";

/// How long to wait for another program that writes to the file.
pub(super) const BUSY_WAIT: Duration = Duration::from_secs(1);

const HEADER: &[u8] = b"SQLite format 3\0";
const META: &str = "SELECT value FROM meta WHERE name = ?1";
