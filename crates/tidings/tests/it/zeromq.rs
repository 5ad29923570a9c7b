//! Messages into the hub and out of it, with raw peers. `conformance/test_zeromq.py` and
//! `conformance/test_zeromq_hub.py` test with libraries.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;
use tidings_wire::zmtp::decoder::{Decoder, Received};
use tidings_wire::zmtp::handshake::{Handshake, Options, Role, Security};
use tidings_wire::zmtp::{SocketType, command, frame};

use crate::harness::dialects::{PATH_2019, all_dialects, old_token, publish_at};
use crate::harness::{DEADLINE, HUB_PATH, TestHub, run, tokens, wait_until};

const SOCKETS: &str = r#"
[subscribe]
anonymous = true
[admin]
address = "127.0.0.1:0"
[[zeromq.inputs]]
socket = "zmq-bind://PULL@127.0.0.1:0"
topic = "https://example.com/chat"
[[zeromq.outputs]]
socket = "zmq-bind://PUB@127.0.0.1:0"
format = "parts"
"#;

#[test]
fn what_is_pushed_reaches_event_streams_and_subscribers() {
    let hub = TestHub::serve(&tokens::settings(SOCKETS));
    let mut page = hub.subscribe("match=*");
    let mut sub = Peer::open(socket(&hub, "PUB"), SocketType::Sub);
    sub.subscribe(b"https://example.com/");
    hub.wait_for_metric("tidings_zeromq_subscriptions", |count| count == 1.0);
    // The end of the connection follows at once, and nothing is lost.
    let mut push = Peer::open(socket(&hub, "PULL"), SocketType::Push);
    push.send(&[b"last words"]);
    drop(push);
    assert_eq!(page.event().data, "last words");
    let parts = sub.receive();
    assert_eq!(parts, [&b"https://example.com/chat"[..], b"last words"]);
}

#[test]
fn an_output_sends_what_its_grants_allow_and_never_what_is_for_targets() {
    let hub = TestHub::serve(&all_dialects(
        r#"
[admin]
address = "127.0.0.1:0"
[[zeromq.outputs]]
socket = "zmq-bind://PUB@127.0.0.1:0"
format = "data"
[[zeromq.outputs]]
socket = "zmq-bind://XPUB@127.0.0.1:0"
format = "data"
private = true
"#,
    ));
    let mut public = Peer::open(socket(&hub, "PUB"), SocketType::Sub);
    let mut private = Peer::open(socket(&hub, "XPUB"), SocketType::Sub);
    for peer in [&mut public, &mut private] {
        peer.subscribe(b"");
    }
    hub.wait_for_metric("tidings_zeromq_subscriptions", |count| count == 2.0);
    let (new, old) = (
        tokens::token_for_all(),
        old_token(json!({"publish": ["*"]})),
    );
    let topic = ("topic", "https://example.com/books/1");
    for (path, token, data, more) in [
        (HUB_PATH, &new, "private", Some(("private", "on"))),
        (PATH_2019, &old, "targeted", Some(("target", "somebody"))),
        (HUB_PATH, &new, "public", None),
    ] {
        let form: Vec<_> = [topic, ("data", data)].into_iter().chain(more).collect();
        assert_eq!(publish_at(&hub, path, token, &form).status, 200, "{data}");
    }
    assert_eq!(public.receive(), [b"public"]);
    assert_eq!(private.receive(), [b"private"]);
    assert_eq!(private.receive(), [b"public"]);
}

#[test]
fn what_cannot_be_an_update_is_counted_and_the_next_is_taken() {
    let hub = TestHub::serve(&tokens::settings(SOCKETS));
    let mut page = hub.subscribe("match=*");
    let mut push = Peer::open(socket(&hub, "PULL"), SocketType::Push);
    push.send(&[b"two", b"parts"]);
    push.send(&[b"\xff"]);
    push.send(&[b"good"]);
    assert_eq!(page.event().data, "good");
    assert_eq!(
        hub.metric_for("tidings_zeromq_dropped_total", "unparsable"),
        2.0
    );
}

