//! The generator's single thread: subscribers, publishers and their epoll set.

use std::collections::VecDeque;
use std::time::Duration;

use crate::BenchError;
use crate::clock::{nanos, now_ns};
use crate::histogram::Histogram;
use crate::ledger::Ledger;
use crate::link::{Link, Protocol};
use crate::mark::Mark;
use crate::multiplex::{Event, Multiplex};
use crate::poller::Poller;
use crate::progress;
use crate::publisher::{Answer, Publisher};
use crate::subscriber::{Subscriber, Turn};
use crate::target::{self, Target, Transport, escaped, exact};

/// Bytes read from a socket at once.
const READ_BYTES: usize = 256 * 1024;
/// Numbers from here on in the epoll set are publishers.
const PUBLISHERS: u64 = 1 << 32;
/// Numbers from here on are HTTP/2 connections.
const MULTIPLEXES: u64 = 1 << 33;
/// Longest wait in the epoll set; whoever waits for something looks at the clock this often.
const TURN_MAX: Duration = Duration::from_millis(100);
/// Subscriptions that are sent before their answers are read.
pub(crate) const OPENING_MAX: usize = 256;

/// Everything that a run has open, and what it counted.
#[derive(Debug)]
pub(crate) struct Load {
    target: Target,
    poller: Poller,
    ready: Vec<u64>,
    buffer: Vec<u8>,
    data_bytes: usize,
    topics: Vec<String>,
    subscribers: Vec<Subscriber>,
    multiplexes: Vec<Multiplex>,
    /// When each subscriber asked, by its number in the ledger.
    asked_ns: Vec<u64>,
    publishers: Vec<Publisher>,
    idle: Vec<usize>,
    /// Updates that are due and wait for a publisher.
    backlog: VecDeque<Mark>,
    pub(crate) counts: Counts,
}

/// What was counted since the start, or since the last `reset`.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) ledger: Ledger,
    /// Updates handed to publishers, per topic.
    pub(crate) published: Vec<u32>,
    pub(crate) opened: u64,
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    /// From a subscription's request to its answer.
    pub(crate) opening: Histogram,
    /// From the moment that an update was due to its arrival.
    pub(crate) latency: Histogram,
    /// From sending an update to its acknowledgement.
    pub(crate) acknowledgement: Histogram,
    /// How late the last update was sent.
    pub(crate) late_ns: u64,
    /// When the last delivery arrived.
    pub(crate) last_delivery_ns: u64,
    /// Ids of acknowledged updates: every `keep_every`-th. Zero keeps none.
    pub(crate) ids: Vec<String>,
    pub(crate) keep_every: u64,
    /// Every delivery, where they are few and the ledger's one topic for each connection does not
    /// fit. The ledger then sees none.
    pub(crate) log: Option<Vec<Delivery>>,
    /// When each update of the first topic began and ended to arrive, by its number; only if asked
    /// for.
    pub(crate) spans: Option<Vec<Span>>,
}

/// How an update spread.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    /// When it was due; zero if nothing of it arrived.
    pub(crate) due_ns: u64,
    /// When the first subscriber had it, and when the last.
    pub(crate) first_ns: u64,
    pub(crate) last_ns: u64,
}

/// One update that arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    /// Who received it.
    pub(crate) account: usize,
    pub(crate) mark: Mark,
    /// When.
    pub(crate) at_ns: u64,
}

impl Load {
    /// Prepares a run with that many topics, whose names are of this run only.
    ///
    /// # Errors
    ///
    /// The hub cannot be found, or the system has no file left.
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
    /// The hub cannot be found, or the system has no file left.
    pub(crate) fn with_topics(
        target: &target::Options,
        topics: Vec<String>,
        data_bytes: usize,
    ) -> Result<Self, BenchError> {
        Ok(Self {
            target: Target::find(target)?,
            poller: Poller::new()?,
            ready: Vec::new(),
            buffer: vec![0; READ_BYTES],
            data_bytes,
            counts: Counts::new(topics.len()),
            topics,
            subscribers: Vec::new(),
            multiplexes: Vec::new(),
            asked_ns: Vec::new(),
            publishers: Vec::new(),
            idle: Vec::new(),
            backlog: VecDeque::new(),
        })
    }

    /// Opens that many more subscribers, each for one topic in turn, and waits for their answers.
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
            let topic = self.asked_ns.len() % self.topics.len().max(1);
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

    /// Opens one more subscriber, of `topic`, without waiting for the answer.
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

