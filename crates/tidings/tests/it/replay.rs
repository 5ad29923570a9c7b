//! Replay and the live updates after it: each update once and in order, however old the cursor and however
//! busy the hub; private updates only with a grant.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Instant;

use fastrand::Rng;

use crate::harness::served::served_token;
use crate::harness::{Connection, DEADLINE, EventStream, HUB_PATH, Request, TestHub};

const ANONYMOUS: &str = "[subscribe]\nanonymous = true\n";
/// Subscribers of the tests with a busy publisher.
const FOLLOWERS: u64 = 6;
/// Updates that each of them follows.
const UPDATES: usize = 1000;

/// What the subscribers of private updates are granted, what they ask for, and what they get.
const READERS: [(&str, &str, &[&str]); 12] = [
    ("", "match=*", &["public a", "end"]),
    (
        r#"{"publish":[{"match":"*"}]}"#,
        "match=*",
        &["public a", "end"],
    ),
    (
        r#"{"subscribe":[{"match":"urn:other"}]}"#,
        "match=*",
        &["public a", "end"],
    ),
    (
        r#"{"subscribe":[{"match":"*"}]}"#,
        "match=*",
        &["a", "b", "c a", "public a", "c", "end"],
    ),
    (
        r#"{"subscribe":[{"match":"*"}]}"#,
        "match=urn:a",
        &["a", "c a", "public a", "end"],
    ),
    (
        r#"{"subscribe":[{"match":"urn:a"}]}"#,
        "match=*",
        &["a", "c a", "public a", "end"],
    ),
    (
        r#"{"subscribe":[{"match":"urn:a"}]}"#,
        "match=urn:a",
        &["a", "c a", "public a", "end"],
    ),
    // Matched by one topic, granted by another.
    (
        r#"{"subscribe":[{"match":"urn:a"}]}"#,
        "match=urn:c",
        &["c a", "public a", "end"],
    ),
    (
        r#"{"subscribe":[{"match":"urn:c"}]}"#,
        "match=urn:a",
        &["c a", "public a", "end"],
    ),
    (
        r#"{"subscribe":[{"match":"urn:b"}]}"#,
        "match_urlpattern=urn:*",
        &["b", "public a", "end"],
    ),
    (
        r#"{"subscribe":[{"match":"urn:(a|b)","match_type":"urlpattern"}]}"#,
        "match_urlpattern=urn:*",
        &["a", "b", "c a", "public a", "end"],
    ),
    (
        r#"{"subscribe":[{"match":"urn:b"}],"publish":[{"match":"urn:a"}]}"#,
        "match=urn:a&match=urn:b",
        &["b", "public a", "end"],
    ),
];

#[test]
fn replay_then_live_is_everything_once_from_a_file() {
    check_followers("[history]\nkind = \"file\"\n");
}

#[test]
fn replay_then_live_is_everything_once_from_pages_alone() {
    check_followers("[history]\nkind = \"file\"\nring_bytes = 0\n");
}

#[test]
fn replay_then_live_is_everything_once_from_memory() {
    check_followers("[history]\nkind = \"memory\"\nring_bytes = 2000\n");
}

#[test]
fn replay_has_no_cap_and_survives_a_restart() {
    const PUBLISHERS: usize = 8;
    const EACH: usize = 1300;
    let mut hub = TestHub::dev();
    let token = hub.publisher_token();
    thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let (hub, token) = (&hub, &token);
            scope.spawn(move || {
                let mut connection = Connection::open(hub.address);
                for number in 0..EACH {
                    publish(
                        &mut connection,
                        token,
                        "urn:a",
                        &format!("{publisher} {number}"),
                    );
                }
            });
        }
    });
    assert!(hub.stop());
    hub.restart();
    let all = read(
        &mut hub.subscribe("match=urn:a&last_event_id=earliest"),
        PUBLISHERS * EACH,
    );
    for publisher in 0..PUBLISHERS {
        let prefix = format!("{publisher} ");
        let own = all
            .iter()
            .filter(|(_, data)| data.starts_with(&prefix))
            .map(|(_, data)| data);
        assert!(
            own.eq(&(0..EACH)
                .map(|number| format!("{prefix}{number}"))
                .collect::<Vec<_>>())
        );
    }
    let last = all.len() - 1;
    let random = Rng::with_seed(7).usize(0..last);
    for index in [
        0,
        last - 10_001,
        random,
        last - 1001,
        last - 1000,
        last - 1,
        last,
    ] {
        let (id, _) = &all[index];
        let mut stream = hub.subscribe(&format!("match=urn:a&last_event_id={id}"));
        assert_eq!(
            stream.head.header("mercure-last-event-id"),
            Some(id.as_str())
        );
        assert!(
            read(&mut stream, last - index) == all[index + 1..],
            "after number {index}"
        );
    }
    // The streams go on.
    let mut streams: Vec<EventStream> = [0, last]
        .map(|index| hub.subscribe(&format!("match=urn:a&last_event_id={}", all[index].0)))
        .into();
    let live = hub.published(&[("topic", "urn:a"), ("data", "live")]);
    read(&mut streams[0], last);
    for stream in &mut streams {
        assert_eq!(stream.event().last_event_id, live);
    }
}

