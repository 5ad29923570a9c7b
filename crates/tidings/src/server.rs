//! Starts the server's parts, runs them, and stops them in order. The simulator's `lab` does the same for its
//! hubs. What each part does is in its own file.

mod doors;
mod parts;
mod reloading;
mod steering;
mod stopping;

use std::cell::Cell;
use std::io;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use tidings_auth::key_fetch::Fetcher;
use tidings_auth::key_store::KeyStore;
use tidings_cluster::{Loopback, Movable, Relay};
use tidings_history::{Health, ReclaimError, Tip};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc, oneshot};

pub(crate) use self::parts::clock;
pub(crate) use self::reloading::Reloading;

use self::doors::Ports;
use crate::allocator;
use crate::binding::inherited::Inherited;
use crate::broker::{self, Bound};
use crate::certificate::Tls;
use crate::cluster;
use crate::config::Config;
use crate::control::hand_over::{self, Estate, Outcome};
use crate::control::message::{Reloaded, Request, write_line};
use crate::control::socket::ControlSocket;
use crate::control::take_over::Predecessor;
use crate::front::accept::{self, Door};
use crate::http::Site;
use crate::http::admin::desk::{Desk, Wish as AdminWish};
use crate::inbox;
use crate::notify::Notifier;
use crate::open_files;
use crate::signals::{Hangup, Signals, Wish};
use crate::telemetry::{metrics, output, traces};
use tidings_hub::clock::unix_secs;
use tidings_hub::metrics::Metrics;
use tidings_hub::options::Current;
use tidings_hub::presence::service::Service;
use tidings_hub::router::{self, Outgoing, Router};
use tidings_hub::shard::stopping::Arrivals;
use tidings_hub::shard::{self, Delivery, Inbox, Shard, Shared, sockjs};
use tidings_hub::steering::orders::Orders;
use tidings_hub::tasks;

/// How often the control thread looks at the history's health and at a drain's progress.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Hand-overs whose outcome the control thread has not seen.
const OUTCOMES_MAX: usize = 4;
/// How long a peer may take nothing of an answer by the control socket.
const ANSWER_MAX: Duration = Duration::from_millis(200);

/// The control thread's runtime and signals.
#[derive(Debug)]
pub struct Control {
    runtime: Runtime,
    signals: Signals,
}

impl Control {
    /// Begins to handle signals, and to write output without waiting for a reader. A command that runs a hub
    /// does this first.
    ///
    /// # Errors
    ///
    /// The system refuses a thread or a signal handler.
    pub fn start(hangup: Hangup) -> anyhow::Result<Self> {
        output::start().context("cannot start a thread")?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let signals = {
            let _inside = runtime.enter();
            Signals::listen(hangup).context("cannot listen for signals")?
        };
        Ok(Self { runtime, signals })
    }
}

/// What a hub begins with.
#[derive(Debug, Default)]
pub(crate) struct Beginning {
    /// Listeners that are open already.
    pub(crate) inherited: Inherited,
    /// Whose place it takes.
    pub(crate) succeeds: Succeeds,
    /// How it reads its configuration again, if it has a source.
    pub(crate) reloading: Option<Reloading>,
    /// Who is told how it is doing.
    pub(crate) notifier: Notifier,
}

/// Whose place a hub takes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Succeeds {
    /// Nobody's.
    #[default]
    Nobody,
    /// That of the hub that runs in its data folder, if one does.
    Running,
}

/// Runs a hub until it is told to stop, then stops it with a drain.
///
/// Calls `on_ready` once all listeners are open.
///
/// # Errors
///
/// Why the hub cannot start, or why it stopped by itself.
pub fn run(
    control: Control,
    config: Config,
    beginning: Beginning,
    on_ready: impl FnOnce(&Config),
) -> anyhow::Result<()> {
    let Control {
        runtime,
        mut signals,
    } = control;
    refuse_huge_pages();
    open_files::raise();
    let mut config = config;
    open_files::fit(&mut config);
    let Some(relay) = relay(&runtime, &mut signals, &config, beginning.succeeds)? else {
        return Ok(());
    };
    let hub = {
        let _inside = runtime.enter();
        Hub::start(config, relay, beginning)?
    };
    on_ready(&hub.live.load());
    hub.notifier.ready(&hub.status());
    let (outcomes, mut receiver) = mpsc::channel(OUTCOMES_MAX);
    let ending = runtime.block_on(hub.watch(&mut signals, outcomes, &mut receiver));
    let ending = hub.decided(ending, &mut receiver);
    let arrivals = match ending {
        Ending::HandedOver => Arrivals::Elsewhere,
        Ending::Asked | Ending::HistoryPoisoned(_) | Ending::HistoryLost(_) => Arrivals::Here,
    };
    hub.stop(&runtime, &mut signals, arrivals)?;
    match ending {
        Ending::Asked | Ending::HandedOver => Ok(()),
        Ending::HistoryPoisoned(reason) => bail!(
            "the contents of the history are unknown after a failed write, so the hub exits: {reason}"
        ),
        Ending::HistoryLost(error) => Err(error)
            .context("the process that was to take over failed, and the history did not come back"),
    }
}

