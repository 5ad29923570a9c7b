//! A hub whose history has another line than the engine: the engine's stands. What the hub's line has
//! beyond the last common update and the engine's line lacks is published anew, by its origin once,
//! whichever hub does it; then the hub's line is cut. In this order, a crash in between loses nothing.

use std::collections::HashSet;
use std::sync::Arc;

use tidings_core::{Position, Print, PrintKey, Visibility};

use super::note::Note;
use super::request::Request;
use super::{Member, Phase, Reading};
use crate::engine::{
    Append, Appended, BATCH_BYTES_MAX, BATCH_ITEMS_MAX, Entry, Item, Line, Origin, Refusal, Seen,
};
use crate::sabotage::{Rule, skips};
use crate::{Cut, Envelope, OrderedUpdate, Stretch};

/// How far this is.
pub(super) struct Forked {
    line: Line,
    /// The end of the hub's own line.
    own: Position,
    /// The last position up to which the lines are known to be the same, and whether they are the
    /// same there for certain.
    shared: Position,
    /// The first position at which they are known to differ.
    differ: Position,
    /// The engine's and the hub's print at the position that is being compared.
    probed: (Option<Option<Print>>, Option<Option<Print>>),
    step: Step,
    /// What the engine's line has beyond the last common update.
    there: HashSet<Origin>,
    /// The last position of the hub's line that was dealt with.
    dealt: Position,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The last common update, by halves.
    Shared,
    /// The origins of the engine's line after this position.
    Origins(Position),
    /// What the engine's line lacks.
    Republish,
}

impl Forked {
    pub(super) fn new(line: Line, oldest: Position, own: Position) -> Self {
        let first = line.oldest.max(oldest);
        Self {
            line,
            own,
            shared: Position::new(first.get().saturating_sub(1)),
            differ: own.min(line.last).next(),
            probed: (None, None),
            step: Step::Shared,
            there: HashSet::new(),
            dealt: Position::ZERO,
        }
    }

    fn middle(&self) -> Position {
        let (low, high) = (self.shared.get(), self.differ.get());
        Position::new(low + (high - low).div_ceil(2).max(1)).min(Position::new(high - 1))
    }
}

impl Member {
    /// Does the next step.
    pub(super) fn go_on_forked(&mut self) {
        let Phase::Forked(forked) = &mut self.phase else {
            return;
        };
        if forked.step == Step::Shared {
            if forked.shared.next() < forked.differ {
                forked.probed = (None, None);
                let middle = forked.middle();
                self.call(Request::Range {
                    from: middle,
                    to: middle,
                    bytes_max: 0,
                });
                return self.read(Reading::Phase, middle.next(), middle);
            }
            forked.step = Step::Origins(forked.shared);
            forked.dealt = forked.shared;
        }
        if let Step::Origins(after) = forked.step {
            if after < forked.line.last {
                let (from, to) = (after.next(), forked.line.last);
                let bytes_max = BATCH_BYTES_MAX;
                return self.call(Request::Range {
                    from,
                    to,
                    bytes_max,
                });
            }
            forked.step = Step::Republish;
        }
        let (dealt, own) = (forked.dealt, forked.own);
        if dealt < own {
            return self.read(Reading::Phase, dealt.next(), own);
        }
        let cut = forked.cut(self.history.oldest());
        self.cut(cut);
    }

    pub(super) fn on_fork_range(&mut self, entries: Vec<Entry>) {
        let Phase::Forked(forked) = &mut self.phase else {
            return;
        };
        match forked.step {
            Step::Shared => {
                let first = entries.into_iter().next();
                forked.probed.0 = Some(first.and_then(|entry| entry.print));
                self.on_probed_fork();
            }
            Step::Origins(after) => {
                let Some(last) = entries.last().map(|entry| entry.position) else {
                    return self.look();
                };
                if last <= after {
                    return self.look();
                }
                forked
                    .there
                    .extend(entries.iter().map(|entry| entry.origin));
                forked.step = Step::Origins(last);
                self.go_on_forked();
            }
            Step::Republish => self.look(),
        }
    }

