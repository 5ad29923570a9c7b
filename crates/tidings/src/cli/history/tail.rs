//! `tidings history tail`: shows the newest updates of a history, and those that follow.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::{Position, Update};
use tidings_history::storage::HistoryFile;
use tidings_hub::clock::unix_ms;

use super::{Chosen, PAGE_BYTES_MAX, Which, json, walk};
use crate::cli::print;
use crate::cli::shown_update::Shown;

/// Show the newest stored updates
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// How many
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 10)]
    lines: usize,

    /// Go on with each update that is stored from now on
    #[arg(short, long)]
    follow: bool,

    /// Print each update as one line of JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    chosen: Chosen,

    #[command(flatten)]
    which: Which,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut history = arguments.which.open()?;
    let now_ms = unix_ms();
    let last = history.extent()?.last;
    let newest = newest(&mut history, last, arguments.lines, |update| {
        arguments.chosen.includes(update, now_ms)
    })?;
    for update in &newest {
        show(update, arguments)?;
    }
    if !arguments.follow {
        return Ok(());
    }
    let mut seen = last;
    loop {
        std::thread::sleep(LOOK_EVERY);
        print::check_open()?;
        seen = walk(&mut history, seen, |update| {
            match arguments.chosen.includes(update, now_ms) {
                true => show(update, arguments),
                false => Ok(()),
            }
        })?;
    }
}

/// Returns the newest `count` updates that are wanted, oldest first. Reads backwards, so that it takes
/// no longer in a long history.
fn newest(
    history: &mut HistoryFile,
    last: Position,
    count: usize,
    wanted: impl Fn(&Update) -> bool,
) -> anyhow::Result<Vec<Arc<Update>>> {
    let oldest = history.extent()?.trimmed_through.get();
    let mut found: Vec<Arc<Update>> = Vec::new();
    let mut through = last.get();
    while found.len() < count && through > oldest {
        let from = through.saturating_sub(WINDOW).max(oldest) + 1;
        let mut window = Vec::new();
        let mut next = from;
        while next <= through {
            let before = window.len();
            let (from, to) = (Position::new(next), Position::new(through));
            history.read(from, to, PAGE_BYTES_MAX, &mut window)?;
            match window.last() {
                Some(newest) if window.len() > before => next = newest.position.get() + 1,
                Some(_) | None => break,
            }
        }
        window.retain(|update| wanted(update));
        window.append(&mut found);
        found = window;
        through = from - 1;
    }
    Ok(found.split_off(found.len().saturating_sub(count)))
}

fn show(update: &Update, arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.json {
        return print::output(&json(update)?);
    }
    let topics: Vec<&str> = update
        .topics
        .iter()
        .map(tidings_core::Topic::as_str)
        .collect();
    let shown = Shown {
        time: &print::time_of_ms(update.published_ms),
        id: update.id.as_str(),
        topics: &topics,
        event_type: update.event_type.as_ref().map(|name| name.as_str()),
        private: !update.visibility.is_public(),
        data: &update.data,
    };
    print::output(&shown.text())
}

/// Positions that are read at once, backwards.
const WINDOW: u64 = 1000;

/// How often `--follow` looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
Examples:
  tidings history tail
  tidings history tail -n 100 --topic https://example.com/books/1
  tidings history tail --follow --json";
