//! A file that lines are appended to. It is opened again when it is asked for, after another program has
//! renamed it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::lines::write_all;

/// A file of lines.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: Mutex<File>,
    /// The file that the next line goes to, after it was opened again.
    next: Mutex<Option<File>>,
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
            next: Mutex::default(),
        })
    }

    /// Has the next line written to the file that is at the path now, which is created if there is none.
    ///
    /// # Errors
    ///
    /// It cannot be written. The old file stays.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let new = append_to(&self.path).map_err(|error| {
            let path = self.path.display();
            io::Error::new(
                error.kind(),
                format!("cannot write {path} ({error}); lines go on to the file that is open"),
            )
        })?;
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = Some(new);
        Ok(())
    }

    /// Writes all of `bytes`, and returns what could not be written.
    pub(super) fn write<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        // Only the thread of the lines comes here, so nobody waits for the lock.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self
            .next
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(new) = next {
            *file = new;
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
