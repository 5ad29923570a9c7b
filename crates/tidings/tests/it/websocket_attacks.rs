//! Hostile WebSockets, over HTTP/1.1 and HTTP/2, with TLS and without: memory stays bounded, the close code is
//! right, and others keep receiving.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidings_wire::websocket::Opcode;
use tidings_wire::websocket::deflate::{Context, Deflater, Window};
use tidings_wire::websocket::encoder::{Packing, masked_frame};

use crate::harness::peer::{Peer, handshake};
use crate::harness::serving::Certificate;
use crate::harness::tokens::{settings, token_for_all};
use crate::harness::tunnel::compressing;
use crate::harness::{DEADLINE, HUB_PATH, TestHub, wait_until};

const TOPIC: &str = "https://example.com/books/1";
const KEY: [u8; 4] = [1, 2, 3, 4];
/// What an attack may make the process grow by, at the worst moment.
const GROWTH_BYTES_MAX: u64 = 24 * 1024 * 1024;
/// Sixty-four times the longest text, in as many kilobytes.
static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| packed(64 * 1024 * 1024));

/// How the attacker and the bystander are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Plain,
    Tls,
    Http2,
    Http2OverTls,
}

const WAYS: [Way; 4] = [Way::Plain, Way::Tls, Way::Http2, Way::Http2OverTls];

#[test]
fn a_flood_of_frames_is_closed_with_1008() {
    attack(1008, |peer, way| {
        // The library that plays the peer over HTTP/2 gives up when it is answered by thousands of
        // small frames.
        let opcode = match way {
            Way::Plain | Way::Tls => Opcode::Ping,
            Way::Http2 | Way::Http2OverTls => Opcode::Pong,
        };
        let frame = masked_frame(opcode, Packing::Plain, b"x", KEY);
        flood(peer, way, &frame, 3000);
    });
}

#[test]
fn a_flood_of_fragments_is_closed_with_1008() {
    attack(1008, |peer, way| {
        peer.send_bytes(&[0x01, 0x80, 0, 0, 0, 0]);
        flood(peer, way, &[0x00, 0x80, 0, 0, 0, 0], 20_000);
    });
}

