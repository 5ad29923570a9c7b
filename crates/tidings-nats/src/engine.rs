//! The engine: its connections, and which verb is in which file.

mod append;
mod leases;
mod line;
mod reading;
mod sizes;
mod tail;
mod turn;

use std::cell::{Cell, RefCell};

use tidings_access::{Address, Slot, Taken};
use tidings_cluster::engine::{
    Append, Appended, Call, Changed, Claimed, Engine, EngineError, EpochId, Init, Lease, Leased,
    LineEnd, NodeLease, Path, Proposal, Restore, Sender, State, Tailed,
};
use tidings_core::Position;

use self::tail::Tail;
use self::turn::Turn;
use crate::api::{Api, Info};
use crate::connection::Connection;
use crate::error::{CallError, ConnectError, unreachable};
use crate::names::{Names, hex};
use crate::options::{Options, WINDOW_BYTES_MIN};
use crate::view::{Clock, View, random};

/// The engine on NATS `JetStream`.
#[derive(Debug)]
pub struct Nats {
    pub(crate) options: Options,
    pub(crate) names: Names,
    publish: Slot<Connection>,
    control: Slot<Connection>,
    tail: Slot<Tail>,
    /// Which server is asked first. A server that does not answer one path is left by the others too,
    /// which would wait for it one after the other.
    first: Cell<usize>,
    /// The line as the publish path knows it. The follower brings it up to date.
    view: RefCell<Option<View>>,
    clock: Cell<Option<Clock>>,
    /// The newest batch that was sent: the same number again may be there already.
    sent: Cell<Option<(Sender, u64)>>,
    turn: Turn,
    /// Names atomic batches: ours, and how many there were.
    batches: (String, Cell<u64>),
}

impl Nats {
    /// Makes an engine. It connects when it is called.
    #[must_use]
    pub fn new(mut options: Options) -> Self {
        options.window_bytes = options.window_bytes.max(WINDOW_BYTES_MIN);
        let random = random();
        // Hubs spread over the servers.
        let first = usize::from(random[0]);
        Self {
            names: Names::new(&options.name),
            options,
            publish: Slot::default(),
            control: Slot::default(),
            tail: Slot::default(),
            first: Cell::new(first),
            view: RefCell::default(),
            clock: Cell::default(),
            sent: Cell::default(),
            turn: Turn::default(),
            batches: (hex(&random), Cell::new(0)),
        }
    }

    /// The server at `address` is of no use: the next connections go to another one.
    pub(crate) fn avoid(&self, address: &Address) {
        let servers = &self.options.place.servers;
        let first = self.first.get();
        if first
            .checked_rem(servers.len())
            .and_then(|at| servers.get(at))
            == Some(address)
        {
            self.first.set(first.wrapping_add(1));
        }
    }

    const fn api<'a>(&self, connection: &'a Connection) -> Api<'a> {
        Api {
            connection,
            within: self.options.timeouts.answer,
        }
    }

    /// Opens a connection to the first server that takes one.
    async fn open(&self, path: Path) -> Result<Connection, EngineError> {
        let servers = &self.options.place.servers;
        let mut fault = None;
        for _ in 0..servers.len() {
            let Some(address) = servers.get(self.first.get() % servers.len()) else {
                break;
            };
            match Connection::open(address, &self.options).await {
                Ok(connection) => {
                    if path == Path::Publish {
                        self.view.take();
                    }
                    return Ok(connection);
                }
                Err(error) => {
                    self.avoid(address);
                    fault = Some(error);
                }
            }
        }
        Err(fault.map_or_else(|| crate::error::refused("no server is named"), unreachable))
    }

    /// Does something on the connection of `path`, which is not that of the follower.
    pub(crate) async fn on<T>(
        &self,
        path: Path,
        call: impl AsyncFnOnce(&Api<'_>) -> Result<T, CallError>,
    ) -> Result<T, EngineError> {
        let slot = match path {
            Path::Publish => &self.publish,
            Path::Tail | Path::Control => &self.control,
        };
        let (connection, ticket) = match slot.take() {
            Taken::Open(connection, _) if connection.is_lost() => {
                return Err(self.lost(&connection));
            }
            Taken::Open(connection, ticket) => (connection, ticket),
            Taken::Empty(ticket) => (self.open(path).await?, ticket),
            // Any server will do here, so nobody is told that another one is to be asked.
            Taken::Moved => return Err(unreachable(ConnectError::Moved)),
        };
        let result = call(&self.api(&connection)).await;
        match &result {
            Err(error) if !error.keeps_connection() => self.avoid(connection.address()),
            Ok(_) | Err(_) => slot.put(connection, ticket),
        }
        result.map_err(CallError::into_engine)
    }

    /// The connection was closed since the last call: nothing is sent on it, so that no call is in doubt
    /// for nothing.
    fn lost(&self, connection: &Connection) -> EngineError {
        let address = connection.address().clone();
        self.avoid(&address);
        unreachable(ConnectError::Closed { address })
    }

    /// Takes note of the time of the stream's leader.
    fn tell_time(&self, info: &Info) {
        if let Some(now_ms) = info.now_ms() {
            self.clock.set(Some(Clock::set(now_ms)));
        }
    }

    /// Returns the time of the stream's leader, in Unix milliseconds, as far as it is known.
    fn now_ms(&self) -> u64 {
        self.clock.get().map_or(0, |clock| clock.now_ms())
    }
}

impl Engine for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn reset(&self, path: Path) {
        match path {
            Path::Publish => {
                self.publish.close();
                self.view.take();
            }
            Path::Tail => self.tail.close(),
            Path::Control => self.control.close(),
        }
    }

    fn init(&self, proposal: Proposal) -> Call<'_, Init> {
        Box::pin(self.init_on(Path::Publish, proposal))
    }

    fn append(&self, append: Append) -> Call<'_, Appended> {
        Box::pin(self.append_batch(append))
    }

    fn tail(&self, after: Position, bytes_max: u64) -> Call<'_, Tailed> {
        Box::pin(self.follow(after, bytes_max))
    }

    fn range(&self, from: Position, to: Position, bytes_max: u64) -> Call<'_, Tailed> {
        Box::pin(self.read(from, to, bytes_max))
    }

    fn state(&self) -> Call<'_, State> {
        Box::pin(self.probe())
    }

    fn restore(&self, restore: Restore) -> Call<'_, Changed> {
        Box::pin(self.put_back(restore))
    }

    fn repair(&self, expected: LineEnd) -> Call<'_, Changed> {
        Box::pin(self.nothing_to_repair(expected))
    }

    fn bump(&self, expected: LineEnd, new: EpochId) -> Call<'_, Changed> {
        Box::pin(self.change_epoch(expected, new))
    }

    fn lease(&self, lease: Lease) -> Call<'_, Leased> {
        Box::pin(self.take_lease(lease))
    }

    fn leases(&self) -> Call<'_, Vec<NodeLease>> {
        Box::pin(self.node_leases())
    }

    fn claim(&self, dead: Sender, by: Sender) -> Call<'_, Claimed> {
        Box::pin(self.claim_node(dead, by))
    }
}
