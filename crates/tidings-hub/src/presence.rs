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

mod hubs;
pub mod question;
pub mod service;
pub(crate) mod table;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidings_cluster::RelayError;
use tidings_cluster::engine::TooLarge;
use tidings_cluster::roster::Roster;
use tidings_core::hub_url::HubUrl;
use tidings_core::position::Position;
use tidings_core::update::{Draft, Update};
use tidings_history::Tip;
use tidings_history::sabotage::{Rule, skips};
use tidings_history::storage::Announced;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use self::hubs::{Others, changed};
use self::question::{Answer, Question, Scan};
pub use self::table::{Joined, Key};
use self::table::{Number, Outcome, Table};
use crate::answers::Kept;
use crate::control::{Listener, Message};
use crate::ingest::{Ingest, PublishError};
use crate::metrics::Metrics;

/// Commands that may wait. Beyond this, joining subscribers wait, and shards note which sessions ended.
pub(crate) const COMMANDS_MAX: usize = 4096;
/// Commands handled before other work gets its turn.
const COMMANDS_PER_TURN: usize = 256;
/// Events on their way into the history at once. Far fewer than the queue of publishers holds.
const PUBLISHING_MAX: usize = 512;
/// Questions that are being answered at once. Further ones are refused, and may be asked again.
const QUESTIONS_MAX: usize = 256;
/// Bytes of unfinished answers beyond which one is finished after the other.
const SCANNED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// From which the key of validators is derived: each hub of a cluster has the same.
const VALIDATORS: &str = "validators of presence";
/// Bytes of a validator. Enough that two are never equal by chance.
const VALIDATOR_BYTES: usize = 12;
/// The pause after the history did not store an event, before it gets the event again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// The pause before the engine gets an event again that was too large for it. Until a setting of the engine
/// changes, that is in vain.
const RETRY_TOO_LARGE_AFTER: Duration = Duration::from_secs(30);
/// How long a hub that ends waits for the last events.
const FAREWELL: Duration = Duration::from_secs(5);

/// How presence behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The grace period: a subscriber that comes back within it has neither left nor joined. May be zero.
    pub grace: Duration,
    /// Maximum number of tracked subscriptions.
    pub subscriptions_max: usize,
    /// Maximum number of subscriptions in one answer.
    pub page_size_max: usize,
    /// Whether events are also published under the paths of 0.x.
    pub old_paths: bool,
}

impl Options {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        grace: Duration::ZERO,
        subscriptions_max: 1_000_000,
        page_size_max: 10_000,
        old_paths: false,
    };
}

/// A command to presence.
#[derive(Debug)]
pub enum Command {
    /// A session began, or its matchers or identity changed.
    Joined(Joined),
    /// A session ended.
    Left(Key),
    /// The hub is being stopped. A subscriber that leaves now cannot come back before the next start.
    Drain,
    /// A question about subscriptions.
    Ask {
        /// The question.
        question: Question,
        /// What the table has everything of, in a cluster: as of when it was asked.
        heard: Option<Tip>,
        /// Takes the answer.
        reply: oneshot::Sender<Answer>,
    },
    /// Hubs of the cluster published these, in order.
    Heard(Box<[Arc<Update>]>),
    /// The history left its line.
    Cut,
    /// The hub ends, and so do all subscriptions that cannot be resumed after the next start.
    Stop,
}

/// A handle to presence, for the shards.
#[derive(Clone, Debug)]
pub struct Presence {
    commands: mpsc::Sender<Command>,
    heard: Option<Tail>,
}

/// The end of what presence was told of the log: its table has all of that as soon as the commands are
/// handled that wait now.
type Tail = Arc<Mutex<Tip>>;

/// The queue of presence, before there is one.
#[derive(Debug)]
pub struct Channel {
    presence: Presence,
    commands: mpsc::Receiver<Command>,
}

/// Tells presence what the hubs of a cluster publish.
struct Feed {
    commands: mpsc::Sender<Command>,
    heard: Tail,
}

impl Channel {
    /// Makes the queue. With `tip`, which is the end of the history, the hub is one of a cluster.
    #[must_use]
    pub fn new(tip: Option<Tip>) -> Self {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let heard = tip.map(|tip| Arc::new(Mutex::new(tip)));
        Self {
            presence: Presence { commands, heard },
            commands: receiver,
        }
    }

    /// Returns what has to hear what is committed after the tip, in a cluster.
    #[must_use]
    pub fn listener(&self) -> Option<Box<dyn Listener>> {
        let Presence { commands, heard } = self.presence.clone();
        let heard = heard?;
        Some(Box::new(Feed { commands, heard }))
    }

