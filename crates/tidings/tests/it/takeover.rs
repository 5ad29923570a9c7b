//! The moment in which a session takes the socket of a request over, whatever else the peer sent before, with
//! or after the request.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use rustls::{ClientConnection, StreamOwned};

use crate::harness::process::{connect_with_buffer, wait_until_read};
use crate::harness::serving::{self, Certificate, serve_tls};
use crate::harness::{Answer, Connection, EventStream, HUB_PATH, Request, TestHub};

const TOPIC: &str = "https://example.com/takeover";

#[test]
fn a_request_may_be_split_anywhere() {
    let hub = TestHub::dev();
    let request = wire(&hub, &subscription());
    let mut streams = Vec::new();
    for split in 1..request.len() {
        let mut socket = connect(&hub);
        socket.write_all(&request[..split]).unwrap();
        wait_until_read(&socket);
        socket.write_all(&request[split..]).unwrap();
        streams.push(EventStream::read(Connection::over(hub.address, socket)));
    }
    all_receive(&hub, &mut streams);
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let hub = TestHub::dev();
    let query = Request::new("QUERY", HUB_PATH).form(&[("match", TOPIC)]);
    let mut streams = Vec::new();
    for request in [subscription(), subscription().http10(), query] {
        let mut socket = connect(&hub);
        for byte in wire(&hub, &request) {
            socket.write_all(&[byte]).unwrap();
            wait_until_read(&socket);
        }
        streams.push(EventStream::read(Connection::over(hub.address, socket)));
    }
    all_receive(&hub, &mut streams);
}

#[test]
fn a_tls_connection_may_come_byte_by_byte() {
    let (hub, certificate) = serve_tls(ANONYMOUS);
    let mut tls = certificate.over(ByteByByte(connect(&hub)));
    tls.write_all(&wire(&hub, &subscription())).unwrap();
    let mut streams = [EventStream::read(Connection::over(hub.address, tls))];
    publish_by_tls(&hub, &certificate, "one");
    assert_eq!(streams[0].event().data, "one");
}

#[test]
fn a_page_and_a_stream_may_be_asked_for_in_one_segment() {
    let hub = TestHub::dev();
    let page = wire(&hub, &Request::get("/debugger/"));
    let mut connection = Connection::open(hub.address);
    connection.send(&[page.clone(), page, wire(&hub, &subscription())].concat());
    assert_whole_page(&connection.read_answer(false));
    assert_whole_page(&connection.read_answer(false));
    all_receive(&hub, &mut [EventStream::read(connection)]);
}

#[test]
fn a_stream_begins_only_after_earlier_answers_went_out() {
    let hub = TestHub::dev();
    let pages = 400;
    let socket = connect_with_buffer(hub.address, 4096);
    let page = wire(&hub, &Request::get("/debugger/"));
    let pipelined = [page.repeat(pages), wire(&hub, &subscription())].concat();
    // More than both buffers hold: the hub stops in the middle of a page until this side reads.
    let mut writing = socket.try_clone().unwrap();
    let writer = std::thread::spawn(move || writing.write_all(&pipelined));
    let mut connection = Connection::over(hub.address, socket);
    for _ in 0..pages {
        assert_whole_page(&connection.read_answer(false));
    }
    writer.join().unwrap().unwrap();
    all_receive(&hub, &mut [EventStream::read(connection)]);
}

#[test]
fn what_follows_the_request_is_not_answered() {
    let hub = TestHub::dev();
    let request = wire(&hub, &subscription());
    let garbage = (0..1000_u32).map(|number| (number % 251) as u8).collect();
    let more = [
        wire(&hub, &Request::get("/health/live")),
        b"PRI * HTTP/2.0\r\n".to_vec(),
        garbage,
    ];
    let mut streams = Vec::new();
    for more in &more {
        let mut connection = Connection::open(hub.address);
        connection.send(&[request.as_slice(), more].concat());
        streams.push(EventStream::read(connection));
        // The same, after the stream has begun.
        let mut connection = Connection::open(hub.address);
        connection.send(&request);
        let head = connection.read_head();
        assert_eq!(head.status, 200);
        connection.send(more);
        streams.push(EventStream::after_head(connection, head));
    }
    all_receive(&hub, &mut streams);
}

#[test]
fn a_body_of_a_request_that_needs_none_is_ignored() {
    let hub = TestHub::dev();
    let with_length = subscription().header("Content-Length", "11");
    let chunked = subscription().header("Transfer-Encoding", "chunked");
    let mut streams = Vec::new();
    for (request, body) in [
        (with_length, &b"hello world"[..]),
        (chunked, b"5\r\nhello\r\n0\r\n\r\n"),
    ] {
        let head = wire(&hub, &request);
        let mut connection = Connection::open(hub.address);
        connection.send(&[&head, body].concat());
        streams.push(EventStream::read(connection));
        let mut connection = Connection::open(hub.address);
        connection.send(&head);
        let answer = connection.read_head();
        assert_eq!(answer.status, 200);
        connection.send(body);
        streams.push(EventStream::after_head(connection, answer));
    }
    all_receive(&hub, &mut streams);
}

