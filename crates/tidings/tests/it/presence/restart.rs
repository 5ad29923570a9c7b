//! Who comes back after a restart, with a grace period: nobody is told, as if there had been none.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::*;

/// Long enough that nobody is ended in a test.
const LONG: &str = "grace_secs = 3600\n";

#[test]
fn who_comes_back_in_time_after_a_restart_is_not_noticed() {
    for way in [Way::Kill, Way::Term] {
        let mut hub = start(LONG, 0);
        let mut watcher = watch(&hub, "");
        watcher.event();
        let ada = subscribe(
            &hub,
            "ada",
            "match=a&match_urlpattern=https://example.com/:id",
        );
        let bob = subscribe(&hub, "bob", "match=b");
        let anonymous = hub.subscribe("match=anonymous");
        let cursor = (0..4).map(|_| watcher.event()).last().unwrap();
        let before = listed(&hub);
        way.restart(&mut hub);
        drop((watcher, ada, bob, anonymous));
        // Subscribers that are not back yet are still present, in the list and in single requests.
        let without = |live: &BTreeMap<String, Value>, gone: &str| {
            let mut live = live.clone();
            live.retain(|pattern, _| pattern != gone);
            live
        };
        wait_until("who cannot come back is gone", || {
            (listed(&hub) == without(&before, "anonymous")).then_some(())
        });
        let mut watcher = watch(&hub, &cursor.last_event_id);
        let query = "match=a&match_urlpattern=https://example.com/:id";
        let _ada = subscribe(&hub, "ada", query);
        // Another one on the same topic is somebody else.
        let _eve = subscribe(&hub, "eve", "match=b");
        let said: Vec<_> = (0..2).map(|_| short(&watcher.event())).collect();
        let expected = [("anonymous", false), ("b", true)];
        assert_eq!(said, expected.map(|(name, active)| (name.into(), active)));
        assert_eq!(
            without(&listed(&hub), "b"),
            without(&without(&before, "anonymous"), "b")
        );
        assert_eq!(collection(&hub, "?topic=b").len(), 2);
    }
}

#[test]
fn who_does_not_come_back_is_ended_once_after_the_grace_period() {
    let mut hub = start("grace_secs = 1\n", 0);
    let _ada = subscribe(&hub, "ada", "match=a&match=b");
    told(&hub, 2);
    hub.kill();
    let begun = Instant::now();
    hub.restart();
    let mut watcher = watch(&hub, "earliest");
    let ended = [(); 2].map(|()| short(&next_ended(&mut watcher)).0);
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        ended.contains(&"a".to_owned()) && ended.contains(&"b".to_owned()),
        "{ended:?}"
    );
    // And never again.
    drop(watcher);
    wait_until("nobody is left", || listed(&hub).is_empty().then_some(()));
    hub.kill();
    hub.restart();
    let mut watcher = watch(&hub, "earliest");
    let last = hub.publish_as(&token_for_all(), &[("topic", "t"), ("data", "last")]);
    assert_eq!(last.status, 200);
    let mut all = hub.subscribe_by(
        Request::get(&format!(
            "{HUB_PATH}?match=t&{WATCHED}&last_event_id=earliest"
        ))
        .bearer(&token_for_all()),
    );
    let mut ends = Vec::new();
    loop {
        let event = all.event();
        if event.data == "last" {
            break;
        }
        if let (name, false) = short(&event)
            && name.len() == 1
        {
            ends.push(name);
        }
    }
    ends.sort();
    assert_eq!(ends, ["a", "b"]);
    assert_eq!(short(&watcher.event()), ("a".into(), true));
}

#[test]
fn the_grace_period_does_not_run_while_the_hub_stops() {
    let mut hub = start("grace_secs = 1\n", 3);
    let streams: Vec<_> = (0..8)
        .map(|number| subscribe(&hub, &format!("sub {number}"), &format!("match={number}")))
        .collect();
    told(&hub, 8);
    let before = listed(&hub);
    hub.terminate();
    for mut stream in streams {
        assert_eq!(stream.next_event(), None);
    }
    assert!(hub.wait_for_exit().success());
    set_grace(&hub, LONG);
    hub.restart();
    assert_eq!(listed(&hub), before);
    let mut watcher = watch(&hub, "earliest");
    let said: Vec<_> = (0..9).map(|_| short(&watcher.event()).1).collect();
    assert_eq!(said, [true; 9]);
}

