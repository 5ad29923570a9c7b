//! The half of a member that follows: entries from the engine to the history, with backpressure.

use std::collections::VecDeque;
use std::time::Duration;

use tidings_core::Position;

use super::note::Note;
use super::request::{Output, Request, Waiter};
use super::{Member, Phase};
use crate::engine::{BATCH_BYTES_MAX, Entry, Origin, Path, Tailed};
use crate::{Batch, Cut, Envelope, EnvelopeError, InboundError, OrderedUpdate};

/// What was read from the engine and is not stored.
#[derive(Default)]
pub(super) struct Follower {
    /// The last position that was read.
    pub(super) after: Position,
    pub(super) waiting: VecDeque<OrderedUpdate>,
    /// What the history is storing.
    storing: Option<Vec<(Position, Origin)>>,
    /// When the history is tried again that took nothing.
    pub(super) retry_at: Option<Duration>,
    /// Whether anything was stored since this was asked.
    moved: bool,
}

impl Follower {
    pub(super) fn is_storing(&self) -> bool {
        self.storing.is_some()
    }

    /// Returns whether anything was stored since this was asked before.
    pub(super) fn takes_in(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Forgets what was read.
    pub(super) fn on_reset(&mut self) {
        self.waiting.clear();
        self.retry_at = None;
    }
}

impl Member {
    pub(super) fn on_tailed(&mut self, tailed: Tailed) {
        if !matches!(self.phase, Phase::Following) {
            return;
        }
        let entries = match tailed {
            Tailed::Entries(entries) => entries,
            Tailed::Hole { .. } => return self.look(),
            Tailed::Rewound { .. } => {
                self.counters.rewinds += 1;
                return self.look();
            }
        };
        for entry in entries {
            if entry.position != self.follower.after.next() {
                return self.look_later("the engine left out a position".into());
            }
            self.follower.after = entry.position;
            match ordered(&entry) {
                Ok(update) => self.follower.waiting.push_back(update),
                Err(error) => return self.look_later(error.to_string().into()),
            }
        }
    }

    /// Hands the next batch to the history, and asks the engine for more, if there is room.
    pub(super) fn feed(&mut self) {
        let rests = self.follower.retry_at.is_none_or(|at| at <= self.now);
        if rests && !self.follower.is_storing() {
            if self.follower.retry_at.take().is_some() {
                self.follower.after = self.history.last();
            }
            if let Some(batch) = Batch::take(&mut self.follower.waiting) {
                self.store(batch);
            }
        }
        if rests
            && self.calls.of(Path::Tail).is_none()
            && self.follower.waiting.len() < Batch::UPDATES_MAX
        {
            self.call(Request::Tail {
                after: self.follower.after,
                bytes_max: BATCH_BYTES_MAX,
            });
        }
    }

    pub(super) fn store(&mut self, batch: Batch) {
        let mut waiters = Vec::new();
        let origins = batch.updates().iter().filter_map(|update| {
            let note = Note::of(update)?;
            Some((update.position, note.origin))
        });
        let storing: Vec<_> = origins.collect();
        for (position, origin) in &storing {
            self.publisher
                .take_waiters(*position, *origin, &mut waiters);
        }
        self.follower.storing = Some(storing);
        self.outputs.push_back(Output::Store(batch, waiters));
    }

    /// The history has stored what it was given, or not.
    pub(super) fn on_stored(&mut self, result: Result<(), InboundError>, rest: Vec<Waiter>) {
        let storing = self.follower.storing.take().unwrap_or_default();
        match result {
            Ok(()) => {
                // What the history had before is answered from there.
                self.publisher.put_known(rest);
                self.follower.moved = true;
                self.gate.vouched = true;
                if matches!(self.phase, Phase::Fetching(_)) {
                    self.counters.fetched += storing.len() as u64;
                }
                if !self.publisher.on_stored(&storing) {
                    return self.look();
                }
                if self.gate.passed {
                    self.reason = None;
                }
            }
            Err(error) => {
                self.publisher.put_back(rest);
                self.follower.waiting.clear();
                match error {
                    InboundError::Relay(error) => {
                        // The tail comes again, from what is stored.
                        self.reason = Some(error.to_string().into());
                        self.follower.retry_at = Some(self.now + STORE_RETRY);
                        if self.calls.of_mut(Path::Tail).take().is_some() {
                            self.outputs.push_back(Output::Reset(Path::Tail));
                        }
                    }
                    InboundError::OutOfOrder { .. }
                    | InboundError::Differs { .. }
                    | InboundError::TimeWentBack { .. } => self.on_misfit(&error),
                }
            }
        }
    }
}

impl Member {
    /// What came does not fit what is stored.
    fn on_misfit(&mut self, error: &InboundError) {
        if matches!(self.phase, Phase::Fetching(_)) {
            return self.on_unfit_page(&error.to_string());
        }
        let differs = matches!(error, InboundError::Differs { .. });
        if matches!(self.phase, Phase::Following) && differs && !self.gate.vouched {
            // The hub ends where the engine's window begins, so their prints could not be compared:
            // it is another line, of which nothing is in the window.
            self.counters.forks += 1;
            self.publisher.forsake(&super::in_doubt());
            return self.cut(Cut::All(self.history.last()));
        }
        self.look_later(error.to_string().into());
    }
}

/// Reads an entry.
pub(super) fn ordered(entry: &Entry) -> Result<OrderedUpdate, EnvelopeError> {
    let Envelope { draft, key } = Envelope::decode(&entry.bytes)?;
    let origin = entry.origin;
    Ok(OrderedUpdate {
        position: entry.position,
        published_ms: entry.published_ms,
        print: entry.print,
        draft,
        note: Note { origin, key }.kept(),
    })
}

/// How soon a history that took nothing is tried again.
pub(super) const STORE_RETRY: Duration = Duration::from_millis(200);