#[test]
fn a_connection_may_have_served_other_requests_before() {
    let hub = TestHub::dev();
    let mut connection = Connection::open(hub.address);
    assert_whole_page(&connection.request(&Request::get("/debugger/")));
    assert_eq!(
        connection.request(&Request::get("/nothing/here")).status,
        404
    );
    let publication = Request::post(HUB_PATH)
        .bearer(&hub.publisher_token())
        .form(&[("topic", TOPIC), ("data", "earlier")]);
    assert_eq!(connection.request(&publication).status, 200);
    let refused = connection.request(&Request::get(HUB_PATH));
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (400, "matcher-missing")
    );
    assert_eq!(
        connection.request(&Request::new("HEAD", &target())).status,
        200
    );
    connection.send_request(&subscription());
    all_receive(&hub, &mut [EventStream::read(connection)]);
}

#[test]
fn http_1_0_gets_a_bare_stream_that_ends_with_the_connection() {
    let mut hub = TestHub::dev();
    let mut connection = Connection::open(hub.address);
    connection.send_request(&subscription().http10());
    let mut stream = EventStream::read(connection);
    assert_eq!(stream.head.header("transfer-encoding"), None);
    all_receive(&hub, std::slice::from_mut(&mut stream));
    assert!(hub.stop());
    assert_eq!(stream.next_event(), None);
}

#[test]
fn a_subscriber_may_say_a_little_but_not_flood() {
    let hub = TestHub::dev();
    let mut quiet = Connection::open(hub.address);
    quiet.send_request(&subscription());
    let head = quiet.read_head();
    quiet.send(&[b'x'; 1024]);
    let mut quiet = EventStream::after_head(quiet, head);

    let mut socket = connect(&hub);
    socket.write_all(&wire(&hub, &subscription())).unwrap();
    let mut connection = Connection::over(hub.address, socket.try_clone().unwrap());
    assert_eq!(connection.read_head().status, 200);
    // The hub may close in the middle of it, which is what this is about.
    drop(socket.write_all(&vec![b'x'; 100 * 1024]));
    connection.read_to_end();
    hub.wait_for_metric("tidings_subscribers", |subscribers| subscribers == 1.0);
    assert_eq!(
        hub.metric_for("tidings_sessions_closed_total", "flooding"),
        1.0
    );
    all_receive(&hub, std::slice::from_mut(&mut quiet));
}

#[test]
fn what_follows_a_request_over_tls_is_not_answered() {
    let (hub, certificate) = serve_tls(ANONYMOUS);
    let request = wire(&hub, &subscription());
    for stray in [1, 1024, 20 * 1024, 60 * 1024] {
        let mut connection = certificate.open(&hub);
        connection.send(&[request.clone(), vec![b'x'; stray]].concat());
        let mut stream = EventStream::read(connection);
        let data = format!("after {stray}");
        publish_by_tls(&hub, &certificate, &data);
        assert_eq!(stream.event().data, data);
    }
    let mut tls = certificate.connect(hub.address);
    tls.write_all(&request).unwrap();
    drop(tls.write_all(&vec![b'x'; 200 * 1024]));
    // Whether by an end or by a reset: it is closed.
    drop(tls.read_to_end(&mut Vec::new()));
    hub.wait_for_metric("tidings_subscribers", |subscribers| subscribers == 0.0);
    assert_eq!(
        hub.metric_for("tidings_sessions_closed_total", "flooding"),
        1.0
    );
}

#[test]
fn close_notify_of_a_subscriber_ends_its_session() {
    let (hub, certificate) = serve_tls(ANONYMOUS);
    let mut tls = certificate.connect(hub.address);
    tls.write_all(&wire(&hub, &subscription())).unwrap();
    read_head(&mut tls);
    hub.wait_for_metric("tidings_subscribers", |subscribers| subscribers == 1.0);
    // The TCP connection stays open.
    tls.conn.send_close_notify();
    tls.flush().unwrap();
    hub.wait_for_metric("tidings_subscribers", |subscribers| subscribers == 0.0);
    assert_eq!(
        hub.metric_for("tidings_sessions_closed_total", "peer_closed"),
        1.0
    );
    tls.read_to_end(&mut Vec::new())
        .expect("the hub says goodbye too");
}

