//! The door for subscribers: parameters, methods, response fields, and the bytes of a stream.

use std::time::{Duration, Instant};

use tidings_wire::sse_decoder::Decoded;

use crate::harness::served::served_token;
use crate::harness::sockjs::new_session;
use crate::harness::{Connection, DEADLINE, HUB_PATH, Request, TestHub};

const FORM: &str = "application/x-www-form-urlencoded";

/// What compresses on the way would hold events back: RFC 9111, 5.2.2.6.
#[test]
fn nothing_on_the_way_may_transform_a_stream() {
    let hub = TestHub::dev();
    let path = format!("{HUB_PATH}?match=a");
    for request in [
        Request::get(&path),
        Request::get(&path).http10(),
        Request::get(&format!("{HUB_PATH}?topic=a")),
        Request::get("/hub?topic=a"),
        Request::get("/event/fetch"),
        Request::get(&format!("{HUB_PATH}/diagnose/events")),
        Request::new("HEAD", &path),
        Request::get(&format!("{}/eventsource", new_session("/sockjs"))),
        Request::post(&format!("{}/xhr_streaming", new_session("/sockjs"))),
        Request::get(&format!("{}/htmlfile?c=f", new_session("/sockjs"))),
    ] {
        let mut connection = Connection::open(hub.address);
        connection.send_request(&request);
        let head = connection.read_head();
        assert_eq!(head.status, 200, "{request:?}");
        let control = head.header("cache-control").unwrap();
        assert!(control.contains("no-transform"), "{request:?}: {control}");
        assert!(control.contains("no-store"), "{request:?}: {control}");
        if !request.target.starts_with("/sockjs") || request.target.contains("/eventsource") {
            let media_type = head.header("content-type").unwrap();
            assert!(media_type.starts_with("text/event-stream"), "{media_type}");
        }
    }
}

#[test]
fn the_hubs_url_answers_get_with_an_event_stream() {
    let hub = TestHub::dev();
    let stream = hub.subscribe("match=urn:a");
    assert_eq!(stream.head.version, "HTTP/1.1");
    assert_eq!(
        stream.head.header("content-type"),
        Some("text/event-stream")
    );
    let cache = stream.head.header("cache-control").unwrap();
    assert!(
        cache.contains("no-store") && cache.contains("private"),
        "{cache}"
    );
    assert_eq!(stream.head.header("x-accel-buffering"), Some("no"));
    assert_eq!(stream.head.header("content-length"), None);
    assert_eq!(
        stream.head.header("mercure-last-event-id"),
        Some("earliest")
    );
}

#[test]
fn an_event_has_all_fields_and_one_data_line_for_each_line() {
    let hub = TestHub::dev();
    let stream = hub.subscribe("match=urn:a");
    let id = "https://example.com/goals/7";
    let data = "one\ntwo\r\nthree\rfour\n\n: five";
    let score = [
        ("topic", "urn:a"),
        ("id", id),
        ("type", "score"),
        ("retry", "0"),
        ("data", data),
    ];
    hub.published(&score);
    hub.published(&[("topic", "urn:a"), ("id", "urn:2")]);
    let expected = format!(
        ":\nevent: score\nretry: 0\nid: {id}\ndata: one\ndata: two\ndata: three\ndata: four\ndata: \n\
         data: : five\n\nid: urn:2\ndata: \n\n"
    );
    let mut connection = stream.into_connection();
    let mut text = String::new();
    while text.len() < expected.len() {
        text.push_str(&String::from_utf8(connection.read_chunk().expect("a chunk")).unwrap());
    }
    assert_eq!(text, expected);
}

