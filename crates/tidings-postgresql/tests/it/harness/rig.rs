//! The engine for the contract suite, and its faults: what would be there if they had happened.

use tidings_cluster::engine::Engine;
use tidings_cluster::link_sha256;
use tidings_contract::{Fault, Possible, Rig, Step};
use tidings_core::{Digest, Print};
use tidings_postgresql::{Options, Postgresql};

use super::server::{make_schema, make_schema_for, sql_at};
use super::{Server, moment};

/// An engine on a server, one schema after the other.
pub(crate) struct PostgresqlRig {
    /// Where its tables are reached without the engine.
    port: u16,
    options: Options,
    /// A role that may use the lines, and owns none.
    granted: Option<&'static str>,
    lines: u32,
}

impl PostgresqlRig {
    pub(crate) fn new(server: &Server, options: Options) -> Self {
        Self {
            port: server.port,
            options,
            granted: None,
            lines: 0,
        }
    }
}

impl PostgresqlRig {
    /// Lets `role` use the lines.
    pub(crate) const fn granted_to(mut self, role: &'static str) -> Self {
        self.granted = Some(role);
        self
    }

    /// How the line of now is reached.
    pub(crate) const fn options(&self) -> &Options {
        &self.options
    }
}

impl Rig for PostgresqlRig {
    fn fresh(&mut self) {
        self.lines += 1;
        let name = format!("line-{}", self.lines);
        match self.granted {
            None => make_schema(self.port, &name),
            Some(hub) => make_schema_for(self.port, &name, hub),
        }
        self.options.name = name.parse().unwrap();
    }

    fn engine(&self) -> Box<dyn Engine> {
        Box::new(Postgresql::new(self.options.clone()))
    }

    /// SHA-256, of which PostgreSQL has a function without an extension.
    fn link(&self, previous: Option<Print>, published_ms: u64, of: Digest) -> Print {
        link_sha256(previous, published_ms, of)
    }

    fn fault(&self, fault: Fault) -> Step<'_, Possible> {
        let possible = match fault {
            // An append is a transaction.
            Fault::EndBehind { .. } => Possible::No,
            Fault::LoseTail { last } => self.run(LOSE_TAIL, last.get()),
            Fault::LoseEverything => self.run(LOSE_EVERYTHING, 0),
            Fault::LoseHead => self.run("DELETE FROM S.head", 0),
            Fault::Trim { oldest } => self.run(TRIM, oldest.get()),
        };
        Box::pin(std::future::ready(possible))
    }

    fn moment(&self) -> Step<'_, ()> {
        Box::pin(moment())
    }
}

impl PostgresqlRig {
    fn run(&self, sql: &str, number: u64) -> Possible {
        let schema = format!("\"{}\"", self.options.name);
        let sql = sql.replace("S.", &format!("{schema}."));
        sql_at(self.port, &sql.replace("NUMBER", &number.to_string()));
        Possible::Yes
    }
}

/// As an older backup of the database would be.
const LOSE_TAIL: &str = "
    DELETE FROM S.log WHERE position > NUMBER;
    DELETE FROM S.key WHERE position > NUMBER";

const LOSE_EVERYTHING: &str = "
    DO $$
    DECLARE s record;
    BEGIN
      FOR s IN SELECT number FROM S.segment LOOP EXECUTE format('DROP TABLE S.%I', 'log_' || s.number); END LOOP;
      TRUNCATE S.head, S.segment, S.key, S.lease, S.claim, S.named_lease;
    END $$";

/// As after an append that began a segment at that place, and dropped the one before.
const TRIM: &str = "
    DO $$
    DECLARE
      old bigint := (SELECT max(number) FROM S.segment);
      b record;
    BEGIN
      SELECT print, published_ms, stored INTO b FROM S.log WHERE position = NUMBER - 1;
      PERFORM S.begin_segment(old + 1, NUMBER, b.print, b.published_ms, b.stored);
      EXECUTE format('INSERT INTO S.%I SELECT * FROM S.%I WHERE position >= NUMBER', 'log_' || old + 1, 'log_' || old);
      EXECUTE format('DROP TABLE S.%I', 'log_' || old);
      DELETE FROM S.segment WHERE number = old;
    END $$";
