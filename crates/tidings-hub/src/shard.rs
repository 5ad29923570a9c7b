//! A shard: a thread with its own runtime, listeners, connections and a part of the subscribers. Everything
//! in it is single-threaded. Other threads reach it only through its inbox.
//!
//! ```text
//! listeners ─▶ connection (hyper) ─▶ http ─▶ session ◀─ engine ◀─ inbox ◀─ router, other shards
//! ```

pub(crate) mod cursors;
pub(crate) mod engine;
pub mod looking;
pub mod patterns;
pub(crate) mod placing;
pub mod presence;
pub mod reading;
pub mod ring;
pub mod sockjs;
pub mod stopping;
pub(crate) mod timers;
mod tokens;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tidings_auth::Authority;
use tidings_auth::cache::TokenCache;
use tidings_cluster::Relay;
use tidings_core::dialect::Dialect;
use tidings_core::hub::SubscriberId;
use tidings_core::hub_url::HubUrl;
use tidings_core::position::Position;
use tidings_history::Tip;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;

use self::engine::Engine;
use self::looking::Look;
use self::patterns::{Compiler, Patterns};
use self::ring::Ring;
use self::stopping::{Begun, Drain, Stage};
use self::timers::{TICK, Tick};
use crate::account::{Account, Holder};
use crate::answers::Answers;
use crate::ingest::Ingest;
use crate::metrics::{Metrics, count};
use crate::options::{Current, Options};
use crate::posted::Encoding;
use crate::presence::Presence;
use crate::router::{Destination, Outgoing, Router};
use crate::session::duplex::{self, Duplex};
use crate::session::log::SessionLog;
use crate::session::socket::Socket;
use crate::session::{self, Ending, Opening, Parts, Session};
use crate::subscribing::Admitted;
use crate::tasks;
use crate::traces::Tracer;

/// How much earlier than its connection a stalled session ends.
const SESSION_AHEAD: Duration = Duration::from_secs(1);
/// Groups of deliveries that may wait for a shard.
const INBOX_MAX: usize = 1024;
/// Polls that may read from the history at the same time. Their memory is booked only once they have read.
/// Until then each may hold an update in several forms.
const POLLS_READING_MAX: usize = 8;
/// Groups of deliveries taken into one sweep.
const INBOX_PER_SWEEP: usize = 64;
/// Sessions written to before the shard does its other work.
const SESSIONS_PER_TURN: usize = 128;
/// Matchers that gather before they are released at the router.
const RELEASE_AT: usize = 256;
/// Bytes of tokens whose verification one shard remembers.
const TOKENS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What other threads send to a shard.
#[derive(Debug)]
pub enum Delivery {
    /// Output of the router.
    Routed(Outgoing),
    /// An event stream moved here from a fuller shard.
    Adopt(Box<Adoption>),
    /// A request for a SockJS session of this shard.
    SockJs(sockjs::Request),
    /// An operator asks about sessions.
    Look(Box<Look>),
    /// End all streams, spread over a time.
    Drain(Drain),
    /// Close connections without a request.
    Close,
    /// End the thread.
    Stop,
}

/// A subscriber's socket and its subscription, on their way to another shard.
#[derive(Debug)]
pub struct Adoption {
    pub(crate) socket: std::net::TcpStream,
    pub(crate) tls: Option<Box<rustls::ServerConnection>>,
    pub(crate) subscription: Subscription,
    pub(crate) head: Bytes,
    pub(crate) holder: Arc<Holder>,
}

/// A checked request to subscribe.
#[derive(Debug)]
pub struct Subscription {
    /// The matchers, the token's identity, and where the stream begins.
    pub admitted: Admitted,
    /// The Mercure version that the subscriber speaks.
    pub dialect: Dialect,
    /// What is logged of it, if anything.
    pub log: Option<Box<SessionLog>>,
    /// How updates are framed for it.
    pub encoding: Encoding,
    /// When the stream ends at the latest, and why.
    pub deadline: Option<(Instant, Ending)>,
    /// The parts of the receiving half, if the session is two-way.
    pub duplex: Option<Box<duplex::Parts>>,
}

/// The sending end of a shard's inbox, for other threads.
#[derive(Clone, Debug)]
pub struct Inbox(mpsc::Sender<Vec<Delivery>>);

