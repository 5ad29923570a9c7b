//! The one loop of a long run: what is due, then what the connections incoming.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Map, Value};

use crate::BenchError;
use crate::clock::{nanos, now_ns};
use crate::histogram::Histogram;
use crate::mark::Mark;
use crate::poller::Poller;
use crate::process::Process;
use crate::soak::account::Account;
use crate::soak::cursors::Cursors;
use crate::soak::publishers::{Outcome, Publishers};
use crate::soak::role::{Action, Activity, Role};
use crate::soak::samples::Samples;
use crate::soak::schedule::{Event, Schedule};
use crate::soak::stream::{StreamState, garbled};
use crate::soak::subscriber::{Book, Subscriber, Tally};
use crate::soak::{Hub, Options};
use crate::subscriber::ended;
use crate::target::Target;

/// Bytes read from a socket at once.
const READ_BYTES: usize = 256 * 1024;
/// Epoll numbers from here on belong to publishers.
const PUBLISHERS: u64 = 1 << 32;
/// The longest wait in epoll.
const TURN_MAX: Duration = Duration::from_millis(100);
/// How long to wait for missing deliveries while nothing arrives.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a publisher waits before it reconnects.
const PUBLISHER_BACK_OFF: Duration = Duration::from_millis(50);
/// The percentage of subscribers that a storm disconnects.
const STORM_PERCENT: u8 = 80;
/// The percentage of subscribers without a token.
const ANONYMOUS_PERCENT: u8 = 25;
/// The most topics that one subscriber subscribes to.
const TOPICS_MAX: usize = 3;

/// The whole state of a run.
#[derive(Debug)]
pub(crate) struct Engine<'a> {
    options: &'a Options,
    target: Target,
    anonymous: Target,
    poller: Poller,
    ready: Vec<u64>,
    buffer: Vec<u8>,
    topics: Vec<String>,
    subscribers: Vec<Subscriber>,
    publishers: Publishers,
    /// The due times of updates that wait for a publisher.
    backlog: VecDeque<u64>,
    schedule: Schedule,
    samples: Option<Samples>,
    begin_ns: u64,
    /// Whether no new activity begins.
    ending: bool,
    pub(crate) book: Book,
    /// From sending an update to its acknowledgement.
    pub(crate) acknowledgement: Histogram,
}

impl<'a> Engine<'a> {
    /// Prepares a run without any connection.
    ///
    /// # Errors
    ///
    /// [`BenchError`] if the hub is not found, or a file cannot be created.
    pub(crate) fn new(options: &'a Options) -> Result<Self, BenchError> {
        let target = Target::find(&options.target)?;
        let server = options.target.pid.map(Process::new);
        let samples = options.samples.clone();
        let samples = samples.map(|sources| Samples::create(sources, server));
        let begin_ns = now_ns();
        let topic = |number| format!("https://bench.example/{begin_ns}/{number}");
        Ok(Self {
            anonymous: target.anonymous(),
            target,
            poller: Poller::new()?,
            ready: Vec::new(),
            buffer: vec![0; READ_BYTES],
            topics: (0..options.topics).map(topic).collect(),
            subscribers: Vec::new(),
            publishers: Publishers::new(options.publishers, PUBLISHERS),
            backlog: VecDeque::new(),
            schedule: Schedule::default(),
            samples: samples.transpose()?,
            begin_ns,
            ending: false,
            book: Book {
                account: Account::new(options.topics, options.publishers),
                cursors: Cursors::new(options.keeps),
                rng: Rng::with_seed(options.seed),
                latency: Histogram::new(),
                tally: Tally::default(),
                keeps_all: options.keeps.is_none(),
            },
            acknowledgement: Histogram::new(),
            options,
        })
    }

