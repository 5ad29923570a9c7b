//! The live subscriptions, and what was published about them. This file has no thread, clock or queue.
//!
//! ```text
//!            joins                        leaves
//! nothing ───────▶ wanted, not announced ────────▶ forgotten: nobody heard of it
//!                        │ begin published
//!                        ▼
//!                  wanted, announced ────────────▶ unwanted, announced ──end published──▶ forgotten
//! ```
//!
//! `wanted` changes at once. `announced` follows as fast as the history accepts events. So a burst of joins and
//! leaves costs at most one entry per subscription, and in the end both agree.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use tidings_auth::Identity;
use tidings_core::dialect::Dialect;
use tidings_core::holder::{Holder, HolderKey};
use tidings_core::hub::SubscriberId;
use tidings_core::hub_url::HubUrl;
use tidings_core::matcher::Matcher;
use tidings_core::position::Position;
use tidings_core::subject::Subject;
use tidings_core::update::{Draft, Presence, Visibility};
use tidings_history::storage::Announced;
use tokio::time::Instant;

use self::draft::draft;
use self::others::{Cluster, Home};
pub(crate) use self::others::{Heard, run_of};
use super::Options;
use crate::control::Message;

/// A session, within the whole process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub(crate) shard: usize,
    pub(crate) id: SubscriberId,
}

/// A session that began, or its present matchers and identity.
#[derive(Debug)]
pub struct Joined {
    pub(crate) key: Key,
    pub(crate) matchers: Box<[Matcher]>,
    pub(crate) identity: Option<Arc<Identity>>,
}

/// The number of a subscription. Later ones have greater numbers.
pub(crate) type Number = u64;

/// One live subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) subscriber: Arc<str>,
    pub(crate) matcher: Matcher,
    /// A JSON object, as text.
    pub(crate) payload: Option<Arc<str>>,
    /// The holder of its token, which may come back for it.
    holder: Option<Holder>,
    /// A number that stands for all of this: another one as soon as anything changes.
    pub(crate) changed: u64,
}

/// The live subscriptions of one matcher.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) numbers: BTreeSet<Number>,
    /// The sum of their own numbers for this.
    pub(crate) changed: u64,
}

/// The state of one subscription: what it should be, and what was published about it.
#[derive(Debug)]
struct Entry {
    about: About,
    /// Whether it is live, or may still come back within the grace period.
    wanted: bool,
    /// Whether its begin was published.
    announced: bool,
    /// Whether the published begin is outdated.
    stale: Stale,
    /// Who publishes its events.
    home: Home,
    /// Whether its subscriber left and may come back.
    parked: bool,
    /// The event that is on its way into the history.
    publishing: Option<Presence>,
    /// Whether it waits in `pending`.
    queued: bool,
    /// Whether its last event was larger than the engine takes.
    too_large: bool,
    /// Whether it waits in `aside`.
    aside: bool,
}

/// Whether a begin that was published has to be published again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stale {
    No,
    /// For hubs alone: another hub asked, or this one answers for it from now on.
    ForHubs,
    /// For everybody: its payload or its holder changed.
    ForAll,
}

#[derive(Debug)]
enum About {
    Subscription(Subscription),
    /// A subscription that an earlier process announced and did not end, and that nobody comes back for.
    Ghost(Announced),
}

/// The subscriptions of one session, or of a subscriber that may come back.
#[derive(Debug)]
struct Member {
    subscriber: Arc<str>,
    holder: Option<Holder>,
    entries: SmallVec<[Number; 1]>,
}

/// Stands in `pending` for the end of an answer to a roll call.
const PRESENT: Number = 0;

/// Subscribers that left last and are candidates for a returning one, for each of its matchers.
const CANDIDATES_MAX: usize = 16;

/// Returns random bytes for the next subscriber's identifier.
pub(crate) type Random = Box<dyn FnMut() -> [u8; 16] + Send>;

