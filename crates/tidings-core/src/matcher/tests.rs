//! What matchers match, and which texts are refused. A property at the end compares the small
//! compiled form with the crate `urlpattern`.

use proptest::prelude::*;
use urlpattern::{UrlPatternInit, UrlPatternMatchInput};

use super::{Matcher, MatcherError, MatcherType, PatternError};
use crate::hub_url::HubUrl;
use crate::limits::{PATTERN_BYTES_MAX, PATTERN_GROUPS_MAX};
use crate::subject::Subject;

#[test]
fn types_are_named_as_in_requests() {
    assert_eq!(MatcherType::from_name("exact"), Some(MatcherType::Exact));
    assert_eq!(
        MatcherType::from_name("urlpattern"),
        Some(MatcherType::UrlPattern)
    );
    assert_eq!(MatcherType::from_name("URLPattern"), None);
    assert_eq!(MatcherType::from_name(""), None);
}

#[test]
fn an_exact_matcher_is_compared_byte_for_byte() {
    let matcher = exact("https://e.com/é");
    assert!(matches(&matcher, "https://e.com/é"));
    for other in [
        "https://e.com/e\u{301}",
        "https://e.com/%C3%A9",
        "https://E.com/é",
        "/é",
    ] {
        assert!(!matches(&matcher, other), "{other}");
    }
    assert!(!matches(&exact("/books"), "https://hub.example/books"));
}

#[test]
fn the_wildcard_matches_everything_whatever_its_type() {
    for kind in MatcherType::ALL {
        let matcher = Matcher::parse(kind, "*", &hub()).unwrap();
        assert!(matcher.is_wildcard());
        for topic in ["a", "https://[", "urn:x:y", "/"] {
            assert!(matches(&matcher, topic), "{topic}");
        }
    }
    assert!(!exact("**").is_wildcard());
    assert_ne!(exact("*"), pattern("*"));
}

#[test]
fn url_patterns_match_as_the_standard_says() {
    for (text, yes, no) in [
        (
            "https://e.com/books/:id",
            "https://e.com/books/1",
            "https://e.com/books/1/2",
        ),
        (
            "https://e.com/books/:id",
            "https://E.com:443/books/1",
            "https://e.com/books/",
        ),
        (
            "https://e.com/books/:id",
            "https://e.com/books/1?x#y",
            "http://e.com/books/1",
        ),
        ("https://e.com/*", "https://e.com/a/b", "https://e.org/a"),
        (
            "https://*.e.com/a",
            "https://x.y.e.com/a",
            "https://e.com/a",
        ),
        (
            "https://e.com/a(\\d+)",
            "https://e.com/a12",
            "https://e.com/ab",
        ),
        (
            "https://e.com/(\\p{L}+)",
            "https://e.com/ab",
            "https://e.com/12",
        ),
        (
            "https://e.com/(\\p{Lu}{1,9}\\P{L}+)",
            "https://e.com/AB12",
            "https://e.com/ab12",
        ),
        (
            "https://e.com/a{/b}?",
            "https://e.com/a",
            "https://e.com/a/",
        ),
        (
            "https://e.com/a/:b*",
            "https://e.com/a/1/2",
            "https://e.com/a/",
        ),
        ("http{s}?://e.com/a", "http://e.com/a", "ftp://e.com/a"),
        ("https://e.com/A", "https://e.com/A", "https://e.com/a"),
        (
            "https://e.com/a?x=:y",
            "https://e.com/a?x=1",
            "https://e.com/a?y=1",
        ),
        ("urn\\:isbn\\:*", "urn:isbn:123", "urn:uuid:1"),
        ("/books/:id", "/books/1", "https://other.example/books/1"),
        ("/books/:id", "https://hub.example/books/1", "books/1"),
        ("books/:id", "books/1", "/books/1"),
        (
            "/.well-known/mercure/subscriptions/exact/:topic/:subscriber",
            "/.well-known/mercure/subscriptions/exact/a%2Fb/c",
            "/.well-known/mercure/subscriptions/exact/a/b/c",
        ),
        ("https://e.com/é", "https://e.com/%C3%A9", "https://e.com/e"),
    ] {
        assert!(matches(&pattern(text), yes), "{text} {yes}");
        assert!(!matches(&pattern(text), no), "{text} {no}");
    }
}