#[test]
fn refused_messages_are_counted_by_the_names_that_http_has() {
    let hub = TestHub::serve(&tokens::settings(
        r#"
[subscribe]
anonymous = true
[admin]
address = "127.0.0.1:0"
[[zeromq.inputs]]
socket = "zmq-bind://PULL@127.0.0.1:0"
format = "json"
match_exact = ["https://example.com/chat"]
"#,
    ));
    let mut page = hub.subscribe("match=*");
    let mut push = Peer::open(socket(&hub, "PULL"), SocketType::Push);
    push.send(&[br#"{"topic":"https://example.com/other"}"#]);
    push.send(&[br#"{"topic":"/.well-known/mercure/subscriptions/x"}"#]);
    push.send(&[br##"{"topic":"https://example.com/chat","id":"#1"}"##]);
    push.send(&[br#"{"topic":"https://example.com/chat","data":"good"}"#]);
    assert_eq!(page.event().data, "good");
    for name in ["scope-insufficient", "topic-reserved", "id-invalid"] {
        let refused = hub.metric_for("tidings_zeromq_refused_total", name);
        assert_eq!(refused, 1.0, "{name}");
    }
}

#[test]
fn empty_members_of_an_object_are_absent() {
    let hub = TestHub::serve(&tokens::settings(
        r#"
[subscribe]
anonymous = true
[admin]
address = "127.0.0.1:0"
[[zeromq.inputs]]
socket = "zmq-bind://PULL@127.0.0.1:0"
topic = "https://example.com/chat"
format = "json"
event_type = "said"
"#,
    ));
    let mut page = hub.subscribe("match=https://example.com/chat");
    let mut push = Peer::open(socket(&hub, "PULL"), SocketType::Push);
    for empty in ["\"\"", "null"] {
        let names = ["topic", "data", "id", "type", "retry", "hub"];
        let fields = names.map(|name| format!("\"{name}\":{empty}")).join(",");
        push.send(&[format!("{{{fields}}}").as_bytes()]);
        let event = page.event();
        assert!(event.last_event_id.starts_with("urn:uuid:"), "{event:?}");
        let said = (event.event_type.as_str(), event.data.as_str());
        assert_eq!(said, ("said", ""), "{empty}");
    }
    // What is not empty is not passed over, nor is what would make an update public.
    for wrong in [r#"{"retry":"1"}"#, r#"{"retry":" "}"#, r#"{"private":""}"#] {
        push.send(&[wrong.as_bytes()]);
    }
    push.send(&[br#"{"data":"last"}"#]);
    assert_eq!(page.event().data, "last");
    let dropped = hub.metric_for("tidings_zeromq_dropped_total", "unparsable");
    assert_eq!(dropped, 3.0);
}

#[test]
fn one_subscriber_cannot_take_what_is_for_all() {
    let hub = TestHub::serve(&tokens::settings(SOCKETS));
    let subscribe = |count: u16| {
        let mut peer = Peer::open(socket(&hub, "PUB"), SocketType::Sub);
        for number in 0..count {
            // None shares a beginning with another: each needs as many nodes as bytes.
            let mut prefix = number.to_be_bytes().to_vec();
            prefix.reverse();
            prefix.resize(1000, b'x');
            if peer.try_subscribe(&prefix).is_err() {
                break;
            }
        }
        peer
    };
    let first = subscribe(150);
    hub.wait_for_metric("tidings_zeromq_subscriptions", |count| count == 150.0);
    let greedy = subscribe(850);
    hub.wait_for_metric("tidings_zeromq_peers_closed_total", |count| count == 1.0);
    let reason = "subscriptions_bytes";
    let closed = hub.metric_for("tidings_zeromq_peers_closed_total", reason);
    assert_eq!(closed, 1.0);
    let other = subscribe(100);
    hub.wait_for_metric("tidings_zeromq_subscriptions", |count| count == 250.0);
    drop((first, greedy, other));
}

#[test]
fn a_broker_needs_a_way_in_and_a_way_out() {
    let (code, _, errors) = run(&["broker", "--pull", "zmq-bind://PULL@127.0.0.1:0"], &[]);
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains("a way in and a way out"), "{errors}");
}

/// Returns the address of the hub's socket of this type.
pub fn socket(hub: &TestHub, kind: &str) -> String {
    let name = format!("zmq-bind://{kind}@");
    wait_until("the socket is open", || {
        let log = hub.log();
        let (_, rest) = log.split_once(&name)?;
        rest.split('"').next().map(str::to_owned)
    })
}

/// The other end of a socket, after its handshake.
pub struct Peer {
    stream: TcpStream,
    decoder: Decoder,
}

impl Peer {
    pub fn open(address: String, socket_type: SocketType) -> Self {
        let mut stream = TcpStream::connect(address).expect("connected");
        stream.set_read_timeout(Some(DEADLINE)).expect("an option");
        let mut out = Vec::new();
        let options = Options {
            socket_type,
            security: Security::Null,
            role: Role::Client,
        };
        let mut handshake = Handshake::new(options, &mut out);
        loop {
            stream.write_all(&out).expect("sent");
            out.clear();
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            if handshake.push(&byte, &mut out).expect("a peer").is_some() {
                break;
            }
        }
        let decoder = Decoder::new(1 << 20);
        Self { stream, decoder }
    }

    fn subscribe(&mut self, prefix: &[u8]) {
        self.try_subscribe(prefix).expect("sent");
    }

    fn try_subscribe(&mut self, prefix: &[u8]) -> std::io::Result<()> {
        let mut wire = Vec::new();
        command::encode_subscribe(&mut wire, prefix, 1);
        self.stream.write_all(&wire)
    }

    pub fn send(&mut self, parts: &[&[u8]]) {
        let mut wire = Vec::new();
        frame::encode_message(&mut wire, parts);
        self.stream.write_all(&wire).expect("sent");
    }

    fn receive(&mut self) -> Vec<Vec<u8>> {
        let mut received = Received::default();
        while received.messages.is_empty() {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).expect("a message");
            self.decoder.push(&byte, &mut received).expect("ZMTP");
        }
        frame::parts(&received.wire).map(<[u8]>::to_vec).collect()
    }
}
