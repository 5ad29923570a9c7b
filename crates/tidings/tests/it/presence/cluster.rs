//! Presence over several hubs on one Redis: every hub lists the subscriptions of all, publishes the same events,
//! and answers for a hub that was killed.

use super::*;
use crate::harness::redis::Redis;

const PRESENCE: &str = "[presence]\nenabled = true\n";

#[test]
fn every_hub_lists_the_subscriptions_of_all_under_one_version() {
    let redis = Redis::start(&[]);
    let hubs = [1, 2].map(|_| TestHub::joined(&redis, PRESENCE));
    let _streams: Vec<EventStream> = ["match=a", "match=b&match=c", "topic=a"]
        .iter()
        .zip(hubs.iter().cycle())
        .map(|(query, hub)| hub.subscribe(query))
        .collect();
    let lists = both(&hubs, 4);
    assert_eq!(lists[0], lists[1], "the same documents in the same order");
    // The validator of one hub is good at the other.
    let answer = get(&hubs[0], ALL, &token_for_all());
    let known = answer.header("etag").unwrap().to_owned();
    let request = Request::get(ALL).bearer(&token_for_all());
    let again = hubs[1].request(request.header("If-None-Match", &known));
    assert_eq!(again.status, 304);
    // A page of one hub goes on at the other.
    let first = get(&hubs[0], &format!("{ALL}?limit=2"), &token_for_all()).json();
    assert_eq!(first["total"], 4);
    let next = first["next"].as_str().unwrap();
    let second = get(&hubs[1], next, &token_for_all()).json();
    let mut pages = first["subscriptions"].as_array().unwrap().clone();
    pages.extend(second["subscriptions"].as_array().unwrap().clone());
    assert_eq!(pages, lists[0]);
    // One subscription, by the address in its document.
    let one = lists[0][0]["id"].as_str().unwrap();
    for hub in &hubs {
        assert_eq!(get(hub, one, &token_for_all()).json(), lists[0][0]);
    }
}

#[test]
fn a_watcher_of_one_hub_hears_of_the_subscribers_of_another() {
    let redis = Redis::start(&[]);
    let hubs = [1, 2].map(|_| TestHub::joined(&redis, PRESENCE));
    let mut watcher = watch(&hubs[0], "");
    watcher.event();
    let subscriber = hubs[1].subscribe("match=a");
    let begun = watcher.event();
    assert_eq!(
        (&document(&begun)["match"], &document(&begun)["active"]),
        (&json!("a"), &json!(true))
    );
    drop(subscriber);
    let ended = watcher.event();
    assert_eq!(
        (&document(&ended)["match"], &document(&ended)["active"]),
        (&json!("a"), &json!(false))
    );
    // Resumed at the other hub, by the id of the first.
    let mut elsewhere = watch(&hubs[1], &begun.last_event_id);
    assert_eq!(elsewhere.event().last_event_id, ended.last_event_id);
}

#[test]
fn the_subscriptions_of_a_hub_that_was_killed_are_ended_by_another() {
    let redis = Redis::start(&[]);
    let [mut one, two, three] = [1, 2, 3].map(|_| TestHub::joined(&redis, PRESENCE));
    let mut watcher = watch(&two, "");
    watcher.event();
    let _lost = one.subscribe("match=lost");
    let _stays = three.subscribe("match=stays");
    let begun = [document(&watcher.event()), document(&watcher.event())];
    one.kill();
    let ended = document(&watcher.event());
    assert_eq!(
        (&ended["match"], &ended["active"]),
        (&json!("lost"), &json!(false))
    );
    assert!(begun.iter().any(|begun| begun["id"] == ended["id"]));
    let hubs = [two, three];
    let lists = both(&hubs, 2);
    assert!(lists[0].iter().any(|live| live["match"] == "stays"));
}

#[test]
fn a_hub_with_an_empty_disk_is_told_who_is_there() {
    let redis = Redis::start(&[]);
    let one = TestHub::joined(&redis, PRESENCE);
    let mut watcher = watch(&one, "");
    watcher.event();
    let _stream = one.subscribe("match=a");
    assert_eq!(document(&watcher.event())["match"], "a");
    // Its window does not go back to that event.
    redis.ask("XTRIM {t:tidings}:log MAXLEN 1");
    let two = TestHub::joined(&redis, PRESENCE);
    let hubs = [one, two];
    let lists = both(&hubs, 2);
    assert_eq!(lists[0], lists[1]);
    // Watchers hear nothing of what hubs tell each other.
    let _late = hubs[1].subscribe("match=late");
    assert_eq!(document(&watcher.event())["match"], "late");
}

/// Waits until both hubs list `count` subscriptions, and returns the lists.
#[track_caller]
fn both(hubs: &[TestHub; 2], count: usize) -> [Vec<Value>; 2] {
    wait_until("both hubs list them", || {
        let lists = [collection(&hubs[0], ""), collection(&hubs[1], "")];
        lists
            .iter()
            .all(|list| list.len() == count)
            .then_some(lists)
    })
}
