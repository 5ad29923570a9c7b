//! Which topics are published most: a bounded sketch that counts only while somebody looks.
//!
//! The sketch is "space saving" (Metwally, Agrawal, El Abbadi, 2005): a table of fixed size, in which a topic
//! that finds no room takes the place of the rarest one and inherits its count. A count is therefore too large
//! by at most the inherited part, which is told.

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tidings_core::update::Update;
use tokio::time::Instant;

/// Topics that are counted at the same time.
const TOPICS_MAX: usize = 256;
/// How long one table counts. Rates are those of the last one to two of these times.
const WINDOW: Duration = Duration::from_secs(10);
/// How long counting goes on after the last question.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// The counts. Owned by the router.
#[derive(Debug, Default)]
pub struct TopicCounts(Option<Counting>);

/// While somebody looks.
#[derive(Debug)]
struct Counting {
    asked: Instant,
    begun: Instant,
    /// When the present table was begun.
    turned: Instant,
    present: Table,
    previous: Table,
    /// Over which time the previous table counted.
    lasted: Duration,
}

type Table = HashMap<Arc<str>, Count, RandomState>;

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    updates: u64,
    bytes: u64,
    /// How many of the updates may be of other topics.
    inherited: u64,
}

/// The answer: topics by rate.
#[derive(Clone, Debug, Default)]
pub struct TopicRates {
    /// Over which time was counted. Short after the first question.
    pub over: Duration,
    /// The most published ones first.
    pub topics: Vec<TopicRate>,
}

/// How often a topic is published.
#[derive(Clone, Debug)]
pub struct TopicRate {
    /// The canonical topic.
    pub topic: Arc<str>,
    /// Updates in the time.
    pub updates: u64,
    /// How many of these may be of other topics.
    pub error: u64,
    /// Bytes of their data.
    pub bytes: u64,
}

impl TopicCounts {
    /// Counts committed updates, if somebody looks.
    pub(crate) fn count(&mut self, group: &[Arc<Update>], now: Instant) {
        let Some(counting) = &mut self.0 else {
            return;
        };
        if now.saturating_duration_since(counting.asked) > IDLE_MAX {
            self.0 = None;
            return;
        }
        counting.turn(now);
        let ordinary = group.iter().filter(|update| !update.is_of_hub());
        for update in ordinary {
            let topic = update.topics.canonical().text();
            add(&mut counting.present, topic, update.data.len() as u64);
        }
    }

    /// Returns the rates, and counts from now on.
    pub(crate) fn rates(&mut self, now: Instant) -> TopicRates {
        let counting = self.0.get_or_insert_with(|| Counting::new(now));
        counting.asked = now;
        counting.turn(now);
        counting.rates(now)
    }
}

impl Counting {
    fn new(now: Instant) -> Self {
        Self {
            asked: now,
            begun: now,
            turned: now,
            present: Table::default(),
            previous: Table::default(),
            lasted: Duration::ZERO,
        }
    }

    /// Begins a new table when it is time.
    fn turn(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.turned);
        if since < WINDOW {
            return;
        }
        self.previous = std::mem::take(&mut self.present);
        self.lasted = since;
        self.turned = now;
    }

    fn rates(&self, now: Instant) -> TopicRates {
        let mut sums = self.previous.clone();
        for (topic, count) in &self.present {
            let sum = sums.entry(Arc::clone(topic)).or_default();
            sum.updates += count.updates;
            sum.bytes += count.bytes;
            sum.inherited += count.inherited;
        }
        let sums = sums.into_iter().map(|(topic, count)| TopicRate {
            topic,
            updates: count.updates,
            error: count.inherited,
            bytes: count.bytes,
        });
        let mut topics: Vec<TopicRate> = sums.collect();
        topics.sort_unstable_by(|a, b| b.updates.cmp(&a.updates).then(a.topic.cmp(&b.topic)));
        topics.truncate(TOPICS_MAX);
        let over = now.saturating_duration_since(self.turned) + self.lasted;
        let over = over.min(now.saturating_duration_since(self.begun));
        TopicRates { over, topics }
    }
}

fn add(table: &mut Table, topic: &Arc<str>, bytes: u64) {
    if let Some(count) = table.get_mut(topic) {
        count.updates += 1;
        count.bytes += bytes;
        return;
    }
    let mut new = Count::default();
    if table.len() >= TOPICS_MAX {
        let rarest = table.iter().min_by_key(|(_, count)| count.updates);
        let rarest = rarest.map(|(topic, count)| (Arc::clone(topic), *count));
        if let Some((topic, count)) = rarest {
            table.remove(&topic);
            new.updates = count.updates;
            new.inherited = count.updates;
        }
    }
    new.updates += 1;
    new.bytes = bytes;
    table.insert(Arc::clone(topic), new);
}

#[cfg(test)]
mod tests;
