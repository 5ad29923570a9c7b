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
use crate::soak::role::{Activity, Role};
use crate::soak::stream::{Incoming, Stream, StreamState};
use crate::target::{Target, Transport, exact};

/// The cursor for the whole history. Mercure, "Reconnection, State Reconciliation, and Event
/// Sourcing".
const EARLIEST: &str = "earliest";
/// The receive buffer of a slow subscriber, in bytes: small, so that it falls behind soon.
const SLOW_RECEIVE_BYTES: usize = 8 * 1024;

/// A subscriber.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) role: Role,
    pub(crate) activity: Activity,
    /// Changes with every event, so that an action scheduled before it is skipped.
    pub(crate) turn: u32,
    /// Whether no further deliveries are expected.
    pub(crate) retired: bool,
    /// Whether it connects without a token.
    anonymous: bool,
    /// The topics that it subscribes to.
    topics: Vec<u32>,
    /// The topics among them that it may read.
    readable: Vec<u32>,
    progress: Vec<Progress>,
    /// The id of the last event, or the cursor of its role.
    cursor: Option<String>,
    /// When the update of the cursor was due.
    cursor_due_ns: u64,
    stream: Option<Stream>,
}

/// The records that all subscribers share.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) account: Account,
    pub(crate) cursors: Cursors,
    pub(crate) rng: Rng,
    /// Latency of deliveries to steady subscribers, from the update's due time.
    pub(crate) latency: Histogram,
    pub(crate) tally: Tally,
    /// Whether the hub retains every update.
    pub(crate) keeps_all: bool,
}

/// Counts of what happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Accepted subscriptions.
    pub(crate) opened: u64,
    /// Accepted subscriptions that resumed from a cursor.
    pub(crate) resumed: u64,
    /// Cursors that the hub did not know although it must still retain their updates.
    pub(crate) cursors_lost: u64,
    /// Cursors that the hub did not know, of updates that it need not retain: a reader of the
    /// oldest updates lost its connection, and retention overtook it before it returned.
    pub(crate) cursors_expired: u64,
    /// Connections that the hub closed, or that failed.
    pub(crate) ended: u64,
    /// Subscribers that stopped reading for a while.
    pub(crate) pauses: u64,
    /// Bursts of updates.
    pub(crate) bursts: u64,
    /// Times that most subscribers were disconnected at once.
    pub(crate) storms: u64,
    /// Updates that were not sent because the hub was unavailable for too long.
    pub(crate) not_sent: u64,
}

impl Subscriber {
    /// Makes a subscriber without a connection. `readable` are the `topics` whose updates it may
    /// receive.
    pub(crate) fn new(role: Role, anonymous: bool, topics: Vec<u32>, readable: Vec<u32>) -> Self {
        Self {
            role,
            activity: Activity::Away,
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

    /// Returns its progress in each topic.
    pub(crate) fn progress(&self) -> &[Progress] {
        &self.progress
    }

    /// Returns whether it connects without a token.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.anonymous
    }

    /// Returns whether its subscription is open.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.stream.as_ref().is_some_and(Stream::is_open)
    }

    /// Resets its progress, and starts as its role requires.
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
                // Until there is a cursor to return to, it begins like a new subscriber.
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

    /// Connects and subscribes from its cursor, if it has one.
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
        self.activity = Activity::Reading;
        Ok(())
    }

    /// Closes the connection.
    pub(crate) fn leave(&mut self) {
        self.stream = None;
        self.activity = Activity::Away;
    }

    /// Stops reading.
    ///
    /// # Errors
    ///
    /// [`BenchError::System`] if the system refuses.
    pub(crate) fn pause(&mut self, poller: &Poller) -> Result<(), BenchError> {
        self.activity = Activity::Pausing;
        match &self.stream {
            Some(stream) => poller.remove(&stream.link),
            None => Ok(()),
        }
    }

    /// Continues reading.
    ///
    /// # Errors
    ///
    /// [`BenchError::System`] if the system refuses.
    pub(crate) fn read_again(&mut self, number: usize, poller: &Poller) -> Result<(), BenchError> {
        self.activity = Activity::Reading;
        match &self.stream {
            Some(stream) => poller.add(&stream.link, number as u64),
            None => Ok(()),
        }
    }

    /// Reads what is available and records it.
    pub(crate) fn on_readable(&mut self, buffer: &mut [u8], book: &mut Book) -> StreamState {
        let Some(mut stream) = self.stream.take() else {
            return StreamState::Open;
        };
        let now = now_ns();
        let state = stream.on_readable(buffer, |incoming| match incoming {
            Incoming::Opened { from } => self.on_opened(from.as_deref(), book),
            Incoming::Event(event) => {
                self.on_event(&event.id, Mark::read(&event.data), now, book);
            }
        });
        self.stream = (state == StreamState::Open).then_some(stream);
        if state != StreamState::Open {
            self.activity = Activity::Away;
        }
        state
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
                // A lost cursor counts as one error, not as one for each missed update.
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

    /// Returns whether it has begun, and so can resume.
    pub(crate) fn has_begun(&self) -> bool {
        !self.progress.is_empty()
    }

    /// Records deliveries that came before their place in the order was known.
    pub(crate) fn take_waiting(&mut self, account: &mut Account) {
        for progress in &mut self.progress {
            account.take_waiting(progress);
        }
    }

    /// Returns how many known updates it has not received yet.
    pub(crate) fn outstanding(&self, account: &Account) -> u64 {
        let each = self
            .progress
            .iter()
            .map(|progress| account.outstanding(progress));
        each.sum()
    }
}
