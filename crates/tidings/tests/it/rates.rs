//! Limits on how often a subject or an address publishes and subscribes, on every way in. Buckets refill with time, so
//! each test repeats until it is refused.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::harness::dialects::{all_dialects, old_token, publish_at};
use crate::harness::peer::handshake;
use crate::harness::tokens::{settings, token, with, without};
use crate::harness::{Answer, Connection, HUB_PATH, Request, TestHub, wait_until};

const BASE: &str = "[admin]\naddress = \"127.0.0.1:0\"\n[subscribe]\nanonymous = true\n\
                    [rooms]\naccess = \"anonymous\"\ntopics = [\"chat\"]\n\
                    [sockjs]\nenabled = true\n[server]\nshards = 3\n";
/// The least that is refused within a test, however slow the machine is.
const TRIES: usize = 500;
const BURST: usize = 3;
const BY_SUBJECT: &str = "limits.publishes_per_second_per_subject_max";
const BY_ADDRESS: &str = "limits.publishes_per_second_per_address_max";

#[test]
fn a_subject_that_publishes_too_often_is_told_when_to_come_back() {
    let hub = limited("publishes_per_second_per_subject_max = 1");
    let one = token(&with("sub", "one"));
    let refused = until_refused(|| publish(&hub, &one, "x"));
    check_refused(&refused, BY_SUBJECT);
    // The same subject by another token and on another way in; other subjects and tokens without one are free.
    let mut renewed = with("sub", "one");
    renewed["jti"] = "another".into();
    check_refused(
        &until_refused(|| publish(&hub, &token(&renewed), "x")),
        BY_SUBJECT,
    );
    let open = handshake(HUB_PATH).bearer(&one);
    let mut peer = hub.websocket_by(&open);
    let frame = json!({"publish": {"topic": "a", "data": "x"}});
    let error = (0..TRIES).find_map(|_| {
        let answer = peer.answered(frame.clone());
        answer.get("error").cloned()
    });
    let error = error.expect("a frame is refused");
    assert_eq!(error["status"], 429, "{error}");
    assert_eq!(error["limit"], BY_SUBJECT, "{error}");
    assert!(error["retry_after"].as_u64().unwrap() >= 1, "{error}");
    for other in [token(&with("sub", "two")), token(&without("sub"))] {
        for _ in 0..BURST {
            assert_eq!(publish(&hub, &other, "x").status, 200);
        }
    }
    assert!(limited_times(&hub, BY_SUBJECT) >= 3.0);
    assert!(hub.metric_for("tidings_publish_refused_total", "rate-limited") >= 3.0);
}

#[test]
fn an_address_counts_on_every_way_in() {
    let hub = limited("publishes_per_second_per_address_max = 1");
    let one = token(&without("sub"));
    check_refused(&until_refused(|| publish(&hub, &one, "x")), BY_ADDRESS);
    // Rooms ask for no token; one that is refused closes the connection.
    let mut room = hub.room("chat");
    wait_until("a message of the room is refused", || {
        let stored = || hub.metric("tidings_updates_total");
        let before = (stored(), limited_times(&hub, BY_ADDRESS));
        room.send("hello");
        wait_until("it is stored or refused", || {
            let now = (stored(), limited_times(&hub, BY_ADDRESS));
            (now != before).then_some(())
        });
        (limited_times(&hub, BY_ADDRESS) > before.1).then_some(())
    });
    let (code, reason) = room.closed();
    assert_eq!(code, 1013, "{reason}");
    assert!(reason.contains(BY_ADDRESS), "{reason}");
    let session = hub.sockjs_room("chat");
    wait_until("a text of SockJS is refused", || {
        let before = limited_times(&hub, BY_ADDRESS);
        session.try_send(&["hello"]);
        (limited_times(&hub, BY_ADDRESS) > before).then_some(())
    });
    // Another address is free.
    let request = Request::post(HUB_PATH).bearer(&one).form(&[("topic", "a")]);
    assert_eq!(
        from(&hub, Ipv4Addr::new(127, 0, 0, 2))
            .request(&request)
            .status,
        200
    );
}

