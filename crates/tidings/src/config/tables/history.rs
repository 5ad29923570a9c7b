//! `[history]`: where and how long updates are stored.

use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use tidings_history::{Kind, PresenceRetention, Retention};

use crate::config::keys::Form::Path;
use crate::config::keys::rule::{number, unset, word};
use crate::config::value::Words;

table! {
    /// The `[history]` table.
    pub struct HistoryTable = "history" {
        /// Where updates are stored for subscribers that reconnect: in a file, in memory until the
        /// hub stops, or not at all.
        kind: HistoryKind = word::<HistoryKind>("file").start();
        /// The history's file, an SQLite database.
        path: Option<PathBuf> = unset(Path, "`history.db` in `data.dir`").start();
        /// Hours that an update is stored, measured as elapsed time; while the hub is stopped, at
        /// most a quarter of this value counts. 0 sets no limit.
        age_max as "retain_hours": Option<Duration> = number(168).hours().zero_is_none().live();
        /// Maximum number of stored updates. 0 sets no limit.
        updates_max as "retain_updates": Option<u64> = number(1_000_000).zero_is_none().live();
        /// Maximum size of stored updates in bytes. 0 sets no limit.
        bytes_max as "retain_bytes": Option<u64> = number(1024 * 1024 * 1024).zero_is_none().live();
        /// Bytes of recent updates held in memory; most replays are served from there.
        ring_bytes: usize = number(32 * 1024 * 1024).start();
    }
}

impl HistoryTable {
    /// Returns where updates are stored: by default in the data folder.
    pub fn kind(&self, data_dir: &FilePath) -> Kind {
        match self.kind {
            HistoryKind::File => Kind::File {
                path: self
                    .path
                    .clone()
                    .unwrap_or_else(|| data_dir.join(HISTORY_FILE)),
            },
            HistoryKind::Memory => Kind::Memory,
            HistoryKind::None => Kind::None,
        }
    }

    /// Returns how long updates are stored.
    pub fn retention(&self, presence: PresenceRetention) -> Retention {
        Retention {
            age_max: self.age_max,
            updates_max: self.updates_max,
            bytes_max: self.bytes_max,
            presence,
        }
    }
}

/// Name of the history's file in the data folder.
pub const HISTORY_FILE: &str = "history.db";

/// Where updates are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryKind {
    /// In a file.
    File,
    /// In memory.
    Memory,
    /// Nowhere.
    None,
}

impl Words for HistoryKind {
    const WORDS: &'static [&'static str] = &["file", "memory", "none"];
    const VALUES: &'static [Self] = &[Self::File, Self::Memory, Self::None];
}
