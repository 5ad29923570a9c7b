//! What changes the line, and what says where it ends.

use tidings_cluster::Epoch;
use tidings_cluster::engine::{
    Again, Append, Appended, Changed, EngineError, EpochId, Init, Key, Line, LineEnd, Origin, Path,
    Place, Proposal, Refusal, Restore, Sender, State,
};
use tidings_core::{Position, Print};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

use super::Postgresql;
use crate::error::foreign;
use crate::options::Acknowledge;

impl Postgresql {
    /// Reads the line, or makes it if a secret is proposed.
    pub(crate) async fn init_on(
        &self,
        path: Path,
        proposal: Proposal,
    ) -> Result<Init, EngineError> {
        let secret = proposal.secret.map(Epoch::secret);
        let secret = secret.as_ref().map(<[u8; 32]>::as_slice);
        let parameters = [
            (&proposal.epoch.to_string() as _, Type::TEXT),
            (&secret as _, Type::BYTEA),
        ];
        let rows = self.request(path, "init($1, $2)", &parameters).await?;
        let row = one(&rows)?;
        let state = state(row)?;
        match (text(row, "answer")?.as_str(), state) {
            ("made", State::Line(line)) => Ok(Init::Made(line)),
            ("found", State::Line(line)) => Ok(Init::Found(line)),
            (_, State::None) => Ok(Init::None),
            (_, State::Half) => Ok(Init::Half),
            (answer, State::Line(_)) => Err(unknown(answer)),
        }
    }

    /// Looks the primary up anew and asks it.
    pub(super) async fn probe(&self) -> Result<State, EngineError> {
        self.look_up().await?;
        let window = count(self.options.window_bytes);
        let parameters = [(&window as _, Type::INT8)];
        let rows = self
            .request(Path::Control, "state($1)", &parameters)
            .await?;
        state(one(&rows)?)
    }

    pub(super) async fn append_batch(&self, append: Append) -> Result<Appended, EngineError> {
        let items = &append.items;
        let origins: Vec<_> = items.iter().map(|item| item.origin.bytes()).collect();
        let digests: Vec<_> = items.iter().map(|item| item.digest.bytes()).collect();
        let (keys, ttls_ms) = keys(items.iter().map(|item| item.key.as_ref()));
        let bytes: Vec<&[u8]> = items.iter().map(|item| &*item.bytes).collect();
        let print = append.seen.print.map(Print::bytes);
        let sender = sender_bytes(append.sender, append.batch);
        let parameters = [
            (&append.epoch.to_string() as _, Type::TEXT),
            (&count(append.seen.position.get()) as _, Type::INT8),
            (&print.as_ref().map(<[u8; 16]>::as_slice) as _, Type::BYTEA),
            (&sender as _, Type::BYTEA),
            (&count(self.options.window_bytes) as _, Type::INT8),
            (&self.is_replicated() as _, Type::BOOL),
            (&slices(&origins) as _, Type::BYTEA_ARRAY),
            (&slices(&digests) as _, Type::BYTEA_ARRAY),
            (&keys as _, Type::BYTEA_ARRAY),
            (&ttls_ms as _, Type::INT8_ARRAY),
            (&bytes as _, Type::BYTEA_ARRAY),
        ];
        let call = "append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        let rows = self.request(Path::Publish, call, &parameters).await?;
        appended(one(&rows)?, items.len())
    }

    pub(super) async fn put_back(&self, restore: Restore) -> Result<Changed, EngineError> {
        let entries = &restore.entries;
        let Some(first) = entries.first() else {
            return Err(foreign("a restore without entries"));
        };
        let mut prints = Vec::with_capacity(entries.len());
        for restored in entries {
            let print = restored.entry.print.map(Print::bytes);
            prints.push(print.ok_or_else(|| foreign("a restore of an entry without its print"))?);
        }
        let times: Vec<_> = entries
            .iter()
            .map(|put| count(put.entry.published_ms))
            .collect();
        let origins: Vec<_> = entries.iter().map(|put| put.entry.origin.bytes()).collect();
        let bytes: Vec<&[u8]> = entries.iter().map(|put| &*put.entry.bytes).collect();
        let (keys, ttls_ms) = keys(entries.iter().map(|put| put.key.as_ref()));
        let secret = restore.secret.secret();
        let print = restore.expected_print.map(Print::bytes);
        let last = restore.expected_last.map(|last| count(last.get()));
        let parameters = [
            (&restore.epoch.to_string() as _, Type::TEXT),
            (&secret.as_slice() as _, Type::BYTEA),
            (&last as _, Type::INT8),
            (&print.as_ref().map(<[u8; 16]>::as_slice) as _, Type::BYTEA),
            (&count(first.entry.position.get()) as _, Type::INT8),
            (&count(self.options.window_bytes) as _, Type::INT8),
            (&self.is_replicated() as _, Type::BOOL),
            (&times as _, Type::INT8_ARRAY),
            (&slices(&prints) as _, Type::BYTEA_ARRAY),
            (&slices(&origins) as _, Type::BYTEA_ARRAY),
            (&keys as _, Type::BYTEA_ARRAY),
            (&ttls_ms as _, Type::INT8_ARRAY),
            (&bytes as _, Type::BYTEA_ARRAY),
        ];
        let call = "restore($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        let rows = self.request(Path::Publish, call, &parameters).await?;
        changed(one(&rows)?)
    }

