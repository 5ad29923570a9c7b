//! The metrics of the process, under the names that operators see. Every drop has a counter here. The
//! modules count; this file names and renders.

pub mod zeromq;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tidings_cluster::Figures;

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
    /// Connections that asked for a Flash socket policy, by result.
    pub flash_policies: ByResult,
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
    /// TLS certificate reloads, by result.
    pub certificates_reloaded: ByResult,
    pub(crate) presence: PresenceCounters,
    /// Fetches of key sets.
    pub key_sets: tidings_auth::Counters,
    /// The history's own counters.
    pub history: HistoryCounters,
    /// The ZeroMQ broker.
    pub zeromq: Arc<Counters>,
}

/// The history's own counters, copied when the metrics are read.
#[derive(Debug)]
pub struct HistoryCounters {
    updates: Counter,
    groups: Counter,
    bytes: Counter,
    trimmed: Counter,
    refusals: Counter,
    pages_read: Counter,
    pages_cached: Counter,
    cursors_read: Counter,
    cursors_lost: Counter,
    read_faults: Counter,
    clock_steps: Counter,
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
            bytes: counter(r, "history_bytes", "Bytes of committed updates"),
            trimmed: counter(r, "history_trimmed", "Updates removed by retention"),
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
        }
    }

    /// Takes over the history's own counters.
    pub fn observe(&self, stats: &tidings_history::Stats) {
        let set = |counter: &Counter, value| counter.inner().store(value, Ordering::Relaxed);
        set(&self.updates, stats.updates);
        set(&self.groups, stats.groups);
        set(&self.bytes, stats.bytes);
        set(&self.trimmed, stats.trimmed);
        set(&self.refusals, stats.refusals);
        set(&self.pages_read, stats.pages_read);
        set(&self.pages_cached, stats.pages_cached);
        set(&self.cursors_read, stats.cursors_read);
        set(&self.cursors_lost, stats.cursors_lost);
        set(&self.read_faults, stats.read_faults);
        set(&self.clock_steps, stats.clock_steps);
    }
}

/// The relay's gauges.
#[derive(Debug)]
pub struct RelayGauges {
    waiting: Gauge,
}

impl RelayGauges {
    fn new(registry: &mut Registry) -> Self {
        let help = "Updates waiting for their place in the order";
        Self {
            waiting: gauge(registry, "relay_queued_updates", help),
        }
    }

    /// Takes over the relay's own figures.
    pub fn observe(&self, figures: Figures) {
        let waiting = i64::try_from(figures.waiting).unwrap_or(i64::MAX);
        self.waiting.set(waiting);
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
                "Subscriptions that presence shows now",
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
            waiting_bytes: gauge(
                r,
                "sockjs_queued_bytes",
                "Bytes queued in such sessions: messages not processed, replies not received",
            ),
            refused: by_reason(
                r,
                "sockjs_refused",
                "SockJS requests refused, and sessions closed because a receiver was interrupted",
            ),
        }
    }
}

/// The memory held for peers, copied from the account when the metrics are read.
#[derive(Debug)]
pub struct PeerMemoryCounters {
    bytes: Family<OfKind, Gauge>,
    refused: Family<ByLimit, Counter<u64, AtomicU64>>,
    streams: Gauge,
    unindexed_patterns: Gauge,
    /// HTTP responses ended because the peer took nothing for `limits.stall_timeout_secs`.
    pub responses_stalled: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByLimit {
    limit: &'static str,
    kind: &'static str,
}

impl PeerMemoryCounters {
    fn new(registry: &mut Registry) -> Self {
        let bytes = Family::<OfKind, Gauge>::default();
        let help = "Memory held for peers now, by what it is held for";
        registry.register("peer_memory_bytes", help, bytes.clone());
        let refused = Family::<ByLimit, Counter<u64, AtomicU64>>::default();
        let help = "Times memory was not granted to a peer because a limit was reached";
        registry.register("peer_memory_refused", help, refused.clone());
        let streams = gauge(registry, "http2_streams", "HTTP/2 streams open now");
        let help = "Patterns in use that every update is compared with";
        let unindexed_patterns = gauge(registry, "unindexed_patterns", help);
        let help = "Responses ended because the peer read nothing for limits.stall_timeout_secs";
        let responses_stalled = counter(registry, "responses_stalled", help);
        Self {
            bytes,
            refused,
            streams,
            unindexed_patterns,
            responses_stalled,
        }
    }

