//! ZeroMQ: sockets that receive and send messages, with or without a hub.
//!
//! ```text
//! PULL, SUB, REP ─▶ input ─▶ outputs: PUB, PUSH          a plain broker: the same frames
//!                         └▶ hub_in ─▶ ingest            a bridge into the hub
//!                router ─▶ hub_out ─▶ outputs            a bridge out of it
//! ```
//!
//! Everything runs in one thread, so that a flood of messages does not affect the shards. The protocol's codec is in
//! `tidings_wire::zmtp`. Here are sockets, queues and their bounds.

pub(crate) mod data_source;
mod endpoint;
mod hub_in;
mod hub_out;
mod input;
mod link;
mod mapping;
mod onward;
pub(crate) mod options;
mod outbox;
mod publish;
mod push;
mod session;
mod turn;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tidings_cluster::Relay;
use tidings_core::hub_url::HubUrl;
use tidings_core::position::Position;
use tidings_wire::zmtp::decoder::Received;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use self::data_source::{Attach, DataSource};
use self::endpoint::BindError;
use self::hub_in::HubDoor;
use self::hub_out::Foreign;
use self::input::{Input, Route};
use self::onward::{Onward, Source};
use self::options::{HubOutput, Limits, Options, Security};
use self::session::Socket;
use self::turn::Turns;
use crate::binding::inherited::{Inherited, Kept};
use tidings_hub::ingest::Ingest;
use tidings_hub::metrics::zeromq::Counters;
use tidings_hub::router::{Destination, Outgoing, Router};
use tidings_hub::tasks;

/// Bytes read from a peer at once.
const READ_BYTES: usize = 256 * 1024;
/// Groups of the router's output that may wait for the broker.
const INBOX_MAX: usize = 1024;
/// How long queued messages may take to be sent when the broker stops.
const LINGER: Duration = Duration::from_secs(1);
/// How often a broker that stops checks whether everything is sent.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The parts of the hub that the broker needs as a bridge.
pub(crate) struct HubParts {
    pub(crate) url: HubUrl,
    pub(crate) ingest: Ingest,
    pub(crate) updates: prometheus_client::metrics::counter::Counter,
    pub(crate) router: Router,
    pub(crate) relay: Arc<dyn Relay>,
    pub(crate) history: tidings_history::Handle,
    /// The broker's number among the router's destinations.
    pub(crate) index: usize,
    pub(crate) inbox: mpsc::Receiver<Vec<Outgoing>>,
}

/// The broker's inbox for updates.
#[derive(Debug)]
pub(crate) struct Inbox(mpsc::Sender<Vec<Outgoing>>);

impl Destination for Inbox {
    fn deliver(&self, outgoing: Vec<Outgoing>) {
        drop(self.0.blocking_send(outgoing));
    }
}

/// Makes the inbox of a broker that is about to start.
pub(crate) fn inbox() -> (Inbox, mpsc::Receiver<Vec<Outgoing>>) {
    let (sender, receiver) = mpsc::channel(INBOX_MAX);
    (Inbox(sender), receiver)
}

/// A broker whose ports are open.
pub(crate) struct Bound {
    options: Options,
    listeners: Vec<Vec<TcpListener>>,
}

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("cannot start the broker's runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot start the broker's thread")]
    Thread(#[source] io::Error),
}

