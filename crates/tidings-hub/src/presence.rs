//! Presence: publishes an event when a subscription begins or ends, and answers requests for the list.
//!
//! ```text
//! sessions ──joined, left──▶ ┌──────────┐ ──events──▶ ingest ─▶ relay ─▶ history ─▶ router ─▶ shards
//! requests ──questions─────▶ │ presence │ ◀──kept or not──┘
//!          ◀──documents───── └──────────┘
//! ```
//!
//! One thread owns the table and does nothing else, so neither a large table nor a long answer delays an
//! update. The rules are in `table`, the documents in [`tidings_wire::subscription_document`], the answers
//! in [`question`]. This file holds the queues and the waiting. A hub without presence starts none of it.
//!
//! Mercure, "Active Subscriptions".

pub mod question;
pub mod service;
pub(crate) mod table;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidings_core::hub_url::HubUrl;
use tidings_history::sabotage::{Rule, skips};
use tidings_history::storage::Announced;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::question::{Answer, Question, Scan};
pub use self::table::{Joined, Key};
use self::table::{Number, Table};
use crate::ingest::Ingest;
use crate::metrics::Metrics;

/// Commands that may wait; beyond it joining subscribers wait, and those who left are noted by
/// their shard.
pub(crate) const COMMANDS_MAX: usize = 4096;
/// Commands taken before other work is looked after.
const COMMANDS_PER_TURN: usize = 256;
/// Events on their way into the history at once: far less than the queue of publishers holds.
const SAYING_MAX: usize = 512;
/// Questions that are being answered at once; further ones are told to come again.
const QUESTIONS_MAX: usize = 256;
/// Bytes of unfinished answers from which on one is finished after the other.
const SCANNED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of a validator: enough that two are never the same by chance.
const VALIDATOR_BYTES: usize = 12;
/// How long to wait before the history is given an event again that it did not take.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long the end of the hub waits for the last events.
const FAREWELL: Duration = Duration::from_secs(5);

/// How presence behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long who left may take to come back without anybody noticing. Zero: no time.
    pub grace: Duration,
    /// Subscriptions that are kept track of.
    pub subscriptions_max: usize,
    /// Subscriptions in one answer.
    pub page_size_max: usize,
    /// Whether events are also published under the paths of 0.x.
    pub old_paths: bool,
}

impl Options {
    /// What counts where nothing is configured.
    pub const DEFAULT: Self = Self {
        grace: Duration::ZERO,
        subscriptions_max: 1_000_000,
        page_size_max: 10_000,
        old_paths: false,
    };
}

/// What presence is told and asked.
#[derive(Debug)]
pub enum Command {
    /// A subscriber began, or asks for other matchers than before.
    Joined(Joined),
    /// One ended.
    Left(Key),
    /// The hub is being stopped: who leaves now cannot come back before the next start.
    Drain,
    /// Somebody asks for subscriptions.
    Ask(Question, oneshot::Sender<Answer>),
    /// The hub ends, and with it all that nobody can come back for.
    Stop,
}

/// The shards' way to presence.
#[derive(Clone, Debug)]
pub struct Presence {
    commands: mpsc::Sender<Command>,
}

impl Presence {
    /// Makes the queue; its thread serves it.
    pub fn queue() -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        (Self { commands }, receiver)
    }

    /// Says that a subscriber began, waiting while the queue is full.
    pub(crate) async fn join(&self, joined: Joined) {
        // Presence that is gone means that the process is ending.
        self.commands.send(Command::Joined(joined)).await.ok();
    }

    /// Says that a subscriber began or changed. Returns whether there was room for it in the queue.
    pub(crate) fn try_join(&self, joined: Joined) -> bool {
        match self.commands.try_send(Command::Joined(joined)) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => true,
            Err(mpsc::error::TrySendError::Full(_)) => false,
        }
    }

    /// Says that one ended. Returns whether there was room for it in the queue.
    pub(crate) fn try_leave(&self, key: Key) -> bool {
        match self.commands.try_send(Command::Left(key)) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => true,
            Err(mpsc::error::TrySendError::Full(_)) => false,
        }
    }

    /// Asks for subscriptions. Nothing means that too much is asked at once, or that the hub ends.
    pub async fn ask(&self, question: Question) -> Option<Answer> {
        let (reply, answer) = oneshot::channel();
        self.commands.try_send(Command::Ask(question, reply)).ok()?;
        answer.await.ok()
    }

    /// Says that the hub is being stopped. Blocks: call it from the control thread.
    pub(crate) fn drain(&self) {
        drop(self.commands.blocking_send(Command::Drain));
    }

    /// Says that the hub ends. Blocks: call it from the control thread.
    pub(crate) fn stop(&self) {
        drop(self.commands.blocking_send(Command::Stop));
    }
}