    /// Connects the witnesses, then schedules the start: all others connect within the first
    /// second.
    ///
    /// # Errors
    ///
    /// [`BenchError`] if the hub cannot be reached or does not answer.
    pub(crate) fn begin(&mut self) -> Result<(), BenchError> {
        for number in 0..self.options.subscribers {
            let subscriber = self.new_subscriber(number);
            self.subscribers.push(subscriber);
        }
        for number in 0..self.options.topics {
            self.perform(number, Action::Begin)?;
        }
        let (want, secs) = (self.options.topics as u64, PATIENCE.as_secs());
        let deadline = now_ns() + nanos(PATIENCE);
        while self.subscribed() < want {
            self.turn()?;
            if now_ns() > deadline {
                let (what, have) = ("answers to subscriptions", self.subscribed());
                return Err(BenchError::Stuck {
                    what,
                    have,
                    want,
                    secs,
                });
            }
        }
        self.begin_ns = now_ns();
        for number in self.options.topics..self.options.subscribers {
            let at = self.begin_ns + self.book.rng.u64(0..nanos(Duration::from_secs(1)));
            self.plan_action(number, at, Action::Begin);
        }
        for number in 0..self.publishers.count() {
            self.schedule
                .add(self.begin_ns, Event::Publisher { number });
        }
        self.schedule.add(self.begin_ns, Event::Update);
        self.schedule.add(self.begin_ns, Event::Sample);
        let Options {
            burst_every,
            storm_every,
            ..
        } = self.options;
        self.schedule
            .add(self.begin_ns + nanos(*burst_every), Event::Burst);
        self.schedule
            .add(self.begin_ns + nanos(*storm_every), Event::Storm);
        Ok(())
    }

    /// Chooses topics and rights. The first subscribers have a token and together cover every
    /// topic, so that each update has a receiver.
    fn new_subscriber(&mut self, number: usize) -> Subscriber {
        let rng = &mut self.book.rng;
        let topics = self.options.topics;
        let first = number < topics;
        let role = if first {
            Role::Witness
        } else {
            Role::of(number)
        };
        // A returner needs a token, because its cursor may be that of a private update.
        let unknown = !first && role != Role::Returner;
        let anonymous = unknown && rng.u8(0..100) < ANONYMOUS_PERCENT;
        let mut wanted = vec![number % topics];
        wanted.extend((0..rng.usize(0..TOPICS_MAX)).map(|_| rng.usize(0..topics)));
        wanted.sort_unstable();
        wanted.dedup();
        let wanted: Vec<u32> = (wanted.into_iter())
            .map(|topic| u32::try_from(topic).unwrap_or(u32::MAX))
            .collect();
        let mut readable = wanted.clone();
        readable.retain(|topic| !(anonymous && self.options.is_private(*topic)));
        Subscriber::new(role, anonymous, wanted, readable)
    }

    /// Runs until `until_ns`, and calls `on_second` about once a second.
    ///
    /// # Errors
    ///
    /// Those of a turn.
    pub(crate) fn run_until(
        &mut self,
        until_ns: u64,
        mut on_second: impl FnMut(&Self),
    ) -> Result<(), BenchError> {
        let mut second = now_ns();
        while now_ns() < until_ns {
            self.turn()?;
            if now_ns() >= second {
                on_second(self);
                second += nanos(Duration::from_secs(1));
            }
        }
        Ok(())
    }

    /// Returns when the run began.
    pub(crate) fn begin_ns(&self) -> u64 {
        self.begin_ns
    }

    /// Performs what is due, then reads from the connections until the next event is due.
    fn turn(&mut self) -> Result<(), BenchError> {
        while let Some((due_ns, event)) = self.schedule.take_due(now_ns()) {
            self.on_due(due_ns, event)?;
        }
        self.send_backlog()?;
        let now = now_ns();
        let next = self.schedule.next_ns().unwrap_or(u64::MAX);
        let timeout = Duration::from_nanos(next.saturating_sub(now)).min(TURN_MAX);
        let mut ready = std::mem::take(&mut self.ready);
        let waited = self.poller.wait(timeout, &mut ready);
        let read = waited.and_then(|()| {
            let mut numbers = ready.iter();
            numbers.try_for_each(|number| match number.checked_sub(PUBLISHERS) {
                Some(publisher) => {
                    self.on_publisher(usize::try_from(publisher).unwrap_or(usize::MAX))
                }
                None => self.on_subscriber(usize::try_from(*number).unwrap_or(usize::MAX)),
            })
        });
        self.ready = ready;
        read
    }

