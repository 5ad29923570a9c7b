//! Subscriptions of WebSockets: matchers that come and go by frames, over HTTP/1.1 and HTTP/2, and
//! tokens that are renewed while the connection stays.

use std::collections::BTreeSet;

use super::*;
use crate::harness::peer::{Peer, handshake};
use crate::harness::tunnel::tunnels;

#[test]
fn each_matcher_that_a_frame_adds_or_removes_is_a_subscription() {
    let hub = hub("");
    let mut watcher = watch(&hub, "");
    watcher.event();
    let mut peer = hub.websocket("match=a");
    check_frames(&hub, &mut watcher, &mut peer);
    drop(peer);
    check_ended(&mut watcher, &["a", "c"]);
    assert_eq!(matches(&hub), [WATCHED_PATTERN]);
}

#[test]
fn over_http2_a_stream_that_is_reset_takes_its_own_along_and_no_others() {
    let hub = hub("");
    let mut watcher = watch(&hub, "");
    watcher.event();
    let targets = ["match=a", "match=beside"].map(|query| format!("{HUB_PATH}?{query}"));
    let mut peers = tunnels(hub.address, &targets[..1], &token_for_all());
    let mut peer = peers.remove(0);
    assert!(peer.json()["open"].is_object());
    check_frames(&hub, &mut watcher, &mut peer);
    drop(peer);
    check_ended(&mut watcher, &["a", "c"]);
    let mut both = tunnels(hub.address, &targets, &token_for_all());
    let begun: BTreeSet<String> = [(); 2].map(|()| said(&mut watcher).0).into();
    assert_eq!(begun, ["a", "beside"].map(String::from).into());
    drop(both.remove(0));
    check_ended(&mut watcher, &["a"]);
    assert_eq!(matches(&hub), [WATCHED_PATTERN, "beside"]);
    drop(both);
    check_ended(&mut watcher, &["beside"]);
}

#[test]
fn a_token_that_is_renewed_changes_the_payload_and_keeps_the_subscriber() {
    let hub = hub("");
    let mut watcher = watch(&hub, "");
    watcher.event();
    let payload = |name: &str| {
        token_with(json!([{
            "type": DETAIL_TYPE, "actions": ["subscribe"], "topics": [{"match": "*"}],
            "payload": {"name": name}
        }]))
    };
    let asked = handshake(&format!("{HUB_PATH}?match=a")).bearer(&payload("first"));
    let mut peer = hub.websocket_by(&asked);
    let first = document(&watcher.event());
    assert_eq!(first["payload"]["name"], "first");
    let renewed = peer.answered(json!({"authenticate": {"token": payload("second")}}));
    assert!(renewed["ack"]["expires_at"].is_number(), "{renewed}");
    let second = document(&watcher.event());
    assert_eq!(second["payload"]["name"], "second");
    assert_eq!(
        (&second["id"], &second["active"]),
        (&first["id"], &json!(true))
    );
    let listed = collection(&hub, "?topic=a");
    assert_eq!(listed, [second]);
    // The same token again says nothing new.
    peer.answered(json!({"authenticate": {"token": payload("second")}}));
    peer.answered(json!({"subscribe": {"match": "b"}}));
    assert_eq!(said(&mut watcher), ("b".to_owned(), true));
    // One that does not count changes nothing.
    let refused = peer.answered(json!({"authenticate": {"token": "a.b.c"}}));
    assert_eq!(refused["error"]["status"], 401, "{refused}");
    drop(peer);
    check_ended(&mut watcher, &["a", "b"]);
}

#[test]
fn one_that_comes_back_within_the_grace_period_is_the_same_by_any_transport() {
    let hub = hub_with(
        "grace_secs = 3600\n",
        "[admin]\naddress = \"127.0.0.1:0\"\n",
    );
    let mut watcher = watch(&hub, "");
    watcher.event();
    let token = token_for_all();
    let mut peer = hub.websocket_by(&handshake(&format!("{HUB_PATH}?match=a")).bearer(&token));
    peer.answered(json!({"subscribe": {"match": "b"}}));
    let begun = [document(&watcher.event()), document(&watcher.event())];
    let subscriber = &begun[0]["subscriber"];
    assert_eq!(&begun[1]["subscriber"], subscriber);
    peer.send_frame(tidings_wire::websocket::Opcode::Close, &[]);
    peer.ended();
    hub.wait_for_metric("tidings_websockets", |open| open == 0.0);
    // Back as an event stream, which asks for one of them and for another.
    let asked = Request::get(&format!("{HUB_PATH}?match=b&match=c")).bearer(&token);
    let _stream = hub.subscribe_by(asked);
    let said: BTreeSet<(String, bool)> = [(); 2]
        .map(|()| {
            let next = document(&watcher.event());
            assert_eq!(&next["subscriber"], subscriber);
            let active = next["active"].as_bool().unwrap();
            (next["match"].as_str().unwrap().to_owned(), active)
        })
        .into();
    assert_eq!(
        said,
        [("a".to_owned(), false), ("c".to_owned(), true)].into()
    );
}

