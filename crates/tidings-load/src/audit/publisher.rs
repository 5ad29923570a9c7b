//! Publishers that send an update until it is acknowledged, by whichever hub.

use std::collections::VecDeque;
use std::time::Duration;

use super::TOPIC;
use crate::BenchError;
use crate::clock::{nanos, now_ns};
use crate::histogram::Histogram;
use crate::link::{Link, Protocol};
use crate::mark::Mark;
use crate::poller::Poller;
use crate::publisher::{Answer, Publisher};
use crate::target::{Target, escaped};

/// How long a publisher waits for an answer before it tries another hub: longer than a hub lets it
/// wait for the engine by default.
const ANSWER_MAX: Duration = Duration::from_secs(12);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// All of them, and what they have published.
pub(super) struct Publishers {
    senders: Vec<Sender>,
    /// Updates that nobody has sent yet.
    waiting: VecDeque<Update>,
    begun: u32,
    acknowledged: Vec<(u32, String)>,
    pub(super) retries: u64,
    pub(super) waits: Histogram,
}

#[derive(Clone, Debug)]
struct Update {
    number: u32,
    due_ns: u64,
    body: Vec<u8>,
}

/// A connection, and the update that it is for.
#[derive(Default)]
struct Sender {
    connection: Option<Publisher>,
    update: Option<Update>,
    /// Whether the update was sent on this connection, and since when.
    sent_at: Option<u64>,
    not_before: u64,
}

impl Publishers {
    /// Makes `count` of them without connections.
    pub(super) fn new(count: usize) -> Self {
        Self {
            senders: (0..count).map(|_| Sender::default()).collect(),
            waiting: VecDeque::new(),
            begun: 0,
            acknowledged: Vec::new(),
            retries: 0,
            waits: Histogram::new(),
        }
    }

    /// Returns how many updates there are.
    pub(super) fn begun(&self) -> usize {
        self.begun as usize
    }

    /// Returns the numbers of the acknowledged updates, with the ids that the hubs answered.
    pub(super) fn acknowledged(&self) -> &[(u32, String)] {
        &self.acknowledged
    }

    /// Adds the updates that are due. Every second one has an id of its own.
    pub(super) fn begin_due(&mut self, start: u64, rate: f64, data_bytes: usize, now: u64) {
        loop {
            let number = self.begun;
            let due_ns = start + nanos(Duration::from_secs_f64(f64::from(number) / rate));
            if due_ns > now {
                return;
            }
            let mut body = format!("topic={}", escaped(TOPIC)).into_bytes();
            if number.is_multiple_of(2) {
                body.extend_from_slice(format!("&id=urn:audit:{number}").as_bytes());
            }
            body.extend_from_slice(b"&data=");
            let mark = Mark {
                topic: 0,
                number,
                due_ns,
            };
            mark.write(&mut body, data_bytes);
            self.begun += 1;
            self.waiting.push_back(Update {
                number,
                due_ns,
                body,
            });
        }
    }

    /// Sends what waits, on the connections that are free. Connections are added to `poller` with
    /// numbers from `first`.
    ///
    /// # Errors
    ///
    /// [`BenchError`], if the poller fails. A hub that cannot be reached is no error.
    pub(super) fn send(
        &mut self,
        targets: &[Target],
        poller: &Poller,
        first: usize,
        rng: &mut fastrand::Rng,
        now: u64,
    ) -> Result<(), BenchError> {
        for (number, sender) in self.senders.iter_mut().enumerate() {
            if sender
                .sent_at
                .is_some_and(|at| now - at > nanos(ANSWER_MAX))
            {
                sender.again(now);
                self.retries += 1;
            }
            if sender.sent_at.is_some() || sender.not_before > now {
                continue;
            }
            sender.update = sender.update.take().or_else(|| self.waiting.pop_front());
            let Some(target) = targets.get(rng.usize(..targets.len())) else {
                continue;
            };
            if !sender.send(target, poller, first + number, now)? {
                sender.again(now);
                self.retries += 1;
            }
        }
        Ok(())
    }

    /// Reads an answer.
    pub(super) fn read(&mut self, number: usize, buffer: &mut [u8], now: u64) {
        let Some(sender) = self.senders.get_mut(number) else {
            return;
        };
        let Some(publisher) = &mut sender.connection else {
            return;
        };
        match publisher.on_readable(buffer) {
            Ok(Answer::Incomplete) => {}
            Ok(Answer::Closed) => sender.connection = None,
            Ok(Answer::Acknowledged(answer)) => {
                sender.sent_at = None;
                if answer.is_last {
                    sender.connection = None;
                }
                if let Some(update) = sender.update.take() {
                    self.waits.record(now_ns() - update.due_ns);
                    self.acknowledged.push((update.number, answer.id));
                }
            }
            // Refused, or the hub has gone: the update may be stored or not.
            Err(_) => {
                sender.again(now);
                self.retries += 1;
            }
        }
    }
}

impl Sender {
    /// Sends its update, if it has one. Returns whether the hub took the bytes.
    fn send(
        &mut self,
        target: &Target,
        poller: &Poller,
        number: usize,
        now: u64,
    ) -> Result<bool, BenchError> {
        let Some(update) = &self.update else {
            return Ok(true);
        };
        let mut publisher = match self.connection.take() {
            Some(publisher) => publisher,
            None => match Link::open(target, number, Protocol::Http1) {
                Ok(link) => {
                    poller.add(&link, number as u64)?;
                    Publisher::new(link)
                }
                Err(_) => return Ok(false),
            },
        };
        let key = format!("Idempotency-Key: \"{}\"\r\n", update.number);
        let request = target.publication_with(&key, &update.body);
        if publisher.send(&request, now).is_err() {
            return Ok(false);
        }
        self.connection = Some(publisher);
        self.sent_at = Some(now);
        Ok(true)
    }

    /// Lets go of the connection; the update is sent again.
    fn again(&mut self, now: u64) {
        self.connection = None;
        self.sent_at = None;
        self.not_before = now + nanos(PAUSE);
    }
}
