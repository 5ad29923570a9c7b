//! The door for publishers: fields, their rules, their limits, and who may publish.

use std::io::Write;
use std::net::Shutdown;

use crate::harness::process::connect_with_buffer;
use crate::harness::served::{SERVED, served_token};
use crate::harness::{Answer, Connection, HUB_PATH, Request, TestHub};

const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn success_is_200_with_the_id_as_plain_text() {
    let hub = TestHub::dev();
    let mut stream = hub.subscribe("match=urn:a");
    let answer = hub.publish(&[("topic", "urn:a"), ("id", "urn:mine")]);
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(answer.text(), "urn:mine");
    let answer = hub.publish(&[("topic", "urn:a")]);
    assert_eq!(answer.status, 200);
    assert_eq!(stream.event().last_event_id, "urn:mine");
    assert_eq!(stream.event().last_event_id, answer.text());
}

#[test]
fn an_http_1_0_publisher_is_answered() {
    let hub = TestHub::dev();
    let mut stream = hub.subscribe("match=urn:a");
    let request = Request::post(HUB_PATH)
        .http10()
        .bearer(&hub.publisher_token());
    let answer = hub.request(request.form(&[("topic", "urn:a"), ("data", "old")]));
    assert_eq!((answer.version.as_str(), answer.status), ("HTTP/1.0", 200));
    assert_eq!(stream.event().last_event_id, answer.text());
}

#[test]
fn a_publisher_that_has_said_that_it_sends_no_more_is_answered() {
    let hub = TestHub::dev();
    let mut socket = connect_with_buffer(hub.address, 64 * 1024);
    let mut connection = Connection::over(hub.address, socket.try_clone().unwrap());
    let request = Request::post(HUB_PATH).bearer(&hub.publisher_token());
    let bytes = connection.wire(&request.form(&[("topic", "urn:a")]));
    socket.write_all(&bytes).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    assert_eq!(connection.read_answer(false).status, 200);
}

#[test]
fn a_form_needs_a_topic_and_utf_8() {
    let hub = TestHub::dev();
    for body in ["", "data=x", "Topic=urn:a", "topics=urn:a", "&&"] {
        check(&post(&hub, body), 400, "topic-missing");
    }
    for body in [
        "topic=%FF",
        "topic=urn:a&data=%C3%28",
        "topic=urn:a&id=%ED%A0%80",
        "topic=urn:a&type=%80",
        "topic=urn:a&%FF=x",
        "topic=urn:a&retry=%FF",
        "topic=urn:a&topic=%C3",
    ] {
        check(&post(&hub, body), 400, "not-utf8");
    }
    // Bytes that are not encoded count in the same way.
    let request = Request::post(HUB_PATH).bearer(&hub.publisher_token());
    let answer = hub.request(
        request
            .header("Content-Type", FORM)
            .body(b"topic=urn:a&data=\xff"),
    );
    check(&answer, 400, "not-utf8");
}

#[test]
fn a_body_of_another_type_is_refused() {
    let hub = TestHub::dev();
    for media_type in [
        "application/json",
        "text/plain",
        "multipart/form-data; boundary=b",
    ] {
        let request = Request::post(HUB_PATH).bearer(&hub.publisher_token());
        let request = request
            .header("Content-Type", media_type)
            .body("topic=urn:a");
        check(&hub.request(request), 415, "media-type-unsupported");
    }
}

