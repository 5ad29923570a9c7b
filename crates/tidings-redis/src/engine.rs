//! The engine: its connections, and which verb is in which file.

mod leases;
mod line;
mod reading;

use std::time::Duration;

use redis::{Cmd, Value};
use tidings_access::{Address, Connected as _, Slot, Taken};
use tidings_cluster::engine::{
    Append, Appended, Call, Changed, Claimed, Engine, EngineError, EpochId, Init, Lease, Leased,
    LineEnd, NodeLease, Path, Proposal, Restore, Sender, State, Tailed,
};
use tidings_core::Position;

use self::reading::End;
use crate::connection::Connection;
use crate::error::{CallError, ConnectError, unreachable};
use crate::keys::Keys;
use crate::options::{Options, WINDOW_BYTES_MIN};
use crate::script::Run;
use crate::topology::Topology;

/// The engine on Redis or Valkey.
#[derive(Debug)]
pub struct Redis {
    pub(crate) options: Options,
    keys: Keys,
    topology: Topology,
    publish: Slot<Connection>,
    tail: Slot<Connection>,
    control: Slot<Connection>,
    end: End,
}

/// What is sent as one call.
enum Request<'a> {
    Command(&'a Cmd),
    Script(&'a Run),
}

impl Redis {
    /// Makes an engine. It connects when it is called.
    #[must_use]
    pub fn new(mut options: Options) -> Self {
        options.window_bytes = options.window_bytes.max(WINDOW_BYTES_MIN);
        let keys = Keys::new(&options.name);
        Self {
            topology: Topology::new(&keys.tag),
            keys,
            options,
            publish: Slot::default(),
            tail: Slot::default(),
            control: Slot::default(),
            end: End::default(),
        }
    }

    const fn slot(&self, path: Path) -> &Slot<Connection> {
        match path {
            Path::Publish => &self.publish,
            Path::Tail => &self.tail,
            Path::Control => &self.control,
        }
    }

    /// Opens a connection to the primary, whichever server that is now.
    async fn open(&self) -> Result<Connection, EngineError> {
        let primary = self.topology.primary(&self.options).await;
        self.open_at(&primary.map_err(unreachable)?).await
    }

    async fn open_at(&self, address: &Address) -> Result<Connection, EngineError> {
        let Options {
            place,
            tls,
            login,
            timeouts,
            ..
        } = &self.options;
        let opened = Connection::open(address, tls.as_ref(), login, timeouts.connect).await;
        let mut connection = opened.map_err(unreachable)?;
        let checked = connection.must_be_primary(place, timeouts.answer).await;
        checked.map_err(unreachable)?;
        Ok(connection)
    }

    /// Runs a script on the connection of `path`.
    async fn run(&self, path: Path, run: &Run) -> Result<Value, EngineError> {
        let within = self.options.timeouts.answer;
        self.request(path, Request::Script(run), within).await
    }

    /// Sends a command on the connection of `path`.
    pub(crate) async fn send(
        &self,
        path: Path,
        command: &Cmd,
        within: Duration,
    ) -> Result<Value, EngineError> {
        self.request(path, Request::Command(command), within).await
    }

    async fn request(
        &self,
        path: Path,
        request: Request<'_>,
        within: Duration,
    ) -> Result<Value, EngineError> {
        let slot = self.slot(path);
        let (mut connection, ticket) = match slot.take() {
            Taken::Open(connection, _) if connection.is_closed() => {
                let address = connection.server().clone();
                return Err(unreachable(ConnectError::Closed { address }));
            }
            Taken::Open(connection, ticket) => (connection, ticket),
            Taken::Empty(ticket) => {
                let connection = self.open().await?;
                slot.opened(connection.server());
                (connection, ticket)
            }
            Taken::Moved => return Err(unreachable(ConnectError::Moved)),
        };
        let answer = match request {
            Request::Command(command) => connection.call(command, within).await,
            Request::Script(run) => connection.run(run, within).await,
        };
        let kept = match &answer {
            Ok(_value) => true,
            Err(error) => error.keeps_connection(),
        };
        if kept {
            slot.put(connection, ticket);
        }
        answer.map_err(CallError::into_engine)
    }
}

impl Engine for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn reset(&self, path: Path) {
        self.slot(path).close();
        if path == Path::Tail {
            self.end.forget();
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
        Box::pin(self.take_over_the_rest(expected))
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
