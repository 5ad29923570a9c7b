//! Mercure 0.10 to 0.24 at the hub's path, as its own hubs answered; docs/reference/dialects.md lists
//! the rows.

use serde_json::json;

use crate::harness::dialects::{
    PATH_2019, all_dialects, hub, old_token, old_token_with, publish_at, subscribe_at,
};
use crate::harness::tokens::{detail, now_secs, settings, token_with};
use crate::harness::{Answer, HUB_PATH, Request, TestHub};

const BOOK: &str = "https://example.com/books/1";
const OTHER: &str = "https://example.com/users/1";

#[test]
fn a_topic_is_asked_for_by_itself_by_a_template_or_by_a_star() {
    let hub = hub();
    let token = publisher();
    for (query, wanted) in [
        (format!("topic={BOOK}"), "1"),
        ("topic=https://example.com/books/{id}".to_owned(), "1"),
        (
            "topic=https%3A%2F%2Fexample.com%2F%7Bkind%7D%2F%7Bid%7D".to_owned(),
            "12",
        ),
        ("topic=https://example.com{/path*}".to_owned(), "12"),
        ("topic=*".to_owned(), "123"),
        (format!("topic={BOOK}&topic={OTHER}&topic={BOOK}"), "12"),
        ("topic=plain+text{".to_owned(), "3"),
    ] {
        let mut stream = subscribe_at(&hub, HUB_PATH, &query, None);
        for (topic, data) in [(BOOK, "1"), (OTHER, "2"), ("plain text{", "3")] {
            let form = [("topic", topic), ("data", data)];
            assert_eq!(publish_at(&hub, HUB_PATH, &token, &form).status, 200);
        }
        let mut data = String::new();
        for _ in wanted.chars() {
            data.push_str(&stream.event().data);
        }
        assert_eq!(data, wanted, "{query}");
    }
}

#[test]
fn a_thousand_topics_may_be_asked_for() {
    let hub = hub();
    let of = |count: usize| {
        let topics: Vec<String> = (0..count)
            .map(|number| format!("topic=t{number}"))
            .collect();
        hub.request(Request::new(
            "HEAD",
            &format!("{HUB_PATH}?{}", topics.join("&")),
        ))
    };
    assert_eq!(of(1000).status, 200);
    assert_eq!(of(1001).status, 400);
}

#[test]
fn the_topics_may_be_as_long_as_topics_are() {
    let hub = hub();
    for count in [600, 1000] {
        let topics: Vec<String> = (0..count)
            .map(|number| format!("topic=https%3A%2F%2Fexample.com%2Fbooks%2Fand-so-{number:08}"))
            .collect();
        let target = format!("{HUB_PATH}?{}", topics.join("&"));
        let request = Request::new("HEAD", &target).bearer(&old_token(json!({"subscribe": ["*"]})));
        assert_eq!(hub.request(request).status, 200, "{count}");
    }
}

#[test]
fn a_token_without_the_claim_receives_what_is_public() {
    let hub = TestHub::serve(&all_dialects(""));
    let publish = |form: &[(&str, &str)]| publish_at(&hub, HUB_PATH, &publisher(), form).status;
    for claims in [json!({}), json!({"sub": "x"}), json!({"mercure": null})] {
        let token = old_token_with(&claims);
        let get = |more: &str| Request::get(&format!("{HUB_PATH}?topic={BOOK}{more}"));
        let ways = [
            get("").bearer(&token),
            get(&format!("&authorization={token}")),
            get("").header("Cookie", &format!("mercureAuthorization={token}")),
        ];
        for request in ways {
            let mut stream = hub.subscribe_by(request);
            let private = [("topic", BOOK), ("data", "secret"), ("private", "on")];
            assert_eq!(publish(&private), 200);
            assert_eq!(publish(&[("topic", BOOK), ("data", "open")]), 200);
            assert_eq!(stream.data(1), ["open"], "{claims}");
        }
        let refused = publish_at(&hub, HUB_PATH, &token, &[("topic", BOOK)]);
        check_text(&refused, 401, "Unauthorized\n");
    }
    // What makes it a token of before 1.0 is still asked for.
    let ended = old_token_with(&json!({"exp": now_secs() - 1}));
    let forged = format!("{}x", old_token_with(&json!({})));
    for token in [ended, forged] {
        let request = Request::get(&format!("{HUB_PATH}?topic={BOOK}")).bearer(&token);
        check_text(&hub.request(request), 401, "Unauthorized\n");
    }
    let modern = TestHub::serve(&settings(""));
    let request = Request::get(&format!("{HUB_PATH}?match={BOOK}"));
    let answer = modern.request(request.bearer(&old_token_with(&json!({}))));
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (401, "token-invalid")
    );
}