#[test]
fn every_topic_is_visible_text() {
    let hub = TestHub::dev();
    for hidden in [
        "%00",
        "%09",
        "%0A",
        "%0D",
        "%1F",
        "%7F",
        "%C2%80",
        "%C2%9F",
        "%C2%AD",
        "%E2%80%8B",
        "%E2%80%AE",
        "%EF%BB%BF",
        "%F3%A0%80%81",
    ] {
        check(
            &post(&hub, &format!("topic=urn:a{hidden}b")),
            400,
            "topic-invalid",
        );
        check(
            &post(&hub, &format!("topic=urn:a&topic=urn:{hidden}")),
            400,
            "topic-invalid",
        );
    }
    check(&post(&hub, "topic="), 400, "topic-invalid");
    check(&post(&hub, "topic"), 400, "topic-invalid");
    // Everything else is a topic, whether or not it is a URL.
    for topic in [
        "a b",
        "é",
        "日本",
        "🦀",
        "%E2%80%A8",
        "http://[",
        "**",
        "/",
        "/%23x",
        "/?x",
    ] {
        assert_eq!(post(&hub, &format!("topic={topic}")).status, 200, "{topic}");
    }
}

#[test]
fn a_star_is_no_topic_whatever_the_token_and_whichever_topic() {
    for_any_token(|hub, token| {
        check(
            &hub.publish_as(token, &[("topic", "*")]),
            400,
            "topic-invalid",
        );
        check(
            &hub.publish_as(token, &[("topic", "urn:narrow"), ("topic", "*")]),
            400,
            "topic-invalid",
        );
    });
}

#[test]
fn the_hubs_own_namespace_is_closed_whatever_the_token_and_the_disguise() {
    for_any_token(|hub, token| {
        for topic in [
            "/.well-known/mercure",
            "/.well-known/mercure/",
            "/.well-known/mercure/subscriptions/exact/a/b",
            "/.well-known/mercure?x=1",
            "/.well-known/mercure#x",
            "mercure",
            "mercure/x",
            "./mercure",
            "?x",
            "#x",
            "https://elsewhere.test/.well-known/mercure",
            "ftp://elsewhere.test/.well-known/mercure/x",
            "//elsewhere.test/.well-known/mercure",
            "custom://host/.well-known/mercure/x",
            "/.well-known/%6Dercure",
            "/.well-known/%6dercure/x",
            "/%2Ewell-known/mercure",
            "/.well-known/x/../mercure",
            "/.well-known/mercure/../mercure/x",
            "/.well-known/x/%2E%2e/mercure",
            "\\.well-known\\mercure",
            "/.well-known\\mercure\\x",
            "custom://host/a/../.well-known/mercure",
        ] {
            check(
                &hub.publish_as(token, &[("topic", topic)]),
                400,
                "topic-reserved",
            );
            let second = hub.publish_as(token, &[("topic", "urn:narrow"), ("topic", topic)]);
            check(&second, 400, "topic-reserved");
        }
    });
}

#[test]
fn neighbours_of_the_namespace_and_what_is_no_url_are_open() {
    let hub = TestHub::dev();
    for topic in [
        "/.well-known/mercurex",
        "/.well-known/mercure-2/x",
        "/.well-known/",
        "/.well-known/mercure/..",
        "/.well-known/mercure%2Fx",
        "/.well-known/Mercure",
        "/x/.well-known/mercure",
        "https://example.com/?/.well-known/mercure",
        "urn:/.well-known/mercur",
        "http://[/.well-known/mercure",
        "http://a b/.well-known/mercure/x",
        "https://example.com:99999/.well-known/mercure",
    ] {
        let answer = hub.publish(&[("topic", topic)]);
        assert_eq!(answer.status, 200, "{topic}: {}", answer.text());
    }
}

#[test]
fn the_namespace_moves_with_the_hubs_path() {
    let moved = SERVED.replace(
        "https://hub.test/.well-known/mercure",
        "https://hub.test/push/hub",
    );
    let audience = "[auth]\naudiences = [\"https://hub.test/.well-known/mercure\"]\n";
    // Top-level order: [auth] must not split the array table of issuers.
    let hub = TestHub::serve(&format!("{audience}{moved}"));
    let token = served_token(&["--publish", "*"]);
    let publish = |topic: &str| {
        let request = Request::post("/push/hub")
            .bearer(&token)
            .form(&[("topic", topic)]);
        hub.request(request).status
    };
    assert_eq!(publish("https://hub.test/push/hub/subscriptions"), 400);
    assert_eq!(publish("hub"), 400);
    assert_eq!(publish("/.well-known/mercure/subscriptions"), 200);
}

