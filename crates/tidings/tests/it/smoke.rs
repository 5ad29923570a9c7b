//! The first five minutes: publish, receive, come back.

use crate::harness::TestHub;

#[test]
fn an_update_reaches_a_subscriber_and_one_who_comes_later() {
    let hub = TestHub::dev();
    let mut early = hub.subscribe("match=https://example.com/hello");
    let id = hub.published(&[
        ("topic", "https://example.com/hello"),
        ("data", "Hello\nworld"),
    ]);
    let event = early.event();
    assert_eq!(event.data, "Hello\nworld");
    assert_eq!(event.last_event_id, id);
    let mut late = hub.subscribe("match=https://example.com/hello&last_event_id=earliest");
    assert_eq!(late.head.header("mercure-last-event-id"), Some("earliest"));
    assert_eq!(late.event(), event);
}
