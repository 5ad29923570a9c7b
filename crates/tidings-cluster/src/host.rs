//! A member with its history: what both the driver and the simulator need to run one.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use tidings_core::Draft;
use tokio::sync::watch;

use crate::engine::{EpochId, Key, Path};
use crate::keys::KEEP_FOR;
use crate::member::catching_up::{CATCH_UPS_MAX, CatchUp};
use crate::member::request::{Input, Output, Publish, Request, answer};
use crate::member::{Member, Options, Status};
use crate::peers::Fetch;
use crate::roster::Roster;
use crate::{
    CaughtUp, Done, Epoch, Figures, Health, History, InboundError, Publication, Relay, RelayError,
    StartError,
};

/// Milliseconds that the engine keeps a publisher's key.
const KEY_MS: u64 = KEEP_FOR.as_secs() * 1000;

/// The relay of a hub in a cluster: the side that the hub's threads see.
pub struct Clustered {
    epoch: Epoch,
    inbox: Arc<Inbox>,
    history: OnceLock<Arc<dyn History>>,
    start: Mutex<Option<Start>>,
    stop: Mutex<Option<Stop>>,
}

/// Starts what runs the member, once there is a history.
pub type Start = Box<dyn FnOnce(Arc<dyn History>) -> Stop + Send>;

/// Ends what runs the member, and waits for its end.
pub type Stop = Box<dyn FnOnce() + Send>;

/// What waits for a member, and what it shows.
pub struct Inbox {
    queue: Mutex<Queue>,
    status: Mutex<Shown>,
    roster: watch::Sender<Option<Arc<Roster>>>,
    wake: Box<dyn Fn() + Send + Sync>,
    publishes_max: usize,
}

/// What a member shows, and since when its history lags.
struct Shown {
    status: Status,
    behind_since: Option<Instant>,
}

impl Shown {
    /// Until the member has shown anything, the hub is not ready.
    fn at_start() -> Self {
        let status = Status {
            reason: Some("it has not looked at the engine yet".into()),
            ..Status::default()
        };
        Self {
            status,
            behind_since: None,
        }
    }

    fn set(&mut self, status: Status) {
        self.behind_since = match status.behind {
            0 => None,
            _ => Some(self.behind_since.unwrap_or_else(Instant::now)),
        };
        self.status = status;
    }

    fn behind_for(&self) -> Duration {
        self.behind_since
            .map(|since| since.elapsed())
            .unwrap_or_default()
    }
}

#[derive(Default)]
struct Queue {
    inputs: VecDeque<Input>,
    publishes: usize,
    catch_ups: usize,
    /// The newest note under each name.
    notes: BTreeMap<Arc<str>, Arc<[u8]>>,
    closed: bool,
}