#[test]
fn events_are_read_as_they_were_meant() {
    let hub = TestHub::dev();
    let mut stream = hub.subscribe("match=urn:a");
    let form = [
        ("topic", "urn:a"),
        ("id", "ü 7"),
        ("type", "tor ⚽"),
        ("retry", "2500"),
        ("data", " x"),
    ];
    hub.published(&form);
    assert_eq!(stream.next_decoded(), Some(Decoded::Comment(String::new())));
    assert_eq!(stream.next_decoded(), Some(Decoded::Retry(2500)));
    let event = stream.event();
    assert_eq!(event.event_type, "tor ⚽");
    assert_eq!(event.last_event_id, "ü 7");
    assert_eq!(event.data, " x");
    hub.published(&[("topic", "urn:a"), ("type", ""), ("data", "")]);
    let event = stream.event();
    assert_eq!(
        (event.event_type.as_str(), event.data.as_str()),
        ("message", "")
    );
}

#[test]
fn an_http_1_0_subscriber_gets_a_plain_stream() {
    let hub = TestHub::dev();
    let request = Request::get(&format!("{HUB_PATH}?match=urn:a&last_event_id=earliest")).http10();
    hub.published(&[("topic", "urn:a"), ("data", "before")]);
    let mut stream = hub.subscribe_by(request);
    assert_eq!(stream.head.header("transfer-encoding"), None);
    assert_eq!(stream.head.header("connection"), Some("close"));
    hub.published(&[("topic", "urn:a"), ("data", "after\nit")]);
    assert_eq!(stream.data(2), ["before", "after\nit"]);
}

#[test]
fn query_takes_parameters_from_the_body_and_the_query_together() {
    let hub = TestHub::dev();
    let mut stream = hub.subscribe_by(query(
        "match=urn:a&match_urlpattern=urn%5C:b*",
        "match=urn:c&match_exact=urn:d",
    ));
    for topic in ["urn:x", "urn:a", "urn:b1", "urn:c", "urn:d"] {
        hub.published(&[("topic", topic), ("data", topic)]);
    }
    assert_eq!(stream.data(4), ["urn:a", "urn:b1", "urn:c", "urn:d"]);
    // The limit is for both together.
    let fifty = vec!["match=urn:a"; 51].join("&");
    assert_eq!(
        hub.request(query(&fifty, &fifty)).problem(),
        "too-many-matchers"
    );
    // The rules for names and values are those of the query.
    assert_eq!(
        hub.request(query("match=urn:a", "MATCH=urn:b")).problem(),
        "matcher-type-unknown"
    );
    assert_eq!(
        hub.request(query("match=urn:a", "match=%00")).problem(),
        "matcher-invalid"
    );
    assert_eq!(
        hub.request(query("match=urn:a", "match=%FF")).problem(),
        "not-utf8"
    );
}

#[test]
fn a_body_alone_may_hold_what_no_url_can() {
    let hub = TestHub::dev();
    let topics: Vec<String> = (0..100)
        .map(|n| format!("https://example.com/{n}/{}", "x".repeat(4000)))
        .collect();
    let matchers: Vec<String> = topics
        .iter()
        .map(|topic| format!("match={topic}"))
        .collect();
    let mut stream = hub.subscribe_by(query("", &matchers.join("&")));
    hub.published(&[("topic", &topics[99]), ("data", "the last one")]);
    assert_eq!(stream.event().data, "the last one");
}

#[test]
fn the_field_beats_the_query_and_the_query_beats_the_body() {
    let hub = TestHub::dev();
    for id in ["urn:1", "urn:2", "urn:3", "urn:4"] {
        hub.published(&[("topic", "urn:a"), ("id", id), ("data", id)]);
    }
    let both = || query("match=urn:a&last_event_id=urn:2", "last_event_id=urn:1");
    let mut stream = hub.subscribe_by(both());
    assert_eq!(stream.head.header("mercure-last-event-id"), Some("urn:2"));
    assert_eq!(stream.event().data, "urn:3");
    let mut stream = hub.subscribe_by(both().header("Last-Event-ID", "urn:3"));
    assert_eq!(stream.head.header("mercure-last-event-id"), Some("urn:3"));
    assert_eq!(stream.event().data, "urn:4");
    let mut stream = hub.subscribe_by(query("match=urn:a", "last_event_id=urn:1"));
    assert_eq!(stream.event().data, "urn:2");
}

