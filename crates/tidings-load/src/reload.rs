//! Reloads in a row with many event streams open: none may end, and an update after each reload must
//! reach all of them.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::BenchError;
use crate::clock::{as_f64, as_ms, now_ns};
use crate::histogram::Histogram;
use crate::ledger::Publishing;
use crate::load::{Load, OPENING_MAX};
use crate::process::{Process, allow_connections};
use crate::progress;
use crate::report::Report;
use crate::target;

/// The longest wait for sockets, so that the end of a command is seen.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The hub. With its process, memory is reported too.
    pub target: target::Options,
    /// The program that changes the configuration and has it read again, with its arguments. The
    /// number of the reload follows them, from 0. It ends with 0 if the change is in force.
    pub reload: Vec<String>,
    /// How often.
    pub reloads: usize,
    /// Event streams, all of one topic.
    pub subscribers: usize,
    /// Bytes of an update's data.
    pub data_bytes: usize,
    /// How long to wait for missing updates after the last arrival.
    pub settle: Duration,
}

/// Reloads, publishes one update and waits for all streams, again and again.
///
/// # Errors
///
/// [`BenchError::Connection`] if a stream ends, [`BenchError::Reload`] if a reload fails.
pub fn run(options: &Options) -> Result<Report, BenchError> {
    let Options {
        reloads,
        subscribers,
        ..
    } = *options;
    allow_connections(subscribers + 1)?;
    let server = options.target.pid.map(Process::new);
    let mut load = Load::new(&options.target, 1, options.data_bytes)?;
    load.open_subscribers(subscribers, None, OPENING_MAX)?;
    load.open_publishers(1)?;
    publish(&mut load, options)?;
    load.counts.reset();
    let before = load.counts.ledger.delivered();
    let memory_before = server.map(Process::resident_bytes).transpose()?;
    let mut times = Histogram::new();
    let bar = progress::bar("reloads", reloads as u64);
    for number in 0..reloads {
        let begin = now_ns();
        reload(&mut load, &options.reload, number)?;
        times.record(now_ns() - begin);
        publish(&mut load, options)?;
        bar.set_position(number as u64 + 1);
    }
    bar.finish_and_clear();
    let memory_after = server.map(Process::resident_bytes).transpose()?;
    let counts = &load.counts;
    let flaws = counts.ledger.flaws(&counts.published, Publishing::OneByOne);

    let mut report = Report::new(format!("{reloads} reloads, {subscribers} event streams"));
    report.add("reloads", as_f64(times.count()), "");
    report.add("streams", as_f64(counts.opened), "");
    report.add("deliveries", as_f64(counts.ledger.delivered() - before), "");
    report.add("lost", as_f64(flaws.lost), "");
    report.add("duplicates", as_f64(flaws.duplicates), "");
    report.add("order_errors", as_f64(flaws.order_errors), "");
    report.add("misrouted", as_f64(flaws.misrouted), "");
    report.add("reload_p50", as_ms(times.quantile(0.5)), "ms");
    report.add("reload_max", as_ms(times.max()), "ms");
    report.add_percentiles("latency", counts.latency.percentiles_ms());
    if let (Some(before), Some(after)) = (memory_before, memory_after) {
        report.add("memory_before", as_f64(before), "bytes");
        report.add("memory_after", as_f64(after), "bytes");
    }
    Ok(report)
}

/// Runs the command to its end, and reads streams meanwhile.
fn reload(load: &mut Load, command: &[String], number: usize) -> Result<(), BenchError> {
    let (program, arguments) = command.split_first().ok_or(BenchError::Option {
        option: "COMMAND",
        reason: "name the program that reloads",
    })?;
    let mut child = Command::new(program)
        .args(arguments)
        .arg(number.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|source| BenchError::System {
            call: "starting the reload",
            source,
        })?;
    loop {
        let status = child.try_wait().map_err(|source| BenchError::System {
            call: "waiting for the reload",
            source,
        })?;
        match status {
            None => load.turn(LOOK_EVERY)?,
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(BenchError::Reload { number, status }),
        }
    }
}

/// Publishes one update, and waits until all streams have it. What does not come is counted as lost.
fn publish(load: &mut Load, options: &Options) -> Result<(), BenchError> {
    load.publish(0, now_ns())?;
    let sent = load.counts.sent;
    load.wait("acknowledgements", sent, |counts| counts.acknowledged)?;
    let want = load.expected();
    load.wait_for_at_most(options.settle, want, |counts| counts.ledger.delivered())?;
    Ok(())
}