impl Inbox {
    /// Delivers, and waits while the shard is behind. Not to be called on a shard's thread.
    pub fn blocking_send(&self, deliveries: Vec<Delivery>) {
        // If the shard is gone, the process is ending.
        drop(self.0.blocking_send(deliveries));
    }

    /// Delivers, waiting while the shard is behind.
    pub async fn send(&self, deliveries: Vec<Delivery>) {
        // A shard that is gone means that the process is ending.
        drop(self.0.send(deliveries).await);
    }

    /// Delivers if there is room. Returns whether there was.
    pub(crate) fn try_send(&self, deliveries: Vec<Delivery>) -> bool {
        self.0.try_send(deliveries).is_ok()
    }

    /// Delivers output of the router, if there is room. Returns whether there was.
    pub fn try_deliver(&self, outgoing: Vec<Outgoing>) -> bool {
        self.try_send(outgoing.into_iter().map(Delivery::Routed).collect())
    }

    /// Hands over a stream. Returns it if the shard has no room.
    fn try_adopt(&self, adoption: Box<Adoption>) -> Option<Box<Adoption>> {
        let refused = match self.0.try_send(vec![Delivery::Adopt(adoption)]) {
            Ok(()) => return None,
            Err(
                mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back),
            ) => back,
        };
        refused.into_iter().find_map(|delivery| match delivery {
            Delivery::Adopt(adoption) => Some(adoption),
            Delivery::Routed(_)
            | Delivery::SockJs(_)
            | Delivery::Look(_)
            | Delivery::Drain(_)
            | Delivery::Close
            | Delivery::Stop => None,
        })
    }
}

impl Destination for Inbox {
    fn deliver(&self, outgoing: Vec<Outgoing>) {
        self.blocking_send(outgoing.into_iter().map(Delivery::Routed).collect());
    }
}

/// Makes the inbox of a shard that is about to start.
pub fn inbox() -> (Inbox, mpsc::Receiver<Vec<Delivery>>) {
    let (sender, receiver) = mpsc::channel(INBOX_MAX);
    (Inbox(sender), receiver)
}

/// What all shards share.
#[derive(Debug)]
pub struct Shared {
    /// What the hub was started with.
    pub options: Current,
    /// The counters of the process.
    pub metrics: Arc<Metrics>,
    /// Interns the matchers of new subscribers.
    pub router: Router,
    /// Orders and stores updates.
    pub relay: Arc<dyn Relay>,
    /// Keeps updates and resolves cursors.
    pub history: tidings_history::Handle,
    /// Tracks subscriptions. None unless it is configured.
    pub presence: Option<Presence>,
    /// The way in for publishers. Each shard gets a copy that answers on its own thread.
    pub ingest: Ingest,
    /// The relay's answers to the publishers of each shard.
    pub answers: Box<[Arc<Answers>]>,
    /// Verifies tokens.
    pub authority: Arc<Authority>,
    /// The memory and the places that peers take.
    pub account: Arc<Account>,
    /// Maps SockJS sessions to shards.
    pub sockjs: sockjs::Seed,
    /// Sessions on each shard.
    pub loads: Box<[AtomicUsize]>,
    /// One inbox for each shard, by index.
    pub inboxes: Box<[Inbox]>,
}

/// One shard, as its own tasks see it.
#[derive(Debug)]
pub struct Shard {
    index: usize,
    shared: Arc<Shared>,
    ingest: Ingest,
    engine: RefCell<Engine>,
    tokens: RefCell<TokenCache>,
    patterns: Patterns,
    /// Turns of polls that read from the history.
    poll_turns: Semaphore,
    started: Instant,
    /// Sessions whose end presence has not been told yet, because its queue was full.
    departed: RefCell<Vec<SubscriberId>>,
    /// SockJS sessions without a connection of their own.
    sockjs: sockjs::Sessions,
    /// How many lines the history has left.
    lines_left: Cell<u64>,
    stage: watch::Sender<Stage>,
    drain: Cell<Option<Begun>>,
}

