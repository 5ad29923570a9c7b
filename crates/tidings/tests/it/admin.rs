//! The admin API: nothing without the token, and what each verb does to a running hub.

mod explained;
pub(crate) mod spec;

use serde_json::{Value, json};

use self::spec::{OPERATOR, Operator, send};
use crate::harness::peer::{Peer, handshake};
use crate::harness::tokens::{
    ISSUER, claims, detail, now_secs, settings, token, token_for_all, with,
};
use crate::harness::{Connection, EventStream, HUB_PATH, Request, TestHub, wait_until};

const JTI: &str = "urn:uuid:5d4a2b3e-0b5c-4a9e-8a51-0d9f3d2c1b00";

fn served() -> TestHub {
    TestHub::serve(&settings(&with_token("")))
}

/// Returns settings with the API switched on.
fn with_token(more: &str) -> String {
    format!(
        "[admin]\naddress = \"127.0.0.1:0\"\ntoken = \"{OPERATOR}\"\n\
         [subscribe]\nanonymous = true\n[server]\ndrain_secs = 1\nshards = 2\n{more}"
    )
}

#[test]
fn nothing_answers_without_the_token_of_operators() {
    let hub = served();
    let operator = Operator::of(&hub);
    let mut routes = operator.routes();
    assert_eq!(routes.len(), 14);
    routes.push(("GET".into(), "/admin/v1/".into()));
    routes.push(("GET".into(), "/admin/v1/nothing".into()));
    routes.push(("DELETE".into(), "/admin/v1/state".into()));
    let almost = OPERATOR.trim_end_matches('4');
    for (method, path) in &routes {
        let bare = || Request::new(method, path);
        let tries = [
            bare(),
            bare().bearer(""),
            bare().bearer(almost),
            bare().bearer(&format!("{OPERATOR}0")),
            bare().bearer(&OPERATOR.to_uppercase()),
            bare().bearer(&token_for_all()),
            bare().bearer(&"x".repeat(5000)),
            bare().header("Authorization", OPERATOR),
            bare().header("Authorization", &format!("Basic {OPERATOR}")),
            bare().header("Cookie", &format!("mercure_access_token={OPERATOR}")),
            Request::new(method, &format!("{path}?authorization={OPERATOR}")),
            bare().bearer(almost).bearer(OPERATOR),
        ];
        for request in tries {
            let answer = send(&hub, request.clone());
            assert_eq!(answer.status, 401, "{request:?}: {}", answer.text());
            assert!(["token-missing", "token-invalid"].contains(&answer.problem().as_str()));
        }
        // A listener for everybody has none of it, token or not.
        let answer = hub.request(bare().bearer(OPERATOR));
        assert!([404, 405].contains(&answer.status), "{}", answer.text());
    }
    // Nothing of this was done.
    assert_eq!(hub.request(Request::get("/health/ready")).status, 200);
    assert!(!hub.log().contains(OPERATOR));
}

#[test]
fn without_a_token_in_the_configuration_there_is_no_api() {
    let hub = TestHub::serve(&settings("[admin]\naddress = \"127.0.0.1:0\"\n"));
    for path in ["/admin/v1/state", "/admin/v1/nothing"] {
        let answer = send(&hub, Request::get(path).bearer(OPERATOR));
        assert_eq!((answer.status, answer.problem()), (403, "admin-off".into()));
    }
    assert_eq!(send(&hub, Request::get("/metrics")).status, 200);
}

#[test]
fn pages_of_other_origins_are_refused_even_with_the_token() {
    let hub = served();
    let admin = hub.admin.unwrap();
    let ask = |name: &str, value: &str| {
        let request = Request::get("/admin/v1/state").bearer(OPERATOR);
        send(&hub, request.header(name, value)).status
    };
    let own = format!("http://localhost:{}", admin.port());
    assert_eq!(ask("Origin", &own), 200);
    assert_eq!(ask("Sec-Fetch-Site", "same-origin"), 200);
    assert_eq!(ask("Origin", "https://evil.example"), 403);
    assert_eq!(ask("Origin", "null"), 403);
    assert_eq!(ask("Sec-Fetch-Site", "cross-site"), 403);
}

