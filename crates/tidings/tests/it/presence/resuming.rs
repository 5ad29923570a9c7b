//! Watchers that come back with the cursor of an ordinary update, after presence events
//! were removed: what follows the cursor comes, nothing before it, and a gap is told only of what
//! they could have seen.

use std::time::{Duration, Instant};

use super::*;
use crate::harness::peer::Peer;

const FORUM: &str = "https://example.com/forum";
/// Connections that come and go: enough that the ten events that are kept are not theirs alone.
const CHURN: usize = 150;

#[test]
fn what_follows_the_cursor_comes_and_nothing_before_it() {
    for more in ["", "[history]\nring_bytes = 1\n"] {
        let hub = hub_with("retain_events = 10\n", more);
        let cursor = broadcasts(&hub, 25);
        churn(&hub, "elsewhere", CHURN);
        churn(&hub, FORUM, CHURN);
        removed(&hub, FORUM, &cursor);
        let after = publish(&hub, "after");

        // Its own forum's events are gone: the hub says so, and no broadcast comes twice.
        let mut stream = watch_forum(&hub, FORUM, &cursor, &token_for_all());
        assert_eq!(answered(&stream), "earliest");
        assert_eq!(broadcast(&mut stream), ("after".to_owned(), after.clone()));

        // Nothing that the watcher of a quiet forum may see is gone.
        let mut stream = watch_forum(&hub, "https://example.com/quiet", &cursor, &token_for_all());
        assert_eq!(answered(&stream), cursor);
        publish_to(&hub, "https://example.com/quiet", "quiet");
        assert_eq!(broadcast(&mut stream).0, "quiet");
    }
}

#[test]
fn a_gap_is_told_of_what_the_grants_let_see() {
    let hub = hub_with("retain_events = 10\n", "");
    let cursor = broadcasts(&hub, 3);
    churn(&hub, "elsewhere", CHURN);
    removed(&hub, "elsewhere", &cursor);
    let may_see = |matched: &str| {
        let pattern = format!("{ALL}/:match_type/{}{{/:subscriber}}?", encoded(matched));
        token_with(json!([{
            "type": DETAIL_TYPE, "actions": ["subscribe"],
            "topics": [{"match": FORUM}, {"match": pattern, "match_type": "urlpattern"}]
        }]))
    };
    let everything = format!("match={FORUM}&{WATCHED}");
    let ask = |token: &str| {
        let asked = Request::get(&format!("{HUB_PATH}?{everything}")).bearer(token);
        hub.subscribe_by(asked.header("Last-Event-ID", &cursor))
    };
    assert_eq!(answered(&ask(&may_see(FORUM))), cursor);
    assert_eq!(answered(&ask(&may_see("elsewhere"))), "earliest");
    // A subscriber that watches one subscriber of a forum learns that events of the forum are gone.
    let one = encoded(&format!("{ALL}/exact/elsewhere/urn%3Auuid%3A1"));
    let one = format!("match={one}");
    let asked = Request::get(&format!("{HUB_PATH}?{one}")).bearer(&token_for_all());
    let stream = hub.subscribe_by(asked.header("Last-Event-ID", &cursor));
    assert_eq!(answered(&stream), "earliest");
}

#[test]
fn what_is_gone_is_known_after_a_restart_too() {
    let mut hub = hub_with("retain_events = 10\n", "");
    let cursor = broadcasts(&hub, 3);
    churn(&hub, "elsewhere", CHURN);
    removed(&hub, "elsewhere", &cursor);
    hub.kill();
    hub.restart();
    let stream = watch_forum(&hub, "https://example.com/quiet", &cursor, &token_for_all());
    assert_eq!(answered(&stream), cursor);
    let stream = watch_forum(&hub, "elsewhere", &cursor, &token_for_all());
    assert_eq!(answered(&stream), "earliest");
}

#[test]
fn a_poll_gets_what_follows_its_cursor() {
    let hub = hub_with("retain_events = 10\n", "");
    let cursor = broadcasts(&hub, 25);
    churn(&hub, FORUM, CHURN);
    removed(&hub, FORUM, &cursor);
    let poll = |cursor: &str| {
        let query = forum_query(FORUM);
        let asked = Request::get(&format!("{HUB_PATH}?{query}")).bearer(&token_for_all());
        let asked = asked.header("Prefer", "wait=0");
        let answer = hub.request(asked.header("Last-Event-ID", cursor));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    };
    let first = poll(&cursor);
    assert_eq!(first.header("mercure-last-event-id"), Some("earliest"));
    let first = first.json();
    let updates = first["updates"].as_array().unwrap();
    assert!(
        updates.iter().all(|update| update["type"] == "mercure"),
        "{first}"
    );
    // It was told, and is not told again. Events about those who waited for the gap may come first.
    publish(&hub, "after");
    let mut cursor = first["last_event_id"].as_str().unwrap().to_owned();
    let after = loop {
        let answer = poll(&cursor);
        assert_eq!(
            answer.header("mercure-last-event-id"),
            Some(cursor.as_str())
        );
        let answer = answer.json();
        let mut updates = answer["updates"].as_array().unwrap().iter();
        if let Some(update) = updates.find(|update| update["type"] != "mercure") {
            break update["data"].clone();
        }
        cursor = answer["last_event_id"].as_str().unwrap().to_owned();
    };
    assert_eq!(after, "after");
}

