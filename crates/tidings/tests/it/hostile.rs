//! Peers that are slow, send too much or are too many, or break the protocol: each gets a bounded answer,
//! and the process continues.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::harness::process::{connect_with_buffer, raise_open_files, wait_until_read};
use crate::harness::serving::{self, serve_tls};
use crate::harness::{
    Answer, Connection, DEADLINE, EventStream, HUB_PATH, Request, TestHub, note, wait_until,
};

const IMPATIENT: &str = "[subscribe]\nanonymous = true\n[limits]\nhead_timeout_secs = 1\nbody_timeout_secs = 1\n\
                         handshake_timeout_secs = 1\n";

#[test]
fn a_head_that_does_not_end_is_cut_off() {
    let hub = impatient();
    let heads = [
        &b""[..],
        b"G",
        b"P",
        b"PR",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nA-Field: and then",
        b"PRI * HTTP/2.0\r\n",
    ];
    let mut sockets: Vec<TcpStream> = heads.iter().map(|head| open_with(&hub, head)).collect();
    for (socket, head) in sockets.iter_mut().zip(heads) {
        let text = String::from_utf8_lossy(head).into_owned();
        expect_end(socket, &text);
    }
    hub.wait_for_metric("tidings_connections", |connections| connections == 1.0);
}

#[test]
fn a_head_that_trickles_in_is_cut_off() {
    let hub = impatient();
    let mut socket = open_with(&hub, b"GET / HTTP/1.1\r\nHost: localhost\r\nA-Field: ");
    trickle(&mut socket);
    // The same after a request that was answered.
    let mut connection = Connection::open(hub.address);
    let live = Request::get("/health/live");
    assert_eq!(connection.request(&live).status, 200);
    let mut socket = open_with(&hub, &connection.wire(&live));
    trickle(&mut socket);
}

#[test]
fn a_body_that_does_not_come_is_told_408() {
    let hub = impatient();
    let request = Request::post(HUB_PATH)
        .bearer(&serving::token())
        .header("Content-Type", "application/x-www-form-urlencoded");
    let with_length = request
        .clone()
        .header("Content-Length", "100")
        .body("topic=x");
    let chunked = request
        .header("Transfer-Encoding", "chunked")
        .body("7\r\ntopic=x\r\n");
    for request in [with_length, chunked] {
        let mut connection = Connection::open(hub.address);
        let answer = connection.request(&request);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (408, "body-timeout")
        );
        assert_eq!(
            connection.read_to_end(),
            b"",
            "the rest of the body may still come: closed"
        );
    }
}

#[test]
fn a_body_of_single_bytes_takes_hardly_more_memory_than_its_bytes() {
    const BYTES: usize = 512 * 1024;
    const CONNECTIONS: usize = 4;
    let hub = TestHub::dev();
    let request = Request::post(HUB_PATH)
        .bearer(&hub.publisher_token())
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("Transfer-Encoding", "chunked")
        .body(b"1\r\nx\r\n".repeat(BYTES));
    let bytes = Connection::open(hub.address).wire(&request);
    let before = hub.resident_bytes();
    let sockets: Vec<TcpStream> = (0..CONNECTIONS).map(|_| open_with(&hub, &bytes)).collect();
    sockets.iter().for_each(wait_until_read);
    let grown = hub.resident_bytes().saturating_sub(before);
    note(&format!("{} KiB for {CONNECTIONS} bodies", grown / 1024));
    assert!(grown < (4 * CONNECTIONS * BYTES) as u64, "{grown} bytes");
}

#[test]
fn memory_of_peers_that_went_is_given_back_to_the_system() {
    const BYTES: usize = 900_000;
    const CONNECTIONS: usize = 60;
    let hub = TestHub::dev();
    let request = Request::post(HUB_PATH)
        .bearer(&hub.publisher_token())
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("Transfer-Encoding", "chunked")
        .body(
            [
                format!("{BYTES:x}\r\n").as_bytes(),
                &vec![b'x'; BYTES],
                b"\r\n",
            ]
            .concat(),
        );
    let bytes = Connection::open(hub.address).wire(&request);
    let before = hub.resident_bytes();
    let sockets: Vec<TcpStream> = (0..CONNECTIONS).map(|_| open_with(&hub, &bytes)).collect();
    sockets.iter().for_each(wait_until_read);
    let held = hub.resident_bytes();
    assert!(
        held - before > (CONNECTIONS * BYTES / 2) as u64,
        "{held} bytes"
    );
    drop(sockets);
    // If the allocator does not return freed memory, four fifths of it stay until somebody needs memory.
    // About a fifth stays in any case: caches, and code that ran for the first time.
    wait_until("it is given back", || {
        let kept = hub.resident_bytes().saturating_sub(before);
        (kept < (held - before) / 2).then_some(())
    });
}