/// A running broker.
pub(crate) struct Handle {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// The state that all sockets of the broker share.
pub(crate) struct Shared {
    limits: Limits,
    security: Security,
    counters: Arc<Counters>,
    /// Open connections, during the handshake and after it.
    peers: Cell<usize>,
    /// Bytes queued for all peers together. Bytes queued for several peers count for each.
    queued: Cell<usize>,
    /// The buffer for reads from sockets, before the bytes are decoded.
    scratch: RefCell<Vec<u8>>,
    received: RefCell<Received>,
    stopping: watch::Sender<bool>,
    /// Updates from another hub that are on their way into this one.
    foreign: Foreign,
}

impl Shared {
    /// Notes that a peer's queue went from `before` bytes to `after`.
    fn on_queue(&self, before: usize, after: usize) {
        let queued = self.queued.get() + after - before;
        self.queued.set(queued);
        let gauge = &self.counters.queued_bytes;
        gauge.set(i64::try_from(queued).unwrap_or(i64::MAX));
    }
}

/// Opens the ports of all binding sockets. The running broker opens connecting sockets, and retries: their peers need
/// not be there yet. Listeners in `inherited` are open already; a duplicate of each port goes
/// to `kept`.
///
/// # Errors
///
/// An address that cannot be resolved or bound.
pub(crate) fn bind(
    mut options: Options,
    inherited: &mut Inherited,
    kept: &mut Kept,
) -> Result<Bound, BindError> {
    let mut listeners = Vec::new();
    for (number, source) in options.sources_mut().enumerate() {
        let name = format!("zeromq.{number}");
        listeners.push(match source.attach {
            Attach::Bind => endpoint::bind(&name, source, inherited, kept)?,
            Attach::Connect => Vec::new(),
        });
    }
    Ok(Bound { options, listeners })
}

impl Bound {
    /// Returns whether the broker sends updates of the hub.
    pub(crate) fn sends_updates(&self) -> bool {
        !self.options.outputs.is_empty()
    }

