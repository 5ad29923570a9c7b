//! A model of a cluster engine, and the relays of the hubs that follow it.
//!
//! The engine keeps the order in memory and loses nothing. Each hub has a [`Member`]. It appends
//! the updates of the hub's publishers, and passes the engine's log to the hub's history whenever
//! [`follow`](Member::follow) is called. A publisher is answered when its own hub has stored its
//! update.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tidings_cluster::{
    Batch, Done, Epoch, Figures, Health, History, InboundError, Key, OrderedUpdate, Relay,
    RelayError, StartError,
};
use tidings_core::position::Position;
use tidings_core::update::{Draft, Update};

/// The engine. Clones refer to the same one.
#[derive(Clone)]
pub struct Engine(Arc<Mutex<State>>);

struct State {
    epoch: Epoch,
    log: Vec<OrderedUpdate>,
    now_ms: u64,
    /// Whether the engine is unreachable.
    away: bool,
}

/// The engine is unreachable.
#[derive(Debug, thiserror::Error)]
#[error("the engine does not answer")]
struct Away;

impl Engine {
    /// Makes an engine with an empty log.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self(Arc::new(Mutex::new(State {
            epoch,
            log: Vec::new(),
            now_ms: 0,
            away: false,
        })))
    }

    /// Returns the relay of another hub.
    #[must_use]
    pub fn member(&self) -> Member {
        Member(Arc::new(Inner {
            engine: self.clone(),
            history: OnceLock::new(),
            following: Mutex::default(),
        }))
    }

    /// Sets the engine's clock, in Unix milliseconds.
    pub fn set_clock(&self, now_ms: u64) {
        self.lock().now_ms = now_ms;
    }

    /// Makes the engine unreachable for all hubs, or reachable again.
    pub fn set_away(&self, away: bool) {
        self.lock().away = away;
    }

    /// Changes an update in the log, as if another engine with a different history had replaced
    /// this one.
    ///
    /// # Panics
    ///
    /// If there is no such position.
    pub fn rewrite(&self, position: Position, change: impl FnOnce(&mut OrderedUpdate)) {
        let mut state = self.lock();
        let found = state
            .log
            .iter_mut()
            .find(|update| update.position == position);
        #[expect(
            clippy::expect_used,
            reason = "the caller's own position; a mistake ends the test"
        )]
        change(found.expect("an update"));
    }

    fn append(&self, draft: Draft) -> Result<Position, RelayError> {
        let mut state = self.lock();
        if state.away {
            return Err(RelayError::Unavailable {
                cause: Arc::new(Away),
            });
        }
        let last = state.log.last();
        let before_ms = last.map_or(0, |update| update.published_ms);
        let position = last.map_or(Position::ZERO, |update| update.position).next();
        let published_ms = state.now_ms.max(before_ms);
        state.log.push(OrderedUpdate {
            position,
            published_ms,
            print: None,
            draft,
            note: Arc::default(),
        });
        Ok(position)
    }

    /// Returns at most `updates_max` updates of the log, starting at `from`.
    fn tail(&self, from: Position, updates_max: usize) -> VecDeque<OrderedUpdate> {
        let state = self.lock();
        if state.away {
            return VecDeque::new();
        }
        let after = state.log.iter().filter(|update| update.position >= from);
        after.take(updates_max).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The relay of one hub. Clones refer to the same one.
#[derive(Clone)]
pub struct Member(Arc<Inner>);

struct Inner {
    engine: Engine,
    history: OnceLock<Arc<dyn History>>,
    following: Mutex<Following>,
}

/// How far a hub has followed the engine's log.
#[derive(Default)]
struct Following {
    /// The position to continue at, if it is not the one after the history's last update.
    next: Option<Position>,
    /// Whether a batch is on its way into the history. The next batch follows when it is done.
    in_flight: bool,
    /// Waiting publishers of this hub, by the position of their update.
    waiting: BTreeMap<Position, Done>,
    /// Why the history refused a batch that does not fit.
    refused: Option<String>,
    stopped: bool,
}

impl Member {
    /// Passes at most `updates_max` updates of the engine's log to the history as one batch, unless
    /// a batch is already on its way.
    pub fn follow(&self, updates_max: usize) {
        let Some(history) = self.0.history.get() else {
            return;
        };
        let mut following = self.0.lock();
        if following.in_flight {
            return;
        }
        let next = following.next.take();
        let next = next.unwrap_or_else(|| history.last().next());
        let mut tail = self.0.engine.tail(next, updates_max);
        let Some(batch) = Batch::take(&mut tail) else {
            return;
        };
        // The history owns the relay, so the history's queue must not keep the relay alive.
        let inner = Arc::downgrade(&self.0);
        let done = Box::new(move |stored| {
            if let Some(inner) = inner.upgrade() {
                Self(inner).on_stored(stored);
            }
        });
        following.in_flight = history.append_ordered(batch, done).is_ok();
    }

    /// Answers all waiting publishers that the engine is unreachable, as a relay does after a
    /// timeout.
    pub fn give_up(&self) {
        let waiting = std::mem::take(&mut self.0.lock().waiting);
        for done in waiting.into_values() {
            let cause = Arc::new(Away);
            done(Err(RelayError::Unavailable { cause }));
        }
    }

    /// Continues at another position, like a relay that lost its connection.
    pub fn follow_from(&self, position: Position) {
        self.0.lock().next = Some(position);
    }

    /// Returns why the history refused a batch that does not fit, if it has.
    #[must_use]
    pub fn refused(&self) -> Option<String> {
        self.0.lock().refused.clone()
    }

    /// Answers the publishers whose updates were stored. After a fault, the same updates come
    /// again.
    fn on_stored(&self, stored: Result<Vec<Arc<Update>>, InboundError>) {
        self.0.lock().in_flight = false;
        match stored {
            Ok(updates) => {
                for update in updates {
                    let done = self.0.lock().waiting.remove(&update.position);
                    if let Some(done) = done {
                        done(Ok(update));
                    }
                }
            }
            Err(InboundError::Relay(_)) => {}
            Err(error) => self.0.lock().refused = Some(error.to_string()),
        }
        // The relay is stopping, so nobody else will ask for the rest.
        if self.0.lock().stopped {
            self.follow(Batch::UPDATES_MAX);
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Following> {
        self.following
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Relay for Member {
    fn epoch(&self) -> Option<Epoch> {
        Some(self.0.engine.lock().epoch)
    }

    fn start(&self, history: Arc<dyn History>) -> Result<(), StartError> {
        let set = self.0.history.set(history);
        set.map_err(|_another| StartError::Started)
    }

    fn publish(&self, draft: Draft, _key: Option<Key>, done: Done) -> Result<(), RelayError> {
        let mut following = self.0.lock();
        if following.stopped {
            return Err(RelayError::Closed);
        }
        let position = self.0.engine.append(draft)?;
        following.waiting.insert(position, done);
        Ok(())
    }

    fn health(&self) -> Health {
        if self.0.engine.lock().away {
            return Health::Unavailable {
                reason: Away.to_string().into(),
            };
        }
        Health::Ok
    }

    fn figures(&self) -> Figures {
        Figures {
            waiting: self.0.lock().waiting.len(),
            ..Figures::default()
        }
    }

    fn stop(&self) {
        self.0.lock().stopped = true;
        // Updates in the engine's log are still stored, and their publishers answered.
        self.follow(Batch::UPDATES_MAX);
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Member")
    }
}
