//! Key sets of issuers: fetched from an address or read from a file, kept up to date, read by shards
//! without a lock.
//!
//! ```text
//!            due, file changed, or an unknown kid (rate-limited)
//!   waiting ────────────────────────────────────────────────────► fetching
//!      ▲                                                             │
//!      └── set taken over, or the failure noted and the old set kept ┘
//! ```
//!
//! Everything here except reading the current keys runs on the control thread. A shard that finds
//! an unknown key requests a fetch and waits for it for a bounded time. `key_fetch.rs` fetches a
//! set, `jwk.rs` parses it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tidings_wire::redact;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::jwk::{self, JwkSetError, SetKey};
use super::key_fetch::{FetchError, Fetcher};
use super::key_store::KeyStore;
use crate::Counters;

/// The source of a key set. Displayed without the secret parts of its address: user, password,
/// query.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// An address, with `https` or on this machine.
    Url(url::Url),
    /// A file, read again when it changes.
    File(PathBuf),
}

/// A key set and its state.
#[derive(Debug)]
pub struct KeySet {
    source: Source,
    /// Time between two fetches.
    refresh: Duration,
    current: ArcSwap<Current>,
    /// Grows with each change of the keys. Tokens verified with an earlier generation are verified
    /// again.
    generation: AtomicU64,
    state: watch::Sender<State>,
    wanted: Notify,
}

/// The keys in force and their document.
#[derive(Debug, Default)]
pub struct Current {
    document: Vec<u8>,
    /// The keys.
    pub keys: Vec<SetKey>,
}

/// The outcome of the attempts to read a set.
#[derive(Debug, Clone, Default)]
struct State {
    /// Number of finished attempts.
    ended: u64,
    /// Whether an attempt is in progress.
    running: bool,
    /// When the last one began.
    began: Option<Instant>,
    /// Whether one was successful.
    read: bool,
    /// Why the last one failed.
    failure: Option<Arc<str>>,
}

/// The last document written to the store, and when.
#[derive(Debug, Default)]
struct Saved {
    document: Option<Arc<Current>>,
    at: Option<Instant>,
    /// Whether a write error was already logged.
    complained: bool,
}

/// Why a set is read again.
#[derive(Debug, PartialEq, Eq)]
enum Reason {
    /// The refresh is due, or the check whether the file changed.
    Due,
    /// A caller requested it.
    Asked,
}

/// Why a set could not be read.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is too long.
    #[error("{} has more than {DOCUMENT_BYTES_MAX} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The document is not a key set.
    #[error(transparent)]
    Set(#[from] JwkSetError),
}

impl KeySet {
    /// Makes an empty set that was not fetched yet.
    pub fn new(source: Source, refresh: Duration) -> Self {
        Self {
            source,
            refresh,
            current: ArcSwap::default(),
            generation: AtomicU64::new(0),
            state: watch::Sender::new(State::default()),
            wanted: Notify::new(),
        }
    }

    /// Returns the source of the set.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Returns the time between two fetches.
    pub fn refresh(&self) -> Duration {
        self.refresh
    }

    /// Takes over the keys and the state of a set from the same source, until it is read again.
    pub fn inherit(&self, other: &Self) {
        self.current.store(other.current());
        let read = other.state.borrow().read;
        self.state.send_modify(|state| state.read = read);
    }

    /// Returns the keys in force.
    pub fn current(&self) -> Arc<Current> {
        self.current.load_full()
    }

    /// Returns a number that changes whenever the keys do.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Returns why the set cannot verify anything: it was never read successfully.
    pub fn unread(&self) -> Option<String> {
        let state = self.state.borrow();
        if state.read {
            return None;
        }
        let why = state.failure.as_deref().unwrap_or("not fetched yet");
        Some(format!(
            "the keys of {} could not be read: {why}",
            self.source
        ))
    }