    /// Returns the data sources with their actual ports, and whether messages come `in` or go `out`.
    pub(crate) fn sources(&self) -> Vec<(&'static str, String)> {
        let to = |direction| move |source: &DataSource| (direction, source.to_string());
        let options = &self.options;
        let mut sources = Vec::new();
        for broker in &options.brokers {
            sources.extend(broker.inputs.iter().map(to("in")));
            sources.extend(broker.outputs.iter().map(to("out")));
        }
        sources.extend(options.inputs.iter().map(|input| to("in")(&input.source)));
        sources.extend(
            options
                .outputs
                .iter()
                .map(|output| to("out")(&output.source)),
        );
        sources
    }

    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The operating system refused the thread, or the runtime its resources.
    pub(crate) fn start(
        self,
        counters: Arc<Counters>,
        hub: Option<HubParts>,
    ) -> Result<Handle, StartError> {
        let stop = watch::Sender::new(false);
        let stopping = stop.clone();
        // Built here, so that an error reaches the caller. Used on the thread, since it must not move afterwards.
        drop(runtime().map_err(StartError::Runtime)?);
        let thread = std::thread::Builder::new()
            .name("broker".into())
            .spawn(move || match runtime() {
                Ok(runtime) => runtime.block_on(run(self, counters, hub, stopping)),
                Err(error) => tracing::error!(%error, "the broker could not start"),
            })
            .map_err(StartError::Thread)?;
        Ok(Handle { stop, thread })
    }
}

fn runtime() -> io::Result<tokio::runtime::LocalRuntime> {
    Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
}

impl Handle {
    /// Ends the broker: it stops reading, sends what is queued for a bounded time, and ends.
    ///
    /// # Errors
    ///
    /// The payload of the thread's panic.
    pub(crate) fn stop(self) -> std::thread::Result<()> {
        self.stop.send_replace(true);
        self.thread.join()
    }
}

async fn run(
    bound: Bound,
    counters: Arc<Counters>,
    hub: Option<HubParts>,
    stopping: watch::Sender<bool>,
) {
    let Bound {
        mut options,
        listeners,
    } = bound;
    if let Some(epoch) = hub.as_ref().and_then(|hub| hub.relay.epoch()) {
        // What one hub of a cluster sent out must not come back by another.
        options.node = epoch.name_for("zeromq").into();
    }
    let shared = Rc::new(Shared {
        limits: options.limits.clone(),
        security: options.security.clone(),
        counters,
        peers: Cell::new(0),
        queued: Cell::new(0),
        scratch: RefCell::new(vec![0; READ_BYTES]),
        received: RefCell::default(),
        stopping: stopping.clone(),
        foreign: Foreign::default(),
    });
    let mut listeners = listeners.into_iter();
    let mut open = |socket: &Rc<Socket>, source: &DataSource| {
        let listeners = listeners.next().unwrap_or_default();
        endpoint::open(&shared, socket, source, listeners);
    };
    for plain in &options.brokers {
        let outputs: Vec<Rc<Socket>> = plain
            .outputs
            .iter()
            .map(|source| Socket::output(&shared, source))
            .collect();
        let route = Rc::new(Route::Outputs(outputs.clone()));
        for source in &plain.inputs {
            let prefixes = vec![Vec::new()];
            let input = Input::new(&shared, source, Rc::clone(&route), prefixes, None);
            open(&Rc::new(Socket::Input(input)), source);
        }
        for (socket, source) in outputs.iter().zip(&plain.outputs) {
            open(socket, source);
        }
    }
    let Bridges { doors, onward } = match hub {
        Some(hub) => bridge(&shared, options, hub, open),
        None => Bridges::default(),
    };
    let mut stopped = stopping.subscribe();
    while !*stopped.borrow_and_update() {
        if stopped.changed().await.is_err() {
            break;
        }
    }
    let deadline = Instant::now() + LINGER;
    let busy = || shared.queued.get() > 0 || doors.iter().any(HubDoor::is_busy);
    while busy() && Instant::now() < deadline {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    for one in onward.iter().flatten() {
        one.leave().await;
    }
}

/// What goes into the hub, and the outputs that one hub of a cluster serves.
#[derive(Default)]
struct Bridges {
    doors: Vec<HubDoor>,
    onward: Vec<Option<Rc<Onward>>>,
}

/// Opens the sockets of the hub.
fn bridge(
    shared: &Rc<Shared>,
    options: Options,
    hub: HubParts,
    mut open: impl FnMut(&Rc<Socket>, &DataSource),
) -> Bridges {
    let roster = hub.relay.roster();
    let turns = roster.map(|roster| Turns::follow(&options, roster, &shared.counters));
    let turns = turns.unwrap_or_default();
    let mut doors = Vec::new();
    for bridge in &options.inputs {
        let door = HubDoor::open(shared, bridge, &options, &hub);
        doors.push(door.clone());
        let route = Rc::new(Route::Hub(door));
        let (prefixes, turn) = (bridge.prefixes.clone(), turns.of(bridge.lease.as_ref()));
        let input = Input::new(shared, &bridge.source, route, prefixes, turn);
        open(&Rc::new(Socket::Input(input)), &bridge.source);
    }
    let sockets: Vec<Rc<Socket>> = options
        .outputs
        .iter()
        .map(|bridge| Socket::output(shared, &bridge.source))
        .collect();
    for (socket, bridge) in sockets.iter().zip(&options.outputs) {
        open(socket, &bridge.source);
    }
    let line = watch::Sender::new(hub.history.tip().position);
    let onward = resuming(shared, &options, &sockets, (&hub, &line), &turns);
    for one in onward.iter().flatten() {
        tasks::spawn(Rc::clone(one).run());
    }
    let out = (sockets, onward.clone());
    tasks::spawn(hub_out::run(Rc::clone(shared), options, out, line, hub));
    Bridges { doors, onward }
}

/// Makes what sends for outputs that one hub of a cluster serves. None for the others.
fn resuming(
    shared: &Rc<Shared>,
    options: &Options,
    sockets: &[Rc<Socket>],
    (hub, line): (&HubParts, &watch::Sender<Position>),
    turns: &Turns,
) -> Vec<Option<Rc<Onward>>> {
    let one = |(output, socket): (&HubOutput, &Rc<Socket>)| {
        let turn = turns.of(output.lease.as_ref())?;
        let Socket::Pusher(pusher) = &**socket else {
            return None;
        };
        let source = Source {
            url: hub.url.clone(),
            node: Arc::clone(&options.node),
            relay: Arc::clone(&hub.relay),
            history: hub.history.clone(),
            line: line.subscribe(),
        };
        Onward::new(shared, output, Rc::clone(pusher), source, turn)
    };
    options.outputs.iter().zip(sockets).map(one).collect()
}
