//! The limits on connections, and the answers beyond them.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::harness::tokens::settings;
use crate::harness::{Connection, DEADLINE, EventStream, HUB_PATH, Request, TestHub, wait_until};

#[test]
fn connections_beyond_those_of_one_address_get_429() {
    let hub = TestHub::serve(&limited("connections_per_address_max = 2"));
    let one = Ipv4Addr::new(127, 0, 0, 2);
    let first = subscribe(&hub, one);
    let _second = subscribe(&hub, one);
    let mut third = connect(&hub, one);
    check_refused(&mut third, 429);
    // Others are not in the way.
    let other = Ipv4Addr::new(127, 0, 0, 3);
    drop(subscribe(&hub, other));
    // A place that is given back can be taken.
    drop(first);
    let mut again = wait_until("the place is free", || try_subscribe(&hub, one));
    check_delivers(&hub, &mut again);
}

#[test]
fn connections_beyond_the_total_get_503() {
    let hub = TestHub::serve(&limited("connections_max = 3"));
    let addresses = [2, 3, 4].map(|last| Ipv4Addr::new(127, 0, 0, last));
    let mut streams: Vec<EventStream> = addresses
        .iter()
        .map(|&address| subscribe(&hub, address))
        .collect();
    for address in [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 9)] {
        check_refused(&mut connect(&hub, address), 503);
    }
    streams.pop();
    let again = wait_until("the place is free", || try_subscribe(&hub, addresses[0]));
    drop(again);
}

#[test]
fn a_refused_flood_leaves_no_connection_behind() {
    let hub = TestHub::serve(&limited("connections_per_address_max = 1"));
    let one = Ipv4Addr::new(127, 0, 0, 2);
    let mut stream = subscribe(&hub, one);
    for _ in 0..200 {
        check_refused(&mut connect(&hub, one), 429);
    }
    check_delivers(&hub, &mut stream);
    drop(stream);
    drop(wait_until("the place is free", || try_subscribe(&hub, one)));
}

#[test]
fn operators_are_let_in_when_the_hub_is_full() {
    let hub = TestHub::serve(&limited(
        "connections_max = 1\nconnections_per_address_max = 1",
    ));
    let admin = hub.admin.expect("the operators' listener");
    let _stream = subscribe(&hub, Ipv4Addr::LOCALHOST);
    check_refused(&mut connect(&hub, Ipv4Addr::LOCALHOST), 503);
    check_refused(&mut connect(&hub, Ipv4Addr::new(127, 0, 0, 2)), 503);
    let answer = Connection::open(admin).request(&Request::get("/health/ready"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(hub.metric_for("tidings_connections_refused_total", "total") >= 2.0);
}

fn limited(limit: &str) -> String {
    settings(&format!(
        "[admin]\naddress = \"127.0.0.1:0\"\n[subscribe]\nanonymous = true\n[limits]\n{limit}\n"
    ))
}

fn connect(hub: &TestHub, from: Ipv4Addr) -> Connection {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket
        .bind(&SocketAddr::from((from, 0)).into())
        .expect("a loopback address");
    socket
        .connect(&hub.address.into())
        .expect("the hub accepts connections");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).expect("an option");
    Connection::over(hub.address, stream)
}

fn asked() -> Request {
    Request::get(&format!("{HUB_PATH}?match=*"))
}

fn subscribe(hub: &TestHub, from: Ipv4Addr) -> EventStream {
    EventStream::open(connect(hub, from), &asked())
}

/// Subscribes, or returns nothing if the hub refuses.
fn try_subscribe(hub: &TestHub, from: Ipv4Addr) -> Option<EventStream> {
    let mut connection = connect(hub, from);
    connection.send_request(&asked());
    let head = connection.read_head();
    (head.status == 200).then(|| EventStream::after_head(connection, head))
}

#[track_caller]
fn check_refused(connection: &mut Connection, status: u16) {
    // Refused before a request is read: nothing is sent here.
    let answer = connection.read_answer(false);
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.problem(), "too-many-connections");
    assert_eq!(answer.json()["status"], status);
    let seconds: u32 = answer
        .header("retry-after")
        .expect("a field")
        .parse()
        .expect("seconds");
    assert!(seconds > 0);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(connection.read_byte(), None, "the connection ends");
}

#[track_caller]
fn check_delivers(hub: &TestHub, stream: &mut EventStream) {
    // Comes from an address of its own, so that it needs nobody's place.
    let token = crate::harness::tokens::token_for_all();
    let request = Request::post(HUB_PATH)
        .bearer(&token)
        .form(&[("topic", "a"), ("data", "x")]);
    let answer = connect(hub, Ipv4Addr::new(127, 0, 0, 77)).request(&request);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(stream.event().data, "x");
}
