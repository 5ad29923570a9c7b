//! Room for the index of the log (`-shm`), which SQLite maps into memory.
//!
//! If the disk has no room for a page of a mapped file, an access to the page ends the process (SIGBUS), and SQLite
//! allocates only one block of each page. So this file allocates room before the log needs it. If there is no room
//! at the start, the index is in memory instead.

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
        // Closed after SQLite's last connection, because closing any handle of a file drops the locks that this
        // process has on it.
        file: Arc<File>,
        /// Bytes that are allocated for it.
        reserved: u64,
    },
    /// In this process. Other programs cannot use the history.
    Private,
}

impl LogIndex {
    /// Returns whether the disk has room for the index of the present log. To be called before SQLite opens the
    /// history at `path`.
    pub(super) fn fits(path: &Path) -> bool {
        let Ok(file) = open(path) else {
            // SQLite reports the reason better.
            return true;
        };
        reserve(&file, needed(log_frames(path))).is_ok()
    }

    /// Allocates room for the index of the history at `path`, which SQLite has opened.
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

    /// Allocates room for `pages` more pages of the log, and some in reserve.
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

    /// Returns the handle that the reading side must hold to keep its locks.
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
        // The file system cannot allocate. Then only SQLite's own precautions remain.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Err(StorageError::Full),
        Err(error) => Err(StorageError::Unwritable(Box::new(error))),
    }
}

/// Returns the maximum number of pages in the log.
fn log_frames(path: &Path) -> u64 {
    let log = std::fs::metadata(beside(path, "-wal"));
    log.map_or(0, |log| log.len() / FRAME_BYTES)
}

/// Returns the bytes of the index of a log with so many pages.
fn index_bytes(frames: u64) -> u64 {
    (frames / REGION_FRAMES + 1) * REGION_BYTES
}

/// Returns the bytes to allocate for it: enough that this happens rarely.
fn needed(frames: u64) -> u64 {
    index_bytes(frames) + SPARE_REGIONS * REGION_BYTES
}

/// Bytes of a page in the log, with its header. SQLite, "WAL-mode File Format", 1.
const FRAME_BYTES: u64 = 4096 + 24;

/// Bytes by which the index grows, and the pages of the log that they cover (the first region covers a few less).
/// SQLite, "WAL-mode File Format", 2.
const REGION_BYTES: u64 = 32 * 1024;
const REGION_FRAMES: u64 = 4062;

/// Regions allocated beyond what the log needs.
const SPARE_REGIONS: u64 = 1;
