//! Resuming: the time until the first missed update arrives from anywhere in the history, the cost
//! of a thousand simultaneous reconnects, and the memory of a slow reader.

use std::time::Duration;

use crate::BenchError;
use crate::clock::{as_f64, as_ms, nanos, now_ns};
use crate::histogram::Histogram;
use crate::ledger::Publishing;
use crate::load::counts::Counts;
use crate::load::{Load, PATIENCE};
use crate::mark::MARK_BYTES;
use crate::process::{Process, allow_connections};
use crate::progress;
use crate::publish::publish_all;
use crate::report::Report;
use crate::scrape::Metrics;
use crate::target;

/// Publishers that fill the history.
const PUBLISHERS: usize = 64;
/// Pause of the slow reader between two reads of at most 256 KiB.
const SLOW_PAUSE: Duration = Duration::from_millis(20);

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The hub.
    pub target: target::Options,
    /// Updates to publish first. They are the history that subscribers resume from.
    pub events: u64,
    /// Cursors, spread evenly over the history.
    pub cursors: u64,
    /// Subscribers that reconnect at the same time.
    pub subscribers: usize,
    /// Updates that each of them has missed.
    pub missed: u64,
    /// Updates that the slow reader has missed, at most `events`. 0 leaves out the slow reader.
    pub slow_missed: u64,
    /// Bytes of an update's data.
    pub data_bytes: usize,
    /// URL of the hub's metrics, for the number of pages read.
    pub metrics: Option<String>,
}

/// Runs the benchmark and returns its report.
///
/// # Errors
///
/// [`BenchError`] if a request was refused, a connection ended, or something never arrived.
pub fn run(options: &Options) -> Result<Report, BenchError> {
    let Options {
        events,
        missed,
        cursors,
        slow_missed,
        data_bytes,
        ..
    } = *options;
    if missed == 0 || cursors == 0 || missed.max(slow_missed) >= events || data_bytes < MARK_BYTES {
        let reason = "--missed and --slow-missed must be less, --data-bytes at least 37";
        return Err(BenchError::Option {
            option: "--events",
            reason,
        });
    }
    allow_connections(options.subscribers + PUBLISHERS)?;
    let server = options.target.pid.map(Process::new);
    let mut load = Load::new(&options.target, 1, data_bytes)?;
    load.open_publishers(PUBLISHERS)?;
    let marks = fill(&mut load, options)?;
    load.close_publishers();

    let mut report = Report::new(format!(
        "resume: {events} events, {cursors} cursors, {} subscribers that missed {missed}",
        options.subscribers
    ));
    let first = first_bytes(&mut load, &marks.spread)?;
    report.add("cursors", as_f64(first.count()), "");
    report.add_percentiles("first_update", first.percentiles_ms());
    // The many subscribers come first: the slow reader would leave their pages in the hub's memory.
    storm(&mut load, options, &marks.before_missed, &mut report)?;
    load.close_subscribers();
    if slow_missed > 0 {
        slow_reader(
            &mut load,
            &marks.before_slow,
            slow_missed,
            server,
            &mut report,
        )?;
    }
    Ok(report)
}

/// Cursors into the history.
struct Marks {
    spread: Vec<String>,
    before_slow: String,
    before_missed: String,
}

/// Publishes the history. At each place that is counted from, one update is published alone, so
/// that the number of updates after it is known exactly.
fn fill(load: &mut Load, options: &Options) -> Result<Marks, BenchError> {
    let Options {
        events,
        missed,
        slow_missed,
        cursors,
        ..
    } = *options;
    load.counts.keep_every = (events / cursors).max(1);
    let (far, near) = (slow_missed.max(missed), slow_missed.min(missed));
    publish_all(load, events - far - 1)?;
    let before_far = publish_alone(load)?;
    let before_near = if near > 0 && near < far {
        publish_all(load, far - near - 1)?;
        publish_alone(load)?
    } else {
        before_far.clone()
    };
    // No update, or too few, follow the last published ones, so they are no useful cursors.
    let mut spread = std::mem::take(&mut load.counts.ids);
    spread.push(before_near.clone());
    load.counts.keep_every = 0;
    publish_all(load, if near > 0 { near } else { far })?;
    let (before_slow, before_missed) = match slow_missed > missed {
        true => (before_far, before_near),
        false => (before_near, before_far),
    };
    Ok(Marks {
        spread,
        before_slow,
        before_missed,
    })
}

fn publish_alone(load: &mut Load) -> Result<String, BenchError> {
    let every = std::mem::replace(&mut load.counts.keep_every, 1);
    publish_all(load, 1)?;
    load.counts.keep_every = every;
    Ok(load.counts.ids.pop().unwrap_or_default())
}

