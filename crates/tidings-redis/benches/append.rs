//! Measures appends by size of the batch, one call in flight, and how soon a follower has an update.
//!
//! `cargo bench -p tidings-redis`; a server may be named: `-- --server PATH`. Nothing is gated.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a bench prints figures, and fails when something fails"
)]

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tidings_access::Login;
use tidings_cluster::Epoch;
use tidings_cluster::engine::{
    Append, Appended, BATCH_BYTES_MAX, BootId, Engine, EpochId, Item, NodeId, Origin, Proposal,
    Seen, Sender, Tailed,
};
use tidings_core::{Digest, Position};
use tidings_redis::{Acknowledge, Options, Place, Redis, Timeouts, Unguarded, WINDOW_BYTES_MIN};

const EPOCH: EpochId = EpochId::new(1);
const SENDER: Sender = Sender {
    node: NodeId::new(1),
    boot: BootId::new(1),
};
const UPDATE_BYTES: usize = 200;
const EACH: Duration = Duration::from_millis(1500);

fn main() {
    let mut words = std::env::args().skip_while(|word| word != "--server");
    let binary = words.nth(1).unwrap_or_else(|| "redis-server".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    println!("{UPDATE_BYTES}-byte updates, one call in flight; {binary}");
    for aof in ["no", "everysec", "always"] {
        for batch in [1, 16, 64, 256] {
            let server = Server::start(&binary, aof);
            runtime.block_on(appends(&server, aof, batch));
        }
    }
    let server = Server::start(&binary, "no");
    runtime.block_on(follow(&server));
}

async fn appends(server: &Server, aof: &str, items: usize) {
    let engine = server.engine().await;
    let mut times = Vec::new();
    let begun = Instant::now();
    let mut last = Position::ZERO;
    while begun.elapsed() < EACH {
        let call = Instant::now();
        last = append(&engine, times.len() as u64 + 1, items).await;
        times.push(call.elapsed());
    }
    let rate = last.get() as f64 / begun.elapsed().as_secs_f64();
    println!(
        "  fsync {aof:8} batch {items:3}  {rate:8.0} updates/s  {}  {} µs of the server",
        percentiles(&mut times),
        server.script_us()
    );
}

/// Another connection waits in the follower's call while one update at a time is appended.
async fn follow(server: &Server) {
    let (engine, other) = (server.engine().await, server.engine().await);
    let mut times = Vec::new();
    for batch in 1..=1000 {
        let after = Position::new(batch - 1);
        let begun = Instant::now();
        let (tailed, _last) = tokio::join!(
            other.tail(after, BATCH_BYTES_MAX),
            append(&engine, batch, 1)
        );
        assert!(matches!(tailed, Ok(Tailed::Entries(entries)) if entries.len() == 1));
        times.push(begun.elapsed());
    }
    println!("  append to receipt  {}", percentiles(&mut times));
    replay(&engine).await;
}

/// What a hub that was away pays for each update.
async fn replay(engine: &Redis) {
    for batch in 1001..=1400 {
        append(engine, batch, 256).await;
    }
    engine.reset(tidings_cluster::engine::Path::Tail);
    let (mut after, begun, cpu_before) = (Position::ZERO, Instant::now(), cpu());
    let mut entries = 0_u32;
    while let Ok(Tailed::Entries(some)) = engine.tail(after, BATCH_BYTES_MAX).await {
        let Some(last) = some.last() else { break };
        entries += u32::try_from(some.len()).unwrap();
        after = last.position;
        if after.get() == 1000 + 400 * 256 {
            break;
        }
    }
    let spent = cpu() - cpu_before;
    println!(
        "  {entries} updates read, {:?} each, of which {:?} processor of the hub",
        begun.elapsed() / entries,
        spent / entries
    );
}

/// Processor time of this process: clock ticks of `/proc/self/stat`, 100 a second on Linux.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks = |field: usize| fields[field].parse::<u64>().unwrap();
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

async fn append(engine: &Redis, batch: u64, items: usize) -> Position {
    let item = |index| Item {
        origin: Origin {
            sender: SENDER,
            batch,
            index,
        },
        digest: Digest::new([7; 16]),
        key: None,
        bytes: Arc::from([b'u'; UPDATE_BYTES].as_slice()),
    };
    let append = Append {
        epoch: EPOCH,
        seen: Seen {
            position: Position::ZERO,
            print: None,
        },
        sender: SENDER,
        batch,
        items: (0..u32::try_from(items).unwrap()).map(item).collect(),
    };
    let answer = engine.append(append).await.unwrap();
    let Appended::Taken { last, .. } = answer else {
        panic!("{answer:?}");
    };
    last
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |hundredths: usize| times[(times.len() - 1) * hundredths / 100];
    format!("p50 {:?}  p99 {:?}", at(50), at(99))
}

/// A server in a folder of its own, killed when it is dropped.
struct Server {
    port: u16,
    child: Child,
    _folder: TempDir,
}

impl Server {
    fn start(binary: &str, aof: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut command = Command::new(binary);
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--dir"]).arg(folder.path());
        if aof != "no" {
            command.args(["--appendonly", "yes", "--appendfsync", aof]);
        }
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Self {
            port,
            child,
            _folder: folder,
        }
    }

    /// Microseconds that a script took, on average.
    fn script_us(&self) -> String {
        let client = redis::Client::open(("127.0.0.1", self.port)).unwrap();
        let mut connection = client.get_connection().unwrap();
        let mut info = redis::cmd("INFO");
        let text: String = info.arg("commandstats").query(&mut connection).unwrap();
        let line = text.split("cmdstat_evalsha:").nth(1).unwrap();
        let each = line.split("usec_per_call=").nth(1).unwrap();
        each.split(',').next().unwrap().to_owned()
    }

    /// An engine whose line is made.
    async fn engine(&self) -> Redis {
        let url = format!("redis://127.0.0.1:{}", self.port);
        let engine = Redis::new(Options {
            place: Place::parse(&url).unwrap().0,
            name: "bench".parse().unwrap(),
            login: Login::default(),
            sentinel_login: Login::default(),
            tls: None,
            acknowledge: Acknowledge::Engine,
            unguarded: Unguarded::Refuse,
            window_bytes: WINDOW_BYTES_MIN * 8,
            timeouts: Timeouts::default(),
        });
        let proposal = Proposal {
            epoch: EPOCH,
            secret: Some(Epoch::new([1; 32])),
        };
        engine.init(proposal).await.unwrap();
        engine
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
