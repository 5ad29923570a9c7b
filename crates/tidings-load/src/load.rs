//! The generator's single thread: subscribers, publishers and their epoll set.

pub(crate) mod counts;

use std::collections::VecDeque;
use std::time::Duration;

use crate::BenchError;
use crate::clock::{nanos, now_ns};
use crate::ledger::Ledger;
use crate::link::{Link, Protocol};
use crate::load::counts::Counts;
use crate::mark::Mark;
use crate::multiplex::{Event, Multiplex};
use crate::poller::Poller;
use crate::progress;
use crate::publisher::{Answer, Publisher};
use crate::subscriber::{Subscriber, Turn};
use crate::target::{self, Target, Transport, escaped, exact};

/// Bytes read from a socket at once.
const READ_BYTES: usize = 256 * 1024;
/// Epoll numbers from here on belong to publishers.
const PUBLISHERS: u64 = 1 << 32;
/// Epoll numbers from here on belong to HTTP/2 connections.
const MULTIPLEXES: u64 = 1 << 33;
/// The longest wait in epoll. Callers that wait for a condition look at the clock this often.
const TURN_MAX: Duration = Duration::from_millis(100);
/// Subscriptions that are sent before their responses are read.
pub(crate) const OPENING_MAX: usize = 256;

/// How long a run waits while nothing happens.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Everything that a run has open, and its counts.
#[derive(Debug)]
pub(crate) struct Load {
    target: Target,
    publishers_target: Target,
    poller: Poller,
    ready: Vec<u64>,
    buffer: Vec<u8>,
    data_bytes: usize,
    topics: Vec<String>,
    subscribers: Vec<Subscriber>,
    multiplexes: Vec<Multiplex>,
    /// When each subscription was sent, by its number in the ledger.
    requested_ns: Vec<u64>,
    publishers: Vec<Publisher>,
    idle: Vec<usize>,
    /// Updates that are due and wait for an idle publisher.
    backlog: VecDeque<Mark>,
    pub(crate) counts: Counts,
}

impl Load {
    /// Prepares a run with this many topics. Their names are unique to the run.
    ///
    /// # Errors
    ///
    /// [`BenchError`] if the hub is not found, or the system has no file left.
    pub(crate) fn new(
        target: &target::Options,
        topics: usize,
        data_bytes: usize,
    ) -> Result<Self, BenchError> {
        let run = now_ns();
        let topic = |number| format!("https://bench.example/{run}/{number}");
        Self::with_topics(target, (0..topics).map(topic).collect(), data_bytes)
    }

    /// Prepares a run that publishes to these topics.
    ///
    /// # Errors
    ///
    /// [`BenchError`] if the hub is not found, or the system has no file left.
    pub(crate) fn with_topics(
        target: &target::Options,
        topics: Vec<String>,
        data_bytes: usize,
    ) -> Result<Self, BenchError> {
        Ok(Self {
            target: Target::find(target)?,
            publishers_target: Target::find_for_publishers(target)?,
            poller: Poller::new()?,
            ready: Vec::new(),
            buffer: vec![0; READ_BYTES],
            data_bytes,
            counts: Counts::new(topics.len()),
            topics,
            subscribers: Vec::new(),
            multiplexes: Vec::new(),
            requested_ns: Vec::new(),
            publishers: Vec::new(),
            idle: Vec::new(),
            backlog: VecDeque::new(),
        })
    }

    /// Opens `count` more subscribers and waits for the responses. They take the topics in turn,
    /// one each.
    ///
    /// # Errors
    ///
    /// [`BenchError::Connect`], [`BenchError::Refused`], or [`BenchError::Stuck`].
    pub(crate) fn open_subscribers(
        &mut self,
        count: usize,
        after: Option<&str>,
        opening_max: usize,
    ) -> Result<(), BenchError> {
        let bar = progress::bar("connecting", count as u64);
        let opened_before = self.counts.opened;
        for number in 0..count {
            let topic = self.requested_ns.len() % self.topics.len().max(1);
            self.open_subscriber(topic, after)?;
            let enough = (number + 1).saturating_sub(opening_max) as u64;
            self.wait(
                "answers to subscriptions",
                opened_before + enough,
                |counts| counts.opened,
            )?;
            bar.set_position(self.counts.opened - opened_before);
        }
        let all = opened_before + count as u64;
        self.wait("answers to subscriptions", all, |counts| counts.opened)?;
        bar.finish_and_clear();
        Ok(())
    }

