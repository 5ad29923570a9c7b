//! Cursors of updates that one hub of a cluster has sent and another does not have yet.
//! `docs/reference/cluster.md`, "Cursors".

use std::thread;

use crate::harness::redis::{Redis, member};
use crate::harness::tokens::token_for_all;
use crate::harness::wire::Wire;
use crate::harness::{Connection, EventStream, HUB_PATH, Request, TestHub};

const TOPIC: &str = "https://example.com/news";

/// A hub that reaches Redis through a wire, and waits for it for so many milliseconds.
fn behind_a_wire(redis: &Redis, wait_ms: u32) -> (TestHub, Wire) {
    let address = redis.url().trim_start_matches("redis://").to_owned();
    let wire = Wire::before(address.parse().unwrap());
    let settings = member(redis, "")
        .replace(&address, &wire.address.to_string())
        .replace("max_wait_ms = 20000", &format!("max_wait_ms = {wait_ms}"));
    let hub = TestHub::serve(&settings);
    hub.wait_until_ready();
    (hub, wire)
}

fn publish(hub: &TestHub, data: &str, more: &[(&str, &str)]) -> String {
    let form = [&[("topic", TOPIC), ("data", data)], more].concat();
    let answer = hub.publish_as(&token_for_all(), &form);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

fn after(cursor: &str) -> Request {
    Request::get(&format!("{HUB_PATH}?match={TOPIC}")).header("Last-Event-ID", cursor)
}

/// Publishes two updates, of which the hub behind the wire has the first. Returns the second one's id.
fn published_past(one: &TestHub, two: &TestHub, wire: &Wire, id: &[(&str, &str)]) -> String {
    let mut stream = two.subscribe(&format!("match={TOPIC}"));
    publish(one, "has", &[]);
    assert_eq!(stream.data(1), ["has"]);
    wire.hold();
    publish(one, "lacks", id)
}

#[test]
fn a_hub_that_lacks_a_cursor_catches_up_before_it_answers() {
    let redis = Redis::start(&[]);
    let one = TestHub::joined(&redis, "");
    let (two, wire) = behind_a_wire(&redis, 20_000);
    for id in [&[][..], &[("id", "urn:example:mine")]] {
        let cursor = published_past(&one, &two, &wire, id);
        let (request, address) = (after(&cursor), two.address);
        let waiting = thread::spawn(move || EventStream::open(Connection::open(address), &request));
        wire.free();
        let mut stream = waiting.join().unwrap();
        publish(&one, "next", &[]);
        assert_eq!(stream.data(1), ["next"], "after {cursor}");
    }
    // An id that nobody made is unknown as ever.
    let mut stream = two.subscribe_by(after("urn:example:nobody"));
    assert_eq!(stream.data(2), ["has", "lacks"]);
}

#[test]
fn a_hub_that_cannot_catch_up_sends_nothing_and_has_its_subscribers_come_back() {
    let redis = Redis::start(&[]);
    let one = TestHub::joined(&redis, "");
    let (two, wire) = behind_a_wire(&redis, 300);
    let cursor = published_past(&one, &two, &wire, &[]);
    let answer = Connection::open(two.address).request(&after(&cursor));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.header("mercure-last-event-id"), Some(&*cursor));
    assert!(!answer.text().contains("data:"), "{}", answer.text());
    let poll = after(&cursor).header("Prefer", "wait=1");
    let refused = Connection::open(two.address).request(&poll);
    assert_eq!((refused.status, &*refused.problem()), (503, "catching-up"));
    assert!(refused.header("retry-after").is_some());
    // A cursor that it knows needs no cluster.
    let mut known = two.subscribe_by(after("earliest"));
    assert_eq!(known.data(1), ["has"]);
    wire.free();
    assert_eq!(known.data(1), ["lacks"]);
}
