//! Checks what each connection received: nothing lost, no duplicates, the same order for all.
//!
//! The hub may order concurrent updates either way, but all subscribers must see the same order.
//! The connection that is ahead therefore defines the order of a topic, and all others are compared
//! with it.

use std::collections::HashMap;

/// The place of an update that nobody has received yet.
const UNSEEN: u32 = u32::MAX;

/// The record of what all connections received.
#[derive(Debug)]
pub(crate) struct Ledger {
    topics: Vec<Order>,
    connections: Vec<Progress>,
    /// Updates that are missing for now: the skipped places of each connection.
    skipped: HashMap<usize, Vec<u32>>,
    flaws: Flaws,
    delivered: u64,
}

/// The errors that were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flaws {
    /// Deliveries that are missing.
    pub(crate) lost: u64,
    /// Repeated deliveries.
    pub(crate) duplicates: u64,
    /// Deliveries that came after a later one.
    pub(crate) order_errors: u64,
    /// Deliveries of a topic that the connection did not subscribe to.
    pub(crate) misrouted: u64,
}

#[derive(Debug, Default)]
struct Order {
    /// Connections that subscribed to the topic.
    connections: u64,
    /// The numbers of the updates, in the order of arrival.
    numbers: Vec<u32>,
    /// The place of each number in `numbers`.
    places: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    topic: u32,
    /// The next place in the topic's order.
    next: u32,
}

/// How updates are published, as far as it affects their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Publishing {
    /// Each update is published after the previous one was acknowledged: the order is that of the
    /// numbers.
    OneByOne,
    /// Several updates are published at once: any order is valid if all subscribers see the same
    /// one.
    AtOnce,
}

impl Ledger {
    /// Starts with this many topics and no connections.
    pub(crate) fn new(topics: usize) -> Self {
        Self {
            topics: (0..topics).map(|_| Order::default()).collect(),
            connections: Vec::new(),
            skipped: HashMap::new(),
            flaws: Flaws::default(),
            delivered: 0,
        }
    }

    /// Adds a connection that subscribed to `topic`. Connections are numbered from 0.
    pub(crate) fn add(&mut self, topic: u32) {
        self.connections.push(Progress { topic, next: 0 });
        if let Some(order) = self.topics.get_mut(topic as usize) {
            order.connections += 1;
        }
    }

    /// Returns the number of deliveries without duplicates.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Returns the expected number of deliveries, given the number of updates of each topic.
    pub(crate) fn expected(&self, published: &[u32]) -> u64 {
        let topics = self.topics.iter().zip(published);
        topics
            .map(|(order, updates)| order.connections * u64::from(*updates))
            .sum()
    }

    /// Records that `connection` received update `number` of `topic`.
    pub(crate) fn on_delivery(&mut self, connection: usize, topic: u32, number: u32) {
        let order = self.topics.get_mut(topic as usize);
        let progress = self
            .connections
            .get_mut(connection)
            .filter(|seen| seen.topic == topic);
        let (Some(order), Some(progress)) = (order, progress) else {
            self.flaws.misrouted += 1;
            return;
        };
        let place = order.place_or_append(number);
        if place == progress.next {
            progress.next += 1;
            self.delivered += 1;
        } else if place > progress.next {
            let skipped = self.skipped.entry(connection).or_default();
            skipped.extend(progress.next..place);
            progress.next = place + 1;
            self.delivered += 1;
        } else {
            let skipped = self.skipped.entry(connection).or_default();
            match skipped.iter().position(|skipped| *skipped == place) {
                Some(index) => {
                    skipped.swap_remove(index);
                    self.delivered += 1;
                    self.flaws.order_errors += 1;
                }
                None => self.flaws.duplicates += 1,
            }
        }
    }

    /// Returns how often an update came before one with a lower number, over all topics.
    pub(crate) fn descents(&self) -> u64 {
        self.topics.iter().map(Order::descents).sum()
    }

    /// Returns the errors, given the number of updates of each topic.
    pub(crate) fn flaws(&self, published: &[u32], publishing: Publishing) -> Flaws {
        let mut flaws = self.flaws;
        flaws.lost = self.expected(published).saturating_sub(self.delivered);
        if publishing == Publishing::OneByOne {
            flaws.order_errors += self.descents();
        }
        flaws
    }
}

impl Order {
    /// Returns how often an update came before one with a lower number.
    fn descents(&self) -> u64 {
        let steps = self.numbers.iter().zip(self.numbers.iter().skip(1));
        steps.filter(|(one, next)| one > next).count() as u64
    }

    fn place_or_append(&mut self, number: u32) -> u32 {
        let index = number as usize;
        if index >= self.places.len() {
            self.places.resize(index + 1, UNSEEN);
        }
        let Some(place) = self.places.get_mut(index) else {
            return UNSEEN;
        };
        if *place == UNSEEN {
            *place = u32::try_from(self.numbers.len()).unwrap_or(UNSEEN);
            self.numbers.push(number);
        }
        *place
    }
}

#[cfg(test)]
mod tests;
