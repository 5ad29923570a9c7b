//! The relay of a hub without a cluster.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use tidings_core::Draft;

use crate::engine::Key;
use crate::keys::{Claim, First, Keys};
use crate::{Done, Epoch, Figures, Health, History, Relay, RelayError, StartError};

/// Passes each draft to the hub's own history, which orders.
///
/// The draft and its completion go on as they came: the only cost is two calls through a pointer.
#[derive(Debug, Default)]
pub struct Loopback {
    history: OnceLock<Arc<dyn History>>,
    stopped: AtomicBool,
    keys: Arc<Keys>,
}

impl Loopback {
    /// Makes a relay that is not started.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the history, while the relay runs.
    fn running(&self) -> Option<&dyn History> {
        match self.stopped.load(Ordering::Relaxed) {
            true => None,
            false => self.history.get().map(|history| &**history),
        }
    }
}

impl Relay for Loopback {
    fn epoch(&self) -> Option<Epoch> {
        None
    }

    fn start(&self, history: Arc<dyn History>) -> Result<(), StartError> {
        let set = self.history.set(history);
        set.map_err(|_another| StartError::Started)
    }

    fn publish(&self, draft: Draft, key: Option<Key>, done: Done) -> Result<(), RelayError> {
        let history = self.running().ok_or(RelayError::Closed)?;
        let Some(key) = key else {
            return history.append(draft, done);
        };
        let first = match self.keys.claim(key, done, Instant::now())? {
            Claim::First(first) => first,
            Claim::Answered => return Ok(()),
        };
        let slot = Arc::new(Mutex::new(Some(first)));
        let take = |slot: &Mutex<Option<First>>| {
            slot.lock().unwrap_or_else(PoisonError::into_inner).take()
        };
        let stored = Arc::clone(&slot);
        let done: Done = Box::new(move |kept| {
            if let Some(first) = take(&stored) {
                first.finish(&kept, Instant::now());
            }
        });
        history.append(draft, done).inspect_err(|error| {
            if let Some(first) = take(&slot) {
                first.refuse(error);
            }
        })
    }

    fn health(&self) -> Health {
        match self.running() {
            Some(_) => Health::Ok,
            None => Health::Unavailable {
                reason: "it does not run".into(),
            },
        }
    }

    fn figures(&self) -> Figures {
        Figures {
            waiting: self.history.get().map_or(0, |history| history.waiting()),
            repeats: self.keys.repeats(),
            keys_forgotten: self.keys.forgotten(),
            cluster: None,
        }
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}
