//! Presence events and the subscription API.
//!
//! Mercure, "Active Subscriptions".

mod api;
mod cluster;
mod old;
mod restart;
mod resuming;
mod websocket;

use serde_json::{Value, json};
use tidings_wire::sse_decoder::Event;

use crate::harness::peer::handshake;
use crate::harness::tokens::{
    DETAIL_TYPE, claims, detail, settings, token, token_for_all, token_with, with,
};
use crate::harness::{Answer, EventStream, HUB_PATH, Request, TestHub, wait_until};

const ALL: &str = "/.well-known/mercure/subscriptions";
const WATCHED: &str =
    "match_urlpattern=/.well-known/mercure/subscriptions/:type/:match/:subscriber";

#[test]
fn every_beginning_and_end_is_published() {
    let hub = hub("");
    let mut watcher = watch(&hub, "");
    let own = watcher.event();
    assert_eq!(
        document(&own)["match"],
        "/.well-known/mercure/subscriptions/:type/:match/:subscriber"
    );
    let subscriber = hub.subscribe("match=a&match_urlpattern=https://example.com/:id");
    let begun = [document(&watcher.event()), document(&watcher.event())];
    assert_eq!(begun[0]["match"], "a");
    assert_eq!(begun[1]["match_type"], "urlpattern");
    drop(subscriber);
    let mut ended = [document(&watcher.event()), document(&watcher.event())];
    assert!(ended.iter().all(|document| document["active"] == false));
    for document in &mut ended {
        document["active"] = true.into();
    }
    assert_eq!(ended, begun);
}

#[test]
fn an_event_is_a_private_update_of_type_mercure_with_the_standards_document() {
    let hub = hub("");
    let mut watcher = watch(&hub, "");
    watcher.event();
    let grant = json!([{
        "type": DETAIL_TYPE, "actions": ["subscribe"], "topics": [{"match": "*"}],
        "payload": {"name": "x", "n": 1.10}
    }]);
    let matcher = "https://example.com/a b/%20é?x=\"1\"";
    let mut query = String::new();
    tidings_wire::form::append_pair(&mut query, "match", matcher);
    let asked = Request::get(&format!("{HUB_PATH}?{query}")).bearer(&token_with(grant));
    let _subscriber = hub.subscribe_by(asked);
    let event = watcher.event();
    assert_eq!(event.event_type, "mercure");
    let document = document(&event);
    let subscriber = document["subscriber"].as_str().unwrap();
    // Each part is encoded exactly once.
    let id = format!(
        "{ALL}/exact/https%3A%2F%2Fexample.com%2Fa%20b%2F%2520%C3%A9%3Fx%3D%221%22/{}",
        subscriber.replace(':', "%3A")
    );
    assert_eq!(
        document,
        json!({
            "id": id, "type": "subscription", "match_type": "exact", "match": matcher,
            "subscriber": subscriber, "active": true, "payload": {"name": "x", "n": 1.10}
        })
    );
    // The document's id is the event's topic: whoever asks for it gets it, from the history too.
    let mut query = String::new();
    tidings_wire::form::append_pair(&mut query, "match", &id);
    let asked = Request::get(&format!("{HUB_PATH}?{query}&last_event_id=earliest"));
    let mut exact = hub.subscribe_by(asked.bearer(&token_for_all()));
    assert_eq!(exact.event().last_event_id, event.last_event_id);
}

#[test]
fn events_reach_only_those_with_a_grant_for_them() {
    let hub = hub("");
    let mut anonymous = hub.subscribe("match=*");
    let path = format!("{ALL}/exact/mine/:subscriber");
    let narrow = json!([{
        "type": DETAIL_TYPE, "actions": ["subscribe"],
        "topics": [{"match": path, "match_type": "urlpattern"}]
    }]);
    let mut narrow = hub
        .subscribe_by(Request::get(&format!("{HUB_PATH}?{WATCHED}")).bearer(&token_with(narrow)));
    let _others = hub.subscribe("match=others");
    let _mine = hub.subscribe("match=mine");
    assert_eq!(document(&narrow.event())["match"], "mine");
    hub.publish_as(&token_for_all(), &[("topic", "t"), ("data", "public")]);
    assert_eq!(anonymous.event().data, "public");
}