#[test]
fn a_topic_that_is_no_url_matches_no_pattern() {
    for text in ["/*", "*://*/*", "https://*", "*:*"] {
        assert!(!matches(&pattern(text), "https://["), "{text}");
    }
    assert!(matches(&pattern("*:*"), "urn:x"));
}

#[test]
fn an_empty_matcher_is_refused() {
    for kind in MatcherType::ALL {
        assert_eq!(Matcher::parse(kind, "", &hub()), Err(MatcherError::Empty));
    }
}

#[test]
fn an_invisible_character_or_too_much_text_is_refused() {
    for kind in MatcherType::ALL {
        let error = MatcherError::ForbiddenCharacter {
            character: '\u{200b}',
        };
        assert_eq!(Matcher::parse(kind, "/a\u{200b}", &hub()), Err(error));
        let long = "a".repeat(PATTERN_BYTES_MAX + 1);
        let error = MatcherError::TooLong {
            bytes: long.len(),
            max: PATTERN_BYTES_MAX,
        };
        assert_eq!(Matcher::parse(kind, &long, &hub()), Err(error));
        assert!(Matcher::parse(kind, &"a".repeat(PATTERN_BYTES_MAX), &hub()).is_ok());
    }
}

#[test]
fn what_is_no_pattern_is_refused_with_its_reason() {
    for text in [
        "https://e.com/{a",
        "https://e.com/:a/:a",
        "https://e.com/a\\",
        "https://e.com/}",
    ] {
        assert_eq!(refusal(text), PatternError::Syntax, "{text}");
    }
    for text in [
        "https://e.com/(a(?=b))",
        "https://e.com/(a(?!b))",
        "https://e.com/(a(?<=b))",
        "https://e.com/(a)(\\1)",
        "https://e.com/([)",
        "https://e.com/((a))",
        "https://e.com/(é)",
        "https://e.com/()",
        "https://e.com/(\\p{Nothing})",
    ] {
        assert_eq!(refusal(text), PatternError::Regexp, "{text}");
    }
    assert!(matches!(refusal("https://e com/"), PatternError::Url(_)));
    assert!(matches!(refusal("https://a]b/"), PatternError::Url(_)));
    assert!(matches!(
        refusal("https://e.com:99999/"),
        PatternError::Url(_)
    ));
}

#[test]
fn a_pattern_that_would_cost_too_much_is_refused() {
    let many = "/:a".repeat(PATTERN_GROUPS_MAX + 1);
    assert_eq!(
        refusal(&many),
        PatternError::TooManyGroups {
            count: PATTERN_GROUPS_MAX + 1
        }
    );
    for text in [
        "/(.{100000})",
        "/((?:a{100}){100})",
        "/((?:\\p{L}{90}){90})",
    ] {
        assert!(
            matches!(refusal(text), PatternError::TooComplex { .. }),
            "{text}"
        );
    }
}

#[test]
fn an_error_tells_no_more_than_the_reader_wrote() {
    let error = Matcher::parse(MatcherType::UrlPattern, "/(a(?=b))", &hub()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a matcher is not a usable URL pattern: a regular expression in it is invalid; \
         look-around and back-references are not supported"
    );
}

#[test]
fn brackets_belong_to_addresses_and_expressions() {
    for text in [
        "https://[\\:\\:1]/a]b",
        "https://[\\:\\:1]:80/",
        "https://([^\\]]+).e.com/",
        "/a]b",
    ] {
        assert!(
            Matcher::parse(MatcherType::UrlPattern, text, &hub()).is_ok(),
            "{text}"
        );
    }
    for text in [
        "https://]",
        "https:]",
        "https\\://]/",
        "https://(]",
        "https://[]]",
        "x://a{b}]/",
        "https://[@]",
        // Found by `no_text_makes_it_panic`: an unclosed brace still counts when the host is
        // parsed.
        "https://[}]{",
        "https://{[}]{",
        "https://a}]{",
        "https:\n//]",
        "https:/\t/]",
        ":$x://a@]",
        "a:\u{2118}://]",
    ] {
        assert!(
            Matcher::parse(MatcherType::UrlPattern, text, &hub()).is_err(),
            "{text}"
        );
    }
}

