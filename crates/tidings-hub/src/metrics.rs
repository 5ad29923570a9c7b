//! The metrics of the process, under the names that operators see. Every drop has a counter here. The
//! modules count; this file names and renders.

mod certificate;
mod cluster;
mod durations;
mod inbox;
mod labels;
mod limits;
mod peer_memory;
mod requests;
mod totals;
mod traces;
pub mod zeromq;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tidings_cluster::Figures;

pub use self::certificate::CertificateMetrics;
use self::cluster::ClusterCounters;
pub use self::durations::Durations;
pub use self::inbox::InboxCounters;
use self::labels::REFUSALS;
pub use self::limits::Limits;
pub use self::peer_memory::PeerMemoryCounters;
pub(crate) use self::requests::Sessions;
pub use self::requests::{Requests, Transport};
pub use self::totals::Totals;
pub use self::traces::TraceMetrics;
use self::zeromq::Counters;

/// The reason why something was refused, dropped or ended: one of a closed set of short words.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    reason: &'static str,
}

/// A counter split by reason.
pub type ByReason = Family<Reason, Counter<u64, AtomicU64>>;

/// What became of an attempt: a closed set of short words.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    result: &'static str,
}

/// A counter split by result.
pub type ByResult = Family<Outcome, Counter<u64, AtomicU64>>;

/// All counters of the process. Every thread shares them, and parts are cheap to clone.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// How long publishing, delivering, replaying and joining take.
    pub durations: Durations,
    /// Requests, by method, status and transport.
    pub requests: Requests,
    pub(crate) sessions: Sessions,
    /// The limits of the configuration, copied when the metrics are read.
    pub limits: Limits,
    /// The TLS certificate.
    pub certificate: CertificateMetrics,
    /// Spans for a collector of traces.
    pub traces: TraceMetrics,
    /// Updates that the relay stored and the publisher was told about.
    pub updates: Counter,
    /// Publish requests refused, by the refusal's name.
    pub publish_refused: ByReason,
    pub(crate) deliveries: Counter,
    pub(crate) delivered_bytes: Counter,
    pub(crate) replayed: Counter,
    pub(crate) keep_alives: Counter,
    pub(crate) subscribers: Gauge,
    /// Subscribe requests refused, by the refusal's name.
    pub subscribe_refused: ByReason,
    pub(crate) sessions_closed: ByReason,
    pub(crate) lagging: Counter,
    pub(crate) gaps: Counter,
    pub(crate) cursors_unknown: Counter,
    pub(crate) websockets: Gauge,
    pub(crate) websocket_frames: Counter,
    /// SockJS sessions without a WebSocket.
    pub sockjs: SockJsCounters,
    /// Memory held for peers.
    pub peer_memory: PeerMemoryCounters,
    /// WebSocket frames and HTTP/2 requests answered by an error, by the refusal's name.
    pub requests_refused: ByReason,
    /// Connections open now.
    pub connections: Gauge,
    /// Connections closed before a request was read, by the rule or limit that says so.
    pub connections_refused: ByReason,
    /// Connections that ended in an error, by the step that failed.
    pub connections_failed: ByReason,
    /// Requests whose field for the client's address is ignored, by reason.
    pub forwarded_ignored: ByReason,
    /// Connections that asked for a Flash socket policy, by result.
    pub flash_policies: ByResult,
    /// What operators asked of all hubs of a cluster, by what became of it on this one.
    pub orders: ByResult,
    pub(crate) sockets_moved: Counter,
    pub(crate) matchers: Gauge,
    /// The relay's own figures.
    pub relay: RelayGauges,
    /// 1 while the history takes updates, else 0.
    pub history_ready: Gauge,
    /// Oldest position that the history retains.
    pub history_oldest: Gauge,
    /// Last position that the history has given.
    pub history_last: Gauge,
    pub(crate) presence: PresenceCounters,
    /// Fetches of key sets.
    pub key_sets: tidings_auth::Counters,
    history: HistoryCounters,
    /// The ZeroMQ broker.
    pub zeromq: Arc<Counters>,
    /// Updates published by SQL.
    pub inbox: Arc<InboxCounters>,
}

/// The history's own counters, copied when the metrics are read.
#[derive(Debug)]
pub struct HistoryCounters {
    updates: Counter,
    groups: Counter,
    bytes: Counter,
    trimmed: Counter,
    purged: Counter,
    refusals: Counter,
    pages_read: Counter,
    pages_cached: Counter,
    cursors_read: Counter,
    cursors_lost: Counter,
    read_faults: Counter,
    clock_steps: Counter,
    stored_updates: Gauge,
    stored_bytes: Gauge,
    removed_at: Gauge,
    last_at: Gauge,
}

