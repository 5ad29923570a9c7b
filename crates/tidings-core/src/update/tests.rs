//! Event types and lists of topics.

use super::{EventType, EventTypeError, Topics, TopicsError};
use crate::limits::{EVENT_TYPE_BYTES_MAX, TOPICS_PER_UPDATE_MAX};
use crate::topic::Topic;

#[test]
fn any_visible_text_is_an_event_type() {
    for text in ["message", "Mercure", "score update", "é"] {
        assert_eq!(EventType::parse(text).unwrap().as_str(), text);
    }
}

#[test]
fn the_type_of_hub_events_is_reserved() {
    assert_eq!(EventType::parse("mercure"), Err(EventTypeError::Reserved));
    assert_eq!(EventType::mercure().as_str(), "mercure");
}

#[test]
fn a_type_that_would_break_an_event_is_refused() {
    let error = EventTypeError::ForbiddenCharacter { character: '\n' };
    assert_eq!(EventType::parse("a\ndata: b"), Err(error));
    assert_eq!(EventType::parse(""), Err(EventTypeError::Empty));
    let long = "a".repeat(EVENT_TYPE_BYTES_MAX + 1);
    let error = EventTypeError::TooLong {
        bytes: long.len(),
        max: EVENT_TYPE_BYTES_MAX,
    };
    assert_eq!(EventType::parse(&long), Err(error));
}

#[test]
fn the_first_topic_is_the_canonical_one() {
    let topics = Topics::new(vec![topic("b"), topic("a")]).unwrap();
    assert_eq!(topics.canonical().as_str(), "b");
    assert_eq!(
        topics.iter().map(Topic::as_str).collect::<Vec<_>>(),
        ["b", "a"]
    );
    assert_eq!(topics.len(), 2);
    assert_eq!(
        Topics::one(topic("a")),
        Topics::new(vec![topic("a")]).unwrap()
    );
}

#[test]
fn an_update_is_about_something_but_not_about_everything() {
    assert_eq!(Topics::new(Vec::new()), Err(TopicsError::None));
    assert!(Topics::new(vec![topic("a"); TOPICS_PER_UPDATE_MAX]).is_ok());
    let count = TOPICS_PER_UPDATE_MAX + 1;
    let error = TopicsError::TooMany {
        count,
        max: TOPICS_PER_UPDATE_MAX,
    };
    assert_eq!(Topics::new(vec![topic("a"); count]), Err(error));
}

fn topic(text: &str) -> Topic {
    Topic::parse(text).unwrap()
}
