//! Withdraws updates in place: their rows stay, without what their publishers wrote.

use rusqlite::params;
use tidings_core::{Position, Topic};

use super::SqliteStorage;
use super::failure::write_failure;
use super::row::{HUBS, WITHDRAWN};
use crate::storage::StorageError;

impl SqliteStorage {
    /// Withdraws the rows of a topic, and overwrites in the file what they had. Returns how many.
    pub(super) fn withdraw_rows(
        &self,
        topic: &Topic,
        after: Position,
        through: Position,
    ) -> Result<u64, StorageError> {
        self.pragma("PRAGMA secure_delete = ON")?;
        let changed = self.change_rows(topic, after, through);
        self.pragma("PRAGMA secure_delete = OFF")?;
        changed
    }

    fn change_rows(
        &self,
        topic: &Topic,
        after: Position,
        through: Position,
    ) -> Result<u64, StorageError> {
        self.execute("BEGIN IMMEDIATE")?;
        let mut statement = self
            .connection
            .prepare_cached(WITHDRAW)
            .map_err(write_failure)?;
        let rows = statement
            .execute(params![
                after.get().cast_signed(),
                through.get().cast_signed(),
                topic.as_str(),
                WITHDRAWN,
                tidings_core::update::WITHDRAWN,
                HUBS,
            ])
            .map_err(write_failure)?;
        self.execute("COMMIT")?;
        Ok(rows as u64)
    }

    fn pragma(&self, pragma: &str) -> Result<(), StorageError> {
        // It answers with the value that it has now.
        self.connection
            .query_row(pragma, [], |_| Ok(()))
            .map_err(write_failure)
    }
}

/// The topics come before an empty line; after it there are targets. No topic has a line feed.
const WITHDRAW: &str = "UPDATE updates SET topics = ?5, type = NULL, retry_ms = NULL, \
    trace = NULL, private = ?4, data = '' \
    WHERE position > ?1 AND position <= ?2 AND presence IS NULL AND private < ?6 \
    AND instr(char(10) || CASE instr(topics, char(10, 10)) WHEN 0 THEN topics \
        ELSE substr(topics, 1, instr(topics, char(10, 10)) - 1) END || char(10), \
        char(10) || ?3 || char(10)) > 0";