impl HistoryCounters {
    fn new(registry: &mut Registry) -> Self {
        let r = registry;
        Self {
            updates: counter(r, "history_updates", "Updates committed"),
            groups: counter(
                r,
                "history_commits",
                "Commits, each of one group of updates with one fsync",
            ),
            bytes: counted_in_bytes(r, "history", "Bytes of committed updates"),
            trimmed: counter(r, "history_trimmed", "Updates removed by retention"),
            purged: counter(r, "history_purged", "Updates purged by an operator"),
            refusals: counter(r, "history_refused", "Updates refused because of a fault"),
            pages_read: counter(r, "history_pages_read", "Pages read from the storage"),
            pages_cached: counter(r, "history_pages_cached", "Pages served from memory"),
            cursors_read: counter(
                r,
                "history_cursors_read",
                "Cursors looked up in the storage",
            ),
            cursors_lost: counter(
                r,
                "history_cursors_lost",
                "Cursors of updates that this history does not have: it was restored, or is a copy",
            ),
            read_faults: counter(
                r,
                "history_read_faults",
                "Reads that failed: the storage has a fault or is damaged",
            ),
            clock_steps: counter(
                r,
                "history_clock_steps",
                "Times the machine's clock was set, or had moved implausibly far at startup",
            ),
            stored_updates: gauge(
                r,
                "history_stored_updates",
                "Updates stored now, without presence events",
            ),
            stored_bytes: in_bytes(r, "history_stored", "Bytes of the updates stored now"),
            removed_at: in_seconds(
                r,
                "history_removed_timestamp",
                "When the newest update that retention removed was committed; 0 if none was removed",
            ),
            last_at: in_seconds(
                r,
                "history_last_timestamp",
                "When the newest update was committed; 0 before the first",
            ),
        }
    }

    fn observe(&self, stats: &tidings_history::Stats) {
        let set = |counter: &Counter, value| counter.inner().store(value, Ordering::Relaxed);
        set(&self.updates, stats.updates);
        set(&self.groups, stats.groups);
        set(&self.bytes, stats.bytes);
        set(&self.trimmed, stats.trimmed);
        set(&self.purged, stats.purged);
        set(&self.refusals, stats.refusals);
        set(&self.pages_read, stats.pages_read);
        set(&self.pages_cached, stats.pages_cached);
        set(&self.cursors_read, stats.cursors_read);
        set(&self.cursors_lost, stats.cursors_lost);
        set(&self.read_faults, stats.read_faults);
        set(&self.clock_steps, stats.clock_steps);
        let set = |gauge: &Gauge, value| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.stored_updates, stats.stored_updates);
        set(&self.stored_bytes, stats.stored_bytes);
        set(&self.removed_at, stats.removed_ms / 1000);
        set(&self.last_at, stats.last_ms / 1000);
    }
}

/// The relay's gauges.
#[derive(Debug)]
pub struct RelayGauges {
    waiting: Gauge,
    repeats: Counter,
    keys_forgotten: Counter,
    cluster: ClusterCounters,
}

impl RelayGauges {
    fn new(registry: &mut Registry) -> Self {
        let help = "Updates waiting for their place in the order";
        Self {
            waiting: gauge(registry, "relay_queued_updates", help),
            repeats: counter(
                registry,
                "publish_repeats",
                "Publishes answered with the earlier update of their Idempotency-Key",
            ),
            keys_forgotten: counter(
                registry,
                "idempotency_keys_forgotten",
                "Idempotency keys forgotten before five minutes, because there were too many",
            ),
            cluster: ClusterCounters::new(registry),
        }
    }

    /// Takes over the relay's own figures.
    pub fn observe(&self, figures: Figures) {
        let waiting = i64::try_from(figures.waiting).unwrap_or(i64::MAX);
        self.waiting.set(waiting);
        let set = |counter: &Counter, value| counter.inner().store(value, Ordering::Relaxed);
        set(&self.repeats, figures.repeats);
        set(&self.keys_forgotten, figures.keys_forgotten);
        if let Some(cluster) = &figures.cluster {
            self.cluster.observe(cluster);
        }
    }
}

/// The counters of presence.
#[derive(Debug)]
pub(crate) struct PresenceCounters {
    pub(crate) subscriptions: Gauge,
    pub(crate) events: Counter,
    pub(crate) retries: Counter,
    pub(crate) untracked: Counter,
}