/// All subscriptions.
pub(crate) struct Table {
    options: Options,
    hub: HubUrl,
    random: Random,
    next: Number,
    members: HashMap<Key, Member, RandomState>,
    /// Subscribers that left and may come back, by number, with the end of the grace period.
    parked: BTreeMap<Number, (Instant, Member)>,
    /// The same by holder and by each matcher. Thousands may have the same token.
    parked_by_matcher: HashMap<(Holder, Matcher), BTreeSet<Number>, RandomState>,
    /// Derives holders from a token's issuer and subject, and numbers from texts.
    holders: HolderKey,
    /// The other hubs, if there are any.
    cluster: Option<Cluster>,
    /// Whether the hub is being stopped, so that no subscriber can come back in time.
    draining: bool,
    entries: BTreeMap<Number, Entry>,
    by_matcher: HashMap<Matcher, Listed, RandomState>,
    by_subscriber: HashMap<Arc<str>, SmallVec<[Number; 1]>, RandomState>,
    /// Entries that may need an event, oldest first.
    pending: VecDeque<Number>,
    /// Entries whose event was too large, and when it is tried again; the first is due first.
    aside: VecDeque<(Instant, Number)>,
    /// Events on their way into the history.
    publishing: usize,
    /// The sum of the numbers for the contents of the live subscriptions.
    version: u64,
    live: usize,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("live", &self.live)
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

impl Table {
    /// Makes a table without subscriptions.
    pub(crate) fn new(options: Options, hub: HubUrl, random: Random, holders: HolderKey) -> Self {
        Self {
            options,
            hub,
            random,
            next: 1,
            members: HashMap::default(),
            parked: BTreeMap::new(),
            parked_by_matcher: HashMap::default(),
            holders,
            cluster: None,
            draining: false,
            entries: BTreeMap::new(),
            by_matcher: HashMap::default(),
            by_subscriber: HashMap::default(),
            pending: VecDeque::new(),
            aside: VecDeque::new(),
            publishing: 0,
            version: 0,
            live: 0,
        }
    }

    /// Returns how many subscriptions are live.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Returns a number that changes with the live subscriptions, and is the same on every hub that has the
    /// same.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Returns whether every event was published.
    pub(crate) fn is_quiet(&self) -> bool {
        self.pending.is_empty() && self.publishing == 0
    }

    /// Adds or changes a subscriber. Returns for how many of its subscriptions there was no room.
    pub(crate) fn on_joined(&mut self, joined: Joined) -> usize {
        let Joined {
            key,
            matchers,
            identity,
        } = joined;
        let holder = identity.as_ref().and_then(|identity| self.holder(identity));
        let known = self.members.remove(&key);
        let known = known.or_else(|| self.returning(holder, &matchers));
        let mut member = known.unwrap_or_else(|| {
            let bytes = (self.random)();
            let uuid = uuid::Builder::from_random_bytes(bytes).into_uuid();
            Member {
                subscriber: format!("urn:uuid:{}", uuid.hyphenated()).into(),
                holder: None,
                entries: SmallVec::new(),
            }
        });
        member.holder = holder;
        let mut before = std::mem::take(&mut member.entries);
        let mut refused = 0;
        for matcher in &matchers {
            let payload = self.payload(identity.as_deref(), matcher);
            let known = before
                .iter()
                .position(|number| self.is_of(*number, matcher));
            if let Some(index) = known {
                let number = before.remove(index);
                self.renew(number, payload, holder);
                member.entries.push(number);
            } else if self.live < self.options.subscriptions_max {
                let number = self.begin(Subscription {
                    subscriber: Arc::clone(&member.subscriber),
                    matcher: matcher.clone(),
                    payload,
                    holder,
                    changed: 0,
                });
                member.entries.push(number);
            } else {
                refused += 1;
            }
        }
        for number in before {
            self.end(number);
        }
        self.members.insert(key, member);
        refused
    }

    /// Changes the grace period of subscribers that leave from now on.
    pub(crate) fn set_grace(&mut self, grace: Duration) {
        self.options.grace = grace;
    }

    /// Removes a subscriber: at once, or after the grace period if it can be recognised when it comes back.
    pub(crate) fn on_left(&mut self, key: Key, now: Instant) {
        let Some(member) = self.members.remove(&key) else {
            return;
        };
        if member.may_come_back() {
            self.park(member, now);
        } else {
            self.end_all(member);
        }
    }