/// Starts a shard's thread. `tip` is where the history stood before any shard could publish: the batches in
/// the inbox continue there. `open` is called on the thread, to let connections in.
///
/// # Errors
///
/// The operating system refused the thread, or its runtime the resources.
pub fn start(
    index: usize,
    shared: Arc<Shared>,
    tip: Tip,
    open: impl FnOnce(&Rc<Shard>) + Send + 'static,
    inbox: mpsc::Receiver<Vec<Delivery>>,
) -> io::Result<JoinHandle<()>> {
    // The runtime must not move between threads, so the thread builds it and reports the result.
    let (report, built) = sync_channel(1);
    let thread = std::thread::Builder::new()
        .name(format!("shard-{index}"))
        .spawn(move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            let (runtime, result) = match runtime {
                Ok(runtime) => (Some(runtime), Ok(())),
                Err(error) => (None, Err(error)),
            };
            // The caller waits for the report below.
            drop(report.send(result));
            if let Some(runtime) = runtime {
                runtime.block_on(run(index, shared, tip, open, inbox));
            }
        })?;
    let gone = |_| io::Error::other("the thread of a shard ended before it had started");
    built.recv().map_err(gone)??;
    Ok(thread)
}

async fn run(
    index: usize,
    shared: Arc<Shared>,
    tip: Tip,
    open: impl FnOnce(&Rc<Shard>),
    inbox: mpsc::Receiver<Vec<Delivery>>,
) {
    let shard = Shard::new(index, shared, tip);
    open(&shard);
    shard.spawn_own_tasks();
    shard.serve_inbox(inbox).await;
}

impl Shard {
    /// Makes a shard on the calling thread. Nothing runs yet.
    pub fn new(index: usize, shared: Arc<Shared>, tip: Tip) -> Rc<Self> {
        let options = shared.options.get();
        let keep_alive = options.keep_alive;
        let ring = Ring::new(tip, options.ring_bytes);
        let mut engine = Engine::new(
            shared.options.hub().clone(),
            ring,
            (!keep_alive.is_zero()).then_some(keep_alive),
        );
        if let Some(tracer) = shared.ingest.tracer() {
            engine.trace_by(Arc::clone(tracer), index);
        }
        let tokens = TokenCache::new(Arc::clone(&shared.authority), TOKENS_BYTES_MAX);
        Rc::new(Self {
            index,
            ingest: shared
                .ingest
                .answering_by(shared.answers.get(index).cloned()),
            shared,
            engine: RefCell::new(engine),
            tokens: RefCell::new(tokens),
            patterns: Patterns::new(),
            poll_turns: Semaphore::new(POLLS_READING_MAX),
            started: Instant::now(),
            departed: RefCell::default(),
            lines_left: Cell::new(0),
            sockjs: sockjs::Sessions::default(),
            stage: watch::Sender::new(Stage::Serving),
            drain: Cell::new(None),
        })
    }

    /// Returns the bytes that this shard's ring holds.
    pub fn ring_bytes(&self) -> usize {
        self.engine.borrow().ring.bytes()
    }

    /// Returns the last position that reached this shard.
    pub fn last_seen(&self) -> Position {
        self.engine.borrow().ring.last()
    }

    /// Returns how many sessions this shard holds.
    pub fn sessions(&self) -> usize {
        self.engine.borrow().len()
    }

    pub(crate) fn tracer(&self) -> Option<&Arc<Tracer>> {
        self.shared.ingest.tracer()
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn options(&self) -> Arc<Options> {
        self.shared.options.get()
    }

    /// Returns the hub's public URL.
    pub fn hub(&self) -> &HubUrl {
        self.shared.options.hub()
    }

    /// Returns the counters of the process.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    pub(crate) fn router(&self) -> &Router {
        &self.shared.router
    }

    /// Returns the relay that orders and stores updates.
    pub fn relay(&self) -> &dyn Relay {
        &*self.shared.relay
    }

    /// Returns the history of the process.
    pub fn history(&self) -> &tidings_history::Handle {
        &self.shared.history
    }

    /// Returns the way in for publishers whose requests reached this shard. They are answered on its thread.
    pub fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    /// Returns what verifies tokens. [`TokenCache`] asks it only for tokens that this shard has not seen lately.
    pub fn authority(&self) -> &Authority {
        &self.shared.authority
    }

