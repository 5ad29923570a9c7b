//! Batches on their way: the next one goes to the engine, and its answer decides what comes after it.

use std::sync::Arc;

use super::publisher::Unfit;
use super::request::Request;
use super::{Member, in_doubt};
use crate::engine::{Append, Appended, Path, Refusal, Seen, TooLarge};

impl Member {
    /// Sends the next batch, if none is with the engine.
    pub(super) fn pump(&mut self) {
        let open = self.gate.passed && self.gate.from <= self.now;
        let free = self.calls.of(Path::Publish).is_none();
        if !open || !free || self.history.takes_updates().is_err() {
            return;
        }
        let (own, print) = self.history.tip();
        let seen = match self.gate.compared {
            true => Seen {
                position: self.gate.known.max(own),
                print: None,
            },
            false => Seen {
                position: own,
                print,
            },
        };
        let again = self.publisher.flight().is_some();
        let Some(flight) = self.publisher.next(self.leases.read_traces()) else {
            return;
        };
        let first = flight.items.first();
        if again || first.is_some_and(|item| item.origin.batch != flight.number) {
            self.counters.retries += flight.items.len() as u64;
        }
        let append = Append {
            epoch: self.epoch,
            seen,
            sender: self.options.me,
            batch: flight.number,
            items: Arc::clone(&flight.items),
        };
        self.call(Request::Append(append));
    }

    pub(super) fn on_appended(&mut self, appended: Appended) {
        match appended {
            Appended::Taken { places, last, .. } => {
                self.counters.appends += 1;
                self.counters.appended += places.len() as u64;
                self.gate.known = self.gate.known.max(last);
                self.gate.compared = true;
                self.looks = 0;
                self.counters.repeats += self.publisher.on_taken(&places);
            }
            Appended::Refused { why, last } => {
                self.counters.faults += 1;
                match why {
                    Refusal::Repair => {
                        self.publisher.on_reset();
                        return self.repair(last);
                    }
                    Refusal::Full => return self.look_later("the engine is full".into()),
                    Refusal::TooLarge(why) => return self.on_too_large(why),
                    Refusal::Rewound => self.counters.rewinds += 1,
                    Refusal::Forked | Refusal::Behind | Refusal::OtherEpoch | Refusal::None => {}
                }
                self.look();
            }
        }
    }

    /// Goes on without an update that the engine cannot take.
    fn on_too_large(&mut self, why: TooLarge) {
        match self.publisher.on_too_large(why, &in_doubt()) {
            None => return self.look(),
            Some(Unfit::StillStranded) => {}
            Some(Unfit::Stranded(origin)) => {
                self.counters.stranded += 1;
                tracing::error!(
                    ?origin, reason = %why,
                    "the engine lost an acknowledged update and does not take it again: this hub keeps \
                     it in memory until the setting is raised"
                );
            }
            Some(Unfit::Refused) => {
                self.counters.too_large += 1;
                if self.bound_told.replace((why.setting, why.max)) != Some((why.setting, why.max)) {
                    tracing::error!(
                        reason = %why,
                        "the engine does not take an update of this size: the setting is below what this \
                         hub lets in"
                    );
                }
            }
        }
        self.looks = 0;
    }
}
