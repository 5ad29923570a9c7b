//! The metrics of key sets.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Counts the attempts to read key sets.
#[derive(Debug, Default)]
pub struct Counters {
    key_sets_read: Family<Outcome, Counter<u64, AtomicU64>>,
}

/// The result of an attempt: one of a closed set of short words.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

/// Every result, so that each series exists from the start.
const RESULTS: [&str; 12] = [
    "address",
    "cached",
    "connect",
    "file",
    "http",
    "not_a_set",
    "ok",
    "redirect",
    "status",
    "timeout",
    "tls",
    "too_long",
];

impl Counters {
    /// Makes the counters and gives them their names.
    pub fn new(registry: &mut Registry) -> Self {
        let counters = Self::default();
        for result in RESULTS {
            drop(counters.key_sets_read.get_or_create(&Outcome { result }));
        }
        let help = "Attempts to read a key set, by result";
        registry.register("key_sets_read", help, counters.key_sets_read.clone());
        counters
    }

    /// Counts one attempt.
    pub(crate) fn read(&self, result: &'static str) {
        self.key_sets_read.get_or_create(&Outcome { result }).inc();
    }
}