    fn on_due(&mut self, due_ns: u64, event: Event) -> Result<(), BenchError> {
        match event {
            Event::Update => {
                self.backlog.push_back(due_ns);
                let step = Duration::from_secs_f64(1.0 / self.options.rate);
                self.schedule.add(due_ns + nanos(step), Event::Update);
            }
            Event::Burst => {
                self.book.tally.bursts += 1;
                self.backlog.extend((0..self.options.burst).map(|_| due_ns));
                self.schedule
                    .add(due_ns + nanos(self.options.burst_every), Event::Burst);
            }
            Event::Storm => {
                self.storm()?;
                self.schedule
                    .add(due_ns + nanos(self.options.storm_every), Event::Storm);
            }
            Event::Sample => {
                self.sample()?;
                self.schedule
                    .add(due_ns + nanos(self.options.sample_every), Event::Sample);
            }
            Event::Publisher { number } => {
                match self.publishers.connect(number, &self.target, &self.poller) {
                    Ok(()) => {}
                    Err(_) if self.options.hub == Hub::Restarts => self.plan_publisher(number),
                    Err(error) => return Err(error),
                }
            }
            Event::Subscriber {
                number,
                turn,
                action,
            } => {
                let current = self.subscribers.get(number);
                if current.is_some_and(|subscriber| subscriber.turn == turn) {
                    self.perform(number, action)?;
                }
            }
        }
        // After a long outage, the hub does not receive the whole backlog at once.
        let waiting_max = 2 * self.options.burst + self.options.publishers;
        while self.options.hub == Hub::Restarts && self.backlog.len() > waiting_max {
            self.backlog.pop_front();
            self.book.tally.not_sent += 1;
        }
        Ok(())
    }

    fn send_backlog(&mut self) -> Result<(), BenchError> {
        while self.publishers.has_idle() {
            let Some(due_ns) = self.backlog.pop_front() else {
                return Ok(());
            };
            let index = self.book.rng.usize(0..self.topics.len());
            let topic = u32::try_from(index).unwrap_or(u32::MAX);
            let mark = Mark {
                topic,
                number: self.book.account.on_sent(topic),
                due_ns,
            };
            let name = self.topics.get(index).map_or("", String::as_str);
            let visibility = if self.options.is_private(topic) {
                "&private=on"
            } else {
                ""
            };
            let bytes = self.options.data_bytes;
            let broken = self
                .publishers
                .send(&self.target, name, mark, visibility, bytes);
            if let Some(number) = broken {
                let mark = self.publishers.on_broken(number);
                self.on_publisher_broken(number, mark)?;
            }
        }
        Ok(())
    }

    fn on_publisher(&mut self, number: usize) -> Result<(), BenchError> {
        match self.publishers.on_readable(number, &mut self.buffer)? {
            Outcome::Open => {}
            Outcome::Acknowledged { mark, id, took_ns } => {
                self.acknowledgement.record(took_ns);
                self.book
                    .account
                    .on_acknowledged(mark.topic, mark.number, &id);
                self.send_backlog()?;
            }
            Outcome::Broken { mark } => self.on_publisher_broken(number, mark)?,
        }
        Ok(())
    }

    fn on_publisher_broken(&mut self, number: usize, mark: Option<Mark>) -> Result<(), BenchError> {
        if let Some(mark) = mark {
            if self.options.hub == Hub::Stays {
                return Err(BenchError::Connection(ended()));
            }
            self.book.account.on_given_up(mark.topic, mark.number);
        }
        self.plan_publisher(number);
        Ok(())
    }