    /// Opens one more subscriber to `topic`, without waiting for the response.
    ///
    /// # Errors
    ///
    /// [`BenchError::Connect`].
    pub(crate) fn open_subscriber(
        &mut self,
        topic: usize,
        after: Option<&str>,
    ) -> Result<(), BenchError> {
        self.open_subscriber_by(self.target.transport, topic, after)
    }

    /// Does the same over another transport than that of the run.
    ///
    /// # Errors
    ///
    /// [`BenchError::Connect`].
    pub(crate) fn open_subscriber_by(
        &mut self,
        transport: Transport,
        topic: usize,
        after: Option<&str>,
    ) -> Result<(), BenchError> {
        let query = exact(self.topics.get(topic).map_or("", String::as_str));
        let account = self.add_account(topic);
        self.subscribe(transport, &query, after, account)
    }

    /// Opens one more subscriber with this `query`, without waiting for the response. Returns its
    /// number in [`Counts::log`].
    ///
    /// # Errors
    ///
    /// [`BenchError::Connect`].
    pub(crate) fn open_by_query(&mut self, query: &str) -> Result<usize, BenchError> {
        let account = self.add_account(usize::MAX);
        self.subscribe(self.target.transport, query, None, account)?;
        Ok(account)
    }

    fn subscribe(
        &mut self,
        transport: Transport,
        query: &str,
        after: Option<&str>,
        account: usize,
    ) -> Result<(), BenchError> {
        if transport == Transport::Http2 {
            return Err(BenchError::Option {
                option: "--transport",
                reason: "http2 is for `compare`",
            });
        }
        let number = self.subscribers.len();
        let wrong = |source| BenchError::Connect { number, source };
        let mut link = Link::open(&self.target, number, Protocol::Http1).map_err(wrong)?;
        let request = self.target.subscription(transport, query, after);
        link.send(&request).map_err(wrong)?;
        self.poller.add(&link, number as u64)?;
        let again = match transport {
            Transport::LongPoll => Some(self.target.poll(query)),
            Transport::SockJs => Some(request),
            Transport::EventStream | Transport::Http2 | Transport::WebSocket => None,
        };
        self.subscribers
            .push(Subscriber::new(link, account, transport, again));
        Ok(())
    }

    /// Opens an HTTP/2 connection with this many streams of `topic`, and waits for the responses.
    ///
    /// # Errors
    ///
    /// [`BenchError::Connect`], [`BenchError::Refused`], or [`BenchError::Stuck`].
    pub(crate) fn open_multiplex(
        &mut self,
        topic: usize,
        streams: usize,
    ) -> Result<(), BenchError> {
        let number = self.multiplexes.len();
        let wrong = |source| BenchError::Connect { number, source };
        let link = Link::open(&self.target, number, Protocol::Http2).map_err(wrong)?;
        self.poller.add(&link, MULTIPLEXES + number as u64)?;
        let multiplex = Multiplex::open(link).map_err(wrong)?;
        self.multiplexes.push(multiplex);
        let query = exact(self.topics.get(topic).map_or("", String::as_str));
        let request = self.target.http2_subscription(&query);
        let request = request.map_err(|error| wrong(std::io::Error::other(error)))?;
        for _ in 0..streams {
            let account = self.add_account(topic);
            if let Some(multiplex) = self.multiplexes.last_mut() {
                multiplex.subscribe(&request, account).map_err(wrong)?;
            }
            let opened = self.counts.opened + 1;
            self.on_multiplex(number)?;
            self.wait("answers to subscriptions", opened, |counts| counts.opened)?;
        }
        Ok(())
    }

    /// Adds one more subscriber to the ledger.
    fn add_account(&mut self, topic: usize) -> usize {
        let topic = u32::try_from(topic).unwrap_or(u32::MAX);
        self.counts.ledger.add(topic);
        self.requested_ns.push(now_ns());
        self.requested_ns.len() - 1
    }

