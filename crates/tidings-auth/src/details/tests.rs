//! Each rule of "Authorization Details" and "Topic Matcher List".

use serde_json::{Value, json};
use tidings_core::{Subject, Topic};

use super::*;

#[test]
fn no_details_grant_nothing() {
    assert_eq!(parse(None, &hub()).unwrap(), Grants::default());
    assert_eq!(read(json!([])).unwrap(), Grants::default());
    check(json!({}), "authorization_details is not an array");
}

#[test]
fn publish_and_subscribe_are_granted_apart() {
    let grants = read(json!([
        detail(
            json!(["publish"]),
            json!([{"match": "https://a.example/1"}])
        ),
        detail(
            json!(["subscribe", "publish"]),
            json!([{"match": "*", "match_type": "urlpattern"}])
        ),
    ]))
    .unwrap();
    assert_eq!(grants.publish().len(), 2);
    assert_eq!(grants.subscribe().len(), 1);
    assert!(grants.subscribe()[0].is_wildcard());
}

#[test]
fn other_types_are_skipped_and_case_is_no_way_in() {
    for other in [
        json!({"type": "payment_initiation", "actions": 1, "topics": "x", "payload": 3}),
        json!({"type": "https://mercure.rocks/authorization-detail/", "actions": ["publish"]}),
        json!({"type": "HTTPS://mercure.rocks/authorization-detail", "actions": ["publish"],
               "topics": [{"match": "*"}]}),
        json!({"type": "other", "Type": DETAIL_TYPE, "actions": ["publish"],
               "topics": [{"match": "*"}]}),
    ] {
        assert_eq!(read(json!([other])).unwrap(), Grants::default());
    }
    check(
        json!([{"TYPE": DETAIL_TYPE, "ACTIONS": ["publish"], "TOPICS": [{"MATCH": "*"}]}]),
        "authorization_details[0]: it has no type, or one that is not a string",
    );
    check(
        json!(["x"]),
        "authorization_details[0]: it is not an object",
    );
}

#[test]
fn actions_are_strings_and_unknown_ones_grant_nothing() {
    let topics = json!([{"match": "*"}]);
    let grants = read(json!([detail(
        json!(["purge", "PUBLISH", ""]),
        topics.clone()
    )]))
    .unwrap();
    assert!(grants.publish().is_empty() && grants.subscribe().is_empty());
    for actions in [
        json!([]),
        json!("publish"),
        json!(["publish", 1]),
        json!(null),
        json!({}),
    ] {
        check(
            json!([detail(actions, topics.clone())]),
            "authorization_details[0]: actions is not a non-empty array of strings",
        );
    }
    check(
        json!([{"type": DETAIL_TYPE, "topics": topics}]),
        "authorization_details[0]: actions is not a non-empty array of strings",
    );
}

#[test]
fn topics_are_matcher_objects() {
    for topics in [json!([]), json!("*"), json!(null), json!({"match": "*"})] {
        check(
            json!([detail(json!(["publish"]), topics)]),
            "authorization_details[0]: topics is not a non-empty array of matcher objects",
        );
    }
    for entry in [
        json!("*"),
        json!({}),
        json!({"match": 1}),
        json!({"Match": "*"}),
        json!([]),
    ] {
        check(
            json!([detail(json!(["publish"]), json!([{"match": "*"}, entry]))]),
            "authorization_details[0]: topics[1] is not an object with a string match",
        );
    }
}

#[test]
fn an_unknown_matcher_type_refuses_the_token_even_for_an_action_that_grants_nothing() {
    for kind in [json!("Exact"), json!("regexp"), json!(1), json!(null)] {
        let topics = json!([{"match": "*", "match_type": kind}]);
        check(
            json!([detail(json!(["purge"]), topics)]),
            &format!(
                "authorization_details[0]: topics[0]: match_type {kind} is not known; exact and \
                 urlpattern are"
            ),
        );
    }
}

#[test]
fn one_bad_detail_refuses_the_others_too() {
    let good = detail(json!(["publish"]), json!([{"match": "*"}]));
    let bad = detail(
        json!(["publish"]),
        json!([{"match": "/:", "match_type": "urlpattern"}]),
    );
    let error = read(json!([good, bad])).unwrap_err().to_string();
    assert!(
        error.starts_with("authorization_details[1]: topics[0]: a matcher is not"),
        "{error}"
    );
    for pattern in ["", "a\u{200b}b", "a\u{0}b"] {
        let empty = detail(json!(["publish"]), json!([{"match": pattern}]));
        assert!(read(json!([empty])).is_err());
    }
}

#[test]
fn a_payload_is_an_object_and_that_of_the_first_match_counts() {
    for payload in [json!("x"), json!(1), json!([]), json!(null)] {
        let mut bad = detail(json!(["publish"]), json!([{"match": "*"}]));
        bad["payload"] = payload;
        check(
            json!([bad]),
            "authorization_details[0]: payload is not an object",
        );
    }
    let mut first = detail(
        json!(["subscribe"]),
        json!([{"match": "https://a.example/1"}]),
    );
    first["payload"] = json!({"b": 1, "a": [2.5]});
    let mut publisher = detail(json!(["publish"]), json!([{"match": "*"}]));
    publisher["payload"] = json!({"not": "shown"});
    let mut rest = detail(json!(["subscribe"]), json!([{"match": "*"}]));
    rest["payload"] = json!({});
    let grants = read(json!([publisher, first, rest])).unwrap();
    let subject = |topic| Subject::new(&Topic::parse(topic).unwrap(), &hub());
    let payload = |topic| grants.payload_for(&subject(topic)).unwrap().to_owned();
    assert_eq!(payload("https://a.example/1"), r#"{"a":[2.5],"b":1}"#);
    assert_eq!(payload("https://a.example/2"), "{}");
}

#[test]
fn more_than_the_limits_refuses_the_token() {
    let one = detail(json!(["publish"]), json!([{"match": "a"}]));
    assert!(read(json!(vec![one.clone(); TOKEN_DETAILS_MAX])).is_ok());
    check(
        json!(vec![one; TOKEN_DETAILS_MAX + 1]),
        "a token has 101 authorization details, more than 100",
    );
    let many = |count: usize| {
        let topics = json!(vec![json!({"match": "a"}); count]);
        json!([detail(json!(["publish"]), topics)])
    };
    assert!(read(many(TOKEN_MATCHERS_MAX)).is_ok());
    check(
        many(TOKEN_MATCHERS_MAX + 1),
        "a token has 1001 matchers, more than 1000",
    );
    let long = "x".repeat(tidings_core::limits::PATTERN_BYTES_MAX + 1);
    assert!(
        read(json!([detail(
            json!(["publish"]),
            json!([{"match": long}])
        )]))
        .is_err()
    );
}

#[track_caller]
fn check(claim: Value, expected: &str) {
    assert_eq!(read(claim).unwrap_err().to_string(), expected);
}

fn read(claim: Value) -> Result<Grants, TokenError> {
    parse(
        Some(&Json::parse(claim.to_string().as_bytes()).unwrap()),
        &hub(),
    )
}

fn detail(actions: Value, topics: Value) -> Value {
    json!({"type": DETAIL_TYPE, "actions": actions, "topics": topics})
}

fn hub() -> HubUrl {
    HubUrl::parse("https://hub.example.com/.well-known/mercure").unwrap()
}