impl PresenceCounters {
    fn new(registry: &mut Registry) -> Self {
        let r = registry;
        Self {
            subscriptions: gauge(
                r,
                "presence_subscriptions",
                "Subscriptions that presence shows now; in a cluster, those of this hub",
            ),
            events: counter(r, "presence_events", "Presence events published"),
            retries: counter(
                r,
                "presence_retries",
                "Presence events that the history did not accept at once",
            ),
            untracked: counter(
                r,
                "presence_untracked",
                "Subscriptions beyond presence.subscriptions_max, which presence does not show",
            ),
        }
    }
}

/// The counters of SockJS sessions without a WebSocket.
#[derive(Debug)]
pub struct SockJsCounters {
    pub(crate) sessions: Gauge,
    pub(crate) receivers: Gauge,
    /// Bytes that wait in these sessions: inbound texts not yet processed, and replies not yet received.
    pub waiting_bytes: Gauge,
    /// SockJS requests refused, and sessions ended because a receiver broke off; by reason.
    pub refused: ByReason,
}

impl SockJsCounters {
    fn new(registry: &mut Registry) -> Self {
        let r = registry;
        Self {
            sessions: gauge(
                r,
                "sockjs_sessions",
                "SockJS sessions without a WebSocket now, including those just closed",
            ),
            receivers: gauge(
                r,
                "sockjs_receivers",
                "Requests that receive for such a session now",
            ),
            waiting_bytes: in_bytes(
                r,
                "sockjs_queued",
                "Bytes queued in such sessions: messages not processed, replies not received",
            ),
            refused: by_reason(
                r,
                "sockjs_refused",
                "SockJS requests refused, and sessions closed because a receiver was interrupted",
                labels::SOCKJS_REFUSALS,
            ),
        }
    }
}

fn gauged(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Metrics {
    /// Takes over the history's own counters.
    pub fn observe_history(&self, stats: &tidings_history::Stats) {
        self.history.observe(stats);
        self.durations.commit.set(&stats.commits);
    }

    /// Makes every counter, at zero. `others` registers metrics that are counted elsewhere, under names that
    /// get no prefix.
    pub fn new(others: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::default();
        others(&mut registry);
        let r = registry.sub_registry_with_prefix("tidings");
        let [publish_refused, subscribe_refused, requests_refused] = refusals(r);
        let [connections_refused, connections_failed, forwarded_ignored] = connections(r);
        Self {
            durations: Durations::new(r),
            requests: Requests::new(r),
            sessions: Sessions::new(r),
            limits: Limits::new(r),
            certificate: CertificateMetrics::new(r),
            traces: TraceMetrics::new(r),
            updates: counter(r, "updates", "Updates acknowledged to publishers"),
            publish_refused,
            deliveries: counter(r, "deliveries", "Live updates written to subscribers"),
            delivered_bytes: counted_in_bytes(r, "delivered", "Bytes of live updates written"),
            replayed: counter(r, "replayed_updates", "Updates written from the history"),
            keep_alives: counter(r, "keep_alives", "Keep-alive comments written"),
            subscribers: gauge(r, "subscribers", "Subscribers connected now"),
            subscribe_refused,
            sessions_closed: by_reason(
                r,
                "sessions_closed",
                "Subscribers' sessions that ended",
                &labels::endings().collect::<Vec<_>>(),
            ),
            lagging: counter(r, "subscriber_lags", "Times a subscriber fell behind"),
            gaps: counter(
                r,
                "gaps",
                "Subscribers closed with notice because retention removed updates they had not read",
            ),
            cursors_unknown: counter(
                r,
                "cursors_unknown",
                "Cursors answered with earliest: unknown, expired, or before removed presence events",
            ),
            websockets: gauge(r, "websockets", "Subscribers connected by WebSocket now"),
            websocket_frames: counter(r, "websocket_frames", "Frames received by WebSocket"),
            sockjs: SockJsCounters::new(r),
            peer_memory: PeerMemoryCounters::new(r),
            requests_refused,
            connections: gauge(r, "connections", "Connections open now"),
            connections_refused,
            connections_failed,
            forwarded_ignored,
            flash_policies: flash_policies(r),
            orders: by_result(
                r,
                "orders",
                "Commands of operators to all hubs of the cluster, by what became of them on this hub",
                labels::ORDERS,
            ),
            sockets_moved: counter(r, "sockets_moved", "Event streams moved between shards"),
            matchers: gauge(r, "matchers", "Distinct matchers in the index"),
            relay: RelayGauges::new(r),
            history_ready: gauge(r, "history_ready", "1 while it accepts updates, else 0"),
            history_oldest: gauge(r, "history_oldest_position", "Oldest position stored"),
            history_last: gauge(r, "history_last_position", "Last position assigned"),
            presence: PresenceCounters::new(r),
            key_sets: tidings_auth::Counters::new(r),
            history: HistoryCounters::new(r),
            zeromq: Arc::new(Counters::new(r)),
            inbox: Arc::new(InboxCounters::new(r)),
            registry,
        }
    }

    /// Returns the metrics in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        text::encode(&mut out, &self.registry).ok();
        out
    }
}