    /// Returns the handle and the commands.
    #[must_use]
    pub fn split(self) -> (Presence, mpsc::Receiver<Command>) {
        (self.presence, self.commands)
    }
}

impl Listener for Feed {
    fn on_committed(&mut self, own: &[Arc<Update>], tip: Tip) {
        if !own.is_empty() {
            // If presence is gone, the process is ending. It waits for nothing that the router does.
            drop(self.commands.blocking_send(Command::Heard(own.into())));
        }
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = tip;
    }

    fn on_cut(&mut self, tip: Tip) {
        drop(self.commands.blocking_send(Command::Cut));
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = tip;
    }
}

impl Presence {
    /// Tells that a session began. Waits while the queue is full.
    pub(crate) async fn join(&self, joined: Joined) {
        // If presence is gone, the process is ending.
        self.commands.send(Command::Joined(joined)).await.ok();
    }

    /// Tells that a session began or changed. Returns whether the queue had room.
    pub(crate) fn try_join(&self, joined: Joined) -> bool {
        match self.commands.try_send(Command::Joined(joined)) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => true,
            Err(mpsc::error::TrySendError::Full(_)) => false,
        }
    }

    /// Tells that a session ended. Returns whether the queue had room.
    pub(crate) fn try_leave(&self, key: Key) -> bool {
        match self.commands.try_send(Command::Left(key)) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => true,
            Err(mpsc::error::TrySendError::Full(_)) => false,
        }
    }

    /// Asks a question. None if too many questions wait, or if the hub ends.
    pub async fn ask(&self, question: Question) -> Option<Answer> {
        let (reply, answer) = oneshot::channel();
        // Read before the question is queued, so that everything up to there is ahead of it.
        let heard = self.heard.as_ref();
        let heard = heard.map(|heard| *heard.lock().unwrap_or_else(PoisonError::into_inner));
        let ask = Command::Ask {
            question,
            heard,
            reply,
        };
        self.commands.try_send(ask).ok()?;
        answer.await.ok()
    }

    /// Tells that the hub is being stopped. Blocks: call it from the control thread.
    pub(crate) fn drain(&self) {
        drop(self.commands.blocking_send(Command::Drain));
    }

    /// Tells that the hub ends. Blocks: call it from the control thread.
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
    /// Returns the last event id, up to which an answer is complete.
    pub history: tidings_history::Handle,
    /// Counts subscriptions, events and retries.
    pub metrics: Arc<Metrics>,
    /// Subscriptions that were announced and not ended: by an earlier process, and in a cluster by any
    /// hub.
    pub ghosts: Vec<Announced>,
    /// The hubs of the cluster, if there is one.
    pub roster: Option<(Hubs, RollCall)>,
    /// The grace period in force.
    pub grace: watch::Receiver<Duration>,
}

/// The hubs of a cluster, as they change.
pub type Hubs = watch::Receiver<Option<Arc<Roster>>>;

/// Whether a hub of a cluster has to ask the others for their subscriptions when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollCall {
    /// Its history has no updates, or has left a line and ended before it asked.
    Owed,
    /// Its history knows everything that began, as far as it goes.
    NotOwed,
}

