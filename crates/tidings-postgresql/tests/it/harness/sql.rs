//! A client of the database that is no hub: an application, or its owner.

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{Client, NoTls, Row, SimpleQueryMessage};

use super::server::DATABASE;

/// A connection of an application, used by one thread.
pub(crate) struct Sql {
    runtime: Runtime,
    client: Client,
}

/// Values of a statement.
pub(crate) type Values<'a> = [&'a (dyn ToSql + Sync)];

impl Sql {
    /// Connects as a role that needs no password.
    pub(crate) fn open(port: u16, user: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(port)
            .user(user)
            .dbname(DATABASE);
        let connected = runtime.block_on(config.connect(NoTls));
        let (client, driver) = connected.expect("a connection");
        runtime.spawn(async move { drop(driver.await) });
        Self { runtime, client }
    }

    /// Runs statements without values.
    #[track_caller]
    pub(crate) fn run(&mut self, sql: &str) {
        let ran = self.runtime.block_on(self.client.batch_execute(sql));
        ran.expect(sql);
    }

    /// Runs one statement.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub(crate) fn ask(
        &mut self,
        sql: &str,
        values: &Values<'_>,
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        self.runtime.block_on(self.client.query(sql, values))
    }

    /// Returns the only value of the only row.
    #[track_caller]
    pub(crate) fn value<T: for<'a> FromSql<'a>>(&mut self, sql: &str, values: &Values<'_>) -> T {
        let rows = self.ask(sql, values).expect(sql);
        assert_eq!(rows.len(), 1, "{sql}");
        rows.first().expect("one").get(0)
    }

    /// Returns the first value of each row, a line each.
    #[track_caller]
    pub(crate) fn text(&mut self, sql: &str) -> String {
        let answer = self.runtime.block_on(self.client.simple_query(sql));
        let rows = answer.expect(sql).into_iter().filter_map(|message| {
            if let SimpleQueryMessage::Row(row) = message {
                return row.get(0).map(str::to_owned);
            }
            None
        });
        rows.collect::<Vec<_>>().join("\n")
    }

    /// Publishes in a transaction of its own.
    #[track_caller]
    pub(crate) fn publish(&mut self, topic: &str, data: &str) {
        let published = self.ask("SELECT tidings.publish($1::text, $2)", &[&topic, &data]);
        published.expect("published");
    }
}
