//! One subscriber of a long run: its subscription, its progress, and its current connection, if
//! any. It uses many connections over its life.

use fastrand::Rng;

use crate::BenchError;
use crate::clock::now_ns;
use crate::histogram::Histogram;
use crate::link::{Link, Protocol};
use crate::mark::Mark;
use crate::poller::Poller;
use crate::soak::account::{Account, Next, Progress};
use crate::soak::cursors::{Cursor, Cursors};
use crate::soak::role::{Doing, Role};
use crate::soak::stream::{Brought, Standing, Stream};
use crate::target::{Target, Transport, exact};

/// Asks for everything that is kept. Mercure, "Reconnection, State Reconciliation, and Event Sourcing".
const EARLIEST: &str = "earliest";
/// Receive buffer of a slow subscriber, so that it falls behind soon.
const SLOW_RECEIVE_BYTES: usize = 8 * 1024;

/// A subscriber.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) role: Role,
    pub(crate) doing: Doing,
    /// Changes with everything that happens to it, so that a deed planned before is not done.
    pub(crate) turn: u32,
    /// Whether nothing more is expected of it.
    pub(crate) retired: bool,
    /// Whether it comes without a token.
    anonymous: bool,
    /// Topics that it asks for.
    topics: Vec<u32>,
    /// Those of them that it may read.
    readable: Vec<u32>,
    progress: Vec<Progress>,
    /// Id of the last event, or what a new start begins with.
    cursor: Option<String>,
    /// When the update was due whose id the cursor is.
    cursor_due_ns: u64,
    stream: Option<Stream>,
}

/// What all subscribers write to.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) account: Account,
    pub(crate) cursors: Cursors,
    pub(crate) rng: Rng,
    /// Deliveries to steady subscribers, from the moment that the update was due.
    pub(crate) latency: Histogram,
    pub(crate) tally: Tally,
    /// Whether the hub never forgets an update.
    pub(crate) keeps_all: bool,
}

/// What happened how often.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Subscriptions taken.
    pub(crate) opened: u64,
    /// Those of them that went on after a cursor.
    pub(crate) resumed: u64,
    /// Cursors that the hub did not know although their updates are young enough to be kept.
    pub(crate) cursors_lost: u64,
    /// Cursors that the hub did not know, of updates that it need not keep: a reader of the oldest
    /// updates lost its connection, and retention was faster than its return.
    pub(crate) cursors_expired: u64,
    /// Connections that the hub ended, or that broke.
    pub(crate) ended: u64,
    /// Subscribers that stopped reading for a while.
    pub(crate) pauses: u64,
    /// Bursts of updates.
    pub(crate) bursts: u64,
    /// Times that most subscribers lost their connections at once.
    pub(crate) storms: u64,
    /// Updates that were not sent because the hub was away for too long.
    pub(crate) not_sent: u64,
}

impl Subscriber {
    /// Makes a subscriber without a connection. `readable` are those of `topics` whose updates it
    /// may receive.
    pub(crate) fn new(role: Role, anonymous: bool, topics: Vec<u32>, readable: Vec<u32>) -> Self {
        Self {
            role,
            doing: Doing::Away,
            turn: 0,
            retired: false,
            anonymous,
            topics,
            readable,
            progress: Vec::new(),
            cursor: None,
            cursor_due_ns: 0,
            stream: None,
        }
    }

    /// Returns how far it has come in each topic.
    pub(crate) fn progress(&self) -> &[Progress] {
        &self.progress
    }