#[test]
fn what_takes_much_memory_is_refused() {
    for text in [
        "*://*/:a1(\\w{0,400})2*",
        "/:a(.*a.{14})",
        "/:a([a-z]{0,600}[0-9]{0,600})",
        "https://:sub(.*a.{14}).e.com/",
        "/x?q=:q(\\w{0,2000})",
        "/x#:h(.*a.{14})",
        "/:a(\\w{0,600})/:b(\\w{0,600})?q=:q(\\w{0,600})",
    ] {
        let refused = Matcher::parse(MatcherType::UrlPattern, text, &hub());
        let error = refused.expect_err(text).to_string();
        assert!(error.contains("need more than 16384 bytes"), "{error}");
    }
    for text in [
        "*://*/:a/:b(\\d+)/*?",
        "https://:sub.e.com/:a/:b/:c/:d(\\w{1,20})?q=:q&p=:p#:h",
        "/:id([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})",
        "/:date(\\d{4}-\\d{2}-\\d{2})/:kind(books|films|songs)",
        "/:a/:b/:c/:d/:e/:f/:g/:h",
        "/:a(\\w{0,110})",
    ] {
        let bytes = pattern(text).bytes();
        assert!(bytes < 16_384 + 2048, "{text}: {bytes}");
    }
}

#[test]
fn anchors_are_segments_that_every_match_contains() {
    for (text, expected) in [
        ("https://e.com/:kind/x17", &["x17"][..]),
        ("https://e.com/:a/x17/:b", &["x17"]),
        ("https://e.com/books/:id", &[]),
        ("https://e.com/books/:id/parts/:part/x", &["parts", "x"]),
        ("https://e.com/:a/x17/:b?", &[]),
        ("https://e.com/:a/x17/*?", &[]),
        ("https://e.com/:a/x17*", &[]),
        ("https://e.com/:a/x17{/*}?z", &[]),
        ("https://e.com/:a/x17{/:b}?", &[]),
        ("https://e.com/*/x", &["x"]),
        ("https://e.com/*x", &[]),
        ("https://e.com/:a-b/c", &["c"]),
        ("http{s}?://e.com/books/:id", &["books"]),
        ("http{s}?://e.com/books", &["books"]),
    ] {
        let matcher = pattern(text);
        let super::Test::UrlPattern(pattern) = matcher.test() else {
            panic!("{text}")
        };
        let anchors: Vec<&str> = pattern.anchors().iter().map(|anchor| &**anchor).collect();
        assert_eq!(anchors, expected, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_compiled_form_decides_as_the_crate_does(text in a_pattern(), topics in
        proptest::collection::vec(a_topic(), 1..12))
    {
        let theirs = reference(&text);
        let ours = Matcher::parse(MatcherType::UrlPattern, &text, &hub());
        prop_assert_eq!(ours.is_ok(), theirs.is_some(), "{} {:?}", text, ours);
        if let (Ok(ours), Some(theirs)) = (ours, theirs) {
            for topic in topics {
                let url = hub().resolve(&topic);
                let expected = ours.is_wildcard()
                    || url.is_some_and(|url| theirs.test(UrlPatternMatchInput::Url(url)).unwrap());
                prop_assert_eq!(matches(&ours, &topic), expected, "{} {}", text, topic);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[\\PC]{0,60}", pieces in
        proptest::collection::vec(prop_oneof![
            Just("["), Just("]"), Just("("), Just(")"), Just("{"), Just("}"), Just("?"),
            Just("*"), Just("+"), Just(":"), Just("\\"), Just("/"), Just("//"), Just("#"),
            Just("@"), Just("http"), Just("a"), Just("é"), Just("(?:"), Just("1"), Just("x:"),
            Just("https://"), Just("%"), Just("."), Just("^"), Just("|"), Just("-"), Just("$"),
            Just("\n"), Just("\t"),
        ], 0..24))
    {
        for text in [text, pieces.concat()] {
            if let Ok(matcher) = Matcher::parse(MatcherType::UrlPattern, &text, &hub()) {
                let _ = matches(&matcher, &text);
                let _ = matches(&matcher, "https://e.com/a");
            }
        }
    }
}

fn a_pattern() -> impl Strategy<Value = String> {
    let origin = prop_oneof![
        Just("https://e.com"),
        Just("http{s}?://e.com"),
        Just("https://*.e.com"),
        Just(""),
        Just("https://:sub.e.com"),
        Just("urn:"),
        Just("urn\\:"),
        Just("https://e.com:8080"),
        Just("*://*"),
    ];
    let piece = prop_oneof![
        Just("/"),
        Just("/a"),
        Just("/b"),
        Just("/:x"),
        Just("/:y?"),
        Just("/*"),
        Just("{/c}?"),
        Just("-d"),
        Just("/:z-e"),
        Just("(a|b)"),
        Just("(\\d+)"),
        Just("/(\\w+)"),
        Just("a"),
        Just("/:v+"),
        Just("/:w*"),
        Just("([^/]+)"),
        Just("(\\p{L})"),
        Just("{ab}"),
        Just("?q=*"),
        Just("#h"),
        Just("/%41"),
        Just("/(.*)"),
        Just("/("),
        Just("}"),
        Just("/([a-c&&[^b]])"),
        Just("((?i)A)"),
        Just("(\\b.\\B)"),
        Just("/\\:n"),
        Just("é"),
    ];
    (origin, proptest::collection::vec(piece, 0..6))
        .prop_map(|(origin, pieces)| format!("{origin}{}", pieces.concat()))
        .prop_filter("an empty matcher", |text| !text.is_empty())
}

fn a_topic() -> impl Strategy<Value = String> {
    let origin = prop_oneof![
        4 => Just("https://e.com"), 1 => Just("http://e.com"), 1 => Just("https://x.e.com"),
        1 => Just(""), 1 => Just("urn:"), 1 => Just("https://e.com:8080"),
    ];
    let piece = prop_oneof![
        Just("/"),
        Just("/a"),
        Just("/b"),
        Just("/c"),
        Just("-d"),
        Just("-e"),
        Just("a"),
        Just("1"),
        Just("/12"),
        Just("?q=1"),
        Just("#h"),
        Just("/A"),
        Just("b"),
        Just("é"),
        Just("/:n"),
    ];
    (origin, proptest::collection::vec(piece, 0..6))
        .prop_map(|(origin, pieces)| format!("{origin}{}", pieces.concat()))
}

#[test]
fn what_may_match_beside_a_topic_is_found() {
    const SEEN: &str = "/.well-known/mercure/subscriptions/exact/room/urn%3Auuid%3A1";
    let above = "/.well-known/mercure/subscriptions";
    let beside = |text: &str, expected: bool| {
        let subject = Subject::from_text(SEEN, &hub());
        assert_eq!(pattern(text).may_match_beside(&subject), expected, "{text}");
    };
    for text in [
        "*",
        SEEN,
        &format!("{above}/:type/:match/:subscriber"),
        &format!("{above}/exact/room{{/:subscriber}}?"),
        &format!("{above}/:type/room/urn%3Auuid%3A2"),
        &format!("{above}/:type/room/urn%3Auuid%3A2*"),
        &format!("{above}/exact/room/:it(urn%3Auuid%3A2.*)"),
    ] {
        beside(text, true);
    }
    for text in [
        &format!("{above}/:type/other/:subscriber"),
        &format!("{above}/urlpattern/room/:subscriber"),
        &format!("{above}/:type/other/urn%3Auuid%3A1"),
        &format!("{above}/exact/other/:it(urn.*)"),
        "https://example.com/:a/:b",
    ] {
        beside(text, false);
    }
    let subject = Subject::from_text(SEEN, &hub());
    assert!(exact(&format!("{above}/exact/room/2")).may_match_beside(&subject));
    assert!(!exact(&format!("{above}/exact/other/2")).may_match_beside(&subject));
    assert!(!exact("room").may_match_beside(&subject));
}

fn reference(text: &str) -> Option<urlpattern::UrlPattern> {
    let parse = UrlPatternInit::parse_constructor_string::<regex::Regex>;
    let init = match parse(text, None) {
        Err(urlpattern::Error::BaseUrlRequired) => parse(text, Some(hub().url().clone())),
        other => other,
    }
    .ok()?;
    urlpattern::UrlPattern::parse(init, Default::default()).ok()
}

#[track_caller]
fn refusal(text: &str) -> PatternError {
    match Matcher::parse(MatcherType::UrlPattern, text, &hub()) {
        Err(MatcherError::Pattern(error)) => error,
        other => panic!("{text}: {other:?}"),
    }
}

fn exact(text: &str) -> Matcher {
    Matcher::parse(MatcherType::Exact, text, &hub()).unwrap()
}

#[track_caller]
fn pattern(text: &str) -> Matcher {
    Matcher::parse(MatcherType::UrlPattern, text, &hub()).unwrap()
}

fn matches(matcher: &Matcher, topic: &str) -> bool {
    matcher.matches(&Subject::from_text(topic, &hub()))
}

fn hub() -> HubUrl {
    HubUrl::parse("https://hub.example/.well-known/mercure").unwrap()
}
