//! Questions about subscriptions and their answers. An answer is built from one slice of the table at a
//! time, so a large one does not delay others.
//!
//! The cursor is read before the first slice. A subscription that begins or ends during the answer may or
//! may not be in it. Its event comes after the cursor, so a client that follows from there has it right.

use std::ops::ControlFlow;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tidings_core::dialect::Dialect;
use tidings_core::event_id::EventId;
use tidings_core::hub_url::HubUrl;
use tidings_core::matcher::Matcher;
use tidings_core::subject::Subject;
use tidings_wire::subscription_document::{self as document, CONTEXT, OldDocument};
use tokio::sync::oneshot;

use super::table::{Number, Subscription, Table};

/// Subscriptions looked at before other work gets its turn.
const SLICE: usize = 1000;
/// Bytes after which a page ends, however few subscriptions it has.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Matchers for which a question remembers the result of its filters.
const MEMORY_MAX: usize = 1024;

/// A question.
#[derive(Debug)]
pub struct Question {
    /// The Mercure version that defines the form of the answer.
    pub dialect: Dialect,
    /// The subscriptions that are asked for.
    pub about: About,
    /// Only subscriptions that select this topic.
    pub topic: Option<String>,
    /// Only subscriptions whose pattern, taken as a topic, matches this.
    pub pattern: Option<Matcher>,
    /// Only subscriptions after this number.
    pub after: Number,
    /// Maximum number of subscriptions.
    pub limit: Option<usize>,
    /// Only count them.
    pub count_only: bool,
    /// Validators that the asker has. If one of them is current, there is nothing new.
    pub known: Known,
}

impl Question {
    /// Returns numbers that change whenever the subscriptions in question change, and only then: who may ask
    /// about a part learns nothing about the rest.
    pub(crate) fn versions(&self, table: &Table) -> Vec<u64> {
        let of_matchers = |matchers: &[Matcher]| {
            let changed = |matcher| table.of_matcher(matcher).map_or(0, |listed| listed.changed);
            matchers.iter().map(changed).collect()
        };
        let of_subscriber = |subscriber: &str, among: Option<&[Matcher]>| {
            let all = table.of_subscriber(subscriber).iter();
            let live = all.filter_map(|number| table.get(*number));
            live.filter(|live| among.is_none_or(|among| among.contains(&live.matcher)))
                .fold(0, |sum, live| u64::wrapping_add(sum, live.changed))
        };
        match &self.about {
            About::All => vec![table.version()],
            About::Matchers(matchers) => of_matchers(matchers),
            About::Subscriber(subscriber) => vec![of_subscriber(subscriber, None)],
            About::One(matchers, subscriber) => vec![of_subscriber(subscriber, Some(matchers))],
        }
    }

    /// Returns the question for everything, in the form of 1.0.
    pub fn all() -> Self {
        Self {
            dialect: Dialect::V1,
            about: About::All,
            topic: None,
            pattern: None,
            after: 0,
            limit: None,
            count_only: false,
            known: Known::None,
        }
    }
}

/// What a question is about.
#[derive(Debug)]
pub enum About {
    /// Everything.
    All,
    /// Subscriptions with exactly one of these matchers.
    Matchers(Vec<Matcher>),
    /// Everything of one subscriber.
    Subscriber(String),
    /// The one subscription of this subscriber with exactly one of these matchers.
    One(Vec<Matcher>, String),
}

/// Which versions of an answer the asker has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// None.
    #[default]
    None,
    /// These, without quotes.
    Versions(Vec<String>),
    /// Any that exists.
    Any,
}

impl Known {
    /// Returns whether the asker has `version`.
    pub(crate) fn has(&self, version: &str) -> bool {
        match self {
            Self::None => false,
            Self::Versions(versions) => versions.iter().any(|known| known == version),
            Self::Any => true,
        }
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The event id after which events complete it. None before the first update.
    pub cursor: Option<EventId>,
    /// The validator, without quotes.
    pub version: String,
    /// The document, or why there is none.
    pub found: Found,
}

/// What was found.
#[derive(Debug)]
pub enum Found {
    /// There is no such subscription.
    Nothing,
    /// The asker has this version already.
    Known,
    /// The document of one subscription.
    One(String),
    /// A page of a collection.
    Page(Page),
}

/// A page of a collection.
#[derive(Debug)]
pub struct Page {
    /// The documents, joined by commas.
    pub items: String,
    /// How many there are in all, if that is known without a look at all of them.
    pub total: Option<usize>,
    /// Where the next page begins, if there is one.
    pub next: Option<Number>,
}

/// A question that is being answered.
#[derive(Debug)]
pub(crate) struct Scan {
    question: Question,
    reply: oneshot::Sender<Answer>,
    cursor: Option<EventId>,
    version: String,
    hub: String,
    limit: usize,
    /// Everything up to here was looked at.
    through: Number,
    listed: usize,
    counted: usize,
    items: String,
    /// The result of the filters for matchers seen so far.
    memory: HashMap<Matcher, bool, RandomState>,
}

impl Scan {
    /// Begins an answer, whose validator is `version`.
    pub(crate) fn new(
        question: Question,
        reply: oneshot::Sender<Answer>,
        cursor: Option<EventId>,
        version: String,
        hub: String,
        page_size_max: usize,
    ) -> Self {
        let limit = question.limit.unwrap_or(page_size_max).min(page_size_max);
        Self {
            through: question.after,
            question,
            reply,
            cursor,
            version,
            hub,
            limit,
            listed: 0,
            counted: 0,
            items: String::new(),
            memory: HashMap::default(),
        }
    }

    /// Returns how many bytes the answer has so far.
    pub(crate) fn bytes(&self) -> usize {
        self.items.len()
    }