    /// Says whether it comes without a token.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.anonymous
    }

    /// Says whether its subscription was taken and goes on.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.stream.as_ref().is_some_and(Stream::is_open)
    }

    /// Forgets what it received, and begins as its role does.
    pub(crate) fn begin(&mut self, book: &mut Book) {
        self.cursor = None;
        let mut start = Next::NotAfter(0);
        match self.role {
            Role::Steady | Role::Roamer | Role::Slow => {}
            Role::Witness => {
                self.cursor = Some(EARLIEST.to_owned());
                start = Next::Place(0);
            }
            Role::Historian => {
                self.cursor = Some(EARLIEST.to_owned());
                start = match book.keeps_all {
                    true => Next::Place(0),
                    false => Next::Oldest,
                };
            }
            Role::Returner => {
                // Until there is a cursor to come back to, it is one more who begins now.
                if let Some(found) = book.cursors.choose(&mut book.rng, now_ns()) {
                    self.topics = vec![found.topic];
                    self.readable = vec![found.topic];
                    self.cursor = Some(found.id);
                    self.cursor_due_ns = found.due_ns;
                    start = Next::Place(found.place + 1);
                }
            }
        }
        self.progress = (self.readable.iter())
            .map(|topic| Progress::new(*topic, start))
            .collect();
    }

    /// Connects and subscribes after the cursor, if there is one.
    ///
    /// # Errors
    ///
    /// The hub cannot be reached.
    pub(crate) fn connect(
        &mut self,
        number: usize,
        target: &Target,
        names: &[String],
        poller: &Poller,
    ) -> Result<(), BenchError> {
        let wrong = |source| BenchError::Connect { number, source };
        let receive_bytes = (self.role == Role::Slow).then_some(SLOW_RECEIVE_BYTES);
        let mut link =
            Link::open_with(target, number, Protocol::Http1, receive_bytes).map_err(wrong)?;
        let names = (self.topics.iter()).filter_map(|topic| names.get(*topic as usize));
        let query: Vec<String> = names.map(|name| exact(name)).collect();
        let request = target.subscription(
            Transport::EventStream,
            &query.join("&"),
            self.cursor.as_deref(),
        );
        link.send(&request).map_err(wrong)?;
        poller.add(&link, number as u64)?;
        self.stream = Some(Stream::new(link));
        self.doing = Doing::Reading;
        Ok(())
    }

    /// Ends the connection.
    pub(crate) fn leave(&mut self) {
        self.stream = None;
        self.doing = Doing::Away;
    }

    /// Reads nothing from here on.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub(crate) fn pause(&mut self, poller: &Poller) -> Result<(), BenchError> {
        self.doing = Doing::Pausing;
        match &self.stream {
            Some(stream) => poller.remove(&stream.link),
            None => Ok(()),
        }
    }

    /// Reads again.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub(crate) fn read_again(&mut self, number: usize, poller: &Poller) -> Result<(), BenchError> {
        self.doing = Doing::Reading;
        match &self.stream {
            Some(stream) => poller.add(&stream.link, number as u64),
            None => Ok(()),
        }
    }

    /// Reads what is there and books it.
    pub(crate) fn on_readable(&mut self, buffer: &mut [u8], book: &mut Book) -> Standing {
        let Some(mut stream) = self.stream.take() else {
            return Standing::Open;
        };
        let now = now_ns();
        let standing = stream.on_readable(buffer, |brought| match brought {
            Brought::Opened { from } => self.on_opened(from.as_deref(), book),
            Brought::Event(event) => {
                self.on_event(&event.id, Mark::read(&event.data), now, book);
            }
        });
        self.stream = (standing == Standing::Open).then_some(stream);
        if standing != Standing::Open {
            self.doing = Doing::Away;
        }
        standing
    }

    fn on_opened(&mut self, from: Option<&str>, book: &mut Book) {
        book.tally.opened += 1;
        match self.cursor.as_deref() {
            None => {
                for progress in &mut self.progress {
                    let sent = book.account.sent(progress.topic);
                    *progress = Progress::new(progress.topic, Next::NotAfter(sent));
                }
            }
            Some(EARLIEST) => {}
            Some(asked) if from == Some(asked) => book.tally.resumed += 1,
            Some(_) => {
                match book.cursors.is_young(self.cursor_due_ns, now_ns()) {
                    true => book.tally.cursors_lost += 1,
                    false => book.tally.cursors_expired += 1,
                }
                // What is lost by that is one mistake, not one for each update.
                for progress in &mut self.progress {
                    *progress = Progress::new(progress.topic, Next::Oldest);
                }
            }
        }
    }

    fn on_event(&mut self, id: &str, mark: Option<Mark>, now: u64, book: &mut Book) {
        let (topic, number, due_ns) = match mark {
            Some(mark) => (mark.topic, mark.number, mark.due_ns),
            None => (u32::MAX, u32::MAX, now),
        };
        let place = book
            .account
            .on_delivery(&mut self.progress, topic, number, id);
        if let Some(place) = place {
            let cursor = || Cursor {
                id: id.to_owned(),
                topic,
                place,
                due_ns,
            };
            book.cursors.show(&mut book.rng, cursor);
        }
        if matches!(self.role, Role::Witness | Role::Steady) {
            book.latency.record(now.saturating_sub(due_ns));
        }
        self.cursor = Some(id.to_owned());
        self.cursor_due_ns = due_ns;
    }

    /// Says whether it has a cursor to come back with.
    pub(crate) fn has_begun(&self) -> bool {
        !self.progress.is_empty()
    }

    /// Books what it received before its place in the order was known.
    pub(crate) fn take_waiting(&mut self, account: &mut Account) {
        for progress in &mut self.progress {
            account.take_waiting(progress);
        }
    }

    /// Returns how many updates known to be there it has not received yet.
    pub(crate) fn outstanding(&self, account: &Account) -> u64 {
        let each = self
            .progress
            .iter()
            .map(|progress| account.outstanding(progress));
        each.sum()
    }
}