#[test]
fn earliest_works_while_retention_removes_the_earliest() {
    const ROUNDS: usize = 60;
    let hub = TestHub::served(&format!(
        "{ANONYMOUS}[history]\nkind = \"memory\"\nring_bytes = 0\nretain_updates = 40\n"
    ));
    let token = served_token(&["--publish", "*"]);
    let feed = Feed::default();
    thread::scope(|scope| {
        scope.spawn(|| feed.publish_numbers(&hub, &token));
        let _stop = StopOnDrop(&feed);
        feed.wait_for(100);
        for round in 0..ROUNDS {
            let mut stream = hub.subscribe("match=urn:a&last_event_id=earliest");
            let numbers: Vec<usize> = (0..60)
                .map(|_| {
                    stream
                        .next_event()
                        .unwrap_or_else(|| panic!("round {round} ended early"))
                })
                .map(|event| event.data.parse().expect("a number"))
                .collect();
            assert!(
                numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
                "{numbers:?}"
            );
        }
    });
}

#[test]
fn private_updates_reach_only_those_with_a_grant() {
    // Presence events are private updates, too: a reader of everything would receive them.
    let mut hub = TestHub::dev_with(&["--no-presence"]);
    let request = |hub: &TestHub, wish: &str, query: &str| {
        let request = Request::get(&format!("{HUB_PATH}?{query}&match=urn:end"));
        if wish.is_empty() {
            request
        } else {
            request.bearer(&hub.make_token(wish))
        }
    };
    let mut live: Vec<EventStream> = READERS
        .iter()
        .map(|(wish, query, _)| hub.subscribe_by(request(&hub, wish, query)))
        .collect();
    for topics in [&["urn:a"][..], &["urn:b"], &["urn:c", "urn:a"]] {
        publish_private(&hub, topics);
    }
    hub.published(&[("topic", "urn:c"), ("topic", "urn:a"), ("data", "public a")]);
    publish_private(&hub, &["urn:c"]);
    hub.published(&[("topic", "urn:end"), ("data", "end")]);
    for (stream, (wish, query, wanted)) in live.iter_mut().zip(&READERS) {
        assert_eq!(stream.data(wanted.len()), *wanted, "live {wish} {query}");
    }
    // From the ring, then from the file.
    for place in ["ring", "file"] {
        for (wish, query, wanted) in &READERS {
            let query = format!("{query}&last_event_id=earliest");
            let mut stream = hub.subscribe_by(request(&hub, wish, &query));
            assert_eq!(stream.data(wanted.len()), *wanted, "{place} {wish} {query}");
        }
        assert!(hub.stop());
        hub.restart();
    }
}

