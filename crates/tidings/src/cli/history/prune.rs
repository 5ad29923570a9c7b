//! `tidings history prune`: removes old updates while no hub uses the history.

use anyhow::{Context, bail};
use tidings_cluster::Epoch;
use tidings_core::Position;
use tidings_history::storage::{HistoryFile, SqliteStorage, Storage};
use tidings_history::{Health, Kind, Options, Order, PresenceRetention, Retention, detached};

use super::Which;
use crate::cli::print;
use crate::server;
use tidings_hub::clock::unix_ms;

/// Remove old updates. The hub must be stopped
///
/// A running hub removes updates by itself, by history.retain_hours, history.retain_updates and
/// history.retain_bytes. The newest update always stays.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[group(id = "goal", required = true, multiple = true, args = ["older_than", "keep"])]
pub struct Arguments {
    /// Remove updates older than this: a number with s, m, h or d
    #[arg(long, value_name = "TIME", value_parser = crate::cli::token::seconds)]
    older_than: Option<u64>,

    /// Remove all updates but this many of the newest
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    keep: Option<u64>,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    which: Which,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let path = arguments.which.path()?;
    // It would be created otherwise.
    let before = HistoryFile::open(&path)?
        .extent()?
        .trimmed_mark
        .updates_through;
    // The epoch is for a new history, which this is not.
    let mut storage = SqliteStorage::open(&path, Order::Own(Epoch::new([0; 32])))
        .context("stop the hub first")?;
    let cutoff = arguments
        .older_than
        .map(|secs| unix_ms().saturating_sub(secs.saturating_mul(1000)));
    let young = cutoff
        .map(|cutoff| since(&mut storage, cutoff))
        .transpose()?;
    let options = Options {
        kind: Kind::File { path: path.clone() },
        retention: Retention {
            // Age would count by the history's own time, which hardly goes on while no hub runs.
            age_max: None,
            updates_max: young.into_iter().chain(arguments.keep).min(),
            bytes_max: None,
            presence: PresenceRetention::DEFAULT,
        },
        queue_max: 1,
        group_max: 1,
        reads_max: 1,
        cache_bytes_max: 0,
        order: storage.order(),
    };
    let (handle, mut history) = detached(Box::new(storage), options, Box::new(|_step| {}))?;
    let clock = server::clock();
    history.tick(clock());
    while history.upkeep() {}
    let health = handle.health();
    history.close();
    if health != Health::Ok {
        bail!("{}: {health:?}", path.display());
    }
    drop((history, handle));
    let after = HistoryFile::open(&path)?.extent()?;
    let removed = after.trimmed_mark.updates_through.saturating_sub(before);
    let kept = after.last_mark.updates_through;
    let kept = kept.saturating_sub(after.trimmed_mark.updates_through);
    print::output(&match arguments.json {
        true => format!(
            "{}\n",
            serde_json::json!({"removed": removed, "kept": kept})
        ),
        false => format!("{removed} updates removed, {kept} kept\n"),
    })
}

/// Returns how many updates were published at `cutoff_ms` or later. Their times never decrease.
fn since(storage: &mut SqliteStorage, cutoff_ms: u64) -> anyhow::Result<u64> {
    let extent = storage.extent();
    let (mut old, mut young) = (extent.trimmed_through.get(), extent.last.get() + 1);
    let mut old_mark = extent.trimmed_mark;
    while young - old > 1 {
        let middle = old + (young - old) / 2;
        match storage.mark(Position::new(middle))? {
            Some(mark) if mark.published_ms >= cutoff_ms => young = middle,
            Some(mark) => (old, old_mark) = (middle, mark),
            None => old = middle,
        }
    }
    let all = extent.last_mark.updates_through;
    Ok(all.saturating_sub(old_mark.updates_through))
}

const EXAMPLES: &str = "\
Examples:
  tidings history prune --older-than 30d
  tidings history prune --keep 100000 --file /var/lib/tidings/history.db

Exit codes: 0 done, 1 in use or failed, 2 wrong arguments.";
