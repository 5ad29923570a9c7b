//! Which topics a matcher matches: exact ones, URL patterns and `*`.

use crate::harness::serving;
use crate::harness::{Connection, EventStream, HUB_PATH, Request, TestHub};

/// Published last: what has not come by then does not come.
const END: &str = "urn:test:end";
/// Subscribers that come at once with a hundred patterns each.
const CROWD: u32 = 30;

#[test]
fn both_types_exist_and_a_star_is_every_topic_for_each() {
    let hub = TestHub::dev();
    for query in ["match=*", "match_exact=*", "match_urlpattern=*"] {
        check(
            &hub,
            query,
            &[
                "https://example.com/books/1",
                "urn:a",
                "/relative",
                "http://[",
            ],
            &[],
        );
    }
    check(&hub, "match_exact=urn:a", &["urn:a"], &["urn:b"]);
    // `:a` alone would be a named group.
    check(&hub, "match_urlpattern=urn%5C:a", &["urn:a"], &["urn:b"]);
}

#[test]
fn a_delivery_passes_subscribers_whose_patterns_are_still_being_compiled() {
    let one_shard = "[subscribe]\nanonymous = true\n[server]\nshards = 1\n";
    let hub = TestHub::serve(&serving::toml(one_shard));
    let open = || Connection::open(hub.address);
    let mut bystander =
        EventStream::open(open(), &Request::get(&format!("{HUB_PATH}?match=urn:a")));
    let mut publisher = open();
    let form = [("topic", "urn:a"), ("data", "first of all")];
    let publication = Request::post(HUB_PATH)
        .bearer(&serving::token())
        .form(&form);
    // Three thousand new patterns: about a second of compiling.
    let mut crowd: Vec<Connection> = (0..CROWD)
        .map(|number| {
            let pattern = |place| format!("match_urlpattern=/:kind/x{number}-{place}/:id");
            let query = (0..100).map(pattern).collect::<Vec<_>>().join("&");
            let mut connection = open();
            connection.send_request(&Request::get(&format!("{HUB_PATH}?{query}")));
            connection
        })
        .collect();
    assert_eq!(publisher.request(&publication).status, 200);
    assert_eq!(bystander.event().data, "first of all");
    let subscribers = hub.metric("tidings_subscribers");
    assert!(
        subscribers < f64::from(CROWD),
        "{subscribers} were served before"
    );
    for connection in &mut crowd {
        assert_eq!(connection.read_head().status, 200);
    }
}

#[test]
fn exact_matching_compares_bytes_with_case() {
    check(
        &TestHub::dev(),
        "match=https://example.com/Books",
        &["https://example.com/Books"],
        &[
            "https://example.com/books",
            "https://EXAMPLE.com/Books",
            "https://example.com/Books/",
            "https://example.com/Book",
            "https://example.com/Books1",
        ],
    );
}

#[test]
fn exact_matching_resolves_and_normalises_nothing() {
    let hub = TestHub::dev();
    let absolute = format!("http://localhost:{}/books/1", hub.address.port());
    check(
        &hub,
        "match=/books/1",
        &["/books/1"],
        &[&absolute, "/books/./1", "/books/%31"],
    );
    check(
        &hub,
        &format!("match={absolute}"),
        &[&absolute],
        &["/books/1"],
    );
    // One letter e with an accent, or a letter and a combining accent: Unicode equivalence.
    check(
        &hub,
        "match=https://example.com/caf%C3%A9",
        &["https://example.com/caf\u{e9}"],
        &[
            "https://example.com/cafe\u{301}",
            "https://example.com/caf%C3%A9",
        ],
    );
}

#[test]
fn relative_patterns_and_topics_start_at_the_hubs_url() {
    let hub = TestHub::dev();
    let origin = format!("http://localhost:{}", hub.address.port());
    check(
        &hub,
        "match_urlpattern=/books/:id",
        &["/books/1", &format!("{origin}/books/2")],
        &["https://example.com/books/1", "books/1", "/books/1/pages"],
    );
    check(
        &hub,
        "match_urlpattern=books/:id",
        &[
            "books/1",
            "/.well-known/books/2",
            &format!("{origin}/.well-known/books/3"),
        ],
        &["/books/1"],
    );
    check(
        &hub,
        &format!("match_urlpattern={origin}/books/:id"),
        &["/books/1", &format!("{origin}/books/2")],
        &["books/1"],
    );
}

#[test]
fn the_base_is_the_public_url_and_not_the_address_that_was_asked() {
    let hub = TestHub::served("[subscribe]\nanonymous = true\n");
    let token = crate::harness::served::served_token(&["--publish", "*"]);
    check_as(
        &hub,
        &token,
        "match_urlpattern=/books/:id",
        &["/books/1", "https://hub.test/books/2"],
        &[&format!("http://{}/books/1", hub.address)],
    );
}