#[test]
fn old_dialects_are_refused_in_their_own_form() {
    let toml =
        format!("{BASE}[limits]\npublishes_per_second_per_address_max = 1\nrate_burst_secs = 3\n");
    let hub = TestHub::serve(&all_dialects(&toml));
    let old = old_token(json!({"publish": ["*"]}));
    let form = [("topic", "https://example.com/a"), ("data", "x")];
    let refused = until_refused(|| publish_at(&hub, HUB_PATH, &old, &form));
    assert_eq!(refused.status, 429);
    assert!(refused.text().contains(BY_ADDRESS), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
}

#[test]
fn bytes_count_by_themselves_and_a_large_update_passes_a_full_bucket() {
    let key = "limits.published_bytes_per_second_per_subject_max";
    let hub = limited("published_bytes_per_second_per_subject_max = 1000");
    let one = token(&with("sub", "one"));
    let large = "x".repeat(100_000);
    assert_eq!(publish(&hub, &one, &large).status, 200);
    let refused = publish(&hub, &one, "x");
    check_refused(&refused, key);
    let secs: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((50..=98).contains(&secs), "{secs}");
    assert_eq!(refused.json()["retry_after"], secs);
}

#[test]
fn subscribing_counts_streams_polls_websockets_and_frames() {
    let key = "limits.subscribes_per_second_per_address_max";
    let hub = limited("subscribes_per_second_per_address_max = 1");
    let query = format!("{HUB_PATH}?match=a");
    let stream = Request::get(&query);
    let refused = until_refused(|| {
        let mut connection = Connection::open(hub.address);
        connection.send_request(&stream);
        let mut answer = connection.read_head();
        if answer.status != 200 {
            let length = answer.header("content-length").unwrap().parse().unwrap();
            answer.body = connection.read_exactly(length);
        }
        answer
    });
    check_refused(&refused, key);
    let poll = Request::get(&query).header("Prefer", "wait=0");
    check_refused(&until_refused(|| hub.request(poll.clone())), key);
    let websocket = handshake(&query);
    let refused = until_refused(|| {
        let mut connection = Connection::open(hub.address);
        connection.send_request(&websocket);
        let mut answer = connection.read_head();
        if answer.status == 101 {
            answer.status = 200;
        } else {
            let length = answer.header("content-length").unwrap().parse().unwrap();
            answer.body = connection.read_exactly(length);
        }
        answer
    });
    check_refused(&refused, key);
    // Opening one costs nothing; its frames count.
    let mut peer = hub.websocket("");
    let frame = json!({"subscribe": {"match": "a"}});
    let refused = (0..TRIES)
        .map(|_| peer.answered(frame.clone()))
        .find_map(|answer| {
            let error = answer.get("error")?;
            Some(error["limit"].clone())
        });
    assert_eq!(refused, Some(Value::from(key)));
    // Publishing is not subscribing.
    assert_eq!(publish(&hub, &token(&without("sub")), "x").status, 200);
}

#[test]
fn a_reload_sets_and_lifts_a_limit() {
    let hub = TestHub::serve(&settings(BASE));
    let toml = hub.folder().join("tidings.toml");
    let free = std::fs::read_to_string(&toml).unwrap();
    let one = token(&with("sub", "one"));
    for _ in 0..20 {
        assert_eq!(publish(&hub, &one, "x").status, 200);
    }
    let limit = "[limits]\npublishes_per_second_per_subject_max = 1\nrate_burst_secs = 2\n";
    std::fs::write(&toml, format!("{free}{limit}")).unwrap();
    hub.signal(rustix::process::Signal::HUP);
    wait_until("the limit counts", || {
        (publish(&hub, &one, "x").status == 429).then_some(())
    });
    std::fs::write(&toml, free).unwrap();
    hub.signal(rustix::process::Signal::HUP);
    wait_until("the limit is lifted", || {
        let answers = (0..20).map(|_| publish(&hub, &one, "x").status);
        answers
            .into_iter()
            .all(|status| status == 200)
            .then_some(())
    });
}

fn limited(limit: &str) -> TestHub {
    let burst = format!("[limits]\n{limit}\nrate_burst_secs = {BURST}\n");
    TestHub::serve(&settings(&format!("{BASE}{burst}")))
}

/// Publishes on a connection of its own, which any shard may get.
fn publish(hub: &TestHub, token: &str, data: &str) -> Answer {
    hub.publish_as(token, &[("topic", "a"), ("data", data)])
}

/// Repeats until a refusal, which the burst comes before unless the bucket was used already.
#[track_caller]
fn until_refused(mut ask: impl FnMut() -> Answer) -> Answer {
    let answers = (0..TRIES).map(|_| ask());
    let refused = answers.into_iter().find(|answer| answer.status != 200);
    refused.expect("one is refused")
}

#[track_caller]
fn check_refused(answer: &Answer, limit: &str) {
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(answer.problem(), "rate-limited");
    assert_eq!(answer.json()["limit"], limit);
    let secs: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!(secs >= 1);
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains(limit) && detail.contains("try again in"),
        "{detail}"
    );
}

fn limited_times(hub: &TestHub, limit: &str) -> f64 {
    let text = hub.request_admin("/metrics").text();
    let name = format!("tidings_rate_limited_total{{limit=\"{limit}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.expect("its series").parse().unwrap()
}

fn from(hub: &TestHub, address: Ipv4Addr) -> Connection {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
    socket.connect(&hub.address.into()).unwrap();
    Connection::over(hub.address, TcpStream::from(socket))
}
