//! Into the hub: messages become updates, in order, as fast as the history accepts them. When it
//! does not, the broker stops reading from the peers, so that they wait instead of losing messages.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use prometheus_client::metrics::counter::Counter;
use tidings_cluster::RelayError;
use tidings_core::event_id::EventId;
use tidings_core::update::{Draft, Update};
use tidings_wire::zmtp::frame;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::data_source::Attach;
use super::mapping::{self, Mapped, Unreadable};
use super::options::{HubInput, Options, Unparsable};
use super::outbox::Chunk;
use super::{HubParts, Shared};
use tidings_hub::ingest::{Ingest, PublishError, Publisher};
use tidings_hub::metrics::count;
use tidings_hub::refusal::Refusal;
use tidings_hub::tasks;

/// Maximum number of unacknowledged updates of one socket.
const IN_FLIGHT_MAX: usize = 1024;
/// Maximum number of chunks queued for the socket's bridge.
const WAITING_MAX: usize = 4;
/// Pause while the history's queue is full of other publishers' updates.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// Pause before updates that a faulty history refused are retried.
const FAULT_PAUSE: Duration = Duration::from_secs(1);
/// Minimum time between two log lines about unreadable messages.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The bridge from one socket into the hub.
#[derive(Clone)]
pub(crate) struct HubDoor {
    work: mpsc::Sender<Work>,
    in_flight: Rc<Cell<usize>>,
}

struct Work {
    chunk: Chunk,
    answer: Option<oneshot::Sender<String>>,
}

/// The outcome of an update.
type Outcome = (u64, Result<Arc<Update>, RelayError>);

struct Bridge {
    shared: Rc<Shared>,
    options: HubInput,
    node: Arc<str>,
    /// Whether the hub's outputs must recognise the updates.
    marks: bool,
    ingest: Ingest,
    updates: Counter,
    pending: HashMap<u64, Pending>,
    next: u64,
    /// Updates refused because of a fault, to be retried.
    failed: Vec<(u64, Pending)>,
    outcomes: mpsc::Receiver<Outcome>,
    outcome_sender: mpsc::Sender<Outcome>,
    in_flight: Rc<Cell<usize>>,
    complaints: Complaints,
}

struct Pending {
    draft: Draft,
    answer: Option<oneshot::Sender<String>>,
}

impl HubDoor {
    /// Starts the bridge of one socket.
    pub(crate) fn open(
        shared: &Rc<Shared>,
        options: &HubInput,
        broker: &Options,
        hub: &HubParts,
    ) -> Self {
        let (work, queue) = mpsc::channel(WAITING_MAX);
        let (outcome_sender, outcomes) = mpsc::channel(IN_FLIGHT_MAX);
        let in_flight = Rc::new(Cell::new(0));
        let bridge = Bridge {
            shared: Rc::clone(shared),
            options: options.clone(),
            node: Arc::clone(&broker.node),
            marks: options.source.attach == Attach::Connect && !broker.outputs.is_empty(),
            ingest: hub.ingest.clone(),
            updates: hub.updates.clone(),
            pending: HashMap::new(),
            next: 0,
            failed: Vec::new(),
            outcomes,
            outcome_sender,
            in_flight: Rc::clone(&in_flight),
            complaints: Complaints::default(),
        };
        tasks::spawn(bridge.run(queue));
        Self { work, in_flight }
    }

    /// Accepts messages, waiting while the hub is full.
    pub(crate) async fn take(&self, chunk: Chunk) {
        let answer = None;
        // The bridge lives as long as the broker.
        drop(self.work.send(Work { chunk, answer }).await);
    }

    /// Publishes one message and returns the reply for its sender.
    pub(crate) async fn ask(&self, chunk: Chunk) -> String {
        let (answer, told) = oneshot::channel();
        let answer = Some(answer);
        drop(self.work.send(Work { chunk, answer }).await);
        let stopping = |_gone| "error: the hub is being stopped".to_owned();
        told.await.unwrap_or_else(stopping)
    }

    /// Returns whether messages are in flight.
    pub(crate) fn is_busy(&self) -> bool {
        self.in_flight.get() > 0 || self.work.capacity() < WAITING_MAX
    }
}

impl Bridge {
    async fn run(mut self, mut queue: mpsc::Receiver<Work>) {
        loop {
            if !self.failed.is_empty() {
                self.recover().await;
            }
            tokio::select! {
                biased;
                Some(outcome) = self.outcomes.recv() => self.on_outcome(outcome),
                work = queue.recv(), if self.failed.is_empty() => match work {
                    Some(work) => self.on_work(work).await,
                    None => return,
                },
            }
            self.in_flight.set(self.pending.len() + self.failed.len());
        }
    }

    async fn on_work(&mut self, work: Work) {
        let Work { chunk, mut answer } = work;
        for index in 0..chunk.messages.len() {
            let wire = chunk.wire.get(chunk.range(index)).unwrap_or_default();
            let parts: Vec<&[u8]> = frame::parts(wire).collect();
            match self.draft(&parts) {
                Ok(Some(draft)) => {
                    let answer = answer.take();
                    self.submit(Pending { draft, answer }).await;
                }
                Ok(None) => tell(answer.take(), "ok"),
                Err(reason) => tell(answer.take(), &format!("error: {reason}")),
            }
            if !self.failed.is_empty() {
                self.recover().await;
            }
        }
    }