#[test]
fn a_text_that_is_announced_too_long_is_closed_with_1009() {
    attack(1009, |peer, _way| {
        peer.send_bytes(b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0");
    });
}

#[test]
fn a_text_that_grows_too_long_by_fragments_is_closed_with_1009() {
    attack(1009, |peer, way| {
        let mut fragment = masked_frame(Opcode::Text, Packing::Plain, &[b'x'; 60_000], KEY);
        fragment[0] = 0x01;
        peer.send_bytes(&fragment);
        fragment[0] = 0x00;
        flood(peer, way, &fragment, 20);
    });
}

#[test]
fn a_compression_bomb_is_closed_with_1009() {
    assert!(BOMB.len() < 1024 * 1024);
    attack(1009, |peer, _way| {
        peer.send_bytes(&masked_frame(Opcode::Text, Packing::Deflated, &BOMB, KEY));
    });
}

/// Each is as long as a text may be, so none is refused: the peer is read more slowly instead.
#[test]
fn texts_that_inflate_to_much_are_read_no_faster_than_they_may() {
    let field = Field::new("");
    let mut other = field.peer(Way::Plain, &format!("match={TOPIC}"));
    let mut peer = field.peer(Way::Plain, "");
    let before = field.hub.resident_bytes_at_most();
    let text = masked_frame(Opcode::Text, Packing::Deflated, &packed(1024 * 1024), KEY);
    let (begun, counted) = (Instant::now(), field.frames());
    peer.send_bytes(&text.repeat(400));
    for number in 0..20 {
        field.publish(&number.to_string());
        assert_eq!(other.data(), number.to_string());
    }
    let read = field.frames() - counted;
    // Eight in a second, and one more that made it too much.
    let may = 9.0 * (begun.elapsed().as_secs_f64() + 2.0);
    assert!(read <= may, "{read} texts of a megabyte, {may} may");
    let grown = field.hub.resident_bytes_at_most().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more");
}

#[test]
fn the_echo_of_the_diagnosis_is_read_no_faster_either() {
    let field = Field::new("[pages]\ndiagnose = true\n");
    let path = format!("{HUB_PATH}/diagnose/echo");
    let asked = handshake(&path).header("Sec-WebSocket-Extensions", "permessage-deflate");
    let mut peer = Peer::open(field.hub.address, &asked);
    let text = masked_frame(Opcode::Text, Packing::Deflated, &packed(1024 * 1024), KEY);
    let (begun, counted) = (Instant::now(), field.frames());
    peer.send_bytes(&text.repeat(60));
    wait_until("forty texts are read", || {
        (field.frames() - counted >= 40.0).then_some(())
    });
    // Nine in each second, of which the first may have begun before.
    assert!(begun.elapsed() >= Duration::from_secs(3));
}

#[test]
fn what_breaks_the_protocol_is_closed_with_its_code() {
    for (code, bytes) in [
        (1002, &b"\x81\x05Hello"[..]),
        (1002, b"\x83\x80\0\0\0\0"),
        (1002, b"\x91\x80\0\0\0\0"),
        (1002, b"\x89\xfe\0\x80\0\0\0\0"),
        (1002, b"\x80\x80\0\0\0\0"),
        (1002, b"\x88\x82\0\0\0\0\x03\xed"),
        (1007, b"\x81\x82\0\0\0\0\xc3\x28"),
        (1007, b"\xc1\x82\0\0\0\0\xff\xff"),
    ] {
        attack(code, |peer, _way| peer.send_bytes(bytes));
    }
}

#[test]
fn requests_whose_answers_nobody_reads_do_not_gather() {
    let hub = TestHub::serve(&settings(
        "[subscribe]\nanonymous = true\n[websocket]\nframes_per_second_max = 0\n\
         [limits]\nstall_timeout_secs = 2\n[admin]\naddress = \"127.0.0.1:0\"\n",
    ));
    let before = hub.resident_bytes();
    let asked = handshake(HUB_PATH);
    let mut stream = Peer::open(hub.address, &asked).into_stream();
    let mut frames = Vec::new();
    let text = format!("{{\"x\":\"{}\"}}", "y".repeat(1000));
    for _ in 0..64 {
        frames.extend(masked_frame(
            Opcode::Text,
            Packing::Plain,
            text.as_bytes(),
            KEY,
        ));
    }
    // Until the hub, which cannot answer, closes the connection.
    let mut sent = 0;
    while stream.write_all(&frames).is_ok() {
        sent += frames.len();
        assert!(sent < 2_000_000_000, "it is read without end");
    }
    assert!(hub.resident_bytes() < before + GROWTH_BYTES_MAX);
    assert!(hub.metric_for("tidings_sessions_closed_total", "stalled") >= 1.0);
}

/// A frame may name a hundred patterns that nobody has asked for before.
#[test]
fn patterns_that_come_and_go_are_compiled_no_faster_than_they_may() {
    let field = Field::new("");
    let mut peer = field.peer(Way::Plain, "");
    let (begun, counted) = (Instant::now(), field.frames());
    for round in 0..8 {
        let patterns: Vec<_> = (0..100)
            .map(|number| format!("https://example.com/{round}/{number}/:id"))
            .collect();
        peer.ask(&json!({"subscribe": {"match_urlpattern": patterns}}));
        peer.ask(&json!({"unsubscribe": {"match_urlpattern": patterns}}));
    }
    wait_until("the frames are read", || {
        (field.frames() - counted >= 12.0).then_some(())
    });
    // Two in a second, of which the second is too much.
    assert!(begun.elapsed() >= Duration::from_secs(2));
}

/// What hyper copies for a stream whose window is shut must not grow with what is published.
#[test]
fn streams_that_take_nothing_hold_little_of_what_is_for_them() {
    const STREAMS: u32 = 100;
    let field = Field::new("[limits]\nstall_timeout_secs = 20\n[server]\nshards = 1\n");
    let mut other = field.peer(Way::Plain, &format!("match={TOPIC}"));
    let before = field.hub.resident_bytes_at_most();
    let mut socket = TcpStream::connect(field.hub.address).unwrap();
    // SETTINGS_INITIAL_WINDOW_SIZE is 0, so that no stream may be sent anything.
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]));
    let path = format!("{HUB_PATH}?match={TOPIC}");
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", &path),
        (":authority", "localhost"),
        ("sec-websocket-version", "13"),
    ];
    let mut block = Vec::new();
    for (name, value) in fields {
        // A literal without indexing and without Huffman; RFC 7541, 6.2.2.
        block.extend([0, u8::try_from(name.len()).unwrap()]);
        block.extend(name.as_bytes());
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    }
    for number in 0..STREAMS {
        bytes.extend(frame(1, 4, 2 * number + 1, &block));
    }
    socket.write_all(&bytes).unwrap();
    field
        .hub
        .wait_for_metric("tidings_websockets", |open| open == f64::from(STREAMS + 1));
    let data = "x".repeat(500_000);
    for _ in 0..3 {
        field.publish(&data);
        assert_eq!(other.data().len(), data.len());
    }
    let grown = field.hub.resident_bytes_at_most().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more");
}

