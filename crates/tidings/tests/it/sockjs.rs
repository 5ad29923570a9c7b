//! The hub and its rooms over SockJS: `docs/reference/sockjs.md`. The crate
//! `tidings-test-server` has the protocol's own cases.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::harness::peer::{Peer, handshake};
use crate::harness::serving::serve_tls;
use crate::harness::sockjs::{Frame, Poller, new_session};
use crate::harness::tokens::{detail, now_secs, settings, token, token_for_all, token_with, with};
use crate::harness::{Connection, DEADLINE, Request, TestHub};

const BOOK: &str = "https://example.com/books/1";
const FILM: &str = "https://example.com/films/1";

fn served(more: &str) -> TestHub {
    TestHub::serve(&settings(&format!(
        "[admin]\naddress = \"127.0.0.1:0\"\n[subscribe]\nanonymous = true\n\
         [sockjs]\nenabled = true\n{more}"
    )))
}

#[test]
fn updates_come_as_over_a_websocket() {
    let hub = TestHub::dev();
    let mut poller = hub.sockjs(&format!("match={BOOK}"));
    let mut websocket = hub.websocket(&format!("match={BOOK}"));
    let mut framed = Peer::open(
        hub.address,
        &handshake(&format!(
            "{}/websocket?match={BOOK}",
            new_session("/sockjs")
        )),
    );
    let mut raw = Peer::open(
        hub.address,
        &handshake(&format!("/sockjs/websocket?match={BOOK}")),
    );
    assert_eq!(framed.text(), "o");
    assert!(framed.text().starts_with("a[\"{\\\"open\\\":"));
    assert!(raw.json()["open"].is_object());
    let id = hub.published(&[("topic", BOOK), ("data", "a\n\"b\" \u{2028}")]);
    let wanted = json!({"update": {"id": id, "topics": [BOOK], "data": "a\n\"b\" \u{2028}"}});
    assert_eq!(poller.json(), wanted);
    assert_eq!(websocket.json(), wanted);
    assert_eq!(raw.json(), wanted);
    let Frame::Texts(texts) = Frame::parse(&framed.text()) else {
        panic!("no texts");
    };
    let texts: Vec<serde_json::Value> = texts
        .iter()
        .map(|text| serde_json::from_str(text).expect("JSON"))
        .collect();
    assert_eq!(texts, [wanted]);
}

#[test]
fn the_frames_of_the_hub_are_answered() {
    let hub = TestHub::dev();
    let mut poller = hub.sockjs("");
    let refused = poller.answered(json!({"publish": {"topic": BOOK, "data": "no"}}));
    assert_eq!(refused["error"]["status"], 401);
    let token = hub.publisher_token();
    let granted = poller.answered(json!({"authenticate": {"token": token}}));
    assert!(granted["ack"]["expires_at"].is_u64(), "{granted}");
    let begun = poller.answered(json!({"subscribe": {"match": [BOOK, FILM]}}));
    assert!(begun["ack"]["last_event_id"].is_string(), "{begun}");
    poller.send(&json!({"publish": {"topic": BOOK, "data": "mine"}, "ref": 1}).to_string());
    let mut frames = [poller.json(), poller.json()];
    frames.sort_by_key(|frame| frame["ack"].is_object());
    assert_eq!(frames[0]["update"]["data"], "mine");
    assert_eq!(frames[0]["update"]["id"], frames[1]["ack"]["id"]);
    assert!(poller.answered(json!({"unsubscribe": {"match": BOOK}}))["ack"].is_object());
    hub.published(&[("topic", BOOK), ("data", "not any more")]);
    hub.published(&[("topic", FILM), ("data", "film")]);
    assert_eq!(poller.data(), "film");
    assert!(poller.answered(json!({"ping": {}}))["pong"].is_object());
    poller.send("{\"what\": 1}");
    assert_eq!(poller.json()["error"]["status"], 400);
}