#[test]
fn who_comes_back_with_less_or_another_payload_is_told_of_for_that_only() {
    let mut hub = start(LONG, 0);
    let paid = |name: &str| {
        let detail = json!({
            "type": DETAIL_TYPE, "actions": ["subscribe"], "topics": [{"match": "*"}],
            "payload": {"name": name, "n": 1.10}
        });
        let asked = with("authorization_details", json!([detail]));
        token(&asked)
    };
    let come = |hub: &TestHub, token: &str, query: &str| {
        hub.subscribe_by(Request::get(&format!("{HUB_PATH}?{query}")).bearer(token))
    };
    let _first = come(&hub, &paid("Ada"), "match=a&match=b");
    told(&hub, 2);
    let before = listed(&hub);
    hub.kill();
    hub.restart();
    let mut watcher = watch(&hub, "");
    let own = short(&watcher.event());
    assert!(own.1);
    let same = come(&hub, &paid("Ada"), "match=a&match=b");
    let _other = come(&hub, &token_for_all(), "match=z");
    assert_eq!(short(&watcher.event()), ("z".into(), true));
    drop(same);
    let _less = come(&hub, &paid("Lovelace"), "match=a");
    let (first, second) = (document(&watcher.event()), document(&watcher.event()));
    let (changed, gone) = match first["match"] == "a" {
        true => (first, second),
        false => (second, first),
    };
    assert_eq!(changed["subscriber"], before["a"]["subscriber"]);
    assert_eq!(changed["payload"]["name"], "Lovelace");
    assert_eq!(
        (&gone["match"], &gone["active"]),
        (&json!("b"), &json!(false))
    );
}

#[test]
fn without_a_grace_period_or_presence_all_that_was_left_is_ended_at_the_next_start() {
    for change in ["grace_secs = 0\n", "enabled = false\n"] {
        let mut hub = start(LONG, 0);
        let _ada = subscribe(&hub, "ada", "match=a");
        told(&hub, 1);
        assert!(hub.stop());
        set_grace(&hub, change);
        hub.restart();
        let mut watcher = watch(&hub, "earliest");
        assert_eq!(short(&next_ended(&mut watcher)), ("a".into(), false));
    }
}

#[test]
fn the_history_does_not_say_who_holds_a_subscription() {
    let mut hub = start(LONG, 0);
    let _ada = subscribe(&hub, "ada-lovelace@example.com", "match=a");
    told(&hub, 1);
    hub.kill();
    for entry in std::fs::read_dir(hub.data()).unwrap() {
        let path = entry.unwrap().path();
        if let Ok(bytes) = std::fs::read(&path) {
            let found = bytes.windows(12).any(|window| window == b"ada-lovelace");
            assert!(!found, "{}", path.display());
        }
    }
}

/// How a hub ends.
#[derive(Clone, Copy)]
enum Way {
    Kill,
    Term,
}

impl Way {
    fn restart(self, hub: &mut TestHub) {
        match self {
            Self::Kill => hub.kill(),
            Self::Term => assert!(hub.stop()),
        }
        hub.restart();
    }
}

fn start(presence: &str, drain_secs: u32) -> TestHub {
    let admin = "[admin]\naddress = \"127.0.0.1:0\"";
    hub_with(
        presence,
        &format!("{admin}\n[server]\ndrain_secs = {drain_secs}\n"),
    )
}

/// Waits until so many presence events are stored since the start.
fn told(hub: &TestHub, count: u32) {
    hub.wait_for_metric("tidings_presence_events_total", |events| {
        events >= f64::from(count)
    });
}

fn subscribe(hub: &TestHub, name: &str, query: &str) -> EventStream {
    let token = token(&with("sub", name));
    hub.subscribe_by(Request::get(&format!("{HUB_PATH}?{query}")).bearer(&token))
}

/// Returns the live subscriptions by their matchers.
fn listed(hub: &TestHub) -> BTreeMap<String, Value> {
    let all = collection(hub, "").into_iter();
    all.map(|live| (live["match"].as_str().unwrap().to_owned(), live))
        .collect()
}

fn short(event: &Event) -> (String, bool) {
    let document = document(event);
    let pattern = document["match"].as_str().unwrap().to_owned();
    (pattern, document["active"] == true)
}

/// Replaces the long grace period.
fn set_grace(hub: &TestHub, by: &str) {
    let path = hub.folder().join("tidings.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = match by.starts_with("enabled") {
        true => text.replace("enabled = true\n", by),
        false => text.replace(LONG, by).replace("grace_secs = 1\n", by),
    };
    std::fs::write(&path, text).unwrap();
}