#[test]
fn a_body_of_another_type_is_refused() {
    let hub = TestHub::dev();
    for media_type in [
        "application/json",
        "text/plain",
        "multipart/form-data; boundary=x",
    ] {
        let target = format!("{HUB_PATH}?match=urn:a");
        let request = Request::new("QUERY", &target).header("Content-Type", media_type);
        let answer = hub.request(request.body("match=urn:b"));
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (415, "media-type-unsupported")
        );
    }
    let with_charset = "Application/X-WWW-Form-Urlencoded; charset=utf-8";
    let request = Request::new("QUERY", HUB_PATH).header("Content-Type", with_charset);
    hub.subscribe_by(request.body("match=urn:b"));
}

#[test]
fn only_canonical_names_of_matcher_types_are_known() {
    let hub = TestHub::dev();
    for name in [
        "Match",
        "MATCH",
        "match_Exact",
        "match_EXACT",
        "match_URLPattern",
        "matcher-invalid",
        "matches",
        "match_",
        "match_regex",
        "match-exact",
        "matchexact",
        "mAtCh_exact",
        "match_exact_",
        "match%00",
        "match%5Bexact%5D",
        "match_%C3%BC",
        "%6Datch_x",
    ] {
        let answer = refusal(&hub, &format!("match=urn:a&{name}=urn:b"));
        assert_eq!(answer, (400, "matcher-type-unknown".to_owned()), "{name}");
    }
    // Other names mean nothing, and are no mistake; a name may be percent-encoded.
    let mut stream = hub.subscribe("%6Datch=urn:a&topic=urn:b&amatch=urn:c&_match=urn:d&m=%FF&=");
    for topic in ["urn:b", "urn:c", "urn:d", "urn:a"] {
        hub.published(&[("topic", topic), ("data", topic)]);
    }
    assert_eq!(stream.event().data, "urn:a");
}

#[test]
fn semicolons_and_stray_percent_signs_are_plain_characters() {
    let hub = TestHub::dev();
    let mut stream = hub.subscribe("match=a;b&&match=100%&match=c+d&match=e=f%3d&match=%zz&x");
    for topic in ["a", "b", "100", "c+d", "a;b", "100%", "c d", "e=f=", "%zz"] {
        hub.published(&[("topic", topic), ("data", topic)]);
    }
    assert_eq!(stream.data(5), ["a;b", "100%", "c d", "e=f=", "%zz"]);
}

#[test]
fn an_empty_matcher_is_refused_with_or_without_an_equals_sign() {
    let hub = TestHub::dev();
    for query in [
        "match",
        "match=",
        "match_exact",
        "match_urlpattern=",
        "match=urn:a&match",
    ] {
        assert_eq!(
            refusal(&hub, query),
            (400, "matcher-invalid".to_owned()),
            "{query}"
        );
    }
    for query in ["", "last_event_id=urn:a", "&&", "topics=urn:a"] {
        assert_eq!(
            refusal(&hub, query),
            (400, "matcher-missing".to_owned()),
            "{query}"
        );
    }
}

#[test]
fn a_matcher_holds_no_invisible_characters_and_is_utf_8() {
    let hub = TestHub::dev();
    for name in ["match", "match_exact", "match_urlpattern"] {
        for hidden in [
            "%00",
            "%09",
            "%0A",
            "%0D",
            "%1F",
            "%7F",
            "%C2%80",
            "%C2%85",
            "%C2%9F",
            "%C2%AD",
            "%E2%80%8B",
            "%E2%80%AE",
            "%EF%BB%BF",
            "%F3%A0%80%81",
        ] {
            let query = format!("{name}=https://example.com/a{hidden}b");
            assert_eq!(
                refusal(&hub, &query),
                (400, "matcher-invalid".to_owned()),
                "{query}"
            );
        }
        for broken in [
            "%FF",
            "%C3",
            "%C3%28",
            "%ED%A0%80",
            "%F4%90%80%80",
            "%C0%AF",
        ] {
            let query = format!("{name}=https://example.com/a{broken}");
            assert_eq!(
                refusal(&hub, &query),
                (400, "not-utf8".to_owned()),
                "{query}"
            );
        }
    }
}

