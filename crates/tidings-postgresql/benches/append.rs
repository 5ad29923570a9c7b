//! Measures appends by size of the batch, one call in flight, how soon a follower has an update, and
//! what a transaction of somebody else costs that stays open.
//!
//! `cargo bench -p tidings-postgresql`; `-- --bin DIR` names a folder with `initdb` and `postgres`,
//! `-- --foreign SECONDS` only measures beside an open transaction, for so long. Nothing is gated.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a bench prints figures, and fails when something fails"
)]

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tidings_access::{Address, Login, Name};
use tidings_cluster::Epoch;
use tidings_cluster::engine::{
    Append, Appended, BATCH_BYTES_MAX, BootId, Engine, EpochId, Item, NodeId, Origin, Proposal,
    Seen, Sender, Tailed,
};
use tidings_core::{Digest, Position};
use tidings_postgresql::{
    Acknowledge, Encryption, Options, Place, Postgresql, Roles, Timeouts, schema,
};

const UPDATE_BYTES: usize = 200;
const EACH: Duration = Duration::from_secs(2);
const WINDOW_BYTES: u64 = 64 * 1024 * 1024;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let after = |option: &str| {
        let at = words.iter().position(|word| word == option)?;
        words.get(at + 1).cloned()
    };
    let programs = after("--bin").map_or_else(newest, PathBuf::from);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    println!(
        "{UPDATE_BYTES}-byte updates, one call in flight for each hub; {}",
        programs.display()
    );
    if let Some(seconds) = after("--foreign") {
        let server = Server::start(&programs);
        return runtime.block_on(foreign(&server, seconds.parse().unwrap()));
    }
    for hubs in [1, 3] {
        for batch in [1, 16, 64, 256] {
            let server = Server::start(&programs);
            runtime.block_on(appends(&server, hubs, batch));
        }
    }
    let server = Server::start(&programs);
    runtime.block_on(follow(&server));
    let server = Server::start(&programs);
    runtime.block_on(foreign(&server, 20));
}

async fn appends(server: &Server, hubs: u64, items: usize) {
    let append = async |node: u64| {
        let hub = Hub::join(server, node).await;
        let mut times = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < EACH {
            let call = Instant::now();
            hub.append(times.len() as u64 + 1, items).await;
            times.push(call.elapsed());
        }
        (times, begun.elapsed())
    };
    let all = futures_util::future::join_all((1..=hubs).map(append)).await;
    let rate = |(times, took): &(Vec<Duration>, Duration)| {
        (times.len() * items) as f64 / took.as_secs_f64()
    };
    let rate: f64 = all.iter().map(rate).sum();
    let mut times: Vec<Duration> = all.into_iter().flat_map(|(times, _)| times).collect();
    println!(
        "  hubs {hubs} batch {items:3}  {rate:8.0} updates/s  {}",
        percentiles(&mut times)
    );
}

/// Another hub waits in the follower's call while one update at a time is appended.
async fn follow(server: &Server) {
    let (hub, other) = (Hub::join(server, 1).await, Hub::join(server, 2).await);
    let mut times = Vec::new();
    for batch in 1..=500 {
        let after = Position::new(batch - 1);
        let begun = Instant::now();
        let (tailed, ()) = tokio::join!(
            other.engine.tail(after, BATCH_BYTES_MAX),
            hub.append(batch, 1)
        );
        let Ok(Tailed::Entries(entries)) = tailed else {
            panic!("{tailed:?}");
        };
        if entries.len() == 1 {
            times.push(begun.elapsed());
        }
    }
    println!(
        "  append begun → at the follower  {}",
        percentiles(&mut times)
    );
}

/// Batches of four, before and beside a transaction with an old snapshot that has read the log.
async fn foreign(server: &Server, seconds: u64) {
    let hub = Hub::join(server, 1).await;
    let mut number = 0;
    let mut measure = async |what: &str, lasting: u64| {
        let mut times = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(lasting) {
            let call = Instant::now();
            number += 1;
            hub.append(number, 4).await;
            times.push(call.elapsed());
        }
        let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
        let head = server.sql("SELECT pg_relation_size('bench.head')");
        println!(
            "  {what:22} {rate:6.0} calls/s  {}  head {head} bytes",
            percentiles(&mut times)
        );
    };
    measure("alone", 5).await;
    let sql = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM bench.log; SELECT pg_sleep({})",
        seconds + 5
    );
    let mut other = server.psql(&sql).spawn().unwrap();
    let part = seconds.div_ceil(4).max(1);
    for quarter in 0..4 {
        let what = format!("foreign since {:3} s", quarter * part);
        measure(&what, part).await;
    }
    other.kill().unwrap();
    other.wait().unwrap();
    measure("alone again", 5).await;
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    format!("p50 {:.2} ms, p99 {:.2} ms", at(50), at(99))
}

