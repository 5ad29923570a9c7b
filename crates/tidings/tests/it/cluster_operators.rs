//! What an operator asks of one hub of a cluster is done by all. `docs/reference/admin.md`, "In a cluster".

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use serde_json::{Value, json};

use crate::admin::spec::{OPERATOR, Operator};
use crate::harness::redis::{Redis, member};
use crate::harness::tokens::{claims, detail, token, token_for_all};
use crate::harness::{DEADLINE, EventStream, HUB_PATH, Request, TestHub, wait_until};

const TOPIC: &str = "https://example.com/news";

fn settings(redis: &Redis) -> String {
    let with_token = format!("[admin]\ntoken = \"{OPERATOR}\"\n");
    member(redis, "").replace("[admin]\n", &with_token)
}

fn start(settings: &str) -> TestHub {
    let hub = TestHub::serve_in(Arc::new(tempfile::tempdir().unwrap()), settings, &[]);
    hub.wait_until_ready();
    hub
}

/// Returns a token of a subject, for everything.
fn token_of(subject: &str, id: &str) -> String {
    let mut claims = claims();
    claims["sub"] = subject.into();
    claims["jti"] = id.into();
    claims["authorization_details"] = json!([detail(&["publish", "subscribe"], &["*"])]);
    token(&claims)
}

fn reading() -> Request {
    Request::get(&format!("{HUB_PATH}?match={TOPIC}"))
}

fn status_for(hub: &TestHub, token: &str) -> u16 {
    let publish = Request::post(HUB_PATH).form(&[("topic", "other"), ("data", "x")]);
    hub.request(publish.bearer(token)).status
}

