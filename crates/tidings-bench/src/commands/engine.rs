//! `tidings-bench engine`: the servers of an engine for hubs that others start.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tidings_load::engine::{self, EngineKind};

/// How long a server may take to start.
const START_MAX: Duration = Duration::from_secs(60);

/// Start the servers of an engine, for hubs of a cluster
///
/// Prints what the cluster table of a hub says of them, and stops them at the end of the standard
/// input.
#[derive(Debug, clap::Args)]
pub struct Engine {
    /// What orders the updates: one server of redis or postgresql, or three of nats
    #[arg(value_name = "ENGINE", value_parser = super::cluster::engine)]
    engine: EngineKind,

    /// The engine's program [default: redis-server, postgres or nats-server]
    #[arg(long, value_name = "FILE")]
    engine_program: Option<PathBuf>,

    /// The hub's program, which makes the tables of PostgreSQL
    #[arg(long, value_name = "FILE")]
    program: PathBuf,

    /// Empty folder for data and logs
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,
}

impl Engine {
    /// Runs until the end of the standard input.
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let kind = self.engine;
        let program = self.engine_program.clone();
        let mut engine = engine::Engine::start(&engine::Options {
            kind,
            program: program.unwrap_or_else(|| kind.program().into()),
            folder: self.folder.clone(),
        })?;
        let settings = kind.settings(engine.ports());
        let config = self.folder.join("tidings.toml");
        let text = format!("{CONFIG}[cluster]\n{settings}");
        fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        engine.prepare(&self.program, &config, START_MAX)?;
        let mut output = io::stdout().lock();
        output.write_all(settings.as_bytes())?;
        output.write_all(b"\n")?;
        output.flush()?;
        io::stdin().lock().read_to_end(&mut Vec::new())?;
        Ok(())
    }
}

/// What a hub needs beside its cluster.
const CONFIG: &str = "[hub]\npublic_url = \"http://localhost/.well-known/mercure\"\n\
                      [[listen]]\naddress = \"127.0.0.1:4400\"\n\
                      [[auth.issuers]]\nissuer = \"urn:tidings:bench\"\n\
                      key = \"a-key-that-signs-nothing-and-is-long-enough\"\n";