/// Makes the relay, in a cluster by joining it. Returns nothing if a signal ends the start.
fn relay(
    runtime: &Runtime,
    signals: &mut Signals,
    config: &Config,
    succeeds: Succeeds,
) -> anyhow::Result<Option<Arc<dyn Relay>>> {
    let Some(options) = config.cluster.clone() else {
        return Ok(Some(Arc::new(Loopback::new())));
    };
    doors::refuse_take_over(config, succeeds)?;
    let history = config.history.kind.clone();
    let (joined, relay) = oneshot::channel();
    // A thread of its own, since it may wait for the engine for long. It ends with the process.
    std::thread::Builder::new()
        .name("joining".into())
        .spawn(move || {
            // Nobody waits any more after a signal.
            drop(joined.send(cluster::join(&options, &history)));
        })?;
    runtime.block_on(async {
        tokio::select! {
            joined = relay => {
                let relay: Arc<dyn Relay> = Arc::new(joined.context("joining the cluster ended in a panic")??);
                Ok(Some(relay))
            }
            () = signals.stop() => Ok(None),
        }
    })
}

/// Why the hub ends.
enum Ending {
    /// By a signal.
    Asked,
    /// Another process serves now.
    HandedOver,
    /// An fsync failed: the contents of the disk are unknown.
    HistoryPoisoned(Arc<str>),
    /// The history was given to a process that failed, and could not be taken back.
    HistoryLost(ReclaimError),
}

impl From<Outcome> for Ending {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::HandedOver => Self::HandedOver,
            Outcome::Lost(error) => Self::HistoryLost(error),
        }
    }
}

/// A running hub.
struct Hub {
    /// The configuration that counts now.
    live: Arc<ArcSwap<Config>>,
    reloading: Option<Reloading>,
    notifier: Notifier,
    shared: Arc<Shared>,
    tls: Option<Tls>,
    fetcher: Fetcher,
    key_store: Option<KeyStore>,
    /// Tells that there are other key sets to keep up to date.
    key_sets_replaced: Notify,
    shards: Vec<JoinHandle<()>>,
    router: JoinHandle<()>,
    broker: Option<broker::Handle>,
    /// Reads what applications publish by SQL, if the engine has an inbox.
    inbox: Option<inbox::Handle>,
    presence: Option<Service>,
    /// What a process that takes over gets.
    estate: Arc<Estate>,
    /// None if the data folder has no room for it.
    control: Option<ControlSocket>,
    /// What operators ask for.
    wishes: Cell<Option<mpsc::Receiver<AdminWish>>>,
    /// What operators of any hub of the cluster ask of all. None if the hub is alone.
    orders: Cell<Option<Orders>>,
    /// Sends spans to the collector, if there is one.
    exporter: Option<traces::Exporter>,
}

