//! Reading parts of the line.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidings_cluster::engine::{EngineError, Entry, Path, Tailed};
use tidings_core::Position;
use tokio::time::sleep;

use super::Nats;
use crate::api::{Api, Stored};
use crate::error::CallError;

/// How soon a server that lags behind is asked again.
const LAG_PAUSE: Duration = Duration::from_millis(5);

/// What can be read after a position.
pub(super) enum Reach {
    /// Entries.
    There,
    /// Nothing yet.
    End,
    /// Something else than entries.
    Not(Tailed),
}

impl Nats {
    pub(super) async fn read(
        &self,
        from: Position,
        to: Position,
        bytes_max: u64,
    ) -> Result<Tailed, EngineError> {
        self.on(Path::Control, async |api| {
            self.read_on(api, from, to, bytes_max).await
        })
        .await
    }

    async fn read_on(
        &self,
        api: &Api<'_>,
        from: Position,
        to: Position,
        bytes_max: u64,
    ) -> Result<Tailed, CallError> {
        let start = Instant::now();
        let count = to.get().saturating_sub(from.get()).saturating_add(1);
        loop {
            // The stream may be gone, and then nobody answers at all.
            let read = api
                .entries(&self.names.line, from.get(), count, bytes_max)
                .await;
            let stored = match read {
                Err(CallError::NoResponders { .. }) => Vec::new(),
                read => read?,
            };
            let first = stored.first().map(|stored| stored.seq);
            if first == Some(from.get()) {
                return Ok(Tailed::Entries(dense(stored, bytes_max)?));
            }
            let before = Position::new(from.get().saturating_sub(1));
            match self.reach(api, before).await? {
                Reach::Not(told) => return Ok(told),
                Reach::End => return Ok(Tailed::Entries(Vec::new())),
                Reach::There if start.elapsed() > api.within => return Err(CallError::Lagging),
                Reach::There => sleep(LAG_PAUSE).await,
            }
        }
    }

    /// Asks the leader what there is after a position.
    pub(super) async fn reach(&self, api: &Api<'_>, after: Position) -> Result<Reach, CallError> {
        let info = api.info(&self.names.line, &Value::Null).await?;
        // One that is empty and does not begin at the beginning is about to be put back.
        let info = info.filter(|info| info.state.messages > 0 || info.state.last_seq == 0);
        let (first, last) = info.map_or((1, 0), |info| {
            (info.state.first_seq.max(1), info.state.last_seq)
        });
        Ok(match last.cmp(&after.get()) {
            Ordering::Less => Reach::Not(Tailed::Rewound {
                last: Position::new(last),
            }),
            Ordering::Equal => Reach::End,
            Ordering::Greater if first > after.get() + 1 => Reach::Not(Tailed::Hole {
                oldest: Position::new(first),
            }),
            Ordering::Greater => Reach::There,
        })
    }

    /// Asks the leader for one message by its subject.
    pub(super) async fn last_of(
        &self,
        api: &Api<'_>,
        stream: &str,
        subject: &str,
    ) -> Result<Option<Stored>, CallError> {
        api.get(stream, &json!({ "last_by_subj": subject })).await
    }
}

/// Makes entries of messages that follow each other, as many as stay within the bytes, or one.
fn dense(stored: Vec<Stored>, bytes_max: u64) -> Result<Vec<Entry>, CallError> {
    let mut entries: Vec<Entry> = Vec::with_capacity(stored.len());
    let mut bytes = 0;
    for stored in stored {
        bytes += stored.payload.len() as u64;
        if bytes > bytes_max && !entries.is_empty() {
            break;
        }
        let position = Position::new(stored.seq);
        let follows = entries
            .last()
            .is_none_or(|last| last.position.next() == position);
        if !follows {
            let what = format!("a stream with a hole before {position}");
            return Err(CallError::Unreadable { what });
        }
        entries.push(stored.head()?.entry(position, &stored.payload));
    }
    Ok(entries)
}