/// Measures from the request to the first update after the cursor.
fn first_bytes(load: &mut Load, cursors: &[String]) -> Result<Histogram, BenchError> {
    let bar = progress::bar("cursors", cursors.len() as u64);
    let mut times = Histogram::new();
    for cursor in cursors {
        load.close_subscribers();
        load.open_subscribers(1, Some(cursor), 1)?;
        load.wait("the first update", 1, delivered)?;
        times.record(
            load.counts
                .last_delivery_ns
                .saturating_sub(load.requested_ns(0)),
        );
        bar.inc(1);
    }
    load.close_subscribers();
    bar.finish_and_clear();
    Ok(times)
}

/// Reads with pauses, so that the hub must hold back what the socket does not accept.
fn slow_reader(
    load: &mut Load,
    cursor: &str,
    missed: u64,
    server: Option<Process>,
    report: &mut Report,
) -> Result<(), BenchError> {
    let bar = progress::bar("slow reader", missed);
    let memory_before = server.map(Process::resident_bytes).transpose()?;
    let begin = now_ns();
    load.open_subscribers(1, Some(cursor), 1)?;
    let (mut memory_max, mut moved) = (memory_before, begin);
    let mut have = 0;
    while have < missed {
        std::thread::sleep(SLOW_PAUSE);
        load.turn(SLOW_PAUSE)?;
        memory_max = memory_max.max(server.map(Process::resident_bytes).transpose()?);
        if load.counts.ledger.delivered() > have {
            (have, moved) = (load.counts.ledger.delivered(), now_ns());
            bar.set_position(have);
        } else if now_ns() - moved > nanos(PATIENCE) {
            let (what, secs) = ("a slow reader's updates", PATIENCE.as_secs());
            return Err(BenchError::Stuck {
                what,
                have,
                want: missed,
                secs,
            });
        }
    }
    bar.finish_and_clear();
    report.add("slow_reader_updates", as_f64(have), "");
    report.add("slow_reader_time", as_ms(now_ns() - begin), "ms");
    if let (Some(before), Some(max)) = (memory_before, memory_max) {
        report.add(
            "slow_reader_memory_growth",
            as_f64(max.saturating_sub(before)),
            "bytes",
        );
    }
    load.close_subscribers();
    Ok(())
}

/// Lets all subscribers resume at once, and waits until each has received all that it missed.
fn storm(
    load: &mut Load,
    options: &Options,
    cursor: &str,
    report: &mut Report,
) -> Result<(), BenchError> {
    let Options {
        subscribers,
        missed,
        ..
    } = *options;
    let metrics = || options.metrics.as_deref().map(Metrics::read).transpose();
    let server = options.target.pid.map(Process::new);
    let metrics_before = metrics()?;
    let cpu_before = server.map(Process::cpu_ns).transpose()?;
    let begin = now_ns();
    load.open_subscribers(subscribers, Some(cursor), subscribers)?;
    let want = missed * subscribers as u64;
    load.wait("missed updates", want, delivered)?;
    let took = load.counts.last_delivery_ns.saturating_sub(begin);
    let cpu_after = server.map(Process::cpu_ns).transpose()?;
    let metrics_after = metrics()?;

    let missed = u32::try_from(missed).unwrap_or(u32::MAX);
    let flaws = load.counts.ledger.flaws(&[missed], Publishing::AtOnce);
    report.add("reconnecting", as_f64(subscribers as u64), "");
    report.add("deliveries", as_f64(load.counts.ledger.delivered()), "");
    report.add("lost", as_f64(flaws.lost), "");
    report.add("duplicates", as_f64(flaws.duplicates), "");
    report.add("order_errors", as_f64(flaws.order_errors), "");
    report.add_percentiles("reconnect", load.counts.opening.percentiles_ms());
    report.add("reconnect_total", as_ms(took), "ms");
    report.add(
        "replayed_per_second",
        as_f64(want) * 1e9 / as_f64(took.max(1)),
        "/s",
    );
    if let (Some(before), Some(after)) = (cpu_before, cpu_after) {
        report.add(
            "cpu_per_delivery",
            as_f64(after - before) / as_f64(want) / 1e3,
            "µs",
        );
    }
    if let (Some(before), Some(after)) = (metrics_before, metrics_after) {
        for (figure, name) in [
            ("pages_read", "tidings_history_pages_read_total"),
            ("pages_cached", "tidings_history_pages_cached_total"),
            ("cursors_read", "tidings_history_cursors_read_total"),
        ] {
            report.add(
                figure,
                as_f64(after.counter(name) - before.counter(name)),
                "",
            );
        }
    }
    Ok(())
}

fn delivered(counts: &Counts) -> u64 {
    counts.ledger.delivered()
}
