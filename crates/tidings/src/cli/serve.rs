//! `tidings serve`: reads the configuration, checks it, runs the server.

use std::path::PathBuf;

use super::log;
use crate::config::{env, read};
use crate::server::{self, Control};
use crate::signals::Hangup;

/// Run a hub for production
///
/// Reads its settings from a file and the environment; `tidings config docs` lists the keys.
/// Unknown, missing and contradictory settings are errors that say how to fix them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Configuration file [default: tidings.toml in this folder or in /etc/tidings, if it exists]
    #[arg(long, value_name = "FILE", env = "TIDINGS_CONFIG")]
    config: Option<PathBuf>,
}

/// Runs the command until the server ends.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let control = Control::start(Hangup::Reloads)?;
    let reading = read(arguments.config.as_deref(), &env::variables());
    let inherited = reading.settings.inherited();
    let unread = reading.settings.unread().to_vec();
    let services = reading.settings.service_variables().join(", ");
    let config = reading.into_config()?;
    config.check_writable()?;
    log::start(&config.log)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if !inherited.is_empty() {
        let names = inherited.join(", ");
        tracing::info!(names, "using settings of another Mercure hub");
    }
    if !services.is_empty() {
        tracing::info!(
            names = services,
            "ignoring variables of Kubernetes Services"
        );
    }
    for unread in unread {
        tracing::warn!(name = unread.name, why = unread.why, "setting not read");
    }
    server::run(control, config, |config| {
        tracing::info!(hub = config.hub.as_str(), "ready")
    })
}

const EXAMPLES: &str = "\
Examples:
  tidings serve --config /etc/tidings/tidings.toml
  TIDINGS_LOG__LEVEL=debug tidings serve";