    /// Requests a fetch because of an unknown key, and waits for it to finish.
    ///
    /// Returns whether a fetch has finished since, so that the token should be checked again.
    /// Called by shards. There is at most one fetch per [`UNKNOWN_KID_EVERY`], however many callers
    /// there are.
    pub async fn refreshed(&self) -> bool {
        if !self.is_url() {
            return false;
        }
        let mut state = self.state.subscribe();
        let (ended, running, recent) = {
            let state = state.borrow_and_update();
            let recent = state
                .began
                .is_some_and(|began| began.elapsed() < UNKNOWN_KID_EVERY);
            (state.ended, state.running, recent)
        };
        if recent && !running {
            return false;
        }
        if !running {
            self.wanted.notify_one();
        }
        let fetched = state.wait_for(|state| state.ended > ended);
        matches!(timeout(WAIT_MAX, fetched).await, Ok(Ok(_)))
    }

    /// Asks [`watch`](Self::watch) to read the set now, changed or not, as far as
    /// [`UNKNOWN_KID_EVERY`] allows.
    pub fn want(&self) {
        self.wanted.notify_one();
    }

    /// Uses the set cached by an earlier process, at `now_secs` of Unix time, until the issuer
    /// answers.
    pub fn restore(&self, store: &KeyStore, now_secs: u64, counters: &Counters) {
        let Source::Url(url) = &self.source else {
            return;
        };
        let document = match store.load(url, now_secs) {
            Ok(Some(document)) => document,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(source = %self.source, %error, "cached key set ignored");
                return;
            }
        };
        match jwk::parse(&document) {
            Ok(set) => {
                tracing::info!(source = %self.source, "using the cached key set until the issuer answers");
                self.take(set, document);
                self.state.send_modify(|state| state.read = true);
                counters.read("cached");
            }
            Err(error) => {
                tracing::warn!(source = %self.source, %error, "cached key set ignored");
            }
        }
    }

    /// Uses what a file has now, so that the first request finds its key. [`watch`](Self::watch) reads it
    /// again, counts that, and says what is wrong with it.
    pub fn read_file(&self) {
        let Source::File(path) = &self.source else {
            return;
        };
        let read = read_file(path).ok().and_then(|document| {
            let set = jwk::parse(&document).ok()?;
            Some((set, document))
        });
        if let Some((set, document)) = read {
            self.take(set, document);
            self.state.send_modify(|state| state.read = true);
        }
    }

    /// Keeps the set up to date for as long as the hub runs, and in the store, if there is one: with the
    /// time that `now_secs` tells.
    pub async fn watch(
        &self,
        fetcher: &Fetcher,
        store: Option<&KeyStore>,
        now_secs: fn() -> u64,
        counters: &Counters,
    ) {
        let mut failures = 0;
        let mut read = None;
        let mut saved = Saved::default();
        loop {
            let seen = self.stamp();
            if read != Some(seen) || self.is_url() {
                match self.read(fetcher, counters).await {
                    Ok(()) => {
                        failures = 0;
                        if let Some(store) = store {
                            self.save(store, now_secs(), &mut saved);
                        }
                    }
                    Err(_logged) => failures += 1,
                }
                read = Some(seen);
            }
            if self.wait(failures).await == Reason::Asked {
                read = None;
            }
        }
    }

    /// Writes the set to the store if it changed or the last write is old.
    fn save(&self, store: &KeyStore, now_secs: u64, saved: &mut Saved) {
        let Source::Url(url) = &self.source else {
            return;
        };
        let current = self.current();
        let same = saved
            .document
            .as_ref()
            .is_some_and(|before| Arc::ptr_eq(before, &current));
        let fresh = saved
            .at
            .is_some_and(|at| at.elapsed() < store.confirm_every());
        if same && fresh {
            return;
        }
        match store.save(url, &current.document, now_secs) {
            Ok(()) => {
                saved.document = Some(current);
                saved.at = Some(Instant::now());
            }
            Err(error) if !saved.complained => {
                saved.complained = true;
                tracing::warn!(source = %self.source, %error, "cannot cache the key set for the next start");
            }
            Err(_said) => {}
        }
    }

    /// Waits for the next reason to read the set.
    async fn wait(&self, failures: u32) -> Reason {
        let patience = match &self.source {
            Source::File(_) => FILE_EVERY,
            // Exponential backoff after a failure.
            Source::Url(_) if failures > 0 => {
                let doubled = RETRY_FIRST.saturating_mul(1 << failures.min(10).saturating_sub(1));
                doubled.min(self.refresh)
            }
            Source::Url(_) => self.refresh,
        };
        if timeout(patience, self.wanted.notified()).await.is_err() {
            return Reason::Due;
        }
        // Several callers asked at once, or one missed the previous fetch.
        let began = self.state.borrow().began;
        if let Some(left) = began.and_then(|began| UNKNOWN_KID_EVERY.checked_sub(began.elapsed())) {
            tokio::time::sleep(left).await;
        }
        Reason::Asked
    }

    fn is_url(&self) -> bool {
        matches!(self.source, Source::Url(_))
    }

    /// Reads the set once and puts it in force if it is usable.
    ///
    /// # Errors
    ///
    /// Why the current set stays in force. The error is counted and logged here.
    pub async fn read(&self, fetcher: &Fetcher, counters: &Counters) -> Result<(), KeySetError> {
        self.state.send_modify(|state| {
            state.running = true;
            state.began = Some(Instant::now());
        });
        let read = self
            .document(fetcher)
            .await
            .and_then(|document| Ok((jwk::parse(&document)?, document)));
        let (result, failure) = match &read {
            Ok(_) => ("ok", None),
            Err(error) => {
                tracing::warn!(source = %self.source, %error, "key set not read; keeping the current one");
                (error.reason(), Some(error.to_string().into()))
            }
        };
        let read = read.map(|(set, document)| self.take(set, document));
        counters.read(result);
        self.state.send_modify(|state| {
            state.running = false;
            state.ended += 1;
            state.read |= failure.is_none();
            state.failure = failure;
        });
        read
    }

    async fn document(&self, fetcher: &Fetcher) -> Result<Vec<u8>, KeySetError> {
        match &self.source {
            Source::Url(url) => Ok(fetcher.fetch(url).await?),
            Source::File(path) => read_file(path),
        }
    }

    fn take(&self, set: jwk::Read, document: Vec<u8>) {
        if self.current.load().document == document {
            return;
        }
        let (source, keys, ignored) = (&self.source, set.keys.len(), set.ignored);
        if let Some(reason) = set.reason {
            tracing::warn!(%source, ignored, %reason, "some keys of the set were ignored");
        }
        if keys == 0 {
            tracing::warn!(%source, "the key set has no key that verifies tokens");
        }
        tracing::info!(%source, keys, ignored, "key set loaded");
        let keys = set.keys;
        self.current.store(Arc::new(Current { document, keys }));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Returns what tells a changed file from an unchanged one.
    fn stamp(&self) -> Option<(SystemTime, u64)> {
        let Source::File(path) = &self.source else {
            return None;
        };
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }
}

