//! The hub over WebSocket: `docs/reference/websocket.md`, line by line.

use std::time::Duration;

use serde_json::json;
use tidings_wire::websocket::Opcode;
use tidings_wire::websocket::encoder::{Packing, masked_frame};
use tidings_wire::websocket::frames::Event;

use crate::harness::peer::{Peer, handshake};
use crate::harness::serving::serve_tls;
use crate::harness::tokens::{detail, now_secs, settings, token, token_for_all, token_with, with};
use crate::harness::tunnel::compressing;
use crate::harness::{HUB_PATH, Request, TestHub};

const BOOK: &str = "https://example.com/books/1";
const FILM: &str = "https://example.com/films/1";

#[test]
fn updates_come_as_json_to_the_parameters_of_the_url() {
    let hub = TestHub::dev();
    let mut peer = hub.websocket(&format!(
        "match={BOOK}&match_urlpattern=https://example.com/f*/*"
    ));
    let id = hub.published(&[("topic", BOOK), ("topic", "other"), ("data", "a\n\"b\"")]);
    assert_eq!(
        peer.json(),
        json!({"update": {"id": id, "topics": [BOOK, "other"], "data": "a\n\"b\""}})
    );
    hub.published(&[("topic", "elsewhere"), ("data", "no")]);
    let form = [
        ("topic", FILM),
        ("data", "x"),
        ("type", "t"),
        ("retry", "5"),
        ("id", "mine"),
    ];
    hub.published(&form);
    assert_eq!(
        peer.json(),
        json!({"update": {"id": "mine", "topics": [FILM], "type": "t", "retry": 5, "data": "x"}})
    );
}

