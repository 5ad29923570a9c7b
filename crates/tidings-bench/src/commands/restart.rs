//! `tidings-bench restart`: the arguments of restarts in a row.

use std::time::Duration;

use tidings_load::report::Report;
use tidings_load::restart;

use super::{Output, Target};

/// Let one process take over from another, under load, and report what peers notice
///
/// The hub must run already; `--pid` names its process. COMMAND starts the next one, such as
/// `tidings serve --config FILE --take-over`. The last process is stopped at the end.
#[derive(Debug, clap::Args)]
pub struct Restart {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    pub(super) output: Output,

    /// How often
    #[arg(long, value_name = "N", default_value_t = 10)]
    restarts: usize,

    /// Milliseconds from the end of a process to the next start
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pause: u64,

    /// Event streams
    #[arg(long, value_name = "N", default_value_t = 1000)]
    subscribers: usize,

    /// Updates per second
    #[arg(long, value_name = "N", default_value_t = 100.0)]
    rate: f64,

    /// Connections that publish
    #[arg(long, value_name = "N", default_value_t = 8)]
    publishers: usize,

    /// Bytes of an update's data
    #[arg(long, value_name = "N", default_value_t = 120)]
    data_bytes: usize,

    /// Seconds to wait for something that does not come
    #[arg(long, value_name = "SECS", default_value_t = 20)]
    settle: u64,

    /// The program that takes over, with its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    next: Vec<String>,
}

impl Restart {
    /// Runs and reports.
    pub(super) fn run(&self) -> anyhow::Result<Report> {
        Ok(restart::run(&restart::Options {
            target: self.target.options()?,
            next: self.next.clone(),
            restarts: self.restarts,
            pause: Duration::from_millis(self.pause),
            subscribers: self.subscribers,
            rate: self.rate,
            publishers: self.publishers,
            data_bytes: self.data_bytes,
            settle: Duration::from_secs(self.settle),
        })?)
    }
}