#[test]
fn a_pattern_that_is_none_is_refused() {
    let hub = TestHub::dev();
    for pattern in [
        "https://example.com/(",
        "https://example.com/:a/:a",
        "https://example.com/%7Ba",
        "https://example.com/((?=a)b)",
        "https://example.com/(a\\1)",
        "https://exa mple.com/:a",
        "https://example.com/*%2B%2B",
    ] {
        let pattern = pattern.replace(' ', "+");
        let query = format!("match=urn:a&match_urlpattern={pattern}");
        assert_eq!(
            refusal(&hub, &query),
            (400, "matcher-invalid".to_owned()),
            "{query}"
        );
    }
}

#[test]
fn more_or_longer_matchers_than_the_limit_are_refused() {
    let hub = TestHub::dev();
    let matchers = |count: usize| vec!["match=urn:a"; count].join("&");
    assert_eq!(
        refusal(&hub, &matchers(101)),
        (400, "too-many-matchers".to_owned())
    );
    hub.subscribe(&matchers(100));
    for (name, start) in [
        ("match", "urn:"),
        ("match_urlpattern", "https://example.com/"),
    ] {
        let matcher = |bytes: usize| format!("{name}={start}{}", "x".repeat(bytes - start.len()));
        assert_eq!(
            refusal(&hub, &matcher(4097)),
            (400, "matcher-invalid".to_owned())
        );
        hub.subscribe(&matcher(4096));
    }
}

#[test]
fn each_matcher_makes_a_subscription_and_identical_ones_count_once() {
    let hub = TestHub::dev();
    let mut stream = hub.subscribe("match=urn:a&match=urn:b&match=urn:a&match_urlpattern=urn%5C:a");
    for topic in ["urn:a", "urn:b", "urn:a"] {
        hub.published(&[("topic", topic), ("data", topic)]);
    }
    assert_eq!(stream.data(3), ["urn:a", "urn:b", "urn:a"]);
    hub.published(&[("topic", "urn:b"), ("data", "end")]);
    assert_eq!(stream.event().data, "end");
}

#[test]
fn head_answers_with_the_fields_and_opens_nothing() {
    let hub = TestHub::dev();
    let id = hub.published(&[("topic", "urn:a")]);
    let mut connection = Connection::open(hub.address);
    for _ in 0..3 {
        let target = format!("{HUB_PATH}?match=urn:a&last_event_id={id}");
        let answer = connection.request(&Request::new("HEAD", &target));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        assert_eq!(answer.header("mercure-last-event-id"), Some(id.as_str()));
        // GET has no length, so HEAD must not say one (RFC 9110, 8.6).
        assert_eq!(answer.header("content-length"), None);
    }
    assert_eq!(
        connection.request(&Request::new("HEAD", HUB_PATH)).status,
        400
    );
    // The same connection goes on to serve other requests, and no subscriber is left behind.
    let metrics = connection.request(&Request::get("/metrics"));
    assert_eq!(metrics.status, 200);
    assert!(
        metrics.text().contains("\ntidings_subscribers 0\n"),
        "{}",
        metrics.text()
    );
}

#[test]
fn another_method_is_told_which_ones_there_are() {
    let hub = TestHub::dev();
    for (method, path, allow) in [
        ("PUT", HUB_PATH, "GET, HEAD, QUERY, POST, OPTIONS"),
        ("DELETE", HUB_PATH, "GET, HEAD, QUERY, POST, OPTIONS"),
        ("PATCH", HUB_PATH, "GET, HEAD, QUERY, POST, OPTIONS"),
        ("get", HUB_PATH, "GET, HEAD, QUERY, POST, OPTIONS"),
        ("POST", "/event/fetch", "GET, HEAD"),
        ("GET", "/message/broadcast", "POST"),
        ("POST", "/chat", "GET, HEAD"),
        ("DELETE", "/health/live", "GET, HEAD"),
        ("QUERY", "/metrics", "GET, HEAD"),
    ] {
        let answer = hub.request(Request::new(method, path));
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        assert_eq!(answer.problem(), "method-not-allowed");
    }
    let answer = hub.request(Request::new("OPTIONS", HUB_PATH));
    assert_eq!(answer.status, 204);
    assert_eq!(
        answer.header("allow"),
        Some("GET, HEAD, QUERY, POST, OPTIONS")
    );
}

