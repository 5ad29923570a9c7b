//! Long polling: the content of an answer, when it comes, and that a chain of requests misses nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::served::served_token;
use crate::harness::tokens::{claims, now_secs, settings, token, token_for_all, with, without};
use crate::harness::{Answer, Connection, HUB_PATH, Request, TestHub, wait_until};

fn poll(query: &str, wait: &str) -> Request {
    let preference = format!("respond-async, wait={wait}");
    Request::get(&format!("{HUB_PATH}?{query}")).header("Prefer", &preference)
}

/// Sends a poll whose answer is read later.
fn asked(hub: &TestHub, request: &Request) -> Connection {
    let mut connection = Connection::open(hub.address);
    connection.send_request(request);
    connection
}

fn body(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.json()
}

fn cursor_of(body: &Value) -> String {
    body["last_event_id"].as_str().expect("a cursor").to_owned()
}

fn data(body: &Value) -> Vec<&str> {
    let updates = body["updates"].as_array().expect("updates");
    let data = updates.iter().map(|update| update["data"].as_str());
    data.map(|data| data.expect("data")).collect()
}

#[test]
fn an_answer_comes_with_the_first_update_and_names_the_next_cursor() {
    let hub = TestHub::dev();
    // The subscriber's number in the metrics tells when it has joined.
    let mut waiting = asked(&hub, &poll("match=urn:a", "50"));
    hub.wait_for_metric("tidings_subscribers", |count| count == 1.0);
    hub.published(&[("topic", "urn:b"), ("data", "other")]);
    let id = hub.published(&[
        ("topic", "urn:a"),
        ("topic", "urn:c"),
        ("data", "a\n\"é"),
        ("type", "goal"),
    ]);
    let answer = waiting.read_answer(false);
    assert_eq!(answer.header("preference-applied"), Some("wait=50"));
    assert!(answer.header("cache-control").unwrap().contains("no-store"));
    let varies = |(name, value): &(String, String)| {
        name.eq_ignore_ascii_case("vary") && value.contains("Prefer")
    };
    assert!(answer.headers.iter().any(varies), "{:?}", answer.headers);
    let update = json!({
        "id": id, "topics": ["urn:a", "urn:c"], "type": "goal", "data": "a\n\"é"
    });
    assert_eq!(
        body(&answer),
        json!({ "updates": [update], "last_event_id": id })
    );
    hub.wait_for_metric("tidings_subscribers", |count| count == 0.0);
    let closed = "tidings_sessions_closed_total";
    assert_eq!(hub.metric_for(closed, "answered"), 1.0);
    assert_eq!(hub.metric("tidings_deliveries_total"), 1.0);
}

#[test]
fn every_form_of_the_preference_is_read() {
    let hub = TestHub::dev();
    for (preference, applied) in [
        ("wait=99999999999999999999", "wait=60"),
        ("wait=\"99999999999999999999\"", "wait=60"),
        ("wait=\"5\"", "wait=5"),
        ("wait=5;x", "wait=5"),
        ("wait=5; x=\"a,wait=9\"", "wait=5"),
        ("x=\"a, wait=9\", WAIT = 5", "wait=5"),
        ("wait=5, wait=9", "wait=5"),
    ] {
        let asked = Request::new("HEAD", &format!("{HUB_PATH}?match=urn:a"));
        let answer = hub.request(asked.header("Prefer", preference));
        assert_eq!(
            answer.header("preference-applied"),
            Some(applied),
            "{preference}"
        );
    }
    // What is no number of seconds asks for nothing: RFC 7240, 2.
    for preference in ["wait=-1", "wait=1.5", "wait=\"5", "wait=", "wait"] {
        let asked = Request::new("HEAD", &format!("{HUB_PATH}?match=urn:a"));
        let answer = hub.request(asked.header("Prefer", preference));
        assert_eq!(answer.header("preference-applied"), None, "{preference}");
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    }
}