/// Makes the counters of publish requests, subscribe requests and frames that are refused.
fn refusals(registry: &mut Registry) -> [ByReason; 3] {
    [
        ("publish_refused", "Publish requests refused"),
        ("subscribe_refused", "Subscribe requests refused"),
        (
            "requests_refused",
            "WebSocket frames and HTTP/2 requests answered by an error",
        ),
    ]
    .map(|(name, help)| by_reason(registry, name, help, REFUSALS))
}

/// Makes the counter of connections for a Flash policy.
fn flash_policies(registry: &mut Registry) -> ByResult {
    let (name, help) = ("flash_policies", "Connections for a Flash policy");
    by_result(registry, name, help, labels::FLASH_POLICIES)
}

/// Makes the counters of connections that are refused, and that fail; and of addresses of clients that are not
/// believed.
fn connections(registry: &mut Registry) -> [ByReason; 3] {
    let (name, help) = ("connections_refused", "Connections refused");
    let refused = by_reason(registry, name, help, labels::CONNECTIONS_REFUSED);
    let (name, help) = ("connections_failed", "Connections ended by an error");
    let failed = by_reason(registry, name, help, labels::CONNECTIONS_FAILED);
    let (name, help) = (
        "forwarded_ignored",
        "Requests whose proxy.header was ignored: from an untrusted address, or not understood",
    );
    let ignored = by_reason(registry, name, help, labels::FORWARDED_IGNORED);
    [refused, failed, ignored]
}

/// Adds one to `family` under `reason`.
pub fn count(family: &ByReason, reason: &'static str) {
    count_many(family, reason, 1);
}

/// Adds one to `family` under `result`.
pub fn count_result(family: &ByResult, result: &'static str) {
    let outcome = Outcome { result };
    debug_assert!(
        family.get(&outcome).is_some(),
        "the result {result:?} is not in its list in metrics/labels.rs"
    );
    family.get_or_create(&outcome).inc();
}

/// Adds `many` to `family` under `reason`.
pub fn count_many(family: &ByReason, reason: &'static str, many: u64) {
    let reason = Reason { reason };
    debug_assert!(
        family.get(&reason).is_some(),
        "{reason:?} is not in its list in metrics/labels.rs"
    );
    family.get_or_create(&reason).inc_by(many);
}

/// Makes a counter and gives it its name.
pub(crate) fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

/// Makes a counter of bytes and gives it its name.
fn counted_in_bytes(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register_with_unit(name, help, Unit::Bytes, counter.clone());
    counter
}

/// Makes a gauge and gives it its name.
pub(crate) fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

/// Makes a gauge of bytes and gives it its name.
fn in_bytes(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
    gauge
}

/// Makes a gauge of seconds and gives it its name.
fn in_seconds(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register_with_unit(name, help, Unit::Seconds, gauge.clone());
    gauge
}

/// Makes a counter split by result and gives it its name. `results` begin at zero.
fn by_result(
    registry: &mut Registry,
    name: &str,
    help: &str,
    results: &[&'static str],
) -> ByResult {
    let family = ByResult::default();
    for result in results {
        drop(family.get_or_create(&Outcome { result }));
    }
    registry.register(name, help, family.clone());
    family
}

/// Makes a counter split by reason and gives it its name. `reasons` begin at zero.
pub(crate) fn by_reason(
    registry: &mut Registry,
    name: &str,
    help: &str,
    reasons: &[&'static str],
) -> ByReason {
    let family = reasons_at_zero(reasons);
    registry.register(name, help, family.clone());
    family
}

/// Makes a counter split by reason, without a name. `reasons` begin at zero.
pub fn reasons_at_zero(reasons: &[&'static str]) -> ByReason {
    let family = ByReason::default();
    for reason in reasons {
        drop(family.get_or_create(&Reason { reason }));
    }
    family
}