impl Inbox {
    /// Makes an inbox that calls `wake` when something comes. As many as `publishes_max` publishes
    /// may wait; everything else answers something that the member asked for.
    #[must_use]
    pub fn new(publishes_max: usize, wake: Box<dyn Fn() + Send + Sync>) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::default(),
            status: Mutex::new(Shown::at_start()),
            roster: watch::Sender::new(None),
            wake,
            publishes_max,
        })
    }

    /// Adds something that happened.
    pub fn push(&self, input: Input) {
        self.lock().inputs.push_back(input);
        (self.wake)();
    }

    fn publish(&self, publications: Vec<Publication>) -> Result<(), RelayError> {
        let mut queue = self.lock();
        if queue.closed {
            return Err(RelayError::Closed);
        }
        if queue.publishes + publications.len() > self.publishes_max {
            return Err(RelayError::Busy);
        }
        queue.publishes += publications.len();
        let publishes = publications.into_iter().map(|one| Publish {
            draft: one.draft,
            key: one.key.map(|key| (key, KEY_MS)),
            done: one.done,
        });
        let publishes = publishes.collect();
        queue.inputs.push_back(Input::Publish(publishes));
        drop(queue);
        (self.wake)();
        Ok(())
    }

    fn catch_up(&self, done: CaughtUp) {
        let mut queue = self.lock();
        if queue.closed || queue.catch_ups >= CATCH_UPS_MAX {
            drop(queue);
            return done(false);
        }
        queue.catch_ups += 1;
        queue.inputs.push_back(Input::CatchUp(CatchUp(done)));
        drop(queue);
        (self.wake)();
    }

    fn note(&self, name: Arc<str>, note: Arc<[u8]>) {
        self.lock().notes.insert(name, note);
        (self.wake)();
    }

    fn take(&self) -> VecDeque<Input> {
        let mut queue = self.lock();
        queue.publishes = 0;
        queue.catch_ups = 0;
        let notes = std::mem::take(&mut queue.notes);
        let mut inputs = std::mem::take(&mut queue.inputs);
        inputs.extend(
            notes
                .into_iter()
                .map(|(name, note)| Input::Note(name, note)),
        );
        inputs
    }

    fn close(&self) {
        self.lock().closed = true;
        (self.wake)();
    }

    /// Returns whether nothing more is published.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> MutexGuard<'_, Shown> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clustered {
    /// Makes the relay of a hub in the cluster with the secret `epoch`. `start` is called with the
    /// history.
    #[must_use]
    pub fn new(epoch: Epoch, inbox: Arc<Inbox>, start: Start) -> Self {
        Self {
            epoch,
            inbox,
            history: OnceLock::new(),
            start: Mutex::new(Some(start)),
            stop: Mutex::new(None),
        }
    }
}

impl Relay for Clustered {
    fn epoch(&self) -> Option<Epoch> {
        Some(self.epoch)
    }

    fn start(&self, history: Arc<dyn History>) -> Result<(), StartError> {
        let set = self.history.set(Arc::clone(&history));
        set.map_err(|_another| StartError::Started)?;
        let start = self
            .start
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let stop = start.map(|start| start(history));
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = stop;
        Ok(())
    }

    fn publish(&self, draft: Draft, key: Option<Key>, done: Done) -> Result<(), RelayError> {
        self.publish_in_order(vec![Publication { draft, key, done }])
    }

    fn publish_in_order(&self, publications: Vec<Publication>) -> Result<(), RelayError> {
        self.inbox.publish(publications)
    }

    fn catch_up(&self, done: CaughtUp) -> bool {
        self.inbox.catch_up(done);
        true
    }

    fn health(&self) -> Health {
        match self.inbox.status().status.reason.clone() {
            None => Health::Ok,
            Some(reason) => Health::Unavailable { reason },
        }
    }

    fn roster(&self) -> Option<watch::Receiver<Option<Arc<Roster>>>> {
        Some(self.inbox.roster.subscribe())
    }

    fn leave(&self, name: Arc<str>, note: Arc<[u8]>) {
        self.inbox.note(name, note);
    }

    fn figures(&self) -> Figures {
        let shown = self.inbox.status();
        Figures {
            waiting: shown.status.waiting,
            repeats: shown.status.counters.repeats,
            keys_forgotten: 0,
            cluster: Some(shown.status.figures(shown.behind_for())),
        }
    }

    fn stop(&self) {
        self.inbox.close();
        let stop = self
            .stop
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(stop) = stop {
            stop();
        }
    }
}

impl fmt::Debug for Clustered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clustered")
    }
}

/// What a host wants of the engine, and of other hubs.
#[derive(Debug)]
pub enum Wanted {
    /// This call.
    Call(Request),
    /// The end of the call of this path, and of its connection.
    Reset(Path),
    /// This question to another hub, and no earlier one. The answer is an [`Input::Fetched`].
    Fetch(Fetch),
}

/// A member, its history and its inbox.
pub struct Host {
    member: Member,
    history: Arc<dyn History>,
    inbox: Arc<Inbox>,
}

impl Host {
    /// Makes the host of a new member.
    #[must_use]
    pub fn new(
        options: Options,
        history: Arc<dyn History>,
        inbox: Arc<Inbox>,
        line: (Epoch, EpochId),
        now: Duration,
    ) -> Self {
        let (secret, epoch) = line;
        Self {
            member: Member::new(options, Arc::clone(&history), secret, epoch, now),
            history,
            inbox,
        }
    }