    /// The same by another transport than that of the run.
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
        self.ask(transport, &query, after, account)
    }

    /// Opens one more subscriber, of whatever `query` asks for, without waiting for the answer.
    /// Returns its number in the account that [`Counts::log`] keeps.
    ///
    /// # Errors
    ///
    /// [`BenchError::Connect`].
    pub(crate) fn open_by_query(&mut self, query: &str) -> Result<usize, BenchError> {
        let account = self.add_account(usize::MAX);
        self.ask(self.target.transport, query, None, account)?;
        Ok(account)
    }

    fn ask(
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

    /// Opens an HTTP/2 connection with that many streams of `topic`, and waits for their answers.
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
                multiplex.ask(&request, account).map_err(wrong)?;
            }
            let opened = self.counts.opened + 1;
            self.on_multiplex(number)?;
            self.wait("answers to subscriptions", opened, |counts| counts.opened)?;
        }
        Ok(())
    }

    /// Begins the account of one more subscriber.
    fn add_account(&mut self, topic: usize) -> usize {
        let topic = u32::try_from(topic).unwrap_or(u32::MAX);
        self.counts.ledger.add(topic);
        self.asked_ns.push(now_ns());
        self.asked_ns.len() - 1
    }

    /// Closes all subscribers and begins a new account of what they received.
    pub(crate) fn close_subscribers(&mut self) {
        self.subscribers.clear();
        self.multiplexes.clear();
        self.asked_ns.clear();
        self.counts.ledger = Ledger::new(self.topics.len());
        self.counts.opened = 0;
        self.counts.reset();
    }

    /// Closes all subscribers but the first `kept`.
    pub(crate) fn keep_subscribers(&mut self, kept: usize) {
        self.subscribers.truncate(kept);
    }

    /// Opens that many publishers.
    ///
    /// # Errors
    ///
    /// [`BenchError::Connect`].
    pub(crate) fn open_publishers(&mut self, count: usize) -> Result<(), BenchError> {
        for _ in 0..count {
            let number = self.publishers.len();
            self.publishers
                .push(open_publisher(&self.target, &self.poller, number)?);
            self.idle.push(number);
        }
        Ok(())
    }

    /// Closes all publishers. None may have an update in flight.
    pub(crate) fn close_publishers(&mut self) {
        self.publishers.clear();
        self.idle.clear();
    }

    /// Publishes the next update of `topic`, as soon as a publisher is free.
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

    /// Returns how many publishers have nothing in flight.
    pub(crate) fn idle_publishers(&self) -> usize {
        self.idle.len()
    }

    /// Returns how many subscribers there are, of either kind.
    pub(crate) fn subscribers(&self) -> usize {
        self.asked_ns.len()
    }

    /// Returns whether connections are encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        self.target.tls.is_some()
    }

    /// Returns the bytes of all event streams so far, without their heads.
    pub(crate) fn received_bytes(&self) -> u64 {
        let http1 = self.subscribers.iter().map(Subscriber::bytes);
        http1
            .chain(self.multiplexes.iter().map(Multiplex::bytes))
            .sum()
    }

    /// Returns how many deliveries the updates published so far make.
    pub(crate) fn expected(&self) -> u64 {
        self.counts.ledger.expected(&self.counts.published)
    }

    /// Returns when the subscription of subscriber `number` was sent.
    pub(crate) fn asked_ns(&self, number: usize) -> u64 {
        self.asked_ns.get(number).copied().unwrap_or_default()
    }

    /// Waits for at most `timeout` for something to read, and reads it.
    ///
    /// # Errors
    ///
    /// A connection ended or a request was refused.
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

    /// Takes turns until `count` has reached `want`.
    ///
    /// # Errors
    ///
    /// [`BenchError::Stuck`] if it does not grow for [`PATIENCE`]; what a turn has.
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

    /// Takes turns until `count` has reached `want`, or has not grown for `patience`. Returns
    /// whether it was reached.
    ///
    /// # Errors
    ///
    /// What a turn has.
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
            // One look at the clock for all that a read brought: they arrived together.
            if now == 0 {
                now = now_ns();
            }
            counts.on_delivery(account, mark, now);
        })?;
        if turn == Turn::Opened {
            let asked = self.asked_ns.get(account).copied().unwrap_or_default();
            counts.on_opened(asked);
        }
        Ok(())
    }

    fn on_multiplex(&mut self, number: usize) -> Result<(), BenchError> {
        let Some(multiplex) = self.multiplexes.get_mut(number) else {
            return Ok(());
        };
        let (counts, asked_ns) = (&mut self.counts, &self.asked_ns);
        let mut now = 0;
        multiplex.on_readable(|account, event| match event {
            Event::Opened => {
                counts.on_opened(asked_ns.get(account).copied().unwrap_or_default());
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
                *publisher = open_publisher(&self.target, &self.poller, number)?;
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
            let request = self.target.publication(&form);
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

impl Counts {
    fn new(topics: usize) -> Self {
        Self {
            ledger: Ledger::new(topics),
            published: vec![0; topics],
            opened: 0,
            sent: 0,
            acknowledged: 0,
            opening: Histogram::new(),
            latency: Histogram::new(),
            acknowledgement: Histogram::new(),
            late_ns: 0,
            last_delivery_ns: 0,
            ids: Vec::new(),
            keep_every: 0,
            log: None,
            spans: None,
        }
    }

    fn on_opened(&mut self, asked_ns: u64) {
        self.opened += 1;
        self.opening.record(now_ns().saturating_sub(asked_ns));
    }

    fn on_delivery(&mut self, account: usize, mark: Mark, now: u64) {
        match &mut self.log {
            Some(log) => log.push(Delivery {
                account,
                mark,
                at_ns: now,
            }),
            None => self.ledger.on_delivery(account, mark.topic, mark.number),
        }
        if let Some(spans) = &mut self.spans
            && mark.topic == 0
        {
            note_span(spans, mark, now);
        }
        self.latency.record(now.saturating_sub(mark.due_ns));
        self.last_delivery_ns = self.last_delivery_ns.max(now);
    }

    /// Forgets the times measured so far; the account of updates goes on.
    pub(crate) fn reset(&mut self) {
        self.latency = Histogram::new();
        self.acknowledgement = Histogram::new();
        self.late_ns = 0;
    }
}

fn note_span(spans: &mut Vec<Span>, mark: Mark, now: u64) {
    let number = mark.number as usize;
    if number >= spans.len() {
        spans.resize(number + 1, Span::default());
    }
    if let Some(span) = spans.get_mut(number) {
        if span.due_ns == 0 {
            (span.due_ns, span.first_ns) = (mark.due_ns, now);
        }
        span.last_ns = now;
    }
}

/// How long a run waits when nothing happens.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
