//! Broadcast to event streams: throughput, latency, cost, and completeness.

use std::ops::Range;
use std::time::Duration;

use crate::BenchError;
use crate::clock::{as_f64, as_ms, nanos, now_ns};
use crate::floor::{Cost, Floor, interval};
use crate::histogram::Histogram;
use crate::ledger::{Flaws, Publishing};
use crate::load::counts::Span;
use crate::load::{Load, OPENING_MAX};
use crate::mark::MARK_BYTES;
use crate::process::{Process, allow_connections, own_thread_cpu_ns};
use crate::progress;
use crate::report::Report;
use crate::target;

/// Updates per topic before measuring starts, published one by one.
const WARM_UP_UPDATES: usize = 20;
/// The share of one core above which the generator counts as the limit.
pub(crate) const BUSY_MAX: f64 = 0.9;
/// How late the last update may be sent, as a share of the whole schedule.
const SLIP_MAX: f64 = 0.1;
/// Sweeps of the baseline before the run, and again after it.
const FLOOR_ROUNDS: u32 = 100;
/// Sweeps of the baseline at the pace of the run.
const PACED_FLOOR_ROUNDS: u32 = 100;
/// Pause after connecting, before memory is measured and the run begins.
const PAUSE: Duration = Duration::from_secs(1);

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The hub.
    pub target: target::Options,
    /// Connections, each with one topic.
    pub subscribers: usize,
    /// Topics; connections and updates use them in turn.
    pub topics: usize,
    /// Updates in total, without those of the warm-up.
    pub updates: u32,
    /// When each update is published.
    pub pace: Pace,
    /// Updates published at the same time.
    pub burst: u32,
    /// Bytes of an update's data.
    pub data_bytes: usize,
    /// Keep-alive connections for publishing.
    pub publishers: usize,
    /// How long to wait for missing deliveries after the last arrival.
    pub settle: Duration,
    /// Whether to measure the baseline too. Needs the server's process.
    pub floor: bool,
}

/// When updates are published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// When all subscribers have received the previous burst.
    Lockstep,
    /// This many updates per second, whatever the hub does.
    PerSecond(f64),
}

/// Runs the benchmark and returns its report.
///
/// # Errors
///
/// [`BenchError`], also if the generator was the limit and the figures would describe it:
/// [`BenchError::Saturated`], [`BenchError::Slipped`], [`BenchError::OpenFiles`].
/// [`BenchError::Saturated`], [`BenchError::Slipped`], [`BenchError::OpenFiles`].
pub fn run(options: &Options) -> Result<Report, BenchError> {
    check(options)?;
    let connections = options.subscribers + options.publishers;
    allow_connections(
        connections
            + if options.floor {
                2 * options.subscribers
            } else {
                0
            },
    )?;
    let server = options.target.pid.map(Process::new);
    let mut floor = match server {
        Some(server) if options.floor => {
            Some(Floor::open(options.subscribers, server.first_processor()?)?)
        }
        Some(_) | None => None,
    };
    let mut load = Load::new(&options.target, options.topics, options.data_bytes)?;
    let memory_before = server.map(Process::resident_bytes).transpose()?;
    let connecting = now_ns();
    load.open_subscribers(options.subscribers, None, OPENING_MAX)?;
    let connected = now_ns() - connecting;
    progress::pause("settling", PAUSE);
    let memory_after = server.map(Process::resident_bytes).transpose()?;
    load.open_publishers(options.publishers)?;
    let bytes = warm_up(&mut load, options)?;

    let pace = match options.pace {
        Pace::Lockstep => None,
        Pace::PerSecond(rate) => Some(interval(rate / f64::from(options.burst))),
    };
    let rounds = if pace.is_some() {
        options.updates.min(PACED_FLOOR_ROUNDS)
    } else {
        FLOOR_ROUNDS
    };
    let measure = |floor: &mut Option<Floor>| {
        floor
            .as_mut()
            .map(|floor| floor.measure(bytes, rounds, pace))
            .transpose()
    };
    let floor_before = measure(&mut floor)?;
    load.counts.spans = pace.map(|_| Vec::new());
    let measured = measure_run(&mut load, options, server)?;
    let floor_after = measure(&mut floor)?;
    measured.verdict(options)?;

    let mut report = Report::new(title(options));
    report.add("connect_total", as_ms(connected), "ms");
    report.add_percentiles("connect", load.counts.opening.percentiles_ms());
    if let (Some(before), Some(after)) = (memory_before, memory_after) {
        let grown = as_f64(after.saturating_sub(before));
        report.add(
            "memory_per_subscriber",
            grown / as_f64(options.subscribers as u64),
            "bytes",
        );
    }
    measured.report(&mut report, &load, bytes);
    if let Some(spans) = &load.counts.spans {
        report_spans(&mut report, spans);
    }
    if let (Some(before), Some(after)) = (floor_before, floor_after) {
        report_floor(&mut report, &before, &after);
    }
    Ok(report)
}

