//! The subscriptions of the other hubs of a cluster. The log says which there are: the table of every
//! hub is a fold of the events in it. Each subscription has one hub that publishes its events.
//!
//! ```text
//!                     begins                    ends
//! nothing ──────────────────────▶ There(run) ──────────▶ nothing
//!                                    │  that start is over
//!                                    ▼
//!                                   Here: said again and parked for the grace period, or ended
//! ```
//!
//! What a hub publishes itself it knows from its own table; it hears of it here as well, and looks
//! for what another hub did to its subscriptions, because it took this one for dead.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use tidings_cluster::engine::Sender;
use tidings_cluster::member::note::Note;
use tidings_core::matcher::{Matcher, MatcherType};
use tidings_core::position::Position;
use tidings_core::update::{Presence, Update};
use tidings_history::storage::Announced;
use tidings_wire::subscription_document::Document;
use tokio::time::Instant;

use super::{About, Member, Number, Outcome, Stale, Subscription, Table};

/// Who publishes the events of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// This hub.
    Here,
    /// This start of another one, which said so at this position.
    There(Sender, Position),
}

/// What the table knows about the cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    me: Sender,
    /// How many subscriptions other starts of hubs answer for.
    runs: HashMap<Sender, usize, RandomState>,
    /// Ends that this hub published and has not heard of yet: what it hears about them until then is
    /// older.
    ended: HashMap<Number, Position, RandomState>,
    /// Begins of this hub that it heard of while an event of theirs was on its way: that event, or one
    /// that a hub that left another line published anew, maybe after the end.
    begun: HashMap<Number, Position, RandomState>,
    /// The roll calls that this hub has not answered yet.
    calls: VecDeque<Position>,
    /// Matchers that were parsed lately: thousands of subscriptions may have the same.
    matchers: HashMap<(Box<str>, Box<str>), Option<Matcher>, RandomState>,
}

/// What the table says about an event that was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It knows of it.
    Noted,
    /// There was no room.
    NoRoom,
}

/// Parsed matchers that are remembered.
const MATCHERS_MAX: usize = 4096;

impl Cluster {
    /// This hub published an event, or could not. Returns where it heard meanwhile that the subscription
    /// begins.
    pub(super) fn on_result(
        &mut self,
        number: Number,
        event: Presence,
        outcome: Outcome,
    ) -> Option<Position> {
        if let (Presence::Ends, Outcome::Stored(position)) = (event, outcome) {
            // It will hear of it.
            self.ended.insert(number, position);
        }
        self.begun.remove(&number)
    }

    /// Returns the roll call that is answered next.
    pub(super) fn called(&self) -> Option<Position> {
        self.calls.front().copied()
    }

    /// A roll call was answered.
    pub(super) fn on_answered(&mut self) {
        self.calls.pop_front();
    }
}

impl Table {
    /// Makes this the table of a hub of a cluster, from what its history says.
    pub(crate) fn join(&mut self, me: Sender, announced: Vec<Announced>, now: Instant) -> usize {
        self.cluster = Some(Cluster {
            me,
            runs: HashMap::default(),
            ended: HashMap::default(),
            begun: HashMap::default(),
            calls: VecDeque::new(),
            matchers: HashMap::default(),
        });
        let mut own = Vec::new();
        for announced in announced {
            match announced.note.as_deref().and_then(run_of) {
                Some(run) if run.node != me.node => {
                    let at = announced.position.unwrap_or(Position::ZERO);
                    self.on_begun_elsewhere(&announced, run, at);
                }
                Some(_) | None => own.push(announced),
            }
        }
        self.take_over(own, now)
    }