#[test]
fn private_is_private_whatever_its_value() {
    let hub = TestHub::dev();
    let mut anonymous = hub.subscribe("match=urn:a");
    let reader = Request::get(&format!("{HUB_PATH}?match=urn:a")).bearer(&hub.subscriber_token());
    let mut reader = hub.subscribe_by(reader);
    let values = [
        "private=on",
        "private",
        "private=",
        "private=0",
        "private=false",
        "private=%FF",
        "private=no&private=off",
    ];
    for (number, value) in values.iter().enumerate() {
        let answer = post(&hub, &format!("topic=urn:a&{value}&data={number}"));
        assert_eq!(answer.status, 200, "{value}: {}", answer.text());
    }
    // The name is compared with case: this one is an unknown field.
    post(&hub, "topic=urn:a&Private=on&data=public");
    assert_eq!(anonymous.event().data, "public");
    let wanted: Vec<String> = (0..values.len()).map(|number| number.to_string()).collect();
    assert_eq!(reader.data(values.len()), wanted);
}

#[test]
fn a_publishers_id_follows_the_rules() {
    let hub = TestHub::dev();
    for id in [
        "%23",
        "%23frag",
        "earliest",
        "a%00",
        "a%0Ab",
        "a%0D",
        "%7F",
        "%C2%85",
        "%E2%80%8B",
        "%EF%BB%BFurn:a",
        "earliest+",
        "+a",
        "+",
    ] {
        check(
            &post(&hub, &format!("topic=urn:a&id={id}")),
            400,
            "id-invalid",
        );
    }
    for (id, answered) in [
        ("Earliest", "Earliest"),
        ("earliest+1", "earliest 1"),
        ("a%23b", "a#b"),
        ("7", "7"),
        ("%C3%BC", "ü"),
        ("urn:uuid:1", "urn:uuid:1"),
    ] {
        let answer = post(&hub, &format!("topic=urn:a&id={id}"));
        assert_eq!((answer.status, answer.text().as_str()), (200, answered));
    }
}

#[test]
fn an_update_without_an_id_gets_an_iri() {
    let hub = TestHub::dev();
    for form in ["topic=urn:a", "topic=urn:a&id", "topic=urn:a&id="] {
        let id = post(&hub, form).text();
        let uuid = id
            .strip_prefix("urn:uuid:")
            .unwrap_or_else(|| panic!("{id}"));
        assert_eq!(uuid.len(), 36, "{id}");
    }
}

#[test]
fn ids_of_the_hub_tell_neither_time_nor_order() {
    let hub = TestHub::dev();
    let ids: Vec<String> = (0..64)
        .map(|_| hub.published(&[("topic", "urn:a")]))
        .collect();
    let rising = ids.windows(2).filter(|pair| pair[0] < pair[1]).count();
    // Of 63 neighbours about half rise if nothing of the order shows (8 standard deviations).
    assert!((16..48).contains(&rising), "{rising} of 63 rise: {ids:?}");
    for place in 0..36 {
        // The version and the variant are the same everywhere; of all other digits none counts or ticks.
        let digit = |id: &String| id.strip_prefix("urn:uuid:").unwrap().as_bytes()[place];
        let mut digits: Vec<u8> = ids.iter().map(digit).collect();
        digits.sort_unstable();
        digits.dedup();
        let fixed = [8, 13, 14, 18, 23].contains(&place);
        let wanted = if fixed { 1..=1 } else { 3..=16 };
        assert!(
            wanted.contains(&digits.len()),
            "place {place} takes {} values",
            digits.len()
        );
    }
}

