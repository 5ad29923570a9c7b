//! Maps SQLite's result codes to the faults that the writer distinguishes.

use rusqlite::ffi;

use crate::storage::StorageError;

/// Returns the fault of a failed write.
///
/// A failed *write* to the log leaves no doubt: the log's frames are chained by checksums and end
/// with a commit mark, so a group that was not written completely does not exist. A failed *sync*
/// does leave doubt: pages that did not reach the disk count as clean from then on.
pub(super) fn write_failure(error: rusqlite::Error) -> StorageError {
    classify(error, |cause| StorageError::Unwritable(cause.into()))
}

/// Returns the fault of a failed read.
pub(super) fn read_failure(error: rusqlite::Error) -> StorageError {
    classify(error, |cause| StorageError::Unreadable(cause.into()))
}

fn classify(
    error: rusqlite::Error,
    otherwise: fn(rusqlite::Error) -> StorageError,
) -> StorageError {
    let Some(code) = error.sqlite_error().map(|failure| failure.extended_code) else {
        // A value of another type than was written.
        return StorageError::Damaged(error.into());
    };
    match code {
        ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC | ffi::SQLITE_IOERR_CLOSE => {
            StorageError::SyncFailed(error.into())
        }
        // The shared index beside the log is extended when the log grows.
        ffi::SQLITE_IOERR_SHMSIZE => StorageError::Full,
        _ => match code & 0xff {
            ffi::SQLITE_FULL => StorageError::Full,
            ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB | ffi::SQLITE_MISMATCH => {
                StorageError::Damaged(error.into())
            }
            _ => otherwise(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_sync_leaves_doubt_and_a_failed_write_does_not() {
        check(ffi::SQLITE_IOERR_FSYNC, true);
        check(ffi::SQLITE_IOERR_DIR_FSYNC, true);
        check(ffi::SQLITE_CORRUPT, true);
        check(ffi::SQLITE_FULL, false);
        check(ffi::SQLITE_IOERR_WRITE, false);
        check(ffi::SQLITE_READONLY_DIRECTORY, false);
        check(ffi::SQLITE_BUSY, false);
    }

    #[track_caller]
    fn check(code: i32, doubt: bool) {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        assert_eq!(write_failure(error).leaves_doubt(), doubt);
    }
}
