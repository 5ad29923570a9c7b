//! `tidings-bench soak`: the arguments of a long run.

use std::path::PathBuf;
use std::time::Duration;

use tidings_load::report::Report;
use tidings_load::soak::samples::Sources;
use tidings_load::soak::{self, Hub};

use super::{Data, Metrics, Output, Target};

/// Mixed load for a long time: changing subscribers, slow readers, bursts, storms
///
/// Of twenty subscribers, twelve stay, four come and go, two read slowly, one reads from the oldest
/// update and one from an old cursor. Each must receive exactly what was published, in one order,
/// over all its connections. With a token for subscribers, every second topic is private, and a
/// quarter of the subscribers connect without it.
#[derive(Debug, clap::Args)]
pub struct Soak {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    pub(super) output: Output,

    /// Seconds for which updates are published
    #[arg(long, value_name = "SECS", default_value_t = 60)]
    secs: u64,

    /// Determines the behaviour of all subscribers [default: random]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Subscribers of all kinds together
    #[arg(long, value_name = "N", default_value_t = 300)]
    subscribers: usize,

    /// Topics; each subscriber subscribes to one to three of them
    #[arg(long, value_name = "N", default_value_t = 8)]
    topics: usize,

    /// Publishers, each with one update in flight
    #[arg(long, value_name = "N", default_value_t = 16)]
    publishers: usize,

    /// Updates per second
    #[arg(long, value_name = "N", default_value_t = 100.0)]
    rate: f64,

    /// Additional updates in each burst
    #[arg(long, value_name = "N", default_value_t = 500)]
    burst: usize,

    /// Seconds between bursts
    #[arg(long, value_name = "SECS", default_value_t = 20)]
    burst_every: u64,

    /// Seconds between storms, in which four of five subscribers reconnect at once
    #[arg(long, value_name = "SECS", default_value_t = 60)]
    storm_every: u64,

    #[command(flatten)]
    data: Data,

    /// The hub may restart: subscribers reconnect, and updates without a response may or may not be
    /// stored
    #[arg(long)]
    restarts: bool,

    /// Seconds for which the hub keeps an update at least [default: forever; its history must then
    /// begin with the first update]
    #[arg(long, value_name = "SECS")]
    keeps: Option<u64>,

    /// File for samples of the hub during the run, one line of JSON each
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,

    /// Seconds between samples
    #[arg(long, value_name = "SECS", default_value_t = 10)]
    sample_every: u64,

    #[command(flatten)]
    metrics: Metrics,

    /// The folder that the hub writes to, for its size in the samples
    #[arg(long = "data", value_name = "FOLDER")]
    data_folder: Option<PathBuf>,
}

impl Soak {
    /// Runs the soak and returns its report.
    pub(super) fn run(&self) -> anyhow::Result<Report> {
        let samples = self.samples.clone().map(|file| Sources {
            file,
            metrics: self.metrics.url(),
            data: self.data_folder.clone(),
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
            data_bytes: self.data.data_bytes,
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
