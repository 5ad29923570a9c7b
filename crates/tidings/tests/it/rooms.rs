//! Rooms at `/ws/{topic}`: what Ratchet's tutorial chat does (rows R1, R3 to R6), and the
//! Flash policy beside them (F1 to F3, F6).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::json;
use tidings_wire::websocket::Opcode;

use crate::harness::peer::{Peer, handshake};
use crate::harness::process::connect_with_buffer;
use crate::harness::tokens::{detail, now_secs, settings, token, token_for_all, token_with, with};
use crate::harness::{Connection, DEADLINE, HUB_PATH, Request, TestHub, wait_until};

const ARTICLE: &str = "[subscribe]\nanonymous = true\n\
    [[listen]]\naddress = \"127.0.0.1:0\"\nroom = \"chat\"\n\
    [rooms]\naccess = \"anonymous\"\norigins = [\"*\"]\nsubprotocols = [\"chat\"]\n\
    [flash]\nallow = [\"*:80\", \"*:8080\"]\n";

/// R1.
#[test]
fn a_text_goes_to_everybody_else_unchanged() {
    let hub = TestHub::serve(&settings(ARTICLE));
    let mut peers: Vec<_> = (0..3)
        .map(|_| Peer::open(hub.address, &handshake("/")))
        .collect();
    for (speaker, text) in [(0, "hello"), (1, "{\"a\": \"<b>\"}"), (2, "é€ \u{0} \n")] {
        peers[speaker].send(text);
        for (listener, peer) in peers.iter_mut().enumerate() {
            if listener != speaker {
                assert_eq!(peer.text(), text);
            }
        }
    }
    // Had one heard itself, that would have come before this.
    peers[0].send("last");
    assert_eq!([peers[1].text(), peers[2].text()], ["last", "last"]);
    peers[1].send("really last");
    assert_eq!(
        [peers[0].text(), peers[2].text()],
        ["really last", "really last"]
    );
}

#[test]
fn a_room_is_a_topic() {
    let hub = TestHub::dev();
    let mut first = hub.room("chat");
    let mut second = hub.room("chat");
    let mut elsewhere = hub.room("other");
    let mut stream = hub.subscribe("match=chat");
    let mut json_peer = hub.websocket("match=chat");
    first.send("by WebSocket");
    assert_eq!(second.text(), "by WebSocket");
    assert_eq!(stream.event().data, "by WebSocket");
    assert_eq!(json_peer.data(), "by WebSocket");
    hub.published(&[("topic", "chat"), ("data", "by POST")]);
    assert_eq!(
        [first.text(), second.text(), json_peer.data()],
        ["by POST"; 3]
    );
    assert_eq!(stream.event().data, "by POST");
    hub.published(&[("topic", "other"), ("data", "only there")]);
    assert_eq!(elsewhere.text(), "only there");
    // It is stored like any update, so a later subscriber can read it; but a room begins with new messages.
    let mut late = hub.subscribe("match=chat&last_event_id=earliest");
    assert_eq!(
        [late.event().data, late.event().data],
        ["by WebSocket", "by POST"]
    );
    let mut newcomer = hub.room("chat");
    first.send("now");
    assert_eq!(newcomer.text(), "now");
}

#[test]
fn all_see_one_order_and_nobody_hears_itself_however_fast_they_speak() {
    let hub = TestHub::dev();
    let mut stream = hub.subscribe("match=chat");
    let mut speakers: Vec<_> = (0..4).map(|_| hub.room("chat")).collect();
    for number in 0..100 {
        for (name, speaker) in speakers.iter_mut().enumerate() {
            speaker.send(&format!("{name} {number}"));
        }
    }
    let all: Vec<_> = (0..400).map(|_| stream.event().data).collect();
    for (name, speaker) in speakers.iter_mut().enumerate() {
        let others: Vec<_> = (0..300).map(|_| speaker.text()).collect();
        let wanted: Vec<_> = all
            .iter()
            .filter(|text| !text.starts_with(&format!("{name} ")))
            .cloned()
            .collect();
        assert_eq!(others, wanted);
        let own: Vec<_> = all
            .iter()
            .filter(|text| text.starts_with(&format!("{name} ")))
            .collect();
        let order: Vec<_> = (0..100).map(|number| format!("{name} {number}")).collect();
        assert!(own.into_iter().eq(&order), "in its own order");
    }
}

