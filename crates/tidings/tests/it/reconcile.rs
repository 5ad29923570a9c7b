//! Cursors: the hub's answer, and the updates after it, for every kind of history.

use serde_json::json;

use crate::harness::served::served_token;
use crate::harness::{Connection, EventStream, HUB_PATH, Request, TestHub, wait_until};

const ANONYMOUS: &str = "[subscribe]\nanonymous = true\n";

#[test]
fn every_event_has_an_id_live_and_replayed() {
    let hub = TestHub::dev();
    let mut live = hub.subscribe("match=urn:a");
    let ids = [
        hub.published(&[("topic", "urn:a")]),
        hub.published(&[("topic", "urn:a"), ("id", "urn:mine")]),
        hub.published(&[("topic", "urn:a"), ("id", "")]),
    ];
    let mut replayed = hub.subscribe("match=urn:a&last_event_id=earliest");
    for id in &ids {
        assert!(!id.is_empty());
        assert_eq!(&live.event().last_event_id, id);
        assert_eq!(&replayed.event().last_event_id, id);
    }
}

#[test]
fn a_known_cursor_is_sent_back_and_what_follows_it_comes() {
    for hub in [TestHub::dev(), TestHub::dev_with(&["--memory"])] {
        let ids = publish_numbers(&hub, &hub.publisher_token(), 20);
        for (number, id) in ids.iter().enumerate() {
            let mut stream = resume(&hub, id);
            assert_eq!(answer(&stream), id);
            check_numbers(&mut stream, number + 1..20);
        }
        // The field comes first, and its presence is enough.
        let request = Request::get(&format!("{HUB_PATH}?match=urn:a&last_event_id={}", ids[3]));
        let mut stream = hub.subscribe_by(request.header("Last-Event-ID", &ids[17]));
        assert_eq!(answer(&stream), ids[17]);
        check_numbers(&mut stream, 18..20);
    }
}

#[test]
fn the_cursor_of_an_update_that_the_subscriber_does_not_match_or_may_not_see_is_known() {
    let hub = TestHub::dev();
    let foreign = hub.published(&[("topic", "urn:b")]);
    let private = hub.published(&[("topic", "urn:a"), ("private", "")]);
    hub.published(&[("topic", "urn:a"), ("data", "0")]);
    for cursor in [foreign, private] {
        let mut stream = resume(&hub, &cursor);
        assert_eq!(answer(&stream), cursor);
        check_numbers(&mut stream, 0..1);
    }
}

#[test]
fn an_unknown_cursor_is_answered_earliest_and_everything_kept_comes() {
    for hub in [TestHub::dev(), TestHub::dev_with(&["--memory"])] {
        let ids = publish_numbers(&hub, &hub.publisher_token(), 20);
        let other_hub = TestHub::dev_with(&["--memory"]);
        let of_another = other_hub.published(&[("topic", "urn:a")]);
        let unknown = [
            "urn:never".to_owned(),
            "Earliest".to_owned(),
            "#7".to_owned(),
            of_another,
            changed(&ids[7]),
            ids[7].replace("urn:uuid:", ""),
            "x".repeat(10_000),
        ];
        for cursor in unknown {
            let mut stream = resume(&hub, &cursor);
            assert_eq!(answer(&stream), "earliest", "{cursor}");
            check_numbers(&mut stream, 0..20);
        }
        for bytes in ["%FF", "%00", "%0D%0AX-Injected:+1"] {
            let answer = hub.request(Request::new(
                "HEAD",
                &format!("{HUB_PATH}?match=urn:a&last_event_id={bytes}"),
            ));
            assert_eq!(answer.header("x-injected"), None);
            assert!(
                answer.status == 400 || answer.header("mercure-last-event-id") == Some("earliest")
            );
        }
    }
}