#[test]
fn close_notify_right_behind_the_request_ends_the_session() {
    let (hub, certificate) = serve_tls(ANONYMOUS);
    let before = hub.metric("tidings_connections");
    let request = wire(&hub, &subscription());
    for stray in [&b""[..], b"stray bytes"] {
        let mut tls = certificate.connect(hub.address);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).unwrap();
        }
        // All in one segment: the hub may read the goodbye together with the request.
        tls.conn
            .writer()
            .write_all(&[&request, stray].concat())
            .unwrap();
        tls.conn.send_close_notify();
        let mut segment = Vec::new();
        while tls.conn.wants_write() {
            tls.conn.write_tls(&mut segment).unwrap();
        }
        tls.sock.write_all(&segment).unwrap();
        drop(tls.read_to_end(&mut Vec::new()));
        hub.wait_for_metric("tidings_connections", |now| now == before);
        hub.wait_for_metric("tidings_subscribers", |subscribers| subscribers == 0.0);
    }
}

#[test]
fn a_stream_over_tls_ends_with_close_notify() {
    let (hub, certificate) = serve_tls("[subscribe]\nanonymous = true\nconnection_secs_max = 1\n");
    for request in [subscription(), subscription().http10()] {
        let mut tls = certificate.connect(hub.address);
        tls.write_all(&wire(&hub, &request)).unwrap();
        let mut all = Vec::new();
        tls.read_to_end(&mut all).expect("close_notify, not a cut");
        let chunked = request.version == "HTTP/1.1";
        assert_eq!(
            all.ends_with(b"0\r\n\r\n"),
            chunked,
            "{}",
            String::from_utf8_lossy(&all)
        );
    }
    hub.wait_for_metric("tidings_subscribers", |subscribers| subscribers == 0.0);
    assert_eq!(
        hub.metric_for("tidings_sessions_closed_total", "lifetime"),
        2.0
    );
}

#[test]
fn other_answers_over_tls_end_with_close_notify_too() {
    let (hub, certificate) = serve_tls(ANONYMOUS);
    let live = Request::get("/health/live")
        .header("Connection", "close")
        .bytes();
    for (request, status) in [
        (live.as_slice(), "200"),
        (b"no request at all\r\n\r\n", "400"),
    ] {
        let mut tls = certificate.connect(hub.address);
        tls.write_all(request).unwrap();
        let mut all = Vec::new();
        tls.read_to_end(&mut all).expect("close_notify, not a cut");
        assert!(
            all.starts_with(format!("HTTP/1.1 {status}").as_bytes()),
            "{status}"
        );
    }
}

#[test]
fn the_drain_ends_streams_over_tls_with_close_notify() {
    let (mut hub, certificate) = serve_tls(ANONYMOUS);
    let mut tls = certificate.connect(hub.address);
    tls.write_all(&wire(&hub, &subscription())).unwrap();
    read_head(&mut tls);
    let reader = std::thread::spawn(move || tls.read_to_end(&mut Vec::new()));
    assert!(hub.stop());
    reader.join().unwrap().expect("close_notify, not a cut");
}

const ANONYMOUS: &str = "[subscribe]\nanonymous = true\n[server]\ndrain_secs = 1\n";

fn target() -> String {
    format!("{HUB_PATH}?match={TOPIC}")
}

fn subscription() -> Request {
    Request::get(&target())
}

fn wire(hub: &TestHub, request: &Request) -> Vec<u8> {
    Connection::over(hub.address, io::empty()).wire(request)
}

fn connect(hub: &TestHub) -> TcpStream {
    connect_with_buffer(hub.address, 64 * 1024)
}

/// Publishes twice and checks that each stream gets both, once.
#[track_caller]
fn all_receive(hub: &TestHub, streams: &mut [EventStream]) {
    hub.published(&[("topic", TOPIC), ("data", "one")]);
    hub.published(&[("topic", TOPIC), ("data", "two")]);
    for (number, stream) in streams.iter_mut().enumerate() {
        for expected in ["one", "two"] {
            assert_eq!(stream.event().data, expected, "stream {number}");
        }
    }
}

fn publish_by_tls(hub: &TestHub, certificate: &Certificate, data: &str) {
    let form = [("topic", TOPIC), ("data", data)];
    let publication = Request::post(HUB_PATH)
        .bearer(&serving::token())
        .form(&form);
    let answer = certificate.open(hub).request(&publication);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[track_caller]
fn assert_whole_page(page: &Answer) {
    assert_eq!(page.status, 200);
    assert!(page.text().trim_end().ends_with("</html>"), "a whole page");
}

/// Reads up to the end of a response's head.
fn read_head(tls: &mut StreamOwned<ClientConnection, TcpStream>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tls.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    assert!(
        head.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&head)
    );
}

/// Sends each byte in a segment of its own.
struct ByteByByte(TcpStream);

impl Read for ByteByByte {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for ByteByByte {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.0.write(&bytes[..bytes.len().min(1)])?;
        wait_until_read(&self.0);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
