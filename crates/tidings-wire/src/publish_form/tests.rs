//! Tests of [`publish_form`](super).

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

#[test]
fn the_example_of_the_specification() {
    check(
        b"topic=https://example.com/foo&data=the%20content",
        expect![[r#"
            Ok(
                PublishForm {
                    topics: [
                        "https://example.com/foo",
                    ],
                    data: Some(
                        "the content",
                    ),
                    private: false,
                    id: None,
                    event_type: None,
                    retry: None,
                    traceparent: None,
                },
            )
        "#]],
    );
}

#[test]
fn all_fields_are_read_and_unknown_ones_are_skipped() {
    let form = decode(
        "topic=a&unknown=%ff&topic=b&data=x%0Ay&private=no&id=7&type=news&retry=0090&Topic=c",
    );
    assert_eq!(
        form,
        Ok(PublishForm {
            traceparent: None,
            topics: vec!["a".into(), "b".into()],
            data: Some("x\ny".into()),
            private: true,
            id: Some("7".into()),
            event_type: Some("news".into()),
            retry: Some(90),
        })
    );
}

#[test]
fn the_presence_of_private_makes_an_update_private() {
    for body in [
        "topic=a&private",
        "private=&topic=a",
        "topic=a&private=off",
        "topic=a&private=%ff",
    ] {
        assert!(decode(body).expect(body).private, "{body}");
    }
    assert!(!decode("topic=a&Private=on").expect("a form").private);
}

#[test]
fn the_first_of_several_values_counts() {
    let form = decode("topic=a&data=1&data=2&id=3&id=4&type=5&type=6&retry=7&retry=x");
    assert_eq!(
        form.map(|form| (form.data, form.id, form.event_type, form.retry)),
        Ok((
            Some("1".into()),
            Some("3".into()),
            Some("5".into()),
            Some(7)
        ))
    );
}

#[test]
fn empty_fields_are_present() {
    let form = decode("topic=&data&id=&type=").expect("a form");
    assert_eq!(form.topics, [""]);
    assert_eq!(
        (form.data.as_deref(), form.id.as_deref()),
        (Some(""), Some(""))
    );
    assert_eq!(form.event_type.as_deref(), Some(""));
}

#[test]
fn a_body_without_a_topic_is_refused() {
    for body in ["", "data=x", "{\"topic\":\"a\"}", "Topic=a"] {
        assert_eq!(decode(body), Err(FormError::NoTopic), "{body}");
    }
}

#[test]
fn retry_is_ascii_digits_that_fit_64_bits() {
    assert_eq!(
        decode("topic=a&retry=18446744073709551615").map(|form| form.retry),
        Ok(Some(u64::MAX))
    );
    for body in ["topic=a&retry=", "topic=a&retry=&retry=1"] {
        assert_eq!(decode(body).map(|form| form.retry), Ok(None), "{body}");
    }
    for value in [
        "-1",
        "%2B1",
        "+1",
        "1.5",
        "1e3",
        "0x1",
        "18446744073709551616",
        "%D9%A1",
    ] {
        let error = decode(&format!("topic=a&retry={value}")).expect_err(value);
        assert!(matches!(error, FormError::Retry { .. }), "{value}: {error}");
    }
    let error = decode("topic=a&retry=soon").expect_err("not digits");
    assert_eq!(error.to_string(), "invalid \"retry\" parameter \"soon\"");
}

#[test]
fn too_many_topics_are_refused() {
    assert!(PublishForm::decode(b"topic=a&topic=b", 2).is_ok());
    assert_eq!(
        PublishForm::decode(b"topic=a&topic=b&topic=%ff", 2),
        Err(FormError::TooManyTopics { max: 2 })
    );
}

#[test]
fn names_and_values_that_count_are_utf_8() {
    for body in [
        "topic=%ff",
        "topic=a&data=%c3",
        "topic=a&id=%80",
        "topic=a&type=%fe",
        "topic=a&%ff=1",
    ] {
        let error = decode(body).expect_err(body);
        assert!(matches!(error, FormError::NotUtf8(_)), "{body}: {error}");
    }
    assert_eq!(
        decode("topic=a&data=%c3")
            .expect_err("not UTF-8")
            .to_string(),
        "field \"data\" is not valid UTF-8"
    );
}

#[test]
fn every_truncation_has_an_answer() {
    let body = b"topic=a%C3%A9&data=%F0%9F%98%80&retry=12";
    let answers: String = (0..=body.len())
        .map(|end| match PublishForm::decode(&body[..end], 3) {
            Ok(_) => '+',
            Err(FormError::NoTopic) => '-',
            Err(FormError::List(_)) => '[',
            Err(FormError::NotUtf8(_)) => '8',
            Err(FormError::Retry { .. }) => 'r',
            Err(FormError::TooManyTopics { .. }) => 'm',
        })
        .collect();
    assert_eq!(answers, "-----+++++888+++++++++888888888++++++++++");
}

proptest! {
    #[test]
    fn an_encoded_form_is_decoded(
        topics in prop::collection::vec(".{0,20}", 1..5),
        data in prop::option::of(".{0,20}"),
        private: bool,
        id in prop::option::of(".{0,20}"),
        event_type in prop::option::of(".{0,20}"),
        retry: Option<u64>,
    ) {
        let form = PublishForm { topics, data, private, id, event_type, retry, traceparent: None };
        prop_assert_eq!(PublishForm::decode(form.encode().as_bytes(), 5), Ok(form));
    }
}

#[track_caller]
fn check(body: &[u8], expected: Expect) {
    expected.assert_debug_eq(&PublishForm::decode(body, 100));
}

fn decode(body: &str) -> Result<PublishForm, FormError> {
    PublishForm::decode(body.as_bytes(), 100)
}
