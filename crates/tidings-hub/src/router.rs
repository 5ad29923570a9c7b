//! The router thread. It owns the matcher index, matches each committed update once, and sends it to every
//! shard. Joins pass through the same queue, so a subscriber's place in the order of updates is exact. The
//! router knows no socket, subscriber or shard, only destinations and interned matchers.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tidings_core::hub_url::HubUrl;
use tidings_core::index::{MatcherId, MatcherIndex};
use tidings_core::matcher::Matcher;
use tidings_core::position::Position;
use tidings_core::subject::Subject;
use tidings_core::topic::Topic;
use tidings_core::update::Update;
use tidings_history::Tip;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::control::Listener;
use crate::metrics::Metrics;
use crate::posted::{Batch, Posted, Subjects};
use crate::steering::topics::{TopicCounts, TopicRates};

/// Commands that may wait for the router. Beyond this the history writer and joining subscribers wait.
pub(crate) const COMMANDS_MAX: usize = 4096;
/// Commands handled before the destinations get what has gathered.
const COMMANDS_PER_TURN: usize = 256;
/// Matchers interned before the destinations get what has gathered. The command that exceeds it is still
/// handled whole.
const JOINS_PER_TURN: usize = 256;
/// Matchers released at once. Freeing a pattern takes microseconds, and updates should not wait for the
/// patterns of a thousand subscribers that left together.
const RELEASES_PER_TURN: usize = 64;

/// A command to the router.
#[derive(Debug)]
pub enum Command {
    /// Spread a committed group.
    Committed {
        /// The updates, in order.
        group: Vec<Arc<Update>>,
        /// When they became durable.
        durable: Instant,
    },
    /// Intern the matchers of a subscriber that is joining on `shard`.
    Join {
        /// Index of the shard that gets the ids.
        shard: usize,
        /// The subscriber of that shard that the ids are for.
        ticket: Ticket,
        /// What it subscribes to. The ids come back in this order.
        matchers: Box<[Matcher]>,
    },
    /// Release matchers of subscribers that left. One entry for each time they were interned.
    Release(Vec<MatcherId>),
    /// The history left its line: this is the newest update now.
    Cut(Tip),
    /// Updates of a topic up to a position were withdrawn from the history.
    Withdrawn(Topic, Position),
    /// Say which topics are published most.
    Topics(oneshot::Sender<TopicRates>),
    /// End the thread.
    Stop,
}

/// What the router sends to one of its destinations, in the order of the commands.
#[derive(Debug)]
pub enum Outgoing {
    /// Updates to spread.
    Batch(Batch),
    /// The router knows a subscriber's matchers; updates after `at` follow.
    Joined {
        /// The subscriber of that shard that the ids are for.
        ticket: Ticket,
        /// The interned matchers, in the order of the request.
        ids: Box<[MatcherId]>,
        /// The position of the last update that was routed without them.
        at: Position,
    },
    /// The history left its line. What comes next follows here. Subscribers that have seen anything else are told,
    /// and reconnect.
    Cut(Tip),
    /// Updates of a topic up to a position were withdrawn from the history.
    Withdrawn(Topic, Position),
}

/// A receiver of batches: a shard, or the ZeroMQ broker.
pub trait Destination: Send {
    /// Delivers, and waits while the destination is behind: its backlog is bounded, so that publishers slow down
    /// and memory does not grow. If the destination is gone, the process is ending.
    fn deliver(&self, outgoing: Vec<Outgoing>);
}

/// Names a joining subscriber within its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(pub tidings_core::hub::SubscriberId);

/// A handle to the router's queue, for the shards and the history.
#[derive(Clone, Debug)]
pub struct Router {
    commands: mpsc::Sender<Command>,
}