#[test]
fn lists_as_php_writes_them_are_told_how_lists_are_written() {
    let hub = hub();
    let modern = crate::harness::tokens::token_for_all();
    for name in ["topic[0]", "topic[]", "topic[a][b]"] {
        let told =
            format!("{name:?} is no field; write a list by repeating topic: topic=A&topic=B");
        let form = [(name, "a"), ("data", "x")];
        let mixed = [("topic", "a"), (name, "b"), ("data", "x")];
        for form in [&form[..], &mixed[..]] {
            for path in [HUB_PATH, PATH_2019] {
                let answer = publish_at(&hub, path, &publisher(), form);
                check_text(&answer, 400, &format!("{told}\n"));
            }
            let answer = publish_at(&hub, HUB_PATH, &modern, form);
            assert_eq!(
                (answer.status, answer.problem().as_str()),
                (400, "list-invalid")
            );
            assert_eq!(answer.json()["detail"], json!(told));
        }
        let name = name.replace('[', "%5B").replace(']', "%5D");
        for target in [HUB_PATH, PATH_2019] {
            for query in [format!("{name}=a"), format!("topic=a&{name}=b")] {
                let answer = hub.request(Request::get(&format!("{target}?{query}")));
                check_text(&answer, 400, &format!("{told}\n"));
            }
        }
        let name = name.replace("topic", "match");
        let answer = hub.request(Request::get(&format!("{HUB_PATH}?{name}=a")));
        assert_eq!(answer.problem(), "matcher-type-unknown");
        let detail = answer.json()["detail"].to_string();
        assert!(
            detail.contains("match=TOPIC") && detail.contains("once for each"),
            "{detail}"
        );
    }
    // Without its targets it would be public.
    let form = [("topic", "a"), ("data", "x"), ("target[]", "b")];
    let answer = publish_at(&hub, PATH_2019, &publisher(), &form);
    check_text(
        &answer,
        400,
        "\"target[]\" is no field; write a list by repeating target: target=A&target=B\n",
    );
}

#[test]
fn a_token_that_is_too_long_is_told_so() {
    let hub = hub();
    let claims = json!({"mercure": {"subscribe": ["*"]}, "x": "x".repeat(16 * 1024)});
    let token = old_token_with(&claims);
    let told = format!(
        "the token has {} bytes; the hub reads at most 16384",
        token.len()
    );
    let old = hub.request(Request::get(&format!("{HUB_PATH}?topic=a")).bearer(&token));
    check_text(&old, 401, &format!("Unauthorized\n{told}\n"));
    let new = hub.request(Request::get(&format!("{HUB_PATH}?match=a")).bearer(&token));
    assert_eq!((new.status, &new.json()["detail"]), (401, &json!(told)));
}

#[test]
fn the_answer_of_publishing_is_the_id() {
    let hub = hub();
    let form = [
        ("topic", BOOK),
        ("data", "x"),
        ("id", "urn:uuid:1"),
        ("retry", ""),
    ];
    let answer = publish_at(&hub, HUB_PATH, &publisher(), &form);
    assert_eq!((answer.status, answer.text().as_str()), (200, "urn:uuid:1"));
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let answer = publish_at(
        &hub,
        HUB_PATH,
        &publisher(),
        &[("topic", BOOK), ("data", "")],
    );
    assert!(answer.text().starts_with("urn:uuid:"), "{}", answer.text());
}