#[test]
fn slow_handshakes_end_with_the_time_for_a_head() {
    let field = Field::new("[limits]\nhead_timeout_secs = 2\nhandshake_timeout_secs = 2\n");
    let mut other = field.peer(Way::Plain, &format!("match={TOPIC}"));
    let before = field.hub.resident_bytes_at_most();
    let request = &b"GET /ws/chat HTTP/1.1\r\nUpgrade: websocket\r\n"[..];
    let mut hello = Vec::new();
    let mut state = field.certificate.peer();
    state.write_tls(&mut hello).unwrap();
    hello.truncate(hello.len() / 2);
    let preface = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &frame(4, 0, 0, &[])[..],
    ]
    .concat();
    let mut slow = Vec::new();
    for (address, bytes) in [
        (field.hub.address, request),
        (field.hub.address, &preface),
        (field.tls, &hello),
    ] {
        for _ in 0..50 {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            stream.write_all(bytes).unwrap();
            slow.push(stream);
        }
    }
    field.publish("meanwhile");
    assert_eq!(other.data(), "meanwhile");
    for stream in &mut slow {
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        assert!(!answer.starts_with(b"HTTP/1.1 101"));
    }
    for reason in ["head_timeout", "handshake_timeout"] {
        wait_until(reason, || {
            let failed = field
                .hub
                .metric_for("tidings_connections_failed_total", reason);
            (failed >= 50.0).then_some(())
        });
    }
    let grown = field.hub.resident_bytes_at_most().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more");
    field.publish("after");
    assert_eq!(other.data(), "after");
}

/// A hub with a listener in cleartext and one with TLS.
struct Field {
    hub: TestHub,
    certificate: Certificate,
    tls: SocketAddr,
}

impl Field {
    fn new(more: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let certificate = Certificate::write(folder.path());
        let toml = settings(&format!(
            "[subscribe]\nanonymous = true\n[admin]\naddress = \"127.0.0.1:0\"\n{more}\
             [[listen]]\naddress = \"127.0.0.1:0\"\n{}",
            Certificate::toml()
        ));
        let hub = TestHub::serve_in(folder, &toml, &[]);
        let lines = hub.log();
        let mut lines = lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let tls = lines
            .find(|line| line["message"] == "listening" && line["tls"] == true)
            .and_then(|line| line["address"].as_str()?.parse().ok())
            .expect("the listener with TLS");
        Self {
            hub,
            certificate,
            tls,
        }
    }

    /// Opens a WebSocket that compresses. The greeting is read.
    fn peer(&self, way: Way, query: &str) -> Peer {
        let target = format!("{HUB_PATH}?{query}");
        let asked = handshake(&target).header("Sec-WebSocket-Extensions", "permessage-deflate");
        let mut peer = match way {
            Way::Plain => Peer::open(self.hub.address, &asked),
            Way::Tls => Peer::over(self.tls, self.certificate.connect(self.tls), &asked),
            Way::Http2 => compressing(self.hub.address, None, &target),
            Way::Http2OverTls => compressing(self.tls, Some(&self.certificate), &target),
        };
        assert!(peer.json()["open"].is_object());
        peer
    }

    fn publish(&self, data: &str) {
        let form = [("topic", TOPIC), ("data", data)];
        let answer = self.hub.publish_as(&token_for_all(), &form);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Returns what the hub said, and how its sessions ended.
    fn log(&self) -> String {
        let metrics = self.hub.request_admin("/metrics").text();
        let ends = metrics
            .lines()
            .filter(|line| line.starts_with("tidings_sessions_closed_total"));
        ends.fold(self.hub.log(), |log, line| format!("{log}\n{line}"))
    }

    /// Returns how many frames the hub has read.
    fn frames(&self) -> f64 {
        self.hub.metric("tidings_websocket_frames_total")
    }
}

/// Lets `attack` work on one WebSocket, by every way, and checks that it is closed with `code`, that
/// memory stayed bounded, and that another WebSocket was served all the while and after.
#[track_caller]
fn attack(code: u16, attack: impl Fn(&mut Peer, Way) + Sync) {
    let field = Field::new("");
    for way in WAYS {
        let mut other = field.peer(way, &format!("match={TOPIC}"));
        let mut peer = field.peer(way, "");
        let before = field.hub.resident_bytes_at_most();
        let closed = thread::scope(|threads| {
            let attacker = threads.spawn(|| {
                attack(&mut peer, way);
                peer.closed()
            });
            while !attacker.is_finished() {
                field.publish("meanwhile");
                assert_eq!(other.data(), "meanwhile", "{way:?}");
            }
            let closed = attacker.join();
            closed.unwrap_or_else(|_| panic!("{way:?}: not closed\n{}", field.log()))
        });
        assert_eq!(closed.0, code, "{way:?}: {closed:?}");
        let grown = field.hub.resident_bytes_at_most().saturating_sub(before);
        assert!(grown < GROWTH_BYTES_MAX, "{way:?}: {grown} bytes more");
        field.publish("after");
        assert_eq!(other.data(), "after", "{way:?}");
    }
}

/// Sends the same `enough` times, which breaks a limit; without TLS, where a peer still reads what came
/// before its connection was reset, up to what no hub should read.
fn flood(peer: &mut Peer, way: Way, frame: &[u8], enough: usize) {
    let many = frame.repeat(enough);
    let times = if way == Way::Plain { 100 } else { 1 };
    for _ in 0..times {
        if !peer.try_send_bytes(&many) {
            return;
        }
    }
}

/// Returns so many spaces, compressed.
fn packed(bytes: usize) -> Vec<u8> {
    Deflater::new(Window::Bits15, Context::Discarded).deflate(&vec![b' '; bytes])
}

/// Builds a frame of HTTP/2; RFC 9113, 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}