#[test]
fn a_handshake_that_does_not_go_on_is_cut_off() {
    let (hub, certificate) = serve_tls(IMPATIENT);
    let mut hello = Vec::new();
    certificate.peer().write_tls(&mut hello).unwrap();
    let parts = [0, 1, 5, hello.len() / 2, hello.len() - 1, hello.len()];
    let mut sockets: Vec<TcpStream> = parts
        .iter()
        .map(|&part| open_with(&hub, &hello[..part]))
        .collect();
    for (socket, part) in sockets.iter_mut().zip(parts) {
        read_until_end(socket, &format!("after {part} bytes"));
    }
    hub.wait_for_metric("tidings_connections", |connections| connections == 1.0);
    assert!(hub.metric_for("tidings_connections_failed_total", "handshake_timeout") >= 5.0);
    // What is no TLS at all is refused at once.
    read_until_end(
        &mut open_with(&hub, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        "no TLS",
    );
}

#[test]
fn an_oversized_head_is_told_431() {
    let hub = TestHub::dev();
    let long = "x".repeat(100 * 1024);
    let mut many = Request::get("/health/live");
    for number in 0..200 {
        many = many.header(&format!("Field-{number}"), "x");
    }
    let fields = Request::get("/health/live").header("Long", &long);
    let cookies = Request::get("/health/live").header("Cookie", &long);
    let token = Request::get("/health/live").bearer(&"x".repeat(200 * 1024));
    for (what, request) in [
        ("long", fields),
        ("cookie", cookies),
        ("token", token),
        ("many", many),
    ] {
        let answer = send_all_then_read(&hub, &request);
        assert_eq!(answer.status, 431, "{what}: {answer:?}");
    }
    let target = format!("{HUB_PATH}?match={long}");
    let answer = send_all_then_read(&hub, &Request::get(&target));
    assert!([414, 431].contains(&answer.status), "{answer:?}");
}

#[test]
fn an_oversized_body_is_told_413() {
    let hub = TestHub::dev();
    let token = hub.publisher_token();
    let body = format!("topic=x&data={}", "x".repeat(3 * 1024 * 1024));
    let request = Request::post(HUB_PATH)
        .bearer(&token)
        .header("Content-Type", "application/x-www-form-urlencoded");
    let declared = request.clone().body(&body);
    let answer = send_all_then_read(&hub, &declared);
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (413, "body-too-large")
    );
    let mut chunks = String::new();
    for chunk in body.as_bytes().chunks(10_000) {
        chunks.push_str(&format!(
            "{:x}\r\n{}\r\n",
            chunk.len(),
            str::from_utf8(chunk).unwrap()
        ));
    }
    chunks.push_str("0\r\n\r\n");
    let chunked = request
        .clone()
        .header("Transfer-Encoding", "chunked")
        .body(&chunks);
    let answer = send_all_then_read(&hub, &chunked);
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (413, "body-too-large")
    );
    // A careful publisher asks first and does not send it at all.
    let asking = request
        .header("Content-Length", "3000000")
        .header("Expect", "100-continue");
    let answer = Connection::open(hub.address).request(&asking);
    assert_eq!(answer.status, 413, "{answer:?}");
    let update = hub.published(&[("topic", "x"), ("data", &"x".repeat(1000 * 1000))]);
    assert!(
        !update.is_empty(),
        "what is shorter than the limit is taken"
    );
}

