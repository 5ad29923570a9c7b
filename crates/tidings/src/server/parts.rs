//! Makes the parts of a hub from its configuration.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use arc_swap::ArcSwap;
use tidings_auth::key_set::Source;
use tidings_auth::key_store::KeyStore;
use tidings_auth::{Authority, Revocations};
use tidings_cluster::{Movable, Relay};
use tidings_history::{Clock, Handle, Kind, Outlet, Reading, Step};
use tidings_postgresql::inbox::Limits;
use tokio::sync::mpsc;

use crate::binding::inherited::Kept;
use crate::broker::{self, Bound, HubParts};
use crate::certificate::{Tls, TlsError};
use crate::config::{Config, LimitOptions, StreamEnd};
use crate::control::hand_over::Estate;
use crate::inbox;
use crate::telemetry::traces::Exporter;
use tidings_hub::account::{Account, Bounds, PlaceBounds, RateBounds};
use tidings_hub::answers::Answers;
use tidings_hub::clock::{unix_ms, unix_secs};
use tidings_hub::control::Listener;
use tidings_hub::ingest::Ingest;
use tidings_hub::metrics::Metrics;
use tidings_hub::options::Options;
use tidings_hub::presence;
use tidings_hub::presence::service::Service;
use tidings_hub::router::{Destination, Outgoing, Router};
use tidings_hub::shard::{Inbox, Shared};
use tidings_hub::steering::orders::{self, Orders};
use tidings_hub::traces::Tracer;

/// The list of revoked tokens, in the data folder.
const REVOKED_FILE: &str = "revoked-tokens.json";
/// The folder for the last good key sets, in the data folder.
const KEY_SETS_FOLDER: &str = "key-sets";