#[test]
fn a_chain_of_requests_misses_nothing_and_gets_nothing_twice() {
    let hub = TestHub::dev();
    // One connection is enough, as a browser would do it.
    let mut connection = Connection::open(hub.address);
    let mut cursor = cursor_of(&body(&connection.request(&poll("match=urn:a", "0"))));
    let mut received: Vec<String> = Vec::new();
    for round in 0..10 {
        for number in 0..round {
            let data = format!("{round}.{number}");
            hub.published(&[("topic", "urn:a"), ("data", &data)]);
            hub.published(&[("topic", "urn:b"), ("data", "other")]);
        }
        loop {
            let query = format!("match=urn:a&last_event_id={cursor}");
            let answer = connection.request(&poll(&query, "0"));
            assert_eq!(
                answer.header("mercure-last-event-id"),
                Some(cursor.as_str())
            );
            let body = body(&answer);
            cursor = cursor_of(&body);
            if data(&body).is_empty() {
                break;
            }
            received.extend(data(&body).into_iter().map(str::to_owned));
        }
    }
    let expected: Vec<String> = (0..10)
        .flat_map(|round| (0..round).map(move |number| format!("{round}.{number}")))
        .collect();
    assert_eq!(received, expected);
}

#[test]
fn an_answer_without_updates_comes_after_the_wait_and_its_cursor_goes_on() {
    let hub = TestHub::dev();
    let started = Instant::now();
    let first = body(&hub.request(poll("match=urn:a", "1")));
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(data(&first), [""; 0]);
    hub.published(&[("topic", "urn:a"), ("data", "later")]);
    let cursor = cursor_of(&first);
    let query = format!("match=urn:a&last_event_id={cursor}");
    assert_eq!(data(&body(&hub.request(poll(&query, "0")))), ["later"]);
}

#[test]
fn a_cursor_goes_on_although_nothing_came_for_the_subscriber() {
    let hub = TestHub::serve(&settings(
        "[subscribe]\nanonymous = true\n[history]\nretain_updates = 20\n",
    ));
    let token = token_for_all();
    let publish = |topic: &str| {
        let form = [("topic", topic), ("data", topic)];
        assert_eq!(hub.publish_as(&token, &form).status, 200);
    };
    publish("urn:a");
    let mut cursor = "earliest".to_owned();
    let mut received = Vec::new();
    // Far more than is kept goes by between the first answer and the last.
    for _ in 0..6 {
        let query = format!("match=urn:a&last_event_id={cursor}");
        let answer = hub.request(poll(&query, "0"));
        assert_eq!(
            answer.header("mercure-last-event-id"),
            Some(cursor.as_str())
        );
        let body = body(&answer);
        received.extend(data(&body).into_iter().map(str::to_owned));
        cursor = cursor_of(&body);
        (0..15).for_each(|_| publish("urn:b"));
    }
    publish("urn:a");
    let query = format!("match=urn:a&last_event_id={cursor}");
    let last = body(&hub.request(poll(&query, "0")));
    received.extend(data(&last).into_iter().map(str::to_owned));
    assert_eq!(received, ["urn:a", "urn:a"]);
}

#[test]
fn a_cursor_from_another_shard_is_never_answered_with_an_older_one() {
    let hub = TestHub::serve(&settings(
        "[subscribe]\nanonymous = true\n[server]\nshards = 4\n",
    ));
    let token = token_for_all();
    let form = [("topic", "urn:a"), ("data", "again")];
    for _ in 0..200 {
        // The publisher's shard has seen it; each poll comes to any shard.
        let id = hub.publish_as(&token, &form).text();
        let mut cursor = id;
        for _ in 0..2 {
            let query = format!("match=urn:a&last_event_id={cursor}");
            let body = body(&hub.request(poll(&query, "0")));
            assert_eq!(data(&body), [""; 0], "what came before the cursor");
            cursor = cursor_of(&body);
        }
    }
}

#[test]
fn everything_kept_comes_in_a_few_bounded_answers() {
    let hub = TestHub::dev();
    let large = "x".repeat(200_000);
    for _ in 0..12 {
        hub.published(&[("topic", "urn:a"), ("data", &large)]);
    }
    let mut cursor = "earliest".to_owned();
    let mut counts = Vec::new();
    while counts.iter().sum::<usize>() < 12 {
        let query = format!("match=urn:a&last_event_id={cursor}");
        let answer = hub.request(poll(&query, "0"));
        assert!(answer.body.len() < 1_500_000, "{}", answer.body.len());
        let body = body(&answer);
        counts.push(data(&body).len());
        cursor = cursor_of(&body);
    }
    assert_eq!(counts, [6, 6]);
}

