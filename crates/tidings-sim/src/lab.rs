//! A whole hub in one thread, for the simulator and the fuzzers. Ingest, relay, history rules, router, shards
//! and sessions are those of production. What differs: the caller does the threads' work step by step, and
//! brings the runtime's clock and the `Storage`; subscribers read response bodies instead of sockets.

pub mod subscriptions;

use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tidings_auth::key::{Algorithm, VerifyKey};
use tidings_auth::{self as auth, Authority, Identity, Issuer};
use tidings_cluster::{Epoch, Relay};
use tidings_core::dialect::Dialect;
use tidings_core::event_id::Cursor;
use tidings_core::grant::Grants;
use tidings_core::hub_url::HubUrl;
use tidings_core::matcher::{Matcher, MatcherType};
use tidings_core::position::Position;
use tidings_core::update::Update;
use tidings_history::storage::Storage;
use tidings_history::{
    Bounds, Detached, Health, Kind, OpenError, Order, Outlet, Reading, Retention, Step,
};
use tidings_wire::publish_form::PublishForm;
use tokio::runtime::LocalRuntime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use tidings_hub::account::{self, Account, PlaceBounds};
use tidings_hub::answers::{Answers, Kept};
use tidings_hub::control::{Listener, Message};
use tidings_hub::ingest::{Ingest, Publisher};
use tidings_hub::metrics::Metrics;
use tidings_hub::posted::Encoding;
use tidings_hub::presence::{self, RollCall};
use tidings_hub::router::{Command, Router, Routing};
use tidings_hub::session::socket::{BodySink, Socket, StreamBody};
use tidings_hub::session::{Opening, Start};
use tidings_hub::shard::{self, Inbox, Shard, Shared, Subscription, sockjs};
use tidings_hub::subscribing;

/// The settings of a hub in the lab.
#[derive(Clone, Debug)]
pub struct Options {
    /// The number of shards, all in the calling thread.
    pub shards: usize,
    /// Bytes of recent updates in memory.
    pub ring_bytes: usize,
    /// The retention of the history.
    pub retention: Retention,
    /// The idle time after which a comment is sent.
    pub keep_alive: Duration,
    /// How long a subscriber may accept nothing before it is closed.
    pub stall: Duration,
    /// Whether presence is on.
    pub presence: bool,
}

/// A hub whose every step is triggered by the caller.
pub struct Lab {
    runtime: LocalRuntime,
    shared: Arc<Shared>,
    shards: Vec<Rc<Shard>>,
    history: Detached,
    routing: Routing,
    commands: mpsc::Receiver<Command>,
    committed: Committed,
    messages: Vec<Arc<Update>>,
}

/// Commands from the history's writer to the router.
type Committed = Arc<Mutex<Vec<Command>>>;

/// The answer to a publisher.
pub type Published = oneshot::Receiver<Result<String, String>>;

/// The open stream of one subscriber. Dropping it loses the connection.
pub struct Stream {
    body: StreamBody,
    /// The value of `Mercure-Last-Event-ID`.
    pub answered: String,
    /// The position of this value.
    pub after: Position,
}

/// The result of reading a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// Bytes of the event stream.
    Bytes(Bytes),
    /// Nothing is available now.
    Nothing,
    /// The hub has closed the stream.
    End,
}

