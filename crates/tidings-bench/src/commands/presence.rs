//! `tidings-bench presence`: arguments for the run.

use tidings_load::presence;
use tidings_load::report::Report;

use super::{Metrics, Output, Target};

/// Open and close many subscriptions on a hub with presence, and query them
#[derive(Debug, clap::Args)]
pub struct Presence {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    pub(super) output: Output,

    /// Connections
    #[arg(long, value_name = "N", default_value_t = 1000)]
    connections: usize,

    /// Matchers of each connection
    #[arg(long, value_name = "N", default_value_t = 100)]
    matchers: usize,

    /// Topics of the matchers, used in turn
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    topics: usize,

    /// How often each query is sent
    #[arg(long, value_name = "N", default_value_t = 20)]
    asks: u32,

    /// Skip the queries and, once all have subscribed, stay until the hub ends: to measure the cost of
    /// a crash
    #[arg(long)]
    stay: bool,

    #[command(flatten)]
    metrics: Metrics,
}

impl Presence {
    /// Runs the benchmark and returns its report.
    pub fn run(&self) -> anyhow::Result<Report> {
        Ok(presence::run(&presence::Options {
            target: self.target.options()?,
            connections: self.connections,
            matchers: self.matchers,
            topics: self.topics,
            asks: self.asks,
            stay: self.stay,
            metrics: self.metrics.url(),
        })?)
    }
}