#[test]
fn the_page_is_served_to_everybody_and_only_there() {
    let hub = served();
    for path in ["/admin/", "/admin/admin.js", "/style.css", "/favicon.svg"] {
        let answer = send(&hub, Request::get(path));
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'self'"), "{policy}");
    }
    for path in ["/", "/admin"] {
        let answer = send(&hub, Request::get(path));
        assert_eq!(
            (answer.status, answer.header("location")),
            (308, Some("/admin/"))
        );
    }
    for path in [
        "/chat/",
        "/index.html",
        "/admin/nothing",
        "/admin/../index.html",
    ] {
        assert_eq!(send(&hub, Request::get(path)).status, 404, "{path}");
    }
    assert_eq!(hub.request(Request::get("/admin/")).status, 404);
}

#[test]
fn connections_are_found_by_what_operators_know_of_them() {
    let hub = served();
    let operator = Operator::of(&hub);
    let _anonymous = hub.subscribe("match=a");
    let _holder = subscribe_as(
        &hub,
        &token_for_all(),
        "match=b&match_urlpattern=/books/:id",
    );
    let target = format!("{HUB_PATH}?match=c");
    let request = handshake(&target).bearer(&token_of("alice", "token of alice"));
    let _websocket = Peer::open(hub.address, &request);
    wait_for_subscribers(&hub, 3);
    let found = |query: &str| {
        let page = operator.get(&format!("/admin/v1/connections?{query}"));
        assert_eq!(page["next"], Value::Null);
        assert_eq!(page["total"], 3);
        let found = page["connections"].as_array().unwrap();
        let mut subjects: Vec<String> = found
            .iter()
            .map(|one| one["token"]["subject"].as_str().unwrap_or("-").to_owned())
            .collect();
        subjects.sort();
        subjects.join(" ")
    };
    for (query, expected) in [
        ("", "- alice someone"),
        ("subject=alice", "alice"),
        ("subject=bob", ""),
        ("token_id=token%20of%20alice", "alice"),
        ("transport=websocket", "alice"),
        ("transport=sse", "- someone"),
        ("transport=sockjs", ""),
        ("dialect=1.0", "- alice someone"),
        ("dialect=2019", ""),
        ("address=127.0.0.1", "- alice someone"),
        ("address=192.0.2.7", ""),
        ("topic=a", "-"),
        ("topic=b", "someone"),
        ("topic=https://hub.example.com/books/7", "someone"),
        ("behind=1", ""),
        ("behind=0&transport=sse&subject=someone", "someone"),
    ] {
        assert_eq!(found(query), expected, "{query}");
    }
    let one = operator.get("/admin/v1/connections?subject=someone")["connections"][0].clone();
    assert_eq!(one["phase"], "live");
    assert_eq!(one["matchers_count"], 2);
    assert_eq!(one["token"]["issuer"], ISSUER);
    assert_eq!(one["token"]["token_id"], JTI);
    assert_eq!(
        one["matchers"][1],
        json!({"type": "urlpattern", "pattern": "/books/:id"})
    );
    let id = one["id"].as_str().unwrap();
    assert_eq!(found(&format!("id={id}")), "someone");
    for query in [
        "transport=pigeon",
        "dialect=3",
        "address=here",
        "behind=x",
        "after=x",
        "id=7",
    ] {
        let request = Request::get(&format!("/admin/v1/connections?{query}"));
        assert_eq!(
            operator.refused(&request),
            (400, "parameter-invalid".into())
        );
    }
}

