//! The client's address behind a proxy: by a field, or by the PROXY protocol. It counts for limits, blocked addresses
//! and logs, and only trusted proxies are believed.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::harness::peer::{Peer, handshake};
use crate::harness::serving::{self, Certificate};
use crate::harness::tokens::settings;
use crate::harness::{Connection, DEADLINE, EventStream, HUB_PATH, Request, TestHub, wait_until};

/// Tests come from 127.0.0.1, which is the proxy.
const TRUSTED: &str = "[proxy]\ntrusted_addresses = [\"127.0.0.1\", \"10.0.0.0/8\"]\n";
const X_FORWARDED_FOR: &str = "X-Forwarded-For";
/// The header of version 2 for a client at 192.0.2.7, as HAProxy writes it.
const BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\x7f\x00\x00\x01\xd8\x94\x11\x30";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 127.0.0.1 55444 4400\r\n";

#[test]
fn limits_count_for_the_client_that_a_trusted_proxy_names() {
    let hub = served(&format!(
        "{TRUSTED}[limits]\nconnections_per_address_max = 2\n"
    ));
    let by = |client: &str| {
        let request = Request::get(&format!("{HUB_PATH}?match=a"));
        Connection::open(hub.address).request(&request.header(X_FORWARDED_FOR, client))
    };
    let stream = |client: &str| {
        let request = Request::get(&format!("{HUB_PATH}?match=a"));
        hub.subscribe_by(request.header(X_FORWARDED_FOR, client))
    };
    let first = stream("192.0.2.7");
    // Another way in counts for the same address.
    let websocket = handshake(&format!("{HUB_PATH}?match=a")).header(X_FORWARDED_FOR, "192.0.2.7");
    let second = Peer::open(hub.address, &websocket);
    let refused = by("192.0.2.7, 10.1.2.3");
    assert_eq!(
        (refused.status, &*refused.problem()),
        (429, "too-many-connections")
    );
    let detail = refused.text();
    assert!(
        detail.contains("limits.connections_per_address_max"),
        "{detail}"
    );
    // Others are served, and the proxy itself has no limit of an address.
    let _others = [
        stream("192.0.2.8"),
        stream("[2001:db8::7]:80"),
        stream("10.9.9.9"),
    ];
    let _more: Vec<EventStream> = (0..4).map(|_| hub.subscribe("match=a")).collect();
    // A place that is given back can be taken.
    drop((first, second));
    drop(wait_until("the place is free", || {
        let request = Request::get(&format!("{HUB_PATH}?match=a"));
        let mut connection = Connection::open(hub.address);
        connection.send_request(&request.header(X_FORWARDED_FOR, "192.0.2.7"));
        (connection.read_head().status == 200).then_some(connection)
    }));
    assert!(hub.metric_for("tidings_connections_refused_total", "address") >= 1.0);
}

#[test]
fn many_clients_share_a_connection_of_the_proxy() {
    let access = "[log]\naccess = true\naccess_file = \"FOLDER/access.log\"\nformat = \"json\"\n";
    let hub = served(&format!("{TRUSTED}{access}"));
    let mut kept = Connection::open(hub.address);
    for (client, logged) in [
        (Some("192.0.2.7"), "192.0.2.7"),
        (Some("192.0.2.66, 203.0.113.8, 10.0.0.2"), "203.0.113.8"),
        (None, "127.0.0.1"),
    ] {
        let request = Request::get("/health/live").header("X-Request-Id", logged);
        let request = match client {
            Some(client) => request.header(X_FORWARDED_FOR, client),
            None => request,
        };
        assert_eq!(kept.request(&request).status, 200);
        let line = wait_until("its line", || {
            let text = std::fs::read_to_string(hub.folder().join("access.log")).ok()?;
            let id = format!("\"request_id\":\"{logged}\"");
            let line = text.lines().find(|line| line.contains(&id))?.to_owned();
            Some(line)
        });
        assert!(line.contains(&format!("\"peer\":\"{logged}\"")), "{line}");
    }
}

