//! Topics by rate: what counts, for how long, and how many.

use tidings_core::event_id::EventId;
use tidings_core::position::Position;
use tidings_core::topic::Topic;
use tidings_core::update::{IdSource, Topics, Visibility};

use super::*;

#[test]
fn nothing_is_counted_before_somebody_looks_and_long_after() {
    let (mut counts, start) = (TopicCounts::default(), Instant::now());
    counts.count(&[update("a")], start);
    assert!(counts.rates(start).topics.is_empty());
    counts.count(&[update("a"), update("b"), update("a")], start);
    let rates = counts.rates(start + Duration::from_secs(2));
    assert_eq!(names(&rates), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    assert_eq!(rates.over, Duration::from_secs(2));
    let later = start + Duration::from_secs(2) + IDLE_MAX * 2;
    counts.count(&[update("a")], later);
    assert!(counts.0.is_none());
}

#[test]
fn old_counts_leave_after_two_windows() {
    let (mut counts, start) = (TopicCounts::default(), Instant::now());
    counts.rates(start);
    counts.count(&[update("old")], start);
    let in_the_next = start + WINDOW;
    counts.count(&[update("new")], in_the_next);
    assert_eq!(counts.rates(in_the_next).topics.len(), 2);
    let after_it = in_the_next + WINDOW;
    assert_eq!(
        names(&counts.rates(after_it)),
        [("new".to_owned(), 1)],
        "only the last windows count"
    );
}

#[test]
fn the_table_is_bounded_and_keeps_what_is_frequent() {
    let (mut counts, start) = (TopicCounts::default(), Instant::now());
    counts.rates(start);
    for number in 0..10_000 {
        counts.count(&[update(&format!("rare/{number}")), update("often")], start);
    }
    let rates = counts.rates(start);
    assert_eq!(rates.topics.len(), TOPICS_MAX);
    let first = &rates.topics[0];
    assert_eq!(
        (&*first.topic, first.updates, first.error),
        ("often", 10_000, 0)
    );
    // Whatever inherited a count says how much of it.
    assert!(rates.topics[1].updates - rates.topics[1].error <= 1);
}

fn names(rates: &TopicRates) -> Vec<(String, u64)> {
    let topics = rates.topics.iter();
    topics
        .map(|rate| (rate.topic.to_string(), rate.updates))
        .collect()
}

fn update(topic: &str) -> Arc<Update> {
    Arc::new(Update {
        trace: None,
        position: Position::new(1),
        print: None,
        id: EventId::parse("urn:x:1").unwrap(),
        id_source: IdSource::Publisher,
        published_ms: 0,
        topics: Topics::one(Topic::parse(topic).unwrap()),
        data: "12".into(),
        visibility: Visibility::Public,
        event_type: None,
        retry_ms: None,
        presence: None,
        note: None,
    })
}
