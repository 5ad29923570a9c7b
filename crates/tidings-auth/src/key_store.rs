//! Caches the last good key sets in files, so that a hub that starts while an issuer is down still
//! has its keys.
//!
//! A cached set is used only if it was fetched from the configured address, not too long ago, and
//! only the hub's own user could write the file. It is validated like a fetched set. The hub
//! ignores an invalid file and logs the reason.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use url::Url;

use super::key_set::DOCUMENT_BYTES_MAX;
use super::private_file;

/// A folder of key sets.
#[derive(Debug)]
pub struct KeyStore {
    folder: PathBuf,
    keep: Duration,
}

/// The content of a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    format: u32,
    url: String,
    /// When the issuer was last seen to publish it, in seconds of Unix time.
    fetched_secs: u64,
    document: String,
}

/// Why a cached file is ignored.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    File(#[from] io::Error),
    /// Others may have written it.
    #[error("other users can write to it")]
    Writable,
    /// It is too long.
    #[error("it has more than {FILE_BYTES_MAX} bytes")]
    TooLong,
    /// It was not written by this program, or is damaged.
    #[error("it is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    /// A later version wrote it.
    #[error("it has format {found}, and this version knows {FORMAT}")]
    Format {
        /// The format.
        found: u32,
    },
    /// It belongs to another address.
    #[error("it belongs to another address")]
    OtherAddress,
    /// It is too old: the issuer may have changed its keys.
    #[error("it is {age_secs} s old, more than auth.jwks_cache_secs")]
    Old {
        /// Its age.
        age_secs: u64,
    },
}

impl KeyStore {
    /// Makes a store in a folder, which is created at the first write. Cached sets are valid for `keep`.
    pub fn new(folder: PathBuf, keep: Duration) -> Self {
        Self { folder, keep }
    }

    /// Returns after which time an unchanged set is written again, so that its file does not become too old while
    /// the issuer answers.
    pub fn confirm_every(&self) -> Duration {
        (self.keep / 4).min(CONFIRM_EVERY)
    }

    /// Returns the cached document of an address, if there is one.
    ///
    /// # Errors
    ///
    /// Why the file is ignored.
    pub fn load(&self, url: &Url, now_secs: u64) -> Result<Option<Vec<u8>>, KeptError> {
        let file = match File::open(self.path(url)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let metadata = file.metadata()?;
        if metadata.mode() & OTHERS_WRITE != 0 {
            return Err(KeptError::Writable);
        }
        let mut text = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(KeptError::TooLong);
        }
        let kept: Kept = serde_json::from_slice(&text)?;
        if kept.format != FORMAT {
            return Err(KeptError::Format { found: kept.format });
        }
        if kept.url != url.as_str() {
            return Err(KeptError::OtherAddress);
        }
        let age_secs = now_secs.saturating_sub(kept.fetched_secs);
        if age_secs > self.keep.as_secs() {
            return Err(KeptError::Old { age_secs });
        }
        Ok(Some(kept.document.into_bytes()))
    }

    /// Stores the document of an address. Replaces an earlier one atomically.
    ///
    /// # Errors
    ///
    /// The files cannot be written.
    pub fn save(&self, url: &Url, document: &[u8], now_secs: u64) -> io::Result<()> {
        let kept = Kept {
            format: FORMAT,
            url: url.as_str().to_owned(),
            fetched_secs: now_secs,
            document: String::from_utf8(document.to_vec()).map_err(io::Error::other)?,
        };
        let text = serde_json::to_vec(&kept)?;
        private_file::write(&self.path(url), &text)
    }

    /// Removes the files of addresses that are no longer configured.
    ///
    /// # Errors
    ///
    /// The folder cannot be read or changed.
    pub fn forget_others(&self, urls: &[Url]) -> io::Result<()> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let known: Vec<PathBuf> = urls.iter().map(|url| self.path(url)).collect();
        for entry in entries {
            let path = entry?.path();
            if !known.contains(&path) {
                private_file::remove(&path)?;
            }
        }
        Ok(())
    }

    fn path(&self, url: &Url) -> PathBuf {
        let name = digest::digest(&digest::SHA256, url.as_str().as_bytes());
        let name: String = (name.as_ref().iter().take(NAME_BYTES))
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.folder.join(format!("{name}.json"))
    }
}

/// The format of the files.
const FORMAT: u32 = 1;
/// Maximum size of a file: a document in which every character is escaped, and the other members.
const FILE_BYTES_MAX: u64 = 2 * DOCUMENT_BYTES_MAX as u64 + 8192;
/// The permissions that let other users write.
const OTHERS_WRITE: u32 = 0o022;
/// Bytes of the address's hash in the name of its file.
const NAME_BYTES: usize = 16;
/// Minimum time between two writes of an unchanged set.
const CONFIRM_EVERY: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests;
