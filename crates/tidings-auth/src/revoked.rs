//! Tokens that an operator revoked before they expire, by their `jti` (RFC 7519, 4.1.7).
//!
//! The list is bounded, in memory for every check and in a file for the next start
//! (docs/formats/revoked-tokens.md). A file that cannot be read is an error: a hub must not start
//! with fewer refusals than it had.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

/// The revoked tokens. One thread changes the list; every thread asks it.
#[derive(Debug, Default)]
pub struct Revocations {
    /// For each id, until when its token is refused.
    list: ArcSwap<List>,
    generation: AtomicU64,
    /// Where the list is kept. None: it ends with the process.
    path: Option<PathBuf>,
}

type List = BTreeMap<Arc<str>, Option<u64>>;

/// One revoked token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// The token's `jti`.
    pub id: Arc<str>,
    /// Until when it is refused, in seconds of Unix time: its `exp`. None: for good.
    pub until: Option<u64>,
}

/// Why a token cannot be revoked, or the list not be read.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// The id is empty.
    #[error("a token id (jti) is empty")]
    Empty,
    /// The id is longer than the limit.
    #[error("the token id has {bytes} bytes, more than {ID_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// There is no room for another one.
    #[error(
        "{REVOKED_MAX} tokens are revoked already; give each the time until which it counts, so \
         that it leaves the list, or exchange the issuer's key"
    )]
    Full,
    /// The file cannot be read or written.
    #[error("the list of revoked tokens {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not one that this program wrote.
    #[error(
        "the list of revoked tokens {} is damaged: {source}; mend it, or remove it and revoke again",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A later version wrote the file.
    #[error(
        "the list of revoked tokens {} has format {found}, and this version knows {FORMAT}",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

/// The contents of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    format: u32,
    revoked: Vec<Revocation>,
}

impl Revocations {
    /// Reads the list at `path`; there is none yet in a new data folder. Changes are written there.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or something else stands in it.
    pub fn open(path: PathBuf, now_secs: u64) -> Result<Self, RevokeError> {
        let mut list = List::new();
        for revocation in read(&path)? {
            list.insert(revocation.id, revocation.until);
        }
        forget_expired(&mut list, now_secs);
        Ok(Self {
            list: ArcSwap::from_pointee(list),
            generation: AtomicU64::new(0),
            path: Some(path),
        })
    }

    /// Returns whether the token with this id is revoked.
    pub fn holds(&self, id: &str, now_secs: u64) -> bool {
        let list = self.list.load();
        match list.get(id) {
            Some(None) => true,
            Some(Some(until)) => now_secs < *until,
            None => false,
        }
    }

    /// Returns the list, sorted by id.
    pub fn list(&self, now_secs: u64) -> Vec<Revocation> {
        let list = self.list.load();
        let counts = list.iter().filter(|(id, _)| self.holds(id, now_secs));
        counts
            .map(|(id, until)| Revocation {
                id: Arc::clone(id),
                until: *until,
            })
            .collect()
    }

    /// Adds a token, or changes until when it is revoked. It counts once it is on the disk.
    ///
    /// # Errors
    ///
    /// The id is not one, the list is full, or the file cannot be written. Nothing is changed then.
    pub fn add(&self, revocation: Revocation, now_secs: u64) -> Result<(), RevokeError> {
        let Revocation { id, until } = revocation;
        match id.len() {
            0 => return Err(RevokeError::Empty),
            bytes if bytes > ID_BYTES_MAX => return Err(RevokeError::TooLong { bytes }),
            _ => {}
        }
        let mut list = List::clone(&self.list.load());
        forget_expired(&mut list, now_secs);
        if list.len() >= REVOKED_MAX && !list.contains_key(&id) {
            return Err(RevokeError::Full);
        }
        list.insert(id, until);
        self.replace(list)
    }

    /// Takes a token off the list. Returns whether it was there.
    ///
    /// # Errors
    ///
    /// The file cannot be written. Nothing is changed then.
    pub fn remove(&self, id: &str) -> Result<bool, RevokeError> {
        let mut list = List::clone(&self.list.load());
        if list.remove(id).is_none() {
            return Ok(false);
        }
        self.replace(list)?;
        Ok(true)
    }

    /// Returns a number that changes with the list.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn replace(&self, list: List) -> Result<(), RevokeError> {
        if let Some(path) = &self.path {
            write(path, &list).map_err(|source| RevokeError::File {
                path: path.clone(),
                source,
            })?;
        }
        self.list.store(Arc::new(list));
        // After the list: whoever sees the new number asks the new list.
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

fn forget_expired(list: &mut List, now_secs: u64) {
    list.retain(|_, until| until.is_none_or(|until| now_secs < until));
}

fn read(path: &Path) -> Result<Vec<Revocation>, RevokeError> {
    let failed = |source| RevokeError::File {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut text = Vec::new();
    let mut bounded = file.take(FILE_BYTES_MAX);
    bounded.read_to_end(&mut text).map_err(failed)?;
    let document: Document =
        serde_json::from_slice(&text).map_err(|source| RevokeError::Damaged {
            path: path.to_owned(),
            source,
        })?;
    if document.format != FORMAT {
        return Err(RevokeError::Format {
            path: path.to_owned(),
            found: document.format,
        });
    }
    Ok(document.revoked)
}

/// Replaces the file. When this returns, a crash of the machine does not undo it.
fn write(path: &Path, list: &List) -> io::Result<()> {
    let revoked = list.iter().map(|(id, until)| Revocation {
        id: Arc::clone(id),
        until: *until,
    });
    let document = Document {
        format: FORMAT,
        revoked: revoked.collect(),
    };
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder)?;
    let new = path.with_extension("new");
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(OWNER_ONLY)
        .open(&new)?;
    serde_json::to_writer(&mut file, &document)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}

/// Tokens that may be revoked at the same time.
const REVOKED_MAX: usize = 10_000;
/// Bytes of a `jti` that can be revoked.
const ID_BYTES_MAX: usize = 512;
/// Bytes that are read of the file: more than a full list has, each byte of an id escaped.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The version of the file.
const FORMAT: u32 = 1;
/// Ids of tokens are nobody else's business.
const OWNER_ONLY: u32 = 0o600;

#[cfg(test)]
mod tests;