#[test]
fn url_patterns_follow_the_standard() {
    let hub = TestHub::dev();
    check(
        &hub,
        "match_urlpattern=https://example.com/books/:id",
        &[
            "https://example.com/books/1",
            "https://EXAMPLE.com:443/books/2",
        ],
        &[
            "https://example.com/Books/1",
            "https://example.com/books/",
            "https://example.com/books/1/pages",
            "http://example.com/books/1",
            "https://example.com:8443/books/1",
        ],
    );
    check(
        &hub,
        "match_urlpattern=https://*.example.com/*",
        &["https://a.example.com/", "https://a.b.example.com/c/d?e=f"],
        &["https://example.com/"],
    );
    // Components after the last one that is written match everything.
    check(
        &hub,
        "match_urlpattern=https://example.com/a",
        &[
            "https://example.com/a",
            "https://example.com/a?x=1",
            "https://example.com/a#h",
        ],
        &["https://example.com/a/"],
    );
    let digits = "match_urlpattern=https://example.com/(%5Cd%2B)";
    check(
        &hub,
        digits,
        &["https://example.com/12"],
        &["https://example.com/1a"],
    );
    let optional = "match_urlpattern=https://example.com/books%7B/:id%7D%3F";
    check(
        &hub,
        optional,
        &["https://example.com/books", "https://example.com/books/1"],
        &["https://example.com/books/1/2"],
    );
}

#[test]
fn a_topic_that_is_no_url_matches_no_pattern() {
    let no_urls = ["http://[", "https://example.com:99999/", "http://a b/"];
    let hub = TestHub::dev();
    for pattern in [
        "/*",
        "http://*/*",
        "https://*/*",
        ":scheme://*/*",
        "https://example.com*",
    ] {
        check(&hub, &format!("match_urlpattern={pattern}"), &[], &no_urls);
    }
    check(&hub, "match=http://[", &["http://["], &[]);
}

#[test]
fn patterns_that_would_make_another_engine_hang_are_answered_at_once() {
    let hub = TestHub::dev();
    let hostile = [
        "https://example.com/((a%2B)%2B)$",
        "https://example.com/((a|aa)%2B)b",
        "https://example.com/(.*a.*a.*a.*a.*a.*a.*a.*a.*a.*a.*a)x",
    ];
    let query: Vec<String> = hostile
        .iter()
        .map(|pattern| format!("match_urlpattern={pattern}"))
        .collect();
    let victim = format!("https://example.com/{}!", "a".repeat(4000));
    // Some of these are refused and some are tried; neither may take long, which the deadline says.
    for query in query {
        let answer = hub.request(Request::new("HEAD", &format!("{HUB_PATH}?{query}")));
        match answer.status {
            200 => check(&hub, &query, &[], &[&victim]),
            400 => {}
            other => panic!("{query}: {other}"),
        }
    }
}

#[test]
fn an_update_comes_once_however_many_matchers_and_topics_agree() {
    let hub = TestHub::dev();
    let mut stream = hub.subscribe(&format!(
        "match=urn:a&match=urn:a&match_exact=urn:a&match=urn:b&match_urlpattern=urn:*&match={END}"
    ));
    hub.published(&[
        ("topic", "urn:a"),
        ("topic", "urn:b"),
        ("topic", "urn:c"),
        ("data", "1"),
    ]);
    hub.published(&[("topic", "urn:c"), ("topic", "urn:b"), ("data", "2")]);
    hub.published(&[("topic", END), ("data", "end")]);
    assert_eq!(stream.data(3), ["1", "2", "end"]);
}

/// Checks which topics a subscriber of `query` gets.
#[track_caller]
fn check(hub: &TestHub, query: &str, matching: &[&str], others: &[&str]) {
    check_as(hub, &hub.publisher_token(), query, matching, others);
}

#[track_caller]
fn check_as(hub: &TestHub, token: &str, query: &str, matching: &[&str], others: &[&str]) {
    let mut stream = hub.subscribe(&format!("{query}&match={END}"));
    for topic in others.iter().chain(matching).chain(&[END]) {
        let answer = hub.publish_as(token, &[("topic", topic), ("data", topic)]);
        assert_eq!(answer.status, 200, "{topic}: {}", answer.text());
    }
    let wanted = [matching, &[END]].concat();
    assert_eq!(stream.data(wanted.len()), wanted, "{query}");
}

#[test]
fn a_pattern_that_takes_much_memory_is_refused_with_the_limit() {
    let hub = TestHub::dev();
    for pattern in ["*://*/:a1(%5Cw%7B0,400%7D)2*", "/x?q=:q(.*a.%7B14%7D)"] {
        let pattern = pattern.replace('?', "%3F");
        let target = format!("{HUB_PATH}?match_urlpattern={pattern}");
        let answer = hub.request(Request::get(&target));
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().contains("16384 bytes"), "{}", answer.text());
    }
}