    /// Returns the turns of polls that read from the history.
    pub fn poll_turns(&self) -> &Semaphore {
        &self.poll_turns
    }

    /// Returns the account of the memory and the places that peers take.
    pub fn account(&self) -> &Arc<Account> {
        &self.shared.account
    }

    /// Returns what all shards share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Returns the compiler for the matchers of one request.
    pub fn compiler(&self) -> Compiler<'_> {
        self.patterns.compiler(self.hub())
    }

    /// Returns how long a peer may take nothing before its session is closed.
    pub fn stall(&self) -> Duration {
        self.options().stall
    }

    /// Returns how long a peer may take nothing before its connection or stream ends, whatever is sent on it.
    /// Longer than a session waits, so that a session can still say why it ends.
    pub fn transport_stall(&self) -> Duration {
        self.stall().saturating_add(SESSION_AHEAD)
    }

    /// Returns the current bucket of coarse time.
    pub(crate) fn now(&self) -> Tick {
        Tick::of(self.started, Instant::now())
    }

    /// Returns how long the hub has served.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns a way to learn that the hub is being stopped.
    pub fn stages(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Returns whether the hub is being stopped.
    pub fn is_stopping(&self) -> bool {
        self.stage.borrow().is_stopping()
    }

    /// Works until [`Delivery::Stop`] arrives.
    pub async fn serve_inbox(self: Rc<Self>, mut inbox: mpsc::Receiver<Vec<Delivery>>) {
        while let Some(deliveries) = inbox.recv().await {
            let mut stop = self.on_deliveries(deliveries);
            for _ in 1..INBOX_PER_SWEEP {
                let Ok(deliveries) = inbox.try_recv() else {
                    break;
                };
                stop |= self.on_deliveries(deliveries);
            }
            self.sweep().await;
            if stop {
                return;
            }
        }
    }

    /// Handles deliveries. Returns whether the shard is to end.
    fn on_deliveries(self: &Rc<Self>, deliveries: Vec<Delivery>) -> bool {
        let mut stop = false;
        for delivery in deliveries {
            match delivery {
                Delivery::Routed(Outgoing::Batch(batch)) => self.engine.borrow_mut().mark(&batch),
                Delivery::Routed(Outgoing::Joined { ticket, ids, at }) => {
                    self.engine.borrow_mut().on_joined(ticket.0, ids, at);
                }
                Delivery::Routed(Outgoing::Cut(tip)) => self.on_cut(tip),
                Delivery::Routed(Outgoing::Withdrawn(topic, through)) => {
                    self.engine.borrow_mut().ring.withdraw(&topic, through);
                }
                Delivery::Look(look) => self.on_look(*look),
                Delivery::Adopt(adoption) => self.adopt(*adoption),
                Delivery::SockJs(request) => self.on_sockjs_request(request),
                Delivery::Drain(drain) => self.on_drain(drain),
                Delivery::Close => self.on_closing(),
                Delivery::Stop => stop = true,
            }
        }
        stop
    }

    async fn sweep(&self) {
        loop {
            let swept = self
                .engine
                .borrow_mut()
                .flush(self.now(), SESSIONS_PER_TURN);
            let metrics = self.metrics();
            metrics.deliveries.inc_by(swept.updates);
            metrics.delivered_bytes.inc_by(swept.bytes);
            metrics.lagging.inc_by(swept.lagging);
            if swept.done {
                break;
            }
            tokio::task::yield_now().await;
        }
        let durations = &self.metrics().durations.delivery;
        let mut engine = self.engine.borrow_mut();
        engine.count_durations(Instant::now(), durations);
    }

    /// Starts the shard's tasks other than its inbox.
    pub fn spawn_own_tasks(self: &Rc<Self>) {
        tasks::spawn(Rc::clone(self).keep_time());
        if let Some(answers) = self.shared.answers.get(self.index) {
            tasks::spawn(Arc::clone(answers).serve());
        }
    }

    /// Sends keep-alives and ends streams on time, as long as the shard lives.
    async fn keep_time(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            loop {
                let written = self.engine.borrow_mut().on_timer(self.now());
                let Some(written) = written else { break };
                self.metrics().keep_alives.inc_by(written);
                // One bucket may hold thousands of sessions.
                tokio::task::yield_now().await;
            }
            self.forget_sockjs();
            self.give_back_matchers(1);
            self.tell_departed();
        }
    }

    /// Releases the matchers of ended sessions at the router, if at least `gathered` of them wait.
    fn give_back_matchers(&self, gathered: usize) {
        let mut engine = self.engine.borrow_mut();
        if engine.released.len() >= gathered {
            let ids = std::mem::take(&mut engine.released);
            if let Err(ids) = self.router().try_release(ids) {
                engine.released = ids;
            }
        }
    }

    /// Ends the streams of a line that the history left.
    fn on_cut(&self, tip: Tip) {
        let ended = self.engine.borrow_mut().cut(tip);
        self.metrics().gaps.inc_by(ended as u64);
        self.lines_left.set(self.lines_left.get() + 1);
    }

    /// Returns how many lines the history has left, as far as this shard knows.
    pub(crate) fn lines_left(&self) -> u64 {
        self.lines_left.get()
    }

    /// Makes a session for a stream, and runs it.
    pub fn hold(
        self: &Rc<Self>,
        socket: Socket,
        subscription: Subscription,
        opening: Opening,
        holder: Arc<Holder>,
    ) -> Rc<Session> {
        let deadline = subscription
            .deadline
            .map(|(instant, ending)| (self.tick_before(instant), ending));
        let now = self.now();
        let duplex = subscription.duplex.map(|parts| {
            let lifetime = parts.lifetime.map(|instant| self.tick_before(instant));
            Box::new(Duplex::new(*parts, &holder, now, lifetime))
        });
        let admitted = subscription.admitted;
        let start = admitted.begins.start;
        // The history left the line in which its place was found, and nobody told it.
        let astray = admitted.line.is_some_and(|line| line != self.lines_left());
        let session = self.engine.borrow_mut().insert(|id| {
            Session::new(Parts {
                id,
                encoding: subscription.encoding,
                dialect: subscription.dialect,
                log: subscription.log,
                socket,
                matchers: admitted.matchers,
                booked: admitted.booked,
                identity: admitted.identity,
                now,
                deadline,
                duplex,
                holder,
            })
        });
        self.metrics().subscribers.inc();
        let transport = session.transport();
        self.metrics().sessions.on_begin(transport, session.dialect);
        if session.is_websocket() {
            self.metrics().websockets.inc();
        }
        if let Some(load) = self.shared.loads.get(self.index) {
            load.fetch_add(1, Ordering::Relaxed);
        }
        // A deadline within the current bucket ends the session now. The next look would come too late.
        let overdue = deadline.filter(|(end, _)| *end <= now);
        if self.ends_at_once(&session) {
            session.close(Ending::Drained);
        } else if self.is_revoked(&session) {
            session.close(Ending::TokenRevoked);
        } else if astray {
            session.close(Ending::Overtaken);
        } else if let Some((_, ending)) = overdue {
            session.close(ending);
        }
        tasks::spawn(session::run(
            Rc::clone(self),
            Rc::clone(&session),
            opening,
            start,
        ));
        session
    }

    /// Returns the bucket before that of `instant`. A bucket is handled after it has begun, and a session must
    /// not outlive its token.
    pub(crate) fn tick_before(&self, instant: Instant) -> Tick {
        Tick::of(self.started, instant).before()
    }

    /// Removes a session that ended.
    pub(crate) fn on_session_end(&self, session: &Session, ending: Ending) {
        self.engine.borrow_mut().remove(session);
        self.give_back_matchers(RELEASE_AT);
        self.tell_left(session);
        // Before the gauge, so that a reader who sees one subscriber less sees the reason too.
        count(&self.metrics().sessions_closed, ending.name());
        self.metrics().subscribers.dec();
        let transport = session.transport();
        self.metrics().sessions.on_end(transport, session.dialect);
        if session.is_websocket() {
            self.metrics().websockets.dec();
        }
        if let Some(load) = self.shared.loads.get(self.index) {
            load.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(log) = &session.log {
            log.on_end();
        }
        let dialect = session.dialect.name();
        tracing::debug!(reason = ending.name(), dialect, "event stream ended");
    }
}
