//! Updates that a relay ordered: the checks before they are written.
//!
//! A relay that lost its connection may send updates again. So an update whose position is taken is skipped if it is
//! the same update. The prints tell whether it is; they also authenticate everything before it.

use std::sync::Arc;

use tidings_cluster::{Batch, BatchDone, Cut, CutDone, InboundError, OrderedUpdate};
use tidings_core::{Position, Print, Update, Visibility};

use super::{Coming, Writer};
use crate::append::Step;
use crate::published::Tip;
use crate::storage::StorageError;

/// Why a batch is refused.
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
    /// Commits the new updates of `batch` as one group, delivers the group, then answers.
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
        // An earlier batch may have hit a fault.
        if let Some(error) = self.phase.error() {
            return Err(error.into());
        }
        let stored = self.new_of(batch).and_then(|coming| match coming.len() {
            0 => Ok(Vec::new()),
            _ => {
                let staged = self.stage(coming.into_iter())?;
                Ok(self.commit(staged)?)
            }
        });
        stored.map_err(|unfit| match unfit {
            Unfit::Inbound(error) => error,
            Unfit::Fault(fault) => self.on_refusing(fault).into(),
        })
    }

    /// Removes the end of a line that the relay abandoned, tells the router, then answers.
    pub(super) fn cut(&mut self, cut: Cut, done: CutDone) {
        let result = match self.phase.error() {
            Some(error) => Err(error),
            None => self.try_cut(cut).map_err(|fault| self.on_refusing(fault)),
        };
        if result.is_ok() {
            (self.outlet)(Step::Cut(Tip {
                position: self.extent.last,
                print: self.extent.last_print,
            }));
        }
        done(result);
    }

    fn try_cut(&mut self, cut: Cut) -> Result<(), StorageError> {
        let cut = match cut {
            Cut::After(after) if after < self.extent.trimmed_through => Cut::All(after),
            Cut::After(after) => Cut::After(after.min(self.extent.last)),
            Cut::All(after) => Cut::All(after),
        };
        self.published.on_cutting();
        self.storage.cut(cut)?;
        self.extent = self.storage.extent();
        self.goal = self.extent.trimmed_through;
        self.presence_goal = self.extent.presence_trimmed_through;
        self.published.on_cut(&self.extent, self.storage.removed());
        Ok(())
    }

    /// Returns the updates of `batch` that are not stored yet.
    ///
    /// # Errors
    ///
    /// The first update that does not continue the stored ones, or differs from the stored one at its position.
    fn new_of(&mut self, batch: Batch) -> Result<Vec<Coming>, Unfit> {
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
            let (draft, note) = (update.draft, update.note);
            let formed =
                self.line
                    .print_like(update.print, last_print, position, got_ms, &draft, &note);
            // A history that begins in the middle of a line has no print before its first update to check against,
            // and what is withdrawn has nothing any more from which its print was formed.
            let unchecked = draft.visibility == Visibility::Withdrawn
                || last_print.is_none() && last > Position::ZERO;
            let print = match update.print {
                Some(print) if unchecked => print,
                got => {
                    check_print(position, formed, got)?;
                    formed
                }
            };
            (last, last_print, before_ms) = (position, Some(print), got_ms);
            new.push(Coming {
                draft,
                published_ms: got_ms,
                print: Some(print),
                note: Some(note).filter(|note| !note.is_empty()),
            });
        }
        Ok(new)
    }

    /// Checks that an update whose position is taken is the one that is stored there. If that print is gone, the update
    /// was removed by retention: it cannot be checked, and is not stored again.
    fn check_repeat(&mut self, update: &OrderedUpdate) -> Result<(), Unfit> {
        let position = update.position;
        let Some(stored) = self.storage.print(position)? else {
            return Ok(());
        };
        check_print(position, stored, update.print)?;
        if update.draft.visibility == Visibility::Withdrawn {
            return Ok(());
        }
        let before = Position::new(position.get() - 1);
        let before_print = self.storage.print(before)?;
        if before_print.is_none() && before != Position::ZERO {
            return Ok(());
        }
        let (draft, note) = (&update.draft, &*update.note);
        let got = self.line.print_like(
            Some(stored),
            before_print,
            position,
            update.published_ms,
            draft,
            note,
        );
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
