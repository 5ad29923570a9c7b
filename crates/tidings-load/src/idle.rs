//! Idle subscribers: the memory of each, and the CPU time of all.

use std::time::Duration;

use crate::BenchError;
use crate::clock::{as_f64, as_ms, now_ns};
use crate::floor::Floor;
use crate::load::{Load, OPENING_MAX};
use crate::mark::MARK_BYTES;
use crate::process::{Process, allow_connections};
use crate::progress;
use crate::report::Report;
use crate::target;

/// Sockets of the baseline for keep-alives. With more sockets, the cost of each is the same.
const FLOOR_SOCKETS_MAX: usize = 2000;
const FLOOR_ROUNDS: u32 = 20;
/// Bytes of one keep-alive: a comment line as a separate chunk.
const KEEP_ALIVE_BYTES: usize = 8;

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The hub; its process must be given.
    pub target: target::Options,
    /// Connections, each with a topic of its own.
    pub subscribers: usize,
    /// How long to wait before memory is measured.
    pub settle: Duration,
    /// How long CPU time is measured.
    pub window: Duration,
}

/// Runs the benchmark and returns its report.
///
/// # Errors
///
/// [`BenchError`] if no process is given or the process may not open enough files.
pub fn run(options: &Options) -> Result<Report, BenchError> {
    let Some(server) = options.target.pid.map(Process::new) else {
        let reason = "needed: memory and CPU time are read from the process of the hub";
        return Err(BenchError::Option {
            option: "--pid",
            reason,
        });
    };
    let subscribers = options.subscribers.max(1);
    let sockets = subscribers.min(FLOOR_SOCKETS_MAX);
    allow_connections(subscribers.max(2 * sockets))?;
    let floor = Floor::open(sockets, server.first_processor()?)?.measure(
        KEEP_ALIVE_BYTES,
        FLOOR_ROUNDS,
        None,
    )?;
    let mut load = Load::new(&options.target, subscribers, MARK_BYTES)?;
    let before = server.resident_bytes()?;
    let connecting = now_ns();
    load.open_subscribers(subscribers, None, OPENING_MAX)?;
    let connected = now_ns() - connecting;
    progress::pause("settling", options.settle);
    let after = server.resident_bytes()?;
    let (cpu, begin, bytes) = (server.cpu_ns()?, now_ns(), load.received_bytes());
    let bar = progress::bar("idle", options.window.as_secs());
    while now_ns() - begin < crate::clock::nanos(options.window) {
        load.turn(Duration::from_secs(1))?;
        bar.set_position((now_ns() - begin) / 1_000_000_000);
    }
    bar.finish_and_clear();
    let (cpu, wall) = (as_f64(server.cpu_ns()? - cpu), as_f64(now_ns() - begin));
    let keep_alives = as_f64(load.received_bytes() - bytes) / as_f64(KEEP_ALIVE_BYTES as u64);

    let mut report = Report::new(format!(
        "idle: {subscribers} subscribers by {}, a topic each",
        options.target.transport.name()
    ));
    let grown = as_f64(after.saturating_sub(before));
    report.add("connect_total", as_ms(connected), "ms");
    report.add_percentiles("connect", load.counts.opening.percentiles_ms());
    report.add("memory_before", as_f64(before), "bytes");
    report.add("memory_after", as_f64(after), "bytes");
    report.add(
        "memory_per_subscriber",
        grown / as_f64(subscribers as u64),
        "bytes",
    );
    report.add("window", wall / 1e6, "ms");
    report.add("idle_cpu", 100.0 * cpu / wall, "%");
    report.add("keep_alives", keep_alives, "");
    report.add("floor_cpu_per_send", floor.cpu_ns / 1e3, "µs");
    let sends = keep_alives * floor.cpu_ns;
    report.add("idle_cpu_of_the_sends", 100.0 * sends / wall, "%");
    report.add(
        "idle_cpu_above_the_sends",
        100.0 * (cpu - sends) / wall,
        "%",
    );
    Ok(report)
}