/// Nothing is queued between two polls: the session reads from the history when the next poll comes.
#[test]
fn what_happens_between_two_polls_comes_with_the_next_in_order_and_once() {
    // However slow the machine is, neither the session nor the idle connection ends between two polls.
    let hub = served("disconnect_secs = 3600\n[limits]\nhead_timeout_secs = 3600\n");
    let token = token_for_all();
    let mut poller = hub.sockjs(&format!("match={BOOK}"));
    let mut expected = 0;
    for round in 0..3 {
        for number in 0..400 {
            let data = format!("{round} {number}");
            let answer = hub.publish_as(&token, &[("topic", BOOK), ("data", &data)]);
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let mut polls = 0;
        while expected < (round + 1) * 400 {
            polls += 1;
            let Frame::Texts(texts) = poller.poll() else {
                panic!("no texts");
            };
            for text in texts {
                let frame: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                let wanted = format!("{} {}", expected / 400, expected % 400);
                assert_eq!(frame["update"]["data"], wanted);
                expected += 1;
            }
        }
        assert!(polls <= 40, "{polls} polls for 400 updates");
    }
    assert_eq!(hub.metric("tidings_subscriber_lags_total"), 0.0);
    // The last response may be read before the hub gives its memory back.
    hub.wait_for_metric("tidings_sockjs_queued_bytes", |bytes| bytes == 0.0);
}

#[test]
fn a_room_is_the_same_over_every_transport() {
    let hub = TestHub::dev();
    let mut poller = hub.sockjs_room("chat");
    let mut other = hub.sockjs_room("chat");
    let mut websocket = hub.room("chat");
    let mut framed = Peer::open(
        hub.address,
        &handshake(&format!("{}/websocket", new_session("/sockjs/room/chat"))),
    );
    assert_eq!(framed.text(), "o");
    let mut stream = hub.subscribe("match=chat");
    poller.send("by xhr");
    assert_eq!(
        [other.text(), websocket.text(), stream.event().data],
        ["by xhr"; 3]
    );
    assert_eq!(framed.text(), "a[\"by xhr\"]");
    framed.send("[\"é \\u2028\"]");
    assert_eq!(
        [poller.text(), other.text(), websocket.text()],
        ["é \u{2028}"; 3]
    );
    websocket.send("by WebSocket");
    assert_eq!([poller.text(), other.text()], ["by WebSocket"; 2]);
    assert_eq!(framed.text(), "a[\"by WebSocket\"]");
    // Half of a surrogate pair is not Unicode, so the others get the replacement character.
    let half = Connection::open(hub.address).request(&poller.request("xhr_send", "[\"\\ud83d\"]"));
    assert_eq!(half.status, 204);
    assert_eq!([other.text(), websocket.text()], ["\u{fffd}"; 2]);
}

#[test]
fn one_that_lost_its_session_resumes_by_its_cursor() {
    let hub = served("disconnect_secs = 1");
    let mut poller = hub.sockjs(&format!("match={BOOK}"));
    let publish = |data: &str| {
        let answer = hub.publish_as(&token_for_all(), &[("topic", BOOK), ("data", data)]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    };
    publish("1");
    let last = poller.json()["update"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    // It does not poll for longer than it may.
    hub.wait_for_metric("tidings_sockjs_sessions", |sessions| sessions == 0.0);
    hub.wait_for_metric("tidings_subscribers", |subscribers| subscribers == 0.0);
    publish("2");
    assert_eq!(poller.try_send(&["x"]).status, 404);
    assert_eq!(poller.poll(), Frame::Open, "a new session by the same id");
    publish("3");
    let mut resumed = Poller::open(
        hub.address,
        "/sockjs",
        &format!("match={BOOK}&last_event_id={last}"),
    );
    assert_eq!(resumed.json()["open"]["last_event_id"], last.as_str());
    assert_eq!([resumed.data(), resumed.data()], ["2", "3"]);
    assert!(resumed.json()["caught_up"].is_object());
}

#[test]
fn a_receiver_that_is_cut_closes_its_session_and_nothing_is_lost_by_resuming() {
    let hub = TestHub::dev();
    let mut received = Vec::new();
    let mut cursor = "earliest".to_owned();
    hub.published(&[("topic", BOOK), ("data", "0")]);
    for round in 1..=5 {
        let session = new_session("/sockjs");
        let target = format!("{session}/xhr_streaming?match={BOOK}&last_event_id={cursor}");
        let mut connection = Connection::open(hub.address);
        connection.send_request(&Request::post(&target));
        assert_eq!(connection.read_head().status, 200);
        for number in 0..20 {
            let data = format!("{round} {number}");
            hub.published(&[("topic", BOOK), ("data", &data)]);
        }
        let mut buffer = Vec::new();
        while received.len() < round * 20 - 7 {
            buffer.extend(connection.read_chunk().expect("a chunk"));
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                let line = std::str::from_utf8(&line[..end]).expect("UTF-8");
                if line.starts_with("hh") {
                    continue;
                }
                let Frame::Texts(texts) = Frame::parse(line) else {
                    continue;
                };
                for text in texts {
                    let frame: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                    if let Some(id) = frame["update"]["id"].as_str() {
                        cursor = id.to_owned();
                        received.push(frame["update"]["data"].as_str().expect("data").to_owned());
                    }
                }
            }
        }
        // In mid stream.
        drop(connection);
        hub.wait_for_metric("tidings_sockjs_receivers", |receivers| receivers == 0.0);
        let answer = Connection::open(hub.address)
            .request(&Request::post(&format!("{session}/xhr?match={BOOK}")));
        assert_eq!(answer.text(), "c[1002,\"Connection interrupted\"]\n");
    }
    let mut rest = hub.sockjs(&format!("match={BOOK}&last_event_id={cursor}"));
    while received.len() < 101 {
        received.push(rest.data());
    }
    let rounds = (1..=5).flat_map(|round| (0..20).map(move |number| format!("{round} {number}")));
    let wanted: Vec<_> = std::iter::once("0".to_owned()).chain(rounds).collect();
    assert_eq!(received, wanted);
    assert!(hub.metric_for("tidings_sockjs_refused_total", "interrupted") >= 5.0);
}

#[test]
fn private_updates_come_by_header_and_by_frame() {
    let hub = served("");
    let bearer = format!(
        "Bearer {}",
        token_with(json!([detail(&["subscribe"], &[BOOK])]))
    );
    let query = format!("match={BOOK}");
    let headers = [("Authorization", bearer.as_str())];
    let mut granted = Poller::open_with(hub.address, "/sockjs", &query, &headers);
    let mut anonymous = hub.sockjs(&query);
    let mut late = hub.sockjs(&query);
    assert!(granted.json()["open"].is_object());
    let asked =
        json!({"authenticate": {"token": token_with(json!([detail(&["subscribe"], &[BOOK])]))}});
    assert!(late.answered(asked)["ack"].is_object());
    let all = token_for_all();
    let publish = |form: &[(&str, &str)]| {
        assert_eq!(hub.publish_as(&all, form).status, 200);
    };
    publish(&[("topic", BOOK), ("data", "secret"), ("private", "on")]);
    publish(&[("topic", BOOK), ("data", "for all")]);
    assert_eq!([granted.data(), granted.data()], ["secret", "for all"]);
    assert_eq!([late.data(), late.data()], ["secret", "for all"]);
    assert_eq!(anonymous.data(), "for all");
}

#[test]
fn a_token_that_ends_closes_the_session_with_its_code() {
    let hub = served("");
    let mut poller = hub.sockjs("");
    let claims = with("exp", now_secs() + 2);
    let asked = json!({"authenticate": {"token": token(&claims)}});
    assert!(poller.answered(asked)["ack"].is_object());
    assert_eq!(
        poller.poll(),
        Frame::Close(4401, "the token has expired".to_owned())
    );
}

/// A script of any page is fetched with the visitor's cookies, and read.
#[test]
fn pages_that_are_not_named_may_not_use_a_visitors_cookie() {
    let hub = served("[cors]\norigins = [\"*\", \"https://named.example\"]\n");
    let cookie = format!("__Secure-mercure_access_token={}", token_for_all());
    let status = |transport: &str, fields: &[(&str, &str)]| {
        let target = format!("{}/{transport}", new_session("/sockjs"));
        let mut request = if transport == "xhr" {
            Request::post(&target)
        } else {
            Request::get(&target)
        };
        for (name, value) in fields {
            request = request.header(name, value);
        }
        hub.request(request).status
    };
    let jsonp = "jsonp?c=f";
    let cookie = ("Cookie", cookie.as_str());
    let (named, elsewhere) = ("https://named.example", "https://elsewhere.example");
    assert_eq!(status("xhr", &[("Origin", elsewhere)]), 200);
    assert_eq!(status("xhr", &[("Origin", elsewhere), cookie]), 403);
    assert_eq!(status("xhr", &[("Origin", named), cookie]), 200);
    assert_eq!(
        status(jsonp, &[("Referer", "https://elsewhere.example/x"), cookie]),
        403
    );
    assert_eq!(
        status(jsonp, &[("Referer", "https://named.example/x"), cookie]),
        200
    );
    assert_eq!(
        status(jsonp, &[cookie]),
        403,
        "nobody says which page it is"
    );
    assert_eq!(
        status(jsonp, &[("Sec-Fetch-Site", "same-origin"), cookie]),
        200
    );
    assert_eq!(
        status(jsonp, &[("Sec-Fetch-Site", "cross-site"), cookie]),
        403
    );
    assert!(hub.metric_for("tidings_sockjs_refused_total", "origin-refused") >= 4.0);
}

#[test]
fn pages_of_other_origins_may_only_where_they_are_listed() {
    let more = "library_url = \"https://hub.example/sockjs.js\"\n\
                [cors]\norigins = [\"https://*.named.example\"]\n\
                [rooms]\naccess = \"anonymous\"\ntopics = [\"chat\"]\norigins = [\"*\"]\n";
    let hub = served(more);
    let status = |target: &str, origin: &str| {
        hub.request(Request::get(target).header("Origin", origin))
            .status
    };
    assert_eq!(status("/sockjs/info", "https://a.named.example"), 200);
    assert_eq!(status("/sockjs/info", "https://elsewhere.example"), 403);
    assert_eq!(
        status("/sockjs/room/chat/info", "https://elsewhere.example"),
        200
    );
    assert_eq!(
        hub.request(Request::get("/sockjs/room/other/info")).status,
        404
    );
    let page = hub.request(Request::get("/sockjs/iframe.html"));
    assert!(
        page.text()
            .contains("<script src=\"https://hub.example/sockjs.js\">")
    );
    let policy = Some("frame-ancestors 'self' https://*.named.example");
    assert_eq!(page.header("content-security-policy"), policy);
    // A framed page looks like the hub's own, so `*` is not enough.
    let page = hub.request(Request::get("/sockjs/room/chat/iframe.html"));
    assert_eq!(
        page.header("content-security-policy"),
        Some("frame-ancestors 'self'")
    );
}

#[test]
fn it_is_off_unless_it_is_switched_on() {
    let hub = TestHub::serve(&settings("[subscribe]\nanonymous = true\n"));
    for target in ["/sockjs", "/sockjs/info", "/sockjs/room/chat", "/echo/info"] {
        assert_eq!(hub.request(Request::get(target)).status, 404, "{target}");
    }
    let hub = served("");
    assert_eq!(hub.request(Request::get("/sockjs")).status, 200);
    for target in ["/sockjs/iframe.html", "/sockjs/room/chat", "/sockjsx"] {
        assert_eq!(hub.request(Request::get(target)).status, 404, "{target}");
    }
}

#[test]
fn heartbeats_go_to_whoever_receives() {
    let hub = served("heartbeat_secs = 1");
    let mut poller = hub.sockjs("");
    assert_eq!(poller.poll(), Frame::Heartbeat);
    let session = new_session("/sockjs");
    let mut framed = Peer::open(hub.address, &handshake(&format!("{session}/websocket")));
    assert_eq!(framed.text(), "o");
    assert!(framed.text().contains("\\\"ping_secs\\\":1"));
    for _ in 0..3 {
        assert_eq!(framed.text(), "h");
    }
}

/// Sessions are spread over the shards by their ids, and connections by the kernel.
#[test]
fn each_request_reaches_its_session_whatever_connection_it_comes_by() {
    let hub = served("[server]\nshards = 4\n");
    let mut pollers: Vec<_> = (0..16)
        .map(|_| hub.sockjs(&format!("match={BOOK}")))
        .collect();
    for round in 0..3 {
        let data = round.to_string();
        assert_eq!(
            hub.publish_as(&token_for_all(), &[("topic", BOOK), ("data", &data)])
                .status,
            200
        );
        for poller in &mut pollers {
            assert_eq!(poller.data(), data);
            assert!(poller.answered(json!({"ping": {}}))["pong"].is_object());
        }
    }
}

#[test]
fn a_hub_that_stops_says_so() {
    let hub = served("[server]\ndrain_secs = 1\n");
    let mut poller = hub.sockjs("");
    let waiting = std::thread::spawn(move || poller.poll());
    hub.wait_for_metric("tidings_sockjs_receivers", |receivers| receivers == 1.0);
    hub.terminate();
    let frame = waiting.join().expect("a frame");
    assert_eq!(
        frame,
        Frame::Close(1012, "the hub is being stopped".to_owned())
    );
}

#[test]
fn it_works_over_tls_and_notices_who_leaves() {
    let (hub, certificate) = serve_tls("[subscribe]\nanonymous = true\n[sockjs]\nenabled = true\n");
    let session = new_session("/sockjs");
    let mut connection = certificate.open(&hub);
    let request = Request::post(&format!("{session}/xhr_streaming?match={BOOK}"));
    connection.send_request(&request);
    assert_eq!(connection.read_head().status, 200);
    assert_eq!(connection.read_chunk().map(|chunk| chunk.len()), Some(2049));
    assert_eq!(connection.read_chunk().as_deref(), Some(&b"o\n"[..]));
    drop(connection);
    hub.wait_for_metric("tidings_sockjs_receivers", |receivers| receivers == 0.0);
    let mut next = certificate.open(&hub);
    let answer = next.request(&Request::post(&format!("{session}/xhr")));
    assert_eq!(answer.text(), "c[1002,\"Connection interrupted\"]\n");
    hub.wait_for_metric("tidings_subscribers", |subscribers| subscribers == 0.0);
}

/// The browsers of 2010 join rooms without SockJS too.
#[test]
fn a_websocket_of_2010_joins_a_room() {
    let hub = TestHub::dev();
    let mut other = hub.room("chat");
    let mut stream = TcpStream::connect(hub.address).expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("an option");
    let request = format!(
        "GET /ws/chat HTTP/1.1\r\nHost: localhost:{}\r\nConnection: Upgrade\r\n\
         Upgrade: WebSocket\r\nSec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n\
         Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\naaaaaaaa\x00hello\u{0}",
        hub.address.port()
    );
    let mut bytes = request.into_bytes();
    bytes.pop();
    bytes.push(0xff);
    stream.write_all(&bytes).expect("written");
    assert_eq!(other.text(), "hello");
    other.send("hello yourself");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\x00hello yourself\xff") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        answer.extend(byte);
    }
    drop(stream);
    hub.wait_for_metric("tidings_subscribers", |subscribers| subscribers == 1.0);
}
