//! Reading entries, each time within a number of bytes.
//!
//! How far a read may go is asked before (`reach.lua`), because a count of entries bounds nothing:
//! 256 of them may be a few KiB or hundreds of MiB. Only at the end of the line, where a follower
//! waits, is it unknown what will come. As many entries are asked for there as would fit if they are
//! as large as the last ones were: a batch of small updates comes at once, and is stored at once.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tidings_cluster::engine::{BATCH_ITEMS_MAX, EngineError, Entry, Path, Tailed};
use tidings_core::Position;

use super::Redis;
use crate::answer::{self, Answer};
use crate::error::foreign;
use crate::script::{self, Run};

/// Least and most entries that a read at the end of the line asks for. The least is for large updates,
/// of which each may have the bytes of a whole read; the most is what a batch of small ones has.
const ENTRIES_AT_END: (usize, usize) = (16, BATCH_ITEMS_MAX);
/// How long a follower that came to the end of the line is taken to be there still. Afterwards more
/// may wait than was meant.
const AT_END_FOR: Duration = Duration::from_millis(100);

/// What a follower knows of the end of the line.
#[derive(Debug)]
pub(super) struct End {
    /// Where the last read came to it, and when.
    reached: Cell<Option<(Position, Instant)>>,
    /// How many entries are asked for there.
    entries: Cell<usize>,
}

impl Default for End {
    fn default() -> Self {
        let (few, _many) = ENTRIES_AT_END;
        Self {
            reached: Cell::new(None),
            entries: Cell::new(few),
        }
    }
}

impl End {
    /// Nothing is known on a new connection.
    pub(super) fn forget(&self) {
        self.reached.set(None);
    }

    /// Returns whether the line ended at `after` a moment ago. Is to be noted anew afterwards.
    fn is_at(&self, after: Position) -> bool {
        let reached = self.reached.take();
        reached.is_some_and(|(end, at)| end == after && at.elapsed() < AT_END_FOR)
    }

    /// Notes entries that were read, when the line ended at `last`.
    fn note(&self, read: &Tailed, last: Position, bytes_max: u64) {
        let Tailed::Entries(entries) = read else {
            return;
        };
        let Some(newest) = entries.last() else { return };
        if newest.position >= last {
            self.reached.set(Some((newest.position, Instant::now())));
        }
        let largest = entries.iter().map(|entry| entry.bytes.len() as u64).max();
        let fit = bytes_max / largest.unwrap_or_default().max(1);
        let (few, many) = ENTRIES_AT_END;
        let fit = usize::try_from(fit).unwrap_or(many);
        self.entries.set(fit.clamp(few, many));
    }
}

impl Redis {
    pub(super) async fn follow(
        &self,
        after: Position,
        bytes_max: u64,
    ) -> Result<Tailed, EngineError> {
        if !self.end.is_at(after) {
            match self.reach(Path::Tail, after, bytes_max).await? {
                Reach::Beyond { last } => return Ok(Tailed::Rewound { last }),
                Reach::End => {}
                Reach::To { upto, last } => {
                    let (from, path) = (after.next(), Path::Tail);
                    let tailed = self.between(path, from, upto, last, bytes_max).await?;
                    self.end.note(&tailed, last, bytes_max);
                    return Ok(tailed);
                }
            }
        }
        let entries_max = self.end.entries.get();
        let entries = self.wait_for_entries(after, entries_max).await?;
        let full = entries.len() >= entries_max;
        let newest = entries.last().map(|entry| entry.position);
        let tailed = following(after.next(), bounded(entries, bytes_max), None)?;
        // After an empty wait it is asked whether the line still is as long.
        if !full && let Some(newest) = newest {
            self.end.note(&tailed, newest, bytes_max);
        }
        Ok(tailed)
    }

    pub(super) async fn read(
        &self,
        from: Position,
        to: Position,
        bytes_max: u64,
    ) -> Result<Tailed, EngineError> {
        let before = Position::new(from.get().saturating_sub(1));
        match self.reach(Path::Control, before, bytes_max).await? {
            Reach::Beyond { last } => Ok(Tailed::Rewound { last }),
            Reach::End => Ok(Tailed::Entries(Vec::new())),
            Reach::To { upto, last } => {
                let to = to.min(upto);
                self.between(Path::Control, from, to, last, bytes_max).await
            }
        }
    }

