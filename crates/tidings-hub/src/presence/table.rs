//! The live subscriptions, and what was published about them. This file has no thread, clock or queue.
//!
//! ```text
//!            joins                        leaves
//! nothing ─────────▶ wanted, not said ───────────▶ forgotten: nobody heard of it
//!                        │ said                    
//!                        ▼                         
//!                    wanted, said ───────────────▶ unwanted, said ──said──▶ forgotten
//! ```
//!
//! `wanted` changes at once; `said` follows as fast as the history accepts events. So a burst of joins and
//! leaves costs at most one entry per subscription, and in the end both agree.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use tidings_auth::Identity;
use tidings_core::holder::{Holder, HolderKey};
use tidings_core::hub::SubscriberId;
use tidings_core::hub_url::HubUrl;
use tidings_core::matcher::Matcher;
use tidings_core::subject::Subject;
use tidings_core::update::{Draft, Presence};
use tidings_history::storage::Announced;
use tokio::time::Instant;

use self::draft::draft;
use super::Options;

/// A session, within the whole process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub(crate) shard: usize,
    pub(crate) id: SubscriberId,
}

/// A subscriber that began, or what it asks for now.
#[derive(Debug)]
pub struct Joined {
    pub(crate) key: Key,
    pub(crate) matchers: Box<[Matcher]>,
    pub(crate) identity: Option<Arc<Identity>>,
}

/// The place of a subscription among all: later ones have greater numbers.
pub(crate) type Number = u64;

/// One live subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) subscriber: Arc<str>,
    pub(crate) matcher: Matcher,
    /// The text of a JSON object.
    pub(crate) payload: Option<Arc<str>>,
    /// Who may come back for it.
    holder: Option<Holder>,
    /// The version of the table at which it became what it is.
    pub(crate) changed: u64,
}

/// The live subscriptions of one matcher.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) numbers: BTreeSet<Number>,
    /// The version of the table at which they became what they are.
    pub(crate) changed: u64,
}

/// What is to be said of one subscription.
#[derive(Debug)]
struct Entry {
    about: About,
    /// Whether it is live, or may still come back within the grace period.
    wanted: bool,
    /// Whether the world was told that it began.
    said: bool,
    /// Whether what was said is no longer right: its payload or its holder changed.
    stale: bool,
    /// What is being said now.
    saying: Option<Presence>,
    /// Whether it waits in `unsaid`.
    queued: bool,
}

#[derive(Debug)]
enum About {
    Subscription(Subscription),
    /// What an earlier process said and did not take back, and nobody comes back for.
    Ghost(Announced),
}

/// One connection's subscriptions, or those of one that may come back.
#[derive(Debug)]
struct Member {
    subscriber: Arc<str>,
    holder: Option<Holder>,
    entries: SmallVec<[Number; 1]>,
}