#[test]
fn a_subscriber_cannot_choose_its_identifier_and_each_connection_has_its_own() {
    let hub = hub("");
    let mut watcher = watch(&hub, "");
    watcher.event();
    let asked = || {
        Request::get(&format!("{HUB_PATH}?match=a&subscriber=urn:me&id=urn:me"))
            .header("Subscriber", "urn:me")
            .bearer(&token_for_all())
    };
    let _streams = [hub.subscribe_by(asked()), hub.subscribe_by(asked())];
    let ids = [(); 2].map(|()| document(&watcher.event())["subscriber"].clone());
    assert_ne!(ids[0], ids[1]);
    for id in &ids {
        let id = id.as_str().unwrap();
        assert!(id.starts_with("urn:uuid:") && id.len() == 45, "{id}");
    }
}

#[test]
fn the_payload_is_that_of_the_first_detail_that_matches() {
    let hub = hub("");
    let mut watcher = watch(&hub, "");
    watcher.event();
    let rule = |matcher: Value, payload: Value| json!({"type": DETAIL_TYPE, "actions": ["subscribe"], "topics": [matcher], "payload": payload});
    let details = json!([
        rule(
            json!({"match": "https://example.com/foo"}),
            json!({"rule": 1})
        ),
        rule(
            json!({"match": "https://example.com/bar/:id", "match_type": "urlpattern"}),
            json!({"rule": 2})
        ),
        detail(&["subscribe"], &["silent"]),
        rule(json!({"match": "*"}), json!({"rule": 3})),
    ]);
    let query = "match=https://example.com/foo&match_urlpattern=https://example.com/bar/:id\
                 &match=silent&match=other";
    let asked = Request::get(&format!("{HUB_PATH}?{query}")).bearer(&token_with(details));
    let _subscriber = hub.subscribe_by(asked);
    let payloads = [(); 4].map(|()| document(&watcher.event())["payload"].clone());
    assert_eq!(
        payloads,
        [
            json!({"rule": 1}),
            json!({"rule": 2}),
            Value::Null,
            json!({"rule": 3})
        ]
    );
    let listed = collection(&hub, "").into_iter().skip(1);
    let listed: Vec<Value> = listed.map(|document| document["payload"].clone()).collect();
    assert_eq!(listed, payloads);
}

#[test]
fn after_kill_9_what_was_announced_is_ended_and_nothing_is_live() {
    let mut hub = hub("");
    let mut watcher = watch(&hub, "");
    watcher.event();
    let _subscriber = hub.subscribe("match=a&match=b");
    let begun = [watcher.event(), watcher.event()];
    hub.kill();
    hub.restart();
    let mut watcher = watch(&hub, &begun[1].last_event_id);
    assert_eq!(
        watcher.head.header("mercure-last-event-id"),
        Some(begun[1].last_event_id.as_str())
    );
    let mut ended: Vec<String> = [(); 3]
        .map(|()| {
            let document = document(&next_ended(&mut watcher));
            document["match"].as_str().unwrap().to_owned()
        })
        .to_vec();
    ended.sort();
    let own = "/.well-known/mercure/subscriptions/:type/:match/:subscriber";
    assert_eq!(ended, [own, "a", "b"]);
    let live = wait_until("the new watcher alone is live", || {
        Some(collection(&hub, "")).filter(|live| live.len() == 1)
    });
    assert_eq!(live[0]["match"], own);
}