impl Router {
    /// Makes the queue, which [`start`] serves.
    pub fn queue() -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        (Self { commands }, receiver)
    }

    /// Hands over a committed group. Blocks while the router is behind: call it from the writer thread.
    pub fn committed(&self, group: Vec<Arc<Update>>) {
        // If the router is gone, the process is ending.
        let durable = Instant::now();
        let command = Command::Committed { group, durable };
        drop(self.commands.blocking_send(command));
    }

    /// Hands over that the history left its line. Blocks like [`committed`](Self::committed).
    pub fn cut(&self, tip: Tip) {
        drop(self.commands.blocking_send(Command::Cut(tip)));
    }

    /// Tells every destination that updates of a topic up to `through` were withdrawn, after those that
    /// were committed before.
    pub(crate) async fn withdrawn(&self, topic: Topic, through: Position) {
        drop(self.commands.send(Command::Withdrawn(topic, through)).await);
    }

    /// Returns which topics are published most. None if the hub is ending.
    pub async fn topics(&self) -> Option<TopicRates> {
        let (reply, topics) = oneshot::channel();
        self.commands.send(Command::Topics(reply)).await.ok()?;
        topics.await.ok()
    }

    /// Asks the router to intern the matchers of a joining subscriber. Waits while the queue is full.
    pub async fn join(&self, shard: usize, ticket: Ticket, matchers: Box<[Matcher]>) {
        drop(
            self.commands
                .send(Command::Join {
                    shard,
                    ticket,
                    matchers,
                })
                .await,
        );
    }

    /// Releases matchers. If the queue is full, returns them for the next try.
    pub(crate) fn try_release(&self, ids: Vec<MatcherId>) -> Result<(), Vec<MatcherId>> {
        match self.commands.try_send(Command::Release(ids)) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(Command::Release(ids))) => Err(ids),
            Err(mpsc::error::TrySendError::Full(_)) => Ok(()),
        }
    }

    /// Ends the thread once the queued commands are handled. Blocks: call it from the control thread.
    pub fn stop(&self) {
        drop(self.commands.blocking_send(Command::Stop));
    }
}

/// Starts the thread.
///
/// # Errors
///
/// The operating system refused the thread.
pub fn start(
    commands: mpsc::Receiver<Command>,
    hub: HubUrl,
    last: Position,
    destinations: Vec<Box<dyn Destination>>,
    listeners: Vec<Box<dyn Listener>>,
    metrics: Arc<Metrics>,
) -> io::Result<JoinHandle<()>> {
    let mut routing = Routing::new(hub, last, destinations.len(), metrics);
    listeners
        .into_iter()
        .for_each(|listener| routing.listen(listener));
    std::thread::Builder::new()
        .name("router".into())
        .spawn(move || routing.run(commands, &destinations))
}

/// The router's rules, without its thread.
pub struct Routing {
    hub: HubUrl,
    /// The last position that was spread: a subscriber that joins now gets what comes after it.
    last: Position,
    index: MatcherIndex,
    /// What gathered for each destination.
    outgoing: Vec<Vec<Outgoing>>,
    /// Who hears what hubs publish.
    listeners: Vec<Box<dyn Listener>>,
    metrics: Arc<Metrics>,
    matching: Vec<MatcherId>,
    /// Matchers to release when there is time. Never more than were interned.
    leaving: Vec<MatcherId>,
    /// Matchers interned during this turn.
    joined: usize,
    topics: TopicCounts,
}