impl Lab {
    /// Starts a hub on `storage` whose updates go through `relay`. The clock of `runtime` should be
    /// paused.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if the storage cannot be read, or another order is stored in it.
    ///
    /// # Panics
    ///
    /// If the relay does not start.
    pub fn start(
        runtime: LocalRuntime,
        storage: Box<dyn Storage>,
        options: &Options,
        relay: Arc<dyn Relay>,
    ) -> Result<Self, OpenError> {
        let hub_options = hub_options(options);
        let url = hub_options.hub.clone();
        let metrics = Arc::new(Metrics::new(|_registry| {}));
        let (router, commands) = Router::queue();
        let committed = Committed::default();
        let answers: Box<[Arc<Answers>]> = (0..options.shards).map(|_| Arc::default()).collect();
        let outlet = outlet(Arc::clone(&committed), answers.clone());
        let history = history_options(options).ordered_by(relay.epoch());
        let (handle, history) = tidings_history::detached(storage, history, outlet)?;
        let tip = handle.tip();
        start_relay(&*relay, &handle);
        let (inboxes, receivers): (Vec<Inbox>, Vec<_>) =
            (0..options.shards).map(|_| shard::inbox()).unzip();
        let messages = handle.take_for_hubs();
        let with_call = |hubs| (hubs, RollCall::of(&handle, &messages));
        let hubs = relay.roster().map(with_call);
        let channel = presence::Channel::new(hubs.is_some().then_some(tip));
        let mut routing = Routing::new(
            url.clone(),
            tip.position,
            options.shards,
            Arc::clone(&metrics),
        );
        if options.presence {
            let listener = channel.listener().into_iter();
            listener.for_each(|presence| routing.listen(presence));
        }
        let (presence, presence_commands) = channel.split();
        let shared = Arc::new(Shared {
            ingest: Ingest::new(
                url,
                Arc::clone(&relay),
                Arc::clone(&metrics.durations.publish),
            ),
            relay,
            answers,
            authority: Arc::new(authority()),
            account: account(),
            sockjs: sockjs::Seed::default(),
            loads: (0..options.shards).map(|_| AtomicUsize::new(0)).collect(),
            inboxes: inboxes.into(),
            options: tidings_hub::options::Current::new(hub_options),
            metrics,
            router,
            history: handle,
            presence: options.presence.then_some(presence),
        });
        let shards = runtime.block_on(async {
            if options.presence {
                subscriptions::keep(&shared, presence_commands, hubs);
            }
            let start = |(index, inbox)| {
                let shard = Shard::new(index, Arc::clone(&shared), tip);
                shard.spawn_own_tasks();
                tidings_hub::tasks::spawn(Rc::clone(&shard).serve_inbox(inbox));
                shard
            };
            receivers.into_iter().enumerate().map(start).collect()
        });
        Ok(Self {
            runtime,
            shared,
            shards,
            history,
            routing,
            commands,
            committed,
            messages,
        })
    }

    /// Returns the hub's URL.
    pub fn hub(&self) -> &HubUrl {
        self.shared.options.hub()
    }

    /// Returns the range of stored positions.
    pub fn bounds(&self) -> Bounds {
        self.shared.history.bounds()
    }

