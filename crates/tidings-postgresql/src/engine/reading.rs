//! Reading entries, each time within a number of bytes.

use std::time::Duration;

use tidings_cluster::engine::{EngineError, Entry, Origin, Path, Tailed};
use tidings_core::Position;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::Postgresql;
use super::line::{count, get, one, position, print};
use crate::error::foreign;
use crate::wake::Woken;

/// Most entries of one answer.
const ENTRIES_MAX: i64 = 1024;
/// The end of positions.
const POSITION_MAX: Position = Position::new((1 << 53) - 1);
/// How soon a standby is asked again that has not yet what was notified; twice as late each time.
const BEHIND: Duration = Duration::from_millis(2);
/// How often a segment may be dropped under a read.
const DROPPED_MAX: usize = 3;

impl Postgresql {
    pub(super) async fn follow(
        &self,
        after: Position,
        bytes_max: u64,
    ) -> Result<Tailed, EngineError> {
        let timeouts = self.options.timeouts;
        let end = Instant::now() + timeouts.wait;
        let mut behind = None;
        let mut woken = Woken::Late;
        // A look now would mostly find nothing, and cost as much as one that does.
        let mut is_read = self.read_to.take() == Some(after);
        loop {
            if !std::mem::take(&mut is_read) {
                let read = self.between(Path::Tail, after, POSITION_MAX, bytes_max);
                let (tailed, line_end) = read.await?;
                match &tailed {
                    Tailed::Rewound { .. } if self.is_only_behind(after).await? => {
                        behind.get_or_insert(BEHIND);
                    }
                    Tailed::Entries(entries) if entries.is_empty() => {}
                    Tailed::Entries(_) | Tailed::Hole { .. } | Tailed::Rewound { .. } => {
                        // What comes after it is notified, if notifications come at all.
                        let hears = woken == Woken::New && self.options.read.is_none();
                        self.read_to.set(line_end.filter(|_| hears));
                        return Ok(tailed);
                    }
                }
            }
            let now = Instant::now();
            if now >= end {
                return Ok(Tailed::Entries(Vec::new()));
            }
            let pause = behind.map_or(timeouts.poll, |pause| pause.min(timeouts.poll));
            behind = behind
                .map(|pause| pause * 2)
                .filter(|pause| *pause < timeouts.poll);
            woken = self.wake.wait(&self.options, end.min(now + pause)).await;
            if woken == Woken::New && self.options.read.is_some() {
                behind = Some(BEHIND);
            }
        }
    }

    /// Whether followers read at a standby that has not yet what the primary has.
    async fn is_only_behind(&self, after: Position) -> Result<bool, EngineError> {
        if self.options.read.is_none() {
            return Ok(false);
        }
        let (upto, none) = (count(after.get()), 0_i64);
        let rows = self.ask(Path::Control, upto, upto, none).await?;
        Ok(position(one(&rows)?, "last")? >= after)
    }

    pub(super) async fn read(
        &self,
        from: Position,
        to: Position,
        bytes_max: u64,
    ) -> Result<Tailed, EngineError> {
        let after = Position::new(from.get().saturating_sub(1));
        let (tailed, _) = self.between(Path::Control, after, to, bytes_max).await?;
        Ok(tailed)
    }

    /// Reads what follows `after`, up to `upto`. Says where the line ends, if these are entries up to its end.
    async fn between(
        &self,
        path: Path,
        after: Position,
        upto: Position,
        bytes_max: u64,
    ) -> Result<(Tailed, Option<Position>), EngineError> {
        for _dropped in 0..DROPPED_MAX {
            let (after_number, upto) = (count(after.get()), count(upto.get()));
            let rows = self.ask(path, after_number, upto, count(bytes_max)).await?;
            let first = one(&rows)?;
            let (last, oldest) = (position(first, "last")?, position(first, "oldest")?);
            if last < after {
                return Ok((Tailed::Rewound { last }, None));
            }
            if get::<Option<i64>>(first, "position")?.is_some() {
                let entries = following(after, &rows)?;
                let end = entries.last().map(|entry| entry.position);
                return Ok((Tailed::Entries(entries), end.filter(|end| *end == last)));
            }
            if last == after {
                return Ok((Tailed::Entries(Vec::new()), None));
            }
            if oldest > after.next() {
                return Ok((Tailed::Hole { oldest }, None));
            }
        }
        Err(foreign("a log with a hole in it"))
    }

    async fn ask(
        &self,
        path: Path,
        after: i64,
        upto: i64,
        bytes_max: i64,
    ) -> Result<Vec<Row>, EngineError> {
        let parameters = [
            (&after as _, Type::INT8),
            (&upto as _, Type::INT8),
            (&bytes_max as _, Type::INT8),
            (&ENTRIES_MAX as _, Type::INT8),
        ];
        self.request(path, "read($1, $2, $3, $4)", &parameters)
            .await
    }
}

/// Checks that entries are dense, from the position after `after` on.
fn following(after: Position, rows: &[Row]) -> Result<Vec<Entry>, EngineError> {
    let mut entries = Vec::with_capacity(rows.len());
    let mut expected = after.next();
    for row in rows {
        let entry = entry(row)?;
        if entry.position != expected {
            return Err(foreign("a log with a hole in it"));
        }
        expected = expected.next();
        entries.push(entry);
    }
    Ok(entries)
}

fn entry(row: &Row) -> Result<Entry, EngineError> {
    let published_ms: i64 = get(row, "published_ms")?;
    let origin: &[u8] = get(row, "origin")?;
    let bytes: &[u8] = get(row, "bytes")?;
    Ok(Entry {
        position: position(row, "position")?,
        published_ms: u64::try_from(published_ms)
            .map_err(|_early| foreign("a time before 1970"))?,
        origin: Origin::from_bytes(origin)
            .ok_or_else(|| foreign("an origin that cannot be read"))?,
        print: print(row, "print")?,
        bytes: bytes.into(),
    })
}
