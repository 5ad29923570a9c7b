//! Histograms of durations: how long publishing, delivering, replaying and joining take.
//!
//! A live update is counted once for each shard, not for each subscriber: with 10,000 subscribers on two
//! shards that is two observations.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use tidings_core::histogram::{BOUNDS_MICROS, Histogram};

const MICROS_PER_SECOND: f64 = 1e6;
const NANOS_PER_SECOND: f64 = 1e9;

/// The histograms of the process.
#[derive(Debug)]
pub struct Durations {
    /// From the moment a checked update is handed to the relay until it is durable.
    pub publish: Arc<Histogram>,
    /// From the moment an update is durable until a shard has written it to its live subscribers.
    pub(crate) delivery: Arc<Histogram>,
    /// The age of the oldest update that a lagging subscriber had not been sent, at each read.
    pub(crate) unsent_age: Arc<Histogram>,
    /// From the moment a subscriber with a cursor has joined until it is live.
    pub(crate) replay: Arc<Histogram>,
    /// From a subscriber's request to join until the router has answered.
    pub(crate) join: Arc<Histogram>,
    /// The commits of the history, copied when the metrics are read.
    pub(crate) commit: Arc<Histogram>,
}

impl Durations {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let r = registry;
        Self {
            publish: histogram(
                r,
                "publish_duration",
                "Time from an update's acceptance until it is durable",
            ),
            delivery: histogram(
                r,
                "delivery_duration",
                "Time from durable until written to all live subscribers of a shard, once for each update and shard",
            ),
            unsent_age: histogram(
                r,
                "unsent_age",
                "Age of the oldest update that a lagging subscriber had not been sent, at each read for it",
            ),
            replay: histogram(
                r,
                "replay_duration",
                "Time that a subscriber with a cursor took to catch up",
            ),
            join: histogram(
                r,
                "join_duration",
                "Time that the router took to add a subscriber",
            ),
            commit: histogram(
                r,
                "history_commit_duration",
                "Time that a commit of the history took, fsync included",
            ),
        }
    }
}

pub(super) fn histogram(registry: &mut Registry, name: &str, help: &str) -> Arc<Histogram> {
    let histogram = Arc::<Histogram>::default();
    let shown = Shown(Arc::clone(&histogram));
    registry.register_with_unit(name, help, Unit::Seconds, shown);
    histogram
}

/// A histogram as Prometheus reads it, in seconds.
struct Shown(Arc<Histogram>);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl EncodeMetric for Shown {
    #[expect(clippy::cast_precision_loss, reason = "a metric is a float")]
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let snapshot = self.0.snapshot();
        let bounds = BOUNDS_MICROS.iter();
        let bounds = bounds.map(|micros| *micros as f64 / MICROS_PER_SECOND);
        // The encoder writes infinity as +Inf.
        let bounds = bounds.chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(snapshot.buckets).collect();
        let sum = snapshot.sum_ns as f64 / NANOS_PER_SECOND;
        let count = snapshot.buckets.iter().sum();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
