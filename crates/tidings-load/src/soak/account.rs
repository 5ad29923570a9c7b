//! The account of a long run: which updates were sent and acknowledged, in which order each topic
//! has them, and whether every subscriber receives exactly that, however often it comes back.
//!
//! The subscriber that is ahead sets the order of a topic, and all others are compared with it; one
//! that has just begun may be ahead without knowing what was before, so it waits for another. The
//! order itself is checked against the publishers: what was sent after an acknowledgement comes
//! after the update that it acknowledged. Nothing here knows connections.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// The number that no update has: for an unknown place, and for an update that has not ended.
const UNSEEN: u32 = u32::MAX;

/// Everything known about the updates of a run.
#[derive(Debug)]
pub(crate) struct Account {
    topics: Vec<Topic>,
    /// Updates that may be in flight at the same time.
    in_flight_max: usize,
    flaws: Flaws,
    delivered: u64,
    acknowledged: u64,
    given_up: u64,
}

/// The errors that were found. All must be zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flaws {
    /// Deliveries that a subscriber should have received.
    pub(crate) lost: u64,
    /// Acknowledged updates that no subscriber has received.
    pub(crate) missing: u64,
    /// Repeated deliveries.
    pub(crate) duplicates: u64,
    /// Deliveries, or places in the order, that come after a later one.
    pub(crate) order_errors: u64,
    /// Deliveries of a topic that the subscriber did not subscribe to or may not read.
    pub(crate) misrouted: u64,
    /// Deliveries with another id than the acknowledged one.
    pub(crate) misnamed: u64,
}

#[derive(Debug, Default)]
struct Topic {
    /// By the number of the update.
    updates: Vec<Sent>,
    /// Numbers of updates in the topic's order.
    order: Vec<u32>,
    /// The highest number in `order`.
    highest: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    fate: Fate,
    /// The place in the topic's order.
    place: u32,
    /// How many updates of the topic had been sent when this one was answered or given up. All
    /// updates from this number on were sent later.
    ended: u32,
    /// The hash of its event id; zero while the id is unknown.
    id: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    InFlight,
    Acknowledged,
    /// The connection failed before the response: the hub may or may not have stored it.
    Unknown,
}

/// The progress of one subscriber in one topic.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub(crate) topic: u32,
    next: Next,
    /// Places that are missing for now.
    skipped: Vec<u32>,
    /// Numbers that were received while the place of the first of them is unknown.
    waiting: VecDeque<u32>,
}

/// What a subscriber must receive next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The update at this place.
    Place(u32),
    /// Any update. But after this many updates were sent, no update that was sent later may be left
    /// out.
    NotAfter(u32),
    /// The oldest retained update, whichever it is.
    Oldest,
}

impl Progress {
    /// Starts with `topic`.
    pub(crate) fn new(topic: u32, next: Next) -> Self {
        Self {
            topic,
            next,
            skipped: Vec::new(),
            waiting: VecDeque::new(),
        }
    }
}

impl Account {
    /// Starts with `topics` topics and at most `in_flight_max` updates in flight.
    pub(crate) fn new(topics: usize, in_flight_max: usize) -> Self {
        Self {
            topics: (0..topics).map(|_| Topic::default()).collect(),
            in_flight_max,
            flaws: Flaws::default(),
            delivered: 0,
            acknowledged: 0,
            given_up: 0,
        }
    }

    /// Returns the number of deliveries without duplicates.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Returns the number of acknowledged updates.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Returns the number of updates without a response.
    pub(crate) fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Returns the number of updates of a topic that were sent.
    pub(crate) fn sent(&self, topic: u32) -> u32 {
        self.topic(topic).map_or(0, |topic| len(&topic.updates))
    }

    /// Records that the next update of `topic` is sent. Returns its number.
    pub(crate) fn on_sent(&mut self, topic: u32) -> u32 {
        let Some(topic) = self.topics.get_mut(topic as usize) else {
            return UNSEEN;
        };
        topic.updates.push(Sent {
            fate: Fate::InFlight,
            place: UNSEEN,
            ended: UNSEEN,
            id: 0,
        });
        len(&topic.updates) - 1
    }

    /// Records that an update was acknowledged with this id.
    pub(crate) fn on_acknowledged(&mut self, topic: u32, number: u32, id: &str) {
        self.acknowledged += 1;
        self.end(topic, number, Fate::Acknowledged);
        self.check_id(topic, number, id);
    }

    /// Records that the connection failed while this update was in flight.
    pub(crate) fn on_given_up(&mut self, topic: u32, number: u32) {
        self.given_up += 1;
        self.end(topic, number, Fate::Unknown);
    }

    fn end(&mut self, topic: u32, number: u32, fate: Fate) {
        let sent = self.sent(topic);
        if let Some(update) = self.update(topic, number) {
            update.fate = fate;
            update.ended = sent;
        }
    }

    fn check_id(&mut self, topic: u32, number: u32, id: &str) {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        // Zero means "unknown". Another id that hashes to one is as unlikely as any collision.
        let id = hasher.finish().max(1);
        let Some(update) = self.update(topic, number) else {
            return;
        };
        if update.id == 0 {
            update.id = id;
        } else if update.id != id {
            self.flaws.misnamed += 1;
        }
    }

