//! Transactions of others that stay open: nothing waits for them, and nothing grows because of them.
//!
//! The long form, with times: `cargo bench -p tidings-postgresql -- --foreign 600`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tidings_cluster::engine::{BATCH_BYTES_MAX, Seen, Tailed};
use tidings_contract::{Hub, Rig as _};
use tidings_core::Position;

use crate::harness::server::{ADMIN, DATABASE};
use crate::harness::{PostgresqlRig, Server, run, until};

/// Enough for six of the smallest windows, in updates of this size.
const APPENDS: u64 = 1600;
/// Six windows are 50 segments of the usual size, and 8 + 8 × ln 6 of those that grow.
const SEGMENTS_MAX: u32 = 28;
const UPDATE_BYTES: usize = 64 * 1024;

/// A dump, say: it has an old snapshot, and has read every table.
#[test]
fn a_long_transaction_stops_nothing_and_bloats_nothing() {
    let server = Server::start(&[]);
    let mut rig = PostgresqlRig::new(&server, server.options());
    rig.fresh();
    run(async {
        let mut hub = Hub::join(&rig, 1).await;
        append(&mut hub, 10).await;
        let mut foreign = Session::open(server.port);
        foreign.run("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ");
        foreign.run("SELECT count(*) FROM \"line-1\".log");
        let before = Sizes::of(&server);
        append(&mut hub, APPENDS).await;

        let line = hub.line().await;
        assert_eq!(line.last, Position::new(APPENDS + 10));
        // What it has read is not dropped under it, and everything else is there as always.
        assert_eq!(line.oldest, Position::new(1));
        let tailed = hub
            .engine
            .tail(Position::new(APPENDS), BATCH_BYTES_MAX)
            .await;
        let Ok(Tailed::Entries(entries)) = tailed else {
            panic!("{tailed:?}");
        };
        assert_eq!(entries.len(), 10);
        // An append looks for its batch in each segment, so there must not be many.
        let kept = segments(&server);
        assert!(kept <= SEGMENTS_MAX, "{kept} segments");
        // Not one version of a row of the head, the answers or the places was made.
        assert_eq!(Sizes::of(&server), before);

        foreign.run("COMMIT");
        until("the window is trimmed", async || {
            (hub.line().await.oldest > Position::new(1)).then_some(())
        })
        .await;
        // Those that grew go with the next windows.
        append(&mut hub, APPENDS / 2).await;
        let kept = segments(&server);
        assert!((8..=10).contains(&kept), "{kept} segments in a window");
    });
}

fn segments(server: &Server) -> u32 {
    let count = server.sql("SELECT count(*) FROM \"line-1\".segment");
    count.parse().unwrap()
}

async fn append(hub: &mut Hub, count: u64) {
    let bytes = vec![b'u'; UPDATE_BYTES];
    for _ in 0..count {
        let seen = Seen {
            position: Position::ZERO,
            print: None,
        };
        hub.append(seen, &[&bytes]).await;
    }
}

/// What an open transaction can make grow.
#[derive(Debug, PartialEq, Eq)]
struct Sizes {
    head_bytes: String,
    /// Versions of the head and of places of segments that nobody may remove.
    dead: String,
    /// Pages that the lock of an append touches.
    pages: String,
}

impl Sizes {
    fn of(server: &Server) -> Self {
        let dead = "SELECT n_tup_upd + n_tup_del FROM pg_stat_user_tables WHERE relid = '\"line-1\".head'::regclass";
        let plan = "EXPLAIN (ANALYZE, BUFFERS, COSTS off, TIMING off, SUMMARY off) \
                    SELECT epoch FROM \"line-1\".head";
        // Planning reads the catalogue, the scan the head.
        let plan = server.sql(plan);
        let pages = plan.lines().find(|line| line.contains("Buffers"));
        Self {
            head_bytes: server.sql("SELECT pg_relation_size('\"line-1\".head')"),
            dead: server.sql(dead),
            pages: pages.unwrap().trim().to_owned(),
        }
    }
}

/// A session of somebody else, which stays.
struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    fn open(port: u16) -> Self {
        let mut psql = Command::new("psql");
        psql.args(["-XqAt", "-h", "127.0.0.1", "-p", &port.to_string()]);
        psql.args(["-U", ADMIN, "-d", DATABASE]);
        let mut child = psql
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            input,
            output,
        }
    }

    /// Runs SQL, and waits until it is done.
    fn run(&mut self, sql: &str) {
        writeln!(self.input, "{sql};\n\\echo done").unwrap();
        let mut line = String::new();
        while line.trim() != "done" {
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "{sql}");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
