//! What the authorization details of a token allow, and for which the token is refused.

use super::*;

#[test]
fn a_detail_counts_if_its_type_is_exactly_mercures() {
    let hub = hub();
    let other = json!({"type": "https://example.com/payments", "amount": 1});
    let good = detail(&["publish"], &["*"]);
    assert_eq!(
        publish(&hub, &token_with(json!([other, good])), TOPIC).status,
        200
    );
    for kind in [
        DETAIL_TYPE.to_uppercase(),
        format!("{DETAIL_TYPE}/"),
        "https://example.com/payments".to_owned(),
    ] {
        let mut detail = detail(&["publish"], &["*"]);
        detail["type"] = json!(kind);
        check_forbidden(&publish(&hub, &token_with(json!([detail])), TOPIC));
    }
}

#[test]
fn names_in_a_token_are_compared_byte_for_byte() {
    let hub = hub();
    for wrong in ["Type", "Actions", "Topics"] {
        let mut detail = detail(&["publish"], &["*"]);
        let right = detail
            .as_object_mut()
            .unwrap()
            .remove(&wrong.to_lowercase())
            .unwrap();
        detail[wrong] = right;
        check_invalid(&hub, &token_with(json!([detail])), wrong);
    }
    let mut claims = without("authorization_details");
    claims["Authorization_details"] = json!([detail(&["publish"], &["*"])]);
    check_forbidden(&publish(&hub, &token(&claims), TOPIC));
    let topics = json!([{"Match": "*"}]);
    check_invalid(&hub, &token_with(topics_detail(topics)), "Match");
    check_forbidden(&publish(
        &hub,
        &token_with(json!([detail(&["Publish"], &["*"])])),
        TOPIC,
    ));
}

#[test]
fn actions_are_strings_and_unknown_ones_grant_nothing() {
    let hub = hub();
    let of = |actions: Value| {
        token_with(json!([{"type": DETAIL_TYPE, "actions": actions, "topics": [{"match": "*"}]}]))
    };
    assert_eq!(
        publish(&hub, &of(json!(["fly", "publish"])), TOPIC).status,
        200
    );
    check_forbidden(&publish(&hub, &of(json!(["fly"])), TOPIC));
    check_forbidden(&publish(&hub, &of(json!(["subscribe"])), TOPIC));
    for actions in [
        json!([]),
        json!("publish"),
        json!(["publish", 1]),
        json!(["publish", null]),
        json!([["publish"]]),
        json!({"publish": true}),
        json!(null),
    ] {
        check_invalid(&hub, &of(actions.clone()), &actions.to_string());
    }
    let without = json!([{"type": DETAIL_TYPE, "topics": [{"match": "*"}]}]);
    check_invalid(&hub, &token_with(without), "no actions");
}

#[test]
fn topics_are_a_non_empty_array_of_matcher_objects() {
    let hub = hub();
    for topics in [
        json!([]),
        json!("*"),
        json!({"match": "*"}),
        json!(null),
        json!(["*"]),
        json!([null]),
        json!([1]),
        json!([[]]),
        json!([{}]),
        json!([{"match": 1}]),
        json!([{"match": ""}]),
        json!([{"match": "a\u{0}b"}]),
        json!([{"match": "a\u{200b}\u{ad}b"}]),
        json!([{"match": "*"}, "*"]),
        json!([{"match_type": "exact"}]),
    ] {
        check_invalid(
            &hub,
            &token_with(topics_detail(topics.clone())),
            &topics.to_string(),
        );
    }
    let without = json!([{"type": DETAIL_TYPE, "actions": ["publish"]}]);
    check_invalid(&hub, &token_with(without), "no topics");
}

#[test]
fn a_matcher_type_is_exact_unless_said_and_must_be_known() {
    let hub = hub();
    let of = |matcher: Value| token_with(topics_detail(json!([matcher])));
    let pattern = "https://example.com/books/:id";
    for (matcher, status) in [
        (json!({"match": TOPIC}), 200),
        (json!({"match": TOPIC, "match_type": "exact"}), 200),
        (json!({"match": pattern, "match_type": "urlpattern"}), 200),
        // As text, the pattern is another topic.
        (json!({"match": pattern}), 403),
        (json!({"match": OTHER_TOPIC}), 403),
        (json!({"match": "*"}), 200),
        (json!({"match": "*", "match_type": "exact"}), 200),
        (json!({"match": "*", "match_type": "urlpattern"}), 200),
        (json!({"match": TOPIC, "match_type": "Exact"}), 401),
        (json!({"match": TOPIC, "match_type": "URLPattern"}), 401),
        (json!({"match": TOPIC, "match_type": "regexp"}), 401),
        (json!({"match": TOPIC, "match_type": ""}), 401),
        (json!({"match": TOPIC, "match_type": null}), 401),
        (
            json!({"match": "https://example.com/(", "match_type": "urlpattern"}),
            401,
        ),
    ] {
        let answer = publish(&hub, &of(matcher.clone()), TOPIC);
        assert_eq!(answer.status, status, "{matcher}: {}", answer.text());
    }
}

