//! The reading side of the SQLite file, on a connection of its own that cannot write.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use tidings_core::{Position, Print, Update};

use crate::storage::{StorageError, StorageReader};

use super::failure::read_failure;
use super::log_index::LogIndex;
use super::open::{BUSY_WAIT, PRIVATE_VFS, SHARED_VFS, has_traces};
use super::row;

/// Reads committed updates, concurrently with the writer.
pub(super) struct SqliteReader {
    connection: Connection,
    /// Selects rows.
    select: &'static str,
    /// Held until the connection is closed, to keep the locks of this process.
    _index: Option<Arc<File>>,
}

impl SqliteReader {
    pub(super) fn open(path: &Path, index: &LogIndex) -> Result<Self, StorageError> {
        let vfs = match index {
            LogIndex::Shared { .. } => SHARED_VFS,
            LogIndex::Private => PRIVATE_VFS,
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags_and_vfs(path, flags, vfs).map_err(read_failure)?;
        connection.busy_timeout(BUSY_WAIT).map_err(read_failure)?;
        Ok(Self {
            connection,
            select: row::SELECT,
            _index: index.file(),
        })
    }

    /// Reads by a connection that needs nothing of the writer in this process.
    pub(super) fn of(connection: Connection) -> Result<Self, StorageError> {
        let select = match has_traces(&connection)? {
            true => row::SELECT,
            false => row::SELECT_WITHOUT_TRACES,
        };
        Ok(Self {
            connection,
            select,
            _index: None,
        })
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl StorageReader for SqliteReader {
    fn read(
        &mut self,
        from: Position,
        through: Position,
        bytes_max: u64,
        updates: &mut Vec<Arc<Update>>,
    ) -> Result<(), StorageError> {
        let mut statement = self
            .connection
            .prepare_cached(self.select)
            .map_err(read_failure)?;
        let range = params![from.get().cast_signed(), through.get().cast_signed()];
        let mut rows = statement.query(range).map_err(read_failure)?;
        let mut bytes: u64 = 0;
        while let Some(row) = rows.next().map_err(read_failure)? {
            let update = row::read(row)?;
            bytes += update.bytes();
            updates.push(Arc::new(update));
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(())
    }

    fn find(&mut self, id: &str) -> Result<Option<Position>, StorageError> {
        first_of(&self.connection, id)
    }

    fn print(&mut self, position: Position) -> Result<Option<Print>, StorageError> {
        print_at(&self.connection, position)
    }

    fn note(&mut self, position: Position) -> Result<Option<Arc<[u8]>>, StorageError> {
        let mut statement = self
            .connection
            .prepare_cached(NOTE_AT)
            .map_err(read_failure)?;
        let note = statement
            .query_row([position.get().cast_signed()], |row| {
                row.get::<_, Vec<u8>>(0)
            })
            .optional();
        Ok(note.map_err(read_failure)?.map(Arc::from))
    }
}

/// Returns the position of the earliest row to which its publisher gave the id `id`.
pub(super) fn first_of(
    connection: &Connection,
    id: &str,
) -> Result<Option<Position>, StorageError> {
    let mut statement = connection.prepare_cached(FIRST_OF).map_err(read_failure)?;
    let position = statement
        .query_row([id], |row| row.get::<_, i64>(0))
        .optional();
    Ok(position
        .map_err(read_failure)?
        .map(|position| Position::new(position.cast_unsigned())))
}

/// Returns the print at `position`, if it is stored.
pub(super) fn print_at(
    connection: &Connection,
    position: Position,
) -> Result<Option<Print>, StorageError> {
    let mut statement = connection.prepare_cached(PRINT_AT).map_err(read_failure)?;
    let print = statement
        .query_row([position.get().cast_signed()], |row| row.get(0))
        .optional();
    Ok(print.map_err(read_failure)?.map(Print::new))
}

const PRINT_AT: &str = "SELECT print FROM updates WHERE position = ?1 AND print IS NOT NULL \
    UNION ALL SELECT print FROM prints WHERE position = ?1";
const NOTE_AT: &str = "SELECT note FROM notes WHERE position = ?1";
const FIRST_OF: &str =
    "SELECT position FROM updates WHERE own_id = 1 AND id = ?1 ORDER BY position LIMIT 1";