    fn park(&mut self, member: Member, now: Instant) {
        let number = self.take_number();
        self.set_parked(&member, true);
        for key in self.recognised_by(&member) {
            self.parked_by_matcher
                .entry(key)
                .or_default()
                .insert(number);
        }
        let until = now + self.options.grace;
        self.parked.insert(number, (until, member));
    }

    /// Ends no grace period any more: the hub is being stopped, and nobody can come back.
    pub(crate) fn on_drain(&mut self) {
        self.draining = true;
    }

    /// Returns when [`on_timeout`](Self::on_timeout) is to be called.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        let aside = self.aside.front().map(|(until, _)| *until);
        self.grace_ends().into_iter().chain(aside).min()
    }

    fn grace_ends(&self) -> Option<Instant> {
        if self.draining {
            return None;
        }
        // All wait equally long, so the first that left is due first.
        self.parked.first_key_value().map(|(_, (until, _))| *until)
    }

    /// Ends the subscriptions of those who did not come back in time, and has events tried again that were
    /// too large.
    pub(crate) fn on_timeout(&mut self, now: Instant) {
        while let Some((_, number)) = self.aside.pop_front_if(|(until, _)| *until <= now) {
            if number == PRESENT {
                self.pending.push_back(PRESENT);
            } else if let Some(entry) = self.entries.get_mut(&number) {
                entry.aside = false;
                self.queue(number);
            }
        }
        while self.grace_ends().is_some_and(|until| until <= now) {
            let Some((number, (_, member))) = self.parked.pop_first() else {
                return;
            };
            self.unpark(number, &member);
            self.end_all(member);
        }
    }

    /// Ends every subscription that cannot be resumed after the next start, because the hub ends.
    pub(crate) fn on_stop(&mut self) {
        self.draining = true;
        let members = self.members.drain().map(|(_, member)| member);
        let ending: Vec<Member> = members.filter(|member| !member.may_come_back()).collect();
        for member in ending {
            self.end_all(member);
        }
    }

    /// Returns the next event, if there is one. Its result comes to [`on_published`](Self::on_published).
    pub(crate) fn next_event(&mut self) -> Option<(Number, Draft)> {
        while let Some(number) = self.pending.pop_front() {
            if number == PRESENT {
                let called = self.cluster.as_ref().and_then(Cluster::called);
                let Some(called) = called else {
                    continue;
                };
                self.publishing += 1;
                let called = called.get();
                return Some((PRESENT, Message::Present { called }.draft(&self.hub)));
            }
            let Some(entry) = self.entries.get_mut(&number) else {
                continue;
            };
            entry.queued = false;
            if entry.publishing.is_some() {
                continue;
            }
            if entry.home != Home::Here {
                continue;
            }
            let presence = match (entry.wanted, entry.announced) {
                (true, announced) if !announced || entry.stale > Stale::No => {
                    Presence::Begins(entry.about.holder())
                }
                (false, true) => Presence::Ends,
                (true, _) => continue,
                (false, false) => {
                    self.entries.remove(&number);
                    continue;
                }
            };
            let for_hubs = entry.wanted && entry.announced && entry.stale == Stale::ForHubs;
            entry.publishing = Some(presence);
            entry.stale = Stale::No;
            self.publishing += 1;
            let mut draft = draft(&entry.about, presence, &self.hub, self.options.old_paths);
            if for_hubs {
                draft.visibility = Visibility::Hubs;
            }
            return Some((number, draft));
        }
        None
    }

    /// Handles the result of an event. If it was not stored, it is published again.
    pub(crate) fn on_published(&mut self, number: Number, outcome: Outcome) {
        if number == PRESENT {
            self.publishing -= 1;
            match (outcome, &mut self.cluster) {
                (Outcome::Stored(_), Some(cluster)) => cluster.on_answered(),
                (Outcome::Stored(_), None) => {}
                (Outcome::Refused | Outcome::InDoubt, _) => self.pending.push_back(PRESENT),
            }
            return;
        }
        self.settle(number, outcome);
        self.queue(number);
    }