impl RollCall {
    /// Looks into a history and its stored `messages` for hubs.
    #[must_use]
    pub fn of(history: &tidings_history::Handle, messages: &[Arc<Update>]) -> Self {
        let is_owed = match history.left_line_at() {
            None => history.tip().position == Position::ZERO,
            Some(left) => !messages.iter().any(|update| {
                update.position > left && Message::of(update) == Some(Message::RollCall)
            }),
        };
        match is_owed {
            true => Self::Owed,
            false => Self::NotOwed,
        }
    }
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let tracker = Tracker::new(options, dependencies, Box::new(random));
    std::thread::Builder::new()
        .name("presence".into())
        .spawn(move || runtime.block_on(tracker.run(commands)))
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

/// The state of the presence thread: the table, the events on their way, and the questions.
pub struct Tracker {
    table: Table,
    dependencies: Dependencies,
    page_size_max: usize,
    /// Turns versions into validators, which do not reveal them.
    validator: hmac::Key,
    scans: VecDeque<Scan>,
    /// Bytes of the unfinished answers in `scans`.
    scanned_bytes: usize,
    /// For each event, what became of it.
    results: mpsc::Receiver<(Sent, Published)>,
    report: mpsc::Sender<(Sent, Published)>,
    /// Events on their way into the history.
    publishing: usize,
    /// When publishing resumes, after the history did not store an event.
    paused_until: Option<Instant>,
    /// When to end at the latest, once the hub ends.
    ending: Option<Instant>,
    /// Whether nothing can be published any more: the relay has stopped, or another process has taken
    /// over and ends the subscriptions that it finds in the history.
    closed: bool,
    /// What is to be done about the other hubs, if there are any.
    others: Option<Others>,
}

/// What was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Event(Number),
    Message,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Published {
    Stored(Position),
    /// Not now: it is tried again.
    Refused,
    /// Not as long as the engine's settings stay: it is tried again much later.
    TooLarge(TooLarge),
    /// Nobody knows: it is tried again.
    InDoubt,
    /// Never.
    Closed,
}

impl Published {
    fn of(result: &Kept) -> Self {
        match result {
            Ok(update) => Self::Stored(update.position),
            Err(RelayError::Closed) => Self::Closed,
            Err(RelayError::InDoubt) => Self::InDoubt,
            Err(RelayError::TooLarge(why)) => Self::TooLarge(*why),
            Err(_) => Self::Refused,
        }
    }
}

impl Tracker {
    /// Makes the state. Subscriptions that an earlier process left behind end at once, or after the grace period
    /// if their subscribers may come back.
    pub fn new(options: Options, mut dependencies: Dependencies, random: table::Random) -> Self {
        // One more for a message.
        let (report, results) = mpsc::channel(PUBLISHING_MAX + 1);
        let ghosts = std::mem::take(&mut dependencies.ghosts);
        let page_size_max = options.page_size_max;
        let hub = dependencies.hub.clone();
        let holders = dependencies.history.holder_key().clone();
        let validator = holders.holder(VALIDATORS, "").bytes();
        let mut table = Table::new(options, hub, random, holders);
        let others = match dependencies.roster.take() {
            Some((hubs, roll_call)) => Some(Others::new(hubs, ghosts, roll_call)),
            None => {
                let left = ghosts.len();
                let ended = table.take_over(ghosts, Instant::now());
                tell_of_left_over(left, ended);
                None
            }
        };
        Self {
            others,
            table,
            dependencies,
            page_size_max,
            validator: hmac::Key::new(hmac::HMAC_SHA256, &validator),
            scans: VecDeque::new(),
            scanned_bytes: 0,
            results,
            report,
            publishing: 0,
            paused_until: None,
            ending: None,
            closed: false,
        }
    }