    /// Returns the member.
    #[must_use]
    pub const fn member(&self) -> &Member {
        &self.member
    }

    /// Does what there is to do by `now`. Returns what is wanted of others, in order.
    pub fn work(&mut self, now: Duration) -> Vec<Wanted> {
        self.member.on_time(now);
        for input in self.inbox.take() {
            self.member.on_input(now, input);
        }
        let mut wanted = Vec::new();
        while let Some(output) = self.member.poll() {
            match output {
                Output::Call(request) => wanted.push(Wanted::Call(request)),
                Output::Reset(path) => wanted.push(Wanted::Reset(path)),
                Output::Fetch(fetch) => wanted.push(Wanted::Fetch(fetch)),
                Output::Store(batch, waiters) => self.store(batch, waiters),
                Output::Read {
                    from,
                    to,
                    bytes_max,
                } => {
                    let reply = self.reply(Input::Read);
                    let queued = self.history.stretch(from, to, bytes_max, reply);
                    if let Err(error) = queued {
                        self.inbox.push(Input::Read(Err(error)));
                    }
                }
                Output::Cut(cut) => {
                    let reply = self.reply(Input::Cut);
                    if let Err(error) = self.history.cut(cut, reply) {
                        self.inbox.push(Input::Cut(Err(error)));
                    }
                }
            }
        }
        self.inbox.status().set(self.member.status());
        let roster = self.member.roster();
        self.inbox.roster.send_if_modified(|shown| {
            let changed = shown
                .as_ref()
                .is_none_or(|shown| !Arc::ptr_eq(shown, roster));
            if changed {
                *shown = Some(Arc::clone(roster));
            }
            changed
        });
        wanted
    }

    /// Returns when there is something to do at the latest.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        self.member.due()
    }

    /// Answers everybody who waits.
    pub fn close(&mut self) {
        let late = self.inbox.take();
        for input in late {
            match input {
                Input::Publish(publishes) => {
                    let publishes = publishes.into_iter();
                    publishes.for_each(|publish| (publish.done)(Err(RelayError::Closed)));
                }
                Input::CatchUp(waiting) => waiting.answer(false),
                Input::Note(..)
                | Input::Reply(..)
                | Input::Stored(..)
                | Input::Read(_)
                | Input::Cut(_)
                | Input::Fetched(..) => {}
            }
        }
        self.member.close();
    }

    /// Returns what brings an answer of the history back. The history's queue does not keep the
    /// inbox, since the inbox's publishers keep the history.
    fn reply<T: Send + 'static>(&self, input: fn(T) -> Input) -> Box<dyn FnOnce(T) + Send> {
        let inbox: Weak<Inbox> = Arc::downgrade(&self.inbox);
        Box::new(move |result| {
            if let Some(inbox) = inbox.upgrade() {
                inbox.push(input(result));
            }
        })
    }

    fn store(&self, batch: crate::Batch, waiters: Vec<crate::member::request::Waiter>) {
        let inbox = Arc::downgrade(&self.inbox);
        // If the batch is not queued, those who wait are in the completion that is dropped.
        let slot = Arc::new(Mutex::new(Some(waiters)));
        let waiting = Arc::clone(&slot);
        let take = move |slot: &Mutex<Option<Vec<_>>>| {
            let waiters = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            waiters.unwrap_or_default()
        };
        let done = Box::new(move |stored: Result<Vec<_>, InboundError>| {
            let waiters = take(&waiting);
            let (result, rest) = match stored {
                Ok(updates) => (Ok(()), answer(waiters, &updates)),
                Err(error) => (Err(error), waiters),
            };
            if let Some(inbox) = inbox.upgrade() {
                inbox.push(Input::Stored(result, rest));
            }
        });
        if let Err(error) = self.history.append_ordered(batch, done) {
            let rest = take(&slot);
            self.inbox
                .push(Input::Stored(Err(InboundError::Relay(error)), rest));
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("member", &self.member)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbox")
    }
}
