//! The 68 cases of the SockJS protocol's own test suite (0.3.3), rewritten from the protocol's description,
//! against `tidings-test-server`.
//!
//! They have the names of that suite, and run against one server, as there. Each compares bytes: whole bodies,
//! whole chunks and whole fields. `conformance/sockjs/README.md` describes how to run the suite itself.

mod closing;
mod pages;
mod polling;
mod streaming;
mod websockets;

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::harness::peer::{Peer, handshake};
use crate::harness::{Answer, Connection, Request, TestServer, new_session};

/// A case: its class and name in that suite, and its function here.
type Case = (&'static str, fn(&Server));

const CASES: [&[Case]; 5] = [
    pages::CASES,
    websockets::CASES,
    polling::CASES,
    streaming::CASES,
    closing::CASES,
];
/// How many the suite has.
const COUNT: usize = 68;
/// The classes of the suite and how many cases each has.
const CLASSES: [(&str, usize); 18] = [
    ("BaseUrlGreeting", 2),
    ("IframePage", 5),
    ("InfoTest", 5),
    ("SessionURLs", 3),
    ("Protocol", 2),
    ("WebsocketHttpErrors", 3),
    ("Websocket", 7),
    ("XhrPolling", 7),
    ("XhrStreaming", 3),
    ("EventSource", 2),
    ("HtmlFile", 4),
    ("JsonPolling", 7),
    ("JsessionidCookie", 6),
    ("RawWebsocket", 2),
    ("JSONEncoding", 2),
    ("HandlingClose", 4),
    ("Http10", 2),
    ("Http11", 2),
];

#[test]
fn all_68_cases_of_the_protocol_pass() {
    let running = TestServer::start();
    let server = Server {
        address: running.address,
        running,
    };
    let failed: Vec<&str> = CASES
        .into_iter()
        .flatten()
        .filter(|(_, case)| catch_unwind(AssertUnwindSafe(|| case(&server))).is_err())
        .map(|(name, _)| *name)
        .collect();
    assert!(failed.is_empty(), "{} failed: {failed:#?}", failed.len());
}

#[test]
fn every_case_of_the_suite_is_here_once() {
    let mut names: Vec<_> = CASES.into_iter().flatten().map(|(name, _)| *name).collect();
    for (class, count) in CLASSES {
        let of_class = names
            .iter()
            .filter(|name| name.split('.').next() == Some(class));
        assert_eq!(of_class.count(), count, "{class}");
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), COUNT);
}

/// The server under test, and the requests of the cases.
struct Server {
    running: TestServer,
    address: SocketAddr,
}

const ECHO: &str = "/echo";
const CLOSE: &str = "/close";
const COOKIE: &str = "/cookie_needed_echo";
const GO_AWAY: &str = "c[3000,\"Go away!\"]";

impl Server {
    /// Returns the URL of a session that nobody has used.
    fn session(&self, base: &str) -> String {
        new_session(base)
    }

    fn request(&self, request: &Request) -> Answer {
        Connection::open(self.address).request(request)
    }

    fn get(&self, target: &str) -> Answer {
        self.request(&Request::get(target))
    }

    fn post(&self, target: &str, body: &str) -> Answer {
        self.request(&Request::post(target).body(body))
    }

    /// Says something by `xhr_send`, which must be taken.
    #[track_caller]
    fn send(&self, session: &str, body: &str) {
        let answer = self.post(&format!("{session}/xhr_send"), body);
        assert_eq!((answer.status, answer.text()), (204, String::new()));
    }

    /// Polls by `xhr`, and expects this frame.
    #[track_caller]
    fn polled(&self, session: &str, frame: &str) -> Answer {
        let answer = self.post(&format!("{session}/xhr"), "");
        assert_eq!((answer.status, answer.text()), (200, format!("{frame}\n")));
        answer
    }

    /// Begins a streaming answer.
    #[track_caller]
    fn stream(&self, request: &Request) -> Stream {
        let mut connection = Connection::open(self.address);
        connection.send_request(request);
        let head = connection.read_head();
        assert_eq!(head.status, 200);
        Stream { connection, head }
    }

    /// Begins an `xhr_streaming` whose prelude was read.
    #[track_caller]
    fn xhr_stream(&self, session: &str) -> Stream {
        let mut stream = self.stream(&Request::post(&format!("{session}/xhr_streaming")));
        assert_eq!(stream.chunk(), format!("{}\n", "h".repeat(2048)));
        stream
    }

    fn websocket(&self, target: &str) -> Peer {
        Peer::open(self.address, &handshake(target))
    }
}

/// A streaming answer, read chunk by chunk.
struct Stream {
    connection: Connection,
    head: Answer,
}

impl Stream {
    #[track_caller]
    fn chunk(&mut self) -> String {
        let chunk = self.connection.read_chunk().expect("a chunk");
        String::from_utf8(chunk).expect("UTF-8")
    }

    #[track_caller]
    fn ends(&mut self) {
        assert_eq!(self.connection.read_chunk(), None);
    }
}

#[track_caller]
fn check_not_cached(answer: &Answer) {
    let exactly = "no-store, no-cache, no-transform, must-revalidate, max-age=0";
    assert_eq!(answer.headers("cache-control"), [exactly]);
    assert_eq!(answer.header("expires"), None);
    assert_eq!(answer.header("last-modified"), None);
}

#[track_caller]
fn check_cached(answer: &Answer) {
    assert_eq!(
        answer.headers("cache-control"),
        ["public, max-age=31536000"]
    );
    assert!(answer.header("expires").is_some());
    assert_eq!(answer.header("last-modified"), None);
}

#[track_caller]
fn check_cors(answer: &Answer, origin: Option<&str>) {
    let allowed = answer.headers("access-control-allow-origin");
    assert_eq!(allowed, [origin.unwrap_or("*")]);
    let credentials = answer.headers("access-control-allow-credentials");
    assert_eq!(credentials, Vec::from_iter(origin.map(|_| "true")));
}

#[track_caller]
fn check_type(answer: &Answer, wanted: &str) {
    assert_eq!(answer.headers("content-type"), [wanted]);
}

#[track_caller]
fn check_no_cookie(answer: &Answer) {
    assert_eq!(answer.header("set-cookie"), None);
}

#[track_caller]
fn check_cookie(answer: &Answer, value: &str) {
    let cookie = format!("JSESSIONID={value}; path=/");
    assert_eq!(answer.headers("set-cookie"), [cookie]);
}

#[track_caller]
fn check_405(answer: &Answer, allowed: &str) {
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("content-type"), None);
    assert_eq!(answer.headers("allow"), [allowed]);
    assert!(answer.body.is_empty());
}

/// A preflight from each kind of page, which is to be answered for a year.
#[track_caller]
fn check_preflights(server: &Server, target: &str, methods: &str) {
    for origin in ["test", "null"] {
        let answer = server.request(
            &Request::new("OPTIONS", target)
                .header("Origin", origin)
                .header("Access-Control-Request-Method", methods),
        );
        assert_eq!(answer.status, 204);
        check_cached(&answer);
        assert_eq!(answer.headers("access-control-max-age"), ["31536000"]);
        assert_eq!(answer.headers("access-control-allow-methods"), [methods]);
        assert!(answer.body.is_empty());
        check_cors(&answer, Some(origin));
    }
}