    /// Returns the starts of other hubs, and how many subscriptions each answers for.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Sender> {
        let cluster = self.cluster.iter();
        cluster.flat_map(|cluster| cluster.runs.keys().copied())
    }

    /// Returns how many live subscriptions are this hub's own.
    pub(crate) fn own(&self) -> usize {
        let cluster = self.cluster.iter();
        let others: usize = cluster.flat_map(|cluster| cluster.runs.values()).sum();
        self.live.saturating_sub(others)
    }

    /// Another hub took this one for dead: it goes on as another start, and says again which
    /// subscriptions it has.
    pub(crate) fn on_start(&mut self, me: Sender) {
        if let Some(cluster) = &mut self.cluster {
            cluster.me = me;
        }
        self.say_again();
    }

    /// Publishes the begins of all own subscriptions again, for hubs alone.
    fn say_again(&mut self) {
        let own = |(number, entry): (&Number, &super::Entry)| {
            let said = entry.wanted && entry.announced && entry.home == Home::Here;
            said.then_some(*number)
        };
        let own: Vec<Number> = self.entries.iter().filter_map(own).collect();
        own.into_iter()
            .for_each(|number| self.say_one_again(number));
    }

    /// Tells the other hubs that this one answers for a subscriber.
    pub(super) fn say_for_hubs(&mut self, member: &Member) {
        if self.cluster.is_some() {
            let entries = member.entries.iter();
            entries.for_each(|number| self.say_one_again(*number));
        }
    }

    fn say_one_again(&mut self, number: Number) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.stale = entry.stale.max(Stale::ForHubs);
            self.queue(number);
        }
    }

    /// A hub asked at `position` which subscriptions the others have.
    pub(crate) fn on_roll_call(&mut self, position: Position) {
        if let Some(cluster) = &mut self.cluster {
            cluster.calls.push_back(position);
            self.say_again();
            self.pending.push_back(super::PRESENT);
        }
    }

    /// A start of a hub has said which subscriptions it has, after it was asked at `called`. The
    /// others of it that are here have ended.
    pub(crate) fn on_present(&mut self, run: Sender, called: Position) {
        let gone = |(number, entry): (&Number, &super::Entry)| match entry.home {
            Home::There(by, since) if by == run && since < called => Some(*number),
            Home::There(..) | Home::Here => None,
        };
        let gone: Vec<Number> = self.entries.iter().filter_map(gone).collect();
        for number in gone {
            self.forget(number);
        }
    }

    /// This hub answers for the subscriptions of a start that is over. Returns how many there are.
    pub(crate) fn take_over_run(&mut self, dead: Sender, now: Instant) -> usize {
        let of_dead = |(number, entry): (&Number, &super::Entry)| match entry.home {
            Home::There(run, _) if run == dead => Some(*number),
            Home::There(..) | Home::Here => None,
        };
        let numbers: Vec<Number> = self.entries.iter().filter_map(of_dead).collect();
        let count = numbers.len();
        self.adopt(numbers, now);
        count
    }

    /// Makes subscriptions of another hub this one's own. Their subscribers have left.
    fn adopt(&mut self, numbers: Vec<Number>, now: Instant) {
        let mut members: HashMap<Arc<str>, Member, RandomState> = HashMap::default();
        for number in numbers {
            self.set_home(number, Home::Here);
            let Some(entry) = self.entries.get(&number) else {
                continue;
            };
            match &entry.about {
                About::Subscription(subscription) => {
                    let subscriber = Arc::clone(&subscription.subscriber);
                    let member = members.entry(Arc::clone(&subscriber));
                    let member = member.or_insert_with(|| Member {
                        subscriber,
                        holder: subscription.holder,
                        entries: SmallVec::new(),
                    });
                    member.entries.push(number);
                }
                About::Ghost(_) => {
                    self.unlist(number);
                    self.queue(number);
                }
            }
        }
        for (_, member) in members {
            if member.may_come_back() && !self.options.grace.is_zero() {
                self.say_for_hubs(&member);
                self.park(member, now);
            } else {
                self.end_all(member);
            }
        }
    }

    /// Notes a presence event of the log.
    pub(crate) fn on_event(&mut self, update: &Update, now: Instant) -> Heard {
        let run = update.note.as_deref().and_then(run_of);
        let (Some(cluster), Some(run)) = (&self.cluster, run) else {
            return Heard::Noted;
        };
        let me = cluster.me;
        let Ok(document) = serde_json::from_str::<Document<'_>>(&update.data) else {
            return Heard::Noted;
        };
        let (kind, pattern) = (&document.match_type, &document.pattern);
        let number = self.shared_number(kind, pattern, &document.subscriber);
        match update.presence {
            Some(Presence::Begins(holder)) => {
                let announced = Announced {
                    topics: update.topics.clone(),
                    data: Arc::clone(&update.data),
                    holder,
                    note: update.note.clone(),
                    position: Some(update.position),
                };
                let at = update.position;
                if run.node == me.node {
                    self.on_own_begin(number, announced, at, now);
                    return Heard::Noted;
                }
                match self.home(number) {
                    Some(Home::Here) => self.on_begun_of_own(number, &announced, run, at),
                    Some(Home::There(..)) | None => {
                        return self.on_begun_elsewhere(&announced, run, at);
                    }
                }
            }
            Some(Presence::Ends) => self.on_ended_somewhere(number, run, update.position),
            None => {}
        }
        Heard::Noted
    }

    /// A begin that this hub published, or an earlier start of it.
    fn on_own_begin(&mut self, number: Number, announced: Announced, at: Position, now: Instant) {
        match self.home(number) {
            Some(Home::Here) => self.on_own_begin_again(number, at),
            // Another hub answered for it meanwhile.
            Some(Home::There(..)) => self.adopt(vec![number], now),
            None => {
                let cluster = self.cluster.as_ref();
                let older = cluster.and_then(|cluster| cluster.ended.get(&number));
                // Nobody here knows it: an earlier start was sending it, or was in doubt.
                if older.is_none_or(|end| *end < at) {
                    self.take_over(vec![announced], now);
                }
            }
        }
    }

    /// A begin of a subscription that is in the table. The hub expects it if it has just published it;
    /// otherwise a hub that left another line published it anew, after somebody had ended it.
    fn on_own_begin_again(&mut self, number: Number, at: Position) {
        let (Some(entry), Some(cluster)) = (self.entries.get_mut(&number), &mut self.cluster)
        else {
            return;
        };
        let ended_later = |end: &Position| *end >= at;
        if cluster.ended.get(&number).is_some_and(ended_later) {
            return;
        }
        if entry.publishing.is_some() {
            cluster.begun.insert(number, at);
            return;
        }
        if !entry.announced {
            entry.announced = true;
            // It may have come again for hubs alone, and others heard of the end.
            entry.stale = Stale::ForAll;
            self.queue(number);
        }
    }

    /// Another hub says that it has a subscription that this one answers for.
    fn on_begun_of_own(
        &mut self,
        number: Number,
        announced: &Announced,
        run: Sender,
        at: Position,
    ) {
        let Some(entry) = self.entries.get(&number) else {
            return;
        };
        // A session that is here keeps it: if the other one ends it, it begins again.
        if entry.wanted && !entry.parked {
            return;
        }
        if entry.parked {
            self.leave_park(number);
        }
        self.on_begun_elsewhere(announced, run, at);
    }

    /// The subscriber that left has lost this subscription.
    fn leave_park(&mut self, number: Number) {
        let has =
            |(_, (_, member)): &(&Number, &(Instant, Member))| member.entries.contains(&number);
        let Some(park) = self.parked.iter().find(has).map(|(park, _)| *park) else {
            return;
        };
        let Some((until, mut member)) = self.parked.remove(&park) else {
            return;
        };
        self.unpark(park, &member);
        member.entries.retain(|other| *other != number);
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.parked = false;
        }
        if member.may_come_back() {
            for key in self.recognised_by(&member) {
                self.parked_by_matcher.entry(key).or_default().insert(park);
            }
            self.parked.insert(park, (until, member));
        }
    }

    /// Another hub has a subscription.
    fn on_begun_elsewhere(&mut self, announced: &Announced, run: Sender, at: Position) -> Heard {
        let Ok(document) = serde_json::from_str::<Document<'_>>(&announced.data) else {
            return Heard::Noted;
        };
        let (kind, pattern) = (&*document.match_type, &*document.pattern);
        let number = self.shared_number(kind, pattern, &document.subscriber);
        let about = match self.matcher(kind, pattern) {
            Some(matcher) => About::Subscription(Subscription {
                subscriber: (&*document.subscriber).into(),
                matcher,
                payload: document.payload.map(|payload| payload.get().into()),
                holder: announced.holder,
                changed: 0,
            }),
            // A newer hub has another kind of matcher. It is not listed here.
            None => About::Ghost(announced.clone()),
        };
        if !self.entries.contains_key(&number) {
            if self.live >= self.options.subscriptions_max {
                return Heard::NoRoom;
            }
            self.add(number, about, true, true);
        } else {
            if self.entries.get(&number).is_some_and(|entry| entry.wanted) {
                self.unlist(number);
            }
            if let Some(entry) = self.entries.get_mut(&number) {
                entry.about = about;
                (entry.wanted, entry.announced) = (true, true);
                entry.stale = Stale::No;
            }
        }
        self.set_home(number, Home::There(run, at));
        self.index(number);
        Heard::Noted
    }

    fn on_ended_somewhere(&mut self, number: Number, run: Sender, at: Position) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        if cluster.ended.get(&number).is_some_and(|end| *end <= at) {
            cluster.ended.remove(&number);
        }
        if cluster.begun.get(&number).is_some_and(|begun| *begun < at) {
            cluster.begun.remove(&number);
        }
        let own = run == cluster.me;
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        match entry.home {
            Home::There(..) => self.forget(number),
            // Its result says the same.
            Home::Here if own => {}
            Home::Here if entry.parked => {
                self.leave_park(number);
                self.unlist(number);
                if let Some(entry) = self.entries.get_mut(&number) {
                    entry.announced = false;
                }
                self.queue(number);
            }
            // Whoever ended it took this hub for dead. If it is wanted, it begins again.
            Home::Here => {
                entry.announced = false;
                self.queue(number);
            }
        }
    }

    /// Forgets a subscription of another hub.
    fn forget(&mut self, number: Number) {
        if self.entries.get(&number).is_some_and(|entry| entry.wanted) {
            self.unlist(number);
        }
        self.set_home(number, Home::Here);
        match self.entries.get_mut(&number) {
            // The result of an event is on its way.
            Some(entry) if entry.publishing.is_some() => entry.announced = false,
            Some(_) | None => drop(self.entries.remove(&number)),
        }
    }

    fn home(&self, number: Number) -> Option<Home> {
        self.entries.get(&number).map(|entry| entry.home)
    }

    pub(super) fn set_home(&mut self, number: Number, home: Home) {
        let (Some(entry), Some(cluster)) = (self.entries.get_mut(&number), &mut self.cluster)
        else {
            return;
        };
        if let Home::There(run, _) = entry.home
            && let Some(count) = cluster.runs.get_mut(&run)
        {
            *count -= 1;
            if *count == 0 {
                cluster.runs.remove(&run);
            }
        }
        if let Home::There(run, _) = home {
            *cluster.runs.entry(run).or_default() += 1;
        }
        entry.home = home;
    }

    /// Returns the number of a subscription, which is the same on every hub.
    pub(super) fn shared_number(&self, kind: &str, pattern: &str, subscriber: &str) -> Number {
        self.holders.mark(&[kind, pattern, subscriber]).max(1)
    }

    fn matcher(&mut self, kind: &str, pattern: &str) -> Option<Matcher> {
        let hub = &self.hub;
        let cluster = self.cluster.as_mut()?;
        if cluster.matchers.len() >= MATCHERS_MAX {
            cluster.matchers.clear();
        }
        let parsed = cluster.matchers.entry((kind.into(), pattern.into()));
        let parsed = parsed.or_insert_with_key(|(kind, pattern)| {
            let kind = MatcherType::from_hubs_name(kind)?;
            Matcher::parse(kind, pattern, hub).ok()
        });
        parsed.clone()
    }
}

/// Returns the start of the hub that accepted what has this note.
pub(crate) fn run_of(note: &[u8]) -> Option<Sender> {
    Note::decode(note).map(|note| note.origin.sender)
}

#[cfg(test)]
mod tests;