#[test]
fn the_answer_is_exactly_the_documented_one() {
    let hub = TestHub::dev();
    let peer = Peer::open(hub.address, &handshake(&format!("{HUB_PATH}?match=a")));
    assert_eq!(
        peer.head,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    let asked = handshake(HUB_PATH)
        .header("Sec-WebSocket-Protocol", "mqtt, tidings")
        .header(
            "Sec-WebSocket-Extensions",
            "permessage-deflate; client_max_window_bits",
        );
    let peer = Peer::open(hub.address, &asked);
    assert!(
        peer.head
            .contains("\r\nSec-WebSocket-Protocol: tidings\r\n"),
        "{}",
        peer.head
    );
    let agreed = "\r\nSec-WebSocket-Extensions: permessage-deflate; \
                  server_no_context_takeover; client_no_context_takeover\r\n";
    assert!(peer.head.contains(agreed), "{}", peer.head);
}

#[test]
fn malformed_handshakes_are_refused_with_the_reason() {
    let hub = TestHub::dev();
    let without = |name: &str| {
        let mut request = handshake(HUB_PATH);
        request.headers.retain(|(known, _)| known != name);
        request
    };
    let status = |request: &Request| hub.refused(request).status;
    assert_eq!(status(&without("Connection")), 400);
    assert_eq!(status(&without("Sec-WebSocket-Key")), 400);
    let refused = hub.refused(&without("Sec-WebSocket-Version"));
    assert_eq!(refused.status, 426);
    assert_eq!(refused.header("sec-websocket-version"), Some("13"));
    assert_eq!(hub.refused(&Request::get("/ws/chat")).status, 426);
    assert_eq!(status(&handshake("/nothing/here")), 404);
    assert_eq!(status(&handshake(&format!("{HUB_PATH}?match_x=a"))), 400);
}

#[test]
fn subscriptions_change_while_the_connection_runs() {
    let hub = TestHub::dev();
    let mut peer = hub.websocket("");
    let ack = peer.answered(json!({"subscribe": {"match": BOOK}}));
    assert!(ack["ack"]["last_event_id"].is_string(), "{ack}");
    hub.published(&[("topic", BOOK), ("data", "1")]);
    assert_eq!(peer.data(), "1");
    peer.answered(json!({"subscribe": {"match": [FILM, BOOK]}}));
    hub.published(&[("topic", BOOK), ("topic", FILM), ("data", "both, once")]);
    hub.published(&[("topic", FILM), ("data", "2")]);
    assert_eq!(peer.data(), "both, once");
    assert_eq!(peer.data(), "2");
    peer.answered(json!({"unsubscribe": {"match": BOOK}}));
    hub.published(&[("topic", BOOK), ("data", "not any more")]);
    hub.published(&[("topic", FILM), ("data", "3")]);
    assert_eq!(peer.data(), "3");
    hub.wait_for_metric("tidings_matchers", |matchers| matchers <= 1.0);
}

#[test]
fn a_later_subscription_catches_up_without_repeating_the_earlier_one() {
    let hub = TestHub::dev();
    let mut peer = hub.websocket(&format!("match={BOOK}"));
    for number in 0..50 {
        let number = number.to_string();
        hub.published(&[
            ("topic", if number.len() == 1 { BOOK } else { FILM }),
            ("data", &number),
        ]);
    }
    hub.published(&[("topic", BOOK), ("topic", FILM), ("data", "both")]);
    let earlier: Vec<_> = (0..11).map(|_| peer.data()).collect();
    assert_eq!(earlier.last().map(String::as_str), Some("both"));
    let asked = json!({"subscribe": {"match": FILM, "last_event_id": "earliest"}});
    let ack = peer.answered(asked);
    assert_eq!(ack["ack"]["last_event_id"], "earliest");
    let mut later = Vec::new();
    loop {
        let frame = peer.json();
        match frame["update"]["data"].as_str() {
            Some(data) => later.push(data.to_owned()),
            None => break assert!(frame["caught_up"]["last_event_id"].is_string(), "{frame}"),
        }
    }
    let wanted: Vec<_> = (10..50).map(|number| number.to_string()).collect();
    assert_eq!(later, wanted);
    hub.published(&[("topic", BOOK), ("data", "live")]);
    assert_eq!(peer.data(), "live");
}

#[test]
fn a_cursor_resumes_after_it_and_says_when_it_has_caught_up() {
    let hub = TestHub::dev();
    let ids: Vec<_> = (0..3)
        .map(|number| hub.published(&[("topic", BOOK), ("data", &number.to_string())]))
        .collect();
    let mut peer = hub.websocket(&format!("match={BOOK}&last_event_id={}", ids[0]));
    assert_eq!([peer.data(), peer.data()], ["1", "2"]);
    let caught_up = peer.json()["caught_up"]["last_event_id"]
        .as_str()
        .unwrap()
        .to_owned();
    drop(peer);
    hub.published(&[("topic", BOOK), ("data", "3")]);
    let mut peer = hub.websocket(&format!("match={BOOK}&last_event_id={caught_up}"));
    assert_eq!(peer.data(), "3");
}

#[test]
fn where_nothing_came_yet_is_a_cursor_too() {
    let hub = TestHub::dev();
    let mut peer = Peer::open(hub.address, &handshake(&format!("{HUB_PATH}?match={BOOK}")));
    let greeting = peer.json();
    let cursor = greeting["open"]["last_event_id"].as_str().unwrap();
    assert_eq!(greeting["open"]["ping_secs"], 30);
    drop(peer);
    hub.published(&[("topic", BOOK), ("data", "missed")]);
    let mut peer = hub.websocket(&format!("match={BOOK}&last_event_id={cursor}"));
    assert_eq!(peer.data(), "missed");
}

#[test]
fn empty_members_of_a_publication_are_absent_as_in_a_form() {
    let hub = TestHub::serve(&settings("[sockjs]\nenabled = true\n"));
    let bearer = token_for_all();
    // A frame that cannot be read is answered without its `ref`.
    let said = |peer: &mut Peer, frame: &serde_json::Value| {
        peer.ask(frame);
        peer.json()
    };
    let mut stream =
        hub.subscribe_by(Request::get(&format!("{HUB_PATH}?match={BOOK}")).bearer(&bearer));
    for path in [HUB_PATH, "/sockjs/websocket"] {
        let mut peer = hub.websocket_by(&handshake(path).bearer(&bearer));
        for empty in [json!(""), json!(null)] {
            let mut publish = json!({"topic": BOOK, "data": empty});
            for name in ["id", "type", "retry"] {
                publish[name] = empty.clone();
            }
            let ack = said(&mut peer, &json!({"publish": publish}));
            let event = stream.event();
            assert_eq!(
                ack["ack"]["id"],
                event.last_event_id.as_str(),
                "{publish}: {ack}"
            );
            assert!(event.last_event_id.starts_with("urn:uuid:"));
            assert_eq!(
                (event.event_type.as_str(), event.data.as_str()),
                ("message", "")
            );
        }
        // In a form any value means that an update is private: an empty text is no way to say that.
        let refused = |publish: serde_json::Value| {
            let mut peer = hub.websocket_by(&handshake(path).bearer(&bearer));
            said(&mut peer, &json!({"publish": publish}))["error"]["status"].clone()
        };
        for wrong in [
            json!({"topic": BOOK, "private": ""}),
            json!({"topic": BOOK, "retry": "1"}),
            json!({"topic": BOOK, "retry": " "}),
            json!({"topic": BOOK, "retry": -1}),
            json!({"topic": ""}),
            json!({"topic": null}),
        ] {
            assert_eq!(refused(wrong.clone()), 400, "{wrong}");
        }
        let nothing = json!({"publish": {"topic": BOOK, "private": null, "retry": 5}});
        let ack = said(&mut peer, &nothing);
        assert_eq!(ack["ack"]["id"], stream.event().last_event_id.as_str());
        let ack = said(
            &mut peer,
            &json!({"subscribe": {"match": FILM, "match_urlpattern": null, "last_event_id": null}}),
        );
        assert!(ack["ack"].is_object(), "{ack}");
    }
}

#[test]
fn publishing_goes_by_the_grants_of_the_token() {
    let hub = TestHub::serve(&settings("[subscribe]\nanonymous = true\n"));
    let may = token_with(json!([detail(&["publish"], &[BOOK])]));
    let mut stream = hub.subscribe(&format!("match={BOOK}"));
    let mut peer = hub.websocket_by(&handshake(HUB_PATH).bearer(&may));
    let publish = json!({"publish": {"topic": BOOK, "data": "said", "type": "t"}});
    let ack = peer.answered(publish.clone());
    let event = stream.event();
    assert_eq!(
        (event.data.as_str(), event.event_type.as_str()),
        ("said", "t")
    );
    assert_eq!(ack["ack"]["id"], event.last_event_id.as_str());
    let refused = peer.answered(json!({"publish": {"topic": FILM, "data": "no"}}));
    assert_eq!(
        refused["error"]["type"],
        "urn:tidings:problem:scope-insufficient"
    );
    assert_eq!(refused["error"]["status"], 403);
    let refused = peer.answered(json!({"publish": {"data": "no topic"}}));
    assert_eq!(
        refused["error"]["type"],
        "urn:tidings:problem:topic-missing"
    );
    let mut anonymous = hub.websocket("");
    let refused = anonymous.answered(publish);
    assert_eq!(refused["error"]["status"], 401);
}

#[test]
fn private_updates_need_a_grant_and_hide_their_other_topics() {
    let hub = TestHub::serve(&settings("[subscribe]\nanonymous = true\n"));
    let mut anonymous = hub.websocket(&format!("match={BOOK}"));
    let reads = token_with(json!([detail(&["subscribe"], &[FILM])]));
    let mut reader =
        hub.websocket_by(&handshake(&format!("{HUB_PATH}?match={FILM}")).bearer(&reads));
    let all = token_for_all();
    let form = [
        ("topic", BOOK),
        ("topic", FILM),
        ("data", "secret"),
        ("private", "on"),
    ];
    assert_eq!(hub.publish_as(&all, &form).status, 200);
    assert_eq!(
        hub.publish_as(&all, &[("topic", BOOK), ("data", "public")])
            .status,
        200
    );
    let update = &reader.json()["update"];
    assert_eq!(
        (&update["data"], &update["private"]),
        (&json!("secret"), &json!(true))
    );
    assert_eq!(update["topics"], json!([BOOK]));
    assert_eq!(anonymous.data(), "public");
}

#[test]
fn a_token_comes_in_the_first_frame_and_is_renewed_without_reconnecting() {
    let hub = TestHub::serve(&settings("[limits]\nhead_timeout_secs = 20\n"));
    let mut peer = hub.websocket("");
    let refused = peer.answered(json!({"subscribe": {"match": BOOK}}));
    assert_eq!(refused["error"]["status"], 401);
    let refused = peer.answered(json!({"authenticate": {"token": "x.y.z"}}));
    assert_eq!(
        refused["error"]["type"],
        "urn:tidings:problem:token-invalid"
    );
    let exp = now_secs() + 3;
    let ack = peer.answered(json!({"authenticate": {"token": token(&with("exp", exp))}}));
    assert_eq!(ack["ack"]["expires_at"], exp);
    peer.answered(json!({"subscribe": {"match": BOOK}}));
    let mut other = hub.websocket("");
    other.answered(json!({"authenticate": {"token": token(&with("exp", exp))}}));
    peer.answered(json!({"authenticate": {"token": token_for_all()}}));
    // The other one, which did not renew, shows that the time has come.
    assert_eq!(other.closed(), (4401, "the token has expired".to_owned()));
    let form = [("topic", BOOK), ("data", "still here"), ("private", "on")];
    assert_eq!(hub.publish_as(&token_for_all(), &form).status, 200);
    assert_eq!(peer.data(), "still here");
}

#[test]
fn who_sends_no_token_in_time_is_closed() {
    let hub = TestHub::serve(&settings("[limits]\nhead_timeout_secs = 1\n"));
    let mut peer = hub.websocket("");
    assert_eq!(peer.closed(), (4401, "no token came in time".to_owned()));
    let refused = hub.refused(&handshake(&format!("{HUB_PATH}?match={BOOK}")));
    assert_eq!(refused.status, 401);
}

#[test]
fn pages_of_other_origins_are_refused_unless_they_are_listed() {
    let hub = TestHub::serve(&settings(
        "[subscribe]\nanonymous = true\n[cors]\norigins = [\"https://app.example.com\"]\n\
         [publish]\norigins = [\"https://writer.example.com\"]\n",
    ));
    let from = |origin: &str| handshake(HUB_PATH).header("Origin", origin);
    let refused = hub.refused(&from("https://evil.example.com"));
    assert_eq!(refused.status, 403);
    assert_eq!(refused.json()["type"], "urn:tidings:problem:origin-refused");
    assert_eq!(hub.refused(&from("null")).status, 403);
    hub.websocket_by(&from("https://app.example.com"));
    hub.websocket_by(&from("https://hub.example.com"));
    let cookie = format!("__Secure-mercure_access_token={}", token_for_all());
    assert_eq!(
        hub.refused(&handshake(HUB_PATH).header("Cookie", &cookie))
            .status,
        403
    );
    let publish = json!({"publish": {"topic": BOOK, "data": "by cookie"}});
    let mut reader = hub.websocket_by(&from("https://app.example.com").header("Cookie", &cookie));
    assert_eq!(reader.answered(publish.clone())["error"]["status"], 401);
    let mut writer =
        hub.websocket_by(&from("https://writer.example.com").header("Cookie", &cookie));
    assert!(writer.answered(publish)["ack"]["id"].is_string());
}

#[test]
fn frames_that_are_no_requests_are_answered_and_cost_nothing_else() {
    let hub = TestHub::dev();
    let mut peer = hub.websocket("");
    let long = format!("{{\"{}\":1}}", "x".repeat(100_000));
    for frame in ["", "null", "{}", "{\"subscribe\":{}}", "{\"x\":1}", &long] {
        peer.send(frame);
        let error = &peer.json()["error"];
        assert_eq!(error["status"], 400, "{frame}");
        // What a peer writes is not sent back to it at length.
        assert!(error["detail"].as_str().unwrap().len() < 1000);
    }
    for (reason, refused) in [("frame-invalid", 5.0), ("matcher-missing", 1.0)] {
        let counted = hub.metric_for("tidings_requests_refused_total", reason);
        assert_eq!(counted, refused, "{reason}");
    }
    assert_eq!(peer.answered(json!({"ping": {}}))["pong"], json!({}));
    peer.send_frame(Opcode::Ping, b"abc");
    assert_eq!(peer.next(), Some(Event::Pong(b"abc".to_vec())));
    peer.send_frame(Opcode::Binary, b"{}");
    assert_eq!(peer.closed().0, 1003);
}

#[test]
fn a_close_is_answered_with_its_code() {
    let hub = TestHub::dev();
    let mut peer = hub.websocket("");
    peer.send_frame(Opcode::Close, b"\x0f\xa0bye");
    assert_eq!(peer.closed().0, 4000);
    peer.ended();
    hub.wait_for_metric("tidings_websockets", |open| open == 0.0);
}

#[test]
fn a_stopping_hub_says_that_it_restarts() {
    let mut hub = TestHub::dev();
    let mut peer = hub.websocket(&format!("match={BOOK}"));
    hub.terminate();
    assert_eq!(peer.closed().0, 1012);
    peer.send_frame(Opcode::Close, b"\x03\xf4");
    peer.ended();
    assert!(hub.wait_for_exit().success());
}

#[test]
fn one_that_does_not_read_lags_and_then_gets_everything_once() {
    let hub = TestHub::dev();
    let mut slow = hub.websocket(&format!("match={BOOK}"));
    let mut quick = hub.subscribe(&format!("match={BOOK}"));
    let data = "x".repeat(100_000);
    for number in 0..150 {
        hub.published(&[("topic", BOOK), ("data", &format!("{number} {data}"))]);
        assert!(quick.event().data.starts_with(&number.to_string()));
    }
    assert!(hub.metric("tidings_subscriber_lags_total") >= 1.0);
    // It is heard while it lags, and answered between two updates.
    slow.ask(&json!({"ping": {}, "ref": 1}));
    let (mut seen, mut ponged) = (Vec::new(), false);
    while seen.len() < 150 || !ponged {
        let frame = slow.json();
        if let Some(data) = frame["update"]["data"].as_str() {
            seen.push(data.split(' ').next().unwrap().to_owned());
        }
        ponged |= frame["pong"].is_object();
    }
    let wanted: Vec<_> = (0..150).map(|number| number.to_string()).collect();
    assert_eq!(seen, wanted);
}

#[test]
fn compressed_texts_are_read_and_written() {
    let hub = TestHub::dev();
    let offers = [
        "permessage-deflate",
        "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
        "permessage-deflate; server_max_window_bits=9",
    ];
    let mut peers: Vec<_> = offers
        .iter()
        .map(|offer| {
            let asked = handshake(&format!("{HUB_PATH}?match={BOOK}"))
                .header("Sec-WebSocket-Extensions", offer);
            hub.websocket_by(&asked)
        })
        .collect();
    peers.push(hub.websocket(&format!("match={BOOK}")));
    let data = "tidings ".repeat(2000);
    for round in 0..3 {
        hub.published(&[("topic", BOOK), ("data", &format!("{round} {data}"))]);
        hub.published(&[("topic", BOOK), ("data", "short")]);
        for peer in &mut peers {
            assert_eq!(peer.data(), format!("{round} {data}"));
            assert_eq!(peer.data(), "short");
        }
    }
    let sent = hub.metric("tidings_delivered_bytes_total");
    // Three of four get a hundredth of the 48 kB that each would get.
    assert!(sent < 70_000.0, "{sent}");
}

#[test]
fn it_works_over_tls() {
    let (hub, certificate) = serve_tls("[subscribe]\nanonymous = true\n");
    let asked = handshake(&format!("{HUB_PATH}?match={BOOK}"));
    let stream = certificate.connect(hub.address);
    let mut peer = Peer::over(hub.address, stream, &asked);
    assert!(peer.json()["open"].is_object());
    let token = crate::harness::serving::token();
    peer.answered(json!({"authenticate": {"token": token}}));
    let data = "y".repeat(300_000);
    let ack = peer.answered(json!({"publish": {"topic": FILM, "data": data}}));
    assert!(ack["ack"]["id"].is_string(), "{ack}");
    peer.answered(json!({"subscribe": {"match": FILM, "last_event_id": "earliest"}}));
    assert_eq!(peer.data().len(), 300_000);
    peer.send_frame(Opcode::Close, b"\x03\xe8");
    assert_eq!(peer.closed().0, 1000);
    peer.ended();
}

/// Answers that come faster than hyper has its turns are no sign of a slow peer.
#[test]
fn one_over_http2_that_asks_twice_at_once_does_not_lag() {
    let hub = TestHub::dev();
    let mut peer = compressing(hub.address, None, HUB_PATH);
    assert!(peer.json()["open"].is_object());
    let ping = masked_frame(Opcode::Text, Packing::Plain, b"{\"ping\":{}}", [0; 4]);
    peer.send_bytes(&ping.repeat(50));
    for _ in 0..50 {
        assert_eq!(peer.json(), json!({"pong": {}}));
    }
}

#[test]
fn one_that_answers_no_ping_is_closed_and_others_stay() {
    let hub = TestHub::serve(&settings(
        "[websocket]\nping_secs = 1\n[subscribe]\nanonymous = true\n",
    ));
    let mut silent = hub.websocket(&format!("match={BOOK}"));
    let mut polite = hub.websocket(&format!("match={BOOK}"));
    let answering = std::thread::spawn(move || {
        // Answers pings until the update comes.
        let data = polite.data();
        (data, polite)
    });
    assert_eq!(silent.next(), Some(Event::Ping(Vec::new())));
    assert_eq!(silent.closed(), (1001, "no answer to a ping".to_owned()));
    silent.send_frame(Opcode::Close, b"\x03\xe9");
    assert_eq!(
        hub.publish_as(&token_for_all(), &[("topic", BOOK), ("data", "x")])
            .status,
        200
    );
    assert_eq!(answering.join().expect("the polite one").0, "x");
}

#[test]
fn what_comes_right_behind_the_request_is_read() {
    let hub = TestHub::dev();
    let request = String::from_utf8(handshake(HUB_PATH).bytes()).unwrap();
    let mut bytes = request
        .replace("HOST", &hub.address.to_string())
        .into_bytes();
    bytes.extend_from_slice(b"\x81\x8b\0\0\0\0{\"ping\":{}}");
    let mut stream = std::net::TcpStream::connect(hub.address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    std::io::Write::write_all(&mut stream, &bytes).unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("{\"pong\":{}}") {
        let mut buffer = [0; 1024];
        let count = std::io::Read::read(&mut stream, &mut buffer).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..count]);
    }
}
