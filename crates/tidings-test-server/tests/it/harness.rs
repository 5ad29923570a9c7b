//! Starts the server. The tests of `tidings` have the code that exchanges bytes with it.

#[expect(dead_code, reason = "the tests of `tidings` use the rest")]
#[path = "../../../tidings/tests/it/harness/exchange.rs"]
pub mod exchange;
#[expect(dead_code, reason = "the tests of `tidings` use the rest")]
#[path = "../../../tidings/tests/it/harness/peer.rs"]
pub mod peer;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub use self::exchange::{Answer, Connection, Request};

/// How long anything may take before a test fails. Generous: the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How long a wait rests between two looks.
const POLL: Duration = Duration::from_millis(5);

/// A running server; killed when dropped.
pub struct TestServer {
    child: Child,
    pub address: SocketAddr,
}

impl TestServer {
    /// Starts it on a free port.
    pub fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidings-test-server"))
            .args(["--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (found, address) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            // The first line is waited for. The others are read so that the server can always write.
            for line in output.lines().map_while(Result::ok) {
                drop(found.try_send(line));
            }
        });
        let mut server = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let line = address.recv_timeout(DEADLINE);
        let line = line.expect("the server names its address");
        let found = line.strip_prefix("services at http://");
        let found = found.and_then(|rest| rest.split_once(": ")?.0.parse().ok());
        server.address = found.unwrap_or_else(|| panic!("no address: {line}"));
        server
    }

    /// Sends one request on its own connection.
    pub fn request(&self, request: Request) -> Answer {
        Connection::open(self.address).request(&request)
    }

    /// Waits until a metric without labels has this value.
    #[track_caller]
    pub fn wait_for_metric(&self, name: &str, wanted: f64) {
        let start = Instant::now();
        loop {
            let metrics = self.request(Request::get("/metrics")).text();
            let mut lines = metrics.lines().map(|line| line.split_once(' '));
            let value = lines.find_map(|line| line.filter(|(found, _)| *found == name));
            let value = value.and_then(|(_, value)| value.parse::<f64>().ok());
            if value == Some(wanted) {
                return;
            }
            assert!(start.elapsed() < DEADLINE, "{name} is {value:?}");
            std::thread::park_timeout(POLL);
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Returns the URL of a SockJS session that nobody has used.
pub fn new_session(base: &str) -> String {
    static SESSIONS: AtomicUsize = AtomicUsize::new(0);
    let number = SESSIONS.fetch_add(1, Ordering::Relaxed);
    format!("{base}/000/case-{number}")
}
