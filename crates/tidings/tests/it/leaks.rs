//! Connections that are cut anywhere leave nothing behind: no socket, no session, no matcher, no
//! growing memory.

use std::io::{Read, Write};
use std::net::TcpStream;

use fastrand::Rng;

use crate::harness::process::{connect_with_buffer, raise_open_files, reset};
use crate::harness::serving::{self, Certificate, serve_tls};
use crate::harness::{Connection, HUB_PATH, Request, TestHub, note, wait_until};

/// Rounds in the ordinary and in the long form.
const ROUNDS: u64 = 5;
const MANY_ROUNDS: u64 = 20;
/// Connections of one round.
const CONNECTIONS: usize = 1000;
/// Connections that are open at once.
const OPEN_MAX: usize = 100;
/// Bytes by which the process may grow in the rounds after the second: less than what a leak of two
/// kilobytes for each connection would take.
const GROWTH_MAX: u64 = 4 * 1024 * 1024;

#[test]
fn a_thousand_connections_cut_at_random_leave_nothing_behind() {
    check(&Setting::plain(), ROUNDS);
}

#[test]
fn a_thousand_tls_connections_cut_at_random_leave_nothing_behind() {
    check(&Setting::tls(), ROUNDS);
}

#[test]
#[ignore = "slow: twenty thousand connections"]
fn many_connections_cut_at_random_leave_nothing_behind() {
    check(&Setting::plain(), MANY_ROUNDS);
}

#[test]
#[ignore = "slow: twenty thousand connections"]
fn many_tls_connections_cut_at_random_leave_nothing_behind() {
    check(&Setting::tls(), MANY_ROUNDS);
}

struct Setting {
    hub: TestHub,
    certificate: Option<Certificate>,
}

const ANONYMOUS: &str = "[subscribe]\nanonymous = true\n[pages]\nchat = true\n";

impl Setting {
    fn plain() -> Self {
        Self {
            hub: TestHub::serve(&serving::toml(ANONYMOUS)),
            certificate: None,
        }
    }

    fn tls() -> Self {
        let (hub, certificate) = serve_tls(ANONYMOUS);
        Self {
            hub,
            certificate: Some(certificate),
        }
    }
}

fn check(setting: &Setting, rounds: u64) {
    raise_open_files().unwrap();
    let hub = &setting.hub;
    let token = serving::token();
    let connections = hub.metric("tidings_connections");
    let open_files = hub.open_files();
    let mut after_second = 0;
    let mut after_last = 0;
    for round in 0..rounds {
        let mut rng = Rng::with_seed(round);
        open_and_cut(setting, &token, &mut rng);
        hub.wait_for_metric("tidings_subscribers", |subscribers| subscribers == 0.0);
        hub.wait_for_metric("tidings_connections", |now| now == connections);
        hub.wait_for_metric("tidings_matchers", |matchers| matchers == 0.0);
        wait_until("all sockets are closed", || {
            (hub.open_files() <= open_files).then_some(())
        });
        after_last = hub.resident_bytes();
        note(&format!("round {round}: {} KiB", after_last / 1024));
        if round == 1 {
            after_second = after_last;
        }
    }
    assert!(
        hub.metric("tidings_sessions_closed_total") > 100.0,
        "some were event streams"
    );
    assert!(
        after_last <= after_second + GROWTH_MAX,
        "{after_second} bytes after the second round, {after_last} after the last"
    );
    assert!(!hub.log().contains("panic"), "{}", hub.log());
}

/// Keeps up to [`OPEN_MAX`] connections in some state and cuts one of them for each new one.
fn open_and_cut(setting: &Setting, token: &str, rng: &mut Rng) {
    let mut open = Vec::with_capacity(OPEN_MAX);
    for number in 0..CONNECTIONS {
        if open.len() == OPEN_MAX {
            cut(open.swap_remove(rng.usize(..OPEN_MAX)), rng);
        }
        open.push(begin(setting, token, rng));
        if number % 50 == 0 {
            // Some streams are cut while they are written to.
            publish(setting, token, &format!("{}", rng.u8(..10)));
        }
    }
    for socket in open {
        cut(socket, rng);
    }
}

fn cut(socket: TcpStream, rng: &mut Rng) {
    if rng.bool() {
        reset(&socket);
    }
    drop(socket);
}

fn publish(setting: &Setting, token: &str, topic: &str) {
    let request = publication(token, topic);
    let answer = match &setting.certificate {
        Some(certificate) => certificate.open(&setting.hub).request(&request),
        None => Connection::open(setting.hub.address).request(&request),
    };
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn publication(token: &str, topic: &str) -> Request {
    let topic = format!("https://example.com/{topic}");
    Request::post(HUB_PATH)
        .bearer(token)
        .form(&[("topic", &topic), ("data", &"x".repeat(2000))])
}

/// Opens a connection and leaves it at a random point.
fn begin(setting: &Setting, token: &str, rng: &mut Rng) -> TcpStream {
    let mut socket = connect_with_buffer(setting.hub.address, 16 * 1024);
    let sent = bytes(token, rng);
    // The hub may close a connection that sends nonsense: errors are part of the game.
    match &setting.certificate {
        None => {
            drop(socket.write_all(&sent));
            read_sometimes(&mut socket, &sent, rng);
        }
        Some(certificate) if rng.u8(..4) == 0 => {
            let mut hello = Vec::new();
            certificate.peer().write_tls(&mut hello).unwrap();
            drop(socket.write_all(&hello[..rng.usize(..=hello.len())]));
        }
        Some(certificate) => {
            let mut tls = certificate.over(socket);
            drop(tls.write_all(&sent));
            drop(tls.flush());
            read_sometimes(&mut tls, &sent, rng);
            if rng.bool() {
                tls.conn.send_close_notify();
                drop(tls.flush());
            }
            socket = tls.sock;
        }
    }
    socket
}

/// Waits for the first bytes of an answer, if there will be one and chance wants it.
fn read_sometimes(stream: &mut impl Read, sent: &[u8], rng: &mut Rng) {
    if sent.starts_with(b"GET ") && sent.ends_with(b"\r\n\r\n") && rng.bool() {
        drop(stream.read(&mut [0; 100]));
    }
}

/// Returns what one connection sends: a request, often not all of it, or nonsense.
fn bytes(token: &str, rng: &mut Rng) -> Vec<u8> {
    let topic = rng.u8(..10);
    let request = match rng.u8(..10) {
        0..=3 => format!("GET {HUB_PATH}?match=https://example.com/{topic}"),
        4 => format!("GET {HUB_PATH}?match_urlpattern=https://example.com/{topic}*"),
        5 => format!("GET {HUB_PATH}?match=*&last_event_id=earliest"),
        6 => "GET /chat/".to_owned(),
        7 => return cut_off(publication(token, "body").bytes(), rng),
        8 => return [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), noise(rng)].concat(),
        _ => return noise(rng),
    };
    let version = if rng.u8(..4) == 0 { "1.0" } else { "1.1" };
    let request = format!("{request} HTTP/{version}\r\nHost: localhost\r\n\r\n").into_bytes();
    if rng.u8(..4) == 0 {
        cut_off(request, rng)
    } else {
        request
    }
}

fn cut_off(mut bytes: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    bytes.truncate(rng.usize(..=bytes.len()));
    bytes
}

fn noise(rng: &mut Rng) -> Vec<u8> {
    (0..rng.usize(..200)).map(|_| rng.u8(..)).collect()
}