fn check(options: &Options) -> Result<(), BenchError> {
    let wrong = |option, reason| Err(BenchError::Option { option, reason });
    if options.subscribers == 0 || options.topics == 0 || options.updates == 0 {
        return wrong(
            "--subscribers, --topics, --updates",
            "none of them may be 0",
        );
    }
    if options.topics > options.subscribers {
        return wrong("--topics", "there must be at least one subscriber for each");
    }
    if options.burst == 0 || options.publishers < options.burst as usize {
        return wrong(
            "--publishers",
            "a burst needs as many publishers as it has updates",
        );
    }
    if matches!(options.pace, Pace::PerSecond(rate) if !(rate > 0.0 && rate.is_finite())) {
        return wrong("--rate", "it must be more than 0");
    }
    if options.data_bytes < MARK_BYTES {
        return wrong("--data-bytes", "fewer than 37 do not hold what is checked");
    }
    Ok(())
}

fn title(options: &Options) -> String {
    let Options {
        subscribers,
        topics,
        updates,
        burst,
        data_bytes,
        ..
    } = options;
    let pace = match options.pace {
        Pace::Lockstep => "lockstep".to_owned(),
        Pace::PerSecond(rate) => format!("{rate} updates/s"),
    };
    let transport = options.target.transport.name();
    format!(
        "{transport}: {subscribers} subscribers, {topics} topics, {updates} updates of {data_bytes} bytes, \
         {pace}, burst {burst}"
    )
}

/// Publishes one by one until the connections are warm. Returns the bytes of one delivery.
fn warm_up(load: &mut Load, options: &Options) -> Result<usize, BenchError> {
    for round in 0..WARM_UP_UPDATES {
        for topic in 0..options.topics.min(WARM_UP_UPDATES) {
            load.publish(topic, now_ns())?;
            let want = load.counts.sent;
            load.wait("acknowledgements", want, |counts| counts.acknowledged)?;
        }
        if round == 0 {
            load.wait("the first deliveries", 1, |counts| {
                counts.ledger.delivered()
            })?;
        }
    }
    let want = load.expected();
    load.wait("deliveries of the warm-up", want, |counts| {
        counts.ledger.delivered()
    })?;
    let bytes = load.received_bytes();
    load.counts.reset();
    Ok(usize::try_from(bytes / want.max(1)).unwrap_or(usize::MAX))
}

/// A run in which each burst waits for the previous one.
#[derive(Clone, Debug)]
pub(crate) struct Lockstep {
    /// The numbers of the topics to publish to.
    pub(crate) topics: Range<usize>,
    pub(crate) updates: u32,
    pub(crate) burst: u32,
    pub(crate) settle: Duration,
}

struct Measured {
    wall_ns: u64,
    planned_ns: Option<u64>,
    late_ns: u64,
    own_cpu_ns: u64,
    server_cpu_ns: Option<u64>,
    delivered: u64,
    flaws: Flaws,
}