    /// Closes all subscribers and starts a new ledger.
    pub(crate) fn close_subscribers(&mut self) {
        self.subscribers.clear();
        self.multiplexes.clear();
        self.requested_ns.clear();
        self.counts.ledger = Ledger::new(self.topics.len());
        self.counts.opened = 0;
        self.counts.reset();
    }

    /// Closes all subscribers but the first `kept`.
    pub(crate) fn keep_subscribers(&mut self, kept: usize) {
        self.subscribers.truncate(kept);
    }

    /// Opens `count` more publishers.
    ///
    /// # Errors
    ///
    /// [`BenchError::Connect`].
    pub(crate) fn open_publishers(&mut self, count: usize) -> Result<(), BenchError> {
        for _ in 0..count {
            let number = self.publishers.len();
            self.publishers.push(open_publisher(
                &self.publishers_target,
                &self.poller,
                number,
            )?);
            self.idle.push(number);
        }
        Ok(())
    }

    /// Closes all publishers. None of them may have an update in flight.
    pub(crate) fn close_publishers(&mut self) {
        self.publishers.clear();
        self.idle.clear();
    }

    /// Publishes the next update of `topic` as soon as a publisher is idle.
    ///
    /// # Errors
    ///
    /// [`BenchError::Connection`].
    pub(crate) fn publish(&mut self, topic: usize, due_ns: u64) -> Result<(), BenchError> {
        let Some(published) = self.counts.published.get_mut(topic) else {
            return Ok(());
        };
        let number = *published;
        *published += 1;
        let topic = u32::try_from(topic).unwrap_or(u32::MAX);
        self.backlog.push_back(Mark {
            topic,
            number,
            due_ns,
        });
        self.send_backlog()
    }

    /// Returns the number of publishers with nothing in flight.
    pub(crate) fn idle_publishers(&self) -> usize {
        self.idle.len()
    }

    /// Returns the number of subscribers, over all kinds of connections.
    pub(crate) fn subscribers(&self) -> usize {
        self.requested_ns.len()
    }