/// What presence needs of the rest of the hub.
pub struct Dependencies {
    /// The hub's public URL, below which presence events have their topics.
    pub hub: HubUrl,
    /// Publishes the presence events.
    pub ingest: Ingest,
    /// Gives the event id that an answer is complete up to.
    pub history: tidings_history::Handle,
    /// Counts subscriptions, events and retries.
    pub metrics: Arc<Metrics>,
    /// What an earlier process said of subscriptions and did not take back.
    pub ghosts: Vec<Announced>,
}

/// Starts the thread.
///
/// # Errors
///
/// The operating system refused the thread or its resources, or has no random bytes.
pub(crate) fn start(
    options: Options,
    dependencies: Dependencies,
    commands: mpsc::Receiver<Command>,
) -> io::Result<JoinHandle<()>> {
    let mut secret = [0; 16];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let keeper = Keeper::new(options, dependencies, Box::new(random), secret);
    std::thread::Builder::new()
        .name("presence".into())
        .spawn(move || runtime.block_on(keeper.run(commands)))
}

#[expect(
    clippy::expect_used,
    reason = "the same source gave the history's epoch when the hub started"
)]
fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("random bytes");
    bytes
}

/// Keeps the table, and the world informed about it.
pub struct Keeper {
    table: Table,
    dependencies: Dependencies,
    page_size_max: usize,
    /// Makes validators of versions, which nobody can read them from.
    validator: hmac::Key,
    scans: VecDeque<Scan>,
    /// Bytes of the answers in them.
    scanned_bytes: usize,
    said: mpsc::Receiver<(Number, bool)>,
    says: mpsc::Sender<(Number, bool)>,
    saying: usize,
    /// Until when the history is left alone, after it did not take something.
    pause: Option<Instant>,
    /// When the farewell ends, once the hub is being stopped.
    ending: Option<Instant>,
}

impl Keeper {
    /// Makes a keeper. What an earlier process left behind ends at once, or after the grace period if
    /// whoever holds it may come back.
    pub fn new(
        options: Options,
        mut dependencies: Dependencies,
        random: table::Random,
        secret: [u8; 16],
    ) -> Self {
        let (says, said) = mpsc::channel(SAYING_MAX);
        let ghosts = std::mem::take(&mut dependencies.ghosts);
        let page_size_max = options.page_size_max;
        let hub = dependencies.hub.clone();
        let holders = dependencies.history.holder_key().clone();
        let mut table = Table::new(options, hub, random, holders);
        let left = ghosts.len();
        let ended = table.take_over(ghosts, Instant::now());
        if ended > 0 {
            tracing::info!(
                count = ended,
                "ending subscriptions that an earlier run left behind"
            );
        }
        if left > ended {
            let count = left - ended;
            tracing::info!(
                count,
                "subscriptions of an earlier run wait for their subscribers to come back"
            );
        }
        Self {
            table,
            dependencies,
            page_size_max,
            validator: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            scans: VecDeque::new(),
            scanned_bytes: 0,
            said,
            says,
            saying: 0,
            pause: None,
            ending: None,
        }
    }

