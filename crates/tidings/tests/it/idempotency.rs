//! `Idempotency-Key`: a publisher's request that is repeated stores one update. `docs/reference/http.md`.

use serde_json::json;

use crate::harness::dialects::{PATH_2019, hub, old_token};
use crate::harness::tokens::{claims, token, token_for_all};
use crate::harness::{Answer, Connection, HUB_PATH, Request, TestHub};

/// As `docs/reference/http.md` shows it.
const GUIDE_KEY: &str = "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"";
const TOPIC: &str = "https://example.com/orders";

#[test]
fn a_repeated_request_stores_one_update_and_gets_the_same_id() {
    let hub = hub();
    let mut stream = hub.subscribe(&format!("match={TOPIC}"));
    let new = token_for_all();
    let old = old_token(json!({"publish": ["*"]}));
    for (path, token) in [(HUB_PATH, &new), (HUB_PATH, &old), (PATH_2019, &old)] {
        let request = post(path, token, &[("data", path)]).header("Idempotency-Key", GUIDE_KEY);
        let (first, again) = (hub.request(request.clone()), hub.request(request.clone()));
        assert_eq!(first.status, 200, "{}", first.text());
        assert_eq!((again.status, again.text()), (200, first.text()));
        let event = stream.event();
        assert_eq!(
            (event.last_event_id, event.data),
            (first.text(), path.to_owned())
        );
    }
    // Without a key, each request is an update.
    let request = post(HUB_PATH, &new, &[("data", "last")]);
    assert_ne!(
        hub.request(request.clone()).text(),
        hub.request(request).text()
    );
    assert_eq!(stream.data(2), ["last", "last"]);
}

/// The repetition comes while the first request waits for the disk.
#[test]
fn requests_at_the_same_time_are_one_update() {
    let hub = hub();
    let token = token_for_all();
    let request = post(HUB_PATH, &token, &[("data", "once")]).header("Idempotency-Key", "k");
    let mut connections: Vec<Connection> = (0..8).map(|_| Connection::open(hub.address)).collect();
    for connection in &mut connections {
        connection.send_request(&request);
    }
    let ids: Vec<String> = connections
        .iter_mut()
        .map(|connection| ok(&connection.read_answer(false)))
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let mut stream = hub.subscribe(&format!("match={TOPIC}&last_event_id=earliest"));
    ok(&hub.request(post(HUB_PATH, &token, &[("data", "next")])));
    assert_eq!(stream.data(2), ["once", "next"]);
}

#[test]
fn a_key_belongs_to_its_publisher_and_to_its_update() {
    let hub = hub();
    let send = |token: &str, data: &str| {
        hub.request(post(HUB_PATH, token, &[("data", data)]).header("Idempotency-Key", "k"))
    };
    let first = ok(&send(&token_for_all(), "a"));
    let other = send(&token_for_all(), "b");
    assert_eq!(
        (other.status, other.problem().as_str()),
        (422, "key-reused")
    );
    let mut somebody = claims();
    somebody["sub"] = "somebody else".into();
    assert_ne!(
        ok(&send(&token(&somebody), "a")),
        first,
        "another publisher, another key"
    );
    assert_eq!(ok(&send(&token_for_all(), "a")), first);
}

#[test]
fn what_cannot_be_a_key_is_refused() {
    let hub = hub();
    let request = post(HUB_PATH, &token_for_all(), &[]);
    for field in ["", "\"open", "with space", &"x".repeat(256)] {
        let answer = hub.request(request.clone().header("Idempotency-Key", field));
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "key-invalid"),
            "{field:?}"
        );
    }
    let two = request
        .header("Idempotency-Key", "a")
        .header("Idempotency-Key", "b");
    assert_eq!(hub.request(two).problem(), "key-invalid");
}

#[test]
fn a_refused_update_leaves_its_key_free() {
    let hub = hub();
    let refused = post(HUB_PATH, &token_for_all(), &[("id", "#no")]).header("Idempotency-Key", "k");
    assert_eq!(hub.request(refused).status, 400);
    let good = post(HUB_PATH, &token_for_all(), &[("data", "x")]).header("Idempotency-Key", "k");
    ok(&hub.request(good));
}

#[test]
fn frames_have_keys_too() {
    let hub = TestHub::dev();
    let mut peer = hub.websocket("");
    peer.answered(json!({"authenticate": {"token": hub.publisher_token()}}));
    let publish = |data: &str, key: &str| json!({"publish": {"topic": TOPIC, "data": data, "idempotency_key": key}});
    let first = peer.answered(publish("a", "k"));
    assert!(first["ack"]["id"].is_string(), "{first}");
    assert_eq!(peer.answered(publish("a", "k")), first);
    let other = peer.answered(publish("b", "k"));
    assert_eq!(other["error"]["status"], 422, "{other}");
    let none = peer.answered(publish("b", ""));
    assert_eq!(none["error"]["type"], "urn:tidings:problem:key-invalid");
    // The door makes no difference.
    let request = post(HUB_PATH, &hub.publisher_token(), &[("data", "a")]);
    let posted = hub.request(request.header("Idempotency-Key", "k"));
    assert_eq!(ok(&posted), first["ack"]["id"]);
    hub.wait_for_metric("tidings_publish_repeats_total", |repeats| repeats == 3.0);
}

fn post(path: &str, token: &str, fields: &[(&str, &str)]) -> Request {
    let form: Vec<_> = [("topic", TOPIC), ("data", "-")]
        .into_iter()
        .filter(|(name, _)| !fields.iter().any(|(other, _)| other == name))
        .chain(fields.iter().copied())
        .collect();
    Request::post(path).bearer(token).form(&form)
}

#[track_caller]
fn ok(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}