#[test]
fn one_that_does_not_read_gets_all_but_its_own_later() {
    let hub = TestHub::dev();
    // The system may hold 32 MiB for a peer that does not read, unless its buffer has a size.
    let stream = connect_with_buffer(hub.address, 64 * 1024);
    let mut slow = Peer::over(hub.address, stream, &handshake("/ws/chat"));
    let mut other = hub.room("chat");
    let data = "x".repeat(100_000);
    for number in 0..150 {
        other.send(&format!("{number} {data}"));
        if number % 10 == 0 {
            slow.send("mine");
            assert_eq!(other.text(), "mine");
        }
    }
    // It is behind, because its socket was full in a sweep or too many updates came at once.
    wait_until("it is behind", || (hub.held("events") > 0.0).then_some(()));
    for number in 0..150 {
        assert!(slow.text().starts_with(&format!("{number} ")));
    }
}

/// F6, and what Ratchet does with binary.
#[test]
fn the_others_get_texts_only() {
    let hub = TestHub::dev();
    let mut first = hub.room("chat");
    let mut second = hub.room("chat");
    first.send_frame(Opcode::Binary, "é".as_bytes());
    assert_eq!(second.text(), "é");
    first.send_frame(Opcode::Binary, &[0xff]);
    assert_eq!(first.closed().0, 1003);
    hub.published(&[("topic", "chat"), ("data", "still here")]);
    assert_eq!(second.text(), "still here");
}

/// R3: a sub-protocol that is not known is not agreed to; the browser then ends the connection.
#[test]
fn the_first_known_sub_protocol_is_chosen() {
    let hub = TestHub::serve(&settings(ARTICLE));
    let with = |offer: &str| {
        Peer::open(
            hub.address,
            &handshake("/").header("Sec-WebSocket-Protocol", offer),
        )
        .head
    };
    assert!(with("wamp, chat").contains("\r\nSec-WebSocket-Protocol: chat\r\n"));
    assert!(!with("wamp").contains("Protocol:"));
}

/// R5.
#[test]
fn pages_of_origins_that_are_not_listed_are_refused() {
    let hub = TestHub::serve(&settings(
        "[rooms]\naccess = \"anonymous\"\ntopics = [\"chat*\"]\n\
         origins = [\"https://example.com\", \"null\"]\n",
    ));
    let from = |origin: &str| handshake("/ws/chat/1").header("Origin", origin);
    assert_eq!(hub.refused(&from("https://evil.example")).status, 403);
    for origin in ["https://example.com", "null", "https://hub.example.com"] {
        Peer::open(hub.address, &from(origin));
    }
    assert_eq!(
        hub.refused(&handshake("/ws/secret")).status,
        404,
        "not a topic of rooms.topics"
    );
    assert_eq!(hub.refused(&handshake("/ws/%ff")).status, 400);
}