#[test]
fn replay_asks_the_token_of_now_and_not_that_of_then() {
    let hub = TestHub::dev();
    let wish = |topic: &str| format!(r#"{{"subscribe":[{{"match":"{topic}"}}]}}"#);
    let subscribe = |topic: &str, cursor: &str| {
        let request = Request::get(&format!("{HUB_PATH}?match=*&last_event_id={cursor}"));
        hub.subscribe_by(request.bearer(&hub.make_token(&wish(topic))))
    };
    let start = hub.published(&[("topic", "urn:start")]);
    let mut before = subscribe("urn:a", &start);
    publish_private(&hub, &["urn:a"]);
    let seen = before.event();
    assert_eq!(seen.data, "a");
    publish_private(&hub, &["urn:a"]);
    publish_private(&hub, &["urn:b"]);
    drop(before);
    // The same subscriber comes back with a token that no longer has urn:a.
    assert_eq!(subscribe("urn:b", &seen.last_event_id).event().data, "b");
}

fn publish_private(hub: &TestHub, topics: &[&str]) {
    let names: Vec<&str> = topics
        .iter()
        .map(|topic| topic.trim_start_matches("urn:"))
        .collect();
    let data = names.join(" ");
    let mut form: Vec<(&str, &str)> = topics.iter().map(|topic| ("topic", *topic)).collect();
    form.extend([("data", data.as_str()), ("private", "on")]);
    hub.published(&form);
}

/// Lets subscribers join, leave and come back while a publisher publishes all the time; checks that
/// each gets every update after its cursor once and in order.
#[track_caller]
fn check_followers(history: &str) {
    let hub = TestHub::served(&format!("{ANONYMOUS}{history}"));
    let token = served_token(&["--publish", "*"]);
    let feed = Feed::default();
    thread::scope(|publishers| {
        publishers.spawn(|| feed.publish_numbers(&hub, &token));
        publishers.spawn(|| feed.publish_noise(&hub, &token));
        let _stop = StopOnDrop(&feed);
        thread::scope(|followers| {
            for seed in 0..FOLLOWERS {
                let (hub, feed) = (&hub, &feed);
                followers.spawn(move || follow_with_cursors(hub, feed, Rng::with_seed(seed)));
            }
            for seed in 0..2 {
                let (hub, feed) = (&hub, &feed);
                followers.spawn(move || follow_live(hub, feed, Rng::with_seed(100 + seed)));
            }
        });
    });
}

/// Reads from random cursors, and leaves and comes back again and again.
fn follow_with_cursors(hub: &TestHub, feed: &Feed, mut random: Rng) {
    feed.wait_for(random.usize(1..UPDATES / 2));
    let mut next = random.usize(1..=feed.count());
    let end = next + UPDATES;
    while next < end {
        let cursor = feed.id(next - 1);
        let request = Request::get(&format!("{HUB_PATH}?match=urn:a&last_event_id={cursor}"));
        let request = if random.bool() {
            request.http10()
        } else {
            request
        };
        let mut stream = hub.subscribe_by(request);
        assert_eq!(
            stream.head.header("mercure-last-event-id"),
            Some(cursor.as_str())
        );
        let until = (next + random.usize(1..600)).min(end);
        while next < until {
            assert_eq!(
                stream.event().data,
                next.to_string(),
                "after cursor {cursor}"
            );
            next += 1;
        }
        // An update may be read before its publisher has the answer with the id.
        feed.wait_for(next);
    }
}

/// Joins without a cursor: what was published before is not sent, what comes later is.
fn follow_live(hub: &TestHub, feed: &Feed, mut random: Rng) {
    feed.wait_for(random.usize(1..UPDATES / 2));
    let before = feed.count();
    let mut stream = hub.subscribe("match=urn:a");
    // One more may have been on its way.
    let after = feed.count() + 1;
    let first: usize = stream.event().data.parse().expect("a number");
    assert!(
        (before..=after).contains(&first),
        "{first} is not in {before}..={after}"
    );
    for number in first + 1..first + UPDATES {
        assert_eq!(stream.event().data, number.to_string());
    }
}

/// The ids of what was published so far; number n has the data n.
#[derive(Default)]
struct Feed {
    ids: Mutex<Vec<String>>,
    more: Condvar,
    stopped: AtomicBool,
}

/// Stops the publishers also when a test fails, which would wait for them otherwise.
struct StopOnDrop<'a>(&'a Feed);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }
}

impl Feed {
    fn publish_numbers(&self, hub: &TestHub, token: &str) {
        let mut connection = Connection::open(hub.address);
        while !self.stopped.load(Ordering::Relaxed) {
            let number = self.count().to_string();
            self.push(publish(&mut connection, token, "urn:a", &number));
        }
    }

    /// Publishes what nobody asked for, so that the numbers have gaps between them.
    fn publish_noise(&self, hub: &TestHub, token: &str) {
        let mut connection = Connection::open(hub.address);
        while !self.stopped.load(Ordering::Relaxed) {
            publish(&mut connection, token, "urn:noise", "noise");
        }
    }

    fn push(&self, id: String) {
        self.ids.lock().expect("the ids").push(id);
        self.more.notify_all();
    }

    fn count(&self) -> usize {
        self.ids.lock().expect("the ids").len()
    }

    fn id(&self, number: usize) -> String {
        self.ids.lock().expect("the ids")[number].clone()
    }

    /// Waits until so many are published.
    #[track_caller]
    fn wait_for(&self, count: usize) {
        let start = Instant::now();
        let mut ids = self.ids.lock().expect("the ids");
        while ids.len() < count {
            assert!(
                start.elapsed() < DEADLINE,
                "{} of {count} were published",
                ids.len()
            );
            ids = self.more.wait_timeout(ids, DEADLINE).expect("the ids").0;
        }
    }
}

/// Publishes on a connection that stays open; returns the id.
#[track_caller]
fn publish(connection: &mut Connection, token: &str, topic: &str, data: &str) -> String {
    let form = [("topic", topic), ("data", data)];
    let answer = connection.request(&Request::post(HUB_PATH).bearer(token).form(&form));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

/// Reads id and data of so many events.
#[track_caller]
fn read(stream: &mut EventStream, count: usize) -> Vec<(String, String)> {
    (0..count)
        .map(|_| stream.event())
        .map(|event| (event.last_event_id, event.data))
        .collect()
}