    /// Converts a message to a draft. `None` if it came from this hub.
    fn draft(&mut self, parts: &[&[u8]]) -> Result<Option<Draft>, String> {
        let mapped = mapping::read(&self.options, parts).or_else(|error| self.unread(parts, error));
        let Mapped { form, hub } = mapped.map_err(|error| error.to_string())?;
        if hub.as_deref() == Some(&*self.node) {
            count(&self.shared.counters.dropped, "own");
            return Ok(None);
        }
        let grants = Publisher::Grants(&self.options.grants);
        let mut draft = self.ingest.draft(form, grants).map_err(|error| {
            // The grants are the operator's own, so the whole reason is told.
            let refusal = Refusal::of_publishing(&error, true);
            count(&self.shared.counters.refused, refusal.name);
            let socket = self.options.source.to_string();
            self.complaints.say(&socket, &refusal.detail);
            refusal.detail
        })?;
        if self.marks {
            // The hub must recognise the update when it sends it out, so that it does not send it
            // back.
            let id = draft.id.take().or_else(new_id);
            if let Some(id) = &id {
                self.shared.foreign.insert(id);
            }
            draft.id = id;
        }
        Ok(Some(draft))
    }

    fn unread(&mut self, parts: &[&[u8]], error: Unreadable) -> Result<Mapped, Unreadable> {
        let socket = self.options.source.to_string();
        self.complaints.say(&socket, &error);
        if self.options.unparsable == Unparsable::Text {
            count(&self.shared.counters.refused, "unparsable_passed");
            return mapping::as_text(&self.options, parts);
        }
        count(&self.shared.counters.dropped, "unparsable");
        Err(error)
    }

    /// Passes an update to the history, waiting while its queue is full.
    async fn submit(&mut self, pending: Pending) {
        loop {
            while self.pending.len() >= IN_FLIGHT_MAX {
                self.await_outcome().await;
            }
            let number = self.next;
            let sender = self.outcome_sender.clone();
            // There is always room: the number in flight never exceeds the capacity of the queue.
            let done = move |result| drop(sender.try_send((number, result)));
            match self.ingest.enqueue(pending.draft.clone(), done) {
                Ok(()) => {
                    self.next += 1;
                    self.pending.insert(number, pending);
                    return;
                }
                Err(PublishError::Busy) if self.pending.is_empty() => {
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                Err(PublishError::Busy) => self.await_outcome().await,
                Err(closed) => {
                    count(&self.shared.counters.dropped, "stopping");
                    return tell(pending.answer, &format!("error: {closed}"));
                }
            }
        }
    }

    async fn await_outcome(&mut self) {
        if let Some(outcome) = self.outcomes.recv().await {
            self.on_outcome(outcome);
        }
    }

    fn on_outcome(&mut self, (number, result): Outcome) {
        let Some(mut pending) = self.pending.remove(&number) else {
            return;
        };
        match result {
            Ok(update) => {
                self.updates.inc();
                tell(pending.answer, update.id.as_str());
            }
            Err(RelayError::Unavailable { .. } | RelayError::Away { .. })
                if pending.answer.is_none() =>
            {
                self.failed.push((number, pending));
            }
            // A REQ peer decides itself whether to retry; if the history failed, the process exits.
            Err(error) => {
                if let Some(id) = &pending.draft.id {
                    self.shared.foreign.take(id);
                }
                count(&self.shared.counters.dropped, "history");
                tell(pending.answer.take(), &format!("error: {error}"));
            }
        }
    }

    /// Retries the updates that a fault kept out, in order, until the history accepts them.
    async fn recover(&mut self) {
        tracing::warn!(
            socket = %self.options.source,
            "the history refuses updates; ZeroMQ peers wait"
        );
        while !self.failed.is_empty() {
            while !self.pending.is_empty() {
                self.await_outcome().await;
            }
            tokio::time::sleep(FAULT_PAUSE).await;
            self.failed.sort_by_key(|(number, _)| *number);
            for (_, pending) in std::mem::take(&mut self.failed) {
                Box::pin(self.submit(pending)).await;
            }
            while !self.pending.is_empty() {
                self.await_outcome().await;
            }
        }
    }
}

fn tell(answer: Option<oneshot::Sender<String>>, text: &str) {
    if let Some(answer) = answer {
        // The REQ peer may be gone.
        drop(answer.send(text.to_owned()));
    }
}

fn new_id() -> Option<EventId> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    let uuid = uuid::Builder::from_random_bytes(bytes).into_uuid();
    EventId::parse(&format!("urn:uuid:{uuid}")).ok()
}

/// Logs, at a limited rate, that messages are not published, and why.
#[derive(Default)]
struct Complaints {
    said: Option<Instant>,
    silent: u64,
}

impl Complaints {
    fn say(&mut self, socket: &str, reason: &dyn std::fmt::Display) {
        if self.said.is_some_and(|said| said.elapsed() < LOG_EVERY) {
            self.silent += 1;
            return;
        }
        let more = std::mem::take(&mut self.silent);
        self.said = Some(Instant::now());
        tracing::warn!(socket, %reason, more, "a ZeroMQ message could not be published as configured");
    }
}