    /// Works until it is stopped and all events are published, or cannot be.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            // Each turn does some of every kind of work, so that no flood delays the rest.
            if self.waits_for_hubs() {
                self.on_hubs();
            }
            self.on_timeout();
            self.scan();
            self.publish();
            self.set_metrics();
            if self.is_over() {
                return;
            }
            let due = self.due();
            tokio::select! {
                biased;
                Some((sent, published)) = self.results.recv() => self.on_results(sent, published),
                () = changed(&mut self.others) => self.on_hubs(),
                command = commands.recv(), if self.ending.is_none() && !self.waits_for_hubs() => match command {
                    Some(command) => self.on_commands(command, &mut commands),
                    None => self.on_stop(),
                },
                () = tokio::task::yield_now(), if !self.scans.is_empty() => {}
                () = sleep_until(due), if due.is_some() => {}
            }
        }
    }

    fn on_commands(&mut self, first: Command, commands: &mut mpsc::Receiver<Command>) {
        self.table.set_grace(*self.dependencies.grace.borrow());
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
            Command::Ask {
                question,
                heard,
                reply,
            } => self.on_question(question, heard, reply),
            Command::Heard(own) => self.on_heard(&own),
            Command::Cut => self.call_the_roll(),
            Command::Stop => self.on_stop(),
        }
    }

    fn on_question(
        &mut self,
        question: Question,
        heard: Option<Tip>,
        reply: oneshot::Sender<Answer>,
    ) {
        if self.scans.len() >= QUESTIONS_MAX {
            // The dropped reply tells the asker.
            return;
        }
        // Read before the table, so that the table contains the effect of every event up to here.
        let history = &self.dependencies.history;
        let cursor = match heard {
            None => history.last_id(),
            Some(tip) => {
                let sealed = || history.seal().seal(tip.position, tip.print);
                (tip.position > Position::ZERO).then(sealed)
            }
        };
        let version = self.version(&question);
        let hub = self.dependencies.hub.path().to_owned();
        let scan = Scan::new(question, reply, cursor, version, hub, self.page_size_max);
        self.scans.push_back(scan);
    }

    /// Returns the validator of an answer. It differs whenever the answer does, and does not reveal how much has
    /// changed. The answer's form depends on the dialect, too.
    fn version(&self, question: &Question) -> String {
        let mut context = hmac::Context::with_key(&self.validator);
        context.update(question.dialect.name().as_bytes());
        for version in question.versions(&self.table) {
            context.update(&version.to_le_bytes());
        }
        let tag = context.sign();
        URL_SAFE_NO_PAD.encode(tag.as_ref().get(..VALIDATOR_BYTES).unwrap_or_default())
    }

    /// Continues the question that has waited longest. If the unfinished answers take much memory, continues the
    /// same one until it is answered.
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
        self.paused_until = None;
    }

    fn on_results(&mut self, sent: Sent, published: Published) {
        self.on_published(sent, published);
        while let Ok((sent, published)) = self.results.try_recv() {
            self.on_published(sent, published);
        }
    }

    fn on_published(&mut self, sent: Sent, published: Published) {
        if let (Sent::Event(number), Published::TooLarge(why)) = (sent, published) {
            return self.on_too_large(number, why);
        }
        let outcome = match published {
            Published::Stored(position) => Outcome::Stored(position),
            Published::Refused | Published::TooLarge(_) | Published::Closed => Outcome::Refused,
            Published::InDoubt => Outcome::InDoubt,
        };
        match published {
            Published::Stored(_) => {}
            Published::Refused | Published::TooLarge(_) | Published::InDoubt => self.pause(),
            Published::Closed => self.closed = true,
        }
        match sent {
            Sent::Event(number) => {
                self.publishing -= 1;
                if let Published::Stored(_) = published {
                    self.dependencies.metrics.presence.events.inc();
                }
                self.table.on_published(number, outcome);
            }
            Sent::Message => {
                if let Some(others) = &mut self.others {
                    others.on_told(outcome);
                }
            }
        }
    }

    /// The engine cannot take an event. The others do not wait for it.
    fn on_too_large(&mut self, number: Number, why: TooLarge) {
        self.publishing -= 1;
        self.dependencies.metrics.presence.retries.inc();
        let until = Instant::now() + RETRY_TOO_LARGE_AFTER;
        if let Some(subscription) = self.table.on_too_large(number, until) {
            tracing::warn!(
                subscription,
                "the engine takes no event of this subscription, which is tried again now and then: {why}"
            );
        }
    }

    fn on_timeout(&mut self) {
        let now = Instant::now();
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
        }
        self.table.on_timeout(now);
    }

    /// Publishes messages and events, as long as the relay accepts them.
    fn publish(&mut self) {
        self.tell();
        while !self.closed && self.paused_until.is_none() && self.publishing < PUBLISHING_MAX {
            let Some((number, draft)) = self.table.next_event() else {
                return;
            };
            self.publishing += 1;
            self.send(Sent::Event(number), draft);
        }
    }

    fn send(&mut self, sent: Sent, draft: Draft) {
        let report = self.report.clone();
        // The channel has room for everything that is on its way.
        let done = move |result: Kept| {
            report.try_send((sent, Published::of(&result))).ok();
        };
        match self.dependencies.ingest.enqueue_own(draft, done) {
            Ok(()) => {}
            Err(PublishError::Closed) => self.on_published(sent, Published::Closed),
            Err(_) => self.on_published(sent, Published::Refused),
        }
    }

    /// Publishes nothing for a while.
    fn pause(&mut self) {
        if self.paused_until.is_none() {
            self.dependencies.metrics.presence.retries.inc();
        }
        self.paused_until = Some(Instant::now() + RETRY_AFTER);
    }

    fn due(&self) -> Option<Instant> {
        let dues = [self.table.timeout(), self.paused_until, self.ending];
        dues.into_iter().flatten().min()
    }

    fn is_over(&self) -> bool {
        let Some(until) = self.ending else {
            return false;
        };
        if self.table.is_quiet() || self.closed {
            return true;
        }
        let late = Instant::now() >= until;
        if late {
            tracing::warn!(
                "not all ends of subscriptions were published; the next start publishes the rest"
            );
        }
        late
    }

    fn set_metrics(&self) {
        let live = i64::try_from(self.table.own()).unwrap_or(i64::MAX);
        self.dependencies.metrics.presence.subscriptions.set(live);
    }
}

fn tell_of_left_over(left: usize, ended: usize) {
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
            "keeping subscriptions of an earlier run for the grace period"
        );
    }
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
}
