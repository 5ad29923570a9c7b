//! A relay whose updates can go to another process, because the hub moves there.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::sync::{Mutex, PoisonError};

use tidings_core::Draft;
use tokio::sync::watch;

use crate::engine::Key;
use crate::roster::Roster;
use crate::{
    CaughtUp, Done, Epoch, Figures, Health, History, Publication, Relay, RelayError, StartError,
};

/// Drafts that wait while the history changes hands, at most. That takes less than a second.
const HELD_MAX: usize = 16 * 1024;

/// The process that orders updates after this one.
pub trait Successor: fmt::Debug + Send + Sync {
    /// Takes `draft`. Never waits. `done` is called once, perhaps before this returns.
    fn publish(&self, draft: Draft, key: Option<Key>, done: Done);
}

/// Passes drafts to a relay of this process, and after a hand-over to the process that comes next.
///
/// While the hand-over lasts drafts wait, so that no publisher is refused.
#[derive(Debug)]
pub struct Movable {
    inner: Arc<dyn Relay>,
    place: RwLock<Place>,
}

enum Place {
    /// The relay of this process orders.
    Here,
    /// Nobody does at the moment.
    Moving(Mutex<VecDeque<(Draft, Option<Key>, Done)>>),
    /// The next process does.
    There(Arc<dyn Successor>),
}

impl Movable {
    /// Makes a relay that passes everything to `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Relay>) -> Self {
        Self {
            inner,
            place: RwLock::new(Place::Here),
        }
    }

    /// Lets drafts wait from now on. What came before has been passed on.
    ///
    /// Returns whether they wait. They do not if another process has taken over already: then they
    /// keep going there.
    #[must_use]
    pub fn hold(&self) -> bool {
        let mut place = self.write();
        if matches!(*place, Place::Here) {
            *place = Place::Moving(Mutex::default());
        }
        matches!(*place, Place::Moving(_))
    }

    /// Passes on what waited, and everything later: to `successor`, or to the relay of this process
    /// if there is none after all.
    pub fn go_on(&self, successor: Option<Arc<dyn Successor>>) {
        // Held until everything that waited is passed on, so that later drafts stay behind it.
        let mut place = self.write();
        let next = successor.map_or(Place::Here, Place::There);
        let Place::Moving(held) = std::mem::replace(&mut *place, next) else {
            return;
        };
        let held = held.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (draft, key, done) in held {
            self.pass(&place, draft, key, done);
        }
    }

    /// Passes on what waited.
    fn pass(&self, place: &Place, draft: Draft, key: Option<Key>, done: Done) {
        match place {
            Place::There(successor) => publish_there(&**successor, draft, key, done),
            // Its queue may be full. Then the completion is gone, and the publisher is told that
            // the update is not kept.
            Place::Here | Place::Moving(_) => drop(self.inner.publish(draft, key, done)),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Place> {
        self.place.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Place> {
        self.place.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes a draft to the next process. What the hub itself publishes stays: each process speaks of
/// its own subscribers.
fn publish_there(successor: &dyn Successor, draft: Draft, key: Option<Key>, done: Done) {
    if draft.is_of_hub() {
        done(Err(RelayError::Closed));
    } else {
        successor.publish(draft, key, done);
    }
}

impl Relay for Movable {
    fn epoch(&self) -> Option<Epoch> {
        self.inner.epoch()
    }

    fn start(&self, history: Arc<dyn History>) -> Result<(), StartError> {
        self.inner.start(history)
    }

    fn publish(&self, draft: Draft, key: Option<Key>, done: Done) -> Result<(), RelayError> {
        match &*self.read() {
            Place::Here => self.inner.publish(draft, key, done),
            Place::Moving(held) => {
                let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
                if held.len() >= HELD_MAX {
                    return Err(RelayError::Busy);
                }
                held.push_back((draft, key, done));
                Ok(())
            }
            Place::There(successor) => {
                publish_there(&**successor, draft, key, done);
                Ok(())
            }
        }
    }

    fn publish_in_order(&self, publications: Vec<Publication>) -> Result<(), RelayError> {
        if let Place::Here = &*self.read() {
            return self.inner.publish_in_order(publications);
        }
        let mut publications = publications.into_iter();
        publications.try_for_each(|one| self.publish(one.draft, one.key, one.done))
    }

    fn catch_up(&self, done: CaughtUp) -> bool {
        self.inner.catch_up(done)
    }

    fn health(&self) -> Health {
        match &*self.read() {
            Place::Here => self.inner.health(),
            Place::Moving(_) | Place::There(_) => Health::Ok,
        }
    }

    fn roster(&self) -> Option<watch::Receiver<Option<Arc<Roster>>>> {
        self.inner.roster()
    }

    fn leave(&self, name: Arc<str>, note: Arc<[u8]>) {
        self.inner.leave(name, note);
    }

    fn figures(&self) -> Figures {
        let mut figures = self.inner.figures();
        if let Place::Moving(held) = &*self.read() {
            figures.waiting += held.lock().unwrap_or_else(PoisonError::into_inner).len();
        }
        figures
    }

    fn stop(&self) {
        self.inner.stop();
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Here => "Here",
            Self::Moving(_) => "Moving",
            Self::There(_) => "There",
        })
    }
}