#[test]
fn a_type_is_visible_text_and_not_the_hubs_own() {
    let hub = TestHub::dev();
    for event_type in [
        "mercure",
        "a%00",
        "a%0Adata:+x",
        "%0D",
        "%7F",
        "%C2%85",
        "%E2%80%8B",
    ] {
        check(
            &post(&hub, &format!("topic=urn:a&type={event_type}")),
            400,
            "type-invalid",
        );
    }
    for event_type in ["Mercure", "mercure+", "mercures", "message", "%C3%BC", ""] {
        let answer = post(&hub, &format!("topic=urn:a&type={event_type}"));
        assert_eq!(answer.status, 200, "{event_type}");
    }
}

#[test]
fn retry_is_digits() {
    let hub = TestHub::dev();
    for retry in [
        "=+1",
        "=%2B1",
        "=-1",
        "=1.5",
        "=1e3",
        "=0x10",
        "=%D9%A1",
        "=a",
        "=18446744073709551616",
    ] {
        check(
            &post(&hub, &format!("topic=urn:a&retry{retry}")),
            400,
            "retry-invalid",
        );
    }
    for retry in ["", "0", "00", "1", "18446744073709551615"] {
        assert_eq!(
            post(&hub, &format!("topic=urn:a&retry={retry}")).status,
            200,
            "{retry}"
        );
    }
}

#[test]
fn unknown_fields_are_ignored() {
    let hub = TestHub::dev();
    let mut stream = hub.subscribe("match=urn:a");
    post(
        &hub,
        "topic=urn:a&x=1&DATA=no&priority=%FF&data=yes&ID=%23&data=second&Retry=x&=y",
    );
    assert_eq!(stream.event().data, "yes");
}

#[test]
fn publishing_needs_a_token_that_allows_every_topic() {
    let hub = TestHub::dev();
    let mut stream = hub.subscribe("match=*");
    let form = [("topic", "urn:a"), ("topic", "urn:b"), ("data", "refused")];
    let answer = hub.request(Request::post(HUB_PATH).form(&form));
    check(&answer, 401, "token-missing");
    assert_eq!(answer.challenge(), Some("Bearer"));
    for wish in [
        r#"{"publish":[{"match":"urn:a"}]}"#,
        r#"{"publish":[{"match":"urn:b"}]}"#,
        r#"{"publish":[{"match":"urn:*"}]}"#,
        r#"{"subscribe":[{"match":"*"}]}"#,
        r#"{"subscribe":[{"match":"urn:a"}],"publish":[{"match":"urn:b"}]}"#,
    ] {
        let answer = hub.publish_as(&hub.make_token(wish), &form);
        check(&answer, 403, "scope-insufficient");
        let challenge = answer.challenge();
        assert_eq!(
            challenge,
            Some("Bearer error=\"insufficient_scope\""),
            "{wish}"
        );
    }
    for wish in [
        r#"{"publish":[{"match":"*"}]}"#,
        r#"{"publish":[{"match":"urn:a"},{"match":"urn:b"}]}"#,
        r#"{"publish":[{"match":"urn::x","match_type":"urlpattern"}]}"#,
    ] {
        let answer = hub.publish_as(
            &hub.make_token(wish),
            &[&form[..2], &[("data", wish)]].concat(),
        );
        assert_eq!(answer.status, 200, "{wish}: {}", answer.text());
        assert_eq!(
            stream.event().data,
            wish,
            "nothing that was refused came before"
        );
    }
}

#[test]
fn no_setting_lets_anybody_publish() {
    for setting in [
        "[publish]\nanonymous = true\n",
        "[auth]\nanonymous = true\n",
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tidings.toml");
        let listen = "[[listen]]\naddress = \"127.0.0.1:0\"\n";
        std::fs::write(&path, format!("{setting}{SERVED}{listen}")).expect("written");
        let (code, _, errors) = crate::harness::run(
            &["config", "check", "--config", &path.display().to_string()],
            &[],
        );
        assert_ne!(code, 0, "{setting}");
        assert!(errors.contains("anonymous"), "{errors}");
    }
    let hub = TestHub::served("[subscribe]\nanonymous = true\n");
    let answer = hub.request(Request::post(HUB_PATH).form(&[("topic", "urn:a")]));
    check(&answer, 401, "token-missing");
}