#[test]
fn an_unknown_cursor_is_answered_earliest_with_all_that_is_kept() {
    let hub = TestHub::dev();
    hub.published(&[("topic", "urn:a"), ("data", "kept")]);
    let answer = hub.request(poll("match=urn:a&last_event_id=urn:never", "0"));
    assert_eq!(answer.header("mercure-last-event-id"), Some("earliest"));
    assert_eq!(data(&body(&answer)), ["kept"]);
}

#[test]
fn private_updates_and_refusals_are_those_of_event_streams() {
    let hub = TestHub::served("");
    let refused = hub.request(poll("match=urn:a", "0"));
    assert_eq!(refused.status, 401);
    let token = served_token(&["--publish", "*", "--subscribe", "urn:a"]);
    for topic in ["urn:a", "urn:b"] {
        let form = [("topic", topic), ("data", topic), ("private", "on")];
        assert_eq!(hub.publish_as(&token, &form).status, 200);
    }
    let query = "match=urn:a&match=urn:b&last_event_id=earliest";
    let body = body(&hub.request(poll(query, "0").bearer(&token)));
    assert_eq!(data(&body), ["urn:a"]);
    assert_eq!(body["updates"][0]["private"], json!(true));
    let bad = hub.request(poll("nothing=urn:a", "0").bearer(&token));
    assert_eq!(bad.status, 400);
}

/// A peer that ended its side may still read, so that it is gone is seen by the answer.
#[test]
fn a_poll_that_is_given_up_is_forgotten_with_its_wait() {
    let hub = TestHub::dev();
    let waiting: Vec<Connection> = (0..20)
        .map(|_| asked(&hub, &poll("match=urn:a", "2")))
        .collect();
    hub.wait_for_metric("tidings_subscribers", |count| count == 20.0);
    drop(waiting);
    hub.wait_for_metric("tidings_subscribers", |count| count == 0.0);
    hub.wait_for_metric("tidings_matchers", |count| count == 0.0);
    hub.wait_for_metric("tidings_connections", |count| count <= 1.0);
}