#[test]
fn an_empty_cursor_and_earliest_mean_everything_kept() {
    let hub = TestHub::dev();
    publish_numbers(&hub, &hub.publisher_token(), 5);
    for query in ["last_event_id=earliest", "last_event_id=", "last_event_id"] {
        let mut stream = hub.subscribe(&format!("match=urn:a&{query}"));
        assert_eq!(answer(&stream), "earliest", "{query}");
        check_numbers(&mut stream, 0..5);
    }
    // The field counts although it is empty, also where the query has a cursor that is known.
    let last = hub.published(&[("topic", "urn:b"), ("data", "last")]);
    for cursor in ["urn:x", &last] {
        let target = format!("{HUB_PATH}?match=urn:a&last_event_id={cursor}");
        let mut stream = hub.subscribe_by(Request::get(&target).header("Last-Event-ID", ""));
        assert_eq!(answer(&stream), "earliest");
        check_numbers(&mut stream, 0..5);
    }
}

#[test]
fn without_a_cursor_only_what_is_new_comes_and_the_answer_tells_where_that_begins() {
    let hub = TestHub::dev();
    let empty = hub.subscribe("match=urn:a");
    assert_eq!(answer(&empty), "earliest");
    hub.published(&[("topic", "urn:b"), ("data", "before"), ("id", "urn:mine")]);
    hub.published(&[("topic", "urn:a"), ("data", "before")]);
    let mut stream = hub.subscribe("match=urn:a");
    let standing = answer(&stream).to_owned();
    hub.published(&[("topic", "urn:a"), ("data", "after")]);
    assert_eq!(stream.event().data, "after");
    // One that got nothing before it was cut off resumes all the same.
    let asked = format!("match=urn:a&last_event_id={standing}");
    let mut resumed = hub.subscribe(&asked);
    assert_eq!(answer(&resumed), standing);
    check_after(&mut resumed);
}

/// What was acknowledged just before a subscriber came may come again when it resumes.
fn check_after(resumed: &mut EventStream) {
    let first = resumed.event().data;
    if first == "before" {
        assert_eq!(resumed.event().data, "after");
    } else {
        assert_eq!(first, "after");
    }
}

#[test]
fn the_answer_is_a_cursor_even_where_a_publisher_chose_the_last_id() {
    let hub = TestHub::dev();
    hub.published(&[("topic", "urn:a"), ("data", "before"), ("id", "urn:mine")]);
    let standing = answer(&hub.subscribe("match=urn:a")).to_owned();
    hub.published(&[("topic", "urn:a"), ("data", "after")]);
    let mut resumed = hub.subscribe(&format!("match=urn:a&last_event_id={standing}"));
    assert_eq!(answer(&resumed), standing);
    check_after(&mut resumed);
}

#[test]
fn in_an_empty_history_every_cursor_is_answered_earliest() {
    let hub = TestHub::dev();
    let mut streams: Vec<EventStream> = ["earliest", "", "urn:x"]
        .iter()
        .map(|cursor| resume(&hub, cursor))
        .collect();
    hub.published(&[("topic", "urn:a"), ("data", "0")]);
    for stream in &mut streams {
        assert_eq!(answer(stream), "earliest");
        assert_eq!(stream.event().data, "0");
    }
}