#[test]
fn connections_beyond_the_limit_are_told_503() {
    let limits = "[subscribe]\nanonymous = true\n[limits]\nconnections_max = 5\n";
    let hub = TestHub::serve(&serving::toml(limits));
    let open: Vec<EventStream> = (0..5).map(|_| hub.subscribe("match=*")).collect();
    for _ in 0..50 {
        let request = Request::get(&format!("{HUB_PATH}?match=*"));
        let answer = send_all_then_read(&hub, &request);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (503, "too-many-connections")
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.header("retry-after").is_some());
    }
    drop(open);
    hub.wait_for_metric("tidings_subscribers", |subscribers| subscribers == 0.0);
    assert_eq!(hub.request(Request::get("/health/live")).status, 200);
    assert!(hub.metric_for("tidings_connections_refused_total", "total") >= 50.0);
}

#[test]
fn connections_of_one_address_beyond_its_limit_are_told_429() {
    let limits = "[subscribe]\nanonymous = true\n[limits]\nconnections_per_address_max = 3\n";
    let hub = TestHub::serve(&serving::toml(limits));
    let open: Vec<EventStream> = (0..3).map(|_| hub.subscribe("match=*")).collect();
    let answer = send_all_then_read(&hub, &Request::get("/health/live"));
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (429, "too-many-connections")
    );
    assert!(answer.header("retry-after").is_some());
    drop(open);
}

#[test]
fn nothing_sent_ends_the_process() {
    check_mutants(1000);
}

#[test]
#[ignore = "slow: twenty thousand connections with nonsense"]
fn nothing_sent_often_ends_the_process() {
    check_mutants(20_000);
}

fn check_mutants(rounds: usize) {
    raise_open_files().unwrap();
    let hub = TestHub::serve(&serving::toml(IMPATIENT));
    let mut subscriber = hub.subscribe("match=https://example.com/calm");
    let mut rng = Rng::with_seed(3);
    let mutants = (0..rounds).map(|_| mutant(&mut rng));
    let all: Vec<Vec<u8>> = nasty().into_iter().chain(mutants).collect();
    for some in all.chunks(200) {
        let sockets: Vec<TcpStream> = some.iter().map(|bytes| open_with(&hub, bytes)).collect();
        for (mut socket, bytes) in sockets.into_iter().zip(some) {
            // Without an end of the request the hub would wait for more of it.
            drop(socket.shutdown(Shutdown::Write));
            read_until_end(&mut socket, &String::from_utf8_lossy(bytes));
        }
    }
    let form = [
        ("topic", "https://example.com/calm"),
        ("data", "still here"),
    ];
    assert_eq!(hub.publish_as(&serving::token(), &form).status, 200);
    assert_eq!(subscriber.event().data, "still here");
    hub.wait_for_metric("tidings_subscribers", |subscribers| subscribers == 1.0);
    assert!(!hub.log().contains("panic"), "{}", hub.log());
}

#[test]
fn nothing_sent_over_tls_ends_the_process() {
    let (hub, certificate) = serve_tls(IMPATIENT);
    let mut rng = Rng::with_seed(4);
    for bytes in nasty() {
        let mut tls = certificate.connect(hub.address);
        drop(tls.write_all(&bytes));
        tls.conn.send_close_notify();
        drop(tls.flush());
        drop(tls.read_to_end(&mut Vec::new()));
    }
    let mut hello = Vec::new();
    certificate.peer().write_tls(&mut hello).unwrap();
    for _ in 0..300 {
        let mut bytes = hello.clone();
        damage(&mut bytes, &mut rng);
        let mut socket = open_with(&hub, &bytes);
        drop(socket.shutdown(Shutdown::Write));
        read_until_end(&mut socket, "a damaged handshake");
    }
    let live = certificate
        .open(&hub)
        .request(&Request::get("/health/live"));
    assert_eq!(live.status, 200);
    assert!(!hub.log().contains("panic"), "{}", hub.log());
}

