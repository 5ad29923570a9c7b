//! The half of a member that publishes: what waits, what is with the engine, and what was sent and
//! is not stored here yet. It decides what is sent next; it sends nothing itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tidings_core::{Position, PrintKey};

use super::note::Note;
use super::request::{Publish, Waiter};
use crate::engine::{BATCH_BYTES_MAX, BATCH_ITEMS_MAX, Item, Origin, Place, Sender, TooLarge};
use crate::sabotage::{Rule, skips};
use crate::{Done, Envelope, RelayError};

/// See the module.
pub(super) struct Publisher {
    me: Sender,
    keys: PrintKey,
    /// Not sent yet, in the order in which they came.
    fresh: VecDeque<Fresh>,
    fresh_bytes: u64,
    /// Sent, and not stored here. Origins sort by batch.
    sent: BTreeMap<Origin, Sent>,
    /// Where the engine said that what was sent is.
    placed: BTreeMap<Position, Origin>,
    /// Whose key was known: what they wait for is at these positions.
    known: BTreeMap<Position, Vec<Waiter>>,
    /// To be owed once they are cut from this hub's line.
    adopting: Vec<(Note, Item)>,
    /// To be sent again in batches of their own: the engine took them and lost them, or took nothing of
    /// their batch because of another update in it.
    again: VecDeque<Origin>,
    /// Owed, and larger than what the engine took last.
    stranded: BTreeSet<Origin>,
    flight: Option<Flight>,
    batch: u64,
}

struct Fresh {
    publish: Publish,
    bytes: u64,
    deadline: Duration,
}

struct Sent {
    note: Note,
    item: Item,
    /// Nobody, if it was answered that it is in doubt.
    done: Option<Done>,
    deadline: Duration,
    /// Whether it was acknowledged on a line that was cut: then it is owed to somebody, whoever waits.
    owed: bool,
    /// Whether the engine has or had it, or may have: another hub may know it.
    may_be_known: bool,
}

/// A batch whose outcome is not known.
pub(super) struct Flight {
    pub(super) number: u64,
    pub(super) items: Arc<[Item]>,
    pub(super) state: FlightState,
    /// Whether a call with it was given up, which may still arrive.
    given_up: bool,
}

/// What became of an update that the engine cannot take.
pub(super) enum Unfit {
    /// Whoever waited for it was told.
    Refused,
    /// It was acknowledged: it is kept, and sent again now and then.
    Stranded(Origin),
    /// Likewise, and that was said before.
    StillStranded,
}

/// Where a batch is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FlightState {
    /// With the engine.
    Sent,
    /// The engine did not answer: it may have it.
    Doubtful,
}

impl Publisher {
    pub(super) fn new(me: Sender, keys: PrintKey) -> Self {
        Self {
            me,
            keys,
            fresh: VecDeque::new(),
            fresh_bytes: 0,
            sent: BTreeMap::new(),
            placed: BTreeMap::new(),
            known: BTreeMap::new(),
            adopting: Vec::new(),
            again: VecDeque::new(),
            stranded: BTreeSet::new(),
            flight: None,
            batch: 0,
        }
    }

    /// What was sent cannot be looked for in the line: whoever waits is told so, and only what is owed is sent
    /// again.
    pub(super) fn forsake(&mut self, doubt: &RelayError) {
        let waiting = self.sent.values_mut().filter_map(|sent| sent.done.take());
        waiting.for_each(|done| done(Err(doubt.clone())));
        self.sent.retain(|_, sent| sent.owed);
        self.flight = None;
    }

    /// Goes on as another start of the hub. What was sent keeps its origin.
    pub(super) fn on_start(&mut self, me: Sender) {
        self.me = me;
    }

    /// Returns how many updates have no place here yet, and their bytes as far as they were not sent.
    pub(super) fn waiting(&self) -> (usize, u64) {
        let known: usize = self.known.values().map(Vec::len).sum();
        let sent = self.sent.values().filter(|sent| sent.done.is_some());
        (self.fresh.len() + sent.count() + known, self.fresh_bytes)
    }

    pub(super) fn push(&mut self, publish: Publish, deadline: Duration) {
        let bytes = publish.draft.bytes();
        self.fresh_bytes += bytes;
        self.fresh.push_back(Fresh {
            publish,
            bytes,
            deadline,
        });
    }

    pub(super) fn flight(&self) -> Option<&Flight> {
        self.flight.as_ref()
    }