#[test]
fn an_id_of_a_publisher_is_a_cursor_by_every_road_or_is_refused() {
    let hub = TestHub::dev();
    for id in [" a", "a ", " ", "  a  "] {
        let answer = hub.publish(&[("topic", "urn:a"), ("id", id)]);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "id-invalid"),
            "{id:?}"
        );
        let mut peer = hub.websocket("");
        peer.answered(json!({"authenticate": {"token": hub.publisher_token()}}));
        let answer = peer.answered(json!({"publish": {"topic": "urn:a", "id": id}}));
        assert!(answer["error"].is_object(), "{answer}");
    }
    for (number, id) in [
        "a b",
        "\"a\"",
        "a:b",
        "é",
        "\u{a0}a\u{a0}",
        "日本",
        "%20a",
        "a,b;c",
    ]
    .into_iter()
    .enumerate()
    {
        let topic = format!("urn:odd:{number}");
        hub.published(&[("topic", &topic), ("id", id)]);
        hub.published(&[("topic", &topic), ("data", "next")]);
        let mut query = format!("match={topic}");
        // What the stream says, the header says back.
        let mut first = hub.subscribe(&format!("{query}&last_event_id=earliest"));
        assert_eq!(first.event().last_event_id, id);
        let asked = Request::get(&format!("{HUB_PATH}?{query}")).header("Last-Event-ID", id);
        assert_eq!(hub.subscribe_by(asked).event().data, "next", "{id}");
        tidings_wire::form::append_pair(&mut query, "last_event_id", id);
        assert_eq!(hub.subscribe(&query).event().data, "next", "{id}");
        assert_eq!(hub.websocket(&query).data(), "next", "{id}");
    }
    // fetch() writes characters up to U+00FF as one byte each.
    let mut connection = Connection::open(hub.address);
    let head = format!(
        "GET {HUB_PATH}?match=urn:odd:3 HTTP/1.1\r\nHost: localhost:{}\r\n",
        hub.address.port()
    );
    let fields = b"Last-Event-ID: \xe9\r\nPrefer: wait=0\r\n\r\n";
    connection.send(&[head.as_bytes(), fields].concat());
    let answer = connection.read_answer(false).json();
    assert_eq!(
        answer["updates"].as_array().map(Vec::len),
        Some(1),
        "{answer}"
    );
}

#[test]
fn an_id_used_twice_stands_for_the_earliest() {
    for hub in [TestHub::dev(), TestHub::dev_with(&["--memory"])] {
        for (number, id) in ["urn:1", "urn:twice", "urn:2", "urn:twice", "urn:3"]
            .iter()
            .enumerate()
        {
            hub.published(&[
                ("topic", "urn:a"),
                ("id", id),
                ("data", &number.to_string()),
            ]);
        }
        let mut stream = resume(&hub, "urn:twice");
        assert_eq!(answer(&stream), "urn:twice");
        let events: Vec<(String, String)> = (0..3)
            .map(|_| stream.event())
            .map(|event| (event.last_event_id, event.data))
            .collect();
        let wanted = [("urn:2", "2"), ("urn:twice", "3"), ("urn:3", "4")];
        assert!(
            events
                .iter()
                .map(|(id, data)| (id.as_str(), data.as_str()))
                .eq(wanted)
        );
    }
}

#[test]
fn an_id_of_the_hub_that_a_publisher_took_stands_for_the_earliest() {
    let hub = TestHub::dev();
    let id = hub.published(&[("topic", "urn:a"), ("data", "x")]);
    for number in 0..2 {
        hub.published(&[
            ("topic", "urn:a"),
            ("id", &id),
            ("data", &number.to_string()),
        ]);
    }
    check_numbers(&mut resume(&hub, &id), 0..2);
}

#[test]
fn an_expired_cursor_is_answered_earliest_and_what_is_kept_comes() {
    let keeps_ten = "ring_bytes = 0\nretain_updates = 10\n";
    for kind in ["file", "memory"] {
        let settings = format!("{ANONYMOUS}[history]\nkind = \"{kind}\"\n{keeps_ten}");
        let hub = TestHub::served(&settings);
        let token = served_token(&["--publish", "*"]);
        let own = hub.publish_as(
            &token,
            &[("topic", "urn:a"), ("id", "urn:own"), ("data", "x")],
        );
        assert_eq!(own.status, 200);
        let ids = publish_numbers(&hub, &token, 30);
        // Retention works in the background. Ten updates are kept: those after number 19.
        wait_until("retention", || {
            (head(&hub, &ids[18]) == "earliest").then_some(())
        });
        for cursor in ["urn:own", &ids[0], &ids[10], &ids[18]] {
            let mut stream = resume(&hub, cursor);
            assert_eq!(answer(&stream), "earliest", "{kind} {cursor}");
            check_numbers(&mut stream, 20..30);
        }
        // Nothing is missing after the last one that is gone.
        for (number, id) in ids.iter().enumerate().skip(19) {
            let mut stream = resume(&hub, id);
            assert_eq!(answer(&stream), id, "{kind} {number}");
            check_numbers(&mut stream, number + 1..30);
        }
    }
}

