//! The inbox, in which applications publish within their own transactions: for the hub that has the turn.
//! `schema/inbox.sql` says why the order of its ids is one that keeps causes before effects.

use std::fmt;
use std::time::Duration;

use tidings_access::Connected as _;
use tidings_cluster::engine::{BATCH_BYTES_MAX, EngineError};
use tokio_postgres::types::{FromSql, Type};

use crate::connection::{Connection, Parameter};
use crate::error::{ConnectError, foreign, unreachable};
use crate::options::Options;
use crate::schema::identifier;
use crate::servers;

/// Most rows of one read.
pub const ROWS_MAX: i32 = 512;
/// Most rows that are counted.
const COUNTED_MAX: i32 = 10_000;

/// Names a row, also where another one has its place after a failover that lost something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowId {
    /// Its place among the rows.
    pub place: i64,
    /// By which it is published once: a random UUID.
    pub key: [u8; 16],
}

/// An update in the inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which row it is.
    pub id: RowId,
    /// Since its insertion, by the server's clock.
    pub waited: Duration,
    /// As in a publication over HTTP; so are the others.
    pub topics: Vec<String>,
    #[expect(missing_docs, reason = "see topics")]
    pub data: String,
    #[expect(missing_docs, reason = "see topics")]
    pub private: bool,
    #[expect(missing_docs, reason = "see topics")]
    pub event_id: Option<String>,
    #[expect(missing_docs, reason = "see topics")]
    pub event_type: Option<String>,
    #[expect(missing_docs, reason = "see topics")]
    pub retry_ms: Option<u64>,
}

impl Row {
    /// Returns the bytes that `publish()` counts: those of all texts.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let texts = self.topics.iter().chain([&self.data]);
        let texts = texts.chain(&self.event_id).chain(&self.event_type);
        texts.map(|text| text.len() as u64).sum()
    }
}

/// What `publish()` checks that depends on the configuration of the hubs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of an update.
    pub body_bytes_max: u64,
    /// The path of the hub's URL, below which only the hub publishes.
    pub hub_path: String,
}

/// How the inbox stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Committed rows, counted up to 10,000.
    pub waiting: i64,
    /// How long the oldest of them has waited.
    pub waits: Duration,
    /// Refused rows that nobody has removed.
    pub refused: i64,
}

/// The inbox of a cluster, over a connection of its own. A call after a failed one opens another.
pub struct Inbox {
    options: Options,
    schema: String,
    connection: Option<Connection>,
    floor: Floor,
}

/// Below which id no row comes any more.
struct Floor {
    /// The id.
    id: i64,
    /// An id, and a transaction that began after those that were given it or a lower one: once all before that
    /// transaction have ended, the floor may rise to it.
    next: Option<(i64, i64)>,
    /// Whether ids were given out that nothing is known of.
    open: bool,
    /// To which numbering of ids all of this belongs; see `inbox_numbering` in `schema/inbox.sql`.
    numbering: String,
}