    /// Returns when somebody has waited long enough.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let fresh = self.fresh.front().map(|fresh| fresh.deadline);
        let waits = |sent: &&Sent| sent.done.is_some();
        let sent = self.sent.values().filter(waits).map(|sent| sent.deadline);
        fresh.into_iter().chain(sent).min()
    }

    /// Answers those who have waited long enough.
    pub(super) fn expire(&mut self, now: Duration, away: &RelayError, doubt: &RelayError) -> usize {
        let mut count = 0;
        while let Some(fresh) = self.fresh.pop_front_if(|fresh| fresh.deadline <= now) {
            self.fresh_bytes -= fresh.bytes;
            count += 1;
            (fresh.publish.done)(Err(away.clone()));
        }
        let late = |sent: &&mut Sent| sent.deadline <= now;
        for done in self
            .sent
            .values_mut()
            .filter(late)
            .filter_map(|sent| sent.done.take())
        {
            count += 1;
            let told = if skips(Rule::SayInDoubt) { away } else { doubt };
            done(Err(told.clone()));
        }
        count
    }

    /// Answers everybody: the member ends.
    pub(super) fn close(&mut self, fresh: &RelayError, doubt: &RelayError) {
        for waiting in self.fresh.drain(..) {
            (waiting.publish.done)(Err(fresh.clone()));
        }
        let sent = std::mem::take(&mut self.sent);
        for done in sent.into_values().filter_map(|sent| sent.done) {
            done(Err(doubt.clone()));
        }
        let known = std::mem::take(&mut self.known);
        for waiter in known.into_values().flatten() {
            (waiter.done)(Err(doubt.clone()));
        }
    }

    /// Takes over an update that is about to be cut from this hub's line: from then on it is sent again until
    /// it is stored.
    pub(super) fn adopt(&mut self, note: Note, item: Item) {
        self.adopting.push((note, item));
    }

    /// The line is not cut: what is in it is not to be sent again.
    pub(super) fn disown(&mut self) {
        self.adopting.clear();
    }

    /// Takes the number of a batch that is sent outside of this order.
    pub(super) fn next_batch(&mut self) -> u64 {
        self.batch += 1;
        self.batch
    }

    /// The engine was not reached: the batch is as it was before this call.
    pub(super) fn on_unsent(&mut self) {
        if let Some(flight) = &mut self.flight {
            flight.state = FlightState::Doubtful;
        }
    }

    /// The engine is asked afresh: the batch that was with it is in doubt.
    pub(super) fn on_reset(&mut self) {
        if let Some(flight) = &mut self.flight {
            if flight.state == FlightState::Sent {
                flight.given_up = true;
                for item in flight.items.iter() {
                    if let Some(sent) = self.sent.get_mut(&item.origin) {
                        sent.may_be_known = true;
                    }
                }
            }
            flight.state = FlightState::Doubtful;
        }
    }

    /// The history has everything that the engine had after the last reset. What was sent and is
    /// not among it is sent again: the doubtful batch under its number, because it may still be on
    /// its way; everything else in batches of their own.
    pub(super) fn on_caught_up(&mut self) {
        self.placed.clear();
        let mut doubtful = Vec::new();
        if let Some(flight) = self.flight.take() {
            let missing = |item: &&Item| self.sent.contains_key(&item.origin);
            let count = flight.items.iter().filter(missing).count();
            // A batch that is there in part died midway, and is not on its way any more.
            if count == flight.items.len() {
                doubtful = flight.items.iter().map(|item| item.origin).collect();
                let number = match skips(Rule::RepeatAsOne) {
                    true => self.next_batch(),
                    false => flight.number,
                };
                self.flight = Some(Flight {
                    number,
                    items: self.repeated(&doubtful),
                    ..flight
                });
            }
        }
        // What nobody waits for any more is not sent again.
        self.sent
            .retain(|origin, sent| sent.done.is_some() || sent.owed || doubtful.contains(origin));
        let others = self.sent.keys().filter(|origin| !doubtful.contains(origin));
        self.again = others.copied().collect();
    }

    /// Returns what is to be sent next, and makes it the batch that is with the engine. `traces` says
    /// whether all hubs read them.
    pub(super) fn next(&mut self, traces: bool) -> Option<&Flight> {
        let flight = match self.flight.take() {
            Some(flight) if flight.state == FlightState::Sent => {
                self.flight = Some(flight);
                return None;
            }
            Some(doubtful) => Some(doubtful),
            None => self.next_again().or_else(|| self.next_fresh(traces)),
        };
        let flight = Flight {
            state: FlightState::Sent,
            ..flight?
        };
        Some(self.flight.insert(flight))
    }

    /// The engine took the batch that was with it. Returns how many publishers' keys it knew.
    pub(super) fn on_taken(&mut self, places: &[Place]) -> u64 {
        let Some(flight) = self.flight.take() else {
            return 0;
        };
        let mut repeats = 0;
        for (item, place) in flight.items.iter().zip(places) {
            match place {
                Place::New(position) => {
                    if let Some(sent) = self.sent.get_mut(&item.origin) {
                        sent.may_be_known = true;
                        self.placed.insert(*position, item.origin);
                    }
                }
                Place::Known(position) => {
                    let Some(sent) = self.sent.remove(&item.origin) else {
                        continue;
                    };
                    repeats += u64::from(sent.note.key.is_some());
                    if let Some(done) = sent.done {
                        self.known.entry(*position).or_default().push(Waiter {
                            position: *position,
                            origin: item.origin,
                            done,
                        });
                    }
                }
            }
        }
        repeats
    }

    /// The engine took nothing of the batch that was with it, because it cannot take one of the items. The
    /// others are sent again in other batches. Nothing if the engine names none of the items.
    pub(super) fn on_too_large(&mut self, why: TooLarge, doubt: &RelayError) -> Option<Unfit> {
        let named = self.flight.as_ref()?.items.get(why.index)?.origin;
        let flight = self.flight.take()?;
        let origins = flight.items.iter().map(|item| item.origin);
        // If the call that was given up still arrives, what is sent in another batch is there twice: it
        // may have gone out without a key.
        let doubtful = flight.given_up;
        for origin in origins
            .clone()
            .filter(|origin| doubtful || *origin == named)
        {
            let Some(sent) = self.sent.get_mut(&origin) else {
                continue;
            };
            let told = match sent.may_be_known || doubtful {
                true => doubt.clone(),
                false => RelayError::TooLarge(why),
            };
            if let Some(done) = sent.done.take() {
                done(Err(told));
            }
        }
        let is_owed = |sent: &Sent| sent.owed;
        let unfit = match self.sent.get(&named).is_some_and(is_owed) {
            true if self.stranded.insert(named) => Unfit::Stranded(named),
            true => Unfit::StillStranded,
            false => Unfit::Refused,
        };
        for origin in origins.rev() {
            let sent = self.sent.get(&origin);
            match sent.is_some_and(|sent| sent.owed || sent.done.is_some()) {
                true if origin != named => self.again.push_front(origin),
                true => {}
                false => drop(self.sent.remove(&origin)),
            }
        }
        Some(unfit)
    }

    /// Has what the engine could not take sent again: its setting may have been changed.
    pub(super) fn retry_stranded(&mut self) {
        let flight = self.flight.iter().flat_map(|flight| flight.items.iter());
        let sent: BTreeSet<Origin> = flight.map(|item| item.origin).collect();
        let waiting: BTreeSet<Origin> = self.again.iter().copied().collect();
        self.stranded
            .retain(|origin| self.sent.contains_key(origin));
        let placed: BTreeSet<Origin> = self.placed.values().copied().collect();
        let idle = |origin: &&Origin| {
            !sent.contains(origin) && !waiting.contains(origin) && !placed.contains(origin)
        };
        self.again.extend(self.stranded.iter().filter(idle));
    }

    /// Takes those who wait for the entry that is about to be stored at `position`.
    pub(super) fn take_waiters(
        &mut self,
        position: Position,
        origin: Origin,
        waiters: &mut Vec<Waiter>,
    ) {
        let sent = self.sent.get_mut(&origin);
        if let Some(done) = sent.and_then(|sent| sent.done.take()) {
            waiters.push(Waiter {
                position,
                origin,
                done,
            });
        }
        waiters.extend(self.known.remove(&position).unwrap_or_default());
    }

    /// The entries of these were not stored: they come again.
    pub(super) fn put_back(&mut self, waiters: Vec<Waiter>) {
        for waiter in waiters {
            match self.sent.get_mut(&waiter.origin) {
                Some(sent) => sent.done = Some(waiter.done),
                None => self.known.entry(waiter.position).or_default().push(waiter),
            }
        }
    }

    /// These wait for what is stored already.
    pub(super) fn put_known(&mut self, waiters: Vec<Waiter>) {
        for waiter in waiters {
            self.known.entry(waiter.position).or_default().push(waiter);
        }
    }

    /// The line was cut: what a position stands for is not what it stood for, and what was adopted is nowhere
    /// else.
    pub(super) fn on_cut(&mut self, doubt: &RelayError) {
        for (note, item) in std::mem::take(&mut self.adopting) {
            let adopted = self.sent.entry(item.origin).or_insert(Sent {
                note,
                item,
                done: None,
                deadline: Duration::MAX,
                owed: true,
                may_be_known: true,
            });
            adopted.owed = true;
        }
        for waiter in std::mem::take(&mut self.known).into_values().flatten() {
            (waiter.done)(Err(doubt.clone()));
        }
    }

    /// These entries are stored. Returns whether they are what the engine said: otherwise it lost
    /// something, or this hub reads another line than it writes to.
    pub(super) fn on_stored(&mut self, stored: &[(Position, Origin)]) -> bool {
        for (_, origin) in stored {
            self.sent.remove(origin);
        }
        let Some((last, _)) = stored.last().copied() else {
            return true;
        };
        let mut as_said = true;
        while let Some(entry) = self.placed.first_entry() {
            if *entry.key() > last {
                break;
            }
            as_said &= !self.sent.contains_key(&entry.remove());
        }
        as_said
    }

    /// Returns the first position that somebody waits for and that is stored already.
    pub(super) fn first_known(&self, last: Position) -> Option<Position> {
        let position = self.known.keys().next()?;
        (*position <= last).then_some(*position)
    }

    /// Takes those who wait for something that is stored already.
    pub(super) fn take_known(&mut self, last: Position) -> Option<(Position, Vec<Waiter>)> {
        let entry = self.known.first_entry()?;
        (*entry.key() <= last).then(|| entry.remove_entry())
    }

    /// Makes a batch of what is to be sent again.
    fn next_again(&mut self) -> Option<Flight> {
        let mut origins = Vec::new();
        let mut bytes = 0;
        while origins.len() < BATCH_ITEMS_MAX
            && let Some(origin) = self.again.front().copied()
        {
            if let Some(sent) = self.sent.get(&origin) {
                bytes += sent.item.bytes.len() as u64;
                if bytes > BATCH_BYTES_MAX && !origins.is_empty() {
                    break;
                }
                origins.push(origin);
            }
            self.again.pop_front();
        }
        if origins.is_empty() {
            return None;
        }
        Some(Flight {
            number: self.next_batch(),
            items: self.repeated(&origins),
            state: FlightState::Sent,
            given_up: false,
        })
    }

    /// Returns items that may be there already, each with a key.
    fn repeated(&self, origins: &[Origin]) -> Arc<[Item]> {
        let sent = origins.iter().filter_map(|origin| self.sent.get(origin));
        sent.map(|sent| Item {
            key: match skips(Rule::RepeatAsOne) {
                true => sent.item.key.clone(),
                false => Some(sent.note.repeat_key()),
            },
            ..sent.item.clone()
        })
        .collect()
    }

    /// Makes a batch of what waits.
    fn next_fresh(&mut self, traces: bool) -> Option<Flight> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while taken.len() < BATCH_ITEMS_MAX
            && let Some(fresh) = self.fresh.pop_front_if(|fresh| {
                bytes += fresh.bytes;
                taken.is_empty() || bytes <= BATCH_BYTES_MAX
            })
        {
            taken.push(fresh);
        }
        if taken.is_empty() {
            return None;
        }
        let number = self.next_batch();
        let items: Arc<[Item]> = (0..)
            .zip(taken)
            .map(|(index, fresh)| self.send(number, index, fresh, traces))
            .collect();
        Some(Flight {
            number,
            items,
            state: FlightState::Sent,
            given_up: false,
        })
    }

    /// Makes the item of an update that is sent for the first time.
    fn send(&mut self, batch: u64, index: u32, fresh: Fresh, traces: bool) -> Item {
        let Publish {
            mut draft,
            key,
            done,
        } = fresh.publish;
        draft.trace = draft.trace.filter(|_trace| traces);
        self.fresh_bytes -= fresh.bytes;
        let origin = Origin {
            sender: self.me,
            batch,
            index,
        };
        let note = Note {
            origin,
            key: key.clone(),
        };
        let item = Item {
            origin,
            digest: self.keys.digest(&draft, &note.encode()),
            key: key.clone(),
            bytes: Envelope { draft, key }.encode().into(),
        };
        let sent = Sent {
            note,
            item: item.clone(),
            done: Some(done),
            deadline: fresh.deadline,
            owed: false,
            may_be_known: false,
        };
        self.sent.insert(origin, sent);
        item
    }
}