#[test]
fn an_http2_peer_that_floods_is_cut_off() {
    let hub = impatient();
    let mut rapid_reset = [PREFACE, SETTINGS].concat();
    for stream in (1..200_000_u32).step_by(2) {
        rapid_reset.extend(frame(1, 5, stream, GET_ROOT));
        rapid_reset.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    let mut continuation = [PREFACE, SETTINGS, &frame(1, 1, 1, GET_ROOT)].concat();
    for _ in 0..2000 {
        continuation.extend(frame(9, 0, 1, &[0; 1000]));
    }
    for (what, flood) in [("rapid reset", rapid_reset), ("continuation", continuation)] {
        let mut socket = connect_with_buffer(hub.address, 64 * 1024);
        // The hub need not take all of it.
        drop(socket.write_all(&flood));
        read_until_end(&mut socket, what);
    }
    assert_eq!(hub.request(Request::get("/health/live")).status, 200);
    assert!(!hub.log().contains("panic"), "{}", hub.log());
}

fn impatient() -> TestHub {
    TestHub::serve(&serving::toml(IMPATIENT))
}

/// Connects and sends `bytes`; the hub may close before it has taken them all.
fn open_with(hub: &TestHub, bytes: &[u8]) -> TcpStream {
    let mut socket = connect_with_buffer(hub.address, 64 * 1024);
    drop(socket.write_all(bytes));
    socket
}

/// Writes all of a request before it reads: an early answer must survive that, and no reset may
/// follow it, since that destroys the answer on other systems than this one.
#[track_caller]
fn send_all_then_read(hub: &TestHub, request: &Request) -> Answer {
    let mut socket = connect_with_buffer(hub.address, 64 * 1024);
    let mut connection = Connection::over(hub.address, socket.try_clone().unwrap());
    let bytes = connection.wire(request);
    socket
        .write_all(&bytes)
        .expect("the hub reads what it does not want");
    let answer = connection.read_answer(false);
    assert_eq!(socket.read(&mut [0; 1]).expect("an end, not a reset"), 0);
    // Linux shows a reset behind the end only here.
    let reset = socket.take_error().expect("an option");
    assert!(reset.is_none(), "an end, not a reset: {reset:?}");
    answer
}

/// Waits for the end of a connection on which nothing comes, or one last answer.
#[track_caller]
fn expect_end(socket: &mut TcpStream, what: &str) {
    let read = read_until_end(socket, what);
    let text = String::from_utf8_lossy(&read);
    let http2 = read.first() == Some(&0);
    assert!(
        read.is_empty() || http2 || text.starts_with("HTTP/1.1 4"),
        "{what:?}: {text:?}"
    );
}

/// Reads until the hub closes, in whatever way; fails at the deadline.
#[track_caller]
fn read_until_end(socket: &mut TcpStream, what: &str) -> Vec<u8> {
    let mut all = Vec::new();
    match socket.read_to_end(&mut all) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            panic!("the hub did not close: {what:?}")
        }
        Ok(_) | Err(_) => all,
    }
}