#[test]
fn a_payload_is_an_object_or_the_token_is_refused() {
    let hub = hub();
    let of = |payload: Value| {
        let mut detail = detail(&["publish", "subscribe"], &["*"]);
        detail["payload"] = payload;
        token_with(json!([detail]))
    };
    check_accepted(&hub, &of(json!({"name": "Ann"})), "an object");
    for payload in [json!("Ann"), json!(1), json!([]), json!(null), json!(true)] {
        check_invalid(&hub, &of(payload.clone()), &payload.to_string());
    }
}

#[test]
fn a_token_with_too_many_details_or_matchers_is_invalid() {
    let hub = TestHub::dev();
    let details = |count: usize| {
        let all: Vec<Value> = (0..count).map(|_| detail(&["publish"], &["*"])).collect();
        dev_token(&hub, &json!(all))
    };
    assert_eq!(publish(&hub, &details(100), TOPIC).status, 200);
    let answer = publish(&hub, &details(101), TOPIC);
    check_invalid_answer(&answer, "101 details");
    assert!(answer.text().contains("101"), "{}", answer.text());
    let matchers = |count: usize| {
        let topics: Vec<Value> = (0..count).map(|_| json!({"match": "*"})).collect();
        dev_token(&hub, &topics_detail(json!(topics)))
    };
    assert_eq!(publish(&hub, &matchers(700), TOPIC).status, 200);
    check_invalid_answer(&publish(&hub, &matchers(1001), TOPIC), "1001 matchers");
}

#[test]
fn one_bad_detail_refuses_the_whole_token() {
    let hub = hub();
    let good = detail(&["publish", "subscribe"], &["*"]);
    let bad = json!({"type": DETAIL_TYPE, "actions": ["publish"], "topics": [{"match": ""}]});
    check_accepted(&hub, &token_with(json!([good])), "the good one");
    check_invalid(&hub, &token_with(json!([good, bad])), "the bad one last");
    check_invalid(&hub, &token_with(json!([bad, good])), "the bad one first");
    check_invalid(&hub, &token_with(json!([good, "text"])), "not an object");
    check_invalid(&hub, &token_with(json!(good)), "not an array");
}

#[test]
fn publishing_needs_a_grant_for_every_topic() {
    let hub = TestHub::serve(&settings_of("[subscribe]\nanonymous = true\n"));
    let mut stream = hub.subscribe(&format!("match={TOPIC}&match={OTHER_TOPIC}"));
    let narrow = token_with(json!([detail(&["publish"], &[TOPIC])]));
    let both: &[(&str, &str)] = &[("topic", TOPIC), ("topic", OTHER_TOPIC), ("data", "no")];
    check_forbidden(&hub.publish_as(&narrow, both));
    let swapped: &[(&str, &str)] = &[("topic", OTHER_TOPIC), ("topic", TOPIC), ("data", "no")];
    check_forbidden(&hub.publish_as(&narrow, swapped));
    // Two details may grant it together.
    let parts = json!([
        detail(&["publish"], &[TOPIC]),
        detail(&["publish"], &[OTHER_TOPIC])
    ]);
    let yes: &[(&str, &str)] = &[("topic", TOPIC), ("topic", OTHER_TOPIC), ("data", "yes")];
    assert_eq!(hub.publish_as(&token_with(parts), yes).status, 200);
    assert_eq!(stream.event().data, "yes");
}

#[test]
fn a_private_update_needs_one_granted_topic() {
    let hub = TestHub::serve(&settings_of("[subscribe]\nanonymous = true\n"));
    let asked = format!("{HUB_PATH}?match={TOPIC}&match={OTHER_TOPIC}");
    let granted = token_with(json!([detail(&["subscribe"], &[OTHER_TOPIC])]));
    let wrong_action = token_with(json!([detail(&["publish"], &[OTHER_TOPIC])]));
    let mut reader = hub.subscribe_by(Request::get(&asked).bearer(&granted));
    let mut anonymous = hub.subscribe_by(Request::get(&asked));
    let mut publisher = hub.subscribe_by(Request::get(&asked).bearer(&wrong_action));
    let send = |topics: &[&str], data: &str, private: bool| {
        let mut form: Vec<(&str, &str)> = topics.iter().map(|&topic| ("topic", topic)).collect();
        form.push(("data", data));
        form.extend(private.then_some(("private", "on")));
        assert_eq!(hub.publish_as(&token_for_all(), &form).status, 200);
    };
    send(&[TOPIC], "only the first", true);
    send(&[TOPIC, OTHER_TOPIC], "both", true);
    send(&[OTHER_TOPIC], "only the second", true);
    send(&[TOPIC], "public", false);
    assert_eq!(reader.data(3), ["both", "only the second", "public"]);
    assert_eq!(anonymous.data(1), ["public"]);
    assert_eq!(publisher.data(1), ["public"]);
}

fn topics_detail(topics: Value) -> Value {
    json!([{"type": DETAIL_TYPE, "actions": ["publish", "subscribe"], "topics": topics}])
}

/// Returns a token of a developer's hub with these details, made without its help.
fn dev_token(hub: &TestHub, details: &Value) -> String {
    let mut claims = claims_of(&hub.publisher_token());
    claims["authorization_details"] = details.clone();
    sign(&dev_key(hub), &header(), &claims)
}