fn publish(hub: &TestHub, topic: &str, data: &str) -> String {
    let answer = hub.publish_as(&token_for_all(), &[("topic", topic), ("data", data)]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

fn ends(mut stream: EventStream) {
    while stream.next_event().is_some() {}
}

#[test]
fn disconnect_revoke_and_reinstate_reach_every_hub() {
    let redis = Redis::start(&[]);
    let (one, two) = (start(&settings(&redis)), start(&settings(&redis)));
    let (ada, bob) = (token_of("ada", "first"), token_of("bob", "second"));
    let mut stays = two.subscribe_by(reading().bearer(&bob));
    let here = one.subscribe_by(reading().bearer(&ada));
    let there = two.subscribe_by(reading().bearer(&ada));
    let (first, second) = (Operator::of(&one), Operator::of(&two));
    let done = first.post("/admin/v1/disconnect", &json!({"subject": "ada"}));
    assert_eq!(done, json!({"disconnected": 1, "scope": "cluster"}));
    ends(here);
    ends(there);
    // Ada may come back, until the token is revoked.
    let back = two.subscribe_by(reading().bearer(&ada));
    let done = first.post("/admin/v1/revoke", &json!({"id": "first"}));
    assert_eq!(done["scope"], "cluster");
    ends(back);
    for hub in [&one, &two] {
        assert_eq!(status_for(hub, &ada), 401);
        assert_eq!(status_for(hub, &bob), 200);
    }
    let revocations = second.get("/admin/v1/revocations");
    assert_eq!(revocations["revocations"][0]["id"], "first");
    let done = second.post("/admin/v1/reinstate", &json!({"id": "first"}));
    assert_eq!(done, json!({"reinstated": true, "scope": "cluster"}));
    wait_until("the first hub accepts the token again", || {
        (status_for(&one, &ada) == 200).then_some(())
    });
    publish(&one, TOPIC, "bob is there");
    assert_eq!(stays.data(1), ["bob is there"]);
    // One connection belongs to one hub.
    let connections = second.get("/admin/v1/connections");
    let id = &connections["connections"][0]["id"];
    let done = second.post("/admin/v1/disconnect", &json!({"connection": id}));
    assert_eq!(done, json!({"disconnected": 1, "scope": "hub"}));
    for hub in [&one, &two] {
        wait_until("three commands were carried out", || {
            let done = hub.metric_for("tidings_orders_total", "done");
            (done > 2.9).then_some(())
        });
    }
}

#[test]
fn a_hub_that_was_away_obeys_when_it_has_caught_up() {
    let redis = Redis::start(&[]);
    let (one, mut two) = (start(&settings(&redis)), start(&settings(&redis)));
    publish(&one, TOPIC, "secret");
    let ada = token_of("ada", "first");
    assert_eq!(status_for(&two, &ada), 200);
    two.kill();
    let first = Operator::of(&one);
    first.post("/admin/v1/revoke", &json!({"id": "first"}));
    first.post("/admin/v1/purge", &json!({"topic": TOPIC}));
    publish(&one, TOPIC, "public");
    two.restart();
    two.wait_until_ready();
    wait_until("the token is refused", || {
        (status_for(&two, &ada) == 401).then_some(())
    });
    wait_until("the topic is purged", || {
        (shown(&two) == ["public"]).then_some(())
    });
    // It knows at another start what is stored, also what it had not carried out when it ended.
    two.kill();
    std::fs::remove_file(two.data().join("revoked-tokens.json")).unwrap();
    two.restart();
    two.wait_until_ready();
    assert_eq!(status_for(&two, &ada), 401);
    assert_eq!(shown(&two), ["public"]);
}

/// The engine gets back what the hubs have, and a new hub gets it from there: what was purged has its place, and
/// nothing in it.
#[test]
fn what_was_purged_stays_so_when_the_engine_loses_everything() {
    let mut redis = Redis::start(&[]);
    let (one, two) = (start(&settings(&redis)), start(&settings(&redis)));
    let before = publish(&one, "other", "before");
    publish(&two, TOPIC, "secret");
    let last = publish(&one, "other", "after");
    let done = Operator::of(&one).post("/admin/v1/purge", &json!({"topic": TOPIC}));
    assert_eq!(done, json!({"purged": 1, "scope": "cluster"}));
    wait_until("the other hub has purged it", || {
        shown(&two).is_empty().then_some(())
    });
    redis.kill();
    redis.restart();
    wait_until("the hubs go on", || {
        let answer = one.publish_as(&token_for_all(), &[("topic", "other"), ("data", "on")]);
        (answer.status == 200).then_some(())
    });
    let three = start(&settings(&redis));
    let query = "match=other&last_event_id=earliest";
    for hub in [&one, &two, &three] {
        let mut stream = hub.subscribe(query);
        let (first, second) = (stream.event(), stream.event());
        assert_eq!(
            (first.last_event_id, first.data),
            (before.clone(), "before".into())
        );
        assert_eq!(
            (second.last_event_id, second.data),
            (last.clone(), "after".into())
        );
        assert!(shown(hub).is_empty());
        let history = Operator::of(hub).get("/admin/v1/history?position=2");
        assert_eq!(history["updates"][0]["withdrawn"], true, "{history}");
    }
}

#[test]
fn without_the_engine_it_is_done_here_and_the_operator_is_told() {
    let redis = Redis::start(&[]);
    let settings = settings(&redis).replace("max_wait_ms = 20000", "max_wait_ms = 300");
    let (one, two) = (start(&settings), start(&settings));
    let ada = token_of("ada", "first");
    let stream = one.subscribe_by(reading().bearer(&ada));
    redis.pause();
    let revoke = Request::post("/admin/v1/revoke").body(json!({"id": "first"}).to_string());
    let (status, problem) = Operator::of(&one).refused(&revoke);
    assert_eq!((status, &*problem), (503, "not-told"));
    ends(stream);
    redis.resume();
    wait_until("the engine is back", || {
        let answer = two.publish_as(&token_for_all(), &[("topic", "other"), ("data", "x")]);
        (answer.status == 200).then_some(())
    });
    assert_eq!(status_for(&one, &ada), 401);
    // Again, as the answer says. This hub may notice later than the other one that the engine is back.
    wait_until("the engine is told", || {
        (Operator::of(&one).answer(&revoke).status == 200).then_some(())
    });
    wait_until("the other hub refuses it too", || {
        (status_for(&two, &ada) == 401).then_some(())
    });
}

/// The bound is `VERBS_MAX` of `server/steering.rs`.
#[test]
fn one_command_more_than_wait_for_the_engine_is_refused_at_once() {
    const VERBS_MAX: usize = 32;
    let redis = Redis::start(&[]);
    let hub = start(&settings(&redis));
    let operator = Operator::of(&hub);
    redis.pause();
    let (answers, answered) = sync_channel(VERBS_MAX + 1);
    std::thread::scope(|scope| {
        for number in 0..=VERBS_MAX {
            let (operator, answers) = (&operator, answers.clone());
            scope.spawn(move || {
                let revoke = json!({"id": format!("token-{number}")}).to_string();
                let revoke = Request::post("/admin/v1/revoke").body(revoke);
                answers.send(operator.answer(&revoke)).unwrap();
            });
        }
        // The only one that is answered while the engine is away.
        let refused = answered.recv_timeout(DEADLINE).unwrap();
        // What does not wait for the engine is still done.
        let rates = operator.get("/admin/v1/rates");
        redis.resume();
        assert_eq!((refused.status, &*refused.problem()), (503, "busy"));
        assert!(rates.is_object(), "{rates}");
        for _ in 0..VERBS_MAX {
            let answer = answered.recv_timeout(DEADLINE).unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    });
    // There is room again.
    operator.post("/admin/v1/revoke", &json!({"id": "last"}));
}

/// Returns the data that a hub has of the topic, newest first.
fn shown(hub: &TestHub) -> Vec<String> {
    let history = Operator::of(hub).get(&format!("/admin/v1/history?topic={TOPIC}"));
    let updates = history["updates"].as_array().unwrap().iter();
    updates
        .filter_map(|update| Value::as_str(&update["data"]))
        .map(str::to_owned)
        .collect()
}
