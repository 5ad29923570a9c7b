//! A cluster in which applications publish by SQL, and their connections.

use tidings_postgresql::{Roles, schema};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{Client, NoTls, Row};

use super::TestHub;
use super::postgresql::Postgresql;
use super::redis::member_of;

/// A server with the cluster `tidings`, in which applications log in as `shop`.
pub struct Database(Postgresql);

impl Database {
    /// Starts a server.
    pub fn start() -> Self {
        let server = Postgresql::start();
        server.sql("CREATE ROLE hub LOGIN; CREATE ROLE shop LOGIN");
        let roles = Roles {
            hub: Some("hub".to_owned()),
            publisher: Some("shop".to_owned()),
        };
        let name = "tidings".parse().expect("a name");
        server.sql(&schema(&name, &roles));
        Self(server)
    }

    /// Connects as an application.
    pub fn publisher(&self) -> Sql {
        Sql::open(self.0.port(), "shop")
    }

    /// Connects as the owner of everything.
    pub fn owner(&self) -> Sql {
        Sql::open(self.0.port(), "postgres")
    }

    /// Starts a hub of the cluster, and waits until it is ready.
    #[track_caller]
    pub fn hub(&self, more: &str) -> TestHub {
        let hub = TestHub::serve(&member_of(&self.0.cluster("hub"), more));
        hub.wait_until_ready();
        hub
    }
}

/// A connection of an application, used by one thread.
pub struct Sql {
    runtime: Runtime,
    client: Client,
}

/// Values of a statement.
pub type Values<'a> = [&'a (dyn ToSql + Sync)];

impl Sql {
    fn open(port: u16, user: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(port)
            .user(user)
            .dbname("postgres");
        let connected = runtime.block_on(config.connect(NoTls));
        let (client, driver) = connected.expect("a connection");
        runtime.spawn(async move { drop(driver.await) });
        Self { runtime, client }
    }

    /// Runs statements without values.
    #[track_caller]
    pub fn run(&mut self, sql: &str) {
        let ran = self.runtime.block_on(self.client.batch_execute(sql));
        ran.expect(sql);
    }

    /// Runs one statement.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub fn ask(
        &mut self,
        sql: &str,
        values: &Values<'_>,
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        self.runtime.block_on(self.client.query(sql, values))
    }

    /// Returns the only value of the only row.
    #[track_caller]
    pub fn value<T: for<'a> FromSql<'a>>(&mut self, sql: &str, values: &Values<'_>) -> T {
        let rows = self.ask(sql, values).expect(sql);
        assert_eq!(rows.len(), 1, "{sql}");
        rows.first().expect("one").get(0)
    }

    /// Publishes in a transaction of its own.
    #[track_caller]
    pub fn publish(&mut self, topic: &str, data: &str) {
        let published = self.ask("SELECT tidings.publish($1::text, $2)", &[&topic, &data]);
        published.expect("published");
    }
}