    /// Sets how many bytes are held for `kind`.
    pub(crate) fn set_bytes(&self, kind: &'static str, bytes: usize) {
        self.bytes
            .get_or_create(&OfKind { kind })
            .set(gauged(bytes));
    }

    /// Sets how often bytes for `kind` were refused because of `limit`.
    pub(crate) fn set_refused(&self, limit: &'static str, kind: &'static str, times: u64) {
        let counter = self.refused.get_or_create(&ByLimit { limit, kind });
        counter.inner().store(times, Ordering::Relaxed);
    }

    /// Sets how many HTTP/2 streams are open.
    pub(crate) fn set_streams(&self, count: usize) {
        self.streams.set(gauged(count));
    }

    /// Sets how many patterns are unindexed.
    pub(crate) fn set_unindexed_patterns(&self, count: usize) {
        self.unindexed_patterns.set(gauged(count));
    }
}

fn gauged(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Metrics {
    /// Makes every counter, at zero. `others` registers metrics that are counted elsewhere.
    pub fn new(others: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::with_prefix("tidings");
        let r = &mut registry;
        others(r);
        Self {
            updates: counter(r, "updates", "Updates acknowledged to publishers"),
            publish_refused: by_reason(r, "publish_refused", "Publish requests refused"),
            deliveries: counter(r, "deliveries", "Live updates written to subscribers"),
            delivered_bytes: counter(r, "delivered_bytes", "Bytes of live updates written"),
            replayed: counter(r, "replayed_updates", "Updates written from the history"),
            keep_alives: counter(r, "keep_alives", "Keep-alive comments written"),
            subscribers: gauge(r, "subscribers", "Subscribers connected now"),
            subscribe_refused: by_reason(r, "subscribe_refused", "Subscribe requests refused"),
            sessions_closed: by_reason(r, "sessions_closed", "Subscribers' sessions that ended"),
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
            requests_refused: by_reason(
                r,
                "requests_refused",
                "WebSocket frames and HTTP/2 requests answered by an error",
            ),
            connections: gauge(r, "connections", "Connections open now"),
            connections_refused: by_reason(r, "connections_refused", "Connections refused"),
            connections_failed: by_reason(r, "connections_failed", "Connections ended by an error"),
            flash_policies: by_result(r, "flash_policies", "Connections for a Flash policy"),
            sockets_moved: counter(r, "sockets_moved", "Event streams moved between shards"),
            matchers: gauge(r, "matchers", "Distinct matchers in the index"),
            relay: RelayGauges::new(r),
            history_ready: gauge(r, "history_ready", "1 while it accepts updates, else 0"),
            history_oldest: gauge(r, "history_oldest_position", "Oldest position stored"),
            history_last: gauge(r, "history_last_position", "Last position assigned"),
            certificates_reloaded: by_result(r, "certificates_reloaded", "TLS certificate reloads"),
            presence: PresenceCounters::new(r),
            key_sets: tidings_auth::Counters::new(r),
            history: HistoryCounters::new(r),
            zeromq: Arc::new(Counters::new(r)),
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

/// Adds one to `family` under `reason`.
pub fn count(family: &ByReason, reason: &'static str) {
    family.get_or_create(&Reason { reason }).inc();
}

/// Adds one to `family` under `result`.
pub fn count_result(family: &ByResult, result: &'static str) {
    family.get_or_create(&Outcome { result }).inc();
}

/// Adds `many` to `family` under `reason`.
pub fn count_many(family: &ByReason, reason: &'static str, many: u64) {
    family.get_or_create(&Reason { reason }).inc_by(many);
}

/// Makes a counter and gives it its name.
pub(crate) fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

/// Makes a gauge and gives it its name.
pub(crate) fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

/// Makes a counter split by result and gives it its name.
fn by_result(registry: &mut Registry, name: &str, help: &str) -> ByResult {
    let family = ByResult::default();
    registry.register(name, help, family.clone());
    family
}

/// Makes a counter split by reason and gives it its name.
pub(crate) fn by_reason(registry: &mut Registry, name: &str, help: &str) -> ByReason {
    let family = ByReason::default();
    registry.register(name, help, family.clone());
    family
}
