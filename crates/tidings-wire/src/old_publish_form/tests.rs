//! Publications of before 1.0.

use super::{FormError, OldFormError, OldPublishForm};

#[test]
fn the_fields_of_1_0_are_read_alike() {
    let body = b"topic=a&topic=b&data=x+y&private=on&id=7&type=t&retry=30&target=foo&target=";
    let form = OldPublishForm::decode(body, 10, 10).unwrap();
    assert_eq!(form.fields.topics, ["a", "b"]);
    assert_eq!(form.fields.data.as_deref(), Some("x y"));
    assert!(form.fields.private);
    assert_eq!(form.fields.id.as_deref(), Some("7"));
    assert_eq!(form.fields.event_type.as_deref(), Some("t"));
    assert_eq!(form.fields.retry, Some(30));
    assert_eq!(form.targets, ["foo", ""]);
}

#[test]
fn an_empty_retry_and_zero_mean_none() {
    for (retry, expected) in [("", None), ("0", None), ("000", None), ("5", Some(5))] {
        let body = format!("topic=a&retry={retry}&retry=9");
        let form = OldPublishForm::decode(body.as_bytes(), 10, 10).unwrap();
        assert_eq!(form.fields.retry, expected, "{retry:?}");
    }
}

#[test]
fn the_first_rule_that_is_broken_is_named() {
    let decode = |body: &str| OldPublishForm::decode(body.as_bytes(), 2, 1).unwrap_err();
    assert_eq!(decode("target=a"), OldFormError::Form(FormError::NoTopic));
    assert_eq!(
        decode("topic=a&topic=b&topic=c"),
        OldFormError::Form(FormError::TooManyTopics { max: 2 })
    );
    assert_eq!(
        decode("topic=a&target=a&target=b"),
        OldFormError::TooManyTargets { max: 1 }
    );
    for body in ["topic=a&retry=x", "topic=a&retry=-1", "topic=a&retry=+1"] {
        assert!(
            matches!(decode(body), OldFormError::Form(FormError::Retry { .. })),
            "{body}"
        );
    }
    for body in [
        "topic=%ff",
        "%ff=1&topic=a",
        "topic=a&target=%ff",
        "topic=a&retry=%ff",
    ] {
        assert!(
            matches!(decode(body), OldFormError::Form(FormError::NotUtf8(_))),
            "{body}"
        );
    }
}
