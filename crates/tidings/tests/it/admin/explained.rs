//! `explain` with more connections than it lists.

use serde_json::{Value, json};

use super::spec::Operator;
use super::{served, subscribe_as, token_with_grant, wait_for_subscribers};

/// More than an answer lists.
const ELSEWHERE: usize = 60;

#[test]
fn those_who_receive_an_update_are_listed_before_the_many_who_do_not() {
    let hub = served();
    let operator = Operator::of(&hub);
    let _elsewhere: Vec<_> = (0..ELSEWHERE).map(|_| hub.subscribe("match=b")).collect();
    let _refused = hub.subscribe("match=a");
    let reader = token_with_grant("reader", "subscribe", "a");
    let _reader = subscribe_as(&hub, &reader, "match=a");
    wait_for_subscribers(&hub, ELSEWHERE + 2);
    let told = operator.post(
        "/admin/v1/explain",
        &json!({"topics": ["a"], "private": true}),
    );
    assert_eq!(told["not_selected"], json!(ELSEWHERE));
    let list = told["connections"].as_array().unwrap();
    let verdicts: Vec<&Value> = list.iter().map(|one| &one["verdict"]).collect();
    assert_eq!(verdicts.len(), 50);
    assert_eq!(verdicts[..2], ["receives", "not_granted"]);
    assert!(verdicts[2..].iter().all(|one| **one == "not_selected"));
}
