//! A cluster in which applications publish by SQL, and their connections.

use tidings_postgresql::{Roles, schema};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{Client, NoTls, Row};

use super::postgresql::{Postgresql, cluster};
use super::redis::member_of;
use super::{DEADLINE, TestHub, wait_until};

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

/// The same with a standby, which the primary waits for at each commit.
pub struct Pair {
    primary: Postgresql,
    standby: Postgresql,
}

impl Pair {
    /// Starts both.
    pub fn start() -> Self {
        let Database(primary) = Database::start();
        primary.sql("ALTER ROLE shop SET synchronous_commit = remote_apply");
        let standby = primary.start_standby(None);
        Self { primary, standby }
    }

    /// Returns the ports of both, in an order that stays.
    pub fn ports(&self) -> [u16; 2] {
        let mut ports = [self.primary.port(), self.standby.port()];
        ports.sort_unstable();
        ports
    }

    /// Starts a hub that knows both, and waits until it is ready.
    #[track_caller]
    pub fn hub(&self) -> TestHub {
        let hub = TestHub::serve(&member_of(&cluster(&self.ports(), "hub"), ""));
        hub.wait_until_ready();
        hub
    }

    /// Runs SQL as the owner of everything.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        self.primary.sql(sql)
    }

    /// Kills the primary and starts it again.
    pub fn interrupt(&mut self) {
        self.primary.kill_all();
        self.primary.restart();
    }

    /// Kills the primary and promotes the standby.
    pub fn fail_over(&mut self) {
        self.primary.kill_all();
        self.take_over();
    }

    /// The same while so many commits of applications are on the disks of both and have no answer.
    pub fn fail_over_in_commits(&mut self, commits: usize) {
        // Those of the hubs do not wait for what the standby shows.
        self.standby.sql("SELECT pg_wal_replay_pause()");
        wait_until("the commits wait", || {
            let waiting = "SELECT count(*) FROM pg_stat_activity \
                           WHERE usename = 'shop' AND wait_event = 'SyncRep'";
            (self.primary.sql(waiting) == commits.to_string()).then_some(())
        });
        wait_until("the standby has all of them", || {
            let all = "SELECT bool_and(flush_lsn = pg_current_wal_lsn()) FROM pg_stat_replication";
            (self.primary.sql(all) == "t").then_some(())
        });
        self.primary.kill_all();
        self.standby.sql("SELECT pg_wal_replay_resume()");
        self.take_over();
    }

    fn take_over(&mut self) {
        self.standby.promote();
        std::mem::swap(&mut self.primary, &mut self.standby);
    }

    /// Makes a new standby in the place of the primary that was killed.
    pub fn replace_standby(&mut self) {
        self.standby = self.primary.start_standby(Some(self.standby.port()));
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
    #[track_caller]
    fn open(port: u16, user: &str) -> Self {
        Self::try_open(&[port], user).expect("a connection")
    }

    /// Connects to the server that takes writes, which may change.
    #[track_caller]
    pub fn open_primary(ports: &[u16], user: &str) -> Self {
        wait_until("a server takes writes", || Self::try_open(ports, user))
    }

    fn try_open(ports: &[u16], user: &str) -> Option<Self> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let mut config = tokio_postgres::Config::new();
        for port in ports {
            config.host("127.0.0.1").port(*port);
        }
        config.user(user).dbname("postgres");
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let (client, driver) = runtime.block_on(config.connect(NoTls)).ok()?;
        runtime.spawn(async move { drop(driver.await) });
        Some(Self { runtime, client })
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
        let asked = async { timeout(DEADLINE, self.client.query(sql, values)).await };
        self.runtime.block_on(asked).expect("an answer in time")
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
