//! The files of a history, and whether they are still the ones that were opened.
//!
//! Writes to a file that has no name any more are lost with the process, even if SQLite reports success.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::storage::StorageError;

/// The database, its log, the log's index, and the lock.
pub(super) struct Files([Watched; 4]);

struct Watched {
    path: PathBuf,
    /// None until SQLite has created the file.
    identity: Option<Identity>,
}

/// The identity of a file, which differs from that of another file at the same path.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Files {
    /// Notes the files of the history at `path`, which is open and locked.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if a file cannot be examined.
    pub(super) fn new(path: &Path) -> Result<Self, StorageError> {
        let mut files = Self(["", "-wal", "-shm", LOCK].map(|suffix| Watched {
            path: beside(path, suffix),
            identity: None,
        }));
        files.check()?;
        Ok(files)
    }

    /// Checks that each file is still the same. Takes a few microseconds.
    ///
    /// # Errors
    ///
    /// [`StorageError::Replaced`] if one is not. Writes are lost from then on.
    pub(super) fn check(&mut self) -> Result<(), StorageError> {
        self.0.iter_mut().try_for_each(Watched::check)
    }
}

impl Watched {
    fn check(&mut self) -> Result<(), StorageError> {
        let found = match fs::metadata(&self.path) {
            Ok(metadata) => Some(Identity::of(&metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(StorageError::Unreadable(Box::new(error))),
        };
        if self.identity.is_some() && found != self.identity {
            let path = self.path.clone();
            return Err(StorageError::Replaced { path });
        }
        self.identity = found;
        Ok(())
    }
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// Returns the path of the lock of the history at `path`.
pub(super) fn lock_path(path: &Path) -> PathBuf {
    beside(path, LOCK)
}

/// Resolves links: returns the name that SQLite uses for the file at `path`. The names of the files beside it
/// derive from this one.
///
/// # Errors
///
/// The folder does not exist.
pub(super) fn real_path(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    // The file does not exist yet.
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = fs::canonicalize(folder.unwrap_or_else(|| Path::new(".")))?;
    Ok(folder.join(path.file_name().unwrap_or_default()))
}

/// Returns a file that SQLite or the hub has beside the one at `path`.
pub(super) fn beside(path: &Path, suffix: impl AsRef<OsStr>) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

const LOCK: &str = ".lock";