    /// Looks at a slice. Returns itself if it is not finished.
    pub(crate) fn go_on(mut self, table: &Table, hub: &HubUrl) -> Option<Self> {
        if self.reply.is_closed() {
            return None;
        }
        let known = self.question.known.has(&self.version);
        if let About::One(matchers, subscriber) = &self.question.about {
            let found = match self.find(table, matchers, subscriber) {
                None => Found::Nothing,
                Some(_) if known => Found::Known,
                Some(document) => Found::One(document),
            };
            return self.answer(found);
        }
        if known {
            return self.answer(Found::Known);
        }
        match self.look(table, hub) {
            ControlFlow::Continue(()) => Some(self),
            ControlFlow::Break(next) => {
                let total = self.total(table);
                let items = std::mem::take(&mut self.items);
                self.answer(Found::Page(Page { items, total, next }))
            }
        }
    }

    fn answer(self, found: Found) -> Option<Self> {
        let answer = Answer {
            cursor: self.cursor,
            version: self.version,
            found,
        };
        // The asker may be gone.
        self.reply.send(answer).ok();
        None
    }

    fn find(&self, table: &Table, matchers: &[Matcher], subscriber: &str) -> Option<String> {
        let mut all = table.of_subscriber(subscriber).iter();
        let found = all.find_map(|number| {
            let found = table.get(*number)?;
            matchers.contains(&found.matcher).then_some(found)
        })?;
        let last_event_id = self.cursor.as_ref().map_or("earliest", EventId::as_str);
        Some(self.document(found, Some(CONTEXT), Some(last_event_id)))
    }

    /// Looks at a slice. Breaks at the end of the page, with the start of the next one if there is one.
    fn look(&mut self, table: &Table, hub: &HubUrl) -> ControlFlow<Option<Number>> {
        let numbers = self.next_numbers(table);
        for &number in &numbers {
            let Some(subscription) = table.get(number) else {
                continue;
            };
            if self.passes(subscription, hub) {
                let full = self.listed >= self.limit || self.items.len() >= PAGE_BYTES_MAX;
                if full && !self.question.count_only {
                    return ControlFlow::Break(Some(self.through));
                }
                self.take(subscription);
            }
            self.through = number;
        }
        if numbers.len() < SLICE {
            ControlFlow::Break(None)
        } else {
            ControlFlow::Continue(())
        }
    }

    fn next_numbers(&self, table: &Table) -> Vec<Number> {
        let through = self.through;
        match &self.question.about {
            About::All => {
                let all = table.after(through).map(|(number, _)| number);
                all.take(SLICE).collect()
            }
            About::Subscriber(subscriber) => {
                let all = table.of_subscriber(subscriber).iter().copied();
                let mut rest: Vec<Number> = all.filter(|number| *number > through).collect();
                rest.sort_unstable();
                rest.truncate(SLICE);
                rest
            }
            About::Matchers(matchers) | About::One(matchers, _) => {
                let sets = matchers
                    .iter()
                    .filter_map(|matcher| table.of_matcher(matcher));
                let rest = sets.flat_map(|set| {
                    let rest = set.numbers.range(through.saturating_add(1)..);
                    rest.take(SLICE)
                });
                let mut rest: Vec<Number> = rest.copied().collect();
                rest.sort_unstable();
                rest.truncate(SLICE);
                rest
            }
        }
    }

    fn passes(&mut self, subscription: &Subscription, hub: &HubUrl) -> bool {
        let Question { topic, pattern, .. } = &self.question;
        if topic.is_none() && pattern.is_none() {
            return true;
        }
        if let Some(known) = self.memory.get(&subscription.matcher) {
            return *known;
        }
        let matcher = &subscription.matcher;
        let gets = |topic: &String| matcher.matches(&Subject::from_text(topic, hub));
        let is_like =
            |pattern: &Matcher| pattern.matches(&Subject::from_text(matcher.pattern(), hub));
        let passes = topic.as_ref().is_none_or(gets) && pattern.as_ref().is_none_or(is_like);
        if self.memory.len() >= MEMORY_MAX {
            self.memory.clear();
        }
        self.memory.insert(matcher.clone(), passes);
        passes
    }

    fn take(&mut self, subscription: &Subscription) {
        self.counted += 1;
        if self.question.count_only {
            return;
        }
        if self.listed > 0 {
            self.items.push(',');
        }
        self.listed += 1;
        let document = self.document(subscription, None, None);
        self.items.push_str(&document);
    }

    fn document(
        &self,
        subscription: &Subscription,
        context: Option<&'static str>,
        last_event_id: Option<&str>,
    ) -> String {
        match self.question.dialect {
            Dialect::V1 => subscription.document(&self.hub, true),
            Dialect::V0 | Dialect::V2019 => document::text(&OldDocument {
                context,
                id: subscription.path(&self.hub, Dialect::V0),
                kind: "Subscription",
                subscriber: &subscription.subscriber,
                topic: subscription.matcher.pattern(),
                active: true,
                last_event_id,
                payload: subscription.payload.as_deref().and_then(document::raw),
            }),
        }
    }

    fn total(&self, table: &Table) -> Option<usize> {
        let question = &self.question;
        if question.count_only {
            return Some(self.counted);
        }
        if question.topic.is_some() || question.pattern.is_some() {
            return None;
        }
        match &question.about {
            About::All => Some(table.len()),
            About::Subscriber(subscriber) => Some(table.of_subscriber(subscriber).len()),
            About::Matchers(matchers) | About::One(matchers, _) => {
                let sets = matchers
                    .iter()
                    .filter_map(|matcher| table.of_matcher(matcher));
                Some(sets.map(|set| set.numbers.len()).sum())
            }
        }
    }
}

#[cfg(test)]
mod tests;
