//! The idempotency keys of a hub without a cluster: what was published with a key is stored once.
//!
//! Keys are in memory: a restart forgets them. In a cluster the engine has them.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidings_core::Update;

use crate::engine::Key;
use crate::{Done, RelayError};

/// How long a key is kept at least, after its update was stored.
pub const KEEP_FOR: Duration = Duration::from_secs(5 * 60);
/// Most keys. Beyond it the oldest is forgotten early, and counted.
const KEYS_MAX: usize = 100_000;
/// Most bytes of the updates that are kept with their keys. Beyond it the oldest is forgotten early.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Publishers that wait for an update that another request with their key is storing.
const WAITING_MAX: usize = 1024;

/// The keys, and what came with them first.
#[derive(Default)]
pub(crate) struct Keys {
    state: Mutex<State>,
    repeats: AtomicU64,
    forgotten: AtomicU64,
}

#[derive(Default)]
struct State {
    known: HashMap<Key, Known>,
    /// The keys whose updates are stored, oldest first.
    stored: VecDeque<(Instant, Key)>,
    bytes: u64,
    waiting: usize,
}

enum Known {
    /// Its update is on its way to the history; these wait for it too.
    OnItsWay(Vec<Done>),
    Stored(Arc<Update>),
}

/// What becomes of a publish with a key.
pub(crate) enum Claim {
    /// It is the first: the update is to be stored, and the guard told.
    First(First),
    /// It was answered, or will be.
    Answered,
}

/// The first publish with a key. If it is dropped, the update was not stored.
pub(crate) struct First {
    keys: Arc<Keys>,
    key: Key,
    done: Option<Done>,
}

impl Keys {
    /// Takes a publish with a key.
    ///
    /// # Errors
    ///
    /// [`RelayError::Busy`], with `done` dropped unused, if too many wait.
    pub(crate) fn claim(
        self: &Arc<Self>,
        key: Key,
        done: Done,
        now: Instant,
    ) -> Result<Claim, RelayError> {
        let mut state = self.lock();
        state.expire(now);
        let waits = state.waiting >= WAITING_MAX;
        match state.known.get_mut(&key) {
            Some(Known::Stored(update)) => {
                let update = Arc::clone(update);
                drop(state);
                self.repeats.fetch_add(1, Ordering::Relaxed);
                done(Ok(update));
                Ok(Claim::Answered)
            }
            Some(Known::OnItsWay(_)) if waits => Err(RelayError::Busy),
            Some(Known::OnItsWay(waiting)) => {
                waiting.push(done);
                state.waiting += 1;
                self.repeats.fetch_add(1, Ordering::Relaxed);
                Ok(Claim::Answered)
            }
            None => {
                state.known.insert(key.clone(), Known::OnItsWay(Vec::new()));
                Ok(Claim::First(First {
                    keys: Arc::clone(self),
                    key,
                    done: Some(done),
                }))
            }
        }
    }

    /// Returns how many publishes were answered with an earlier update.
    pub(crate) fn repeats(&self) -> u64 {
        self.repeats.load(Ordering::Relaxed)
    }

    /// Returns how many keys were forgotten before their time.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// Keeps the update with its key. Returns those who wait for it.
    fn store(&self, key: &Key, update: &Arc<Update>, now: Instant) -> Vec<Done> {
        let mut state = self.lock();
        let bytes = update.bytes();
        while state.stored.len() >= KEYS_MAX
            || (state.bytes + bytes > BYTES_MAX && !state.stored.is_empty())
        {
            state.forget_oldest();
            self.forgotten.fetch_add(1, Ordering::Relaxed);
        }
        state.bytes += bytes;
        state.stored.push_back((now + KEEP_FOR, key.clone()));
        let stored = Known::Stored(Arc::clone(update));
        let before = state.known.insert(key.clone(), stored);
        state.released(before)
    }

    /// Forgets a key whose update was not stored. Returns those who wait for it.
    fn release(&self, key: &Key) -> Vec<Done> {
        let mut state = self.lock();
        let before = state.known.remove(key);
        state.released(before)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn expire(&mut self, now: Instant) {
        while self.stored.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, key)) = self.stored.pop_front() else {
            return;
        };
        if let Some(Known::Stored(update)) = self.known.remove(&key) {
            self.bytes -= update.bytes();
        }
    }

    fn released(&mut self, before: Option<Known>) -> Vec<Done> {
        let Some(Known::OnItsWay(waiting)) = before else {
            return Vec::new();
        };
        self.waiting -= waiting.len();
        waiting
    }
}

impl First {
    /// Answers everybody who published with this key.
    pub(crate) fn finish(mut self, kept: &Result<Arc<Update>, RelayError>, now: Instant) {
        let waiting = match kept {
            Ok(update) => self.keys.store(&self.key, update, now),
            Err(_) => self.keys.release(&self.key),
        };
        for done in self.done.take().into_iter().chain(waiting) {
            done(kept.clone());
        }
    }

    /// The update was refused before it was queued: the others are told, and the first by the caller.
    pub(crate) fn refuse(mut self, error: &RelayError) {
        self.done = None;
        for done in self.keys.release(&self.key) {
            done(Err(error.clone()));
        }
    }
}

impl Drop for First {
    fn drop(&mut self) {
        if self.done.is_some() {
            // The completions are dropped too, which says that nothing was stored.
            drop(self.keys.release(&self.key));
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

#[cfg(test)]
mod tests;
