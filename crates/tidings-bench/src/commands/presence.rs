//! `tidings-bench presence`: arguments for the run.

use tidings_load::presence;
use tidings_load::report::Report;

use super::{Output, Target};

/// Let many subscriptions come and go on a hub with presence, and ask about them
#[derive(Debug, clap::Args)]
pub struct Presence {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    pub(super) output: Output,

    /// Connections
    #[arg(long, value_name = "N", default_value_t = 1000)]
    connections: usize,

    /// Matchers of each
    #[arg(long, value_name = "N", default_value_t = 100)]
    matchers: usize,

    /// Topics that the matchers are for, in turn
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    topics: usize,

    /// Times that each question is asked
    #[arg(long, value_name = "N", default_value_t = 20)]
    asks: u32,

    /// Ask nothing and stay, once all have joined, until the hub ends: to see what a crash costs
    #[arg(long)]
    stay: bool,

    /// Where the hub shows its metrics, which tell how far it is
    #[arg(long, value_name = "URL")]
    metrics: Option<String>,
}

impl Presence {
    /// Runs and reports.
    pub fn run(&self) -> anyhow::Result<Report> {
        Ok(presence::run(&presence::Options {
            target: self.target.options()?,
            connections: self.connections,
            matchers: self.matchers,
            topics: self.topics,
            asks: self.asks,
            stay: self.stay,
            metrics: self.metrics.clone(),
        })?)
    }
}
