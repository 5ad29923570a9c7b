//! WebSockets that mean harm: memory stays bounded, the close code is the right one, and others
//! notice nothing.

use std::io::{Read, Write};
use std::net::TcpStream;

use tidings_wire::websocket::Opcode;
use tidings_wire::websocket::deflate::{Context, Deflating, Window};
use tidings_wire::websocket::encoder::{Packing, masked_frame};

use crate::harness::peer::{Peer, handshake};
use crate::harness::tokens::settings;
use crate::harness::{DEADLINE, HUB_PATH, TestHub};

const TOPIC: &str = "https://example.com/books/1";
const KEY: [u8; 4] = [1, 2, 3, 4];
/// What an attack may make the process grow by.
const GROWTH_BYTES_MAX: u64 = 24 * 1024 * 1024;

#[test]
fn a_flood_of_frames_is_closed_with_1008() {
    attack(1008, |peer| {
        flood(peer, &masked_frame(Opcode::Ping, Packing::Plain, b"x", KEY))
    });
}

#[test]
fn a_flood_of_fragments_is_closed_with_1008() {
    attack(1008, |peer| {
        peer.send_bytes(&[0x01, 0x80, 0, 0, 0, 0]);
        flood(peer, &[0x00, 0x80, 0, 0, 0, 0]);
    });
}

#[test]
fn a_text_that_is_announced_too_long_is_closed_with_1009() {
    attack(1009, |peer| {
        peer.send_bytes(b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0");
    });
}

#[test]
fn a_text_that_grows_too_long_by_fragments_is_closed_with_1009() {
    attack(1009, |peer| {
        let mut fragment = masked_frame(Opcode::Text, Packing::Plain, &[b'x'; 60_000], KEY);
        fragment[0] = 0x01;
        peer.send_bytes(&fragment);
        fragment[0] = 0x00;
        flood(peer, &fragment);
    });
}

#[test]
fn a_compression_bomb_is_closed_with_1009() {
    attack(1009, |peer| {
        let mut deflating = Deflating::new(Window::Bits15, Context::Forgotten);
        let bomb = deflating.deflate(&vec![b' '; 500 * 1024 * 1024]);
        assert!(bomb.len() < 1024 * 1024);
        peer.send_bytes(&masked_frame(Opcode::Text, Packing::Deflated, &bomb, KEY));
    });
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
        attack(code, |peer| peer.send_bytes(bytes));
    }
}

#[test]
fn requests_whose_answers_nobody_reads_do_not_gather() {
    let hub = TestHub::serve(&settings(
        "[subscribe]\nanonymous = true\n[websocket]\nframes_per_second_max = 0\n\
         [limits]\nstall_secs = 2\n[admin]\naddress = \"127.0.0.1:0\"\n",
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

#[test]
fn slow_handshakes_end_with_the_time_for_a_head() {
    let hub = TestHub::serve(&settings("[limits]\nhead_secs = 1\n"));
    let mut slow: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut stream = TcpStream::connect(hub.address).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            stream
                .write_all(b"GET /ws/chat HTTP/1.1\r\nUpgrade: websocket\r\n")
                .unwrap();
            stream
        })
        .collect();
    for stream in &mut slow {
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        assert!(!answer.starts_with(b"HTTP/1.1 101"));
    }
}

/// Lets `attack` work on one WebSocket and checks that it is closed with `code`, that memory stayed
/// bounded, and that another WebSocket was served meanwhile and after.
#[track_caller]
fn attack(code: u16, attack: impl FnOnce(&mut Peer)) {
    let hub = TestHub::dev();
    let mut other = hub.websocket(&format!("match={TOPIC}"));
    let before = hub.resident_bytes();
    let asked = handshake(HUB_PATH).header("Sec-WebSocket-Extensions", "permessage-deflate");
    let mut peer = hub.websocket_by(&asked);
    attack(&mut peer);
    hub.published(&[("topic", TOPIC), ("data", "meanwhile")]);
    assert_eq!(other.data(), "meanwhile");
    assert_eq!(peer.closed().0, code);
    let grown = hub.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more");
    hub.published(&[("topic", TOPIC), ("data", "after")]);
    assert_eq!(other.data(), "after");
}

/// Sends the same over and over, up to what no hub should read.
fn flood(peer: &mut Peer, frame: &[u8]) {
    let many = frame.repeat(1 + 65_536 / frame.len());
    for _ in 0..1000 {
        if !peer.try_send_bytes(&many) {
            return;
        }
    }
}
