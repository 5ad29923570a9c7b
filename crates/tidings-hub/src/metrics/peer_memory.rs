//! The memory held for peers, and the rates that they exceed.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{counter, gauge, gauged};
use crate::account::{Kind, Limit, keys_of_rates};

/// The memory held for peers, copied from the account when the metrics are read.
#[derive(Debug)]
pub struct PeerMemoryCounters {
    bytes: Family<OfKind, Gauge>,
    refused: Family<ByLimit, Counter<u64, AtomicU64>>,
    rate_limited: Family<OfRate, Counter<u64, AtomicU64>>,
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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRate {
    limit: &'static str,
}

impl PeerMemoryCounters {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let bytes = Family::<OfKind, Gauge>::default();
        let help = "Memory held for peers now, by what it is held for";
        registry.register_with_unit("peer_memory", help, Unit::Bytes, bytes.clone());
        let refused = Family::<ByLimit, Counter<u64, AtomicU64>>::default();
        let help = "Times memory was not granted to a peer because a limit was reached";
        registry.register("peer_memory_refused", help, refused.clone());
        let rate_limited = Family::<OfRate, Counter<u64, AtomicU64>>::default();
        let help = "Publishes and subscribes refused because a peer exceeded a rate, by the key of the limit";
        registry.register("rate_limited", help, rate_limited.clone());
        let streams = gauge(registry, "http2_streams", "HTTP/2 streams open now");
        let help = "Patterns in use that every update is compared with";
        let unindexed_patterns = gauge(registry, "unindexed_patterns", help);
        let help = "Responses ended because the peer read nothing for limits.stall_timeout_secs";
        let responses_stalled = counter(registry, "responses_stalled", help);
        let counters = Self {
            bytes,
            refused,
            rate_limited,
            streams,
            unindexed_patterns,
            responses_stalled,
        };
        for kind in Kind::ALL {
            counters.set_bytes(kind.name(), 0);
            for limit in Limit::ALL.iter().filter(|limit| limit.is_for(kind)) {
                counters.set_refused(limit.name(), kind.name(), 0);
            }
        }
        for key in keys_of_rates() {
            counters.set_rate_limited(key, 0);
        }
        counters
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

    /// Sets how often the limit that `key` configures refused something.
    pub(crate) fn set_rate_limited(&self, key: &'static str, times: u64) {
        let counter = self.rate_limited.get_or_create(&OfRate { limit: key });
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