    async fn reach(
        &self,
        path: Path,
        after: Position,
        bytes_max: u64,
    ) -> Result<Reach, EngineError> {
        let mut run = Run::new(&script::REACH);
        run.key(self.keys.head.as_str());
        run.key(self.keys.marks.as_str());
        run.arg(after.get()).arg(bytes_max);
        let mut answer = Answer::read(self.run(path, &run).await?)?;
        match answer.kind() {
            "none" if after == Position::ZERO => Ok(Reach::End),
            "none" => Ok(Reach::Beyond {
                last: Position::ZERO,
            }),
            "reach" => {
                let last = answer.position()?;
                let upto = answer.position()?;
                Ok(match last.cmp(&after) {
                    std::cmp::Ordering::Less => Reach::Beyond { last },
                    std::cmp::Ordering::Equal => Reach::End,
                    std::cmp::Ordering::Greater => Reach::To { upto, last },
                })
            }
            _ => Err(answer.unknown()),
        }
    }

    async fn between(
        &self,
        path: Path,
        from: Position,
        to: Position,
        last: Position,
        bytes_max: u64,
    ) -> Result<Tailed, EngineError> {
        let mut range = redis::cmd("XRANGE");
        range.arg(self.keys.log.as_str());
        range.arg(format!("{}-0", from.get()));
        range.arg(format!("{}-0", to.get()));
        let answer = self.send(path, &range, self.options.timeouts.answer).await;
        let entries = bounded(answer::entries(answer?)?, bytes_max);
        if entries.is_empty() {
            // They were there, and were trimmed.
            return self.hole(path, last.next()).await;
        }
        following(from, entries, Some(to))
    }

    /// Says where the window begins, after entries turned out to be gone; at `end` if it is empty.
    async fn hole(&self, path: Path, end: Position) -> Result<Tailed, EngineError> {
        let mut first = redis::cmd("XRANGE");
        first.arg(self.keys.log.as_str()).arg("-").arg("+");
        first.arg("COUNT").arg(1);
        let answer = self.send(path, &first, self.options.timeouts.answer).await;
        let entries = answer::entries(answer?)?;
        let oldest = entries.first().map_or(end, |entry| entry.position);
        Ok(Tailed::Hole { oldest })
    }

    async fn wait_for_entries(
        &self,
        after: Position,
        entries_max: usize,
    ) -> Result<Vec<Entry>, EngineError> {
        let timeouts = self.options.timeouts;
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(entries_max);
        let wait_ms = u64::try_from(timeouts.wait.as_millis()).unwrap_or(u64::MAX);
        read.arg("BLOCK").arg(wait_ms);
        read.arg("STREAMS").arg(self.keys.log.as_str());
        read.arg(format!("{}-0", after.get()));
        let within = timeouts.wait + timeouts.answer;
        answer::read_entries(self.send(Path::Tail, &read, within).await?)
    }
}

/// How far a read may go.
enum Reach {
    /// Up to this entry.
    To { upto: Position, last: Position },
    /// There is nothing to read.
    End,
    /// The line ends before.
    Beyond { last: Position },
}

/// Drops entries from the end until the rest stays within its bytes, or is one.
fn bounded(mut entries: Vec<Entry>, bytes_max: u64) -> Vec<Entry> {
    let mut bytes = 0_u64;
    let fits = entries
        .iter()
        .take_while(|entry| {
            bytes = bytes.saturating_add(entry.bytes.len() as u64);
            bytes <= bytes_max
        })
        .count();
    entries.truncate(fits.max(1));
    entries
}

/// Checks that entries are dense, from `from` on, and not beyond `to`.
fn following(
    from: Position,
    entries: Vec<Entry>,
    to: Option<Position>,
) -> Result<Tailed, EngineError> {
    let Some(first) = entries.first() else {
        return Ok(Tailed::Entries(entries));
    };
    if first.position > from {
        return Ok(Tailed::Hole {
            oldest: first.position,
        });
    }
    let expected = from.get()..;
    let dense = entries
        .iter()
        .zip(expected)
        .all(|(entry, position)| entry.position.get() == position);
    let within = to.is_none_or(|to| entries.last().is_none_or(|last| last.position <= to));
    if dense && within {
        Ok(Tailed::Entries(entries))
    } else {
        Err(foreign("a log with a hole in it"))
    }
}
