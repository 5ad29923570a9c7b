//! Starts the server's parts, runs them, and ends them in order. `lab` does the same for a hub of the
//! simulator; what each part does is in its own file.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tidings_auth::Authority;
use tidings_auth::key_fetch::Fetcher;
use tidings_auth::key_set::Source;
use tidings_auth::key_store::KeyStore;
use tidings_cluster::{Loopback, Relay};
use tidings_history::{Clock, Health, Outlet, Reading, Step, Tip};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use crate::broker::{self, Bound, HubParts};
use crate::config::{Config, StreamEnd};
use crate::front::accept::{self, Door, DoorKind};
use crate::front::tls::Certificate;
use crate::http::Site;
use crate::open_files;
use crate::signals::{Hangup, Signals, Wish};
use crate::telemetry::output;
use crate::{allocator, binding};
use tidings_hub::account::{Account, Bounds, PlaceBounds};
use tidings_hub::answers::Answers;
use tidings_hub::clock::{unix_ms, unix_secs};
use tidings_hub::ingest::Ingest;
use tidings_hub::metrics::Metrics;
use tidings_hub::options::Options;
use tidings_hub::presence::service::Service;
use tidings_hub::router::{self, Destination, Outgoing, Router};
use tidings_hub::shard::{self, Delivery, Inbox, Shard, Shared, sockjs};
use tidings_hub::tasks;

/// Longest wait for the streams to end, beyond the time that they were spread over.
const DRAIN_SLACK: Duration = Duration::from_millis(500);
/// Where the last good key sets are kept, in the data folder.
const KEY_SETS_FOLDER: &str = "key-sets";
/// How often the control thread looks at the history's health and at a drain's progress.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The control thread's own: what listens for signals and looks after the hub.
#[derive(Debug)]
pub struct Control {
    runtime: Runtime,
    signals: Signals,
}

impl Control {
    /// Begins to take signals, and to write without waiting for a reader: the first thing that a
    /// command does whose hub runs.
    ///
    /// # Errors
    ///
    /// The system refuses a thread or a handler.
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

/// Runs a hub until it is told to stop, then ends it in good form.
///
/// Calls `on_ready` once all listeners are open.
///
/// # Errors
///
/// What keeps the hub from starting, or what made it end before it was told to.
pub fn run(control: Control, config: Config, on_ready: impl FnOnce(&Config)) -> anyhow::Result<()> {
    let Control {
        runtime,
        mut signals,
    } = control;
    refuse_huge_pages();
    open_files::raise();
    let mut config = config;
    open_files::fit(&mut config);
    let hub = Hub::start(config)?;
    on_ready(&hub.config);
    let ending = runtime.block_on(hub.watch(&mut signals));
    hub.stop(&runtime, &mut signals)?;
    match ending {
        Ending::Asked => Ok(()),
        Ending::HistoryPoisoned(reason) => bail!(
            "the history is in doubt after a failed write, so the hub ends instead of promising \
             what it cannot keep: {reason}"
        ),
    }
}

/// Why the hub ends.
enum Ending {
    /// By a signal.
    Asked,
    /// A sync failed: what is on the disk is not known.
    HistoryPoisoned(Arc<str>),
}

/// A running hub.
struct Hub {
    config: Arc<Config>,
    shared: Arc<Shared>,
    certificate: Option<Arc<Certificate>>,
    fetcher: Fetcher,
    key_store: Option<KeyStore>,
    shards: Vec<JoinHandle<()>>,
    router: JoinHandle<()>,
    broker: Option<broker::Handle>,
    presence: Option<Service>,
}

impl Hub {
    fn start(config: Config) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::new(output::register));
        let certificate = config.tls.clone().map(Certificate::read).transpose()?;
        let tls = certificate
            .as_ref()
            .map(Certificate::server_config)
            .transpose()?;
        // Ports first: a port that is taken must be said before the history is opened.
        let doors = bind(&config)?;
        let zeromq = config.zeromq.clone().map(broker::bind).transpose()?;

