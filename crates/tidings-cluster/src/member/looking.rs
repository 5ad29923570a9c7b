//! Where the engine's line ends, whether it is the hub's own, and how what it lost is put back.

use tidings_core::{Position, Print};

use super::forked::Forked;
use super::note::Note;
use super::request::{Output, Request};
use super::{HEAL_PAUSE, Member, Phase, Reading};
use crate::engine::{Changed, EpochId, Line, LineEnd, Proposal, Restore, Restored, State, Tailed};
use crate::page::entry;
use crate::sabotage::{Rule, skips};
use crate::{Batch, Cut, OrderedUpdate, Stretch};

/// What is compared.
#[derive(Clone, Copy)]
pub(super) enum Comparing {
    /// The engine has less: the print of the history there.
    Behind(Line),
    /// The engine has more: the print of the engine at the end of the history.
    Ahead(Line),
    /// The engine has nothing: what of the history can be put back.
    Nothing,
    /// The epoch changes in the open.
    Bumping(Line),
}

impl Member {
    pub(super) fn on_state(&mut self, state: State) {
        if !matches!(self.phase, Phase::Looking) {
            return;
        }
        match state {
            State::Line(line) if line.secret != self.secret => {
                self.look_later("the engine has the line of another cluster".into());
            }
            State::Line(line) => {
                if line.epoch != self.epoch {
                    self.epoch = line.epoch;
                    self.counters.epochs += 1;
                }
                match line.torn {
                    true => self.repair(line.last),
                    false => self.compare(line),
                }
            }
            State::None => self.on_nothing(),
            State::Half => {
                self.look_later(
                    "the engine has lost a part of its keys: restore them, or remove the rest \
                     under the cluster's name"
                        .into(),
                );
            }
        }
    }

    /// The engine has nothing: it gets back what the history has.
    fn on_nothing(&mut self) {
        let (own, _) = self.history.tip();
        self.counters.rewinds += u64::from(own > Position::ZERO);
        if self.history.oldest() > own {
            let (epoch, secret) = (self.epoch, Some(self.secret));
            self.phase = Phase::Healing { expected: None };
            return self.call(Request::Init(Proposal { epoch, secret }));
        }
        let from = Position::new(own.get().saturating_sub(WINDOW_MIN)).next();
        self.phase = Phase::Comparing(Comparing::Nothing);
        self.read(Reading::Phase, from.max(self.history.oldest()), own);
    }

    fn compare(&mut self, line: Line) {
        let (own, print) = self.history.tip();
        let before_oldest = Position::new(line.oldest.get().saturating_sub(1));
        if line.last < own {
            self.phase = Phase::Comparing(Comparing::Behind(line));
            return self.read(Reading::Phase, line.last.next(), own);
        }
        if line.last == own {
            return match print.is_none() || print == line.print {
                true => self.follow(line),
                false => self.fork(line),
            };
        }
        if own < before_oldest {
            return self.fetch(line);
        }
        if own == before_oldest || print.is_none() {
            // The engine does not have the print there any more.
            self.follow(line);
            self.gate.vouched = print.is_none();
            return;
        }
        self.phase = Phase::Comparing(Comparing::Ahead(line));
        self.call(Request::Range {
            from: own,
            to: own,
            bytes_max: 0,
        });
    }

    pub(super) fn on_range(&mut self, tailed: Tailed) {
        match (&self.phase, tailed) {
            (Phase::Comparing(Comparing::Ahead(line)), Tailed::Entries(entries)) => {
                let line = *line;
                let (own, print) = self.history.tip();
                match entries.first() {
                    Some(entry)
                        if entry.position == own
                            && (entry.print == print || skips(Rule::ComparePrints)) =>
                    {
                        self.follow(line);
                    }
                    Some(entry) if entry.position == own => self.fork(line),
                    _ => self.look(),
                }
            }
            (Phase::Forked(_), Tailed::Entries(entries)) => self.on_fork_range(entries),
            (_, _) => self.look(),
        }
    }

    pub(super) fn on_stretch(&mut self, stretch: Stretch) {
        match &self.phase {
            Phase::Comparing(Comparing::Behind(line)) => {
                let line = *line;
                let whole = self.history.oldest() == Position::ZERO.next();
                let same = match line.print {
                    None => whole,
                    Some(print) => stretch.before == Some(print),
                };
                let follows = stretch.updates.first().map(|update| update.position);
                match (same, follows == Some(line.last.next())) {
                    (true, true) => self.heal(Some((line.last, line.print)), stretch.updates),
                    _ if stretch.before.is_none() && line.last > Position::ZERO => self.bump(line),
                    (true, false) => self.bump(line),
                    (false, _) => self.fork(line),
                }
            }
            Phase::Comparing(Comparing::Nothing) => {
                let from = dense_end(&stretch.updates);
                self.heal(None, stretch.updates.into_iter().skip(from).collect());
            }
            Phase::Healing { expected } => {
                // The print there is that of what was put back last.
                let expected = expected.map(|(last, _)| (last, stretch.before));
                self.heal(expected, stretch.updates);
            }
            Phase::Forked(_) => self.on_fork_stretch(stretch),
            Phase::Waiting { .. }
            | Phase::Looking
            | Phase::Fetching(_)
            | Phase::Comparing(Comparing::Ahead(_) | Comparing::Bumping(_))
            | Phase::Repairing
            | Phase::Following => {}
        }
    }