struct Hub {
    engine: Postgresql,
    sender: Sender,
}

impl Hub {
    async fn join(server: &Server, node: u64) -> Self {
        let engine = Postgresql::new(server.options());
        let proposal = Proposal {
            epoch: EpochId::new(1),
            secret: Some(Epoch::new([1; 32])),
        };
        engine.init(proposal).await.unwrap();
        let sender = Sender {
            node: NodeId::new(node),
            boot: BootId::new(1),
        };
        Self { engine, sender }
    }

    async fn append(&self, batch: u64, items: usize) {
        let item = |index| Item {
            origin: Origin {
                sender: self.sender,
                batch,
                index,
            },
            digest: Digest::new([7; 16]),
            key: None,
            bytes: Arc::from([b'u'; UPDATE_BYTES]),
        };
        let append = Append {
            epoch: EpochId::new(1),
            seen: Seen {
                position: Position::ZERO,
                print: None,
            },
            sender: self.sender,
            batch,
            items: (0..u32::try_from(items).unwrap()).map(item).collect(),
        };
        let answer = self.engine.append(append).await.unwrap();
        assert!(matches!(answer, Appended::Taken { .. }), "{answer:?}");
    }
}

/// A server as Debian sets one up, but for its folder and its port.
struct Server {
    port: u16,
    child: Child,
    _folder: TempDir,
}

impl Server {
    fn start(programs: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if rustix::process::getuid().is_root() {
            let id = |which| {
                let output = Command::new("id")
                    .args([which, "postgres"])
                    .output()
                    .unwrap();
                String::from_utf8(output.stdout)
                    .unwrap()
                    .trim()
                    .parse()
                    .unwrap()
            };
            chown(folder.path(), Some(id("-u")), Some(id("-g"))).unwrap();
        }
        let data = folder.path().join("data");
        let mut initdb = unprivileged(&programs.join("initdb"));
        initdb
            .args(["-A", "trust", "-U", "postgres", "-D"])
            .arg(&data);
        let made = initdb.current_dir(folder.path()).output().unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut command = unprivileged(&programs.join("postgres"));
        command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        command.args(["-h", "127.0.0.1", "-k", "", "-c", "max_wal_size=4GB"]);
        command.current_dir(folder.path());
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            port,
            child,
            _folder: folder,
        };
        let begun = Instant::now();
        while !server.psql("SELECT 1").output().unwrap().status.success() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "it does not start"
            );
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let name: Name = "bench".parse().unwrap();
        server.sql(&schema(&name, &Roles::default()));
        server
    }

    fn options(&self) -> Options {
        Options {
            place: Place {
                servers: vec![Address {
                    host: "127.0.0.1".to_owned(),
                    port: self.port,
                }],
                database: "postgres".to_owned(),
                encryption: Encryption::None,
            },
            notify: None,
            read: None,
            name: "bench".parse().unwrap(),
            login: Login::without_password("postgres"),
            tls: None,
            acknowledge: Acknowledge::Engine,
            window_bytes: WINDOW_BYTES,
            timeouts: Timeouts::default(),
        }
    }

    fn psql(&self, sql: &str) -> Command {
        let mut psql = Command::new("psql");
        psql.args([
            "-XqAt",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
        ]);
        psql.args(["-d", "postgres", "-p", &self.port.to_string(), "-c", sql]);
        psql.stdout(Stdio::null()).stderr(Stdio::null());
        psql
    }

    fn sql(&self, sql: &str) -> String {
        let output = self
            .psql(sql)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::QUIT).ok();
        }
        drop(self.child.wait());
    }
}

/// The newest version of Debian's.
fn newest() -> PathBuf {
    let all = std::fs::read_dir("/usr/lib/postgresql").unwrap();
    let all = all.map(|version| version.unwrap().path());
    all.max().unwrap().join("bin")
}

/// A command for somebody who is not root, as the server wants it.
fn unprivileged(program: &Path) -> Command {
    if !rustix::process::getuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program);
    command
}
