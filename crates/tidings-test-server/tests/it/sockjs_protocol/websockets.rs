//! WebSockets, with frames of SockJS and raw.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{CLOSE, Case, ECHO, GO_AWAY, Server, check_405};
use crate::harness::peer::{Peer, handshake};
use crate::harness::{DEADLINE, Request};

pub const CASES: &[Case] = &[
    ("WebsocketHttpErrors.httpMethod", http_method),
    (
        "WebsocketHttpErrors.invalidConnectionHeader",
        invalid_connection,
    ),
    ("WebsocketHttpErrors.invalidMethod", invalid_method),
    ("Websocket.transport", transport),
    ("Websocket.close", close),
    ("Websocket.headersSanity", headers_sanity),
    ("Websocket.empty_frame", empty_frame),
    ("Websocket.reuseSessionId", reuse_session_id),
    ("Websocket.haproxy", haproxy),
    ("Websocket.broken_json", broken_json),
    ("RawWebsocket.transport", raw_transport),
    ("RawWebsocket.close", raw_close),
];

fn http_method(server: &Server) {
    let answer = server.get("/echo/0/0/websocket");
    assert_eq!(answer.status, 400);
    assert_eq!(answer.text(), "Can \"Upgrade\" only to \"WebSocket\".");
}

fn invalid_connection(server: &Server) {
    let request = Request::get("/echo/0/0/websocket")
        .header("Upgrade", "WebSocket")
        .header("Connection", "close");
    let answer = server.request(&request);
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (400, "handshake-invalid")
    );
}

fn invalid_method(server: &Server) {
    let request = Request::post("/echo/0/0/websocket");
    check_405(&server.request(&request), "GET");
    let asking = request
        .header("Upgrade", "WebSocket")
        .header("Connection", "Upgrade");
    check_405(&server.request(&asking), "GET");
}

fn open(server: &Server, session: &str) -> Peer {
    let mut peer = server.websocket(&format!("{session}/websocket"));
    assert_eq!(peer.text(), "o");
    peer
}

fn transport(server: &Server) {
    let mut peer = open(server, &server.session(ECHO));
    peer.send("[\"a\"]");
    assert_eq!(peer.text(), "a[\"a\"]");
    // A single text without an array is taken too, and several are answered in order.
    peer.send("\"b\"");
    assert_eq!(peer.text(), "a[\"b\"]");
    peer.send("[\"c\", \"d\"]");
    assert_eq!([peer.text(), peer.text()], ["a[\"c\"]", "a[\"d\"]"]);
}

fn close(server: &Server) {
    let mut peer = open(server, &server.session(CLOSE));
    assert_eq!(peer.text(), GO_AWAY);
    assert_eq!(peer.closed(), (3000, "Go away!".to_owned()));
}

fn headers_sanity(server: &Server) {
    let target = format!("{}/websocket", server.session(ECHO));
    let mut request = handshake(&target).header("Sec-WebSocket-Origin", "http://asd");
    for (name, value) in &mut request.headers {
        if name == "Sec-WebSocket-Key" {
            *value = "x3JJHMbDL1EzLkh9GBhXDw==".to_owned();
        }
    }
    let peer = Peer::open(server.address, &request);
    assert_eq!(
        peer.head,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk=\r\n\r\n"
    );
}

fn empty_frame(server: &Server) {
    let mut peer = open(server, &server.session(ECHO));
    peer.send("");
    peer.send("[]");
    peer.send("[\"a\"]");
    assert_eq!(peer.text(), "a[\"a\"]");
}

fn reuse_session_id(server: &Server) {
    let session = server.session(ECHO);
    let mut first = open(server, &session);
    let mut second = open(server, &session);
    first.send("[\"a\"]");
    assert_eq!(first.text(), "a[\"a\"]");
    second.send("[\"b\"]");
    assert_eq!(second.text(), "a[\"b\"]");
    drop((first, second));
    let mut again = open(server, &session);
    again.send("[\"a\"]");
    assert_eq!(again.text(), "a[\"a\"]");
}

/// The handshake of 2010: the head is answered before the nonce has come.
fn haproxy(server: &Server) {
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("an option");
    let (address, target) = (
        server.address,
        format!("{}/websocket", server.session(ECHO)),
    );
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\
         Origin: http://{address}\r\nSec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n\
         Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("written");
    let wanted = format!(
        "HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Origin: http://{address}\r\n\
         Sec-WebSocket-Location: ws://{address}{target}\r\n\r\n"
    );
    let mut read = |count: usize| {
        let mut bytes = vec![0; count];
        stream.read_exact(&mut bytes).expect("an answer");
        bytes
    };
    let head = String::from_utf8(read(wanted.len())).expect("a head");
    assert_eq!(head, wanted);
    stream.write_all(b"aaaaaaaa").expect("written");
    let mut read = |count: usize| {
        let mut bytes = vec![0; count];
        stream.read_exact(&mut bytes).expect("an answer");
        bytes
    };
    assert_eq!(read(16), b"\xca4\x00\xd8\xa5\x08G\x97,\xd5qZ\xba\xbfC{");
    assert_eq!(read(3), b"\x00o\xff");
    // Beyond what the suite asks: it serves.
    stream.write_all(b"\x00[\"a\"]\xff").expect("written");
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"\x00a[\"a\"]\xff");
    stream.write_all(b"\xff\x00").expect("written");
    let mut end = Vec::new();
    stream.read_to_end(&mut end).expect("the end");
    assert_eq!(end, b"\xff\x00");
}

fn broken_json(server: &Server) {
    let mut peer = open(server, &server.session(ECHO));
    peer.send("[\"a");
    assert_eq!(peer.closed().0, 1007);
}

fn raw_transport(server: &Server) {
    let mut peer = server.websocket("/echo/websocket");
    peer.send("Hello world!\u{ffff}");
    assert_eq!(peer.text(), "Hello world!\u{ffff}");
}

fn raw_close(server: &Server) {
    let mut peer = server.websocket("/close/websocket");
    assert_eq!(peer.closed(), (3000, "Go away!".to_owned()));
}
