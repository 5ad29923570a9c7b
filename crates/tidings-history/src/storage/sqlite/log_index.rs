//! Room for the index of the log (`-shm`), which SQLite maps into memory.
//!
//! A page of a mapped file that the disk has no room for ends the process when it is touched (SIGBUS),
//! and SQLite makes room for one block of each page only. So room is taken before the log can need it,
//! by this file. Where there is none at the start, the index is kept in memory instead.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::files::beside;
use crate::storage::StorageError;

/// The room that the index of the log has.
#[derive(Debug)]
pub(super) enum LogIndex {
    /// On the disk, shared with other programs.
    Shared {
        // Never closed before SQLite's last connection: closing any handle of a file drops the locks
        // that this process has on it.
        file: Arc<File>,
        /// Bytes that it may take without asking the disk.
        reserved: u64,
    },
    /// In this process. Other programs cannot use the history.
    Private,
}

impl LogIndex {
    /// Returns whether the disk has room for the index of a log as it stands. To be asked before SQLite
    /// opens the history at `path`.
    pub(super) fn fits(path: &Path) -> bool {
        let Ok(file) = open(path) else {
            // SQLite says why, and better.
            return true;
        };
        reserve(&file, needed(log_frames(path))).is_ok()
    }

    /// Takes room for the index of the history at `path`, which SQLite has opened.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`] if there is none.
    pub(super) fn shared(path: &Path) -> Result<Self, StorageError> {
        let file = open(path).map_err(|error| StorageError::Unwritable(Box::new(error)))?;
        let mut index = Self::Shared {
            file: Arc::new(file),
            reserved: 0,
        };
        index.reserve(path, 0)?;
        Ok(index)
    }

    /// Takes room for as many more pages of the log as `pages`, and for some to spare.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`] if there is none.
    pub(super) fn reserve(&mut self, path: &Path, pages: u64) -> Result<(), StorageError> {
        let Self::Shared { file, reserved } = self else {
            return Ok(());
        };
        let frames = log_frames(path).saturating_add(pages);
        if index_bytes(frames) <= *reserved {
            return Ok(());
        }
        let bytes = needed(frames);
        reserve(file, bytes)?;
        *reserved = bytes;
        Ok(())
    }

    /// Returns what keeps the locks of whoever reads beside.
    pub(super) fn file(&self) -> Option<Arc<File>> {
        match self {
            Self::Shared { file, .. } => Some(Arc::clone(file)),
            Self::Private => None,
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(beside(path, "-shm"))
}

fn reserve(file: &File, bytes: u64) -> Result<(), StorageError> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        // A file system that takes no orders: then there is no more than SQLite's own care.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Err(StorageError::Full),
        Err(error) => Err(StorageError::Unwritable(Box::new(error))),
    }
}

/// Returns how many pages the log holds at most.
fn log_frames(path: &Path) -> u64 {
    let log = std::fs::metadata(beside(path, "-wal"));
    log.map_or(0, |log| log.len() / FRAME_BYTES)
}

/// Returns the bytes of the index of a log of so many pages.
fn index_bytes(frames: u64) -> u64 {
    (frames / REGION_FRAMES + 1) * REGION_BYTES
}

/// Returns the bytes to take for it: enough that the disk need not be asked often.
fn needed(frames: u64) -> u64 {
    index_bytes(frames) + SPARE_REGIONS * REGION_BYTES
}

/// Bytes of a page in the log, with its head. SQLite, "WAL-mode File Format", 1.
const FRAME_BYTES: u64 = 4096 + 24;

/// Bytes by which the index grows, and the pages of the log for which they suffice (the first has room
/// for a few less than the others). SQLite, "WAL-mode File Format", 2.
const REGION_BYTES: u64 = 32 * 1024;
const REGION_FRAMES: u64 = 4062;

/// Regions taken beyond what the log needs.
const SPARE_REGIONS: u64 = 1;