/// Sends a byte again and again until the hub closes; fails at the deadline.
#[track_caller]
fn trickle(socket: &mut TcpStream) {
    let start = Instant::now();
    socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    loop {
        assert!(start.elapsed() < DEADLINE, "the hub is too patient");
        if socket.write_all(b"x").is_err() {
            return;
        }
        match socket.read(&mut [0; 1000]) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// A header list: `:method: GET`, `:scheme: http`, `:path: /`, `:authority: localhost`.
const GET_ROOT: &[u8] = b"\x82\x86\x84\x41\x09localhost";

/// Builds an HTTP/2 frame; RFC 9113, 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// Requests that break a rule each, in HTTP/1 and HTTP/2.
fn nasty() -> Vec<Vec<u8>> {
    let http2 = nasty_frames()
        .into_iter()
        .map(|frame| [PREFACE, SETTINGS, &frame].concat());
    NASTY_TEXTS
        .iter()
        .map(|text| text.to_vec())
        .chain(http2)
        .collect()
}

const NASTY_TEXTS: &[&[u8]] = &[
        b"\0", b"\r\n\r\n", b"\n", b"\xff\xfe\xfd", b" ", b"GET", b"GET \r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"get / http/1.1\r\n\r\n",
        b"GET  /  HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\nHost: a\n\n", b"G\0T / HTTP/1.1\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nHost: a\r\n\r\n", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET a:b:c HTTP/1.1\r\nHost: a\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /%00%ff%zz HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n",
        b"GET / HTTP/1.1\r\n: empty\r\n\r\n", b"GET / HTTP/1.1\r\nA b: c\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", b"GET / HTTP/1.1\r\nA: \0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /.well-known/mercure HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        b"POST /.well-known/mercure HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        b"POST /.well-known/mercure HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
        b"GET /.well-known/mercure?match=%ff%fe HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /.well-known/mercure?match_urlpattern=((((( HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /.well-known/mercure?match_urlpattern=:::{{{}***** HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /.well-known/mercure?match_urlpattern=(%5B%5B%5D%7B99999%7D) HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /.well-known/mercure?match=a&last_event_id=%00%0d%0a HTTP/1.0\r\n\r\n",
        b"GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: a\r\nLast-Event-ID: \xff\x80\r\n\r\n",
        b"GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \x80\r\n\r\n",
        b"GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ..\r\n\r\n",
        b"GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: a\r\nCookie: ;=;;\xff=\x80;=\r\n\r\n",
        b"GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        b"GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"HEAD /.well-known/mercure?match=a HTTP/1.1\r\nHost: a\r\nExpect: something\r\n\r\n",
        b"QUERY /.well-known/mercure HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nmatch=%",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x80\x2e\x01\x00\x02", b"*3\r\n$3\r\nSET\r\n",
        b"PRI * HTTP/2.0\r\n\r\n", b"PRI * HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
];

fn nasty_frames() -> Vec<Vec<u8>> {
    vec![
        vec![0xff; 1000],
        vec![0; 1000],
        frame(0, 0, 0, b"data on the connection"),
        frame(0, 0, 1, b"data on an idle stream"),
        frame(1, 5, 0, GET_ROOT),
        frame(1, 5, 2, GET_ROOT),
        frame(1, 5, 1, &[0xff; 100]),
        frame(1, 5, 1, b""),
        frame(1, 0x2d, 1, &[0xff, 0, 0, 0, 1, 0]),
        frame(2, 0, 1, &[0; 4]),
        frame(3, 0, 1, &[0; 4]),
        frame(4, 0, 0, &[0; 5]),
        frame(4, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]),
        frame(4, 0, 0, &[0, 5, 0, 0, 0, 1]),
        frame(4, 1, 0, b"an acknowledgement"),
        frame(5, 4, 1, GET_ROOT),
        frame(6, 0, 0, &[0; 7]),
        frame(6, 0, 1, &[0; 8]),
        frame(7, 0, 0, b""),
        frame(8, 0, 0, &[0; 4]),
        frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        frame(9, 4, 1, GET_ROOT),
        frame(200, 255, 0x7fff_ffff, b"unknown"),
        [0x40, 0, 0, 0, 0, 0, 0, 0, 1].to_vec(),
        [frame(1, 5, 1, GET_ROOT), frame(1, 5, 1, GET_ROOT)].concat(),
        [frame(1, 5, 3, GET_ROOT), frame(1, 5, 1, GET_ROOT)].concat(),
        [frame(1, 1, 1, GET_ROOT), frame(6, 0, 0, &[0; 8])].concat(),
    ]
}

/// A request, or what comes after an HTTP/2 preface, with some bytes changed.
fn mutant(rng: &mut Rng) -> Vec<u8> {
    let all = nasty();
    let mut bytes = match rng.u8(..3) {
        0 => all[rng.usize(..all.len())].clone(),
        1 => [
            PREFACE,
            SETTINGS,
            &frame(1, 5, 1, GET_ROOT),
            &frame(6, 0, 0, &[7; 8]),
        ]
        .concat(),
        _ => Request::get(&format!("{HUB_PATH}?match=a&match_urlpattern=/:b?c#d"))
            .header("Cookie", "mercure_access_token=a.b.c; other=\"1\"")
            .header(
                "Last-Event-ID",
                "urn:uuid:5a4dd5b1-7e8b-4f3c-8d8f-1f2e3d4c5b6a",
            )
            .bytes(),
    };
    damage(&mut bytes, rng);
    bytes
}

/// Changes, removes or repeats some bytes.
fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..rng.usize(1..6) {
        if bytes.is_empty() {
            return;
        }
        let place = rng.usize(..bytes.len());
        match rng.u8(..4) {
            0 => bytes[place] = rng.u8(..),
            1 => bytes.truncate(place),
            2 => drop(bytes.remove(place)),
            _ => bytes.insert(place, rng.u8(..)),
        }
    }
}
