//! Updates that a relay ordered: what is checked before they are written.
//!
//! A relay may send again what it sent before, after it lost a connection, so an update whose
//! position is taken is skipped if it is the same one. Whether it is the same is asked of the prints,
//! which also vouch for everything before it.

use std::sync::Arc;

use tidings_cluster::{Batch, BatchDone, InboundError, OrderedUpdate};
use tidings_core::{Draft, Position, Print, Update};

use super::Writer;
use crate::append::Step;
use crate::storage::StorageError;

/// Why a batch is not written.
enum Unfit {
    Inbound(InboundError),
    Fault(StorageError),
}

impl From<InboundError> for Unfit {
    fn from(error: InboundError) -> Self {
        Self::Inbound(error)
    }
}

impl From<StorageError> for Unfit {
    fn from(fault: StorageError) -> Self {
        Self::Fault(fault)
    }
}

impl Writer {
    /// Commits what is new in `batch` as one group, delivers the group, answers.
    pub(super) fn take_ordered(&mut self, batch: Batch, done: BatchDone) {
        let count = batch.updates().len();
        let stored = self.store(batch);
        match &stored {
            Ok(group) if group.is_empty() => {}
            Ok(group) => (self.outlet)(Step::Committed(group.clone())),
            Err(_) => self.published.on_refused(count),
        }
        done(stored);
    }

    fn store(&mut self, batch: Batch) -> Result<Vec<Arc<Update>>, InboundError> {
        // A batch before this one may have met a fault.
        if let Some(error) = self.phase.error() {
            return Err(error.into());
        }
        let stored = self.new_of(batch).and_then(|timed| match timed.len() {
            0 => Ok(Vec::new()),
            _ => {
                let staged = self.stage(timed.into_iter())?;
                Ok(self.commit(staged)?)
            }
        });
        stored.map_err(|unfit| match unfit {
            Unfit::Inbound(error) => error,
            Unfit::Fault(fault) => self.on_refusing(fault).into(),
        })
    }

    /// Returns the updates of `batch` that are not stored yet, each with its time.
    ///
    /// # Errors
    ///
    /// The first update that does not continue what is stored, or is another than the stored one.
    fn new_of(&mut self, batch: Batch) -> Result<Vec<(Draft, u64)>, Unfit> {
        let mut new = Vec::with_capacity(batch.updates().len());
        let mut last = self.extent.last;
        let mut last_print = self.extent.last_print;
        let mut before_ms = self.extent.last_mark.published_ms;
        for update in batch.into_updates() {
            if (Position::ZERO.next()..=self.extent.last).contains(&update.position) {
                self.check_repeat(&update)?;
                continue;
            }
            let (position, got_ms) = (last.next(), update.published_ms);
            if update.position != position {
                let (expected, got) = (position, update.position);
                return Err(InboundError::OutOfOrder { expected, got }.into());
            }
            if got_ms < before_ms {
                return Err(InboundError::TimeWentBack {
                    position,
                    before_ms,
                    got_ms,
                }
                .into());
            }
            let print = self
                .print_key
                .print(last_print, position, got_ms, &update.draft);
            check_print(position, print, update.print)?;
            (last, last_print, before_ms) = (position, Some(print), got_ms);
            new.push((update.draft, got_ms));
        }
        Ok(new)
    }

    /// Checks that an update whose position is taken is the one that is stored there. Of one whose
    /// print is gone nothing can be said: it was removed, and is not stored again.
    fn check_repeat(&mut self, update: &OrderedUpdate) -> Result<(), Unfit> {
        let position = update.position;
        let Some(stored) = self.storage.print(position)? else {
            return Ok(());
        };
        check_print(position, stored, update.print)?;
        let before = Position::new(position.get() - 1);
        let before_print = self.storage.print(before)?;
        if before_print.is_none() && before != Position::ZERO {
            return Ok(());
        }
        let got = self
            .print_key
            .print(before_print, position, update.published_ms, &update.draft);
        Ok(check_print(position, stored, Some(got))?)
    }
}

fn check_print(
    position: Position,
    expected: Print,
    got: Option<Print>,
) -> Result<(), InboundError> {
    match got {
        Some(got) if got != expected => Err(InboundError::Differs {
            position,
            expected,
            got,
        }),
        Some(_) | None => Ok(()),
    }
}