    pub(super) fn on_fork_stretch(&mut self, stretch: Stretch) {
        let Phase::Forked(forked) = &mut self.phase else {
            return;
        };
        match forked.step {
            Step::Shared => {
                forked.probed.1 = Some(stretch.before);
                self.on_probed_fork();
            }
            Step::Origins(_) => {}
            Step::Republish => self.republish(stretch.updates),
        }
    }

    fn on_probed_fork(&mut self) {
        let Phase::Forked(forked) = &mut self.phase else {
            return;
        };
        let (Some(theirs), Some(ours)) = forked.probed else {
            return;
        };
        let middle = forked.middle();
        match theirs.is_some() && theirs == ours {
            true => forked.shared = middle,
            false => forked.differ = middle,
        }
        self.go_on_forked();
    }

    /// Publishes anew what the engine's line lacks of `updates`, as much as one batch takes.
    fn republish(&mut self, updates: Vec<OrderedUpdate>) {
        let Phase::Forked(forked) = &mut self.phase else {
            return;
        };
        let mut items = Vec::new();
        let mut bytes = 0;
        let mut through = forked.own;
        for update in updates {
            through = update.position;
            // What was purged is not to come back.
            let withdrawn = update.draft.visibility == Visibility::Withdrawn;
            if withdrawn || skips(Rule::PublishAnew) {
                continue;
            }
            let note = match update.note.is_empty() {
                true => Note::anew(update.position),
                false => match Note::decode(&update.note) {
                    Some(note) => note,
                    None => continue,
                },
            };
            let item = item(&note, &update, &self.keys);
            if !forked.there.contains(&note.origin) {
                bytes += item.bytes.len() as u64;
                items.push(item.clone());
            }
            // Between the cut and the next store, this is all that this hub has of it: the engine may lose
            // it once more.
            self.publisher.adopt(note, item);
            if items.len() >= BATCH_ITEMS_MAX || bytes >= BATCH_BYTES_MAX {
                break;
            }
        }
        forked.dealt = through;
        if items.is_empty() {
            return self.go_on_forked();
        }
        let append = Append {
            epoch: self.epoch,
            seen: Seen {
                position: forked.line.last,
                print: forked.line.print,
            },
            sender: self.options.me,
            batch: self.publisher.next_batch(),
            items: items.into(),
        };
        self.call(Request::Append(append));
    }

    pub(super) fn on_republished(&mut self, appended: &Appended) {
        match appended {
            Appended::Taken { places, .. } => {
                self.counters.republished += places.len() as u64;
                self.go_on_forked();
            }
            Appended::Refused {
                why: Refusal::Full, ..
            } => self.look_later("the engine is full".into()),
            Appended::Refused {
                why: Refusal::TooLarge(why),
                ..
                // As with a tail that is put back: it is nowhere but here, and the operator is to know.
            } => self.look_later(
                format!("an acknowledged update that the engine lost is not taken again: {why}").into(),
            ),
            Appended::Refused { .. } => self.look(),
        }
    }
}

impl Forked {
    /// Returns how the hub's line is cut.
    fn cut(&self, oldest: Position) -> Cut {
        let before_line = Position::new(self.line.oldest.get().saturating_sub(1));
        let before_own = Position::new(oldest.get().saturating_sub(1));
        // At the very beginning lines are the same; elsewhere only what was compared is.
        let compared = self.shared > before_line.max(before_own);
        match compared || self.shared == Position::ZERO {
            true => Cut::After(self.shared),
            false => Cut::All(before_line),
        }
    }
}

/// Returns an update of the hub's line as an item that is taken once.
fn item(note: &Note, update: &OrderedUpdate, keys: &PrintKey) -> Item {
    let envelope = Envelope {
        draft: update.draft.clone(),
        key: note.key.clone(),
    };
    Item {
        origin: note.origin,
        digest: keys.digest(&update.draft, &note.encode()),
        key: Some(note.repeat_key()),
        bytes: Arc::from(envelope.encode()),
    }
}
