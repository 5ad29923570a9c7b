//! Queries of before 1.0, and what tells them from those of 1.0.

use super::{SelectorError, SelectorQuery, old_cursor, token};

#[test]
fn topics_and_the_cursor_are_read_in_their_order() {
    check("topic=a&topic=b%2F%7Bid%7D&x=1", &["a", "b/{id}"], None);
    check("topic=a;b&topic=100%", &["a;b", "100%"], None);
    check("topic&topic=", &["", ""], None);
    for name in [
        "last_event_id",
        "lastEventID",
        "Last-Event-ID",
        "lastEventId",
    ] {
        check(&format!("topic=a&{name}=1&{name}=2"), &["a"], Some("1"));
    }
    check("topic=a&LASTEVENTID=1", &["a"], None);
    check("lastEventID=X&Last-Event-ID=Y&topic=a", &["a"], Some("X"));
}

#[test]
fn the_first_rule_that_is_broken_is_named() {
    let decode = |query: &str| SelectorQuery::decode(query.as_bytes(), 2).unwrap_err();
    assert_eq!(decode("x=1"), SelectorError::NoSelector);
    assert_eq!(decode("Topic=1"), SelectorError::NoSelector);
    assert_eq!(
        decode("topic=a&topic=b&topic=c"),
        SelectorError::TooMany { max: 2 }
    );
    assert!(matches!(decode("topic=%ff"), SelectorError::NotUtf8(_)));
    assert!(matches!(
        decode("topic=a&lastEventID=%ff"),
        SelectorError::NotUtf8(_)
    ));
}

#[test]
fn a_matcher_of_1_0_makes_it_a_query_of_1_0() {
    for (query, old) in [
        ("topic=a", true),
        ("x=1&topic", true),
        ("%74opic=a", true),
        ("", false),
        ("topics=a", false),
        ("match=a", false),
        ("topic=a&match=b", false),
        ("match_urlpattern=b&topic=a", false),
        ("topic=a&MatchX=1", false),
        ("topic=a&%6Datch=1", false),
    ] {
        assert_eq!(SelectorQuery::applies_to(query.as_bytes()), old, "{query}");
    }
}

#[test]
fn a_token_and_a_cursor_are_found_alone() {
    assert_eq!(
        token(b"topic=a&authorization=x.y.z").as_deref(),
        Some("x.y.z")
    );
    assert_eq!(token(b"authorization="), None);
    assert_eq!(token(b"Authorization=x"), None);
    assert_eq!(token(b"authorization=%ff"), None);
    assert_eq!(old_cursor(b"match=a&lastEventId=7").as_deref(), Some("7"));
    assert_eq!(old_cursor(b"match=a"), None);
}

#[track_caller]
fn check(query: &str, selectors: &[&str], last_event_id: Option<&str>) {
    let decoded = SelectorQuery::decode(query.as_bytes(), 10).unwrap();
    assert_eq!(decoded.selectors, selectors, "{query}");
    assert_eq!(decoded.last_event_id.as_deref(), last_event_id, "{query}");
}
