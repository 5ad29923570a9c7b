//! Rows that are published together, in order.

use std::time::Duration;

use tidings_cluster::{Done, Key, RelayError};
use tidings_core::update::Draft;
use tidings_hub::ingest::{Ingest, PublishError, Publisher};
use tidings_hub::refusal::Refusal;
use tidings_postgresql::inbox::{Row, RowId};
use tidings_wire::publish_form::PublishForm;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// What a key of a row begins with, before the row's own 16 bytes. Publishers' keys are 32 bytes, and those of
/// hubs begin with `o`.
const KEY_PREFIX: &[u8] = b"sql:";

/// Rows that were read and are not stored yet, in the order of their ids.
#[derive(Default)]
pub(super) struct Page(Vec<InHand>);

struct InHand {
    id: RowId,
    key: Key,
    draft: Draft,
    /// How long it was in the inbox when it was read.
    waited: Duration,
    read: Instant,
    outcome: Outcome,
}

/// What becomes of a row.
enum Outcome {
    /// It is with the relay.
    Waits(oneshot::Receiver<Result<(), RelayError>>),
    /// It was stored, so long after it was inserted.
    Stored(Duration),
    /// The relay did not take it, or was not asked.
    Not(Option<PublishError>),
}

/// A row that was stored.
pub(super) struct Stored {
    pub(super) id: RowId,
    /// Since it was inserted.
    pub(super) delay: Duration,
}

/// What became of a page.
#[derive(Default)]
pub(super) struct Settled {
    pub(super) stored: Vec<Stored>,
    /// Why the first row that was not stored was not.
    pub(super) fault: Option<PublishError>,
}

impl Page {
    /// Makes a page of rows. Returns with it those that the hub refuses, each with the reason.
    pub(super) fn of(
        rows: Vec<Row>,
        ingest: &Ingest,
        bytes_max: u64,
    ) -> (Self, Vec<(RowId, Refusal)>) {
        let mut page = Self::default();
        let mut refused = Vec::new();
        for row in rows {
            match InHand::of(row, ingest, bytes_max) {
                Ok(row) => page.0.push(row),
                Err(refusal) => refused.push(refusal),
            }
        }
        (page, refused)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn ids(&self) -> Vec<RowId> {
        self.0.iter().map(|row| row.id).collect()
    }

    /// Hands all rows over to the relay, which stores each once, by its key.
    pub(super) fn hand_over(&mut self, ingest: &Ingest) {
        if self.0.is_empty() {
            return;
        }
        let drafts = self.0.iter_mut().map(|row| {
            let (done, outcome) = oneshot::channel();
            row.outcome = Outcome::Waits(outcome);
            // The page may have been given up meanwhile.
            let done: Done = Box::new(move |kept| drop(done.send(kept.map(drop))));
            (row.draft.clone(), row.key.clone(), done)
        });
        if let Err(error) = ingest.enqueue_in_order(drafts.collect()) {
            // Completions that were dropped say the same.
            tracing::debug!(%error, "the relay takes nothing from the inbox now");
        }
    }

    /// Waits until the outcome of all rows is known. Nothing is lost if it is dropped before.
    pub(super) async fn outcomes(&mut self) {
        for row in &mut self.0 {
            let Outcome::Waits(outcome) = &mut row.outcome else {
                continue;
            };
            row.outcome = match outcome.await {
                Ok(Ok(())) => Outcome::Stored(row.waited + row.read.elapsed()),
                Ok(Err(error)) => Outcome::Not(Some(error.into())),
                Err(_dropped) => Outcome::Not(Some(PublishError::Busy)),
            };
        }
    }

    /// Takes the rows out that were stored, as far as that is known.
    pub(super) fn take_stored(&mut self) -> Settled {
        let mut settled = Settled::default();
        self.0.retain_mut(|row| match &mut row.outcome {
            Outcome::Stored(delay) => {
                let (id, delay) = (row.id, *delay);
                settled.stored.push(Stored { id, delay });
                false
            }
            Outcome::Not(fault) => {
                settled.fault = settled.fault.take().or_else(|| fault.take());
                true
            }
            Outcome::Waits(_) => true,
        });
        settled
    }
}

impl InHand {
    fn of(row: Row, ingest: &Ingest, bytes_max: u64) -> Result<Self, (RowId, Refusal)> {
        let (id, waited) = (row.id, row.waited);
        let refused = |refusal| (id, refusal);
        let bytes = row.bytes();
        if bytes > bytes_max {
            let detail = format!(
                "the update has {bytes} bytes, more than {bytes_max} (publish.body_bytes_max)"
            );
            return Err(refused(Refusal::too_large(
                "body-too-large",
                "Body too large",
                detail,
            )));
        }
        let key = [KEY_PREFIX, &row.id.key].concat();
        #[expect(clippy::expect_used, reason = "20 bytes are neither none nor too many")]
        let key = Key::new(&key).expect("20 bytes");
        let form = PublishForm {
            topics: row.topics,
            data: Some(row.data),
            private: row.private,
            id: row.event_id,
            event_type: row.event_type,
            retry: row.retry_ms,
            traceparent: None,
        };
        let draft = ingest.draft(form, Publisher::Unchecked);
        let draft = draft.map_err(|error| refused(Refusal::of_publishing(&error, true)))?;
        Ok(Self {
            id,
            key,
            draft,
            waited,
            read: Instant::now(),
            outcome: Outcome::Not(None),
        })
    }
}