#[test]
fn a_websocket_gets_what_follows_its_cursor() {
    let hub = hub_with("retain_events = 10\n", "[history]\nring_bytes = 1\n");
    let cursor = broadcasts(&hub, 25);
    churn(&hub, FORUM, CHURN);
    removed(&hub, FORUM, &cursor);
    publish(&hub, "after");
    let query = format!("{}&last_event_id={}", forum_query(FORUM), encoded(&cursor));
    let asked = handshake(&format!("{HUB_PATH}?{query}")).bearer(&token_for_all());
    let mut peer = Peer::open(hub.address, &asked);
    let open = peer.json();
    assert_eq!(open["open"]["last_event_id"], "earliest");
    assert_eq!(until_caught_up(&mut peer), ["after"]);

    // The same by a frame.
    let mut peer = hub.websocket_by(&handshake(HUB_PATH).bearer(&token_for_all()));
    let selection =
        json!({"match": FORUM, "match_urlpattern": forum_pattern(FORUM), "last_event_id": cursor});
    let ack = peer.answered(json!({"subscribe": selection}));
    assert_eq!(ack["ack"]["last_event_id"], "earliest");
    assert_eq!(until_caught_up(&mut peer), ["after"]);

    // A matcher that is added reads past events that the others have had.
    let ack = peer.answered(json!({"subscribe": {"match": "urn:other", "last_event_id": cursor}}));
    assert_eq!(ack["ack"]["last_event_id"], cursor.as_str());
    assert!(until_caught_up(&mut peer).is_empty());
    publish(&hub, "live");
    loop {
        let frame = peer.json();
        if frame["update"]["topics"][0] == FORUM {
            assert_eq!(frame["update"]["data"], "live");
            break;
        }
    }
}

#[test]
#[ignore = "slow: events grow older than a minute"]
fn events_that_age_takes_do_not_start_the_replay_anew() {
    let hub = hub_with("retain_minutes = 1\n", "");
    let cursor = broadcasts(&hub, 25);
    churn(&hub, FORUM, 20);
    let deadline = Instant::now() + Duration::from_secs(120);
    while answered(&watch_forum(&hub, FORUM, &cursor, &token_for_all())) != "earliest" {
        assert!(Instant::now() < deadline, "no event became too old");
        std::thread::park_timeout(Duration::from_millis(500));
    }
    publish(&hub, "after");
    let mut stream = watch_forum(&hub, FORUM, &cursor, &token_for_all());
    assert_eq!(broadcast(&mut stream).0, "after");
}

/// Publishes this many broadcasts to the forum and returns the last one's id.
fn broadcasts(hub: &TestHub, count: usize) -> String {
    let publish = |number| publish(hub, &format!("broadcast {number}"));
    (0..count).map(publish).fold(String::new(), |_, id| id)
}

fn publish(hub: &TestHub, data: &str) -> String {
    publish_to(hub, FORUM, data)
}

fn publish_to(hub: &TestHub, topic: &str, data: &str) -> String {
    let answer = hub.publish_as(&token_for_all(), &[("topic", topic), ("data", data)]);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text()
}

/// Lets connections with this matcher come and go, each noticed by presence.
fn churn(hub: &TestHub, matched: &str, count: usize) {
    let mut watcher = watch(hub, "");
    watcher.event();
    for _ in 0..count {
        let stream = hub.subscribe(&format!("match={matched}"));
        while document(&watcher.event())["match"] != matched {}
        drop(stream);
        while document(&watcher.event())["active"] != false {}
    }
}

/// Waits until events after the cursor about subscriptions of this matcher are gone.
fn removed(hub: &TestHub, matched: &str, cursor: &str) {
    wait_until("events are gone", || {
        let stream = watch_forum(hub, matched, cursor, &token_for_all());
        (answered(&stream) == "earliest").then_some(())
    });
}

fn answered(stream: &EventStream) -> &str {
    stream.head.header("mercure-last-event-id").unwrap()
}

/// What Laravel's Echo asks for: a forum's updates, and who is there.
fn forum_query(forum: &str) -> String {
    format!(
        "match={}&match_urlpattern={}",
        encoded(forum),
        encoded(&forum_pattern(forum))
    )
}

fn forum_pattern(forum: &str) -> String {
    format!("{ALL}/:match_type/{}/:subscriber", encoded(forum))
}

/// Percent-encodes everything but unreserved characters.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn watch_forum(hub: &TestHub, forum: &str, cursor: &str, token: &str) -> EventStream {
    let asked = Request::get(&format!("{HUB_PATH}?{}", forum_query(forum))).bearer(token);
    hub.subscribe_by(asked.header("Last-Event-ID", cursor))
}

/// Returns data and id of the next event that is not about a subscription.
fn broadcast(stream: &mut EventStream) -> (String, String) {
    loop {
        let event = stream.event();
        if event.event_type != "mercure" {
            return (event.data, event.last_event_id);
        }
    }
}

/// Returns the data of the updates, those about subscriptions left out, until all that is kept came.
fn until_caught_up(peer: &mut Peer) -> Vec<String> {
    let mut data = Vec::new();
    loop {
        let frame = peer.json();
        if !frame["caught_up"].is_null() {
            return data;
        }
        let update = &frame["update"];
        if update["type"] != "mercure" {
            data.push(
                update["data"]
                    .as_str()
                    .unwrap_or_else(|| panic!("{frame}"))
                    .to_owned(),
            );
        }
    }
}
