//! Every refusal as a problem document: its type, its status, its detail, and the list of refusals in
//! `docs/reference/http.md`.

use std::collections::BTreeSet;

use crate::harness::{HUB_PATH, Request, TestHub};

const MANUAL: &str = include_str!("../../../../docs/reference/http.md");

/// Refusals that need a hub or a network in trouble: other tests provoke them.
const ELSEWHERE: [(&str, u16); 20] = [
    ("rate-limited", 429),
    ("address-blocked", 403),
    ("body-incomplete", 400),
    ("body-timeout", 408),
    ("too-many-connections", 429),
    ("too-many-connections", 503),
    ("memory-limit", 429),
    ("memory-limit", 503),
    ("too-many-patterns", 429),
    ("too-many-patterns", 503),
    ("busy", 503),
    ("history-unavailable", 503),
    ("in-doubt", 503),
    ("engine-unavailable", 503),
    ("update-too-large", 413),
    ("key-invalid", 400),
    ("key-reused", 422),
    ("history-unreadable", 503),
    ("catching-up", 503),
    ("stopping", 503),
];

/// A request and its refusal.
struct Row {
    request: Request,
    name: &'static str,
    status: u16,
    /// What the detail says, at least.
    detail: &'static str,
}

#[test]
fn every_refusal_is_a_problem_document_with_a_detail_that_helps() {
    let hub = TestHub::dev();
    for row in rows(&hub) {
        let answer = hub.request(row.request.clone());
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (row.status, row.name),
            "{answer:?}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let json = answer.json();
        assert_eq!(json["type"], format!("urn:tidings:problem:{}", row.name));
        assert_eq!(json["status"], row.status);
        assert!(!json["title"].as_str().expect("a title").is_empty());
        let detail = json["detail"].as_str().expect("a detail");
        assert!(
            detail.contains(row.detail),
            "{}: {detail:?} without {:?}",
            row.name,
            row.detail
        );
        assert!(detail.len() < 1000, "{}: {detail}", row.name);
    }
}

#[test]
fn the_manual_lists_every_refusal_and_no_other() {
    let hub = TestHub::dev();
    let provoked = rows(&hub)
        .into_iter()
        .map(|row| (row.name.to_owned(), row.status));
    let elsewhere = ELSEWHERE.map(|(name, status)| (name.to_owned(), status));
    let all: BTreeSet<(String, u16)> = provoked.chain(elsewhere).collect();
    let listed: BTreeSet<(String, u16)> = MANUAL.lines().filter_map(listed).collect();
    assert_eq!(listed, all);
}

/// Reads a line of the manual's table of types: `| 400 | \`name\` | meaning |`.
fn listed(line: &str) -> Option<(String, u16)> {
    let mut cells = line.strip_prefix("| ")?.split(" | ");
    let status = cells.next()?.parse().ok()?;
    let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
    Some((name.to_owned(), status))
}

fn rows(hub: &TestHub) -> Vec<Row> {
    [publishing(hub), authorising(hub), subscribing(), others()]
        .into_iter()
        .flatten()
        .collect()
}

fn publishing(hub: &TestHub) -> Vec<Row> {
    let token = hub.publisher_token();
    let post = |form: &[(&str, &str)]| Request::post(HUB_PATH).bearer(&token).form(form);
    let form = |form: &[(&str, &str)], name, status, detail| {
        let form = [&[("topic", "urn:a")], form].concat();
        Row {
            request: post(&form),
            name,
            status,
            detail,
        }
    };
    let long = "x".repeat(5000);
    let bytes = |body: &str, name, status, detail| {
        let media_type = "application/x-www-form-urlencoded";
        let request = Request::post(HUB_PATH)
            .bearer(&token)
            .header("Content-Type", media_type);
        Row {
            request: request.body(body),
            name,
            status,
            detail,
        }
    };
    vec![
        bytes("data=x", "topic-missing", 400, "topic"),
        bytes("topic[0]=a", "list-invalid", 400, "topic=A&topic=B"),
        bytes("topic=urn:a&data=%FF", "not-utf8", 400, "\"data\""),
        bytes(
            &vec!["topic=a"; 1001].join("&"),
            "too-many-topics",
            413,
            "1000",
        ),
        bytes(
            &format!("data={}", "x".repeat(1 << 20)),
            "body-too-large",
            413,
            "publish.body_bytes_max",
        ),
        form(&[("topic", "*")], "topic-invalid", 400, "wildcard"),
        form(&[("topic", "a\u{200b}")], "topic-invalid", 400, "\\u{200b}"),
        form(
            &[("topic", "/.well-known/mercure/x")],
            "topic-reserved",
            400,
            "choose another path",
        ),
        form(&[("topic", &long)], "topic-too-long", 413, "4096"),
        form(&[("id", "earliest")], "id-invalid", 400, "earliest"),
        form(&[("id", "#1")], "id-invalid", 400, "'#'"),
        form(&[("id", &long)], "id-too-long", 413, "1024"),
        form(&[("type", "mercure")], "type-invalid", 400, "mercure"),
        form(&[("type", &long)], "type-too-long", 413, "256"),
        form(&[("retry", "soon")], "retry-invalid", 400, "\"soon\""),
        Row {
            request: Request::post(HUB_PATH)
                .bearer(&token)
                .header("Content-Type", "text/plain"),
            name: "media-type-unsupported",
            status: 415,
            detail: "application/x-www-form-urlencoded",
        },
    ]
}