fn measure_run(
    load: &mut Load,
    options: &Options,
    server: Option<Process>,
) -> Result<Measured, BenchError> {
    let delivered = load.counts.ledger.delivered();
    let server_before = server.map(Process::cpu_ns).transpose()?;
    let own_before = own_thread_cpu_ns();
    let begin = now_ns();
    let planned_ns = match options.pace {
        Pace::Lockstep => {
            let run = Lockstep {
                topics: 0..options.topics,
                updates: options.updates,
                burst: options.burst,
                settle: options.settle,
            };
            lockstep(load, &run)?;
            None
        }
        Pace::PerSecond(rate) => Some(paced(load, options, rate)?),
    };
    let want = load.expected();
    load.wait_for_at_most(options.settle, want, |counts| counts.ledger.delivered())?;
    let own_cpu_ns = own_thread_cpu_ns() - own_before;
    let server_after = server.map(Process::cpu_ns).transpose()?;
    let publishing = match (options.pace, options.burst, options.publishers) {
        (Pace::Lockstep, 1, _) | (_, _, 1) => Publishing::OneByOne,
        _ => Publishing::AtOnce,
    };
    // An update whose acknowledgement is still missing may already be delivered.
    let sent = load.counts.sent;
    load.wait("acknowledgements", sent, |counts| counts.acknowledged)?;
    Ok(Measured {
        wall_ns: load.counts.last_delivery_ns.saturating_sub(begin).max(1),
        planned_ns,
        late_ns: load.counts.late_ns,
        own_cpu_ns,
        server_cpu_ns: server_after
            .zip(server_before)
            .map(|(after, before)| after - before),
        delivered: load.counts.ledger.delivered() - delivered,
        flaws: load.counts.ledger.flaws(&load.counts.published, publishing),
    })
}

/// Publishes each burst when all subscribers have received the previous one, to the topics in turn.
pub(crate) fn lockstep(load: &mut Load, run: &Lockstep) -> Result<(), BenchError> {
    let bar = progress::bar("updates", u64::from(run.updates));
    let mut topics = run.topics.clone().cycle();
    let mut next = 0;
    while next < run.updates {
        let burst = run.burst.min(run.updates - next);
        let due = now_ns();
        for topic in topics.by_ref().take(burst as usize) {
            load.publish(topic, due)?;
        }
        next += burst;
        let want = load.expected();
        if !load.wait_for_at_most(run.settle, want, |counts| counts.ledger.delivered())? {
            break;
        }
        // The acknowledgement usually comes before the deliveries, but this is not guaranteed.
        let sent = load.counts.sent;
        load.wait("acknowledgements", sent, |counts| counts.acknowledged)?;
        bar.set_position(u64::from(next));
    }
    bar.finish_and_clear();
    Ok(())
}

/// Publishes on a schedule, and returns how long it was.
fn paced(load: &mut Load, options: &Options, rate: f64) -> Result<u64, BenchError> {
    let step = nanos(interval(rate / f64::from(options.burst)));
    let bar = progress::bar("updates", u64::from(options.updates));
    let begin = now_ns();
    let mut due = begin;
    let mut next = 0;
    while next < options.updates {
        loop {
            let now = now_ns();
            load.turn(Duration::from_nanos(due.saturating_sub(now)))?;
            if now >= due {
                break;
            }
        }
        let burst = options.burst.min(options.updates - next);
        for update in next..next + burst {
            load.publish(update as usize % options.topics, due)?;
        }
        next += burst;
        due += step;
        bar.set_position(u64::from(next));
    }
    let want: u64 = load
        .counts
        .published
        .iter()
        .map(|count| u64::from(*count))
        .sum();
    load.wait("publishers", want, |counts| counts.sent)?;
    bar.finish_and_clear();
    Ok(due - begin)
}

impl Measured {
    fn busy(&self) -> f64 {
        as_f64(self.own_cpu_ns) / as_f64(self.wall_ns)
    }

