//! `tidings history export`: writes the updates of a history as JSON lines.

use tidings_core::Position;
use tidings_hub::clock::unix_ms;

use super::{Chosen, Which, json, walk};
use crate::cli::print;

/// Write the stored updates as JSON, one a line
///
/// Oldest first, private ones too. The hub may run meanwhile.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    chosen: Chosen,

    #[command(flatten)]
    which: Which,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut history = arguments.which.open()?;
    let now_ms = unix_ms();
    walk(&mut history, Position::ZERO, |update| {
        if arguments.chosen.includes(update, now_ms) {
            print::output(&json(update)?)?;
        }
        Ok(())
    })?;
    Ok(())
}

const EXAMPLES: &str = "\
Examples:
  tidings history export > updates.jsonl
  tidings history export --since 24h | jq .data
  tidings history export --topic https://example.com/books/1

Members: time, id, topics, data, and type, retry, private and targets if set.";
