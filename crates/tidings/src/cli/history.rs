//! `tidings history`: reads, prunes and imports the history of a hub.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use serde::Serialize;
use tidings_core::update::Visibility;
use tidings_core::{Position, Target, Update};
use tidings_history::Kind;
use tidings_history::storage::HistoryFile;

use super::dev_folder::DEFAULT_DATA;
use super::print;
use crate::config::tables::history::HISTORY_FILE;
use crate::config::{USUAL_FILES, env, read};

mod export;
mod import;
mod prune;
mod stats;
mod tail;

/// Read, prune or import the history of a hub
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    Tail(tail::Arguments),
    Export(export::Arguments),
    Stats(stats::Arguments),
    Prune(prune::Arguments),
    Import(import::Arguments),
}

/// Runs the command.
pub fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Tail(arguments) => tail::run(arguments),
        Command::Export(arguments) => export::run(arguments),
        Command::Stats(arguments) => stats::run(arguments),
        Command::Prune(arguments) => prune::run(arguments),
        Command::Import(arguments) => import::run(arguments),
    }
}

/// Which history.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which history")]
#[group(skip)]
pub struct Which {
    /// The file of the history
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,

    /// Configuration of its hub [default: tidings.toml in this folder or in /etc/tidings, else the
    /// history of `tidings dev` in this folder]
    #[arg(long, value_name = "FILE", env = "TIDINGS_CONFIG")]
    config: Option<PathBuf>,
}

impl Which {
    /// Returns the path of the file.
    fn path(&self) -> anyhow::Result<PathBuf> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let variables = env::variables();
        let written = variables.iter().any(|variable| env::is_own(&variable.name))
            || USUAL_FILES.iter().any(|path| Path::new(path).exists());
        if self.config.is_none() && !written {
            return Ok(Path::new(DEFAULT_DATA).join(HISTORY_FILE));
        }
        let config = read(self.config.as_deref(), &variables).into_config()?;
        match config.history.kind {
            Kind::File { path } => Ok(path),
            Kind::Memory | Kind::None => {
                bail!("history.kind is not \"file\", so there is no file to read")
            }
        }
    }

    /// Opens the history for reading. Its hub may run.
    fn open(&self) -> anyhow::Result<HistoryFile> {
        Ok(HistoryFile::open(&self.path()?)?)
    }
}

/// Which of its updates.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which updates")]
#[group(skip)]
pub struct Chosen {
    /// Only updates of this topic; may be repeated
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,

    /// Only updates of the last hours or days: a number with s, m, h or d
    #[arg(long, value_name = "TIME", value_parser = super::token::seconds)]
    since: Option<u64>,

    /// Also the hub's own presence events
    #[arg(long)]
    presence: bool,
}

impl Chosen {
    fn includes(&self, update: &Update, now_ms: u64) -> bool {
        let topic = |wanted: &String| update.topics.iter().any(|topic| topic.as_str() == wanted);
        let since = self.since.map(|secs| now_ms.saturating_sub(secs * 1000));
        (self.topics.is_empty() || self.topics.iter().any(topic))
            && since.is_none_or(|since| update.published_ms >= since)
            && (self.presence || update.presence.is_none())
    }
}

/// Calls `take` with each update after `after`, in order, and returns the last position.
fn walk(
    history: &mut HistoryFile,
    after: Position,
    mut take: impl FnMut(&Update) -> anyhow::Result<()>,
) -> anyhow::Result<Position> {
    let last = history.extent()?.last;
    let mut next = after.next();
    let mut updates: Vec<Arc<Update>> = Vec::new();
    while next <= last {
        updates.clear();
        history.read(next, last, PAGE_BYTES_MAX, &mut updates)?;
        let Some(newest) = updates.last() else { break };
        next = newest.position.next();
        let there = |update: &&Arc<Update>| update.visibility != Visibility::Withdrawn;
        for update in updates.iter().filter(there) {
            take(update)?;
        }
    }
    Ok(last)
}

/// Returns an update as one line of JSON.
fn json(update: &Update) -> anyhow::Result<String> {
    let topics: Vec<&str> = update
        .topics
        .iter()
        .map(tidings_core::Topic::as_str)
        .collect();
    let targets = match &update.visibility {
        Visibility::Public | Visibility::Private | Visibility::Hubs | Visibility::Withdrawn => None,
        Visibility::Targeted(targets) => Some(targets.iter().map(Target::as_str).collect()),
    };
    let exported = Exported {
        time: print::time_of_ms(update.published_ms),
        id: update.id.as_str(),
        topics,
        data: &update.data,
        event_type: update.event_type.as_ref().map(|name| name.as_str()),
        retry: update.retry_ms,
        private: (!update.visibility.is_public()).then_some(true),
        targets,
    };
    let line = serde_json::to_string(&exported).context("an update cannot be written as JSON")?;
    Ok(format!("{line}\n"))
}

/// A line of an export.
#[derive(Serialize)]
struct Exported<'a> {
    time: String,
    id: &'a str,
    topics: Vec<&'a str>,
    data: &'a str,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    event_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    targets: Option<Vec<&'a str>>,
}

/// Bytes of updates that are read at once.
const PAGE_BYTES_MAX: u64 = 1024 * 1024;

const EXAMPLES: &str = "\
Examples:
  tidings history tail --follow
  tidings history export --topic https://example.com/books/1 > books.jsonl
  tidings history stats --file /var/lib/tidings/history.db
  tidings history prune --older-than 30d";
