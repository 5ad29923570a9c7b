//! Which texts are topics.

use super::{Topic, TopicError};
use crate::limits::TOPIC_BYTES_MAX;

#[test]
fn any_visible_text_is_a_topic() {
    for text in [
        "a",
        "https://example.com/books/1",
        "/relative",
        "日本語",
        "**",
        "a b",
        "http://[",
    ] {
        assert_eq!(Topic::parse(text).unwrap().as_str(), text);
    }
}

#[test]
fn an_empty_topic_is_refused() {
    assert_eq!(Topic::parse(""), Err(TopicError::Empty));
}

#[test]
fn the_wildcard_is_no_topic() {
    assert_eq!(Topic::parse("*"), Err(TopicError::Wildcard));
}

#[test]
fn an_invisible_character_is_refused() {
    for character in ['\n', '\u{7f}', '\u{85}', '\u{200b}', '\u{202e}'] {
        let error = TopicError::ForbiddenCharacter { character };
        assert_eq!(Topic::parse(&format!("a{character}b")), Err(error));
    }
}

#[test]
fn a_topic_may_be_as_long_as_the_limit_and_no_longer() {
    let longest = "é".repeat(TOPIC_BYTES_MAX / 2);
    assert!(Topic::parse(&longest).is_ok());
    let error = TopicError::TooLong {
        bytes: TOPIC_BYTES_MAX + 1,
        max: TOPIC_BYTES_MAX,
    };
    assert_eq!(Topic::parse(&format!("{longest}a")), Err(error));
}

#[test]
fn an_error_says_what_is_wrong() {
    let error = Topic::parse("a\u{202e}").unwrap_err().to_string();
    assert_eq!(
        error,
        "a topic contains '\\u{202e}', a control or format character"
    );
}