    /// Records that a subscriber received update `number` of `topic` with an id. Returns its place
    /// in the topic's order, if that is known and the subscriber may receive the update.
    pub(crate) fn on_delivery(
        &mut self,
        progress: &mut [Progress],
        topic: u32,
        number: u32,
        id: &str,
    ) -> Option<u32> {
        let wanted = progress.iter_mut().find(|progress| progress.topic == topic);
        let (Some(progress), Some(_)) = (wanted, self.update(topic, number)) else {
            self.flaws.misrouted += 1;
            return None;
        };
        self.check_id(topic, number, id);
        progress.waiting.push_back(number);
        self.take_waiting(progress);
        let place = self.update(topic, number)?.place;
        (place != UNSEEN).then_some(place)
    }

    /// Records deliveries that came before their place in the order was known, as far as it is
    /// known now.
    pub(crate) fn take_waiting(&mut self, progress: &mut Progress) {
        while let Some(number) = progress.waiting.front().copied() {
            let placed = self.update(progress.topic, number);
            let unplaced = placed.is_none_or(|update| update.place == UNSEEN);
            if unplaced && !matches!(progress.next, Next::Place(_)) {
                return;
            }
            progress.waiting.pop_front();
            if let Some(place) = self.place_or_append(progress.topic, number) {
                self.on_placed(progress, place);
            }
        }
    }

    fn on_placed(&mut self, progress: &mut Progress, place: u32) {
        let expected = match progress.next {
            Next::Place(next) => next,
            Next::NotAfter(sent) => place - self.left_out(progress.topic, place, sent),
            Next::Oldest => place,
        };
        if place >= expected {
            self.flaws.lost += u64::from(place - expected);
            progress.skipped.extend(expected..place);
            progress.next = Next::Place(place + 1);
            self.delivered += 1;
        } else if let Some(index) = progress
            .skipped
            .iter()
            .position(|skipped| *skipped == place)
        {
            progress.skipped.swap_remove(index);
            self.flaws.lost -= 1;
            self.flaws.order_errors += 1;
            self.delivered += 1;
        } else {
            self.flaws.duplicates += 1;
        }
    }

    /// Returns how far before `place` the earliest update stands that was sent after the first
    /// `sent` updates. A subscriber that began then has missed the updates in between.
    fn left_out(&self, topic: u32, place: u32, sent: u32) -> u32 {
        let Some(topic) = self.topic(topic) else {
            return 0;
        };
        let before = topic.order.get(..place as usize).unwrap_or_default();
        let (mut left_out, mut earlier) = (0, 0);
        for (distance, number) in (1..).zip(before.iter().rev()) {
            if *number >= sent {
                left_out = distance;
                earlier = 0;
            } else {
                earlier += 1;
            }
            // Only updates that were in flight at the same time can stand between those that were
            // sent later.
            if earlier > self.in_flight_max {
                break;
            }
        }
        left_out
    }

    fn place_or_append(&mut self, topic: u32, number: u32) -> Option<u32> {
        let topic = self.topics.get_mut(topic as usize)?;
        let update = topic.updates.get_mut(number as usize)?;
        if update.place != UNSEEN {
            return Some(update.place);
        }
        let place = len(&topic.order);
        update.place = place;
        if topic.highest.is_some_and(|highest| highest >= update.ended) {
            self.flaws.order_errors += 1;
        }
        topic.order.push(number);
        topic.highest = topic.highest.max(Some(number));
        Some(place)
    }

    /// Returns how many known updates the subscriber has not received yet.
    pub(crate) fn outstanding(&self, progress: &Progress) -> u64 {
        let Some(topic) = self.topic(progress.topic) else {
            return 0;
        };
        let placed = len(&topic.order);
        if !progress.waiting.is_empty() {
            return progress.waiting.len() as u64;
        }
        match progress.next {
            Next::Place(next) => u64::from(placed.saturating_sub(next)),
            Next::NotAfter(sent) => u64::from(self.left_out(progress.topic, placed, sent)),
            Next::Oldest => u64::from(placed > 0),
        }
    }

    /// Returns how many acknowledged updates nobody has received yet.
    pub(crate) fn undelivered(&self) -> u64 {
        let updates = self.topics.iter().flat_map(|topic| &topic.updates);
        let lost = |update: &&Sent| update.fate == Fate::Acknowledged && update.place == UNSEEN;
        updates.filter(lost).count() as u64
    }

    /// Returns the errors, when the subscribers with this progress expect no further updates.
    pub(crate) fn flaws<'a>(&self, progress: impl Iterator<Item = &'a Progress>) -> Flaws {
        let outstanding: u64 = progress.map(|progress| self.outstanding(progress)).sum();
        Flaws {
            lost: self.flaws.lost + outstanding,
            missing: self.undelivered(),
            ..self.flaws
        }
    }

    fn topic(&self, topic: u32) -> Option<&Topic> {
        self.topics.get(topic as usize)
    }

    fn update(&mut self, topic: u32, number: u32) -> Option<&mut Sent> {
        let topic = self.topics.get_mut(topic as usize)?;
        topic.updates.get_mut(number as usize)
    }
}

fn len<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(UNSEEN)
}

#[cfg(test)]
mod tests;
