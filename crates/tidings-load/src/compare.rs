//! Broadcast over HTTP/1.1 event streams and over another transport in turn: the same updates to
//! the same number of subscribers of one hub, several times, so that the cost of one transport can
//! be expressed as a multiple of the other's.

use std::time::Duration;

use crate::BenchError;
use crate::clock::{as_f64, as_ms, now_ns};
use crate::histogram::Histogram;
use crate::ledger::Publishing;
use crate::load::{Load, OPENING_MAX};
use crate::mark::MARK_BYTES;
use crate::process::{Process, allow_connections, own_thread_cpu_ns};
use crate::progress;
use crate::report::Report;
use crate::sse::{BUSY_MAX, Lockstep, lockstep};
use crate::target::{self, Transport};

/// Updates per topic before measuring starts, published one by one.
const WARM_UP_UPDATES: u32 = 20;
/// Turns of each side.
const ROUNDS: u32 = 4;
/// The topic number of each side.
const EVENT_STREAMS: usize = 0;
const OTHER: usize = 1;
const SSE: &str = "sse";
const SIDES: [usize; 2] = [EVENT_STREAMS, OTHER];

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The hub, and the transport to compare with event streams over HTTP/1.1. If the hub's URL is
    /// `https`, both sides use TLS.
    pub target: target::Options,
    /// Connections of that transport.
    pub connections: usize,
    /// Event streams on each of them for HTTP/2, otherwise 1. The other side has one HTTP/1.1
    /// connection for each stream.
    pub streams: usize,
    /// Sizes of the bursts of simultaneous updates; each size is a series of runs.
    pub bursts: Vec<u32>,
    /// Bursts of each size for each side.
    pub repeats: u32,
    /// Bytes of an update's data.
    pub data_bytes: usize,
    /// How long to wait for missing deliveries after the last arrival.
    pub settle: Duration,
}

/// Runs the benchmark and returns its report.
///
/// # Errors
///
/// [`BenchError`], also if the open-file limit is too low for the connections:
/// [`BenchError::OpenFiles`].
pub fn run(options: &Options) -> Result<Report, BenchError> {
    let mut options = options.clone();
    // Single updates come first: only then is the order known beforehand.
    options.bursts.sort_unstable();
    let Options {
        connections,
        streams,
        ref bursts,
        ..
    } = options;
    let subscribers = connections.saturating_mul(streams);
    let publishers = bursts.last().copied().unwrap_or_default() as usize;
    check(&options, subscribers)?;
    allow_connections(connections + subscribers + publishers)?;
    let server = options.target.pid.map(Process::new);
    let mut load = Load::new(&options.target, SIDES.len(), options.data_bytes)?;
    let other = options.target.transport.name();
    let scheme = if load.is_tls() { "TLS" } else { "plain" };
    let mut report = Report::new(format!(
        "compare: {connections} connections of {other} with {streams} streams each, {subscribers} \
         event streams, {scheme}"
    ));
    open(&mut load, &options, server, &mut report)?;
    load.open_publishers(publishers)?;
    for topic in SIDES {
        one_by_one(&mut load, topic, WARM_UP_UPDATES, options.settle)?;
    }
    let mut descents = 0;
    for burst in bursts {
        let sides = measure(&mut load, &options, *burst, server)?;
        if *burst == 1 {
            descents = load.counts.ledger.descents();
        }
        report_burst(&mut report, *burst, other, &sides);
    }
    let flaws = load
        .counts
        .ledger
        .flaws(&load.counts.published, Publishing::AtOnce);
    report.add("deliveries", as_f64(load.counts.ledger.delivered()), "");
    report.add("lost", as_f64(flaws.lost), "");
    report.add("duplicates", as_f64(flaws.duplicates), "");
    report.add("order_errors", as_f64(flaws.order_errors + descents), "");
    report.add("misrouted", as_f64(flaws.misrouted), "");
    Ok(report)
}

fn check(options: &Options, subscribers: usize) -> Result<(), BenchError> {
    let wrong = |option, reason| Err(BenchError::Option { option, reason });
    if subscribers == 0 || options.repeats == 0 {
        return wrong(
            "--connections, --streams, --repeats",
            "none of them may be 0",
        );
    }
    match options.target.transport {
        Transport::EventStream => {
            return wrong("--transport", "event streams are the other side already");
        }
        Transport::WebSocket | Transport::LongPoll | Transport::SockJs if options.streams != 1 => {
            return wrong("--streams", "only HTTP/2 has more than one on a connection");
        }
        Transport::Http2 | Transport::WebSocket | Transport::LongPoll | Transport::SockJs => {}
    }
    if options.bursts.is_empty() || options.bursts.contains(&0) {
        return wrong("--bursts", "there must be one, and none may be 0");
    }
    if options.data_bytes < MARK_BYTES {
        return wrong("--data-bytes", "fewer than 37 do not hold what is checked");
    }
    Ok(())
}