fn authorising(hub: &TestHub) -> Vec<Row> {
    let form = [("topic", "urn:a")];
    let narrow = hub.make_token(r#"{"publish":[{"match":"urn:b"}]}"#);
    let cookie = format!("mercure_access_token={}", hub.publisher_token());
    let post = || Request::post(HUB_PATH);
    let row = |request, name, status, detail| Row {
        request,
        name,
        status,
        detail,
    };
    vec![
        row(
            post().form(&form),
            "token-missing",
            401,
            "Authorization: Bearer",
        ),
        row(
            post().header("Authorization", "Bearer").form(&form),
            "token-malformed",
            400,
            "Authorization",
        ),
        row(
            post().bearer("a.b.c").form(&form),
            "token-invalid",
            401,
            "token",
        ),
        row(
            post().bearer(&narrow).form(&form),
            "scope-insufficient",
            403,
            "urn:a",
        ),
        row(
            post()
                .header("Cookie", &cookie)
                .header("Origin", "https://evil.test")
                .form(&form),
            "origin-refused",
            403,
            "publish.origins",
        ),
        row(
            Request::post("/dev/token")
                .header("Content-Type", "application/json")
                .body("{"),
            "token-request-invalid",
            400,
            "line 1",
        ),
    ]
}

fn subscribing() -> Vec<Row> {
    let get = |query: &str, name, status, detail| {
        let request = Request::get(&format!("{HUB_PATH}?{query}"));
        Row {
            request,
            name,
            status,
            detail,
        }
    };
    vec![
        get("", "matcher-missing", 400, "match=TOPIC"),
        get("matches=urn:a", "matcher-type-unknown", 400, "\"matches\""),
        get("match_regex=a", "matcher-type-unknown", 400, "match_regex"),
        get("match=", "matcher-invalid", 400, "empty"),
        get(
            "match_urlpattern=https://example.com/(",
            "matcher-invalid",
            400,
            "URL pattern",
        ),
        get("match=%FF", "not-utf8", 400, "\"match\""),
        get(
            &vec!["match=a"; 101].join("&"),
            "too-many-matchers",
            400,
            "100",
        ),
    ]
}

#[test]
fn a_browser_is_shown_a_page_where_there_is_nothing() {
    let hub = TestHub::dev();
    let ask = |path: &str, accept: &str| hub.request(Request::get(path).header("Accept", accept));
    let chromium = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8";
    for accept in [
        chromium,
        "text/html",
        "application/json;q=0.5, TEXT/HTML; q=0.5",
    ] {
        for path in ["/nowhere", "/chat/nowhere", "/404.html"] {
            let answer = ask(path, accept);
            assert_eq!(answer.status, 404, "{path}");
            assert_eq!(
                answer.header("content-type"),
                Some("text/html; charset=utf-8")
            );
            assert!(answer.text().contains("There is nothing here"), "{path}");
            let policy = answer.header("content-security-policy").unwrap_or_default();
            assert!(policy.contains("default-src 'self'"), "{path}");
        }
    }
    for accept in [
        "*/*",
        "",
        "application/json",
        "text/*",
        "text/html;q=0",
        "text/html;q=0.5, application/problem+json",
    ] {
        let answer = ask("/nowhere", accept);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (404, "not-found"),
            "{accept}"
        );
    }
    // Other refusals, and refusals of other requests than for a page, stay problem documents.
    let answer = ask("/health/nowhere", chromium);
    assert_eq!(answer.status, 404);
    let answer = ask(HUB_PATH, chromium);
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (400, "matcher-missing")
    );
}

fn others() -> Vec<Row> {
    let row = |request, name, status, detail| Row {
        request,
        name,
        status,
        detail,
    };
    let multipart = "multipart/form-data; boundary=b";
    let broadcast = Request::post("/message/broadcast").header("Content-Type", multipart);
    vec![
        row(Request::get("/nowhere"), "not-found", 404, "path"),
        row(
            Request::new("DELETE", HUB_PATH),
            "method-not-allowed",
            405,
            "QUERY",
        ),
        row(
            Request::get(HUB_PATH).header("Host", "evil.test"),
            "misdirected",
            421,
            "evil.test",
        ),
        row(
            Request::get(HUB_PATH).header("Host", "a b"),
            "host-invalid",
            400,
            "a b",
        ),
        row(broadcast.body("--b"), "multipart-invalid", 400, "multipart"),
    ]
}