impl Hub {
    /// To be called in the control thread's runtime.
    fn start(config: Config, relay: Arc<dyn Relay>, beginning: Beginning) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::new(metrics::register));
        let tls = parts::tls(&config)?;
        // Ports first: a port that is in use must be reported before the history is opened.
        let Ports {
            doors,
            zeromq,
            kept,
            mut predecessor,
        } = Ports::open(&config, beginning.inherited, beginning.succeeds)?;
        let (router, commands) = Router::queue();
        let answers = parts::no_answers(&config);
        let relay = Arc::new(Movable::new(relay));
        let outlet = parts::outlet(router.clone(), answers.clone());
        // Last: publishers wait from here on until this process serves.
        let released = predecessor.as_mut().map(Predecessor::release);
        released.transpose()?;
        let history = parts::open_history(&config, &*relay, outlet, predecessor.is_some())?;
        let estate = parts::estate(&config, (&relay, &history), kept, answers.clone());
        let tip = history.tip();
        let (told, heard, mut orders) = parts::listeners(&*relay, &history, &metrics);
        let Queues {
            inboxes,
            receivers,
            broker: broker_receiver,
            router: router_thread,
        } = Queues::start(&config, (commands, tip), zeromq.as_ref(), told, &metrics)?;
        // Router and shards begin after the tip, and so does the relay.
        relay.start(Arc::new(history.clone()))?;
        let (ingest, exporter) = parts::ingest(&config, &relay, &metrics)?;
        let presence = parts::start_presence(&config, &ingest, &history, &metrics, heard)?;
        let shared = Arc::new(Shared {
            ingest,
            relay: Arc::clone(&relay) as Arc<dyn Relay>,
            answers,
            authority: Arc::new(parts::authority(&config, orders.as_mut())?),
            account: parts::account_of(&config),
            sockjs: sockjs::Seed::default(),
            loads: parts::no_loads(&config),
            inboxes: inboxes.into(),
            options: Current::new(parts::options(&config)),
            metrics,
            router,
            history,
            presence: presence.as_ref().and_then(Service::asked),
        });
        let key_store = parts::restore_key_sets(&config, &shared);
        let control = open_control(&config);
        let live = Arc::new(ArcSwap::from_pointee(config));
        let (desk, wishes) = Desk::new();
        let shards = start_shards(&shared, tip, (&live, tls.as_ref(), &desk), doors, receivers)?;
        let broker = zeromq.map(|zeromq| parts::start_broker(zeromq, &shared, broker_receiver));
        let ready = |from: Predecessor| from.ready(relay, shared.history.clone(), &estate);
        predecessor.map(ready).transpose()?;
        Ok(Self {
            inbox: parts::start_inbox(&live, &shared)?,
            live,
            reloading: beginning.reloading,
            notifier: beginning.notifier,
            shared,
            tls,
            fetcher: Fetcher::new()?,
            key_store,
            key_sets_replaced: Notify::new(),
            shards,
            router: router_thread,
            broker: broker.transpose()?,
            presence,
            estate,
            control,
            wishes: Cell::new(Some(wishes)),
            orders: Cell::new(orders),
            exporter,
        })
    }

    /// Waits for the end. Meanwhile renews the certificate and key sets, and watches the history's health.
    async fn watch(
        &self,
        signals: &mut Signals,
        outcomes: mpsc::Sender<Outcome>,
        receiver: &mut mpsc::Receiver<Outcome>,
    ) -> Ending {
        let certificate = async {
            match &self.tls {
                Some(tls) => {
                    let metrics = Arc::clone(&self.shared.metrics);
                    tls.watch(metrics, &*self.shared.relay).await
                }
                None => std::future::pending().await,
            }
        };
        let asked = async {
            while signals.next().await == Wish::Reload {
                self.reload();
            }
        };
        tokio::select! {
            () = asked => Ending::Asked,
            Some(outcome) = receiver.recv() => outcome.into(),
            never = self.serve_control(outcomes) => match never {},
            () = self.serve_operators() => Ending::Asked,
            never = self.obey_orders() => match never {},
            reason = self.poisoned() => Ending::HistoryPoisoned(reason),
            never = certificate => match never {},
            never = self.keep_key_sets() => match never {},
            never = allocator::give_back() => match never {},
            never = self.keep_notifying() => match never {},
        }
    }

    /// Serves the control socket; never ends.
    async fn serve_control(&self, outcomes: mpsc::Sender<Outcome>) -> std::convert::Infallible {
        let Some(control) = &self.control else {
            return std::future::pending().await;
        };
        loop {
            let (request, stream) = control.next().await;
            match request {
                Request::Reload => answer(stream, &self.reload()),
                Request::Compare => answer(stream, &self.compare()),
                Request::TakeOver { version } => {
                    let estate = Arc::clone(&self.estate);
                    let started = hand_over::start(stream, version, estate, outcomes.clone());
                    if let Err(error) = started {
                        tracing::warn!(%error, "cannot start a thread for a hand-over");
                    }
                }
            }
        }
    }

    /// Tells the service manager again and again that the hub is well, if it asks for that; never ends.
    async fn keep_notifying(&self) -> std::convert::Infallible {
        let Some(interval) = self.notifier.interval() else {
            return std::future::pending().await;
        };
        loop {
            self.notifier.alive(&self.status());
            tokio::time::sleep(interval).await;
        }
    }

    /// Returns one line about what the hub is doing.
    fn status(&self) -> String {
        format!(
            "{} connections, {} streams, {} updates published",
            self.shared.account.connections(),
            self.streams(),
            self.shared.history.stats().updates,
        )
    }

    /// Waits for a hand-over that has come to its last step, and says why the hub ends.
    fn decided(&self, ending: Ending, outcomes: &mut mpsc::Receiver<Outcome>) -> Ending {
        let deciding = self.estate.deciding.lock();
        let _decided = deciding.unwrap_or_else(PoisonError::into_inner);
        let ending = match outcomes.try_recv() {
            Ok(outcome) => outcome.into(),
            Err(_) => ending,
        };
        // Nobody can take over any more; and a listener that stayed open here would keep the address
        // from a process that comes after the next one.
        self.estate.close_listeners();
        ending
    }

    /// Keeps the issuers' key sets up to date, all concurrently. Never ends.
    async fn keep_key_sets(&self) -> std::convert::Infallible {
        let (store, counters) = (self.key_store.as_ref(), &self.shared.metrics.key_sets);
        loop {
            let sets = self.shared.authority.key_sets();
            let watches = sets
                .iter()
                .map(|set| set.watch(&self.fetcher, store, unix_secs, counters));
            tokio::select! {
                never = tasks::side_by_side(watches) => match never {},
                () = self.key_sets_replaced.notified() => {}
            }
        }
    }

    async fn poisoned(&self) -> Arc<str> {
        loop {
            if let Health::Poisoned { reason } = self.shared.history.health() {
                return reason;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Answers a request that came by the control socket.
fn answer(mut stream: UnixStream, reloaded: &Reloaded) {
    // A peer that takes nothing must not hold the control thread up; one that is gone has its reasons.
    let sent = stream
        .set_write_timeout(Some(ANSWER_MAX))
        .and_then(|()| write_line(&mut stream, reloaded));
    if let Err(error) = sent {
        tracing::debug!(%error, "an answer to a reload was not taken");
    }
}

/// The queues to the shards and the broker, and the router that fills them.
struct Queues {
    inboxes: Vec<Inbox>,
    receivers: Vec<mpsc::Receiver<Vec<Delivery>>>,
    broker: mpsc::Receiver<Vec<Outgoing>>,
    router: JoinHandle<()>,
}

impl Queues {
    /// Makes the queues and starts the router, which continues after `tip`.
    fn start(
        config: &Config,
        (commands, tip): (mpsc::Receiver<router::Command>, Tip),
        zeromq: Option<&Bound>,
        listeners: parts::Listeners,
        metrics: &Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let (inboxes, receivers): (Vec<Inbox>, Vec<mpsc::Receiver<_>>) =
            (0..config.server.shards).map(|_| shard::inbox()).unzip();
        let (broker_inbox, broker) = broker::inbox();
        let broker_inbox = Some(broker_inbox).filter(|_| zeromq.is_some_and(Bound::sends_updates));
        let router = router::start(
            commands,
            config.hub.clone(),
            tip.position,
            parts::destinations(&inboxes, broker_inbox),
            listeners,
            Arc::clone(metrics),
        )?;
        Ok(Self {
            inboxes,
            receivers,
            broker,
            router,
        })
    }
}

/// Opens the control socket. A hub also runs without it.
fn open_control(config: &Config) -> Option<ControlSocket> {
    match ControlSocket::open(&config.data_dir) {
        Ok(control) => Some(control),
        Err(error) => {
            let folder = config.data_dir.display();
            tracing::warn!(%error, %folder, "cannot open the control socket: no take-over or reload by command");
            None
        }
    }
}

/// Starts a thread for each of `receivers`, with the doors of its number. Doors answer by `live`, and
/// accept TLS connections by `tls`.
fn start_shards(
    shared: &Arc<Shared>,
    tip: Tip,
    (live, tls, desk): (&Arc<ArcSwap<Config>>, Option<&Tls>, &Desk),
    doors: Vec<Vec<Door>>,
    receivers: Vec<mpsc::Receiver<Vec<Delivery>>>,
) -> io::Result<Vec<JoinHandle<()>>> {
    // There is one list of doors for each shard.
    let parts = doors.into_iter().zip(receivers).enumerate();
    let start = |(index, (doors, inbox)): (_, (Vec<Door>, _))| {
        let (live, tls, desk) = (Arc::clone(live), tls.cloned(), desk.clone());
        let open = move |shard: &Rc<Shard>| {
            let site = Site::new(shard, &live, tls.as_ref(), Some(&desk));
            for door in doors {
                tasks::spawn(accept::serve(Rc::clone(&site), door));
            }
        };
        shard::start(index, Arc::clone(shared), tip, open, inbox)
    };
    parts.map(start).collect()
}

/// Turns off huge pages. The memory of thousands of small, long-lived sessions is scattered, and pages of two
/// megabytes around each piece would nearly double the memory of a subscriber.
fn refuse_huge_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "cannot turn off huge pages");
    }
}
