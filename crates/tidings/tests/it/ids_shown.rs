//! A publisher's id of a private update is shown only to those who may see the update: a cursor that the
//! hub sends to others is an id of its own.
//!
//! Decision 0007; Mercure, "Authorization on Event Replay".

use serde_json::json;

use crate::harness::dialects::{all_dialects, old_token, subscribe_at};
use crate::harness::peer::{Peer, handshake};
use crate::harness::sockjs::Poller;
use crate::harness::tokens::{settings, token_for_all, token_with};
use crate::harness::{Answer, HUB_PATH, Request, TestHub};

const ALL: &str = "/.well-known/mercure/subscriptions";
const WATCHED: &str =
    "match_urlpattern=/.well-known/mercure/subscriptions/:type/:match/:subscriber";
const OWN_ID: &str = "urn:order:4711-of-somebody-else";

#[test]
fn the_list_of_subscriptions_names_no_id_of_a_publisher() {
    let hub = TestHub::serve(&settings(
        "[subscribe]\nanonymous = true\n[presence]\nenabled = true\n",
    ));
    let asked = Request::get(&format!("{HUB_PATH}?{WATCHED}")).bearer(&token_for_all());
    let mut watcher = hub.subscribe_by(asked);
    watcher.event();
    let _stream = hub.subscribe("match=a");
    let event: serde_json::Value = serde_json::from_str(&watcher.event().data).unwrap();
    let one = event["id"].as_str().unwrap();
    // All presence events have been published: the private update is the last.
    publish_private(&hub);
    let grant = json!([{
        "type": "https://mercure.rocks/authorization-detail", "actions": ["subscribe"],
        "topics": [{"match": format!("{ALL}*"), "match_type": "urlpattern"}]
    }]);
    let reader = token_with(grant);
    for path in [ALL, &format!("{ALL}/exact/a"), one, &format!("{one}x")] {
        for method in ["GET", "HEAD"] {
            let asked = Request::new(method, path).bearer(&reader);
            let answer = hub.request(asked.clone());
            check(path, &answer);
            let link = answer.header("link").unwrap();
            assert!(link.contains("last-event-id=\"urn:uuid:"), "{link}");
            let known = answer.header("etag").unwrap_or("*").to_owned();
            check(path, &hub.request(asked.header("If-None-Match", &known)));
        }
    }
    // It is a cursor all the same: what comes next follows it, and nothing before.
    let answer = hub.request(Request::get(ALL).bearer(&reader));
    let link = answer.header("link").unwrap();
    let (_, cursor) = link.split_once("last-event-id=\"").unwrap();
    let cursor = cursor.split('"').next().unwrap();
    publish(&hub, "next");
    let mut follower = hub.subscribe(&format!("match=a&last_event_id={cursor}"));
    assert_eq!(follower.head.header("mercure-last-event-id"), Some(cursor));
    assert_eq!(follower.event().data, "next");
}

#[test]
fn documents_of_0_x_name_no_id_of_a_publisher() {
    let hub = TestHub::serve(&all_dialects(
        "[subscribe]\nanonymous = true\n[presence]\nenabled = true\n",
    ));
    let selector = format!("{ALL}{{/topic}}{{/subscriber}}");
    let reader = old_token(json!({"subscribe": [selector, ALL]}));
    let query = format!("topic={selector}");
    let mut watcher = subscribe_at(&hub, HUB_PATH, &query, Some(&reader));
    watcher.event();
    let _stream = subscribe_at(&hub, HUB_PATH, "topic=a", None);
    let event: serde_json::Value = serde_json::from_str(&watcher.event().data).unwrap();
    publish_private(&hub);
    for path in [ALL, &format!("{ALL}/a"), event["id"].as_str().unwrap()] {
        let answer = hub.request(Request::get(path).bearer(&reader));
        check(path, &answer);
        let cursor = answer.json()["lastEventID"].as_str().unwrap().to_owned();
        assert!(cursor.starts_with("urn:uuid:"), "{cursor}");
    }
}

#[test]
fn no_opening_names_an_id_of_a_publisher() {
    let hub = TestHub::serve(&all_dialects(
        "[subscribe]\nanonymous = true\n[sockjs]\nenabled = true\n",
    ));
    publish_private(&hub);
    let stands = |text: &str| assert!(!text.contains(OWN_ID), "{text}");
    for query in [
        "match=a",
        "match=a&last_event_id=earliest",
        "match=a&last_event_id=urn:unknown",
    ] {
        let stream = hub.subscribe(query);
        stands(&format!("{:?}", stream.head.headers));
        let poll = Request::get(&format!("{HUB_PATH}?{query}")).header("Prefer", "wait=0");
        check(query, &hub.request(poll));
        let mut peer = Peer::open(hub.address, &handshake(&format!("{HUB_PATH}?{query}")));
        stands(&peer.json().to_string());
        let mut poller = Poller::open(hub.address, "/sockjs", query);
        stands(&poller.text());
    }
    let mut peer = Peer::open(hub.address, &handshake(HUB_PATH));
    stands(&peer.json().to_string());
    let ask = json!({"subscribe": {"match": "a"}});
    stands(&peer.answered(ask).to_string());
    let ask = json!({"subscribe": {"match": "b", "last_event_id": "earliest"}});
    stands(&peer.answered(ask).to_string());
    for (path, query) in [(HUB_PATH, "topic=a"), ("/hub", "topic=a")] {
        let stream = subscribe_at(&hub, path, query, None);
        stands(&format!("{:?}", stream.head.headers));
    }
}

/// Says that nothing of an answer names the id.
#[track_caller]
fn check(asked: &str, answer: &Answer) {
    assert!([200, 304, 404].contains(&answer.status), "{answer:?}");
    let shown = format!("{:?} {}", answer.headers, answer.text());
    assert!(!shown.contains(OWN_ID), "{asked}: {shown}");
}

fn publish_private(hub: &TestHub) {
    let form = [("topic", "b"), ("id", OWN_ID), ("private", "on")];
    let answer = hub.publish_as(&token_for_all(), &form);
    assert_eq!((answer.status, answer.text().as_str()), (200, OWN_ID));
}

fn publish(hub: &TestHub, data: &str) {
    let answer = hub.publish_as(&token_for_all(), &[("topic", "a"), ("data", data)]);
    assert_eq!(answer.status, 200);
}