#[test]
fn what_a_crash_left_is_ended_although_presence_was_switched_off() {
    let mut hub = hub("");
    let subscriber = hub.subscribe("match=a");
    wait_until("it is live", || {
        (collection(&hub, "").len() == 1).then_some(())
    });
    let begun = collection(&hub, "?topic=a");
    let mut watcher = watch(&hub, "earliest");
    assert_eq!(document(&watcher.event()), begun[0]);
    hub.kill();
    drop(subscriber);
    let path = hub.folder().join("tidings.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("enabled = true", "enabled = false")).unwrap();
    hub.restart();
    let mut watcher = watch(&hub, "earliest");
    let ended = document(&next_ended(&mut watcher));
    assert_eq!(ended["match"], "a");
}

#[test]
fn a_hub_that_stops_in_good_form_ends_them_itself() {
    let mut hub = hub_with("", "[server]\ndrain_secs = 0\n");
    let mut watcher = watch(&hub, "");
    watcher.event();
    let _subscriber = hub.subscribe("match=a");
    assert_eq!(document(&watcher.event())["match"], "a");
    assert!(hub.stop());
    hub.restart();
    let left = "ending subscriptions that an earlier run left behind";
    assert!(!hub.log().contains(left));
    let mut watcher = watch(&hub, "earliest");
    while document(&next_ended(&mut watcher))["match"] != "a" {}
}

#[test]
fn events_never_evict_updates_and_their_loss_is_told() {
    let hub = hub_with("retain_events = 5\n", "[history]\nretain_updates = 3\n");
    let publish = |data| hub.publish_as(&token_for_all(), &[("topic", "kept"), ("data", data)]);
    for data in ["one", "two", "three"] {
        assert_eq!(publish(data).status, 200);
    }
    let mut watcher = watch(&hub, "");
    let first = watcher.event();
    for _ in 0..20 {
        let churning = hub.subscribe("match=churn");
        assert_eq!(document(&watcher.event())["active"], true);
        drop(churning);
        assert_eq!(document(&watcher.event())["active"], false);
    }
    drop(watcher);
    wait_until("a watcher's cursor from before is unknown", || {
        let again = watch(&hub, &first.last_event_id);
        (again.head.header("mercure-last-event-id") == Some("earliest")).then_some(())
    });
    // Who cannot see these events has lost nothing.
    let asked = Request::get(&format!("{HUB_PATH}?match=kept"));
    let stream = hub.subscribe_by(asked.header("Last-Event-ID", &first.last_event_id));
    assert_eq!(
        stream.head.header("mercure-last-event-id"),
        Some(first.last_event_id.as_str())
    );
    assert_eq!(
        hub.subscribe("match=kept&last_event_id=earliest").data(3),
        ["one", "two", "three"]
    );
}

/// The history that such a subscriber reads has places where events were.
#[test]
fn a_watcher_by_websocket_gets_what_is_kept_of_the_events() {
    let hub = hub_with("retain_events = 5\n", "[history]\nring_bytes = 1\n");
    // It stays, so that there is something before the events that go.
    let kept = [("topic", "kept"), ("data", "kept")];
    assert_eq!(hub.publish_as(&token_for_all(), &kept).status, 200);
    let mut watcher = watch(&hub, "");
    let first = watcher.event();
    for _ in 0..20 {
        let churning = hub.subscribe("match=churn");
        watcher.event();
        drop(churning);
        watcher.event();
    }
    wait_until("events are gone", || {
        let again = watch(&hub, &first.last_event_id);
        (again.head.header("mercure-last-event-id") == Some("earliest")).then_some(())
    });
    let mut peer = hub.websocket_by(&handshake(HUB_PATH).bearer(&token_for_all()));
    let (name, pattern) = WATCHED.split_once('=').unwrap();
    let ack = peer.answered(json!({"subscribe": {name: pattern, "last_event_id": "earliest"}}));
    assert_eq!(ack["ack"]["last_event_id"], "earliest");
    let mut events = 0;
    while peer.json()["caught_up"].is_null() {
        events += 1;
    }
    assert!(events >= 5, "{events}");
}

#[test]
fn a_page_that_reloads_within_the_grace_period_is_not_noticed() {
    let hub = hub_with("grace_secs = 3600\n", "[server]\nshards = 1\n");
    let mut watcher = watch(&hub, "");
    let own = document(&watcher.event());
    let known = token_for_all();
    let other = token(&with("sub", "another"));
    let page = |token: &str, query: &str| {
        hub.subscribe_by(Request::get(&format!("{HUB_PATH}?{query}")).bearer(token))
    };
    let before = page(&known, "match=a&match=b");
    let begun = [document(&watcher.event()), document(&watcher.event())];
    drop(before);
    // One that leaves without a name is gone at once, which also shows that the other was seen to go.
    let anonymous = hub.subscribe("match=anonymous");
    assert_eq!(document(&watcher.event())["active"], true);
    drop(anonymous);
    assert_eq!(document(&watcher.event())["active"], false);
    let _stranger = page(&other, "match=a");
    let strange = document(&watcher.event());
    assert_ne!(strange["subscriber"], begun[0]["subscriber"]);
    // Back on another page: what it no longer wants ends, what is new begins, the rest goes on.
    let _after = page(&known, "match=b&match=c");
    let next = [document(&watcher.event()), document(&watcher.event())];
    let said: Vec<_> = next
        .iter()
        .map(|next| (&next["match"], &next["active"]))
        .collect();
    assert!(said.contains(&(&json!("c"), &json!(true))), "{said:?}");
    assert!(said.contains(&(&json!("a"), &json!(false))), "{said:?}");
    assert!(
        next.iter()
            .all(|next| next["subscriber"] == begun[0]["subscriber"])
    );
    let live: Vec<_> = collection(&hub, "")
        .iter()
        .map(|live| live["match"].clone())
        .collect();
    assert_eq!(
        live,
        [own["match"].clone(), json!("b"), json!("a"), json!("c")]
    );
}

#[test]
fn the_grace_period_ends() {
    let hub = hub("grace_secs = 1\n");
    let mut watcher = watch(&hub, "");
    watcher.event();
    let asked = Request::get(&format!("{HUB_PATH}?match=a")).bearer(&token(&claims()));
    drop(hub.subscribe_by(asked));
    assert_eq!(document(&watcher.event())["active"], true);
    assert_eq!(document(&watcher.event())["active"], false);
    assert_eq!(collection(&hub, "?topic=a").len(), 0);
}

#[test]
fn without_presence_there_is_neither() {
    let text = settings("[subscribe]\nanonymous = true\n");
    let hub = TestHub::serve(&text);
    let answer = get(&hub, ALL, &token_for_all());
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (404, "presence-off")
    );
    let mut everything =
        hub.subscribe_by(Request::get(&format!("{HUB_PATH}?match=*")).bearer(&token_for_all()));
    drop(hub.subscribe("match=a"));
    hub.publish_as(&token_for_all(), &[("topic", "t"), ("data", "first")]);
    assert_eq!(everything.event().data, "first");
}