#[test]
fn a_poll_is_answered_when_its_token_ends_and_the_next_one_refused() {
    let hub = TestHub::serve(&settings(""));
    let exp = now_secs() + 4;
    let token = token(&with("exp", exp));
    let answer = hub.request(poll("match=urn:a", "60").bearer(&token));
    assert!(now_secs() <= exp, "late");
    assert_eq!(data(&body(&answer)), [""; 0]);
    let cursor = cursor_of(&body(&answer));
    let refused = wait_until("the token is refused", || {
        let query = format!("match=urn:a&last_event_id={cursor}");
        let answer = hub.request(poll(&query, "0").bearer(&token));
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(refused.status, 401);
}

#[test]
fn a_hub_that_stops_answers_those_who_wait_and_the_next_one_goes_on() {
    let mut hub = TestHub::serve(&settings(
        "[admin]\naddress = \"127.0.0.1:0\"\n[subscribe]\nanonymous = true\n[server]\ndrain_secs = 1\n",
    ));
    hub.keep_address();
    let mut waiting = asked(&hub, &poll("match=urn:a", "60"));
    wait_until("the poll has joined", || {
        (hub.metric("tidings_subscribers") == 1.0).then_some(())
    });
    hub.terminate();
    let answer = waiting.read_answer(false);
    assert_eq!(answer.header("connection"), Some("close"));
    let cursor = cursor_of(&body(&answer));
    assert!(hub.wait_for_exit().success());
    hub.restart();
    let form = [("topic", "urn:a"), ("data", "after")];
    assert_eq!(hub.publish_as(&token_for_all(), &form).status, 200);
    let query = format!("match=urn:a&last_event_id={cursor}");
    assert_eq!(data(&body(&hub.request(poll(&query, "0")))), ["after"]);
}

#[test]
fn a_query_and_a_head_may_be_polls_too() {
    let hub = TestHub::dev();
    let id = hub.published(&[("topic", "urn:a"), ("data", "kept")]);
    let query = Request::new("QUERY", HUB_PATH)
        .header("Prefer", "wait=0")
        .form(&[("match", "urn:a"), ("last_event_id", "earliest")]);
    let answer = body(&hub.request(query));
    assert_eq!((data(&answer), cursor_of(&answer)), (vec!["kept"], id));
    let head = Request::new("HEAD", &format!("{HUB_PATH}?match=urn:a"));
    let mut connection = Connection::open(hub.address);
    connection.send_request(&head.header("Prefer", "wait=50"));
    let head = connection.read_answer(true);
    assert_eq!(head.header("content-type"), Some("application/json"));
    assert_eq!(head.header("preference-applied"), Some("wait=50"));
}

/// Each request begins and ends a session; presence shows who can be told to be the same.
#[test]
fn presence_shows_one_who_polls_as_one_subscription_or_not_at_all() {
    let hub = TestHub::serve(&settings(
        "[subscribe]\nanonymous = true\n[presence]\nenabled = true\ngrace_secs = 3600\n",
    ));
    let all = "/.well-known/mercure/subscriptions";
    let watched = format!("{HUB_PATH}?match_urlpattern={all}/:type/:match/:subscriber");
    let mut watcher = hub.subscribe_by(Request::get(&watched).bearer(&token(&with("sub", "w"))));
    watcher.event();
    let named = token(&claims());
    let nameless = token(&without("sub"));
    for _ in 0..5 {
        body(&hub.request(poll("match=urn:a", "0").bearer(&named)));
        body(&hub.request(poll("match=urn:b", "0").bearer(&nameless)));
        body(&hub.request(poll("match=urn:c", "0")));
    }
    // One that leaves before its event could be stored would not be mentioned.
    let _last = hub.subscribe("match=urn:last");
    let said: Vec<Value> = (0..2)
        .map(|_| serde_json::from_str(&watcher.event().data).expect("a document"))
        .collect();
    let matches: Vec<_> = said.iter().map(|said| &said["match"]).collect();
    assert_eq!(matches, ["urn:a", "urn:last"]);
    // A poll for these events gets its own event once, and not again and again.
    let token = token(&with("sub", "polling"));
    let asked = format!("match_urlpattern={all}/:type/:match/:subscriber");
    let mut query = asked.clone();
    wait_until("an answer without events", || {
        let answer = body(&hub.request(poll(&query, "1").bearer(&token)));
        query = format!("{asked}&last_event_id={}", cursor_of(&answer));
        data(&answer).is_empty().then_some(())
    });
}

#[test]
fn subscribers_of_mercure_0_x_get_event_streams_whatever_they_prefer() {
    let hub = TestHub::dev();
    let request = Request::get(&format!("{HUB_PATH}?topic=urn:a")).header("Prefer", "wait=1");
    let stream = hub.subscribe_by(request);
    let media_type = stream.head.header("content-type");
    assert_eq!(media_type, Some("text/event-stream"));
}

#[test]
fn pages_of_other_origins_may_poll() {
    let hub = TestHub::serve(&settings(
        "[subscribe]\nanonymous = true\n[cors]\norigins = [\"https://app.test\"]\n",
    ));
    let preflight = Request::new("OPTIONS", HUB_PATH)
        .header("Origin", "https://app.test")
        .header("Access-Control-Request-Method", "GET")
        .header("Access-Control-Request-Headers", "prefer,last-event-id");
    let answer = hub.request(preflight);
    let allowed = answer.header("access-control-allow-headers").unwrap();
    assert!(allowed.contains("Prefer") && allowed.contains("Last-Event-ID"));
    let answer = hub.request(poll("match=urn:a", "0").header("Origin", "https://app.test"));
    let exposed = answer.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("Mercure-Last-Event-ID"));
    assert!(exposed.contains("Preference-Applied"));
}

#[test]
fn other_preferences_and_junk_are_event_streams() {
    let hub = TestHub::dev();
    for preference in [
        "respond-async",
        "wait",
        "wait=",
        "wait=x",
        "wait=-1",
        "other; wait=1",
        "other=\"a, wait=1\"",
        "handling=lenient",
    ] {
        let request = Request::get(&format!("{HUB_PATH}?match=urn:a")).header("Prefer", preference);
        let stream = hub.subscribe_by(request);
        assert_eq!(
            stream.head.header("content-type"),
            Some("text/event-stream"),
            "{preference}"
        );
    }
}