    /// Handles that the engine takes no event of this size. Only this one waits: it is published again at
    /// `until`, or as soon as the subscription changes. Returns the subscription, the first time.
    pub(crate) fn on_too_large(&mut self, number: Number, until: Instant) -> Option<String> {
        if number == PRESENT {
            self.publishing -= 1;
            self.aside.push_back((until, PRESENT));
            return None;
        }
        let entry = self.entries.get(&number)?;
        let was_begin = matches!(entry.publishing, Some(Presence::Begins(_)));
        let changed = entry.wanted != was_begin || entry.stale > Stale::No;
        self.settle(number, Outcome::Refused);
        if changed {
            self.queue(number);
        }
        let entry = self.entries.get_mut(&number)?;
        if !changed && !std::mem::replace(&mut entry.aside, true) {
            self.aside.push_back((until, number));
        }
        let is_first = !std::mem::replace(&mut entry.too_large, true);
        is_first.then(|| match &entry.about {
            About::Subscription(subscription) => subscription.path(self.hub.path(), Dialect::V1),
            About::Ghost(announced) => announced.topics.canonical().to_string(),
        })
    }

    /// Notes what became of the event of an entry.
    fn settle(&mut self, number: Number, outcome: Outcome) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        let Some(presence) = entry.publishing.take() else {
            return;
        };
        self.publishing -= 1;
        if let Outcome::Stored(_) = outcome {
            entry.too_large = false;
        }
        let cluster = self.cluster.as_mut();
        let begun = cluster.and_then(|cluster| cluster.on_result(number, presence, outcome));
        match (presence, outcome) {
            (Presence::Begins(_), Outcome::Stored(_)) => entry.announced = true,
            // A begin after it has to be ended as well.
            (Presence::Ends, Outcome::Stored(position)) => {
                entry.announced = begun.is_some_and(|begun| begun > position);
            }
            // Others may have heard of it: it has to be ended if it is not wanted any more.
            (Presence::Begins(_), Outcome::InDoubt) => {
                (entry.announced, entry.stale) = (true, Stale::ForAll);
            }
            // It is published again, whether for the first time or not.
            (Presence::Begins(_), Outcome::Refused) if entry.announced || begun.is_some() => {
                (entry.announced, entry.stale) = (true, Stale::ForAll);
            }
            (Presence::Begins(_), Outcome::Refused) => {}
            (Presence::Ends, Outcome::Refused | Outcome::InDoubt) => {
                entry.announced |= begun.is_some();
            }
        }
    }

    /// Returns the live subscription of this number.
    pub(crate) fn get(&self, number: Number) -> Option<&Subscription> {
        let entry = self.entries.get(&number).filter(|entry| entry.wanted)?;
        match &entry.about {
            About::Subscription(subscription) => Some(subscription),
            About::Ghost(_) => None,
        }
    }

    /// Returns the live subscriptions after `after`, oldest first.
    pub(crate) fn after(&self, after: Number) -> impl Iterator<Item = (Number, &Subscription)> {
        let numbers = self.entries.range(after.saturating_add(1)..);
        numbers.filter_map(|(number, _)| Some((*number, self.get(*number)?)))
    }

    /// Returns the live subscriptions with exactly this matcher.
    pub(crate) fn of_matcher(&self, matcher: &Matcher) -> Option<&Listed> {
        self.by_matcher.get(matcher)
    }

    /// Returns the live subscriptions of a subscriber.
    pub(crate) fn of_subscriber(&self, subscriber: &str) -> &[Number] {
        self.by_subscriber
            .get(subscriber)
            .map_or(&[], SmallVec::as_slice)
    }

    /// Returns the holder of a token, if it may come back for its subscriptions.
    fn holder(&self, identity: &Identity) -> Option<Holder> {
        if self.options.grace.is_zero() {
            return None;
        }
        let subject = identity.subject.as_ref()?;
        Some(self.holders.holder(&identity.issuer, subject))
    }

    /// Takes back the subscriber of `holder` that left lately and has most of these matchers.
    fn returning(&mut self, holder: Option<Holder>, matchers: &[Matcher]) -> Option<Member> {
        let holder = holder.filter(|_| !self.parked.is_empty())?;
        let mut counts: HashMap<Number, usize, RandomState> = HashMap::default();
        for matcher in matchers {
            let key = (holder, matcher.clone());
            let parked = self.parked_by_matcher.get(&key).into_iter().flatten();
            for number in parked.rev().take(CANDIDATES_MAX) {
                *counts.entry(*number).or_default() += 1;
            }
        }
        let fit = |(number, count): (Number, usize)| {
            let (_, member) = self.parked.get(&number)?;
            let others = member.entries.len().saturating_sub(count);
            Some((count, std::cmp::Reverse(others), number))
        };
        let (_, _, best) = counts.into_iter().filter_map(fit).max()?;
        let (_, member) = self.parked.remove(&best)?;
        self.unpark(best, &member);
        self.set_parked(&member, false);
        Some(member)
    }

    fn unpark(&mut self, number: Number, member: &Member) {
        for key in self.recognised_by(member) {
            if let Some(numbers) = self.parked_by_matcher.get_mut(&key) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.parked_by_matcher.remove(&key);
                }
            }
        }
    }

    /// Returns the keys by which a subscriber is found when it comes back.
    fn recognised_by(&self, member: &Member) -> Vec<(Holder, Matcher)> {
        let Some(holder) = member.holder else {
            return Vec::new();
        };
        let found = member.entries.iter().filter_map(|number| self.get(*number));
        found
            .map(|subscription| (holder, subscription.matcher.clone()))
            .collect()
    }

    fn is_of(&self, number: Number, matcher: &Matcher) -> bool {
        self.get(number)
            .is_some_and(|subscription| subscription.matcher == *matcher)
    }

    /// Returns a token's payload for a subscription. The matcher's pattern is taken as a topic.
    ///
    /// Mercure, "Payloads".
    fn payload(&self, identity: Option<&Identity>, matcher: &Matcher) -> Option<Arc<str>> {
        let subject = Subject::from_text(matcher.pattern(), &self.hub);
        identity?.grants.payload_for(&subject).map(Arc::from)
    }

    /// Begins a subscription of this hub. Returns its number.
    fn begin(&mut self, subscription: Subscription) -> Number {
        let number = self.number_of(&subscription);
        match self.entries.get_mut(&number) {
            // A subscriber may name a matcher twice.
            Some(entry) if entry.wanted && entry.home == Home::Here => return number,
            Some(entry) => {
                // It ends, or another hub has it.
                let was_listed = entry.wanted;
                entry.stale = match entry.announced {
                    true => Stale::ForAll,
                    false => Stale::No,
                };
                if was_listed {
                    self.unlist(number);
                }
                self.set_home(number, Home::Here);
                self.relist(number, subscription);
            }
            None => self.list(number, subscription, false, Home::Here),
        }
        self.queue(number);
        number
    }

    /// Adds a live subscription, which was `announced` or not.
    fn list(&mut self, number: Number, subscription: Subscription, announced: bool, home: Home) {
        let about = About::Subscription(subscription);
        self.add(number, about, true, announced);
        self.set_home(number, home);
        self.index(number);
    }

    /// Makes a subscription that ended a live one again.
    fn relist(&mut self, number: Number, subscription: Subscription) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.about = About::Subscription(subscription);
            entry.wanted = true;
            entry.parked = false;
        }
        self.index(number);
    }

    /// Adds a subscription to what questions are answered from.
    fn index(&mut self, number: Number) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        let About::Subscription(subscription) = &mut entry.about else {
            return;
        };
        subscription.changed = subscription.mark(&self.holders);
        self.version = self.version.wrapping_add(subscription.changed);
        let listed = self.by_matcher.entry(subscription.matcher.clone());
        let listed = listed.or_default();
        listed.numbers.insert(number);
        listed.changed = listed.changed.wrapping_add(subscription.changed);
        let subscriber = Arc::clone(&subscription.subscriber);
        self.by_subscriber
            .entry(subscriber)
            .or_default()
            .push(number);
        self.live += 1;
    }

    fn add(&mut self, number: Number, about: About, wanted: bool, announced: bool) {
        let entry = Entry {
            about,
            wanted,
            announced,
            stale: Stale::No,
            home: Home::Here,
            parked: false,
            publishing: None,
            queued: false,
            too_large: false,
            aside: false,
        };
        self.entries.insert(number, entry);
    }

    /// Returns the number of a subscription: in a cluster the same on every hub, so that each of them knows
    /// where a page ends that another one gave.
    fn number_of(&mut self, subscription: &Subscription) -> Number {
        let Subscription {
            matcher,
            subscriber,
            ..
        } = subscription;
        match self.cluster {
            Some(_) => self.shared_number(matcher.kind().name(), matcher.pattern(), subscriber),
            None => self.take_number(),
        }
    }

    fn set_parked(&mut self, member: &Member, parked: bool) {
        for number in &member.entries {
            if let Some(entry) = self.entries.get_mut(number) {
                entry.parked = parked;
            }
        }
    }

    /// Keeps a subscription, perhaps with another payload or holder.
    fn renew(&mut self, number: Number, payload: Option<Arc<str>>, holder: Option<Holder>) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        let About::Subscription(subscription) = &mut entry.about else {
            return;
        };
        if subscription.holder != holder {
            // Noted with the event that says of it that it began.
            subscription.holder = holder;
            entry.stale = Stale::ForAll;
        }
        if subscription.payload != payload {
            subscription.payload = payload;
            entry.stale = Stale::ForAll;
            self.remark(number);
        }
        if self
            .entries
            .get(&number)
            .is_some_and(|entry| entry.stale > Stale::No)
        {
            self.queue(number);
        }
    }

    /// Takes note of what changed about a live subscription.
    fn remark(&mut self, number: Number) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        let About::Subscription(subscription) = &mut entry.about else {
            return;
        };
        let before = subscription.changed;
        subscription.changed = subscription.mark(&self.holders);
        let by = subscription.changed.wrapping_sub(before);
        self.version = self.version.wrapping_add(by);
        if let Some(listed) = self.by_matcher.get_mut(&subscription.matcher) {
            listed.changed = listed.changed.wrapping_add(by);
        }
    }

    fn end_all(&mut self, member: Member) {
        for number in member.entries {
            self.end(number);
        }
    }

    fn end(&mut self, number: Number) {
        let here = |entry: &&mut Entry| entry.wanted && entry.home == Home::Here;
        if self.entries.get_mut(&number).filter(here).is_none() {
            return;
        }
        self.unlist(number);
        self.queue(number);
    }

    /// Takes a live subscription out of what questions are answered from.
    fn unlist(&mut self, number: Number) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        entry.wanted = false;
        entry.parked = false;
        let About::Subscription(subscription) = &entry.about else {
            return;
        };
        self.version = self.version.wrapping_sub(subscription.changed);
        if let Some(listed) = self.by_matcher.get_mut(&subscription.matcher) {
            listed.numbers.remove(&number);
            listed.changed = listed.changed.wrapping_sub(subscription.changed);
            if listed.numbers.is_empty() {
                self.by_matcher.remove(&subscription.matcher);
            }
        }
        if let Some(numbers) = self.by_subscriber.get_mut(&subscription.subscriber) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.by_subscriber.remove(&subscription.subscriber);
            }
        }
        self.live -= 1;
    }

    fn queue(&mut self, number: Number) {
        if let Some(entry) = self.entries.get_mut(&number).filter(|entry| !entry.queued) {
            entry.queued = true;
            self.pending.push_back(number);
        }
    }

    fn take_number(&mut self) -> Number {
        let number = self.next;
        self.next += 1;
        number
    }
}

impl Subscription {
    /// Returns a number that stands for everything that a document shows of it.
    fn mark(&self, key: &HolderKey) -> u64 {
        let kind = self.matcher.kind().name();
        let texts = [kind, self.matcher.pattern(), &self.subscriber];
        match self.payload.as_deref() {
            None => key.mark(&texts),
            Some(payload) => key.mark(&[kind, self.matcher.pattern(), &self.subscriber, payload]),
        }
    }
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is stored, at this position.
    Stored(Position),
    /// It is not.
    Refused,
    /// It may be.
    InDoubt,
}

impl Member {
    /// Returns whether it can be recognised when it comes back: by its token, and by one of its matchers.
    fn may_come_back(&self) -> bool {
        self.holder.is_some() && !self.entries.is_empty()
    }
}

impl About {
    fn holder(&self) -> Option<Holder> {
        match self {
            Self::Subscription(subscription) => subscription.holder,
            Self::Ghost(_) => None,
        }
    }
}

mod draft;
mod ghosts;
mod others;

#[cfg(test)]
mod tests;