impl Routing {
    /// Makes a router that continues after `last`.
    pub fn new(hub: HubUrl, last: Position, shards: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            hub,
            last,
            index: MatcherIndex::new(),
            outgoing: (0..shards).map(|_| Vec::new()).collect(),
            listeners: Vec::new(),
            metrics,
            matching: Vec::new(),
            leaving: Vec::new(),
            joined: 0,
            topics: TopicCounts::default(),
        }
    }

    /// Lets `listener` hear what hubs publish, after what was routed so far.
    pub fn listen(&mut self, listener: Box<dyn Listener>) {
        self.listeners.push(listener);
    }

    fn run(
        &mut self,
        mut commands: mpsc::Receiver<Command>,
        destinations: &[Box<dyn Destination>],
    ) {
        loop {
            let first = if self.leaving.is_empty() {
                commands.blocking_recv()
            } else {
                commands.try_recv().ok()
            };
            let Some(first) = first else {
                if self.leaving.is_empty() {
                    return;
                }
                self.on_slack();
                continue;
            };
            self.joined = 0;
            let mut stop = self.on_command(first);
            for _ in 1..COMMANDS_PER_TURN {
                let Ok(command) = commands.try_recv() else {
                    break;
                };
                stop |= self.on_command(command);
                if self.joined >= JOINS_PER_TURN {
                    break;
                }
            }
            for (number, outgoing) in self.take_outgoing() {
                if let Some(destination) = destinations.get(number) {
                    destination.deliver(outgoing);
                }
            }
            // Under load too, some matchers are released.
            self.on_slack();
            if stop {
                return;
            }
        }
    }

    /// Returns whether the thread is to end.
    pub fn on_command(&mut self, command: Command) -> bool {
        match command {
            Command::Committed { group, durable } => self.on_committed(group, durable),
            Command::Join {
                shard,
                ticket,
                matchers,
            } => self.on_join(shard, ticket, &matchers),
            Command::Release(ids) => self.leaving.extend(ids),
            Command::Cut(tip) => {
                self.last = tip.position;
                for outgoing in &mut self.outgoing {
                    outgoing.push(Outgoing::Cut(tip));
                }
                for listener in &mut self.listeners {
                    listener.on_cut(tip);
                }
            }
            Command::Withdrawn(topic, through) => {
                for outgoing in &mut self.outgoing {
                    outgoing.push(Outgoing::Withdrawn(topic.clone(), through));
                }
            }
            // Whoever asked may be gone.
            Command::Topics(reply) => drop(reply.send(self.topics.rates(Instant::now()))),
            Command::Stop => return true,
        }
        false
    }

    /// Releases some of the matchers of subscribers that left. Returns whether more are left.
    pub fn on_slack(&mut self) -> bool {
        if self.leaving.is_empty() {
            return false;
        }
        // At least a fixed share of them, so that they do not gather faster than they go.
        let count = RELEASES_PER_TURN.max(self.leaving.len() / RELEASES_PER_TURN);
        let rest = self.leaving.len().saturating_sub(count);
        for id in self.leaving.drain(rest..) {
            self.index.release(id);
        }
        self.report();
        if self.leaving.is_empty() {
            // A wave of leaving subscribers may have made it large.
            self.leaving = Vec::new();
        }
        !self.leaving.is_empty()
    }

    fn on_committed(&mut self, group: Vec<Arc<Update>>, durable: Instant) {
        self.tell_listeners(&group);
        self.topics.count(&group, durable);
        let mut previous: Arc<[MatcherId]> = Arc::from([]);
        let posts = group
            .into_iter()
            .map(|update| {
                self.last = update.position;
                let topics = update.topics.iter();
                let subjects: Subjects =
                    topics.map(|topic| Subject::new(topic, &self.hub)).collect();
                match update.visibility.is_for_hubs() {
                    true => self.matching.clear(),
                    false => self.index.matching(&subjects, &mut self.matching),
                }
                // Neighbours with the same matchers share one list. The shards then see by its address that
                // they go to the same subscribers.
                if *previous != *self.matching {
                    previous = Arc::from(self.matching.as_slice());
                }
                let posted = Posted::new(update, Arc::clone(&previous));
                Arc::new(posted.with_subjects(subjects))
            })
            .collect();
        let batch = Batch { posts, durable };
        for outgoing in &mut self.outgoing {
            outgoing.push(Outgoing::Batch(batch.clone()));
        }
    }

    fn tell_listeners(&mut self, group: &[Arc<Update>]) {
        let Some(last) = group.last().filter(|_| !self.listeners.is_empty()) else {
            return;
        };
        let own = group.iter().filter(|update| update.is_of_hub());
        let own: Vec<Arc<Update>> = own.cloned().collect();
        let tip = Tip {
            position: last.position,
            print: last.print,
        };
        for listener in &mut self.listeners {
            listener.on_committed(&own, tip);
        }
    }

    fn on_join(&mut self, shard: usize, ticket: Ticket, matchers: &[Matcher]) {
        let ids: Box<[MatcherId]> = matchers
            .iter()
            .map(|matcher| self.index.intern(matcher))
            .collect();
        self.joined += matchers.len();
        self.report();
        if let Some(outgoing) = self.outgoing.get_mut(shard) {
            outgoing.push(Outgoing::Joined {
                ticket,
                ids,
                at: self.last,
            });
        }
    }

    /// Returns how many distinct matchers there are.
    pub fn matchers(&self) -> usize {
        self.index.len()
    }

    fn report(&self) {
        self.metrics
            .matchers
            .set(i64::try_from(self.index.len()).unwrap_or(i64::MAX));
    }

    /// Takes what gathered, for each destination that has something.
    pub fn take_outgoing(&mut self) -> impl Iterator<Item = (usize, Vec<Outgoing>)> {
        let gathered = self.outgoing.iter_mut().map(std::mem::take).enumerate();
        gathered.filter(|(_, outgoing)| !outgoing.is_empty())
    }
}
