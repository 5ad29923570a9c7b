//! A model of a cluster engine, and the relays of the hubs that follow it.
//!
//! The engine keeps the order in memory and loses nothing. Each hub has a [`Member`]: it appends what
//! the hub's publishers publish, and hands the engine's log to the hub's history when it is told to
//! [`follow`](Member::follow). A publisher is answered when its own hub has stored its update.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tidings_cluster::{
    Batch, Done, Epoch, Figures, Health, History, InboundError, OrderedUpdate, Relay, RelayError,
    StartError,
};
use tidings_core::position::Position;
use tidings_core::update::{Draft, Update};

/// The engine. Clones are the same one.
#[derive(Clone)]
pub struct Engine(Arc<Mutex<State>>);

struct State {
    epoch: Epoch,
    log: Vec<OrderedUpdate>,
    now_ms: u64,
    /// Whether it answers.
    away: bool,
}

/// Why the engine takes nothing.
#[derive(Debug, thiserror::Error)]
#[error("the engine does not answer")]
struct Away;

impl Engine {
    /// Makes an engine whose log is empty.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self(Arc::new(Mutex::new(State {
            epoch,
            log: Vec::new(),
            now_ms: 0,
            away: false,
        })))
    }

    /// Returns the relay of one more hub.
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

    /// Lets the engine answer nobody any more, or everybody again.
    pub fn set_away(&self, away: bool) {
        self.lock().away = away;
    }

    /// Changes an update of the log, as if the engine had been replaced by one with another line.
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

    /// Returns at most `updates_max` updates of the log from `from` on.
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

/// The relay of one hub. Clones are the same one.
#[derive(Clone)]
pub struct Member(Arc<Inner>);

struct Inner {
    engine: Engine,
    history: OnceLock<Arc<dyn History>>,
    following: Mutex<Following>,
}

/// How far a hub has come with the engine's log.
#[derive(Default)]
struct Following {
    /// Where to go on, if not after the history's last update.
    next: Option<Position>,
    /// Whether a batch is on its way into the history: the next one follows when that is done.
    in_flight: bool,
    /// The publishers of this hub that wait, by the position of their update.
    waiting: BTreeMap<Position, Done>,
    /// Why the history refused a batch that does not fit.
    refused: Option<String>,
    stopped: bool,
}

impl Member {
    /// Hands at most `updates_max` updates of the engine's log to the history, as one batch, unless
    /// one is on its way.
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
        // The history's queue must not keep the relay, which keeps the history.
        let inner = Arc::downgrade(&self.0);
        let done = Box::new(move |stored| {
            if let Some(inner) = inner.upgrade() {
                Self(inner).on_stored(stored);
            }
        });
        following.in_flight = history.append_ordered(batch, done).is_ok();
    }

    /// Answers everybody who waits that the engine does not answer, as a relay does after a while.
    pub fn give_up(&self) {
        let waiting = std::mem::take(&mut self.0.lock().waiting);
        for done in waiting.into_values() {
            let cause = Arc::new(Away);
            done(Err(RelayError::Unavailable { cause }));
        }
    }

    /// Goes on at another position, as a relay does that lost its connection.
    pub fn follow_from(&self, position: Position) {
        self.0.lock().next = Some(position);
    }

    /// Returns why the history refused a batch that does not fit, if it did.
    #[must_use]
    pub fn refused(&self) -> Option<String> {
        self.0.lock().refused.clone()
    }

    /// Answers the publishers whose updates were stored. After a fault, the same updates come again.
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
        // At the end, nobody else asks for the rest.
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

    fn publish(&self, draft: Draft, done: Done) -> Result<(), RelayError> {
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
        }
    }

    fn stop(&self) {
        self.0.lock().stopped = true;
        // What the engine took is still stored, and so answered.
        self.follow(Batch::UPDATES_MAX);
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Member")
    }
}