#[test]
fn what_is_over_a_limit_is_too_large() {
    let hub = TestHub::dev();
    let long = |bytes: usize| "x".repeat(bytes);
    let too_large = [
        (format!("topic={}", long(4097)), "topic-too-long"),
        (
            format!("topic=urn:a&topic={}", long(4097)),
            "topic-too-long",
        ),
        (format!("topic=urn:a&id={}", long(1025)), "id-too-long"),
        (format!("topic=urn:a&type={}", long(257)), "type-too-long"),
        (vec!["topic=urn:a"; 1001].join("&"), "too-many-topics"),
        (
            format!("topic=urn:a&data={}", long(1024 * 1024)),
            "body-too-large",
        ),
    ];
    for (body, name) in too_large {
        check(&post(&hub, &body), 413, name);
    }
    let fitting = [
        format!("topic={}", long(4096)),
        format!("topic=urn:a&id={}", long(1024)),
        format!("topic=urn:a&type={}", long(256)),
        format!(
            "topic=urn:a&data={}",
            long(1024 * 1024 - "topic=urn:a&data=".len())
        ),
    ];
    for body in fitting {
        assert_eq!(post(&hub, &body).status, 200);
    }
    let topics: Vec<String> = (0..1000)
        .map(|number| format!("topic=urn:{number}"))
        .collect();
    let mut stream = hub.subscribe("match=urn:999");
    let id = post(&hub, &topics.join("&")).text();
    assert_eq!(stream.event().last_event_id, id);
}

#[test]
fn a_body_without_a_length_is_limited_too() {
    let hub = TestHub::served("[publish]\nbody_bytes_max = 1000\n");
    let token = served_token(&["--publish", "*"]);
    let chunked = |bytes: usize| {
        let form = format!(
            "topic=urn:a&data={}",
            "x".repeat(bytes - "topic=urn:a&data=".len())
        );
        let (first, second) = form.split_at(600);
        let body = format!(
            "{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
            first.len(),
            second.len()
        );
        let request = Request::post(HUB_PATH)
            .bearer(&token)
            .header("Content-Type", FORM);
        hub.request(request.header("Transfer-Encoding", "chunked").body(body))
    };
    assert_eq!(chunked(1000).status, 200);
    check(&chunked(1001), 413, "body-too-large");
}

#[test]
fn duplicate_topics_in_one_update_are_delivered_once() {
    let hub = TestHub::dev();
    let mut stream = hub.subscribe("match=urn:a");
    hub.published(&[("topic", "urn:a"), ("topic", "urn:a"), ("data", "1")]);
    hub.published(&[("topic", "urn:a"), ("data", "2")]);
    assert_eq!(stream.data(2), ["1", "2"]);
}

/// Publishes a body as it is, with the token that allows everything.
fn post(hub: &TestHub, body: &str) -> Answer {
    let request = Request::post(HUB_PATH).bearer(&hub.publisher_token());
    hub.request(request.header("Content-Type", FORM).body(body))
}

/// Runs a check with a token for everything and with one for `urn:narrow` only.
fn for_any_token(check: impl Fn(&TestHub, &str)) {
    let hub = TestHub::dev();
    check(&hub, &hub.publisher_token());
    check(
        &hub,
        &hub.make_token(r#"{"publish":[{"match":"urn:narrow"}]}"#),
    );
}

#[track_caller]
fn check(answer: &Answer, status: u16, problem: &str) {
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (status, problem),
        "{}",
        answer.text()
    );
}
