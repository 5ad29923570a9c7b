//! Subscribers that move from hub to hub with their cursor.

use std::time::Duration;

use super::{TOPIC, presence};
use crate::BenchError;
use crate::clock::{nanos, now_ns};
use crate::histogram::Histogram;
use crate::link::{Link, Protocol};
use crate::mark::Mark;
use crate::poller::Poller;
use crate::soak::stream::{Incoming, Stream, StreamState};
use crate::target::{Target, Transport, escaped, exact};

/// How long a subscriber stays at a hub, in milliseconds.
const STAY_MS: std::ops::RangeInclusive<u64> = 500..=10_000;
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);
const EARLIEST: &str = "earliest";

/// All of them.
pub(super) struct Subscribers {
    all: Vec<Subscriber>,
    /// The updates in the order in which the first that had them received them.
    order: Vec<u32>,
    pub(super) deliveries: u64,
    pub(super) order_errors: u64,
    /// Cursors that a hub did not know although nothing was removed.
    pub(super) cursors_lost: u64,
    pub(super) moves: u64,
    pub(super) delivery: Histogram,
    /// Whether those who are connected stay.
    staying: bool,
}

struct Subscriber {
    stream: Option<Stream>,
    cursor: String,
    /// The updates that it had, in order.
    received: Vec<u32>,
    /// When it goes to another hub, or comes back.
    until: u64,
}

impl Subscribers {
    /// Makes `count` of them, who begin with the oldest update.
    pub(super) fn new(count: usize) -> Self {
        let one = || Subscriber {
            stream: None,
            cursor: EARLIEST.to_owned(),
            received: Vec::new(),
            until: 0,
        };
        Self {
            all: (0..count).map(|_| one()).collect(),
            order: Vec::new(),
            deliveries: 0,
            order_errors: 0,
            cursors_lost: 0,
            moves: 0,
            delivery: Histogram::new(),
            staying: false,
        }
    }

    /// Lets those who are connected stay, and the others once they are.
    pub(super) fn stay(&mut self) {
        self.staying = true;
    }

    /// Returns how many are connected.
    pub(super) fn connected(&self) -> usize {
        let connected = |one: &&Subscriber| one.stream.is_some();
        self.all.iter().filter(connected).count()
    }

    /// Returns the number of updates that each has at least.
    pub(super) fn fewest(&self) -> usize {
        let counts = self.all.iter().map(|one| one.received.len());
        counts.min().unwrap_or_default()
    }

    /// Returns what each received, in order.
    pub(super) fn received(&self) -> impl Iterator<Item = &[u32]> {
        self.all.iter().map(|one| one.received.as_slice())
    }

    /// Lets those whose time is over go to any hub.
    ///
    /// # Errors
    ///
    /// [`BenchError`], if the poller fails. A hub that cannot be reached is no error.
    pub(super) fn move_on(
        &mut self,
        targets: &[Target],
        poller: &Poller,
        rng: &mut fastrand::Rng,
        now: u64,
    ) -> Result<(), BenchError> {
        for (number, subscriber) in self.all.iter_mut().enumerate() {
            let stays = self.staying && subscriber.stream.is_some();
            if stays || subscriber.until > now {
                continue;
            }
            let Some(target) = targets.get(rng.usize(..targets.len())) else {
                continue;
            };
            let query = format!(
                "{}&{}&last_event_id={}",
                exact(TOPIC),
                exact(&presence::topic(number)),
                escaped(&subscriber.cursor)
            );
            let request = target.subscription(Transport::EventStream, &query, None);
            let opened = Link::open(target, number, Protocol::Http1)
                .and_then(|mut link| link.send(&request).map(|()| link));
            match opened {
                Ok(link) => {
                    poller.add(&link, number as u64)?;
                    subscriber.stream = Some(Stream::new(link));
                    subscriber.until = now + 1_000_000 * rng.u64(STAY_MS);
                    self.moves += 1;
                }
                Err(_) => subscriber.until = now + nanos(PAUSE),
            }
        }
        Ok(())
    }

    /// Reads a stream.
    pub(super) fn read(&mut self, number: usize, buffer: &mut [u8], now: u64) {
        let Some(subscriber) = self.all.get_mut(number) else {
            return;
        };
        let Some(mut stream) = subscriber.stream.take() else {
            return;
        };
        let order = &mut self.order;
        let state = stream.on_readable(buffer, |brought| match brought {
            Incoming::Opened { from } => {
                let knows = from.as_deref() == Some(subscriber.cursor.as_str());
                if !knows && subscriber.cursor != EARLIEST {
                    self.cursors_lost += 1;
                    subscriber.received.clear();
                }
            }
            Incoming::Event(event) => {
                subscriber.cursor.clone_from(&event.id);
                let Some(mark) = Mark::read(&event.data) else {
                    self.order_errors += 1;
                    return;
                };
                self.deliveries += 1;
                self.delivery.record(now_ns().saturating_sub(mark.due_ns));
                match order.get(subscriber.received.len()) {
                    Some(&expected) if expected == mark.number => {}
                    Some(_) => self.order_errors += 1,
                    None => order.push(mark.number),
                }
                subscriber.received.push(mark.number);
            }
        });
        match state {
            StreamState::Open => subscriber.stream = Some(stream),
            StreamState::Ended | StreamState::Refused(_) | StreamState::Garbled => {
                subscriber.until = now + nanos(PAUSE);
            }
        }
    }
}
