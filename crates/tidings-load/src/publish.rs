//! Publishing without subscribers: acknowledged updates per second, and their latency.
//!
//! The publishers are a closed loop, like real publishers: each sends its next update when the
//! previous one was acknowledged. The number of publishers is the load.

use std::time::Duration;

use crate::BenchError;
use crate::clock::{as_f64, now_ns};
use crate::load::Load;
use crate::load::counts::Counts;
use crate::mark::MARK_BYTES;
use crate::process::{Process, allow_connections, own_thread_cpu_ns};
use crate::progress;
use crate::report::Report;
use crate::scrape::Metrics;
use crate::target;

/// Updates per publisher before measuring starts.
const WARM_UP_UPDATES: u64 = 50;

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The hub.
    pub target: target::Options,
    /// Publishers, each with one update in flight.
    pub publishers: usize,
    /// Topics, used in turn.
    pub topics: usize,
    /// Updates in all.
    pub updates: u64,
    /// Bytes of an update's data.
    pub data_bytes: usize,
    /// URL of the hub's metrics, for the number of synchronisations.
    pub metrics: Option<String>,
}

/// Runs the benchmark and returns its report.
///
/// # Errors
///
/// [`BenchError`] if a publication was refused, a connection ended, or the process may not open
/// enough files.
pub fn run(options: &Options) -> Result<Report, BenchError> {
    let Options {
        publishers,
        topics,
        updates,
        data_bytes,
        ..
    } = *options;
    if publishers == 0 || topics == 0 || updates == 0 || data_bytes < MARK_BYTES {
        let reason = "none may be 0, and --data-bytes not less than 37";
        return Err(BenchError::Option {
            option: "--publishers, --topics, --updates",
            reason,
        });
    }
    allow_connections(publishers)?;
    let server = options.target.pid.map(Process::new);
    let metrics = || options.metrics.as_deref().map(Metrics::read).transpose();
    let mut load = Load::new(&options.target, topics, data_bytes)?;
    load.open_publishers(publishers)?;
    publish_all(&mut load, WARM_UP_UPDATES * publishers as u64)?;
    load.counts.reset();

    let metrics_before = metrics()?;
    let server_before = server.map(Process::cpu_ns).transpose()?;
    let (own_before, begin) = (own_thread_cpu_ns(), now_ns());
    publish_all(&mut load, updates)?;
    let wall = as_f64(now_ns() - begin);
    let own = as_f64(own_thread_cpu_ns() - own_before);
    let server_after = server.map(Process::cpu_ns).transpose()?;
    let metrics_after = metrics()?;

    let mut report = Report::new(format!(
        "publish: {publishers} publishers, {topics} topics, {updates} updates of {data_bytes} bytes"
    ));
    report.add("acknowledged", as_f64(updates), "");
    report.add("updates_per_second", as_f64(updates) * 1e9 / wall, "/s");
    report.add_percentiles(
        "acknowledgement",
        load.counts.acknowledgement.percentiles_ms(),
    );
    report.add("generator_busy", 100.0 * own / wall, "%");
    if let (Some(before), Some(after)) = (server_before, server_after) {
        let cpu = as_f64(after - before);
        report.add("server_busy", 100.0 * cpu / wall, "%");
        report.add("cpu_per_update", cpu / as_f64(updates) / 1e3, "µs");
    }
    if let (Some(before), Some(after)) = (metrics_before, metrics_after) {
        let grown = |name| as_f64(after.counter(name) - before.counter(name));
        let syncs = grown("tidings_history_commits_total");
        report.add("syncs", syncs, "");
        report.add(
            "updates_per_sync",
            grown("tidings_history_updates_total") / syncs.max(1.0),
            "",
        );
    }
    Ok(report)
}

/// Publishes `updates` updates. Each publisher sends its next one when the previous one was
/// acknowledged.
pub(crate) fn publish_all(load: &mut Load, updates: u64) -> Result<(), BenchError> {
    let bar = progress::bar("publishing", updates);
    let acknowledged = |counts: &Counts| counts.acknowledged;
    let topics = load.counts.published.len().max(1);
    let (before, mut sent) = (load.counts.acknowledged, 0);
    while sent < updates {
        while sent < updates && load.idle_publishers() > 0 {
            let topic = usize::try_from(sent).unwrap_or_default() % topics;
            load.publish(topic, now_ns())?;
            sent += 1;
        }
        if load.idle_publishers() == 0 {
            load.turn(Duration::from_secs(1))?;
        }
        bar.set_position(load.counts.acknowledged - before);
    }
    load.wait("acknowledgements", before + updates, acknowledged)?;
    bar.finish_and_clear();
    Ok(())
}