#[test]
fn events_have_their_fields_in_the_old_order_and_a_comment_opens_the_stream() {
    let hub = hub();
    let mut connection = crate::harness::Connection::open(hub.address);
    connection.send_request(&Request::get(&format!("{HUB_PATH}?topic={BOOK}")).http10());
    let head = connection.read_head();
    assert_eq!(head.status, 200);
    let form = [
        ("topic", BOOK),
        ("data", "one\r\ntwo"),
        ("id", "7"),
        ("type", "goal"),
        ("retry", "3000"),
    ];
    assert_eq!(publish_at(&hub, HUB_PATH, &publisher(), &form).status, 200);
    let zero = [("topic", BOOK), ("id", "8"), ("retry", "0")];
    assert_eq!(publish_at(&hub, HUB_PATH, &publisher(), &zero).status, 200);
    let expected = ":\nevent: goal\nretry: 3000\nid: 7\ndata: one\ndata: two\n\nid: 8\ndata: \n\n";
    let mut text = String::new();
    while text.len() < expected.len() {
        let bytes = connection.read_some().expect("the stream goes on");
        text.push_str(&String::from_utf8(bytes).unwrap());
    }
    assert_eq!(text, expected);
}

#[test]
fn the_claim_decides_what_may_be_published_and_whatever_it_refuses_gets_401() {
    let hub = hub();
    for (claim, status) in [
        (json!({"publish": ["*"]}), 200),
        (json!({"publish": [BOOK]}), 200),
        (json!({"publish": ["https://example.com/books/{id}"]}), 200),
        (json!({"publish": ["https://example.com/books/:id"]}), 401),
        (json!({"publish": [OTHER]}), 401),
        (json!({"publish": []}), 401),
        (json!({"publish": null}), 401),
        (json!({"subscribe": ["*"]}), 401),
        (json!("*"), 401),
    ] {
        let token = old_token(claim.clone());
        let answer = publish_at(&hub, HUB_PATH, &token, &[("topic", BOOK), ("data", "x")]);
        assert_eq!(answer.status, status, "{claim}: {}", answer.text());
        if status == 401 {
            check_text(&answer, 401, "Unauthorized\n");
        }
    }
    let namespaced = old_token_with(&json!({"https://mercure.rocks/": {"publish": [BOOK]}}));
    assert_eq!(
        publish_at(&hub, HUB_PATH, &namespaced, &[("topic", BOOK)]).status,
        200
    );
    let two = [("topic", BOOK), ("topic", OTHER)];
    check_text(
        &publish_at(&hub, HUB_PATH, &old_token(json!({"publish": [BOOK]})), &two),
        401,
        "Unauthorized\n",
    );
    let ended = json!({"mercure": {"publish": ["*"]}, "exp": now_secs() - 1});
    assert_eq!(
        publish_at(&hub, HUB_PATH, &old_token_with(&ended), &[("topic", BOOK)]).status,
        401
    );
}

#[test]
fn refusals_are_said_as_those_hubs_said_them() {
    let hub = hub();
    let token = publisher();
    check_text(
        &publish_at(&hub, HUB_PATH, &token, &[("data", "x")]),
        400,
        "Missing \"topic\" parameter\n",
    );
    check_text(
        &publish_at(
            &hub,
            HUB_PATH,
            &token,
            &[("topic", BOOK), ("retry", "soon")],
        ),
        400,
        "Invalid \"retry\" parameter\n",
    );
    let many: Vec<(&str, &str)> = vec![("topic", BOOK); 1001];
    check_text(
        &publish_at(&hub, HUB_PATH, &token, &many),
        400,
        "too many topics in update\n",
    );
    let json = Request::post(HUB_PATH)
        .bearer(&token)
        .header("Content-Type", "application/json")
        .body("{}");
    check_text(&hub.request(json), 400, "Missing \"topic\" parameter\n");
    let reserved = [("topic", "/.well-known/mercure/subscriptions/x")];
    assert_eq!(publish_at(&hub, HUB_PATH, &token, &reserved).status, 403);
    // Only 1.0 says why, in a problem document, and how to present a token.
    let closed = TestHub::serve(&all_dialects(""));
    let answer = closed.request(Request::get(&format!("{HUB_PATH}?topic=a")));
    check_text(&answer, 401, "Unauthorized\n");
    assert_eq!(answer.header("www-authenticate"), None);
    let answer = closed.request(Request::get(&format!("{HUB_PATH}?topic=a")).bearer("x.y.z"));
    check_text(&answer, 401, "Unauthorized\n");
    let request = Request::get(&format!("{HUB_PATH}?topic=a")).header("Authorization", "Bearer");
    check_text(&closed.request(request), 401, "Unauthorized\n");
}

