//! Reads a history's file beside the hub that uses it, or while none does. For commands: a hub reads
//! through its own writer's side.

use std::path::Path;
use std::sync::Arc;

use tidings_core::{Position, Update};

use super::open::{OpenError, extent, open_for_reading, order};
use super::reader::SqliteReader;
use crate::options::Order;
use crate::storage::{Extent, StorageError, StorageReader};

/// A history's file, open for reading. Takes no lock, so it never keeps a hub from starting.
pub struct HistoryFile {
    reader: SqliteReader,
}

impl HistoryFile {
    /// Opens the history at `path`.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if there is none, or its format is not this version's.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let connection = open_for_reading(path)?;
        let reader = SqliteReader::of(connection).map_err(|source| OpenError::Storage {
            path: path.into(),
            source,
        })?;
        Ok(Self { reader })
    }

    /// Returns which positions are kept, as of now.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if it cannot be read.
    pub fn extent(&self) -> Result<Extent, StorageError> {
        extent(self.reader.connection())
    }

    /// Returns who orders its updates, with the epoch.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if it cannot be read.
    pub fn order(&self) -> Result<Order, StorageError> {
        order(self.reader.connection())
    }

    /// Appends the kept updates `from..=through` to `updates`, as [`StorageReader::read`] does.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if they cannot be read.
    pub fn read(
        &mut self,
        from: Position,
        through: Position,
        bytes_max: u64,
        updates: &mut Vec<Arc<Update>>,
    ) -> Result<(), StorageError> {
        self.reader.read(from, through, bytes_max, updates)
    }
}