#[test]
fn blocked_addresses_get_no_word() {
    let hub = TestHub::serve(&settings(
        "[admin]\naddress = \"127.0.0.1:0\"\n[limits]\nblocked_addresses = [\"127.0.0.0/8\"]\n",
    ));
    let mut stream = TcpStream::connect(hub.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    assert!(matches!(stream.read(&mut [0; 10]), Ok(0) | Err(_)));
    assert!(hub.metric_for("tidings_connections_refused_total", "blocked") >= 1.0);
}

/// R6: our limit of a request head is 64 KiB.
#[test]
fn a_head_that_is_too_long_is_refused() {
    let hub = TestHub::dev();
    let long = "x".repeat(72 * 1024);
    assert_eq!(
        hub.refused(&handshake("/ws/chat").header("X-Long", &long))
            .status,
        431
    );
}

#[test]
fn off_means_off() {
    let hub = TestHub::serve(&settings(""));
    assert_eq!(hub.refused(&handshake("/ws/chat")).status, 404);
    assert_eq!(hub.refused(&handshake("/")).status, 404);
}

#[test]
fn with_tokens_speaking_needs_a_grant() {
    let hub = TestHub::serve(&settings(
        "[rooms]\naccess = \"token\"\nprivate = true\ntopics = [\"chat\"]\n\
         [subscribe]\nanonymous = true\n",
    ));
    assert_eq!(hub.refused(&handshake("/ws/chat")).status, 401);
    let join = |token: &str| Peer::open(hub.address, &handshake("/ws/chat").bearer(token));
    let mut speaker = join(&token_for_all());
    let mut listener = join(&token_with(json!([detail(&["subscribe"], &["chat"])])));
    let mut outsider = hub.subscribe("match=chat");
    speaker.send("secret");
    assert_eq!(listener.text(), "secret");
    listener.send("may I?");
    assert_eq!(listener.closed().0, 1008);
    let public = [("topic", "chat"), ("data", "public")];
    assert_eq!(hub.publish_as(&token_for_all(), &public).status, 200);
    assert_eq!(outsider.event().data, "public");
}

#[test]
fn whoever_may_only_speak_is_heard_no_longer_than_its_token_lasts() {
    let hub = TestHub::serve(&settings(
        "[rooms]\naccess = \"token\"\ntopics = [\"chat\"]\n[subscribe]\nanonymous = true\n",
    ));
    let speaks = json!([detail(&["publish"], &["chat"])]);
    let mut claims = with("authorization_details", speaks);
    claims["exp"] = json!(now_secs() + 4);
    let mut speaker = Peer::open(hub.address, &handshake("/ws/chat").bearer(&token(&claims)));
    let mut listener = hub.room("chat");
    speaker.send("in time");
    assert_eq!(listener.text(), "in time");
    assert_eq!(speaker.closed(), (4401, "the token has expired".to_owned()));
}

/// Browsers send cookies to every port of a host, wanted or not.
#[test]
fn where_anybody_may_speak_a_cookie_says_nothing() {
    let hub = TestHub::serve(&settings(ARTICLE));
    let cookie = format!("__Secure-mercure_access_token={}", token_for_all());
    let asked = handshake("/").header("Cookie", &cookie);
    let mut page = Peer::open(
        hub.address,
        &asked.clone().header("Origin", "http://elsewhere.example"),
    );
    let mut program = Peer::open(hub.address, &asked);
    page.send("hello");
    assert_eq!(program.text(), "hello");
}

/// F1 and F2: by its own listener, and inline on the port of the WebSocket, where all else works.
#[test]
fn the_policy_has_the_documented_bytes_on_both_ports() {
    let hub = TestHub::serve(&settings(&format!("{ARTICLE}address = \"127.0.0.1:0\"\n")));
    let log = hub.log();
    let line = log
        .lines()
        .find(|line| line.contains("listening for Flash"))
        .expect("its line");
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let own: SocketAddr = line["address"].as_str().unwrap().parse().unwrap();
    for address in [own, hub.address] {
        let answer = policy(address, &[b"<policy-file-request/>\0"]);
        assert_eq!(answer.len(), 336);
        let text = String::from_utf8(answer).unwrap();
        assert!(text.starts_with("<?xml version=\"1.0\"?>\n<!DOCTYPE cross-domain-policy SYSTEM "));
        assert!(text.ends_with("to-ports=\"8080\" secure=\"false\"/></cross-domain-policy>\n\0"));
    }
    assert_eq!(hub.request(Request::get("/health/live")).status, 200);
    let mut peers = [(); 2].map(|()| Peer::open(hub.address, &handshake("/")));
    peers[0].send("the chat goes on");
    assert_eq!(peers[1].text(), "the chat goes on");
}

/// F3.
#[test]
fn partial_missing_and_junk_requests_for_the_policy() {
    let toml =
        format!("{ARTICLE}[limits]\nhead_timeout_secs = 1\n[admin]\naddress = \"127.0.0.1:0\"\n");
    let hub = TestHub::serve(&settings(&toml));
    let bytewise: Vec<&[u8]> = b"<policy-file-request/>\0".chunks(1).collect();
    assert_eq!(policy(hub.address, &bytewise).len(), 336);
    assert_eq!(
        policy(hub.address, &[b"<policy-file-request/>\0GET"]).len(),
        336
    );
    for junk in [&b"<html>"[..], b"<policy-file-request>", b"<\0"] {
        assert_eq!(policy(hub.address, &[junk]), b"", "{junk:?}");
    }
    // The rest never comes: the connection is closed when its time is over.
    assert_eq!(policy(hub.address, &[b"<policy-file-"]), b"");
    for (reason, count) in [("answered", 2.0), ("junk", 3.0), ("unfinished", 1.0)] {
        assert_eq!(
            hub.metric_for("tidings_flash_policies_total", reason),
            count,
            "{reason}"
        );
    }
}

#[test]
fn without_rules_there_is_no_policy() {
    let hub = TestHub::dev();
    let answer = policy(hub.address, &[b"<policy-file-request/>\0\r\n\r\n"]);
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"),
        "{answer:?}"
    );
}

#[test]
fn the_hub_is_where_it_was_on_a_listener_with_a_room() {
    let hub = TestHub::serve(&settings(ARTICLE));
    let mut peer = hub.websocket("match=chat");
    let mut speaker = Peer::open(hub.address, &handshake("/any/path?x=1"));
    speaker.send("hello");
    assert_eq!(peer.data(), "hello");
    let answer = Connection::open(hub.address).request(&Request::get(HUB_PATH));
    assert_eq!(answer.status, 400, "a subscription without a matcher");
}

/// Sends pieces and returns what comes until the end of the connection.
fn policy(address: SocketAddr, pieces: &[&[u8]]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    for piece in pieces {
        stream.write_all(piece).unwrap();
    }
    let mut answer = Vec::new();
    // Junk may be answered by a reset: then nothing came.
    drop(stream.read_to_end(&mut answer));
    answer
}
