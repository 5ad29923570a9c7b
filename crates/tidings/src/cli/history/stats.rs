//! `tidings history stats`: how much a history holds.

use std::path::Path;

use serde_json::json;
use tidings_core::Position;

use super::{Which, walk};
use crate::cli::print;
use tidings_history::storage::HistoryFile;

/// Show how many updates the history holds, how old they are, and its size
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Print them as JSON
    #[arg(long)]
    json: bool,

    /// Also count the updates of each topic, which reads all of them
    #[arg(long)]
    topics: bool,

    #[command(flatten)]
    which: Which,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let path = arguments.which.path()?;
    let mut history = HistoryFile::open(&path)?;
    let extent = history.extent()?;
    let (newest, trimmed) = (extent.last_mark, extent.trimmed_mark);
    let updates = newest
        .updates_through
        .saturating_sub(trimmed.updates_through);
    let bytes = newest.bytes_through.saturating_sub(trimmed.bytes_through);
    let mut oldest = Vec::new();
    history.read(Position::ZERO, extent.last, 1, &mut oldest)?;
    let oldest = oldest.first().map(|update| update.published_ms);
    let times = oldest.map(|oldest| (oldest, newest.published_ms));
    let (oldest, newest) = match times {
        Some((oldest, newest)) => (print::time_of_ms(oldest), print::time_of_ms(newest)),
        None => ("none".to_owned(), "none".to_owned()),
    };
    let disk = on_disk(&path);
    let topics = match arguments.topics {
        true => Some(by_topic(&mut history)?),
        false => None,
    };
    if arguments.json {
        return print::json(&json!({
            "file": path, "updates": updates, "bytes": bytes, "disk_bytes": disk,
            "oldest": times.map(|_| &oldest), "newest": times.map(|_| &newest),
            "topics": topics.map(|topics| topics.into_iter().collect::<serde_json::Value>()),
        }));
    }
    let mut text = format!(
        "file      {}\nupdates   {updates}\nbytes     {bytes}\non disk   {disk}\n\
         oldest    {oldest}\nnewest    {newest}\n",
        path.display()
    );
    for (topic, count) in topics.into_iter().flatten() {
        text.push_str(&format!("{count:>9} {topic}\n"));
    }
    print::output(&text)
}

/// Counts the updates of each canonical topic, the most frequent first.
fn by_topic(history: &mut HistoryFile) -> anyhow::Result<Vec<(String, u64)>> {
    let mut counts = std::collections::BTreeMap::<String, u64>::new();
    walk(history, Position::ZERO, |update| {
        let topic = update.topics.canonical().as_str();
        match counts.get_mut(topic) {
            Some(count) => *count += 1,
            None => {
                counts.insert(topic.to_owned(), 1);
            }
        }
        Ok(())
    })?;
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Ok(counts)
}

/// Returns the bytes of the file and of its log.
fn on_disk(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
    length(path) + length(Path::new(&log))
}

const EXAMPLES: &str = "\
Examples:
  tidings history stats
  tidings history stats --topics
  tidings history stats --json | jq .updates";
