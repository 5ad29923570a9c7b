//! Publishing by SQL: applications insert updates into the inbox of the cluster's database, within their own
//! transactions, and one hub of the cluster publishes them from there.
//!
//! ```text
//! application ─▶ tidings.publish() ─▶ inbox ─▶ pages, by id ─▶ ingest ─▶ relay
//!                                       ▲            removed when stored ─┘
//! ```
//!
//! Everything runs in one thread. While a page is on its way to the history, the next one is read; it is handed
//! over when all of the first is stored, so that no update overtakes another (decision 0030).

mod page;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tidings_cluster::Relay;
use tidings_cluster::engine::EngineError;
use tidings_cluster::roster::Roster;
use tidings_hub::ingest::Ingest;
use tidings_hub::metrics::InboxCounters;
use tidings_postgresql::inbox::{Inbox, Limits, RowId};
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use self::page::Page;
use crate::cluster::INBOX_LEASE;

/// Pause after a fault of the database or of the relay.
const FAULT_PAUSE: Duration = Duration::from_secs(1);
/// How often the primary is looked up, the rows that wait are counted, and the limits compared.
const LOOK_AROUND_EVERY: Duration = Duration::from_secs(5);
/// Looks at an empty inbox take at most one part in so many of the database's time, as far as the longest pause allows.
const IDLE_SHARE: u32 = 20;
/// Longest pause between two looks, however long one took: that may have been a lock, or a busy machine.
const IDLE_PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long a stop waits for what is being published.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// How the inbox is read.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Where it is.
    pub(crate) engine: tidings_postgresql::Options,
    /// Pause between two looks at an empty inbox.
    pub(crate) poll: Duration,
}

/// The parts of the hub that it needs.
pub(crate) struct HubParts {
    /// Returns what `publish()` checks that depends on the configuration of this moment.
    pub(crate) limits: Box<dyn Fn() -> Limits + Send>,
    pub(crate) ingest: Ingest,
    pub(crate) relay: Arc<dyn Relay>,
    pub(crate) counters: Arc<InboxCounters>,
    pub(crate) updates: prometheus_client::metrics::counter::Counter,
}

/// The running reader of the inbox.
pub(crate) struct Handle {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Handle {
    /// Ends it: what is being published is waited for and removed, for a bounded time.
    ///
    /// # Errors
    ///
    /// The payload of the thread's panic.
    pub(crate) fn stop(self) -> std::thread::Result<()> {
        self.stop.send_replace(true);
        self.thread.join()
    }
}

/// Starts the thread. Nothing is read while another hub of the cluster has the turn.
///
/// # Errors
///
/// The operating system refused the thread, or the runtime its resources.
pub(crate) fn start(options: Options, hub: HubParts) -> io::Result<Option<Handle>> {
    // Without a cluster there is no inbox.
    let Some(roster) = hub.relay.roster() else {
        return Ok(None);
    };
    let stop = watch::Sender::new(false);
    let stopping = stop.subscribe();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new()
        .name("inbox".into())
        .spawn(move || {
            let turn = Turn { roster, stopping };
            let reader = Reader {
                inbox: Inbox::new(options.engine.clone()),
                options,
                hub,
                turn,
                told: None,
                complained: false,
                counted: None,
            };
            runtime.block_on(reader.run());
        })?;
    Ok(Some(Handle { stop, thread }))
}

/// Whether this hub reads the inbox now.
struct Turn {
    roster: watch::Receiver<Option<Arc<Roster>>>,
    stopping: watch::Receiver<bool>,
}

impl Turn {
    fn is_here(&self) -> bool {
        let roster = self.roster.borrow();
        let holds = roster
            .as_ref()
            .is_some_and(|roster| roster.holds(INBOX_LEASE));
        holds && !self.is_over()
    }

    fn is_over(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Waits until something changes, `within` that time at most.
    async fn changed(&mut self, within: Duration) {
        let changed = async {
            tokio::select! {
                changed = self.roster.changed() => changed,
                changed = self.stopping.changed() => changed,
            }
        };
        match timeout(within, changed).await {
            Ok(Ok(())) | Err(_) => {}
            // The hub ends.
            Ok(Err(_gone)) => sleep(within).await,
        }
    }

    /// Waits for a pause, as long as it is this hub's turn.
    async fn pause(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        while self.is_here() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.changed(left).await;
        }
    }
}

struct Reader {
    inbox: Inbox,
    options: Options,
    hub: HubParts,
    turn: Turn,
    /// What `publish()` was told.
    told: Option<Limits>,
    /// Whether the log says that the inbox cannot be read.
    complained: bool,
    /// When the rows that wait were counted.
    counted: Option<Instant>,
}

impl Reader {
    async fn run(mut self) {
        while !self.turn.is_over() {
            if !self.turn.is_here() {
                self.turn.changed(FAULT_PAUSE).await;
                continue;
            }
            self.hub.counters.held.set(1);
            let read = self.read().await;
            self.leave();
            if let Err(error) = read {
                self.complain(&error);
                self.turn.pause(FAULT_PAUSE).await;
            }
        }
    }