#[test]
fn a_wrong_token_is_refused_even_where_none_is_needed() {
    let hub = hub();
    let request = Request::get(&format!("{HUB_PATH}?topic=a"));
    check_text(&hub.request(request.bearer("x.y.z")), 401, "Unauthorized\n");
}

#[test]
fn a_token_may_stand_in_the_header_the_query_or_the_cookie() {
    let hub = TestHub::serve(&all_dialects(
        "[publish]\norigins = [\"https://app.example\"]\n",
    ));
    let token = old_token(json!({"publish": ["*"], "subscribe": ["*"]}));
    let get = |more: &str| Request::new("HEAD", &format!("{HUB_PATH}?topic=a{more}"));
    let cookie = format!("mercureAuthorization={token}");
    let ways = [
        get("").bearer(&token),
        get(&format!("&authorization={token}")),
        get("").header("Cookie", &cookie),
    ];
    for request in ways {
        assert_eq!(hub.request(request).status, 200);
    }
    assert_eq!(hub.request(get("")).status, 401);
    // Another scheme in the header was refused there too, whatever stood in the cookie.
    let basic = get("").header("Authorization", "Basic eDp5");
    assert_eq!(hub.request(basic.header("Cookie", &cookie)).status, 401);
    // The header counts before the others, and nothing helps one that is wrong.
    let wrong = get(&format!("&authorization={token}")).bearer("x.y.z");
    assert_eq!(hub.request(wrong.header("Cookie", &cookie)).status, 401);

    let post = || Request::post(HUB_PATH).header("Cookie", &cookie);
    let form = [("topic", BOOK), ("data", "x")];
    for (origin, status) in [
        (Some("https://app.example"), 200),
        (Some("https://hub.example.com"), 200),
        (Some("https://evil.example"), 401),
        (None, 401),
    ] {
        let request = match origin {
            Some(origin) => post().header("Origin", origin),
            None => post(),
        };
        assert_eq!(
            hub.request(request.form(&form)).status,
            status,
            "{origin:?}"
        );
    }
    let by_query = Request::post(&format!("{HUB_PATH}?authorization={token}"));
    assert_eq!(hub.request(by_query.form(&form)).status, 200);
}

#[test]
fn what_is_private_reaches_those_whose_claim_has_one_of_its_topics() {
    let hub = hub();
    let token = publisher();
    let reader = |selectors: &[&str]| old_token(json!({"subscribe": selectors}));
    let mut granted = subscribe_at(
        &hub,
        HUB_PATH,
        "topic=*",
        Some(&reader(&["https://example.com/books/{id}"])),
    );
    let mut alternate = subscribe_at(
        &hub,
        HUB_PATH,
        &format!("topic={BOOK}"),
        Some(&reader(&["alternate"])),
    );
    let mut other = subscribe_at(&hub, HUB_PATH, "topic=*", Some(&reader(&[OTHER])));
    let mut anonymous = subscribe_at(&hub, HUB_PATH, "topic=*", None);
    let private = [
        ("topic", BOOK),
        ("topic", "alternate"),
        ("data", "secret"),
        ("private", "on"),
    ];
    assert_eq!(publish_at(&hub, HUB_PATH, &token, &private).status, 200);
    let public = [("topic", BOOK), ("data", "open")];
    assert_eq!(publish_at(&hub, HUB_PATH, &token, &public).status, 200);
    assert_eq!(granted.data(2), ["secret", "open"]);
    assert_eq!(alternate.data(2), ["secret", "open"]);
    assert_eq!(other.data(1), ["open"]);
    assert_eq!(anonymous.data(1), ["open"]);
}

