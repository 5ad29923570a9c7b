//! `tidings-bench cluster`: the arguments of the audit of a cluster.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tidings_load::audit;
use tidings_load::engine::EngineKind;
use tidings_load::report::Report;

use super::Output;

/// Kill, pause and cut off the hubs of a cluster and their engine, and check what they have then
///
/// Starts an engine and hubs in a folder of their own. Publishers send each update until a hub
/// acknowledges it, and subscribers move from hub to hub. Afterwards all hubs must have the same
/// updates, each acknowledged one once, each subscriber must have received exactly these, and each hub
/// must list exactly the subscribers.
#[derive(Debug, clap::Args)]
pub struct Cluster {
    #[command(flatten)]
    pub(super) output: Output,

    /// The hub's program
    #[arg(long, value_name = "FILE")]
    program: PathBuf,

    /// What orders the updates: one server of redis or postgresql, or three of nats
    #[arg(long, value_name = "ENGINE", default_value = "redis", value_parser = engine)]
    engine: EngineKind,

    /// The engine's program [default: redis-server, postgres or nats-server]
    #[arg(long, value_name = "FILE")]
    engine_program: Option<PathBuf>,

    /// Program of an older hub: hubs begin with it, and each is upgraded when it is started again
    #[arg(long, value_name = "FILE")]
    upgrade_from: Option<PathBuf>,

    /// Folder for configurations, data and logs [default: a new one, removed if all is well]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,

    /// Seconds for which updates are published
    #[arg(long, value_name = "SECS", default_value_t = 60)]
    secs: u64,

    /// Determines what is broken, and when [default: random]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Hubs
    #[arg(long, value_name = "N", default_value_t = 3)]
    hubs: usize,

    /// Event streams
    #[arg(long, value_name = "N", default_value_t = 30)]
    subscribers: usize,

    /// Connections that publish
    #[arg(long, value_name = "N", default_value_t = 16)]
    publishers: usize,

    /// Updates per second
    #[arg(long, value_name = "N", default_value_t = 100.0)]
    rate: f64,

    /// Bytes of an update's data
    #[arg(long, value_name = "N", default_value_t = 120)]
    data_bytes: usize,

    /// Seconds to wait for something that does not come
    #[arg(long, value_name = "SECS", default_value_t = 60)]
    settle: u64,
}

impl Cluster {
    /// Runs and reports.
    pub(super) fn run(&self) -> anyhow::Result<Report> {
        let folder = self.folder.clone().unwrap_or_else(|| {
            std::env::temp_dir().join(format!("tidings-audit-{}", std::process::id()))
        });
        let report = audit::run(&audit::Options {
            program: self.program.clone(),
            engine: self.engine,
            engine_program: self
                .engine_program
                .clone()
                .unwrap_or_else(|| self.engine.program().into()),
            upgrade_from: self.upgrade_from.clone(),
            folder: folder.clone(),
            hubs: self.hubs,
            duration: Duration::from_secs(self.secs),
            seed: self.seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
            subscribers: self.subscribers,
            publishers: self.publishers,
            rate: self.rate,
            data_bytes: self.data_bytes,
            settle: Duration::from_secs(self.settle),
        });
        let kept = || format!("the logs are in {}", folder.display());
        let report = report.with_context(kept)?;
        if self.folder.is_none() && report.flaws().next().is_none() {
            std::fs::remove_dir_all(&folder).with_context(kept)?;
        }
        Ok(report)
    }
}

pub(super) fn engine(name: &str) -> Result<EngineKind, String> {
    let found = EngineKind::ALL.into_iter().find(|kind| kind.name() == name);
    found.ok_or_else(|| {
        format!(
            "{name} is none of {}",
            EngineKind::ALL.map(EngineKind::name).join(", ")
        )
    })
}