    /// Works until it is told to stop and everything is said, or cannot be.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            // Each turn some of everything: no flood of one kind keeps the others waiting.
            self.on_timeout();
            self.scan();
            self.say();
            self.report();
            if self.is_over() {
                return;
            }
            let due = self.due();
            tokio::select! {
                biased;
                Some((number, kept)) = self.said.recv() => self.on_said(number, kept),
                command = commands.recv(), if self.ending.is_none() => match command {
                    Some(command) => self.on_commands(command, &mut commands),
                    None => self.on_stop(),
                },
                () = tokio::task::yield_now(), if !self.scans.is_empty() => {}
                () = sleep_until(due), if due.is_some() => {}
            }
        }
    }

    fn on_commands(&mut self, first: Command, commands: &mut mpsc::Receiver<Command>) {
        self.on_command(first);
        for _ in 1..COMMANDS_PER_TURN {
            let Ok(command) = commands.try_recv() else {
                return;
            };
            self.on_command(command);
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Joined(joined) => {
                let refused = self.table.on_joined(joined);
                self.dependencies
                    .metrics
                    .presence
                    .untracked
                    .inc_by(refused as u64);
            }
            Command::Left(key) => {
                if !skips(Rule::TellOfLeaving) {
                    self.table.on_left(key, Instant::now());
                }
            }
            Command::Drain => self.table.on_drain(),
            Command::Ask(question, reply) => self.on_question(question, reply),
            Command::Stop => self.on_stop(),
        }
    }

    fn on_question(&mut self, question: Question, reply: oneshot::Sender<Answer>) {
        if self.scans.len() >= QUESTIONS_MAX {
            // Dropping the reply says so.
            return;
        }
        // Read before the table is: whatever was said up to here is in it, or no longer is.
        let cursor = self.dependencies.history.last_id();
        let version = self.version(&question);
        let hub = self.dependencies.hub.path().to_owned();
        let scan = Scan::new(question, reply, cursor, version, hub, self.page_size_max);
        self.scans.push_back(scan);
    }

    /// Returns the validator of an answer: other than that of another answer to the question, but
    /// without saying how much has changed. The words of an answer depend on the dialect, too.
    fn version(&self, question: &Question) -> String {
        let mut context = hmac::Context::with_key(&self.validator);
        context.update(question.dialect.name().as_bytes());
        for version in question.versions(&self.table) {
            context.update(&version.to_le_bytes());
        }
        let tag = context.sign();
        URL_SAFE_NO_PAD.encode(tag.as_ref().get(..VALIDATOR_BYTES).unwrap_or_default())
    }

    /// Goes on with the question that waits for longest; if much is waiting to be sent, with the same
    /// one until it is answered.
    fn scan(&mut self) {
        let Some(scan) = self.scans.pop_front() else {
            return;
        };
        let before = scan.bytes();
        let Some(unfinished) = scan.go_on(&self.table, &self.dependencies.hub) else {
            self.scanned_bytes -= before;
            return;
        };
        self.scanned_bytes += unfinished.bytes() - before;
        if self.scanned_bytes > SCANNED_BYTES_MAX {
            self.scans.push_front(unfinished);
        } else {
            self.scans.push_back(unfinished);
        }
    }

    fn on_stop(&mut self) {
        self.table.on_stop();
        self.scans.clear();
        self.scanned_bytes = 0;
        self.ending = Some(Instant::now() + FAREWELL);
        self.pause = None;
    }

    fn on_said(&mut self, number: Number, kept: bool) {
        self.on_one_said(number, kept);
        while let Ok((number, kept)) = self.said.try_recv() {
            self.on_one_said(number, kept);
        }
    }

    fn on_one_said(&mut self, number: Number, kept: bool) {
        self.saying -= 1;
        if kept {
            self.dependencies.metrics.presence.events.inc();
        } else {
            self.rest();
        }
        self.table.on_said(number, kept);
    }

    fn on_timeout(&mut self) {
        let now = Instant::now();
        if self.pause.is_some_and(|until| until <= now) {
            self.pause = None;
        }
        self.table.on_timeout(now);
    }

    /// Publishes events, as long as they are taken.
    fn say(&mut self) {
        while self.pause.is_none() && self.saying < SAYING_MAX {
            let Some((number, draft)) = self.table.next_event() else {
                return;
            };
            let says = self.says.clone();
            // There is a place for each of those that are being said.
            let done = Box::new(move |result: Result<_, _>| {
                says.try_send((number, result.is_ok())).ok();
            });
            if self.dependencies.ingest.enqueue_own(draft, done).is_ok() {
                self.saying += 1;
            } else {
                self.table.on_said(number, false);
                self.rest();
            }
        }
    }

    /// Leaves the history alone for a while.
    fn rest(&mut self) {
        if self.pause.is_none() {
            self.dependencies.metrics.presence.retries.inc();
        }
        self.pause = Some(Instant::now() + RETRY_AFTER);
    }

    fn due(&self) -> Option<Instant> {
        let dues = [self.table.timeout(), self.pause, self.ending];
        dues.into_iter().flatten().min()
    }

    fn is_over(&self) -> bool {
        let Some(until) = self.ending else {
            return false;
        };
        if self.table.is_quiet() {
            return true;
        }
        let late = Instant::now() >= until;
        if late {
            tracing::warn!(
                "not all ends of subscriptions were told; the next start tells the rest"
            );
        }
        late
    }

    fn report(&self) {
        let live = i64::try_from(self.table.len()).unwrap_or(i64::MAX);
        self.dependencies.metrics.presence.subscriptions.set(live);
    }
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
}
