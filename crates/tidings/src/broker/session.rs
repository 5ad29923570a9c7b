//! One connection: reading, writing, heartbeats. The connection's socket interprets the messages.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tidings_wire::zmtp::decoder::PeerCommand;
use tidings_wire::zmtp::{ProtocolError, SocketType, command};
use tokio::io::Interest;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::Shared;
use super::data_source::DataSource;
use super::input::Input;
use super::link::{Failure, Link, Read};
use super::outbox::{Chunk, Outbox, Wrote};
use super::publish::Publisher;
use super::push::Pusher;
use super::turn::Turn;

/// Maximum number of reads from one peer before others get their turn.
const READS_PER_TURN: usize = 4;

/// A socket with all its connections.
pub(crate) enum Socket {
    Input(Input),
    Publisher(Publisher),
    Pusher(Rc<Pusher>),
}

/// Whether a connection is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    Messages,
    /// It is not known whose turn it is: what the peer sends stays with it until that is.
    Nothing,
}

/// One connection, as its socket sees it.
#[derive(Default)]
pub(crate) struct Session {
    /// Its number among the socket's connections.
    pub(crate) key: usize,
    pub(crate) outbox: RefCell<Outbox>,
    wake: Notify,
    /// The peer receives nothing any more.
    deaf: Cell<bool>,
    /// Whether the subscriptions of a SUB socket were sent to the peer.
    pub(crate) subscribed: Cell<bool>,
    /// The minor version of the peer's ZMTP.
    pub(crate) minor: u8,
    /// Messages of the current chunk that the peer subscribed to.
    pub(crate) picked: RefCell<Vec<usize>>,
}

impl Session {
    /// Wakes the connection's task to write the queue.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }
}

impl Socket {
    /// Makes a socket that sends messages.
    pub(crate) fn output(shared: &Rc<Shared>, source: &DataSource) -> Rc<Self> {
        Rc::new(if source.socket_type == SocketType::Push {
            Self::Pusher(Rc::new(Pusher::new(shared)))
        } else {
            Self::Publisher(Publisher::new(shared, source.socket_type))
        })
    }

    /// Queues messages, waiting while the peers of a PUSH socket are full.
    pub(crate) async fn send(&self, chunk: &Chunk) {
        match self {
            Self::Publisher(publisher) => publisher.publish(chunk),
            Self::Pusher(pusher) => pusher.push(chunk).await,
            Self::Input(_) => {}
        }
    }

    /// Queues messages. Messages without space are dropped and counted.
    pub(crate) fn offer(&self, chunk: &Chunk) {
        match self {
            Self::Publisher(publisher) => publisher.publish(chunk),
            Self::Pusher(pusher) => pusher.offer(chunk),
            Self::Input(_) => {}
        }
    }

    /// Sends or takes back the subscriptions of an input whose turn has changed. Returns whether messages
    /// are read.
    fn settle(&self, session: &Session) -> Takes {
        match self {
            Self::Input(input) => input.settle(session),
            Self::Publisher(_) | Self::Pusher(_) => Takes::Messages,
        }
    }

    /// Waits until the turn of an input changes.
    async fn turned(turn: &mut Option<watch::Receiver<Turn>>) {
        let changed = match turn {
            Some(turn) => turn.changed().await.is_ok(),
            None => false,
        };
        if !changed {
            std::future::pending().await
        }
    }

    fn turn(&self) -> Option<watch::Receiver<Turn>> {
        match self {
            Self::Input(input) => input.turn(),
            Self::Publisher(_) | Self::Pusher(_) => None,
        }
    }

    fn enter(&self, session: Session) -> Rc<Session> {
        match self {
            Self::Input(_) => Rc::new(session),
            Self::Publisher(publisher) => publisher.enter(session),
            Self::Pusher(pusher) => pusher.enter(session),
        }
    }

    fn leave(&self, session: &Session) {
        match self {
            Self::Input(_) => {}
            Self::Publisher(publisher) => publisher.leave(session),
            Self::Pusher(pusher) => pusher.leave(session),
        }
    }

    async fn on_chunk(&self, session: &Session, chunk: Chunk) -> Result<(), ProtocolError> {
        match self {
            Self::Input(input) => {
                input.on_chunk(session, chunk).await;
                Ok(())
            }
            Self::Publisher(publisher) => publisher.on_chunk(session, &chunk),
            Self::Pusher(_) => Err(ProtocolError::UnexpectedMessage(SocketType::Pull)),
        }
    }

    fn on_command(&self, session: &Session, command: PeerCommand) -> Result<(), ProtocolError> {
        match (self, command) {
            (_, PeerCommand::Ping(context)) => {
                let mut pong = Vec::new();
                command::encode_pong(&mut pong, &context);
                session.outbox.borrow_mut().control(pong);
                Ok(())
            }
            (Self::Publisher(publisher), PeerCommand::Subscribe(prefix)) => {
                publisher.subscribe(session, &prefix)
            }
            (Self::Publisher(publisher), PeerCommand::Cancel(prefix)) => {
                publisher.cancel(session, &prefix);
                Ok(())
            }
            (
                Self::Input(_) | Self::Pusher(_),
                PeerCommand::Subscribe(_) | PeerCommand::Cancel(_),
            ) => Ok(()),
        }
    }

    /// Returns whether the connections only read, so that they end with the broker.
    fn reads(&self) -> bool {
        matches!(self, Self::Input(_))
    }

    fn on_written(&self) {
        if let Self::Pusher(pusher) = self {
            pusher.on_space();
        }
    }
}