#[test]
fn the_list_of_connections_comes_in_pages_that_miss_nobody() {
    let hub = served();
    let operator = Operator::of(&hub);
    let streams: Vec<_> = (0..25).map(|_| hub.subscribe("match=a")).collect();
    wait_for_subscribers(&hub, streams.len());
    let (mut ids, mut after) = (Vec::new(), String::new());
    loop {
        let page = operator.get(&format!("/admin/v1/connections?limit=4&after={after}"));
        let found = page["connections"].as_array().unwrap();
        assert!(found.len() <= 4);
        ids.extend(
            found
                .iter()
                .map(|one| one["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else {
            break;
        };
        after = next.to_owned();
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), streams.len());
}

#[test]
fn a_connection_or_a_subject_is_disconnected_and_nobody_else() {
    let hub = served();
    let operator = Operator::of(&hub);
    let mut bystander = hub.subscribe("match=a");
    let alice = token_of("alice", "1");
    let mut first = subscribe_as(&hub, &alice, "match=a");
    let target = format!("{HUB_PATH}?match=a");
    let mut second = Peer::open(hub.address, &handshake(&target).bearer(&alice));
    let mut bob = subscribe_as(&hub, &token_of("bob", "2"), "match=a");
    wait_for_subscribers(&hub, 4);
    let done = operator.post("/admin/v1/disconnect", &json!({"subject": "alice"}));
    assert_eq!(done, json!({"disconnected": 2, "scope": "hub"}));
    assert!(first.next_event().is_none());
    assert_eq!(second.closed().0, 4403);
    let list = operator.get("/admin/v1/connections?subject=bob");
    let id = list["connections"][0]["id"].clone();
    let body = json!({"connection": id});
    let done = operator.post("/admin/v1/disconnect", &body);
    assert_eq!(done, json!({"disconnected": 1, "scope": "hub"}));
    assert!(bob.next_event().is_none());
    wait_for_subscribers(&hub, 1);
    let again = Request::post("/admin/v1/disconnect").body(body.to_string());
    assert_eq!(operator.refused(&again), (404, "connection-unknown".into()));
    publish(&hub, "a", "still here");
    assert_eq!(bystander.event().data, "still here");
    hub.wait_for_metric("tidings_sessions_closed_total", |ended| ended > 2.5);
    assert!((hub.metric_for("tidings_sessions_closed_total", "disconnected") - 3.0).abs() < 0.1);
    for body in [
        "{}",
        "{\"subject\":\"a\",\"connection\":\"1\"}",
        "{\"who\":1}",
        "[",
        "{\"connection\":\"x\"}",
    ] {
        let request = Request::post("/admin/v1/disconnect").body(body);
        assert_eq!(
            operator.refused(&request),
            (400, "body-invalid".into()),
            "{body}"
        );
    }
}

#[test]
fn a_revoked_token_opens_no_door_and_what_it_opened_ends() {
    let more = "[presence]\nenabled = true\n[sockjs]\nenabled = true\n";
    let mut hub = TestHub::serve(&settings(&with_token(more)));
    let bad = token_for_all();
    let good = token_of("someone", "another");
    let mut stream = subscribe_as(&hub, &bad, "match=a");
    let mut kept = subscribe_as(&hub, &good, "match=a");
    let target = format!("{HUB_PATH}?match=a");
    let mut websocket = Peer::open(hub.address, &handshake(&target).bearer(&bad));
    wait_for_subscribers(&hub, 3);
    {
        let operator = Operator::of(&hub);
        let done = operator.post("/admin/v1/revoke", &json!({"id": JTI}));
        assert_eq!(done["disconnected"], 2);
        // Known from the connections.
        let until = done["until"].as_u64().unwrap();
        assert!(until > now_secs() && until <= now_secs() + 3600);
        let list = operator.get("/admin/v1/revocations");
        assert_eq!(list, json!({"revocations": [{"id": JTI, "until": until}]}));
        assert_eq!(operator.get("/admin/v1/state")["revoked_tokens"], 1);
    }
    assert!(stream.next_event().is_none());
    assert_eq!(websocket.closed().0, 4401);
    all_doors_are_closed_to(&hub, &bad);
    publish_as(&hub, &good, "a", "goes on");
    assert_eq!(kept.event().data, "goes on");
    assert!(hub.stop());
    hub.restart();
    all_doors_are_closed_to(&hub, &bad);
    let operator = Operator::of(&hub);
    let done = operator.post("/admin/v1/reinstate", &json!({"id": JTI}));
    assert_eq!(done, json!({"reinstated": true, "scope": "hub"}));
    let done = operator.post("/admin/v1/reinstate", &json!({"id": JTI}));
    assert_eq!(done, json!({"reinstated": false, "scope": "hub"}));
    publish_as(&hub, &bad, "a", "again");
}

/// Every way in with this token is refused.
fn all_doors_are_closed_to(hub: &TestHub, token: &str) {
    let subscribing = format!("{HUB_PATH}?match=a");
    let doors = [
        Request::post(HUB_PATH).form(&[("topic", "a"), ("data", "no")]),
        Request::get(&subscribing),
        Request::new("QUERY", HUB_PATH)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body("match=a"),
        Request::get(&subscribing).header("Prefer", "respond-async, wait=1"),
        handshake(&subscribing),
        Request::get(&format!("{HUB_PATH}/subscriptions")),
    ];
    for request in doors {
        let answer = hub.request(request.clone().bearer(token));
        assert_eq!(answer.status, 401, "{request:?}");
        assert_eq!(answer.problem(), "token-invalid");
    }
    // A WebSocket that presents it later.
    let mut late = hub.websocket("match=a");
    let refusal = late.answered(json!({"authenticate": {"token": token}}));
    assert!(refusal.to_string().contains("token-invalid"), "{refusal}");
}

#[test]
fn a_token_is_revoked_by_itself_and_until_it_expires() {
    let hub = served();
    let operator = Operator::of(&hub);
    let expires = now_secs() + 100;
    let mut of_it = with("exp", expires);
    of_it["jti"] = "short".into();
    let done = operator.post("/admin/v1/revoke", &json!({"token": token(&of_it)}));
    assert_eq!(
        done,
        json!({"id": "short", "until": expires, "disconnected": 0, "scope": "hub"})
    );
    let done = operator.post("/admin/v1/revoke", &json!({"id": "unknown"}));
    assert_eq!(done["until"], Value::Null);
    for (body, problem) in [
        (json!({}), "body-invalid"),
        (json!({"id": "a", "token": "b"}), "body-invalid"),
        (json!({"token": "a.b"}), "token-unreadable"),
        (json!({"id": "old", "until": 7}), "token-expired"),
        (json!({"token": token(&without_jti())}), "token-without-id"),
    ] {
        let request = Request::post("/admin/v1/revoke").body(body.to_string());
        assert_eq!(operator.refused(&request), (400, problem.into()), "{body}");
    }
}

#[test]
fn a_purge_takes_a_topic_out_of_the_history_for_everybody() {
    let hub = served();
    let operator = Operator::of(&hub);
    let first = publish(&hub, "kept", "1");
    publish(&hub, "gone", "secret 2");
    publish(&hub, "kept", "3");
    let gone = publish(&hub, "gone", "secret 4");
    let path = |after: &str| format!("match=gone&match=kept&last_event_id={after}");
    let mut before = hub.subscribe(&path(&first));
    assert_eq!(before.data(3), ["secret 2", "3", "secret 4"]);
    let done = operator.post("/admin/v1/purge", &json!({"topic": "gone"}));
    assert_eq!(done, json!({"purged": 2, "scope": "hub"}));
    let read = |query: &str| {
        let mut stream = hub.subscribe(query);
        publish(&hub, "kept", "end");
        let mut seen = Vec::new();
        loop {
            let data = stream.event().data;
            if data == "end" {
                return seen;
            }
            seen.push(data);
        }
    };
    assert_eq!(read(&path(&first)), ["3"]);
    // A cursor at a purged update is one as before: the hub knows what came after it.
    assert_eq!(read(&path(&gone)), Vec::<String>::new());
    let history = operator.get("/admin/v1/history");
    let shown = history["updates"].to_string();
    assert!(!shown.contains("secret"), "{shown}");
    assert_eq!(shown.matches("\"withdrawn\":true").count(), 2);
    let done = operator.post("/admin/v1/purge", &json!({"topic": "gone"}));
    assert_eq!(done, json!({"purged": 0, "scope": "hub"}));
    assert_eq!(operator.get("/admin/v1/state")["history"]["purged"], 2);
    assert!((hub.metric("tidings_history_purged_total") - 2.0).abs() < 0.1);
}

#[test]
fn the_history_is_browsed_by_position_topic_and_id() {
    let hub = served();
    let operator = Operator::of(&hub);
    for number in 1..=30 {
        let topic = if number % 3 == 0 { "third" } else { "other" };
        publish(&hub, topic, &number.to_string());
    }
    let long = "é".repeat(5000);
    let id = publish(&hub, "long", &long);
    let data = |page: &Value| {
        let updates = page["updates"].as_array().unwrap().iter();
        let data = updates.map(|update| update["data"].as_str().unwrap().to_owned());
        data.collect::<Vec<_>>().join(" ")
    };
    let page = operator.get("/admin/v1/history?topic=third&limit=4");
    assert_eq!(data(&page), "30 27 24 21");
    let page = operator.get(&format!(
        "/admin/v1/history?topic=third&limit=4&before={}",
        page["next"]
    ));
    assert_eq!(data(&page), "18 15 12 9");
    let page = operator.get(&format!(
        "/admin/v1/history?topic=third&before={}",
        page["next"]
    ));
    assert_eq!(data(&page), "6 3");
    assert_eq!(page["next"], Value::Null);
    let page = operator.get("/admin/v1/history?position=7");
    assert_eq!(data(&page), "7");
    let page = operator.get(&format!("/admin/v1/history?id={id}"));
    let update = &page["updates"][0];
    assert_eq!(update["data_bytes"], 10_000);
    assert_eq!(update["truncated"], true);
    assert_eq!(update["data"].as_str().unwrap().len(), 4096);
    let unknown = Request::get("/admin/v1/history?id=urn:x:unknown");
    assert_eq!(operator.refused(&unknown), (404, "update-unknown".into()));
    let all = operator.get("/admin/v1/history?limit=200");
    assert_eq!(all["updates"].as_array().unwrap().len(), 31);
}

#[test]
fn explain_tells_who_gets_an_update_and_why_not() {
    let hub = served();
    let operator = Operator::of(&hub);
    let _anonymous = hub.subscribe("match=a");
    let reader = token_with_grant("reader", "subscribe", "a");
    let _reader = subscribe_as(&hub, &reader, "match=a");
    let _elsewhere = subscribe_as(&hub, &reader, "match=b");
    wait_for_subscribers(&hub, 3);
    let explain = |body: Value| operator.post("/admin/v1/explain", &body);
    let public = explain(json!({"topics": ["a"]}));
    assert_eq!(
        (&public["receive"], &public["not_selected"]),
        (&json!(2), &json!(1))
    );
    let private = explain(json!({"topics": ["a"], "private": true}));
    assert_eq!(
        (
            &private["receive"],
            &private["not_selected"],
            &private["not_granted"]
        ),
        (&json!(1), &json!(1), &json!(1))
    );
    let list = private["connections"].as_array().unwrap();
    let refused = list
        .iter()
        .find(|one| one["verdict"] == "not_granted")
        .unwrap();
    assert_eq!(refused["token"], Value::Null);
    assert!(
        refused["why"]
            .as_str()
            .unwrap()
            .contains("presented no token")
    );
    // As it was said, so it happens.
    let of_reader =
        explain(json!({"topics": ["b"], "private": true, "subject": "reader", "token": reader}));
    assert_eq!(
        (&of_reader["receive"], &of_reader["not_granted"]),
        (&json!(0), &json!(1))
    );
    let token = &of_reader["token"];
    assert_eq!(
        (
            &token["subscribe"]["accepted"],
            &token["subscribe"]["allowed"]
        ),
        (&json!(true), &json!(false))
    );
    assert_eq!(token["publish"]["allowed"], false);
    assert!(
        token["publish"]["why"]
            .as_str()
            .unwrap()
            .contains("publish")
    );
    let publisher = explain(json!({"topics": ["b"], "private": true, "token": token_for_all()}));
    assert_eq!(publisher["token"]["publish"]["allowed"], true);
    let broken = explain(json!({"topics": ["b"], "token": "no.token"}));
    let why = broken["token"]["subscribe"]["why"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(why.contains("three parts"), "{why}");
    let none = Request::post("/admin/v1/explain").body("{\"topics\":[]}");
    assert_eq!(operator.refused(&none), (400, "topic-missing".into()));
}

#[test]
fn state_rates_and_topics_show_what_happens() {
    let hub = served();
    let operator = Operator::of(&hub);
    let mut stream = hub.subscribe("match=often");
    assert_eq!(operator.get("/admin/v1/topics")["topics"], json!([]));
    for number in 0..20 {
        publish(&hub, "often", &number.to_string());
    }
    publish(&hub, "rarely", "1");
    stream.data(20);
    let topics = operator.get("/admin/v1/topics");
    assert_eq!(topics["topics"][0]["topic"], "often");
    assert_eq!(topics["topics"][0]["updates"], 20);
    assert_eq!(topics["topics"][1]["updates"], 1);
    let state = operator.get("/admin/v1/state");
    assert_eq!(state["ready"], true);
    assert_eq!(state["subscribers_by_transport"]["sse"], 1);
    assert_eq!(state["totals"]["published"], 21);
    assert_eq!(state["history"]["last_position"], 21);
    wait_until("a second with updates", || {
        let rates = operator.get("/admin/v1/rates");
        let samples = rates["samples"].as_array().unwrap();
        let seen: u64 = samples
            .iter()
            .filter_map(|one| one["published"].as_u64())
            .sum();
        (seen > 0).then_some(())
    });
}

#[test]
fn a_reload_by_the_api_is_the_reload_of_the_command() {
    let hub = served();
    let operator = Operator::of(&hub);
    let path = hub.folder().join("tidings.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        operator.post("/admin/v1/reload", &json!({})),
        json!({"applied": [], "needs_restart": [], "errors": []})
    );
    std::fs::write(
        &path,
        format!("{text}[pages]\nchat = true\n[presence]\nenabled = true\n"),
    )
    .unwrap();
    let done = operator.post("/admin/v1/reload", &json!({}));
    assert_eq!(
        done["applied"],
        json!([{"key": "pages.chat", "old": "false", "new": "true"}])
    );
    assert_eq!(done["needs_restart"][0]["key"], "presence.enabled");
    assert_eq!(hub.request(Request::get("/chat/")).status, 200);
    std::fs::write(&path, format!("{text}[pages]\nchat = 7\n")).unwrap();
    assert_eq!(
        operator.refused(&Request::post("/admin/v1/reload")),
        (422, "config-invalid".into())
    );
    assert_eq!(hub.request(Request::get("/chat/")).status, 200);
    // Another token counts from the next request on, and is shown nowhere.
    let other = "f".repeat(32);
    std::fs::write(&path, text.replace(OPERATOR, &other)).unwrap();
    let done = operator.post("/admin/v1/reload", &json!({}));
    assert!(!done.to_string().contains(&other), "{done}");
    assert!(done.to_string().contains("(hidden)"), "{done}");
    let state = || Request::get("/admin/v1/state");
    assert_eq!(send(&hub, state().bearer(OPERATOR)).status, 401);
    assert_eq!(send(&hub, state().bearer(&other)).status, 200);
}

#[test]
fn a_drain_ends_the_hub_as_a_signal_does() {
    let mut hub = served();
    let mut stream = hub.subscribe("match=a");
    let mut kept = Connection::open(hub.admin.unwrap());
    let done = Operator::of(&hub).post("/admin/v1/drain", &json!({}));
    assert_eq!(done, json!({"draining": true, "within_secs": 1.0}));
    assert!(stream.next_event().is_none());
    // Until the end, operators see how it goes, and steer no more.
    let again = kept.request(&Request::post("/admin/v1/drain").bearer(OPERATOR));
    assert_eq!((again.status, again.problem()), (503, "stopping".into()));
    assert!(hub.wait_for_exit().success());
}

fn token_of(subject: &str, id: &str) -> String {
    let mut of_it = with("sub", subject);
    of_it["jti"] = id.into();
    token(&of_it)
}

fn token_with_grant(subject: &str, action: &str, topic: &str) -> String {
    let mut of_it = with("sub", subject);
    of_it["authorization_details"] = json!([detail(&[action], &[topic])]);
    token(&of_it)
}

fn without_jti() -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove("jti");
    claims
}

fn subscribe_as(hub: &TestHub, token: &str, query: &str) -> EventStream {
    hub.subscribe_by(Request::get(&format!("{HUB_PATH}?{query}")).bearer(token))
}

fn wait_for_subscribers(hub: &TestHub, count: usize) {
    let wanted = u32::try_from(count).map(f64::from).unwrap();
    hub.wait_for_metric("tidings_subscribers", |now| (now - wanted).abs() < 0.1);
}

fn publish(hub: &TestHub, topic: &str, data: &str) -> String {
    publish_as(hub, &token_of("publisher", "publisher's"), topic, data)
}

fn publish_as(hub: &TestHub, token: &str, topic: &str, data: &str) -> String {
    let answer = hub.publish_as(token, &[("topic", topic), ("data", data)]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}