#[test]
fn the_hubs_path_is_that_of_its_public_url() {
    let moved = crate::harness::served::SERVED.replace("/.well-known/mercure", "/push/hub");
    let hub = TestHub::serve(&format!("{moved}\n[subscribe]\nanonymous = true\n"));
    let subscribing = |path: &str| Request::new("HEAD", &format!("{path}?match=urn:a"));
    assert_eq!(hub.request(subscribing("/push/hub")).status, 200);
    for path in [HUB_PATH, "/push/hub/", "/push", "/push/hub/x", "/PUSH/hub"] {
        assert_eq!(hub.request(subscribing(path)).status, 404, "{path}");
    }
}

#[test]
fn a_silent_stream_gets_a_comment_and_a_busy_one_ends_with_its_life() {
    let hub = TestHub::served(
        "[subscribe]\nanonymous = true\nkeep_alive_secs = 1\nconnection_secs_max = 4\n\
         retry_ms = 1234\n",
    );
    for request in [
        Request::get(&format!("{HUB_PATH}?match=urn:a")),
        Request::get(&format!("{HUB_PATH}?match=urn:a")).http10(),
    ] {
        let start = Instant::now();
        let mut stream = hub.subscribe_by(request);
        assert_eq!(stream.next_decoded(), Some(Decoded::Comment(String::new())));
        assert_eq!(stream.next_decoded(), Some(Decoded::Retry(1234)));
        let opened = Instant::now();
        assert_eq!(stream.next_decoded(), Some(Decoded::Comment(String::new())));
        let silence = opened.elapsed();
        assert!(
            silence >= Duration::from_millis(700),
            "a comment after {silence:?}"
        );
        // The harness fails on a stream that does not end in good form.
        while let Some(decoded) = stream.next_decoded() {
            assert_eq!(decoded, Decoded::Comment(String::new()));
            assert!(start.elapsed() < DEADLINE, "the stream does not end");
        }
        let life = start.elapsed();
        // Four fifths of four seconds at least, less the two buckets of a quarter of a second by
        // which an end may come early.
        assert!(
            life >= Duration::from_millis(2700),
            "the stream ended after {life:?}"
        );
    }
}

#[test]
fn without_anonymous_subscribers_a_token_is_needed() {
    let hub = TestHub::served("");
    let answer = hub.request(Request::get(&format!("{HUB_PATH}?match=urn:a")));
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (401, "token-missing")
    );
    assert_eq!(answer.challenge(), Some("Bearer"));
    let token = served_token(&["--subscribe", "urn:b"]);
    let mut stream =
        hub.subscribe_by(Request::get(&format!("{HUB_PATH}?match=urn:a")).bearer(&token));
    // Public updates need no grant for their topic.
    let publisher = served_token(&["--publish", "*"]);
    assert_eq!(
        hub.publish_as(&publisher, &[("topic", "urn:a"), ("data", "1")])
            .status,
        200
    );
    assert_eq!(stream.event().data, "1");
}

/// Returns a QUERY request with parameters in both places.
fn query(query: &str, body: &str) -> Request {
    Request::new("QUERY", &format!("{HUB_PATH}?{query}"))
        .header("Content-Type", FORM)
        .body(body)
}

/// Returns status and problem of a subscription that is refused.
#[track_caller]
fn refusal(hub: &TestHub, query: &str) -> (u16, String) {
    let target = format!("{HUB_PATH}?{query}");
    // A stream, which GET would open, has no end to wait for.
    let status = hub.request(Request::new("HEAD", &target)).status;
    assert_eq!(status, 400, "{query}");
    let answer = hub.request(Request::get(&target));
    (answer.status, answer.problem())
}