    fn plan_publisher(&mut self, number: usize) {
        let at = now_ns() + nanos(PUBLISHER_BACK_OFF);
        self.schedule.add(at, Event::Publisher { number });
    }

    fn on_subscriber(&mut self, number: usize) -> Result<(), BenchError> {
        let Some(subscriber) = self.subscribers.get_mut(number) else {
            return Ok(());
        };
        match subscriber.on_readable(&mut self.buffer, &mut self.book) {
            StreamState::Open => Ok(()),
            StreamState::Ended => {
                self.book.tally.ended += 1;
                self.plan_resume(number);
                Ok(())
            }
            StreamState::Refused(503) if self.options.hub == Hub::Restarts => {
                self.plan_resume(number);
                Ok(())
            }
            StreamState::Refused(status) => Err(BenchError::Refused {
                request: "subscription",
                status: status.to_string(),
                detail: String::new(),
            }),
            StreamState::Garbled => Err(BenchError::Connection(garbled())),
        }
    }

    /// Schedules a disconnected subscriber to resume where it was, as a browser would.
    fn plan_resume(&mut self, number: usize) {
        let wait = Role::Steady.duration(Activity::Away, &mut self.book.rng);
        let at = now_ns() + nanos(wait.unwrap_or_default());
        self.plan_action(number, at, Action::Resume);
    }

    fn plan_action(&mut self, number: usize, at_ns: u64, action: Action) {
        if let Some(subscriber) = self.subscribers.get_mut(number) {
            subscriber.turn = subscriber.turn.wrapping_add(1);
            let turn = subscriber.turn;
            self.schedule.add(
                at_ns,
                Event::Subscriber {
                    number,
                    turn,
                    action,
                },
            );
        }
    }

