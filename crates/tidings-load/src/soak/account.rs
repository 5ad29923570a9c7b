//! The account of a long run: which updates were sent and acknowledged, in which order each topic
//! has them, and whether every subscriber receives exactly that, however often it comes back.
//!
//! The subscriber that is ahead sets the order of a topic, and all others are compared with it; one
//! that has just begun may be ahead without knowing what was before, so it waits for another. The
//! order itself is checked against the publishers: what was sent after an acknowledgement comes
//! after the update that it acknowledged. Nothing here knows connections.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// A number that no update has: no place, no name, never ended.
const UNSEEN: u32 = u32::MAX;

/// Everything known about the updates of a run.
#[derive(Debug)]
pub(crate) struct Account {
    topics: Vec<Topic>,
    /// Updates that may be on their way at the same time.
    in_flight_max: usize,
    flaws: Flaws,
    delivered: u64,
    acknowledged: u64,
    given_up: u64,
}

/// What was wrong. All must be zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flaws {
    /// Deliveries that a subscriber should have had.
    pub(crate) lost: u64,
    /// Acknowledged updates that no subscriber ever received.
    pub(crate) missing: u64,
    /// Deliveries that happened again.
    pub(crate) duplicates: u64,
    /// Deliveries, or places in the order, after one that should have followed them.
    pub(crate) order_errors: u64,
    /// Deliveries of a topic that the subscriber did not ask for or may not read.
    pub(crate) misrouted: u64,
    /// Deliveries whose id is not the one that was acknowledged.
    pub(crate) misnamed: u64,
}

#[derive(Debug, Default)]
struct Topic {
    /// By number of update.
    updates: Vec<Sent>,
    /// Numbers, first to last.
    order: Vec<u32>,
    /// The highest number in `order`.
    highest: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    fate: Fate,
    /// Place in the order of the topic.
    place: u32,
    /// How many updates of the topic were sent when this one ended: whatever has a number from
    /// there on was sent later.
    ended: u32,
    /// Hash of its event id; zero while that is unknown.
    id: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    InFlight,
    Acknowledged,
    /// The connection broke before an answer came: it may be stored, or not.
    Unknown,
}

/// How far one subscriber has come in one topic.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub(crate) topic: u32,
    next: Next,
    /// Places missed for now.
    skipped: Vec<u32>,
    /// Numbers that were received while it is unknown where in the order the first of them stands.
    waiting: VecDeque<u32>,
}

/// What a subscriber must receive next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The update at this place.
    Place(u32),
    /// Any, but none of those that were sent since this many were sent may be left out.
    NotAfter(u32),
    /// The oldest that is kept, whichever that is.
    Oldest,
}

impl Progress {
    /// Starts for `topic`.
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
    /// Starts for that many topics, with at most that many updates on their way at once.
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

    /// Returns how many deliveries there were, without duplicates.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Returns how many updates were acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Returns how many updates got no answer.
    pub(crate) fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Returns how many updates of a topic were sent.
    pub(crate) fn sent(&self, topic: u32) -> u32 {
        self.topic(topic).map_or(0, |topic| len(&topic.updates))
    }

    /// Notes that the next update of `topic` is sent. Returns its number.
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

    /// Notes that an update was acknowledged under this id.
    pub(crate) fn on_acknowledged(&mut self, topic: u32, number: u32, id: &str) {
        self.acknowledged += 1;
        self.end(topic, number, Fate::Acknowledged);
        self.check_id(topic, number, id);
    }

    /// Notes that the connection broke on which an update was sent.
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
        // Zero stands for "unknown"; that another id hashes to one is as unlikely as any collision.
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

    /// Notes that a subscriber received update `number` of `topic` under an id. Returns its place
    /// in the order of the topic, if that is known and the subscriber may have it.
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

    /// Books what a subscriber received while its place in the order was unknown, if it is known by
    /// now.
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

    /// Returns how many places right before `place` hold updates that were sent when `sent` were.
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
            // Only what was on its way at the same time can stand among those sent later.
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

    /// Returns how many updates known to be there the subscriber has not received yet.
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

    /// Returns what was wrong, when nothing more is expected by the subscribers with this progress.
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