impl Inbox {
    /// Makes the inbox of a cluster. It connects when it is called.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            schema: identifier(&options.name.to_string()),
            options,
            connection: None,
            floor: Floor::none(),
        }
    }

    /// Forgets the connection and what is known of the rows.
    pub fn reset(&mut self) {
        self.connection = None;
        self.floor = Floor::none();
    }

    /// Returns the id below which nothing is looked for any more.
    #[must_use]
    pub const fn floor(&self) -> i64 {
        self.floor.id
    }

    /// Looks whether the primary is another server now: the one before may take writes still, and say nothing.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if it is. What was read belongs to the server before.
    pub async fn look_up(&mut self) -> Result<(), EngineError> {
        let Some(kept) = &self.connection else {
            return Ok(());
        };
        // Where none is found, the connection that is open tells what is wrong.
        let found = servers::primary(&self.options, &self.options.place).await;
        if found.is_ok_and(|found| !found.server().is_same(kept.server())) {
            self.reset();
            return Err(unreachable(ConnectError::Moved));
        }
        Ok(())
    }

    /// Tells `publish()` the limits.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the database does not answer.
    pub async fn limit(&mut self, limits: &Limits) -> Result<(), EngineError> {
        let bytes = i64::try_from(limits.body_bytes_max).unwrap_or(i64::MAX);
        let parameters: [Parameter<'_>; 2] = [(&bytes, Type::INT8), (&limits.hub_path, Type::TEXT)];
        self.call("inbox_limit($1, $2)", &parameters).await?;
        Ok(())
    }

    /// Removes the rows `done`, and returns the next ones in order, without those of `busy`: at most
    /// [`ROWS_MAX`], and about [`BATCH_BYTES_MAX`] bytes or one row.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the database does not answer; rows may have been removed then. Also if `done` or
    /// `busy` were read at another server or at another start of this one: after a failover, what stored them
    /// may be lost, and the rows be there. Who reads them again sends them again, and they are stored once.
    pub async fn next(&mut self, done: &[RowId], busy: &[RowId]) -> Result<Vec<Row>, EngineError> {
        let (done_places, done_keys) = (places(done), keys(done));
        let busy_keys = keys(busy);
        let known = self.floor.numbering.clone();
        let after = self.floor.id;
        let mark = self.floor.wants_mark();
        let bytes_max = i64::try_from(BATCH_BYTES_MAX).unwrap_or(i64::MAX);
        let parameters: [Parameter<'_>; 8] = [
            (&done_places, Type::INT8_ARRAY),
            (&done_keys, Type::TEXT_ARRAY),
            (&busy_keys, Type::TEXT_ARRAY),
            (&known, Type::TEXT),
            (&after, Type::INT8),
            (&ROWS_MAX, Type::INT4),
            (&bytes_max, Type::INT8),
            (&mark, Type::BOOL),
        ];
        let call = "inbox_next($1, $2::uuid[], $3::uuid[], $4, $5, $6, $7, $8)";
        let answer = self.call(call, &parameters).await?;
        let Some(first) = answer.first() else {
            return Err(foreign("an answer of inbox_next() without a row"));
        };
        let seen = Seen {
            numbering: field(first, "numbering")?,
            last: field(first, "last")?,
            newest: field(first, "newest")?,
            oldest: field(first, "oldest")?,
        };
        let names_rows = !done.is_empty() || !busy.is_empty();
        if names_rows && seen.numbering != known {
            self.reset();
            return Err(unreachable(ConnectError::Moved));
        }
        let rows = match field::<Option<i64>>(first, "id")? {
            None => Vec::new(),
            Some(_) => answer.iter().map(read).collect::<Result<Vec<_>, _>>()?,
        };
        let held = busy.iter().copied().chain(rows.iter().map(|row| row.id));
        self.floor.on_seen(seen, held.map(|id| id.place).min());
        Ok(rows)
    }

    /// Removes rows that were published, if they were read where the last look was.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the database does not answer.
    pub async fn remove(&mut self, rows: &[RowId]) -> Result<(), EngineError> {
        if !rows.is_empty() {
            let (places, keys) = (places(rows), keys(rows));
            let known = self.floor.numbering.clone();
            let parameters: [Parameter<'_>; 3] = [
                (&known, Type::TEXT),
                (&places, Type::INT8_ARRAY),
                (&keys, Type::TEXT_ARRAY),
            ];
            self.call("inbox_done($1, $2, $3::uuid[])", &parameters)
                .await?;
        }
        Ok(())
    }

    /// Moves a row to the refused ones.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the database does not answer.
    pub async fn refuse(&mut self, row: RowId, reason: &str) -> Result<(), EngineError> {
        let key = uuid(&row);
        let parameters: [Parameter<'_>; 3] = [
            (&row.place, Type::INT8),
            (&key, Type::TEXT),
            (&reason, Type::TEXT),
        ];
        self.call("inbox_refuse($1, $2::uuid, $3)", &parameters)
            .await?;
        Ok(())
    }

    /// Counts what waits and what was refused.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the database does not answer.
    pub async fn state(&mut self) -> Result<State, EngineError> {
        let after = self.floor.id;
        let parameters: [Parameter<'_>; 2] = [(&after, Type::INT8), (&COUNTED_MAX, Type::INT4)];
        let call = "inbox_state($1, $2)";
        let answer = self.call(call, &parameters).await?;
        let first = answer.first();
        let row = first.ok_or_else(|| foreign("an answer of inbox_state() without a row"))?;
        Ok(State {
            waiting: field(row, "waiting")?,
            waits: millis(field(row, "waits_ms")?),
            refused: field(row, "refused")?,
        })
    }

    /// Calls a function of the schema.
    async fn call(
        &mut self,
        function: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<tokio_postgres::Row>, EngineError> {
        let kept = self.connection.take().filter(|kept| !kept.is_closed());
        let mut connection = match kept {
            Some(connection) => connection,
            None => {
                let opened = servers::primary(&self.options, &self.options.place).await;
                opened.map_err(unreachable)?
            }
        };
        let sql = format!("SELECT * FROM {}.{function}", self.schema);
        let within = self.options.timeouts.answer;
        let answer = connection.query(&sql, parameters, within).await;
        match &answer {
            Ok(_) => self.connection = Some(connection),
            Err(error) if error.keeps_connection() => self.connection = Some(connection),
            Err(_) => {}
        }
        answer.map_err(crate::error::CallError::into_engine)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

/// What a look at the inbox says beside its rows; see `inbox_next` in `schema/inbox.sql`.
struct Seen {
    numbering: String,
    last: i64,
    newest: Option<i64>,
    oldest: i64,
}

impl Floor {
    const fn none() -> Self {
        Self {
            id: 0,
            next: None,
            open: true,
            numbering: String::new(),
        }
    }

    /// Whether it could rise after a mark.
    const fn wants_mark(&self) -> bool {
        self.open && self.next.is_none()
    }

    /// Takes note of a look. `held` is the first row that was not removed.
    fn on_seen(&mut self, seen: Seen, held: Option<i64>) {
        // Ids are given out again there, or here: then somebody has set the sequence back.
        let given_out = self.next.map_or(self.id, |(id, _)| id.max(self.id));
        if self.numbering != seen.numbering || seen.last < given_out {
            *self = Self {
                numbering: seen.numbering,
                ..Self::none()
            };
        }
        if let Some((id, newest)) = self.next
            && newest <= seen.oldest
        {
            let below = held.map_or(i64::MAX, |held| held - 1);
            self.id = self.id.max(id.min(below));
            self.next = None;
        }
        self.open = seen.last > self.id;
        if let Some(newest) = seen.newest {
            self.next = Some((seen.last, newest));
        }
    }
}

fn read(row: &tokio_postgres::Row) -> Result<Row, EngineError> {
    let key: Vec<u8> = field(row, "key")?;
    let retry: Option<i64> = field(row, "retry")?;
    Ok(Row {
        id: RowId {
            place: field(row, "id")?,
            key: key
                .try_into()
                .map_err(|_bytes| foreign("a key that is not a UUID"))?,
        },
        waited: millis(field(row, "waited_ms")?),
        topics: field(row, "topics")?,
        data: field(row, "data")?,
        private: field(row, "private")?,
        event_id: field(row, "event_id")?,
        event_type: field(row, "type")?,
        retry_ms: retry.map(|ms| u64::try_from(ms).unwrap_or(0)),
    })
}

fn places(rows: &[RowId]) -> Vec<i64> {
    rows.iter().map(|row| row.place).collect()
}

fn keys(rows: &[RowId]) -> Vec<String> {
    rows.iter().map(uuid).collect()
}

/// Writes a key as a text that the server reads as a UUID.
fn uuid(row: &RowId) -> String {
    format!("{:032x}", u128::from_be_bytes(row.key))
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn field<'a, T: FromSql<'a>>(row: &'a tokio_postgres::Row, name: &str) -> Result<T, EngineError> {
    row.try_get(name)
        .map_err(|error| foreign(&format!("the column {name} of the inbox: {error}")))
}

#[cfg(test)]
mod tests;