#[test]
fn a_developers_hub_has_it_unless_told_otherwise() {
    let hub = TestHub::dev();
    let asked = Request::get(&format!("{HUB_PATH}?{WATCHED}")).bearer(&hub.subscriber_token());
    assert_eq!(hub.subscribe_by(asked).event().event_type, "mercure");
    let hub = TestHub::dev_with(&["--no-presence"]);
    assert_eq!(get(&hub, ALL, &hub.subscriber_token()).status, 404);
}

/// Returns the next event that ends a subscription.
fn next_ended(watcher: &mut EventStream) -> Event {
    loop {
        let event = watcher.event();
        if document(&event)["active"] == false {
            return event;
        }
    }
}

fn hub(presence: &str) -> TestHub {
    hub_with(presence, "")
}

fn hub_with(presence: &str, more: &str) -> TestHub {
    TestHub::serve(&settings(&format!(
        "{more}[subscribe]\nanonymous = true\n\
         [cors]\norigins = [\"https://app.example.com\"]\n\
         [presence]\nenabled = true\n{presence}"
    )))
}

/// Follows all presence events, from `cursor` on if there is one.
fn watch(hub: &TestHub, cursor: &str) -> EventStream {
    let asked = Request::get(&format!("{HUB_PATH}?{WATCHED}")).bearer(&token_for_all());
    if cursor.is_empty() {
        hub.subscribe_by(asked)
    } else {
        hub.subscribe_by(asked.header("Last-Event-ID", cursor))
    }
}

fn document(event: &Event) -> Value {
    serde_json::from_str(&event.data).unwrap()
}

fn get(hub: &TestHub, target: &str, token: &str) -> Answer {
    hub.request(Request::get(target).bearer(token))
}

/// Returns the documents of a collection: of all, with this query.
fn collection(hub: &TestHub, query: &str) -> Vec<Value> {
    let answer = get(hub, &format!("{ALL}{query}"), &token_for_all());
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["subscriptions"].as_array().unwrap().clone()
}