#[test]
fn nobody_else_is_believed_until_a_reload_says_so() {
    let hub = served("[limits]\nblocked_addresses = [\"192.0.2.0/24\"]\n");
    let forged = Request::get("/health/live").header(X_FORWARDED_FOR, "192.0.2.7");
    assert_eq!(hub.request(forged.clone()).status, 200);
    let ignored = "tidings_forwarded_ignored_total";
    assert!((hub.metric_for(ignored, "untrusted") - 1.0).abs() < 0.1);
    let toml = hub.folder().join("tidings.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    std::fs::write(&toml, format!("{text}{TRUSTED}")).unwrap();
    hub.signal(rustix::process::Signal::HUP);
    let refused = wait_until("it is trusted", || {
        let answer = hub.request(forged.clone());
        (answer.status == 403).then_some(answer)
    });
    assert_eq!(refused.problem(), "address-blocked");
    let broken = Request::get("/health/live").header(X_FORWARDED_FOR, "192.0.2.7, <x>");
    assert_eq!(hub.request(broken).status, 200);
    assert!((hub.metric_for(ignored, "broken") - 1.0).abs() < 0.1);
}

#[test]
fn the_other_field_is_not_read() {
    let blocked = "[limits]\nblocked_addresses = [\"192.0.2.0/24\"]\n";
    let hub = served(&format!("{TRUSTED}header = \"Forwarded\"\n{blocked}"));
    let status = |name, value| {
        let request = Request::get("/health/live").header(name, value);
        hub.request(request).status
    };
    assert_eq!(status(X_FORWARDED_FOR, "192.0.2.7"), 200);
    assert_eq!(status("Forwarded", "for=192.0.2.7;proto=https"), 403);
    assert_eq!(
        status("Forwarded", "for=192.0.2.7, for=\"[2001:db8::1]:9\";by=_x"),
        200
    );
}

#[test]
fn the_header_of_the_proxy_protocol_names_the_client() {
    let hub = proxied("[limits]\nconnections_per_address_max = 1\n");
    let open = |header: &[u8]| {
        let mut connection = Connection::open(hub.address);
        connection.send(header);
        connection
    };
    let stream = Request::get(&format!("{HUB_PATH}?match=a"));
    let mut first = open(BINARY);
    first.send_request(&stream);
    assert_eq!(first.read_head().status, 200);
    // The same client by the other version.
    let mut second = open(LINE);
    assert_eq!(second.read_answer(false).status, 429);
    let mut other = open(b"PROXY TCP6 2001:db8::7 ::1 1 2\r\n");
    other.send_request(&stream);
    assert_eq!(other.read_head().status, 200);
    // Health checks of the proxy are its own.
    for header in [LOCAL, b"PROXY UNKNOWN\r\n"] {
        let mut probe = open(header);
        assert_eq!(probe.request(&Request::get("/health/ready")).status, 200);
    }
}

#[test]
fn the_header_comes_before_tls_and_before_a_blocked_client_is_answered() {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let certificate = Certificate::write(folder.path());
    let listen =
        Certificate::toml().replacen("tls = true\n", "tls = true\nproxy_protocol = true\n", 1);
    let blocked = "[limits]\nblocked_addresses = [\"198.51.100.0/24\"]\n";
    let toml = serving::toml(&format!("{listen}{TRUSTED}{blocked}"));
    let hub = TestHub::serve_in(folder, &toml, &[]);
    let mut socket = raw(&hub, Ipv4Addr::LOCALHOST);
    // In pieces, as the network may deliver it.
    for byte in LINE {
        socket.write_all(&[*byte]).unwrap();
    }
    let mut connection = Connection::over(hub.address, certificate.over(socket));
    assert_eq!(
        connection.request(&Request::get("/health/live")).status,
        200
    );
    let mut socket = raw(&hub, Ipv4Addr::LOCALHOST);
    socket
        .write_all(b"PROXY TCP4 198.51.100.7 127.0.0.1 1 2\r\n")
        .unwrap();
    check_closed(socket);
    assert!(hub.metric_for("tidings_connections_refused_total", "blocked") >= 1.0);
}

#[test]
fn a_connection_without_a_good_header_is_closed_and_counted() {
    let hub = proxied("[limits]\nhandshake_timeout_secs = 1\n");
    let failed = |reason| hub.metric_for("tidings_connections_failed_total", reason);
    for bytes in [
        &b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"PROXY TCP4 192.0.2.7 ::1 1 2\r\nGET / HTTP/1.1\r\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xffxxxxxxxxxxxxxxxxxxxxxxx",
    ] {
        let mut socket = raw(&hub, Ipv4Addr::LOCALHOST);
        socket.write_all(bytes).unwrap();
        check_closed(socket);
    }
    assert!((failed("proxy_header") - 3.0).abs() < 0.1);
    // One that does not come in time.
    let mut socket = raw(&hub, Ipv4Addr::LOCALHOST);
    socket.write_all(b"PROXY TCP4 192").unwrap();
    check_closed(socket);
    assert!((failed("proxy_header_timeout") - 1.0).abs() < 0.1);
    // One that ends too early; a mere probe of the port is no failure.
    let mut socket = raw(&hub, Ipv4Addr::LOCALHOST);
    socket.write_all(b"PROXY TCP4 192").unwrap();
    drop(socket);
    drop(raw(&hub, Ipv4Addr::LOCALHOST));
    wait_until("it is counted", || {
        (failed("proxy_header") > 3.5).then_some(())
    });
    // Nobody but the proxy may name clients.
    check_closed(raw(&hub, Ipv4Addr::new(127, 0, 0, 2)));
    assert!(hub.metric_for("tidings_connections_refused_total", "untrusted_proxy") >= 1.0);
    // The one that asks is all that is left.
    hub.wait_for_metric("tidings_connections", |open| open < 1.5);
}

/// Starts a hub with a plain listener.
fn served(more: &str) -> TestHub {
    let anonymous = "[admin]\naddress = \"127.0.0.1:0\"\n[subscribe]\nanonymous = true\n";
    TestHub::serve(&settings(&format!("{anonymous}{more}")))
}

/// Starts a hub whose listener wants the header.
fn proxied(more: &str) -> TestHub {
    let listen = "[[listen]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n";
    served(&format!("{listen}{TRUSTED}{more}"))
}

fn raw(hub: &TestHub, from: Ipv4Addr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&std::net::SocketAddr::from((from, 0)).into())
        .unwrap();
    socket.connect(&hub.address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Waits for the hub to close a connection without a word.
fn check_closed(mut socket: TcpStream) {
    let mut answer = Vec::new();
    // A reset is an end too.
    drop(socket.read_to_end(&mut answer));
    assert_eq!(String::from_utf8_lossy(&answer), "");
}