    /// Publishes on the first shard. The answer comes after the history's writer has run.
    ///
    /// # Panics
    ///
    /// If the lab has no shard.
    pub fn publish(&self, form: PublishForm) -> Published {
        let (answer, answered) = oneshot::channel();
        #[expect(
            clippy::expect_used,
            reason = "the caller's own number; a mistake ends the test"
        )]
        let shard = Rc::clone(self.shards.first().expect("a shard"));
        self.runtime.block_on(async {
            tidings_hub::tasks::spawn(async move {
                let result = shard
                    .ingest()
                    .publish(form, Publisher::Unchecked, None, None)
                    .await;
                let result = result.map(|update| update.id.as_str().to_owned());
                // A publisher that is gone needs no answer.
                answer.send(result.map_err(|error| error.to_string())).ok();
            });
        });
        answered
    }

    /// Lets `listener` hear what hubs publish from now on.
    pub fn listen(&mut self, listener: Box<dyn Listener>) {
        self.routing.listen(listener);
    }

    /// Returns the messages for hubs that were stored when the hub started.
    pub fn stored_messages(&self) -> &[Arc<Update>] {
        &self.messages
    }

    /// Tells all hubs something. The answer comes after the history's writer has run.
    pub fn tell(&self, message: &Message) -> Published {
        let (answer, answered) = oneshot::channel();
        let done = move |kept: Kept| {
            let kept = kept.map(|update| update.id.as_str().to_owned());
            // Whoever asked may be gone.
            answer.send(kept.map_err(|error| error.to_string())).ok();
        };
        // If it is refused at once, the answer is dropped.
        self.shared.ingest.tell(message, done).ok();
        answered
    }

    /// Subscribes on one of the shards. The stream comes after the router has run.
    ///
    /// # Panics
    ///
    /// If a pattern is invalid.
    pub fn subscribe(
        &self,
        shard: usize,
        patterns: &[(MatcherType, &str)],
        cursor: Option<&str>,
        grants: Option<Arc<Grants>>,
    ) -> oneshot::Receiver<Stream> {
        let (answer, answered) = oneshot::channel();
        let matcher =
            |&(kind, pattern): &(MatcherType, &str)| Matcher::parse(kind, pattern, self.hub());
        let matchers: Result<Vec<Matcher>, _> = patterns.iter().map(matcher).collect();
        #[expect(
            clippy::expect_used,
            reason = "the caller's own patterns; a mistake ends the test"
        )]
        let matchers = matchers.expect("a pattern");
        let cursor = cursor.map(Cursor::parse);
        #[expect(
            clippy::expect_used,
            reason = "the caller's own number; a mistake ends the test"
        )]
        let shard = Rc::clone(self.shards.get(shard).expect("a shard"));
        self.runtime.block_on(async {
            tidings_hub::tasks::spawn(async move {
                let opened = open(&shard, matchers, cursor, grants).await;
                if let Some(stream) = opened {
                    answer.send(stream).ok();
                }
            });
        });
        answered
    }

    /// Runs the tasks of shards and sessions until all of them are idle.
    pub fn run_until_idle(&self) {
        const TURNS: usize = 64;
        self.runtime.block_on(async {
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Runs the history's writer for one group. Returns whether there was one.
    pub fn write(&mut self, updates_max: usize, now: Reading) -> bool {
        self.history.write(updates_max, now)
    }

    /// Runs the history's reader. Returns whether it had any request.
    pub fn read(&mut self) -> bool {
        self.history.read()
    }

    /// Runs the history's work that is due each second.
    pub fn tick(&mut self, now: Reading) {
        self.history.tick(now);
    }

    /// Runs the router on its queue: first everything that was committed, since the writer waits
    /// for it, then up to `commands_max` other commands.
    ///
    /// # Panics
    ///
    /// If a shard's inbox is full. The caller prevents this by calling
    /// [`run_until_idle`](Self::run_until_idle).
    pub fn route(&mut self, commands_max: usize) {
        let committed = std::mem::take(
            &mut *self
                .committed
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for command in committed {
            self.routing.on_command(command);
        }
        for _ in 0..commands_max {
            let Ok(command) = self.commands.try_recv() else {
                break;
            };
            self.routing.on_command(command);
        }
        while self.routing.on_slack() {}
        for (shard, outgoing) in self.routing.take_outgoing() {
            let sent = self
                .shared
                .inboxes
                .get(shard)
                .is_some_and(|inbox| inbox.try_deliver(outgoing));
            assert!(sent, "a shard's inbox is full");
        }
    }

    /// Runs a future in the hub's runtime, for example to advance its clock.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Returns the health of the history.
    pub fn health(&self) -> Health {
        self.shared.history.health()
    }

    /// Returns the bytes in the fullest ring.
    pub fn ring_bytes(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.ring_bytes())
            .max()
            .unwrap_or_default()
    }

    /// Returns the number of distinct matchers in the router.
    pub fn matchers(&self) -> usize {
        self.routing.matchers()
    }

    /// Returns the number of sessions in all shards.
    pub fn sessions(&self) -> usize {
        self.shards.iter().map(|shard| shard.sessions()).sum()
    }
}

/// The URL of every hub in the lab.
const HUB: &str = "https://hub.example/.well-known/mercure";
/// The hub's key. No token is ever made with it: grants come from the caller.
const KEY: &str = "a key of the lab, long enough for HS256";

#[expect(clippy::expect_used, reason = "a fixed text; a mistake ends the test")]
fn hub() -> HubUrl {
    HubUrl::parse(HUB).expect("a URL")
}

#[expect(clippy::expect_used, reason = "a fixed text; a mistake ends the test")]
fn auth_options() -> auth::Options {
    let key = VerifyKey::parse(Algorithm::Hs256, KEY).expect("a key");
    let issuer = Issuer {
        issuer: "lab".into(),
        keys: key.into(),
        kid: None,
        publish: true,
        subscribe: true,
        dialects: vec![Dialect::V1],
    };
    auth::Options {
        issuers: vec![issuer],
        audiences: vec![HUB.to_owned()],
        cookie_names: Vec::new(),
        old_dialects: Vec::new(),
    }
}

fn hub_options(options: &Options) -> tidings_hub::options::Options {
    tidings_hub::options::Options {
        hub: hub(),
        ring_bytes: options.ring_bytes,
        anonymous: true,
        connection_max: None,
        keep_alive: options.keep_alive,
        stall: options.stall,
        patience: Duration::MAX,
        ends_abruptly: false,
        remembers_who_left: !presence::Options::DEFAULT.grace.is_zero(),
        sockjs_body_bytes_max: 0,
        sockjs_disconnect: Duration::ZERO,
        explain_refusals: true,
    }
}

fn history_options(options: &Options) -> tidings_history::Options {
    tidings_history::Options {
        kind: Kind::Memory,
        retention: options.retention,
        queue_max: 4096,
        group_max: 1024,
        reads_max: 4096,
        cache_bytes_max: 1024 * 1024,
        order: Order::Own(Epoch::new([0; 32])),
    }
}

/// Returns an account that refuses nothing.
fn account() -> Arc<Account> {
    let bytes = account::Bounds {
        holder_max: usize::MAX,
        address_max: usize::MAX,
        total_max: usize::MAX,
        sockjs_max: usize::MAX,
        unindexed_address_max: usize::MAX,
        unindexed_max: usize::MAX,
        rates: account::RateBounds::default(),
    };
    let places = PlaceBounds {
        total_max: usize::MAX,
        per_address_max: usize::MAX,
    };
    Account::new(bytes, places, places)
}

/// Makes what keeps each committed group for the router, which the lab drives, and hands over answers.
fn outlet(committed: Committed, answers: Box<[Arc<Answers>]>) -> Outlet {
    let later = move |command| {
        let mut commands = committed.lock().unwrap_or_else(PoisonError::into_inner);
        commands.push(command);
    };
    Box::new(move |step| match step {
        Step::Committed(group) => {
            let durable = Instant::now();
            later(Command::Committed { group, durable });
        }
        Step::Cut(tip) => later(Command::Cut(tip)),
        Step::Answered => answers.iter().for_each(|answers| answers.hand_over()),
    })
}

#[expect(
    clippy::expect_used,
    reason = "the caller's own relay; a mistake ends the test"
)]
fn start_relay(relay: &dyn Relay, history: &tidings_history::Handle) {
    let started = relay.start(Arc::new(history.clone()));
    started.expect("a relay that starts");
}