/// Opens both sides and reports how much memory their connections take.
fn open(
    load: &mut Load,
    options: &Options,
    server: Option<Process>,
    report: &mut Report,
) -> Result<(), BenchError> {
    let subscribers = options.connections * options.streams;
    let resident = || server.map(Process::resident_bytes).transpose();
    let before = resident()?;
    for _ in 0..subscribers {
        load.open_subscriber_by(Transport::EventStream, EVENT_STREAMS, None)?;
        let enough = load.subscribers().saturating_sub(OPENING_MAX);
        wait_opened(load, enough)?;
    }
    wait_opened(load, subscribers)?;
    let between = resident()?;
    let bar = progress::bar("connecting", options.connections as u64);
    for _ in 0..options.connections {
        if options.target.transport == Transport::Http2 {
            load.open_multiplex(OTHER, options.streams)?;
        } else {
            load.open_subscriber(OTHER, None)?;
            let enough = load.subscribers().saturating_sub(OPENING_MAX);
            wait_opened(load, enough)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    wait_opened(load, 2 * subscribers)?;
    let after = resident()?;
    if let (Some(before), Some(between), Some(after)) = (before, between, after) {
        let each = |grown: u64| as_f64(grown) / as_f64(subscribers as u64);
        for (name, grown) in [
            (SSE, between.saturating_sub(before)),
            (
                options.target.transport.name(),
                after.saturating_sub(between),
            ),
        ] {
            report.add(format!("{name}_memory_per_stream"), each(grown), "bytes");
        }
    }
    Ok(())
}

fn wait_opened(load: &mut Load, opened: usize) -> Result<(), BenchError> {
    load.wait("answers to subscriptions", opened as u64, |counts| {
        counts.opened
    })
}

fn one_by_one(
    load: &mut Load,
    topic: usize,
    updates: u32,
    settle: Duration,
) -> Result<(), BenchError> {
    let run = Lockstep {
        topics: topic..topic + 1,
        updates,
        burst: 1,
        settle,
    };
    lockstep(load, &run)
}

/// The measurements of one side for one burst size.
#[derive(Debug, Default)]
struct Side {
    wall_ns: u64,
    own_cpu_ns: u64,
    server_cpu_ns: Option<u64>,
    deliveries: u64,
    latency: Histogram,
}

/// Measures both sides in turn.
fn measure(
    load: &mut Load,
    options: &Options,
    burst: u32,
    server: Option<Process>,
) -> Result<[Side; 2], BenchError> {
    let mut sides = <[Side; 2]>::default();
    for round in 0..ROUNDS {
        // If the bursts do not divide evenly, the first rounds get the remainder.
        let repeats = (options.repeats + ROUNDS - 1 - round) / ROUNDS;
        for (topic, side) in SIDES.into_iter().zip(&mut sides) {
            let run = Lockstep {
                topics: topic..topic + 1,
                updates: repeats * burst,
                burst,
                settle: options.settle,
            };
            load.counts.reset();
            let delivered = load.counts.ledger.delivered();
            let cpu = server.map(Process::cpu_ns).transpose()?;
            let (own, begin) = (own_thread_cpu_ns(), now_ns());
            lockstep(load, &run)?;
            side.wall_ns += now_ns() - begin;
            side.own_cpu_ns += own_thread_cpu_ns() - own;
            let after = server.map(Process::cpu_ns).transpose()?;
            side.deliveries += load.counts.ledger.delivered() - delivered;
            side.latency.add(&load.counts.latency);
            let spent = after.zip(cpu).map(|(after, before)| after - before);
            side.server_cpu_ns = spent.map(|spent| spent + side.server_cpu_ns.unwrap_or_default());
        }
    }
    Ok(sides)
}

impl Side {
    /// Returns the share of time for which the generator was busy.
    fn busy(&self) -> f64 {
        as_f64(self.own_cpu_ns) / as_f64(self.wall_ns.max(1))
    }

    /// Returns whether the generator was the limit, so that times and rates would describe it. The
    /// two take turns, so this is the case only if it was busy nearly all the time and more than
    /// the hub.
    fn is_saturated(&self) -> bool {
        let more = (self.server_cpu_ns).is_none_or(|server| server < self.own_cpu_ns);
        self.busy() > BUSY_MAX && more
    }

    fn cpu_per_delivery(&self) -> Option<f64> {
        let spent = as_f64(self.server_cpu_ns?);
        Some(spent / as_f64(self.deliveries.max(1)))
    }
}

/// Adds the figures of one burst size. Rates and times are left out if the generator was the limit.
/// The hub's cost per delivery does not depend on the reading speed, as long as a burst fits into
/// the sockets.
fn report_burst(report: &mut Report, burst: u32, other: &str, sides: &[Side; 2]) {
    for (name, side) in [SSE, other].into_iter().zip(sides) {
        let figure = |what: &str| format!("burst_{burst}_{name}_{what}");
        report.add(figure("generator_busy"), 100.0 * side.busy(), "%");
        if let Some(cpu) = side.cpu_per_delivery() {
            report.add(figure("cpu_per_delivery"), cpu / 1e3, "µs");
        }
        if side.is_saturated() {
            continue;
        }
        let rate = as_f64(side.deliveries) * 1e9 / as_f64(side.wall_ns.max(1));
        report.add(figure("deliveries_per_second"), rate, "/s");
        for (percentile, share) in [("p50", 0.5), ("p99", 0.99)] {
            let ms = as_ms(side.latency.quantile(share));
            report.add(figure(&format!("latency_{percentile}")), ms, "ms");
        }
    }
    let [event_streams, other] = sides;
    if let (Some(one), Some(two)) = (event_streams.cpu_per_delivery(), other.cpu_per_delivery()) {
        report.add(format!("burst_{burst}_cpu_ratio_to_sse"), two / one, "");
    }
}
