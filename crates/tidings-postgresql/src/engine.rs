//! The engine: its connections, and which verb is in which file.

mod leases;
mod line;
mod reading;

use std::cell::Cell;
use std::sync::Arc;

use tidings_access::{Connected as _, Slot, Taken};
use tidings_cluster::engine::{
    Append, Appended, Call, Changed, Claimed, Engine, EngineError, EpochId, Init, Lease, Leased,
    LineEnd, NodeLease, Path, Proposal, Restore, Sender, State, Tailed,
};
use tidings_core::Position;
use tokio_postgres::Row;

use crate::connection::{Connection, Parameter};
use crate::error::{CallError, ConnectError, unreachable};
use crate::options::{Acknowledge, Options, WINDOW_BYTES_MIN};
use crate::schema::{Roles, identifier, schema};
use crate::servers;
use crate::wake::Wake;

/// The engine on PostgreSQL.
#[derive(Debug)]
pub struct Postgresql {
    pub(crate) options: Arc<Options>,
    /// The schema, quoted.
    schema: String,
    publish: Slot<Connection>,
    tail: Slot<Connection>,
    control: Slot<Connection>,
    wake: Wake,
    /// The end of the line, if the follower has just read up to it because of a notification.
    read_to: Cell<Option<Position>>,
}

impl Postgresql {
    /// Makes an engine. It connects when it is called.
    #[must_use]
    pub fn new(mut options: Options) -> Self {
        options.window_bytes = options.window_bytes.max(WINDOW_BYTES_MIN);
        Self {
            schema: identifier(&options.name.to_string()),
            options: Arc::new(options),
            publish: Slot::default(),
            tail: Slot::default(),
            control: Slot::default(),
            wake: Wake::default(),
            read_to: Cell::default(),
        }
    }

    /// Makes or updates the schema of the cluster, as its owner or as somebody who may create it.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the server does not answer, or refuses.
    pub async fn apply_schema(&self, roles: &Roles) -> Result<(), EngineError> {
        let mut connection = self.open(Path::Control).await?;
        let sql = schema(&self.options.name, roles);
        let applied = connection.run(&sql, self.options.timeouts.answer * 4).await;
        applied.map_err(CallError::into_engine)
    }

    const fn slot(&self, path: Path) -> &Slot<Connection> {
        match path {
            Path::Publish => &self.publish,
            Path::Tail => &self.tail,
            Path::Control => &self.control,
        }
    }

    /// Opens a connection for `path`: to the primary, or to where followers read.
    async fn open(&self, path: Path) -> Result<Connection, EngineError> {
        let options = &self.options;
        let opened = match (path, &options.read) {
            (Path::Tail, Some(place)) => servers::any(options, place).await,
            _ => servers::primary(options, &options.place).await,
        };
        opened.map_err(unreachable)
    }

    /// Runs `SELECT * FROM schema.CALL` on the connection of `path`.
    pub(crate) async fn request(
        &self,
        path: Path,
        call: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, EngineError> {
        let sql = format!("SELECT * FROM {}.{call}", self.schema);
        self.query(path, &sql, parameters).await
    }

    /// Sends a statement on the connection of `path`.
    pub(crate) async fn query(
        &self,
        path: Path,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, EngineError> {
        let slot = self.slot(path);
        let (mut connection, ticket) = match slot.take() {
            Taken::Open(connection, _) if connection.is_closed() => {
                let address = connection.server().address.clone();
                return Err(unreachable(ConnectError::Closed { address }));
            }
            Taken::Open(connection, ticket) => (connection, ticket),
            Taken::Empty(ticket) => {
                let connection = self.open(path).await?;
                slot.opened(connection.server());
                (connection, ticket)
            }
            Taken::Moved => return Err(unreachable(ConnectError::Moved)),
        };
        let within = self.options.timeouts.answer;
        let answer = connection.query(sql, parameters, within).await;
        let answer = answer.and_then(|rows| self.confirmed(path, &connection).map(|()| rows));
        let kept = match &answer {
            Ok(_rows) => true,
            Err(error) => error.keeps_connection(),
        };
        if kept {
            slot.put(connection, ticket);
        }
        answer.map_err(CallError::into_engine)
    }

    /// A wait for a standby that was broken off ends with an answer as if there had been one, and with
    /// a warning.
    fn confirmed(&self, path: Path, connection: &Connection) -> Result<(), CallError> {
        match connection.warning() {
            Some(warning)
                if path == Path::Publish && self.options.acknowledge == Acknowledge::Replicated =>
            {
                Err(CallError::Unconfirmed {
                    address: connection.server().address.clone(),
                    warning: warning.to_owned(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Looks the primary up anew for the control path. Connections to another server are closed: their
    /// next calls fail, so that the hub notices.
    async fn look_up(&self) -> Result<(), EngineError> {
        self.control.close();
        let Taken::Empty(ticket) = self.control.take() else {
            return Ok(());
        };
        let connection = self.open(Path::Control).await?;
        self.wake.note_primary(connection.server());
        self.publish.close_others(connection.server());
        if self.options.read.is_none() {
            self.tail.close_others(connection.server());
        }
        self.control.put(connection, ticket);
        Ok(())
    }
}

impl Engine for Postgresql {
    fn name(&self) -> &'static str {
        "postgresql"
    }

    fn reset(&self, path: Path) {
        self.slot(path).close();
        if path == Path::Tail {
            self.wake.close();
            self.read_to.take();
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
        Box::pin(self.compare_and_set(expected, None))
    }

    fn bump(&self, expected: LineEnd, new: EpochId) -> Call<'_, Changed> {
        Box::pin(self.compare_and_set(expected, Some(new)))
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
