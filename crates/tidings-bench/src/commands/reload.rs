//! `tidings-bench reload`: the arguments of reloads in a row.

use std::time::Duration;

use tidings_load::reload;
use tidings_load::report::Report;

use super::{Data, Output, Target};

/// Reload a hub with many event streams open, again and again, and check that none ends
///
/// COMMAND changes the configuration and has it read again, and ends with 0 when the change is in
/// force. The number of the reload follows its arguments, from 0. After each, one update must reach
/// every stream.
#[derive(Debug, clap::Args)]
pub struct Reload {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    pub(super) output: Output,

    /// How often
    #[arg(long, value_name = "N", default_value_t = 100)]
    reloads: usize,

    /// Event streams
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    subscribers: usize,

    #[command(flatten)]
    data: Data,

    /// Seconds to wait for missing updates after the last arrival
    #[arg(long, value_name = "SECS", default_value_t = 20)]
    settle: u64,

    /// The program that changes and reloads, with its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    reload: Vec<String>,
}

impl Reload {
    /// Runs and reports.
    pub(super) fn run(&self) -> anyhow::Result<Report> {
        Ok(reload::run(&reload::Options {
            target: self.target.options()?,
            reload: self.reload.clone(),
            reloads: self.reloads,
            subscribers: self.subscribers,
            data_bytes: self.data.data_bytes,
            settle: Duration::from_secs(self.settle),
        })?)
    }
}