#[expect(
    clippy::expect_used,
    reason = "the lab's own key; a mistake ends the test"
)]
fn authority() -> Authority {
    Authority::new(auth_options(), hub()).expect("an authority")
}

/// Returns the identity of a token with these grants.
fn identity(grants: Arc<Grants>) -> Arc<Identity> {
    Arc::new(Identity {
        grants,
        expires_at: u64::MAX,
        dialect: Dialect::V1,
        issuer: "lab".into(),
        subject: None,
        token_id: None,
    })
}

async fn open(
    shard: &Rc<Shard>,
    matchers: Vec<Matcher>,
    cursor: Option<Cursor>,
    grants: Option<Arc<Grants>>,
) -> Option<Stream> {
    let identity = grants.map(identity);
    let holder = shard.account().admit_always(Ipv4Addr::LOCALHOST.into());
    let admitted = subscribing::admit(shard, &holder, identity, matchers, cursor)
        .await
        .ok()?;
    let after = match admitted.begins.start {
        Start::Now => shard.last_seen(),
        Start::After(position) | Start::AfterGap(position) => position,
        Start::Oldest => Position::ZERO,
    };
    let (sink, body) = BodySink::new();
    let (ready, joined) = oneshot::channel();
    let answered = admitted.begins.cursor.as_str().to_owned();
    let subscription = Subscription {
        admitted,
        dialect: Dialect::V1,
        log: None,
        encoding: Encoding::Plain,
        deadline: None,
        duplex: None,
    };
    let opening = Opening::Response {
        ready,
        prelude: Bytes::new(),
    };
    shard.hold(Socket::Body(sink), subscription, opening, holder);
    joined.await.ok()?;
    Some(Stream {
        body,
        answered,
        after,
    })
}

impl Stream {
    /// Reads what is available, without waiting.
    pub fn read(&mut self) -> Read {
        let cx = Context::from_waker(Waker::noop());
        match self.body.poll_piece(&cx) {
            Poll::Pending => Read::Nothing,
            Poll::Ready(None) => Read::End,
            Poll::Ready(Some(Ok(bytes))) => Read::Bytes(bytes),
            Poll::Ready(Some(Err(_broken_off))) => Read::End,
        }
    }
}

/// Returns a runtime for a lab: one thread, with a clock that only [`Lab::block_on`] moves if the
/// caller's tokio has the feature `test-util` and pauses it.
///
/// # Errors
///
/// [`io::Error`] if the operating system refuses its resources.
pub fn runtime(builder: &mut tokio::runtime::Builder) -> io::Result<LocalRuntime> {
    builder.build_local(tokio::runtime::LocalOptions::default())
}