#[test]
fn a_crash_leaves_no_ghost_of_a_matcher_that_a_frame_added() {
    let mut hub = hub("");
    let mut watcher = watch(&hub, "");
    let own = watcher.event();
    let mut peer = hub.websocket("");
    peer.answered(json!({"subscribe": {"match": ["a", "b"]}}));
    said(&mut watcher);
    said(&mut watcher);
    peer.answered(json!({"unsubscribe": {"match": "a"}}));
    assert_eq!(said(&mut watcher), ("a".to_owned(), false));
    hub.kill();
    hub.restart();
    let mut watcher = watch(&hub, &own.last_event_id);
    let mut live = BTreeSet::new();
    let mut ended = 0;
    while ended < 3 {
        let (pattern, active) = said(&mut watcher);
        if active {
            live.insert(pattern);
        } else {
            assert!(
                live.remove(&pattern) || pattern == WATCHED_PATTERN,
                "{pattern}"
            );
            ended += 1;
        }
    }
    live.remove(WATCHED_PATTERN);
    assert_eq!(live, BTreeSet::new());
}

const WATCHED_PATTERN: &str = "/.well-known/mercure/subscriptions/:type/:match/:subscriber";

/// Adds and removes matchers of a connection that asks for `a`, and leaves it with `a` and `c`.
#[track_caller]
fn check_frames(hub: &TestHub, watcher: &mut EventStream, peer: &mut Peer) {
    let first = document(&watcher.event());
    assert_eq!(
        (&first["match"], &first["active"]),
        (&json!("a"), &json!(true))
    );
    peer.answered(json!({"subscribe": {"match": ["b", "a"], "match_urlpattern": "c"}}));
    let mut next = [document(&watcher.event()), document(&watcher.event())];
    next.sort_by_key(|document| document["match"].as_str().map(str::to_owned));
    for (next, (pattern, kind)) in next.iter().zip([("b", "exact"), ("c", "urlpattern")]) {
        assert_eq!(
            (&next["match"], &next["match_type"], &next["subscriber"]),
            (&json!(pattern), &json!(kind), &first["subscriber"])
        );
    }
    let path = next[1]["id"].as_str().unwrap();
    assert_eq!(get(hub, path, &token_for_all()).json(), next[1]);
    peer.answered(json!({"unsubscribe": {"match": "b"}}));
    assert_eq!(said(watcher), ("b".to_owned(), false));
    // What is neither added nor removed says nothing.
    peer.answered(json!({"unsubscribe": {"match": "b"}}));
    peer.answered(json!({"subscribe": {"match": "a"}}));
    assert_eq!(matches(hub), [WATCHED_PATTERN, "a", "c"]);
}

/// Waits for the ends of these, in any order.
#[track_caller]
fn check_ended(watcher: &mut EventStream, patterns: &[&str]) {
    let ended: BTreeSet<(String, bool)> = patterns.iter().map(|_| said(watcher)).collect();
    let expected = patterns
        .iter()
        .map(|pattern| ((*pattern).to_owned(), false));
    assert_eq!(ended, expected.collect());
}

/// Returns of the next event which matcher it is about and whether that is live.
fn said(watcher: &mut EventStream) -> (String, bool) {
    let document = document(&watcher.event());
    let pattern = document["match"].as_str().unwrap().to_owned();
    (pattern, document["active"].as_bool().unwrap())
}

/// Returns what all live subscriptions ask for, those that began first in front.
fn matches(hub: &TestHub) -> Vec<String> {
    let live = collection(hub, "");
    let pattern = |live: &Value| live["match"].as_str().unwrap().to_owned();
    live.iter().map(pattern).collect()
}
