//! Which ids a publisher may supply, and how cursors read.

use super::{Cursor, EventId, EventIdError};
use crate::limits::EVENT_ID_BYTES_MAX;

#[test]
fn any_visible_text_is_an_id() {
    for text in [
        "1",
        "urn:uuid:e1ee88e2-532a-4d6f-ba70-f0f8bd584022",
        "a#b",
        "Earliest",
        "é",
    ] {
        assert_eq!(EventId::parse(text).unwrap().as_str(), text);
    }
}

#[test]
fn reserved_ids_are_refused() {
    assert_eq!(EventId::parse("#1"), Err(EventIdError::Fragment));
    assert_eq!(EventId::parse("earliest"), Err(EventIdError::Earliest));
    assert_eq!(EventId::parse(""), Err(EventIdError::Empty));
}

#[test]
fn an_id_that_would_break_a_header_or_an_event_is_refused() {
    for character in ['\0', '\r', '\n', '\u{7f}', '\u{9f}', '\u{feff}'] {
        let error = EventIdError::ForbiddenCharacter { character };
        assert_eq!(EventId::parse(&format!("a{character}")), Err(error));
    }
}

#[test]
fn a_long_id_is_refused() {
    assert!(EventId::parse(&"a".repeat(EVENT_ID_BYTES_MAX)).is_ok());
    let error = EventIdError::TooLong {
        bytes: EVENT_ID_BYTES_MAX + 1,
        max: EVENT_ID_BYTES_MAX,
    };
    assert_eq!(
        EventId::parse(&"a".repeat(EVENT_ID_BYTES_MAX + 1)),
        Err(error)
    );
}

#[test]
fn no_event_and_earliest_ask_for_everything() {
    assert_eq!(Cursor::parse(""), Cursor::Earliest);
    assert_eq!(Cursor::parse("earliest"), Cursor::Earliest);
    assert_eq!(Cursor::parse("Earliest"), Cursor::After("Earliest".into()));
    assert_eq!(Cursor::parse("#7"), Cursor::After("#7".into()));
}