    /// Returns whether connections are encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        self.target.tls.is_some()
    }

    /// Returns the bytes of all event streams so far, without response heads.
    pub(crate) fn received_bytes(&self) -> u64 {
        let http1 = self.subscribers.iter().map(Subscriber::bytes);
        http1
            .chain(self.multiplexes.iter().map(Multiplex::bytes))
            .sum()
    }

    /// Returns the number of deliveries expected from the updates published so far.
    pub(crate) fn expected(&self) -> u64 {
        self.counts.ledger.expected(&self.counts.published)
    }

    /// Returns when subscription `number` was sent.
    pub(crate) fn requested_ns(&self, number: usize) -> u64 {
        self.requested_ns.get(number).copied().unwrap_or_default()
    }

    /// Waits up to `timeout` for readable sockets, and reads them.
    ///
    /// # Errors
    ///
    /// [`BenchError`] if a connection ended or a request was refused.
    pub(crate) fn turn(&mut self, timeout: Duration) -> Result<(), BenchError> {
        let mut ready = std::mem::take(&mut self.ready);
        let waited = self.poller.wait(timeout.min(TURN_MAX), &mut ready);
        let read = waited.and_then(|()| {
            let place = |number: u64| usize::try_from(number).unwrap_or_default();
            ready.iter().try_for_each(|&number| match number {
                MULTIPLEXES.. => self.on_multiplex(place(number - MULTIPLEXES)),
                PUBLISHERS.. => self.on_publisher(place(number - PUBLISHERS)),
                _ => self.on_subscriber(place(number)),
            })
        });
        self.ready = ready;
        read
    }

    /// Runs turns until `count` has reached `want`.
    ///
    /// # Errors
    ///
    /// [`BenchError::Stuck`] if it does not grow for [`PATIENCE`]; the errors of a turn.
    pub(crate) fn wait(
        &mut self,
        what: &'static str,
        want: u64,
        count: impl Fn(&Counts) -> u64,
    ) -> Result<(), BenchError> {
        match self.wait_for_at_most(PATIENCE, want, &count)? {
            true => Ok(()),
            false => {
                let (have, secs) = (count(&self.counts), PATIENCE.as_secs());
                Err(BenchError::Stuck {
                    what,
                    have,
                    want,
                    secs,
                })
            }
        }
    }

    /// Runs turns until `count` has reached `want`, or has not grown for `patience`. Returns
    /// whether it has reached `want`.
    ///
    /// # Errors
    ///
    /// Those of [`turn`](Self::turn).
    pub(crate) fn wait_for_at_most(
        &mut self,
        patience: Duration,
        want: u64,
        count: impl Fn(&Counts) -> u64,
    ) -> Result<bool, BenchError> {
        let patience = nanos(patience);
        let (mut have, mut since) = (count(&self.counts), now_ns());
        while have < want {
            self.turn(TURN_MAX)?;
            let (more, now) = (count(&self.counts), now_ns());
            if more > have {
                (have, since) = (more, now);
            } else if now - since > patience {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn on_subscriber(&mut self, number: usize) -> Result<(), BenchError> {
        let Some(subscriber) = self.subscribers.get_mut(number) else {
            return Ok(());
        };
        let (counts, account) = (&mut self.counts, subscriber.account());
        let mut now = 0;
        let turn = subscriber.on_readable(&mut self.buffer, |mark| {
            // One clock reading for all marks of a read: they arrived together.
            if now == 0 {
                now = now_ns();
            }
            counts.on_delivery(account, mark, now);
        })?;
        if turn == Turn::Opened {
            let requested = self.requested_ns.get(account).copied().unwrap_or_default();
            counts.on_opened(requested);
        }
        Ok(())
    }

    fn on_multiplex(&mut self, number: usize) -> Result<(), BenchError> {
        let Some(multiplex) = self.multiplexes.get_mut(number) else {
            return Ok(());
        };
        let (counts, requested_ns) = (&mut self.counts, &self.requested_ns);
        let mut now = 0;
        multiplex.on_readable(|account, event| match event {
            Event::Opened => {
                counts.on_opened(requested_ns.get(account).copied().unwrap_or_default());
            }
            Event::Mark(mark) => {
                if now == 0 {
                    now = now_ns();
                }
                counts.on_delivery(account, mark, now);
            }
        })
    }

    fn on_publisher(&mut self, number: usize) -> Result<(), BenchError> {
        let Some(publisher) = self.publishers.get_mut(number) else {
            return Ok(());
        };
        let acknowledged = match publisher.on_readable(&mut self.buffer)? {
            Answer::Incomplete => return Ok(()),
            Answer::Closed => {
                *publisher = open_publisher(&self.publishers_target, &self.poller, number)?;
                return Ok(());
            }
            Answer::Acknowledged(acknowledged) => acknowledged,
        };
        let counts = &mut self.counts;
        counts
            .acknowledgement
            .record(now_ns().saturating_sub(acknowledged.sent_ns));
        counts.acknowledged += 1;
        if counts.keep_every > 0 && counts.acknowledged.is_multiple_of(counts.keep_every) {
            counts.ids.push(acknowledged.id);
        }
        self.idle.push(number);
        self.send_backlog()
    }

    fn send_backlog(&mut self) -> Result<(), BenchError> {
        while let Some(number) = self.idle.pop() {
            let Some(mark) = self.backlog.pop_front() else {
                self.idle.push(number);
                return Ok(());
            };
            let topic = self
                .topics
                .get(mark.topic as usize)
                .map_or("", String::as_str);
            let mut form = format!("topic={}&data=", escaped(topic)).into_bytes();
            mark.write(&mut form, self.data_bytes);
            let request = self.publishers_target.publication(&form);
            let now = now_ns();
            self.counts.late_ns = now.saturating_sub(mark.due_ns);
            self.counts.sent += 1;
            if let Some(publisher) = self.publishers.get_mut(number) {
                publisher.send(&request, now)?;
            }
        }
        Ok(())
    }
}

fn open_publisher(
    target: &Target,
    poller: &Poller,
    number: usize,
) -> Result<Publisher, BenchError> {
    let link = Link::open(target, number, Protocol::Http1);
    let link = link.map_err(|source| BenchError::Connect { number, source })?;
    poller.add(&link, PUBLISHERS + number as u64)?;
    Ok(Publisher::new(link))
}