    /// Gives the line a new epoch, if it ends where it is expected to. Without one nothing is to be
    /// done: an append is a transaction, so nothing is ever beyond the end.
    pub(super) async fn compare_and_set(
        &self,
        expected: LineEnd,
        new: Option<EpochId>,
    ) -> Result<Changed, EngineError> {
        let new = new.map(|new| new.to_string());
        let parameters = [
            (&expected.epoch.to_string() as _, Type::TEXT),
            (&count(expected.last.get()) as _, Type::INT8),
            (&new as _, Type::TEXT),
        ];
        let call = "bump($1, $2, $3)";
        let rows = self.request(Path::Publish, call, &parameters).await?;
        changed(one(&rows)?)
    }

    fn is_replicated(&self) -> bool {
        self.options.acknowledge == Acknowledge::Replicated
    }
}

/// A key for each item that has one.
type Keys<'a> = Vec<Option<&'a [u8]>>;

/// Returns keys and their lives, one for each item; nothing if no item has one.
fn keys<'a>(
    of_items: impl Iterator<Item = Option<&'a (Key, u64)>>,
) -> (Option<Keys<'a>>, Vec<i64>) {
    let of_items: Vec<_> = of_items.collect();
    let ttl = |key: &Option<&(Key, u64)>| key.map_or(0, |(_, ttl_ms)| count((*ttl_ms).max(1)));
    let ttls = of_items.iter().map(ttl).collect();
    let any = of_items.iter().any(Option::is_some);
    let keys = of_items.iter().map(|key| key.map(|(key, _)| key.bytes()));
    (any.then(|| keys.collect()), ttls)
}

/// Names a batch: node, boot and number.
fn sender_bytes(sender: Sender, batch: u64) -> Vec<u8> {
    let origin = Origin {
        sender,
        batch,
        index: 0,
    };
    let mut bytes = origin.bytes().to_vec();
    bytes.truncate(24);
    bytes
}

fn slices<const N: usize>(arrays: &[[u8; N]]) -> Vec<&[u8]> {
    arrays.iter().map(<[u8; N]>::as_slice).collect()
}

/// A number that is never as large as 2^63: positions end before.
pub(super) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn one(rows: &[Row]) -> Result<&Row, EngineError> {
    rows.first()
        .ok_or_else(|| foreign("an answer without a row"))
}

/// Reads a column.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, EngineError> {
    row.try_get(column)
        .map_err(|error| foreign(&format!("an answer whose {column} cannot be read: {error}")))
}

fn text(row: &Row, column: &str) -> Result<String, EngineError> {
    get(row, column)
}

pub(super) fn unknown(answer: &str) -> EngineError {
    foreign(&format!("the answer {answer:?}"))
}

pub(super) fn position(row: &Row, column: &str) -> Result<Position, EngineError> {
    let number: i64 = get(row, column)?;
    let number = u64::try_from(number).map_err(|_negative| foreign("a position below 0"))?;
    Ok(Position::new(number))
}

pub(super) fn print(row: &Row, column: &str) -> Result<Option<Print>, EngineError> {
    let bytes: Option<&[u8]> = get(row, column)?;
    let print = |bytes: &[u8]| bytes.try_into().map(Print::new);
    let print = bytes.map(print).transpose();
    print.map_err(|_length| foreign("a print that has not 16 bytes"))
}

/// Reads where the line stands.
fn state(row: &Row) -> Result<State, EngineError> {
    match text(row, "state")?.as_str() {
        "none" => Ok(State::None),
        "half" => Ok(State::Half),
        "line" => {
            let epoch = EpochId::parse(&text(row, "epoch")?);
            let secret: &[u8] = get(row, "secret")?;
            Ok(State::Line(Line {
                epoch: epoch.ok_or_else(|| foreign("an epoch that cannot be read"))?,
                secret: Epoch::new(
                    secret
                        .try_into()
                        .map_err(|_length| foreign("a secret that has not 32 bytes"))?,
                ),
                oldest: position(row, "oldest")?,
                last: position(row, "last")?,
                print: print(row, "print")?,
                torn: false,
            }))
        }
        other => Err(unknown(other)),
    }
}

fn appended(row: &Row, items: usize) -> Result<Appended, EngineError> {
    let last = position(row, "last")?;
    let why = match text(row, "answer")?.as_str() {
        answer @ ("ok" | "again") => {
            let places: Vec<i64> = get(row, "places")?;
            if places.len() != items {
                return Err(foreign("a remembered batch of another length"));
            }
            let place = |place: i64| {
                let position = Position::new(place.unsigned_abs());
                if place > 0 {
                    Place::New(position)
                } else {
                    Place::Known(position)
                }
            };
            return Ok(Appended::Taken {
                places: places.into_iter().map(place).collect(),
                last,
                again: if answer == "ok" {
                    Again::No
                } else {
                    Again::Yes
                },
            });
        }
        "none" => Refusal::None,
        "epoch" => Refusal::OtherEpoch,
        "rewound" => Refusal::Rewound,
        "forked" => Refusal::Forked,
        "behind" => Refusal::Behind,
        "full" => Refusal::Full,
        other => return Err(unknown(other)),
    };
    Ok(Appended::Refused { why, last })
}

fn changed(row: &Row) -> Result<Changed, EngineError> {
    match text(row, "answer")?.as_str() {
        "done" => Ok(Changed::Done {
            last: position(row, "last")?,
        }),
        "moved" => Ok(Changed::Moved(state(row)?)),
        "hole" => Err(foreign("entries that do not follow the line's last one")),
        other => Err(unknown(other)),
    }
}