/// Serves one connection until it ends. A peer that closes the connection is not a failure.
///
/// # Errors
///
/// Why the connection ended.
pub(crate) async fn run(
    shared: &Rc<Shared>,
    socket: &Rc<Socket>,
    link: Link,
) -> Result<(), Failure> {
    let session = Session {
        minor: link.peer.minor,
        ..Session::default()
    };
    let session = socket.enter(session);
    // The queued bytes are counted where they are queued, written and dropped.
    shared.on_queue(0, session.outbox.borrow().bytes());
    let result = serve(shared, socket, &session, link).await;
    shared.on_queue(session.outbox.borrow().bytes(), 0);
    socket.leave(&session);
    result
}

async fn serve(
    shared: &Rc<Shared>,
    socket: &Rc<Socket>,
    session: &Session,
    mut link: Link,
) -> Result<(), Failure> {
    let mut stopping = shared.stopping.subscribe();
    let mut heartbeat = Heartbeat::new(shared.limits.heartbeat, link.peer.minor);
    let mut turn = socket.turn();
    let mut reads = 0;
    loop {
        let takes = with_queue(shared, session, || socket.settle(session));
        let wrote = write(shared, socket, session, &link)?;
        if *stopping.borrow() && (socket.reads() || wrote == Wrote::All) {
            return Ok(());
        }
        let read = match takes {
            Takes::Messages => link.read(shared),
            Takes::Nothing => Ok(Read::Blocked),
        };
        let read = match read {
            // Closing in the middle of a message counts as closing.
            Err(_gone) if session.deaf.get() => return Ok(()),
            other => other?,
        };
        match read {
            Read::End => return Ok(()),
            Read::Some(chunk, commands, broken) => {
                heartbeat.on_read();
                for command in commands {
                    with_queue(shared, session, || socket.on_command(session, command))?;
                }
                if !chunk.messages.is_empty() {
                    socket.on_chunk(session, chunk).await?;
                }
                if let Some(error) = broken {
                    return Err(error.into());
                }
                reads += 1;
                if reads % READS_PER_TURN == 0 {
                    tokio::task::yield_now().await;
                }
                continue;
            }
            Read::Blocked => {}
        }
        let interest = match wrote {
            Wrote::All if takes == Takes::Nothing => {
                tokio::select! {
                    () = Socket::turned(&mut turn) => {}
                    _ = stopping.changed() => {}
                }
                continue;
            }
            Wrote::Blocked if takes == Takes::Nothing => Interest::WRITABLE,
            Wrote::All => Interest::READABLE,
            Wrote::Blocked => Interest::READABLE | Interest::WRITABLE,
            Wrote::Turn => {
                tokio::task::yield_now().await;
                continue;
            }
        };
        tokio::select! {
            ready = link.stream.ready(interest) => drop(ready?),
            () = session.wake.notified() => {}
            _ = stopping.changed() => {}
            () = Socket::turned(&mut turn) => {}
            () = heartbeat.tick() => {
                let idle = wrote == Wrote::All;
                if let Some(ping) = heartbeat.on_tick(idle)? {
                    with_queue(shared, session, || session.outbox.borrow_mut().control(ping));
                }
            }
        }
    }
}

/// Runs an action that may queue bytes for the peer, and counts them.
fn with_queue<T>(shared: &Shared, session: &Session, work: impl FnOnce() -> T) -> T {
    let before = session.outbox.borrow().bytes();
    let result = work();
    shared.on_queue(before, session.outbox.borrow().bytes());
    result
}

fn write(
    shared: &Shared,
    socket: &Socket,
    session: &Session,
    link: &Link,
) -> Result<Wrote, Failure> {
    let mut outbox = session.outbox.borrow_mut();
    if outbox.bytes() == 0 || session.deaf.get() {
        return Ok(Wrote::All);
    }
    let before = outbox.bytes();
    let result = outbox.write(&link.stream);
    shared.on_queue(before, outbox.bytes());
    drop(outbox);
    match result {
        Ok((wrote, messages)) => {
            shared.counters.sent.inc_by(messages as u64);
            socket.on_written();
            Ok(wrote)
        }
        // Messages that the peer sent before it closed are still read.
        Err(_gone) if socket.reads() => {
            session.deaf.set(true);
            Ok(Wrote::All)
        }
        Err(error) => Err(error.into()),
    }
}

/// Detects peers that vanished without closing the connection.
struct Heartbeat {
    ticks: Interval,
    heard: Instant,
    /// When the unanswered PING was sent.
    asked: Option<Instant>,
    /// Whether the peer supports PING (since ZMTP 3.1).
    known: bool,
}

impl Heartbeat {
    fn new(every: std::time::Duration, minor: u8) -> Self {
        let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            ticks,
            heard: Instant::now(),
            asked: None,
            known: minor > 0,
        }
    }

    async fn tick(&mut self) {
        self.ticks.tick().await;
    }

    fn on_read(&mut self) {
        self.asked = None;
        self.heard = Instant::now();
    }

    /// Returns the PING to send, if one is due. A peer that is behind gets none: it is alive, or
    /// the kernel detects that it is not.
    fn on_tick(&mut self, idle: bool) -> Result<Option<Vec<u8>>, Failure> {
        let every = self.ticks.period();
        if let Some(asked) = self.asked {
            return match asked.elapsed() >= every && idle {
                true => Err(Failure::Silent(every)),
                false => Ok(None),
            };
        }
        if !self.known || !idle || self.heard.elapsed() < every / 2 {
            return Ok(None);
        }
        self.asked = Some(Instant::now());
        let tenths = u16::try_from(every.as_millis() / 50).unwrap_or(u16::MAX);
        let mut ping = Vec::new();
        command::encode_ping(&mut ping, tenths);
        Ok(Some(ping))
    }
}