/// Returns the hub's part of a configuration.
pub(super) fn options(config: &Config) -> Options {
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

/// Makes what verifies tokens, with the list of those that are revoked, also by the `orders` that wait.
///
/// # Errors
///
/// No key, no audience, or a list that cannot be read or written: the hub must not start with fewer refusals than it
/// had.
pub(super) fn authority(config: &Config, orders: Option<&mut Orders>) -> anyhow::Result<Authority> {
    let path = config.data_dir.join(REVOKED_FILE);
    let revocations = Revocations::open(path, unix_secs())?;
    if let Some(orders) = orders {
        orders.settle(&revocations, unix_secs())?;
    }
    let authority = Authority::new(config.auth.clone(), config.hub.clone())?;
    Ok(authority.refusing(Arc::new(revocations)))
}

/// Makes the account with the limits of a configuration.
pub(super) fn account_of(config: &Config) -> Arc<Account> {
    let (bounds, connections, sockjs_sessions) = bounds(config);
    Account::new(bounds, connections, sockjs_sessions)
}

/// Returns the limits of the account: of memory, of connections and of SockJS sessions.
pub(super) fn bounds(config: &Config) -> (Bounds, PlaceBounds, PlaceBounds) {
    let (limits, sockjs) = (&config.limits, &config.sockjs);
    let bounds = Bounds {
        holder_max: limits.peer_memory_bytes_per_connection_max,
        address_max: limits.peer_memory_bytes_per_address(),
        total_max: limits.peer_memory_bytes_max,
        sockjs_max: sockjs.queue_bytes_max,
        unindexed_address_max: limits.unindexed_patterns_per_address(),
        unindexed_max: limits.unindexed_patterns_max,
        rates: rates(limits),
    };
    let connections = PlaceBounds {
        total_max: limits.connections_max,
        per_address_max: limits.connections_per_address_max,
    };
    let sockjs_sessions = PlaceBounds {
        total_max: sockjs.sessions_max,
        per_address_max: sockjs.sessions_per_address_max,
    };
    (bounds, connections, sockjs_sessions)
}

fn rates(limits: &LimitOptions) -> RateBounds {
    RateBounds {
        publishes: [
            limits.publishes_per_second_per_subject_max,
            limits.publishes_per_second_per_address_max,
        ],
        published_bytes: [
            limits.published_bytes_per_second_per_subject_max,
            limits.published_bytes_per_second_per_address_max,
        ],
        subscribes: [
            limits.subscribes_per_second_per_subject_max,
            limits.subscribes_per_second_per_address_max,
        ],
        burst: limits.rate_burst,
    }
}

/// Reads key sets in files and restores cached ones before the first request needs a key. The latter apply until
/// their issuers answer. Returns the cache, if it is used.
pub(super) fn restore_key_sets(config: &Config, shared: &Shared) -> Option<KeyStore> {
    let sets = shared.authority.key_sets();
    for set in &sets {
        set.read_file();
    }
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
    if !kept {
        return None;
    }
    for set in sets {
        set.restore(&store, unix_secs(), &shared.metrics.key_sets);
    }
    Some(store)
}

/// Makes the way in for publishers, which counts in `metrics` how long publishing takes, and what sends the spans
/// of updates, if there is a collector.
pub(super) fn ingest(
    config: &Config,
    relay: &Arc<Movable>,
    metrics: &Arc<Metrics>,
) -> io::Result<(Ingest, Option<Exporter>)> {
    let relay = Arc::clone(relay) as Arc<dyn Relay>;
    let durations = Arc::clone(&metrics.durations.publish);
    let ingest = Ingest::new(config.hub.clone(), relay, durations);
    let Some(options) = config.traces.clone() else {
        return Ok((ingest, None));
    };
    let (tracer, spans) = Tracer::new(options.sampler, metrics.traces.dropped.clone());
    let exporter = Exporter::start(options, spans, Arc::clone(metrics))?;
    Ok((ingest.traced_by(tracer), Some(exporter)))
}

/// Returns the certificate of the listeners that use TLS, if there are any.
pub(super) fn tls(config: &Config) -> Result<Option<Tls>, TlsError> {
    let source = config.tls.clone();
    source
        .map(|source| Tls::open(source, &config.data_dir))
        .transpose()
}

/// Returns a queue for answers for each shard.
pub(super) fn no_answers(config: &Config) -> Box<[Arc<Answers>]> {
    (0..config.server.shards).map(|_| Arc::default()).collect()
}

/// Returns a count of sessions for each shard, all zero.
pub(super) fn no_loads(config: &Config) -> Box<[AtomicUsize]> {
    (0..config.server.shards)
        .map(|_| AtomicUsize::new(0))
        .collect()
}

/// Returns what a process that takes over gets.
pub(super) fn estate(
    config: &Config,
    (relay, history): (&Arc<Movable>, &Handle),
    kept: Kept,
    answers: Box<[Arc<Answers>]>,
) -> Arc<Estate> {
    Arc::new(Estate {
        relay: Arc::clone(relay),
        history: history.clone(),
        path: file_of(config).filter(|_| relay.epoch().is_none()),
        listeners: Mutex::new(kept),
        on_answered: Arc::new(move || answers.iter().for_each(|answers| answers.hand_over())),
        deciding: Mutex::default(),
        earlier: AtomicU32::new(0),
    })
}

/// Returns the file of the history, by a name that is good in any folder.
fn file_of(config: &Config) -> Option<PathBuf> {
    match &config.history.kind {
        Kind::File { path } => path.canonicalize().ok(),
        Kind::Memory | Kind::None => None,
    }
}

/// Opens the history, which takes its order from `relay` or orders itself; with `beside` while
/// another process still reads it.
pub(super) fn open_history(
    config: &Config,
    relay: &dyn Relay,
    outlet: Outlet,
    beside: bool,
) -> anyhow::Result<Handle> {
    let options = config.history.clone().ordered_by(relay.epoch());
    Ok(match beside {
        true => tidings_history::start_beside(options, outlet, clock())?,
        false => tidings_history::start(options, outlet, clock())?,
    })
}

/// Makes the outlet of the history's writer: committed updates go to the router, answers to the shards of their
/// publishers.
pub(super) fn outlet(router: Router, answers: Box<[Arc<Answers>]>) -> Outlet {
    Box::new(move |step| match step {
        Step::Committed(group) => router.committed(group),
        Step::Answered => answers.iter().for_each(|answers| answers.hand_over()),
        Step::Cut(tip) => router.cut(tip),
    })
}

/// Returns where updates go: to each shard, and to the broker if it sends any.
pub(super) fn destinations(
    inboxes: &[Inbox],
    broker: Option<broker::Inbox>,
) -> Vec<Box<dyn Destination>> {
    let shards = inboxes
        .iter()
        .map(|inbox| -> Box<dyn Destination> { Box::new(inbox.clone()) });
    let broker = broker.map(|inbox| -> Box<dyn Destination> { Box::new(inbox) });
    shards.chain(broker).collect()
}

/// The router's listeners.
pub(super) type Listeners = Vec<Box<dyn Listener>>;

/// The queue of presence, the hubs that it has to hear of, and whether it has to ask them first.
pub(super) type Heard = (
    presence::Channel,
    Option<(presence::Hubs, presence::RollCall)>,
);

/// Makes what hears what the hubs of a cluster publish after the end of the history: the router's listeners, the
/// queue of presence with the hubs that it has to hear of, and what operators ask of all hubs. A hub that is alone has
/// none of it but the queue.
pub(super) fn listeners(
    relay: &dyn Relay,
    history: &Handle,
    metrics: &Arc<Metrics>,
) -> (Listeners, Heard, Option<Orders>) {
    let hubs = relay.roster();
    let channel = presence::Channel::new(hubs.is_some().then(|| history.tip()));
    let mut listeners: Listeners = channel.listener().into_iter().collect();
    let messages = history.take_for_hubs();
    let hubs = hubs.map(|hubs| (hubs, presence::RollCall::of(history, &messages)));
    let orders = relay.epoch().map(|_cluster| {
        let (operators, orders) = orders::orders(&messages, metrics);
        listeners.push(Box::new(operators));
        orders
    });
    (listeners, (channel, hubs), orders)
}

/// Starts presence, if it is on or has something to end.
pub(super) fn start_presence(
    config: &Config,
    ingest: &Ingest,
    history: &Handle,
    metrics: &Arc<Metrics>,
    channel: Heard,
) -> io::Result<Option<Service>> {
    let (options, hub) = (config.presence.clone(), config.hub.clone());
    Service::start(options, hub, ingest, history, metrics, channel)
}

pub(super) fn start_broker(
    zeromq: Bound,
    shared: &Arc<Shared>,
    inbox: mpsc::Receiver<Vec<Outgoing>>,
) -> Result<broker::Handle, broker::StartError> {
    for (direction, socket) in zeromq.sources() {
        tracing::info!(direction, socket, "ZeroMQ socket");
    }
    let hub = HubParts {
        url: shared.options.hub().clone(),
        ingest: shared.ingest.clone(),
        updates: shared.metrics.updates.clone(),
        router: shared.router.clone(),
        relay: Arc::clone(&shared.relay),
        history: shared.history.clone(),
        index: shared.inboxes.len(),
        inbox,
    };
    zeromq.start(Arc::clone(&shared.metrics.zeromq), Some(hub))
}

/// Starts the reader of the inbox, if the hub is in a cluster whose engine has one.
pub(super) fn start_inbox(
    live: &Arc<ArcSwap<Config>>,
    shared: &Arc<Shared>,
) -> io::Result<Option<inbox::Handle>> {
    let config = live.load();
    let cluster = config.cluster.as_ref();
    let Some((cluster, engine)) =
        cluster.and_then(|cluster| Some((cluster, cluster.engine.inbox()?)))
    else {
        return Ok(None);
    };
    let options = inbox::Options {
        engine: engine.clone(),
        poll: cluster.inbox_poll,
    };
    let live = Arc::clone(live);
    let limits = move || {
        let config = live.load();
        Limits {
            body_bytes_max: config.publish.body_bytes_max as u64,
            hub_path: config.hub.path().to_owned(),
        }
    };
    let hub = inbox::HubParts {
        limits: Box::new(limits),
        ingest: shared.ingest.clone(),
        relay: Arc::clone(&shared.relay),
        counters: Arc::clone(&shared.metrics.inbox),
        updates: shared.metrics.updates.clone(),
    };
    inbox::start(options, hub)
}

/// Returns the machine's clocks for the history.
pub(crate) fn clock() -> Clock {
    let begun = Instant::now();
    Box::new(move || Reading {
        wall_ms: unix_ms(),
        steady: begun.elapsed(),
    })
}
