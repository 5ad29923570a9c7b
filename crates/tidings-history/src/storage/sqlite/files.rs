//! Which files a history is in, and whether they are still the ones that were opened.
//!
//! What is written to a file without a name is gone with the process, whatever SQLite says of it.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::storage::StorageError;

/// The database, its log, the log's index, and the lock: all by name.
pub(super) struct Files([Watched; 4]);

struct Watched {
    path: PathBuf,
    /// Nothing as long as SQLite has not made the file.
    identity: Option<Identity>,
}

/// What tells a file from another at the same path.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Files {
    /// Takes note of the files of the history at `path`, which is open and locked.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if one cannot be looked at.
    pub(super) fn new(path: &Path) -> Result<Self, StorageError> {
        let mut files = Self(["", "-wal", "-shm", LOCK].map(|suffix| Watched {
            path: beside(path, suffix),
            identity: None,
        }));
        files.check()?;
        Ok(files)
    }

    /// Looks whether each file is the one that it was. Costs a few microseconds.
    ///
    /// # Errors
    ///
    /// [`StorageError::Replaced`] if one is not: nothing that is written is kept any more.
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

/// Returns where the lock of the history at `path` is.
pub(super) fn lock_path(path: &Path) -> PathBuf {
    beside(path, LOCK)
}

/// Returns the name under which SQLite knows the file at `path`, whatever links lead there. The
/// names of the files beside it, and the lock, follow from this one.
///
/// # Errors
///
/// The folder cannot be found.
pub(super) fn real_path(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    // A file that is not there yet.
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = fs::canonicalize(folder.unwrap_or_else(|| Path::new(".")))?;
    Ok(folder.join(path.file_name().unwrap_or_default()))
}

/// Returns the file that SQLite or the hub keeps beside the one at `path`.
pub(super) fn beside(path: &Path, suffix: impl AsRef<OsStr>) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

const LOCK: &str = ".lock";
