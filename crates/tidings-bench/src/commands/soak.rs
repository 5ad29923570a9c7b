//! `tidings-bench soak`: the arguments of a long run.

use std::path::PathBuf;
use std::time::Duration;

use tidings_load::report::Report;
use tidings_load::soak::samples::Sources;
use tidings_load::soak::{self, Hub};

use super::{Output, Target};

/// Mixed load for a long time: comers and goers, slow readers, bursts, storms
///
/// Of twenty subscribers twelve stay, four come and go, two read slowly, one reads from the oldest
/// update and one from an old cursor. Each must receive exactly what was published, in one order,
/// through all its connections. With a token for subscribers every second topic is private, and a
/// quarter of the subscribers come without it.
#[derive(Debug, clap::Args)]
pub struct Soak {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    pub(super) output: Output,

    /// Seconds for which updates are published
    #[arg(long, value_name = "SECS", default_value_t = 60)]
    secs: u64,

    /// Decides what everybody does [default: by chance]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Subscribers of all kinds
    #[arg(long, value_name = "N", default_value_t = 300)]
    subscribers: usize,

    /// Topics; subscribers ask for one to three of them
    #[arg(long, value_name = "N", default_value_t = 8)]
    topics: usize,

    /// Publishers, each with one update in flight
    #[arg(long, value_name = "N", default_value_t = 16)]
    publishers: usize,

    /// Updates per second
    #[arg(long, value_name = "N", default_value_t = 100.0)]
    rate: f64,

    /// Updates of a burst, besides those
    #[arg(long, value_name = "N", default_value_t = 500)]
    burst: usize,

    /// Seconds from burst to burst
    #[arg(long, value_name = "SECS", default_value_t = 20)]
    burst_every: u64,

    /// Seconds from storm to storm: four of five subscribers reconnect at once
    #[arg(long, value_name = "SECS", default_value_t = 60)]
    storm_every: u64,

    /// Bytes of an update's data
    #[arg(long, value_name = "N", default_value_t = 120)]
    data_bytes: usize,

    /// The hub may end and come back: broken connections are made again, and updates that got no
    /// answer may be there or not
    #[arg(long)]
    restarts: bool,

    /// Seconds for which the hub keeps an update at least [default: for ever, and then its history
    /// must begin with the first]
    #[arg(long, value_name = "SECS")]
    keeps: Option<u64>,

    /// File for figures of the hub during the run, a line of JSON each
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,

    /// Seconds from sample to sample
    #[arg(long, value_name = "SECS", default_value_t = 10)]
    sample_every: u64,

    /// Where the hub shows its metrics, for the samples
    #[arg(long, value_name = "URL")]
    metrics: Option<String>,

    /// The folder that the hub writes to, for its size in the samples
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

impl Soak {
    /// Runs and reports.
    pub(super) fn run(&self) -> anyhow::Result<Report> {
        let samples = self.samples.clone().map(|file| Sources {
            file,
            metrics: self.metrics.clone(),
            data: self.data.clone(),
        });
        Ok(soak::run(&soak::Options {
            target: self.target.options()?,
            duration: Duration::from_secs(self.secs),
            seed: self.seed.unwrap_or_else(|| fastrand::u64(..)),
            subscribers: self.subscribers,
            topics: self.topics,
            publishers: self.publishers,
            rate: self.rate,
            burst: self.burst,
            burst_every: Duration::from_secs(self.burst_every),
            storm_every: Duration::from_secs(self.storm_every),
            data_bytes: self.data_bytes,
            hub: if self.restarts {
                Hub::Restarts
            } else {
                Hub::Stays
            },
            keeps: self.keeps.map(Duration::from_secs),
            samples,
            sample_every: Duration::from_secs(self.sample_every),
        })?)
    }
}