    /// Counts a fault, and logs the first of several.
    fn complain(&mut self, error: &EngineError) {
        self.hub.counters.faults.inc();
        if !std::mem::replace(&mut self.complained, true) {
            let error = error.line();
            tracing::warn!(
                error,
                "the inbox of the database cannot be read: what was published by SQL waits there"
            );
        }
    }

    /// Forgets what is known while it is this hub's turn: the next holder may change everything.
    fn leave(&mut self) {
        self.inbox.reset();
        self.told = None;
        self.counted = None;
        let counters = &self.hub.counters;
        counters.held.set(0);
        counters.waiting.set(0);
        counters.refused_rows.set(0);
    }

    /// Publishes what is in the inbox, as long as it is this hub's turn.
    async fn read(&mut self) -> Result<(), EngineError> {
        let mut page = Page::default();
        let mut done = Vec::new();
        while self.turn.is_here() {
            self.look_around().await?;
            // The relay has the page while the next one is read.
            page.hand_over(&self.hub.ingest);
            let begun = Instant::now();
            let rows = self.inbox.next(&done, &page.ids()).await?;
            let took = begun.elapsed();
            if std::mem::take(&mut self.complained) {
                tracing::info!("the inbox of the database is read again");
            }
            done = self.settle(&mut page).await;
            if !page.is_empty() {
                break;
            }
            let bytes_max = (self.hub.limits)().body_bytes_max;
            let (next, refused) = Page::of(rows, &self.hub.ingest, bytes_max);
            for (id, refusal) in refused {
                self.inbox.refuse(id, &refusal.detail).await?;
                tidings_hub::metrics::count(&self.hub.counters.refused, refusal.name);
                let (reason, name) = (refusal.detail, refusal.name);
                tracing::warn!(
                    row = id.place,
                    name,
                    reason,
                    "an update published by SQL was refused, and moved to the table inbox_refused"
                );
            }
            page = next;
            if page.is_empty() && done.is_empty() {
                let pause = took.saturating_mul(IDLE_SHARE - 1).min(IDLE_PAUSE_MAX);
                self.turn.pause(pause.max(self.options.poll)).await;
            }
        }
        // What was stored is removed, whoever has the turn now.
        self.inbox.remove(&done).await
    }

    /// Waits until all of the page is stored, and hands over again what the relay did not take. Returns the ids
    /// of what was stored. Only what is not stored stays in the page: after the turn has ended.
    async fn settle(&mut self, page: &mut Page) -> Vec<RowId> {
        let mut done = Vec::new();
        loop {
            let over = async {
                while !self.turn.is_over() {
                    self.turn.changed(FAULT_PAUSE).await;
                }
                sleep(STOP_WITHIN).await;
            };
            tokio::select! {
                () = page.outcomes() => {}
                () = over => {}
            }
            let settled = page.take_stored();
            for stored in &settled.stored {
                self.hub.counters.published.inc();
                self.hub.updates.inc();
                self.hub.counters.delay.observe(stored.delay);
            }
            done.extend(settled.stored.iter().map(|stored| stored.id));
            if page.is_empty() {
                return done;
            }
            if let Some(error) = settled.fault {
                self.hub.counters.faults.inc();
                tracing::debug!(%error, rows = page.ids().len(), "updates published by SQL wait");
            }
            self.turn.pause(FAULT_PAUSE).await;
            if !self.turn.is_here() {
                return done;
            }
            page.hand_over(&self.hub.ingest);
        }
    }

    /// Looks whether the primary is another server now, tells the database the limits if they have changed, and
    /// counts what waits, now and then.
    async fn look_around(&mut self) -> Result<(), EngineError> {
        let counted = self.counted.as_ref();
        if counted.is_some_and(|counted| counted.elapsed() < LOOK_AROUND_EVERY) {
            return Ok(());
        }
        self.counted = Some(Instant::now());
        self.inbox.look_up().await?;
        let limits = (self.hub.limits)();
        if self.told.as_ref() != Some(&limits) {
            self.inbox.limit(&limits).await?;
            self.told = Some(limits);
        }
        let state = self.inbox.state().await?;
        self.hub.counters.waiting.set(state.waiting);
        self.hub.counters.refused_rows.set(state.refused);
        Ok(())
    }
}