#[test]
fn a_cursor_is_taken_by_any_of_its_names_and_answered_in_both() {
    let hub = hub();
    let token = publisher();
    for id in ["a", "b", "c"] {
        let form = [("topic", BOOK), ("id", id), ("data", id)];
        assert_eq!(publish_at(&hub, HUB_PATH, &token, &form).status, 200);
    }
    let get = |more: &str| Request::get(&format!("{HUB_PATH}?topic={BOOK}{more}"));
    for request in [
        get("&lastEventID=a"),
        get("&Last-Event-ID=a"),
        get("&last_event_id=a"),
        get("&lastEventId=a"),
        get("&lastEventID=a&Last-Event-ID=a"),
        get("").header("Last-Event-ID", "a"),
        get("&lastEventID=c").header("Last-Event-ID", "a"),
    ] {
        let mut stream = hub.subscribe_by(request);
        assert_eq!(stream.head.header("last-event-id"), Some("a"));
        assert_eq!(stream.head.header("mercure-last-event-id"), Some("a"));
        assert_eq!(stream.data(2), ["b", "c"]);
    }
    for cursor in ["earliest", "unknown"] {
        let mut stream = hub.subscribe_by(get(&format!("&lastEventID={cursor}")));
        assert_eq!(stream.head.header("last-event-id"), Some("earliest"));
        assert_eq!(stream.data(3), ["a", "b", "c"]);
    }
    // A library that asks in 1.0 and resumes by an old name loses nothing either.
    let mut stream = hub.subscribe(&format!("match={BOOK}&lastEventId=b"));
    assert_eq!(stream.head.header("mercure-last-event-id"), Some("b"));
    assert_eq!(stream.head.header("last-event-id"), None);
    assert_eq!(stream.data(1), ["c"]);
}

#[test]
fn the_health_probe_and_the_debuggers_page_are_where_they_were() {
    let hub = TestHub::serve(&all_dialects("[pages]\ndebugger = true\n"));
    assert_eq!(hub.request(Request::get("/healthz")).status, 200);
    let answer = hub.request(Request::get("/.well-known/mercure/ui/"));
    assert_eq!(
        (answer.status, answer.header("location")),
        (302, Some("/debugger/"))
    );
    let without = TestHub::serve(&all_dialects(""));
    let answer = without.request(Request::get("/.well-known/mercure/ui/"));
    assert_eq!(answer.status, 404);
    assert!(
        answer.text().contains("pages.debugger"),
        "{}",
        answer.text()
    );
}

#[test]
fn switched_off_it_says_which_setting_switches_it_on() {
    let hub = TestHub::serve(&settings("[subscribe]\nanonymous = true\n"));
    let answer = hub.request(Request::get(&format!("{HUB_PATH}?topic=a")));
    assert_eq!(answer.status, 400);
    assert!(
        answer.text().contains("dialects.v0 = true"),
        "{}",
        answer.text()
    );
    let answer = publish_at(&hub, HUB_PATH, &publisher(), &[("topic", BOOK)]);
    assert_eq!(answer.status, 401);
    assert!(
        answer.text().contains("dialects.v0 = true"),
        "{}",
        answer.text()
    );
    assert_eq!(hub.request(Request::get("/healthz")).status, 404);
    let request = Request::get(&format!("{HUB_PATH}?match=a")).bearer(&publisher());
    assert_eq!(hub.request(request).status, 401);
}

#[test]
fn a_token_of_1_0_subscribes_by_topic_but_only_from_where_1_0_presents_it() {
    let hub = TestHub::serve(&all_dialects(""));
    let token = token_with(json!([detail(&["publish", "subscribe"], &[BOOK])]));
    let mut stream = subscribe_at(
        &hub,
        HUB_PATH,
        "topic=https://example.com/books/{id}",
        Some(&token),
    );
    let private = [("topic", BOOK), ("data", "secret"), ("private", "")];
    assert_eq!(publish_at(&hub, HUB_PATH, &token, &private).status, 200);
    assert_eq!(stream.data(1), ["secret"]);
    for request in [
        Request::get(&format!("{HUB_PATH}?topic=a&authorization={token}")),
        Request::get(&format!("{HUB_PATH}?topic=a"))
            .header("Cookie", &format!("mercureAuthorization={token}")),
        Request::post(&format!("{HUB_PATH}?authorization={token}")).form(&private),
        Request::post(HUB_PATH)
            .header("Origin", "https://hub.example.com")
            .header("Cookie", &format!("mercureAuthorization={token}"))
            .form(&private),
    ] {
        assert_eq!(hub.request(request).status, 401);
    }
}

fn publisher() -> String {
    old_token(json!({"publish": ["*"]}))
}

#[track_caller]
fn check_text(answer: &Answer, status: u16, text: &str) {
    assert_eq!((answer.status, answer.text().as_str()), (status, text));
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
}