/// Those who left last that are looked at, for each matcher of one that may be one of them.
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
    /// Those who left and may come back, by their number, with the end of the grace period.
    parked: BTreeMap<Number, (Instant, Member)>,
    /// The same by whom they are and by each of their matchers. Thousands may have one token.
    parked_by_matcher: HashMap<(Holder, Matcher), BTreeSet<Number>, RandomState>,
    /// Makes holders of tokens: of issuer and subject.
    holders: HolderKey,
    /// Whether the hub is being stopped, so that nobody can come back in time.
    draining: bool,
    entries: BTreeMap<Number, Entry>,
    by_matcher: HashMap<Matcher, Listed, RandomState>,
    by_subscriber: HashMap<Arc<str>, SmallVec<[Number; 1]>, RandomState>,
    /// Entries about which something may be to be said, oldest first.
    unsaid: VecDeque<Number>,
    saying: usize,
    /// Grows with every change of what is live.
    version: u64,
    live: usize,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("live", &self.live)
            .field("unsaid", &self.unsaid.len())
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
            draining: false,
            entries: BTreeMap::new(),
            by_matcher: HashMap::default(),
            by_subscriber: HashMap::default(),
            unsaid: VecDeque::new(),
            saying: 0,
            version: 0,
            live: 0,
        }
    }

    /// Returns how many subscriptions are live.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Returns a number that differs whenever what is live does.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Returns whether all that is to be said was said.
    pub(crate) fn is_quiet(&self) -> bool {
        self.unsaid.is_empty() && self.saying == 0
    }

    /// Takes in a subscriber, or what one asks for now. Returns how many of its subscriptions there was no room for.
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

    /// Lets a subscriber go: at once, or after the grace period if it may be recognised by then.
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
        for key in self.recognised_by(&member) {
            self.parked_by_matcher
                .entry(key)
                .or_default()
                .insert(number);
        }
        let until = now + self.options.grace;
        self.parked.insert(number, (until, member));
    }

    /// Lets nobody's grace period end any more: the hub is being stopped, and takes nobody in.
    pub(crate) fn on_drain(&mut self) {
        self.draining = true;
    }

    /// Returns when [`on_timeout`](Self::on_timeout) is to be called.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        if self.draining {
            return None;
        }
        // All wait equally long, so the first that left is the first to go.
        self.parked.first_key_value().map(|(_, (until, _))| *until)
    }

    /// Ends those who did not come back in time.
    pub(crate) fn on_timeout(&mut self, now: Instant) {
        while self.timeout().is_some_and(|until| until <= now) {
            let Some((number, (_, member))) = self.parked.pop_first() else {
                return;
            };
            self.unpark(number, &member);
            self.end_all(member);
        }
    }

    /// Ends everything that nobody can come back for after the next start, because the hub ends.
    pub(crate) fn on_stop(&mut self) {
        self.draining = true;
        let members = self.members.drain().map(|(_, member)| member);
        let ending: Vec<Member> = members.filter(|member| !member.may_come_back()).collect();
        for member in ending {
            self.end_all(member);
        }
    }

    /// Returns what is to be said next, if anything is. The answer comes to
    /// [`on_said`](Self::on_said).
    pub(crate) fn next_event(&mut self) -> Option<(Number, Draft)> {
        while let Some(number) = self.unsaid.pop_front() {
            let Some(entry) = self.entries.get_mut(&number) else {
                continue;
            };
            entry.queued = false;
            if entry.saying.is_some() {
                continue;
            }
            let presence = match (entry.wanted, entry.said) {
                (true, said) if !said || entry.stale => Presence::Begins(entry.about.holder()),
                (false, true) => Presence::Ends,
                (true, _) => continue,
                (false, false) => {
                    self.entries.remove(&number);
                    continue;
                }
            };
            entry.saying = Some(presence);
            entry.stale = false;
            self.saying += 1;
            let draft = draft(&entry.about, presence, &self.hub, self.options.old_paths);
            return Some((number, draft));
        }
        None
    }

    /// Takes note of whether what was said of a subscription is kept; if not it is said again.
    pub(crate) fn on_said(&mut self, number: Number, kept: bool) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        let Some(presence) = entry.saying.take() else {
            return;
        };
        self.saying -= 1;
        match (presence, kept) {
            (Presence::Begins(_), true) => entry.said = true,
            (Presence::Ends, true) => entry.said = false,
            // Whether it was said or not, it is to be said again.
            (Presence::Begins(_), false) => entry.stale = entry.said,
            (Presence::Ends, false) => {}
        }
        self.queue(number);
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

    /// Returns the live subscriptions of exactly this matcher.
    pub(crate) fn of_matcher(&self, matcher: &Matcher) -> Option<&Listed> {
        self.by_matcher.get(matcher)
    }

    /// Returns the live subscriptions of a subscriber.
    pub(crate) fn of_subscriber(&self, subscriber: &str) -> &[Number] {
        self.by_subscriber
            .get(subscriber)
            .map_or(&[], SmallVec::as_slice)
    }

    /// Returns who holds the subscriptions of a token, if it may come back for them.
    fn holder(&self, identity: &Identity) -> Option<Holder> {
        if self.options.grace.is_zero() {
            return None;
        }
        let subject = identity.subject.as_ref()?;
        Some(self.holders.holder(&identity.issuer, subject))
    }

    /// Returns, of those who left lately and are `holder`, the one with most of these matchers.
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

    /// Returns by what one that left is found when it comes back.
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

    /// Returns what a token says about a subscription: its matcher's text is taken as a topic.
    ///
    /// Mercure, "Payloads".
    fn payload(&self, identity: Option<&Identity>, matcher: &Matcher) -> Option<Arc<str>> {
        let subject = Subject::from_text(matcher.pattern(), &self.hub);
        identity?.grants.payload_for(&subject).map(Arc::from)
    }

    fn begin(&mut self, subscription: Subscription) -> Number {
        let number = self.list(subscription, false);
        self.queue(number);
        number
    }

    /// Takes in a live subscription; `said` if the world was told that it began.
    fn list(&mut self, mut subscription: Subscription, said: bool) -> Number {
        self.version += 1;
        subscription.changed = self.version;
        let matcher = subscription.matcher.clone();
        let subscriber = Arc::clone(&subscription.subscriber);
        let number = self.add(About::Subscription(subscription), true, said);
        let listed = self.by_matcher.entry(matcher).or_default();
        listed.numbers.insert(number);
        listed.changed = self.version;
        self.by_subscriber
            .entry(subscriber)
            .or_default()
            .push(number);
        self.live += 1;
        number
    }

    fn add(&mut self, about: About, wanted: bool, said: bool) -> Number {
        let number = self.take_number();
        let entry = Entry {
            about,
            wanted,
            said,
            stale: false,
            saying: None,
            queued: false,
        };
        self.entries.insert(number, entry);
        number
    }

    /// Keeps a subscription whose subscriber came back, perhaps with another payload or as somebody else.
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
            entry.stale = true;
        }
        if subscription.payload != payload {
            self.version += 1;
            subscription.payload = payload;
            subscription.changed = self.version;
            if let Some(listed) = self.by_matcher.get_mut(&subscription.matcher) {
                listed.changed = self.version;
            }
            entry.stale = true;
        }
        if entry.stale {
            self.queue(number);
        }
    }

    fn end_all(&mut self, member: Member) {
        for number in member.entries {
            self.end(number);
        }
    }

    fn end(&mut self, number: Number) {
        let Some(entry) = self.entries.get_mut(&number).filter(|entry| entry.wanted) else {
            return;
        };
        entry.wanted = false;
        let About::Subscription(subscription) = &entry.about else {
            return;
        };
        self.version += 1;
        if let Some(listed) = self.by_matcher.get_mut(&subscription.matcher) {
            listed.numbers.remove(&number);
            listed.changed = self.version;
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
        self.queue(number);
    }

    fn queue(&mut self, number: Number) {
        if let Some(entry) = self.entries.get_mut(&number).filter(|entry| !entry.queued) {
            entry.queued = true;
            self.unsaid.push_back(number);
        }
    }

    fn take_number(&mut self) -> Number {
        let number = self.next;
        self.next += 1;
        number
    }
}

impl Member {
    /// Returns whether it would be recognised: by its token, and by one of its matchers.
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

#[cfg(test)]
mod tests;
