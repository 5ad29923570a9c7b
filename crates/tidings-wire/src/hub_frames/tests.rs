//! Requests as peers write them, and frames as the hub writes them.

use expect_test::{Expect, expect};

use super::*;

#[test]
fn requests_are_read() {
    check(
        r#"{"subscribe":{"match":"a","match_urlpattern":["b","c"],"last_event_id":"x"},"ref":1}"#,
        expect![[r#"
            Subscribe(Selection { exact: OneOrMany(["a"]), url_pattern: OneOrMany(["b", "c"]), topic: OneOrMany([]), last_event_id: Some("x") })
            Some(Number(1))"#]],
    );
    check(
        r#"{"ref":"p","publish":{"topic":["a"],"data":"d","private":true,"id":"i","type":"t","retry":9}}"#,
        expect![[r#"
            Publish(Publish { topic: OneOrMany(["a"]), data: Some("d"), private: Some(true), id: Some("i"), event_type: Some("t"), retry: RetryMember(Some(9)), idempotency_key: None, traceparent: None })
            Some(Text("p"))"#]],
    );
    check(r#"{"ping":{}}"#, expect!["Ping\nNone"]);
    check(
        r#"{"authenticate":{"token":"secret"}}"#,
        expect!["Authenticate(Authenticate(hidden))\nNone"],
    );
}

#[test]
fn what_is_no_request_is_refused() {
    for frame in [
        "",
        "null",
        "[]",
        "{}",
        r#"[null,null,null,null,{},null,null]"#,
        r#"{"authenticate":["token"]}"#,
        r#"{"publish":["topic","data"]}"#,
        r#"{"ping":[]}"#,
        "{\"subscribe\":{}} x",
        r#"{"subscribe":{},"ping":{}}"#,
        r#"{"subscribe":{"match_regex":"x"}}"#,
        r#"{"publish":{"data":1}}"#,
        r#"{"publish":{"data":"a","data":"b"}}"#,
        r#"{"unknown":{}}"#,
        r#"{"ping":{},"ref":{}}"#,
        r#"{"ping":{},"ref":1.5}"#,
        r#"{"publish":{"data":"\ud800"}}"#,
    ] {
        assert!(Request::decode(frame).is_err(), "{frame}");
    }
    let long = format!(r#"{{"ping":{{}},"ref":"{}"}}"#, "x".repeat(65));
    assert!(matches!(
        Request::decode(&long),
        Err(RequestError::Reference)
    ));
    let deep = format!("{{\"subscribe\":{}", "[".repeat(100_000));
    assert!(Request::decode(&deep).is_err());
}

#[test]
fn frames_are_written() {
    let update = UpdateFields {
        id: "urn:uuid:1",
        topics: &["a", "b"],
        event_type: None,
        retry: None,
        private: false,
        data: "line\n\"é\"",
    };
    let written = [
        encode(&HubFrame::Update(update.clone()), None),
        encode(
            &HubFrame::Update(UpdateFields {
                event_type: Some("t"),
                retry: Some(5),
                private: true,
                ..update
            }),
            None,
        ),
        encode(
            &HubFrame::Open {
                last_event_id: "c",
                ping_secs: 30,
            },
            None,
        ),
        encode(
            &HubFrame::Ack(AckFields::default()),
            Some(&Reference::Number(7)),
        ),
        encode(
            &HubFrame::Ack(AckFields {
                id: Some("i"),
                ..AckFields::default()
            }),
            Some(&Reference::Text("p".to_owned())),
        ),
        encode(&HubFrame::Error(&serde_json::json!({"status": 403})), None),
        encode(&HubFrame::CaughtUp { last_event_id: "c" }, None),
        encode(&HubFrame::Lagging {}, None),
        encode(&HubFrame::Pong {}, Some(&Reference::Number(1))),
    ];
    let expected = expect![[r#"
        {"update":{"id":"urn:uuid:1","topics":["a","b"],"data":"line\n\"é\""}}
        {"update":{"id":"urn:uuid:1","topics":["a","b"],"type":"t","retry":5,"private":true,"data":"line\n\"é\""}}
        {"open":{"last_event_id":"c","ping_secs":30}}
        {"ack":{},"ref":7}
        {"ack":{"id":"i"},"ref":"p"}
        {"error":{"status":403}}
        {"caught_up":{"last_event_id":"c"}}
        {"lagging":{}}
        {"pong":{},"ref":1}"#]];
    expected.assert_eq(&written.join("\n"));
}

#[track_caller]
fn check(frame: &str, expected: Expect) {
    let Request { kind, reference } = Request::decode(frame).unwrap();
    expected.assert_eq(&format!("{kind:?}\n{reference:?}"));
}
