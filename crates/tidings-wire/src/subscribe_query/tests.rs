//! Tests of [`subscribe_query`](super).

use super::*;

#[test]
fn the_example_of_the_specification() {
    check(
        "match=https%3A%2F%2Fexample.com%2Ffoo&match=bar\
         &match_urlpattern=https%3A%2F%2Fexample.com%2Fbar%2F%3Aid",
        "exact https://example.com/foo|exact bar|urlpattern https://example.com/bar/:id",
    );
}

#[test]
fn match_and_match_exact_are_the_same_type() {
    check("match=a&match_exact=b", "exact a|exact b");
}

#[test]
fn a_type_that_nobody_knows_is_passed_on_if_its_name_is_canonical() {
    check("match_regexp2=a", "regexp2 a");
}

#[test]
fn every_other_name_that_begins_with_match_is_refused() {
    let names = [
        "Match",
        "MATCH",
        "mAtch_exact",
        "match_",
        "match_Exact",
        "match_2",
        "match_url_pattern",
        "match_url-pattern",
        "matches",
        "matching",
        "match[]",
        "match%20",
        "match_exact%00",
        "match_%C3%A9",
        "m%61tcher",
    ];
    for name in names {
        let error = decode(&format!("match=a&{name}=b")).expect_err(name);
        assert!(
            matches!(error, QueryError::UnknownMatcherType { .. }),
            "{name}: {error}"
        );
    }
    assert_eq!(
        decode("match=a&m%61tcher=b")
            .expect_err("refused")
            .to_string(),
        "unknown topic matcher query parameter \"matcher\""
    );
    assert_eq!(
        decode("match_%ff=b").expect_err("refused").to_string(),
        "unknown topic matcher query parameter \"match_\u{fffd}\""
    );
}

#[test]
fn names_are_compared_after_percent_decoding() {
    check("m%61tch=a&match%5Furlpattern=b", "exact a|urlpattern b");
}

#[test]
fn a_matcher_without_a_value_is_an_empty_pattern() {
    check("match&match_urlpattern=", "exact |urlpattern ");
}

#[test]
fn a_stray_percent_sign_and_a_semicolon_are_part_of_a_pattern() {
    check(
        "match=a;b&match=100%&match=c",
        "exact a;b|exact 100%|exact c",
    );
}

#[test]
fn other_parameters_are_skipped() {
    check("topic=a&match=b&mat=%ff&%ff=1&atch=c", "exact b");
}

#[test]
fn query_and_body_are_united() {
    let decoded = SubscribeQuery::decode(
        b"match=a&last_event_id=1",
        Some(b"match_urlpattern=b&last_event_id=2"),
        9,
    );
    assert_eq!(shown_query(decoded), "exact a|urlpattern b; after 1");
    let decoded = SubscribeQuery::decode(b"", Some(b"match=b&last_event_id=2"), 9);
    assert_eq!(shown_query(decoded), "exact b; after 2");
}

#[test]
fn the_first_last_event_id_counts_even_if_it_is_empty() {
    check(
        "match=a&last_event_id=1&last_event_id=2",
        "exact a; after 1",
    );
    check("match=a&last_event_id&last_event_id=2", "exact a; after ");
    check("match=a&Last_Event_Id=1", "exact a");
}

#[test]
fn a_request_without_a_matcher_is_refused() {
    for query in ["", "last_event_id=1", "topic=a"] {
        assert_eq!(decode(query), Err(QueryError::NoMatcher), "{query}");
    }
}

#[test]
fn too_many_matchers_are_refused_wherever_they_stand() {
    assert!(SubscribeQuery::decode(b"match=a", Some(b"match=b"), 2).is_ok());
    assert_eq!(
        SubscribeQuery::decode(b"match=a", Some(b"match=b&match=c"), 2),
        Err(QueryError::TooManyMatchers { max: 2 })
    );
}

#[test]
fn values_are_utf_8() {
    for query in [
        "match=%ff",
        "match_urlpattern=a%C3",
        "match=a&last_event_id=%80",
    ] {
        let error = decode(query).expect_err(query);
        assert!(matches!(error, QueryError::NotUtf8(_)), "{query}: {error}");
    }
}

#[test]
fn every_split_between_query_and_body_gives_the_same_matchers() {
    let parameters = [
        "match=a",
        "match_urlpattern=%C3%A9",
        "last_event_id=7",
        "match=+",
    ];
    for split in 0..=parameters.len() {
        let (query, body) = parameters.split_at(split);
        let (query, body) = (query.join("&"), body.join("&"));
        let decoded = SubscribeQuery::decode(query.as_bytes(), Some(body.as_bytes()), 9);
        assert_eq!(
            shown_query(decoded),
            "exact a|urlpattern é|exact  ; after 7"
        );
    }
}

#[test]
fn every_truncation_has_an_answer() {
    let query = b"match=%C3%A9&last_event_id=%80";
    let answers: String = (0..=query.len())
        .map(|end| match SubscribeQuery::decode(&query[..end], None, 1) {
            Ok(_) => '+',
            Err(QueryError::NoMatcher) => '-',
            Err(QueryError::NotUtf8(_)) => '8',
            Err(QueryError::UnknownMatcherType { .. }) => 'u',
            Err(QueryError::TooManyMatchers { .. }) => 'm',
        })
        .collect();
    assert_eq!(answers, "-----++++888++++++++++++++++++8");
}

#[track_caller]
fn check(query: &str, expected: &str) {
    assert_eq!(shown_query(decode(query)), expected);
}

fn decode(query: &str) -> Result<SubscribeQuery, QueryError> {
    SubscribeQuery::decode(query.as_bytes(), None, 100)
}

fn shown_query(decoded: Result<SubscribeQuery, QueryError>) -> String {
    let decoded = decoded.expect("a subscription");
    let matchers: Vec<_> = decoded
        .matchers
        .iter()
        .map(|(kind, pattern)| format!("{kind} {pattern}"))
        .collect();
    let cursor = decoded
        .last_event_id
        .map(|id| format!("; after {id}"))
        .unwrap_or_default();
    format!("{}{cursor}", matchers.join("|"))
}
