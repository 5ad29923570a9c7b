//! A long run of mixed load: subscribers that stay, come and go, read slowly or from old cursors,
//! bursts, and storms of reconnections. Everybody must receive exactly what was published,
//! whatever happens to their connections, and to the hub.

mod account;
mod cursors;
mod engine;
mod events;
mod publishers;
mod role;
mod schedule;
pub(crate) mod stream;
mod subscriber;

pub mod samples;

use std::time::Duration;

use crate::BenchError;
use crate::clock::{as_f64, nanos, now_ns};
use crate::mark::MARK_BYTES;
use crate::process::{Process, allow_connections, own_thread_cpu_ns};
use crate::progress;
use crate::report::Report;
use crate::soak::account::Progress;
use crate::soak::engine::Engine;
use crate::soak::samples::Sources;
use crate::target::{self, Transport};

/// The share of one core above which the generator counts as the limit.
const BUSY_MAX: f64 = 0.9;
/// Readers that resume from old cursors after the end.
const RETURNERS: usize = 20;
/// The most topics that a mark can distinguish.
const TOPICS_MAX: usize = 1_000_000;

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The hub. With a subscriber's token, every second topic has private updates, which
    /// subscribers without a token must not receive.
    pub target: target::Options,
    /// For how long updates are published.
    pub duration: Duration,
    /// Determines the behaviour of all subscribers, but not the timing of the network.
    pub seed: u64,
    /// Subscribers of all kinds together.
    pub subscribers: usize,
    /// Topics, at most as many as subscribers.
    pub topics: usize,
    /// Publishers, each with one update in flight.
    pub publishers: usize,
    /// Updates per second.
    pub rate: f64,
    /// Additional updates in each burst.
    pub burst: usize,
    /// The interval between bursts.
    pub burst_every: Duration,
    /// The interval between storms.
    pub storm_every: Duration,
    /// Bytes of an update's data.
    pub data_bytes: usize,
    /// Whether the hub may restart.
    pub hub: Hub,
    /// How long the hub keeps an update at least. `None` means forever, and its history is then
    /// read from the very beginning.
    pub keeps: Option<Duration>,
    /// Where figures of the server are read from, and the file they are written to.
    pub samples: Option<Sources>,
    /// The interval between samples.
    pub sample_every: Duration,
}

/// The expected availability of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hub {
    /// It always answers.
    Stays,
    /// It ends without warning now and then, and restarts.
    Restarts,
}

impl Options {
    /// Returns whether the updates of a topic are private.
    pub(crate) fn is_private(&self, topic: u32) -> bool {
        self.target.subscriber_token.is_some() && topic % 2 == 1
    }
}

/// Runs the soak and returns its report. Flaws are figures of the report, not errors.
///
/// # Errors
///
/// [`BenchError`] if the hub refused something or was unexpectedly unavailable, or if the generator
/// was the limit.
pub fn run(options: &Options) -> Result<Report, BenchError> {
    check(options)?;
    allow_connections(options.subscribers + options.publishers + RETURNERS)?;
    let server = options.target.pid.map(Process::new);
    let mut engine = Engine::new(options)?;
    engine.begin()?;
    let bar = progress::bar("soaking", options.duration.as_secs());
    let server_before = server.map(Process::cpu_ns).transpose()?;
    let (own_before, begin) = (own_thread_cpu_ns(), engine.begin_ns());
    engine.run_until(begin + nanos(options.duration), |engine| {
        bar.set_position((now_ns() - begin) / nanos(Duration::from_secs(1)));
        bar.set_message(format!(
            "{} acknowledged, {} delivered, {} subscribed",
            engine.book.account.acknowledged(),
            engine.book.account.delivered(),
            engine.subscribed(),
        ));
    })?;
    let wall = as_f64(now_ns() - begin);
    let own = as_f64(own_thread_cpu_ns() - own_before) / wall;
    let server_after = server.map(Process::cpu_ns).transpose()?;
    bar.set_message("waiting for the rest");
    engine.end()?;
    engine.wait_for_all()?;
    bar.set_message("reading again from the beginning and from old cursors");
    engine.read_again(RETURNERS)?;
    engine.wait_for_all()?;
    bar.finish_and_clear();
    if own > BUSY_MAX {
        let busy_percent = 100.0 * own;
        return Err(BenchError::Saturated { busy_percent });
    }
    let mut report = report(&engine, options);
    report.add("generator_busy", 100.0 * own, "%");
    if let Some((after, before)) = server_after.zip(server_before) {
        report.add("server_busy", 100.0 * as_f64(after - before) / wall, "%");
    }
    Ok(report)
}

fn check(options: &Options) -> Result<(), BenchError> {
    let wrong = |option, reason| Err(BenchError::Option { option, reason });
    if options.topics == 0 || options.topics > options.subscribers.min(TOPICS_MAX) {
        return wrong("--topics", "there must be one, and a subscriber for each");
    }
    if options.target.transport != Transport::EventStream {
        return wrong("--transport", "a soak has event streams alone");
    }
    if options.publishers == 0 {
        return wrong("--publishers", "there must be one");
    }
    if !(options.rate > 0.0 && options.rate.is_finite()) {
        return wrong("--rate", "it must be more than 0");
    }
    let times = [
        options.burst_every,
        options.storm_every,
        options.sample_every,
    ];
    if times.contains(&Duration::ZERO) {
        return wrong(
            "--burst-every, --storm-every, --sample-every",
            "none of them may be 0",
        );
    }
    if options.data_bytes < MARK_BYTES {
        return wrong("--data-bytes", "fewer than 37 do not hold what is checked");
    }
    Ok(())
}

fn report(engine: &Engine<'_>, options: &Options) -> Report {
    let Options {
        subscribers,
        topics,
        publishers,
        rate,
        seed,
        ..
    } = options;
    let secs = options.duration.as_secs();
    let mut report = Report::new(format!(
        "soak: {secs} s, {subscribers} subscribers, {topics} topics, {publishers} publishers, \
         {rate} updates/s, seed {seed}"
    ));
    let (account, tally) = (&engine.book.account, engine.book.tally);
    let progress: Vec<&Progress> = (engine.listeners())
        .flat_map(|listener| listener.progress())
        .collect();
    let flaws = account.flaws(progress.into_iter());
    for (name, count) in [
        ("acknowledged", account.acknowledged()),
        ("unanswered", account.given_up()),
        ("not_sent", tally.not_sent),
        ("deliveries", account.delivered()),
        ("lost", flaws.lost),
        ("missing", flaws.missing),
        ("duplicates", flaws.duplicates),
        ("order_errors", flaws.order_errors),
        ("misrouted", flaws.misrouted),
        ("misnamed", flaws.misnamed),
        ("cursors_lost", tally.cursors_lost),
        ("cursors_expired", tally.cursors_expired),
        ("subscriptions", tally.opened),
        ("resumed", tally.resumed),
        ("ended_by_the_hub", tally.ended),
        ("pauses", tally.pauses),
        ("bursts", tally.bursts),
        ("storms", tally.storms),
    ] {
        report.add(name, as_f64(count), "");
    }
    report.add_percentiles("latency", engine.book.latency.percentiles_ms());
    report.add_percentiles("acknowledgement", engine.acknowledgement.percentiles_ms());
    report
}