#[test]
fn a_history_in_memory_ends_with_the_hub_and_the_old_cursors_with_it() {
    let mut hub = TestHub::dev_with(&["--memory"]);
    let ids = publish_numbers(&hub, &hub.publisher_token(), 5);
    assert!(hub.stop());
    hub.restart();
    let mut stream = resume(&hub, &ids[2]);
    assert_eq!(answer(&stream), "earliest");
    publish_numbers(&hub, &hub.publisher_token(), 3);
    check_numbers(&mut stream, 0..3);
    // Positions begin anew, ids do not: an old one never stands for a new update.
    for id in &ids {
        assert_eq!(head(&hub, id), "earliest");
    }
}

#[test]
fn a_history_in_a_file_outlives_the_hub() {
    let mut hub = TestHub::dev();
    let ids = publish_numbers(&hub, &hub.publisher_token(), 5);
    hub.kill();
    hub.restart();
    let mut stream = resume(&hub, &ids[1]);
    assert_eq!(answer(&stream), ids[1]);
    check_numbers(&mut stream, 2..5);
}

#[test]
fn without_a_history_nothing_comes_again() {
    let hub = TestHub::served(&format!("{ANONYMOUS}[history]\nkind = \"none\"\n"));
    let token = served_token(&["--publish", "*"]);
    let mut live = hub.subscribe("match=urn:a");
    let ids = publish_numbers(&hub, &token, 5);
    assert_eq!(live.data(5), ["0", "1", "2", "3", "4"]);
    let mut streams: Vec<EventStream> = ["earliest", &ids[0], &ids[4], "urn:x", ""]
        .iter()
        .map(|cursor| resume(&hub, cursor))
        .collect();
    let answer_to = hub.publish_as(&token, &[("topic", "urn:a"), ("data", "new")]);
    assert_eq!(answer_to.status, 200);
    for stream in &mut streams {
        assert_eq!(answer(stream), "earliest");
        assert_eq!(stream.event().data, "new");
    }
    assert_eq!(live.event().data, "new");
}

/// Publishes 0, 1, 2 … and returns the ids.
fn publish_numbers(hub: &TestHub, token: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| {
            let answer =
                hub.publish_as(token, &[("topic", "urn:a"), ("data", &number.to_string())]);
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.text()
        })
        .collect()
}

/// Subscribes with a cursor in the query.
#[track_caller]
fn resume(hub: &TestHub, cursor: &str) -> EventStream {
    let mut query = "match=urn:a&".to_owned();
    let mut pair = String::new();
    tidings_wire::form::append_pair(&mut pair, "last_event_id", cursor);
    query.push_str(&pair);
    hub.subscribe(&query)
}

/// Returns what a cursor is answered, without a stream.
fn head(hub: &TestHub, cursor: &str) -> String {
    let request = Request::new("HEAD", &format!("{HUB_PATH}?match=urn:a"));
    let answer = hub.request(request.header("Last-Event-ID", cursor));
    answer
        .header("mercure-last-event-id")
        .expect("an answer")
        .to_owned()
}

fn answer(stream: &EventStream) -> &str {
    stream
        .head
        .header("mercure-last-event-id")
        .expect("an answer to the cursor")
}

/// Checks that exactly these numbers come next.
#[track_caller]
fn check_numbers(stream: &mut EventStream, numbers: std::ops::Range<usize>) {
    let wanted: Vec<String> = numbers.map(|number| number.to_string()).collect();
    assert_eq!(stream.data(wanted.len()), wanted);
}

/// Returns an id that differs in its last digit.
fn changed(id: &str) -> String {
    let last = if id.ends_with('0') { '1' } else { '0' };
    let mut changed = id.to_owned();
    changed.pop();
    changed.push(last);
    changed
}