impl KeySetError {
    /// Returns the short word for metrics.
    fn reason(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.reason(),
            Self::File { .. } => "file",
            Self::TooLong { .. } => "too_long",
            Self::Set(_) => "not_a_set",
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(url) => f.write_str(&redact::url(url.as_str())),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Reads a file with a key set.
///
/// # Errors
///
/// It cannot be read, or is too long.
pub fn read_file(path: &std::path::Path) -> Result<Vec<u8>, KeySetError> {
    use std::io::Read;
    let unreadable = |source| KeySetError::File {
        path: path.to_owned(),
        source,
    };
    let mut document = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| {
            file.take(DOCUMENT_BYTES_MAX as u64 + 1)
                .read_to_end(&mut document)
        })
        .map_err(unreadable)?;
    if document.len() > DOCUMENT_BYTES_MAX {
        return Err(KeySetError::TooLong {
            path: path.to_owned(),
        });
    }
    Ok(document)
}

/// Maximum size of a key set in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 256 * 1024;

/// Minimum time between two fetches for unknown keys.
pub const UNKNOWN_KID_EVERY: Duration = Duration::from_secs(5);

/// Maximum time that a request waits for its fetch.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// First retry after a failed fetch; then doubled, up to the refresh interval.
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// How often a file is checked.
const FILE_EVERY: Duration = Duration::from_secs(2);
