//! Starts the log: lines on the standard error, as text or JSON.

use std::io::IsTerminal;

use anyhow::anyhow;
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogOptions};

/// Starts the log of the process.
///
/// # Errors
///
/// If the filter cannot be read, or a log was started before.
pub fn start(options: &LogOptions) -> anyhow::Result<()> {
    let filter: EnvFilter = options.level.parse()?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match options.format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow!("cannot start the log: {error}"))
}