    /// Checks whether the figures describe the hub.
    fn verdict(&self, options: &Options) -> Result<(), BenchError> {
        if self.busy() > BUSY_MAX && options.pace != Pace::Lockstep {
            return Err(BenchError::Saturated {
                busy_percent: 100.0 * self.busy(),
            });
        }
        match self.planned_ns {
            Some(planned) if as_f64(self.late_ns) > SLIP_MAX * as_f64(planned) => {
                let (late_ms, planned_ms) = (as_ms(self.late_ns), as_ms(planned));
                Err(BenchError::Slipped {
                    late_ms,
                    planned_ms,
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn report(&self, report: &mut Report, load: &Load, bytes: usize) {
        let deliveries = as_f64(self.delivered);
        report.add("deliveries", deliveries, "");
        report.add("lost", as_f64(self.flaws.lost), "");
        report.add("duplicates", as_f64(self.flaws.duplicates), "");
        report.add("order_errors", as_f64(self.flaws.order_errors), "");
        report.add("misrouted", as_f64(self.flaws.misrouted), "");
        report.add("bytes_per_delivery", as_f64(bytes as u64), "bytes");
        report.add(
            "deliveries_per_second",
            deliveries * 1e9 / as_f64(self.wall_ns),
            "/s",
        );
        report.add_percentiles("latency", load.counts.latency.percentiles_ms());
        report.add_percentiles(
            "acknowledgement",
            load.counts.acknowledgement.percentiles_ms(),
        );
        report.add("generator_busy", 100.0 * self.busy(), "%");
        if let Some(planned) = self.planned_ns {
            report.add("schedule", as_ms(planned), "ms");
        }
        if let Some(cpu) = self.server_cpu_ns {
            report.add(
                "server_busy",
                100.0 * as_f64(cpu) / as_f64(self.wall_ns),
                "%",
            );
            report.add(
                "cpu_per_delivery",
                as_f64(cpu) / deliveries.max(1.0) / 1e3,
                "µs",
            );
        }
    }
}

/// Reports the time to the first subscriber separately from the time between the first and the
/// last.
fn report_spans(report: &mut Report, spans: &[Span]) {
    let (mut first, mut spread) = (Histogram::new(), Histogram::new());
    for span in spans.iter().filter(|span| span.due_ns > 0) {
        first.record(span.first_ns.saturating_sub(span.due_ns));
        spread.record(span.last_ns - span.first_ns);
    }
    for (name, times) in [("first_delivery", first), ("first_to_last", spread)] {
        for (percentile, share) in [("p50", 0.5), ("p99", 0.99)] {
            let ms = as_ms(times.quantile(share));
            report.add(format!("{name}_{percentile}"), ms, "ms");
        }
    }
}

fn report_floor(report: &mut Report, before: &Cost, after: &Cost) {
    let mean = (before.cpu_ns + after.cpu_ns) / 2e3;
    let mut sweeps = before.sweep.clone();
    sweeps.add(&after.sweep);
    let sweep = sweeps.quantile(0.5);
    let slow_sweep = sweeps.quantile(0.99);
    report.add("floor_cpu_before", before.cpu_ns / 1e3, "µs");
    report.add("floor_cpu_after", after.cpu_ns / 1e3, "µs");
    report.add("floor_cpu_per_send", mean, "µs");
    report.add(
        "floor_sends_per_second",
        (before.per_second + after.per_second) / 2.0,
        "/s",
    );
    report.add("floor_sweep_p50", as_ms(sweep), "ms");
    report.add("floor_sweep_p99", as_ms(slow_sweep), "ms");
    if let Some(cpu) = report.value("cpu_per_delivery") {
        report.add("cpu_ratio_to_floor", cpu / mean, "");
    }
    if let Some(p99) = report.value("latency_p99") {
        report.add("p99_ratio_to_sweep", p99 / as_ms(sweep), "");
        report.add("p99_ratio_to_slow_sweep", p99 / as_ms(slow_sweep), "");
    }
}
