//! `tidings reload`: has the running hub read its configuration again.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};

use super::print;
use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::{env, read};
use crate::control::message::{KeyChange, Reloaded, Request, read_line, write_line};
use crate::control::socket;

/// How long the hub may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Have the running hub read its configuration again
///
/// Checks everything first: if anything is wrong, nothing changes. Prints what was applied, and which
/// keys need a restart. The certificate and the key sets are read again too.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Configuration file, which names the data folder of the hub [default: tidings.toml in this folder
    /// or in /etc/tidings, if it exists]
    #[arg(long, value_name = "FILE", env = "TIDINGS_CONFIG")]
    config: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let reading = read(arguments.config.as_deref(), &env::variables());
    // The file names the data folder: without it, another hub would be asked.
    if reading.errors.iter().any(ConfigError::is_about_the_file) {
        return Err(ConfigErrors(reading.errors).into());
    }
    // Whatever else is wrong with it: the hub says so.
    let folder = reading.settings.find("data.dir");
    let folder = folder.and_then(|entry| entry.value.as_str());
    let folder = PathBuf::from(folder.context("the configuration names no data folder")?);
    let shown = folder.join(socket::NAME).display().to_string();
    let connected = socket::connect(&folder).with_context(|| format!("cannot use {shown}"))?;
    let Some(mut stream) = connected else {
        bail!("no hub runs with the data folder {}", folder.display());
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    write_line(&mut stream, &Request::Reload)?;
    stream.flush()?;
    let reloaded: Reloaded = read_line(&mut stream).context("the hub did not answer")?;
    if arguments.json {
        print::output(&format!("{}\n", serde_json::to_string(&reloaded)?))?;
    } else {
        print::output(&told(&reloaded))?;
    }
    if reloaded.errors.is_empty() {
        return Ok(());
    }
    bail!(
        "the configuration is not usable, so nothing was changed:\n  {}",
        reloaded.errors.join("\n  ")
    )
}

fn told(reloaded: &Reloaded) -> String {
    let mut text = String::new();
    for (word, changes) in [
        ("applied", &reloaded.applied),
        ("needs a restart", &reloaded.needs_restart),
    ] {
        for KeyChange { key, old, new } in changes {
            let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".into());
            text.push_str(&format!(
                "{word}: {key}: {} -> {}\n",
                value(old),
                value(new)
            ));
        }
    }
    if text.is_empty() && reloaded.errors.is_empty() {
        text.push_str("nothing changed\n");
    }
    text
}

const EXAMPLES: &str = "\
Examples:
  tidings reload --config /etc/tidings/tidings.toml";
