//! A file that lines are appended to. It is opened again when it is asked for, after another program has
//! renamed it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::lines::write_all;

/// A file of lines.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: Mutex<File>,
    outdated: AtomicBool,
}

impl LogFile {
    /// Opens the file at `path`, or creates it.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(append_to(path)?),
            outdated: AtomicBool::new(false),
        })
    }

    /// Has the next line written to whatever is at the path by then.
    pub(crate) fn reopen(&self) {
        self.outdated.store(true, Ordering::Release);
    }

    /// Writes all of `bytes`, and returns what could not be written.
    pub(super) fn write<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        // Only the thread of the lines comes here, so nobody waits for the lock.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if self.outdated.swap(false, Ordering::AcqRel) {
            match append_to(&self.path) {
                Ok(new) => *file = new,
                Err(error) => {
                    let path = self.path.display();
                    tracing::error!(%error, %path, "cannot open the access log again; the old file stays");
                }
            }
        }
        write_all(file.as_fd(), bytes)
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    // Addresses and topics of peers are in it.
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}
