//! What became of spans.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use super::{Outcome, by_result};

/// Counters of spans. A hub without a collector counts nothing.
#[derive(Debug)]
pub struct TraceMetrics {
    /// Spans that found the queue full.
    pub dropped: Counter,
    /// Spans that the collector took.
    pub exported: Counter,
    /// Spans that the collector did not take.
    pub failed: Counter,
}

impl TraceMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let results = ["dropped", "exported", "failed"];
        let help = "Spans for a collector of traces";
        let family = by_result(registry, "trace_spans", help, &results);
        let [dropped, exported, failed] =
            results.map(|result| family.get_or_create(&Outcome { result }).clone());
        Self {
            dropped,
            exported,
            failed,
        }
    }
}