        let (router, commands) = Router::queue();
        let answers: Box<[Arc<Answers>]> =
            (0..config.server.shards).map(|_| Arc::default()).collect();
        let relay: Arc<dyn Relay> = Arc::new(Loopback::new());
        let history = open_history(&config, &*relay, outlet(router.clone(), answers.clone()))?;
        let (inboxes, receivers): (Vec<Inbox>, Vec<mpsc::Receiver<_>>) =
            (0..config.server.shards).map(|_| shard::inbox()).unzip();
        let tip = history.tip();
        let (broker_inbox, broker_receiver) = broker::inbox();
        let broker_inbox =
            Some(broker_inbox).filter(|_| zeromq.as_ref().is_some_and(Bound::sends_updates));
        let router_thread = router::start(
            commands,
            config.hub.clone(),
            tip.position,
            destinations(&inboxes, broker_inbox),
            Arc::clone(&metrics),
        )?;
        // Router and shards begin after the tip: what the relay hands over comes after it.
        relay.start(Arc::new(history.clone()))?;
        let ingest = Ingest::new(config.hub.clone(), Arc::clone(&relay));
        let presence = Service::start(
            config.presence.clone(),
            config.hub.clone(),
            &ingest,
            &history,
            &metrics,
        )?;
        let shared = Arc::new(Shared {
            ingest,
            relay,
            answers,
            authority: Arc::new(Authority::new(config.auth.clone(), config.hub.clone())?),
            account: account_of(&config),
            sockjs: sockjs::Seed::default(),
            loads: (0..config.server.shards)
                .map(|_| AtomicUsize::new(0))
                .collect(),
            inboxes: inboxes.into(),
            options: options(&config),
            metrics,
            router,
            history,
            presence: presence.as_ref().and_then(Service::asked),
        });
        let config = Arc::new(config);
        let key_store = restore_key_sets(&config, &shared);
        let shards = start_shards(&shared, tip, (&config, tls.as_ref()), doors, receivers)?;
        let broker = zeromq
            .map(|zeromq| start_broker(zeromq, &shared, broker_receiver))
            .transpose()?;
        Ok(Self {
            config,
            shared,
            certificate,
            fetcher: Fetcher::new()?,
            key_store,
            shards,
            router: router_thread,
            broker,
            presence,
        })
    }

    /// Waits for the end, looking after the certificate and the history meanwhile.
    async fn watch(&self, signals: &mut Signals) -> Ending {
        let certificate = async {
            match &self.certificate {
                Some(certificate) => {
                    Arc::clone(certificate)
                        .watch(Arc::clone(&self.shared.metrics))
                        .await
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
            reason = self.poisoned() => Ending::HistoryPoisoned(reason),
            never = certificate => match never {},
            never = self.keep_key_sets() => match never {},
            never = allocator::give_back() => match never {},
        }
    }

    /// Has everything read again that can be read again while the hub runs.
    fn reload(&self) {
        let certificate = self.certificate.as_ref();
        let key_sets = self.shared.authority.key_sets();
        if let Some(certificate) = certificate {
            certificate.want();
        }
        for set in &key_sets {
            set.want();
        }
        let (certificate, key_sets) = (certificate.is_some(), key_sets.len());
        if certificate || key_sets > 0 {
            tracing::info!(
                certificate,
                key_sets,
                "SIGHUP: reloading files and key sets; configuration changes need a restart"
            );
        } else {
            tracing::info!("SIGHUP: nothing to reload; configuration changes need a restart");
        }
    }

    /// Keeps the issuers' key sets up to date, all at once; never ends.
    async fn keep_key_sets(&self) -> std::convert::Infallible {
        let sets = self.shared.authority.key_sets();
        let (store, counters) = (self.key_store.as_ref(), &self.shared.metrics.key_sets);
        let watches = sets
            .iter()
            .map(|set| set.watch(&self.fetcher, store, unix_secs, counters));
        tasks::side_by_side(watches).await
    }

    async fn poisoned(&self) -> Arc<str> {
        loop {
            if let Health::Poisoned { reason } = self.shared.history.health() {
                return reason;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Ends the streams, then the threads, then the history.
    fn stop(self, control: &Runtime, signals: &mut Signals) -> anyhow::Result<()> {
        let within = self.config.server.drain;
        tracing::info!(within_secs = within.as_secs_f64(), "stopping");
        // Before the first stream ends.
        if let Some(presence) = &self.presence {
            presence.drain();
        }
        for inbox in &self.shared.inboxes {
            inbox.blocking_send(vec![Delivery::Drain(within)]);
        }
        control.block_on(async {
            // A second signal means now.
            tokio::select! {
                () = self.drained(Instant::now() + within + DRAIN_SLACK) => {}
                () = signals.stop() => {}
            }
        });
        for inbox in &self.shared.inboxes {
            inbox.blocking_send(vec![Delivery::Stop]);
        }
        for shard in self.shards {
            if shard.join().is_err() {
                bail!("a shard ended in a panic");
            }
        }
        // After the shards, so that what they still published goes out; before the history, so that
        // what peers sent is kept.
        if let Some(broker) = self.broker
            && broker.stop().is_err()
        {
            bail!("the broker ended in a panic");
        }
        if let Some(presence) = self.presence
            && presence.stop().is_err()
        {
            bail!("presence ended in a panic");
        }
        self.shared.relay.stop();
        self.shared.history.clone().close();
        self.shared.router.stop();
        if self.router.join().is_err() {
            bail!("the router ended in a panic");
        }
        Ok(())
    }

    async fn drained(&self, deadline: Instant) {
        while self.shared.account.connections() > 0 && Instant::now() < deadline {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Starts a thread for each of `receivers`, with the doors of its number. Doors answer by `config`, and
/// accept TLS connections by `tls`.
fn start_shards(
    shared: &Arc<Shared>,
    tip: Tip,
    (config, tls): (&Arc<Config>, Option<&Arc<rustls::ServerConfig>>),
    doors: Vec<Vec<Door>>,
    receivers: Vec<mpsc::Receiver<Vec<Delivery>>>,
) -> io::Result<Vec<JoinHandle<()>>> {
    // There are as many lists of doors, one for each shard.
    let parts = doors.into_iter().zip(receivers).enumerate();
    let start = |(index, (doors, inbox)): (_, (Vec<Door>, _))| {
        let (config, tls) = (Arc::clone(config), tls.cloned());
        let open = move |shard: &Rc<Shard>| {
            let site = Site::new(shard, &config, tls.as_ref());
            for door in doors {
                tasks::spawn(accept::serve(Rc::clone(&site), door));
            }
        };
        shard::start(index, Arc::clone(shared), tip, open, inbox)
    };
    parts.map(start).collect()
}

/// Returns what the hub is told of a configuration.
fn options(config: &Config) -> Options {
    let presence = config.presence.as_ref();
    Options {
        hub: config.hub.clone(),
        ring_bytes: config.ring_bytes,
        anonymous: config.subscribe.anonymous,
        connection_max: config.subscribe.connection_max,
        keep_alive: config.subscribe.keep_alive,
        stall: config.limits.stall,
        patience: config.limits.head,
        ends_abruptly: config.subscribe.end == StreamEnd::Abrupt,
        remembers_who_left: presence.is_some_and(|presence| !presence.grace.is_zero()),
        sockjs_body_bytes_max: config.sockjs.body_bytes_max,
        sockjs_disconnect: config.sockjs.disconnect,
        explain_refusals: config.explain_refusals,
    }
}

/// Makes the account that the limits of a configuration ask for.
fn account_of(config: &Config) -> Arc<Account> {
    let (limits, sockjs) = (&config.limits, &config.sockjs);
    let bounds = Bounds {
        holder_max: limits.peer_memory_bytes_per_connection_max,
        address_max: limits.peer_memory_bytes_per_address(),
        total_max: limits.peer_memory_bytes_max,
        sockjs_max: sockjs.queue_bytes_max,
        unindexed_address_max: limits.unindexed_patterns_per_address(),
        unindexed_max: limits.unindexed_patterns_max,
    };
    let connections = PlaceBounds {
        total_max: limits.connections_max,
        per_address_max: limits.connections_per_address_max,
    };
    let sockjs_sessions = PlaceBounds {
        total_max: sockjs.sessions_max,
        per_address_max: sockjs.sessions_per_address_max,
    };
    Account::new(bounds, connections, sockjs_sessions)
}

/// Lets the key sets that were kept count until their issuers answer: before the first request asks for
/// a key. Returns where they are kept, if they are to be.
fn restore_key_sets(config: &Config, shared: &Shared) -> Option<KeyStore> {
    let sets = shared.authority.key_sets();
    let urls = sets.iter().filter_map(|set| match set.source() {
        Source::Url(url) => Some(url.clone()),
        Source::File(_) => None,
    });
    let folder = config.data_dir.join(KEY_SETS_FOLDER);
    let store = KeyStore::new(folder, config.key_sets_cache);
    let kept = !config.key_sets_cache.is_zero();
    let wanted: Vec<url::Url> = urls.filter(|_| kept).collect();
    if let Err(error) = store.forget_others(&wanted) {
        tracing::warn!(%error, "cannot remove outdated key sets from the cache");
    }
    if wanted.is_empty() {
        return None;
    }
    for set in sets {
        set.restore(&store, unix_secs(), &shared.metrics.key_sets);
    }
    Some(store)
}

/// Opens the history, which takes its order from `relay` or orders itself.
fn open_history(
    config: &Config,
    relay: &dyn Relay,
    outlet: Outlet,
) -> anyhow::Result<tidings_history::Handle> {
    let options = config.history.clone().ordered_by(relay.epoch());
    Ok(tidings_history::start(options, outlet, clock())?)
}

/// Makes what takes each committed group from the history's writer: updates go to the router, answers
/// to the shards of their publishers.
fn outlet(router: Router, answers: Box<[Arc<Answers>]>) -> Outlet {
    Box::new(move |step| match step {
        Step::Committed(group) => router.committed(group),
        Step::Answered => answers.iter().for_each(|answers| answers.hand_over()),
        Step::Cut(tip) => router.cut(tip),
    })
}

/// Returns where updates go: to each shard, and to the broker if it sends any.
fn destinations(inboxes: &[Inbox], broker: Option<broker::Inbox>) -> Vec<Box<dyn Destination>> {
    let shards = inboxes
        .iter()
        .map(|inbox| -> Box<dyn Destination> { Box::new(inbox.clone()) });
    let broker = broker.map(|inbox| -> Box<dyn Destination> { Box::new(inbox) });
    shards.chain(broker).collect()
}

fn start_broker(
    zeromq: Bound,
    shared: &Arc<Shared>,
    inbox: mpsc::Receiver<Vec<Outgoing>>,
) -> Result<broker::Handle, broker::StartError> {
    for (direction, socket) in zeromq.sources() {
        tracing::info!(direction, socket, "ZeroMQ socket");
    }
    let hub = HubParts {
        url: shared.options.hub.clone(),
        ingest: shared.ingest.clone(),
        updates: shared.metrics.updates.clone(),
        router: shared.router.clone(),
        index: shared.inboxes.len(),
        inbox,
    };
    zeromq.start(Arc::clone(&shared.metrics.zeromq), Some(hub))
}

/// Opens every listener, once for each shard; the operators' one only on the first.
fn bind(config: &Config) -> anyhow::Result<Vec<Vec<Door>>> {
    let mut doors: Vec<Vec<Door>> = (0..config.server.shards).map(|_| Vec::new()).collect();
    let main = config.listens.iter().enumerate();
    let main = main.map(|(number, listen)| (listen.address, listen.tls, DoorKind::Main(number)));
    let admin = config
        .admin
        .iter()
        .map(|&address| (address, false, DoorKind::Admin));
    let policy = config.flash.address.iter();
    let policy = policy.map(|&address| (address, false, DoorKind::Policy));
    for (address, tls, kind) in main.chain(admin).chain(policy) {
        let shards = match kind {
            DoorKind::Main(_) => config.server.shards,
            DoorKind::Admin | DoorKind::Policy => 1,
        };
        let (listeners, bound) = binding::open(address, |address| accept::bind(address, shards))?;
        match kind {
            DoorKind::Policy => tracing::info!(address = %bound, "listening for Flash"),
            DoorKind::Main(_) | DoorKind::Admin => {
                let admin = kind == DoorKind::Admin;
                tracing::info!(address = %bound, tls, admin, "listening");
            }
        }
        for (doors, listener) in doors.iter_mut().zip(listeners) {
            doors.push(Door {
                listener,
                tls,
                kind,
            });
        }
    }
    Ok(doors)
}

/// Returns the machine's clocks for the history.
pub(crate) fn clock() -> Clock {
    let begun = Instant::now();
    Box::new(move || Reading {
        wall_ms: unix_ms(),
        steady: begun.elapsed(),
    })
}

/// Asks for no huge pages: the memory of thousands of small, long-lived sessions is scattered, and
/// pages of two megabytes around each piece nearly double what a subscriber costs.
fn refuse_huge_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "cannot turn off huge pages");
    }
}