    fn perform(&mut self, number: usize, action: Action) -> Result<(), BenchError> {
        let Some(subscriber) = self.subscribers.get_mut(number) else {
            return Ok(());
        };
        match action {
            Action::Leave => subscriber.leave(),
            Action::Pause => {
                self.book.tally.pauses += 1;
                subscriber.pause(&self.poller)?;
            }
            Action::Read => subscriber.read_again(number, &self.poller)?,
            Action::Begin | Action::Resume => {
                if action == Action::Begin || !subscriber.has_begun() {
                    subscriber.begin(&mut self.book);
                }
                let target = match subscriber.is_anonymous() {
                    true => &self.anonymous,
                    false => &self.target,
                };
                match subscriber.connect(number, target, &self.topics, &self.poller) {
                    Ok(()) => {}
                    Err(_) if self.options.hub == Hub::Restarts => {
                        self.plan_resume(number);
                        return Ok(());
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        self.plan_next(number);
        Ok(())
    }

    fn plan_next(&mut self, number: usize) {
        let Some(subscriber) = self.subscribers.get(number).filter(|_| !self.ending) else {
            return;
        };
        let (role, activity) = (subscriber.role, subscriber.activity);
        if let Some(duration) = role.duration(activity, &mut self.book.rng) {
            let action = role.next(activity, &mut self.book.rng);
            self.plan_action(number, now_ns() + nanos(duration), action);
        }
    }

    /// Disconnects most subscribers and reconnects them, all at once.
    fn storm(&mut self) -> Result<(), BenchError> {
        self.book.tally.storms += 1;
        let mut hit = Vec::new();
        for (number, subscriber) in self.subscribers.iter_mut().enumerate() {
            let lucky = self.book.rng.u8(0..100) >= STORM_PERCENT;
            if subscriber.role == Role::Slow || subscriber.activity == Activity::Away || lucky {
                continue;
            }
            subscriber.leave();
            hit.push(number);
        }
        hit.into_iter()
            .try_for_each(|number| self.perform(number, Action::Resume))
    }

    fn sample(&mut self) -> Result<(), BenchError> {
        let connected = self.subscribed();
        let Some(samples) = &mut self.samples else {
            return Ok(());
        };
        let mut sample: Map<String, Value> = Map::new();
        let millis = (now_ns() - self.begin_ns) / 1_000_000;
        for (name, value) in [
            ("ms", millis),
            ("connected", connected),
            ("acknowledged", self.book.account.acknowledged()),
            ("delivered", self.book.account.delivered()),
            ("opened", self.book.tally.opened),
            ("ended", self.book.tally.ended),
            ("storms", self.book.tally.storms),
        ] {
            sample.insert(name.to_owned(), value.into());
        }
        samples.take(sample)
    }

    /// Returns the number of open subscriptions.
    pub(crate) fn subscribed(&self) -> u64 {
        let open = self
            .subscribers
            .iter()
            .filter(|subscriber| subscriber.is_subscribed());
        open.count() as u64
    }

    /// Stops publishing, and reconnects all subscribers that stay to the end.
    ///
    /// # Errors
    ///
    /// [`BenchError`] if the hub cannot be reached.
    pub(crate) fn end(&mut self) -> Result<(), BenchError> {
        self.ending = true;
        self.backlog.clear();
        self.schedule.clear();
        for number in 0..self.subscribers.len() {
            let Some(subscriber) = self.subscribers.get(number) else {
                continue;
            };
            let (stays, activity) = (subscriber.role.stays_to_the_end(), subscriber.activity);
            match activity {
                _ if !stays => self.retire(number),
                Activity::Away => self.perform(number, Action::Resume)?,
                Activity::Pausing => self.perform(number, Action::Read)?,
                Activity::Reading => {}
            }
        }
        Ok(())
    }

    fn retire(&mut self, number: usize) {
        if let Some(subscriber) = self.subscribers.get_mut(number) {
            subscriber.leave();
            subscriber.retired = true;
        }
    }

    /// Adds readers to a run that has ended: one that reads all topics from the beginning, and
    /// `returners` that resume from random cursors.
    ///
    /// # Errors
    ///
    /// [`BenchError`] if the hub cannot be reached.
    pub(crate) fn read_again(&mut self, returners: usize) -> Result<(), BenchError> {
        let all: Vec<u32> = (0..).take(self.topics.len()).collect();
        let historian = Subscriber::new(Role::Historian, false, all.clone(), all.clone());
        self.add_reader(historian)?;
        for _ in 0..returners {
            self.add_reader(Subscriber::new(
                Role::Returner,
                false,
                all.clone(),
                all.clone(),
            ))?;
        }
        Ok(())
    }

    fn add_reader(&mut self, reader: Subscriber) -> Result<(), BenchError> {
        let number = self.subscribers.len();
        self.subscribers.push(reader);
        self.perform(number, Action::Begin)
    }

    /// Runs turns until all subscribers have received everything, or nothing has arrived for
    /// [`PATIENCE`].
    ///
    /// # Errors
    ///
    /// Those of a turn.
    pub(crate) fn wait_for_all(&mut self) -> Result<(), BenchError> {
        let (mut have, mut since) = (self.book.account.delivered(), now_ns());
        while now_ns() - since < nanos(PATIENCE) {
            let until = now_ns() + nanos(TURN_MAX);
            self.run_until(until, |_| {})?;
            for subscriber in &mut self.subscribers {
                subscriber.take_waiting(&mut self.book.account);
            }
            let all_there = self.publishers.in_flight() == 0
                && self.book.account.undelivered() == 0
                && self
                    .listeners()
                    .all(|one| one.is_subscribed() && one.outstanding(&self.book.account) == 0);
            if all_there {
                return Ok(());
            }
            if self.book.account.delivered() > have {
                (have, since) = (self.book.account.delivered(), now_ns());
            }
        }
        Ok(())
    }

    /// Returns the subscribers that must have received everything by now.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = &Subscriber> {
        self.subscribers.iter().filter(|one| !one.retired)
    }
}