    /// Puts updates back that follow `expected`, as many as one call takes.
    fn heal(&mut self, expected: Option<(Position, Option<Print>)>, updates: Vec<OrderedUpdate>) {
        let mut next = updates
            .first()
            .map_or(Position::ZERO, |update| update.position);
        let mut dense = std::collections::VecDeque::new();
        for update in updates {
            if update.position != next {
                break;
            }
            next = next.next();
            dense.push_back(update);
        }
        let batch = Batch::take(&mut dense);
        let entries: Vec<Restored> = batch
            .map(Batch::into_updates)
            .unwrap_or_default()
            .into_iter()
            .filter_map(restored)
            .collect();
        if entries.is_empty() {
            return self.look_later("the history has nothing to put back".into());
        }
        self.counters.healed += entries.len() as u64;
        self.phase = Phase::Healing { expected };
        self.call(Request::Restore(Restore {
            epoch: self.epoch,
            secret: self.secret,
            expected_last: expected.map(|(last, _)| last),
            expected_print: expected.and_then(|(_, print)| print),
            entries,
        }));
    }

    pub(super) fn on_changed(&mut self, changed: Changed) {
        match (&self.phase, changed) {
            (Phase::Healing { .. }, Changed::Done { last }) => {
                let own = self.history.last();
                self.gate.from = self.now + HEAL_PAUSE;
                if last < own {
                    self.phase = Phase::Healing {
                        expected: Some((last, None)),
                    };
                    return self.read(Reading::Phase, last.next(), own);
                }
                self.counters.heals += 1;
                self.looks = 0;
                self.look();
            }
            (Phase::Comparing(Comparing::Bumping(line)), Changed::Done { .. }) => {
                let line = *line;
                self.counters.epochs += 1;
                self.epoch = bumped(line.epoch);
                self.fork(Line {
                    epoch: self.epoch,
                    ..line
                });
            }
            (_, Changed::Repair { last }) => self.repair(last),
            (_, Changed::Full) => self.look_later("the engine is full".into()),
            (_, Changed::Moved(_) | Changed::Done { .. }) => self.look(),
        }
    }

    /// Gives the line a new epoch, because what it lost cannot be put back in its place.
    fn bump(&mut self, line: Line) {
        self.phase = Phase::Comparing(Comparing::Bumping(line));
        let expected = LineEnd {
            epoch: line.epoch,
            last: line.last,
        };
        self.call(Request::Bump(expected, bumped(line.epoch)));
    }

    fn fork(&mut self, line: Line) {
        self.counters.forks += 1;
        let (own, _) = self.history.tip();
        let forked = Forked::new(line, self.history.oldest(), own);
        self.reason = Some("this hub leaves another line than the engine's".into());
        self.phase = Phase::Forked(forked);
        self.go_on_forked();
    }

    pub(super) fn cut(&mut self, cut: Cut) {
        self.cutting = true;
        self.outputs.push_back(Output::Cut(cut));
    }

    /// The engine's line is the hub's own.
    fn follow(&mut self, line: Line) {
        self.phase = Phase::Following;
        self.follower.after = self.history.last();
        self.gate.through = line.last;
        self.gate.known = line.last;
        self.gate.passed = false;
        self.gate.vouched = true;
        self.gate.compared = false;
        self.probe.at = self.now + super::PROBE_EVERY;
        self.probe.before = None;
        self.probe.sent_at = None;
    }
}

/// Returns the epoch after `epoch`. It need not be secret, only another one.
const fn bumped(epoch: EpochId) -> EpochId {
    EpochId::new(epoch.get().wrapping_add(1))
}

/// Returns the index from which on no position is missing.
fn dense_end(updates: &[OrderedUpdate]) -> usize {
    let pairs = updates.iter().zip(updates.iter().skip(1));
    let hole = pairs
        .enumerate()
        .rfind(|(_, (one, other))| one.position.next() != other.position);
    hole.map_or(0, |(index, _)| index + 1)
}

/// Returns an update of the history as it is put back. Nothing if it is not one of a cluster.
fn restored(update: OrderedUpdate) -> Option<Restored> {
    // Its hub may be about to send it again.
    let key = Some(Note::of(&update)?.repeat_key());
    let entry = entry(update)?;
    Some(Restored { entry, key })
}

/// Updates that an engine that lost everything gets back: enough for hubs that were away for a
/// moment.
const WINDOW_MIN: u64 = 10_000;
