//! Which pages of other origins may read the hub's answers.

use crate::harness::tokens::{settings, token_for_all};
use crate::harness::{Answer, HUB_PATH, Request, TestHub};

const LISTED: &str = "https://app.example.com";
const FOREIGN: &str = "https://evil.example";

#[test]
fn a_listed_origin_may_read_and_use_credentials() {
    let hub = hub("\"https://app.example.com\", \"https://*.apps.example\"");
    for origin in [
        LISTED,
        "https://one.apps.example",
        "https://two.apps.example",
    ] {
        let answer = head(&hub, origin);
        assert_eq!(allowed(&answer), (Some(origin), Some("true")));
        assert!(varies(&answer), "{answer:?}");
    }
    for origin in [
        FOREIGN,
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.evil.example",
        "https://apps.example",
        "https://a.b.apps.example",
        "null",
        "*",
        "",
    ] {
        let answer = head(&hub, origin);
        assert_eq!(allowed(&answer), (None, None), "{origin}");
        assert!(varies(&answer), "{origin}: a cache would give it to others");
    }
}

#[test]
fn a_star_never_goes_with_credentials() {
    let hub = hub("\"*\"");
    for origin in [LISTED, FOREIGN, "null"] {
        assert_eq!(allowed(&head(&hub, origin)), (Some("*"), None), "{origin}");
    }
    let hub = self::hub("\"*\", \"https://app.example.com\"");
    assert_eq!(allowed(&head(&hub, LISTED)), (Some(LISTED), Some("true")));
    assert_eq!(allowed(&head(&hub, FOREIGN)), (Some("*"), None));
}

#[test]
fn null_is_an_origin_only_if_listed_and_never_has_credentials() {
    let hub = hub("\"null\"");
    assert_eq!(allowed(&head(&hub, "null")), (Some("null"), None));
    assert_eq!(allowed(&head(&hub, FOREIGN)), (None, None));
}

#[test]
fn without_a_list_no_origin_may_read() {
    let hub = hub("");
    for origin in [LISTED, "https://hub.example.com", "null"] {
        assert_eq!(allowed(&head(&hub, origin)), (None, None));
    }
}

#[test]
fn an_event_stream_has_the_fields_too() {
    let hub = hub("\"https://app.example.com\"");
    let asked = Request::get(&format!("{HUB_PATH}?match=*&last_event_id=earliest"));
    let stream = hub.subscribe_by(asked.header("Origin", LISTED));
    assert_eq!(allowed(&stream.head), (Some(LISTED), Some("true")));
    assert!(exposed(&stream.head).contains(&"mercure-last-event-id".to_owned()));
}

#[test]
fn what_a_page_needs_to_read_is_exposed() {
    let hub = hub("\"https://app.example.com\", \"*\"");
    for origin in [LISTED, FOREIGN] {
        let exposed = exposed(&head(&hub, origin));
        for name in [
            "mercure-last-event-id",
            "www-authenticate",
            "etag",
            "link",
            "retry-after",
        ] {
            assert!(
                exposed.contains(&name.to_owned()),
                "{name} is not in {exposed:?}"
            );
        }
    }
}

#[test]
fn a_preflight_allows_what_publishers_and_subscribers_send() {
    let hub = hub("\"https://app.example.com\"");
    let preflight = |origin: &str| {
        let request = Request::new("OPTIONS", HUB_PATH)
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST")
            .header(
                "Access-Control-Request-Headers",
                "authorization,content-type",
            );
        hub.request(request)
    };
    let answer = preflight(LISTED);
    assert_eq!(answer.status, 204);
    assert_eq!(allowed(&answer), (Some(LISTED), Some("true")));
    let methods = list(&answer, "access-control-allow-methods");
    for method in ["get", "head", "post", "query"] {
        assert!(methods.contains(&method.to_owned()), "{methods:?}");
    }
    let fields = list(&answer, "access-control-allow-headers");
    for field in [
        "authorization",
        "cache-control",
        "content-type",
        "last-event-id",
    ] {
        assert!(fields.contains(&field.to_owned()), "{fields:?}");
    }
    // `*` in these lists means nothing to a request with credentials.
    assert!(!methods.contains(&"*".to_owned()) && !fields.contains(&"*".to_owned()));
    assert_eq!(allowed(&preflight(FOREIGN)), (None, None));
}

#[test]
fn a_page_may_set_the_fields_of_its_libraries() {
    let wanted = "hx-request,hx-current-url, Datastar-Request,baggage, authorization";
    let preflight = |hub: &TestHub, path: &str, origin: &str| {
        let request = Request::new("OPTIONS", path)
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "GET")
            .header("Access-Control-Request-Headers", wanted);
        hub.request(request)
    };
    let fields = |answer: &Answer| list(answer, "access-control-allow-headers");
    let has = |answer: &Answer, name: &str| fields(answer).contains(&name.to_owned());
    let further = [
        "hx-request",
        "hx-current-url",
        "datastar-request",
        "baggage",
    ];
    let below = format!("{HUB_PATH}/subscriptions");
    for path in [HUB_PATH, &below] {
        let hub = hub("\"https://app.example.com\"");
        let answer = preflight(&hub, path, LISTED);
        assert!(further.iter().all(|name| has(&answer, name)), "{answer:?}");
        assert!(has(&answer, "last-event-id") && has(&answer, "authorization"));
        assert!(has(&answer, "traceparent") && has(&answer, "tracestate"));
        let once = fields(&answer)
            .into_iter()
            .filter(|name| name == "authorization");
        assert_eq!(once.count(), 1);
        assert_eq!(answer.header("access-control-max-age"), Some("7200"));
        let varies = answer.headers("vary").join(", ").to_ascii_lowercase();
        assert!(varies.contains("origin") && varies.contains("access-control-request-headers"));
        // What is no name of a field is left out, and nobody else is told anything.
        let foreign = preflight(&hub, path, FOREIGN);
        assert!(
            !further.iter().any(|name| has(&foreign, name)),
            "{foreign:?}"
        );
        let odd = Request::new("OPTIONS", path)
            .header("Origin", LISTED)
            .header("Access-Control-Request-Headers", "a b, , x-fine, (");
        let odd = hub.request(odd);
        assert!(has(&odd, "x-fine") && !fields(&odd).iter().any(|name| name.contains('(')));
    }
    let any = preflight(&hub("\"*\""), HUB_PATH, FOREIGN);
    assert!(further.iter().all(|name| has(&any, name)), "{any:?}");
    let listed = "[cors]\norigins = [\"https://app.example.com\"]\n\
                  headers = [\"X-Mine\", \"HX-Request\"]\n";
    let answer = preflight(&TestHub::serve(&settings(listed)), HUB_PATH, LISTED);
    assert!(has(&answer, "x-mine") && has(&answer, "hx-request") && has(&answer, "prefer"));
    assert!(!has(&answer, "baggage"), "{answer:?}");
}

#[test]
fn errors_can_be_read_by_the_page_that_made_them() {
    let hub = TestHub::serve(&settings(
        "[cors]\norigins = [\"https://app.example.com\"]\n[publish]\nbody_bytes_max = 100\n",
    ));
    let token = token_for_all();
    let long = "x".repeat(200);
    for (request, status) in [
        (Request::get(&format!("{HUB_PATH}?match=*")), 401),
        (
            Request::get(&format!("{HUB_PATH}?match=*")).bearer("a.b.c"),
            401,
        ),
        (Request::get(HUB_PATH).bearer(&token), 400),
        (Request::post(HUB_PATH).form(&[("topic", "a")]), 401),
        (
            Request::post(HUB_PATH)
                .bearer(&token)
                .form(&[("topic", "*")]),
            400,
        ),
        (
            Request::post(HUB_PATH)
                .bearer(&token)
                .form(&[("topic", &long)]),
            413,
        ),
        (Request::new("DELETE", HUB_PATH), 405),
    ] {
        let answer = hub.request(request.header("Origin", LISTED));
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(allowed(&answer), (Some(LISTED), Some("true")), "{status}");
        assert!(
            exposed(&answer).contains(&"www-authenticate".to_owned()),
            "{status}"
        );
    }
}

fn hub(origins: &str) -> TestHub {
    TestHub::serve(&settings(&format!(
        "[subscribe]\nanonymous = true\n[cors]\norigins = [{origins}]\n"
    )))
}

fn head(hub: &TestHub, origin: &str) -> Answer {
    let request = Request::new("HEAD", &format!("{HUB_PATH}?match=*"));
    let answer = hub.request(request.header("Origin", origin));
    assert_eq!(answer.status, 200, "{origin}");
    answer
}

/// Returns the origin that may read, and whether it may use credentials.
fn allowed(answer: &Answer) -> (Option<&str>, Option<&str>) {
    let origin = answer.header("access-control-allow-origin");
    (origin, answer.header("access-control-allow-credentials"))
}

fn varies(answer: &Answer) -> bool {
    list(answer, "vary").contains(&"origin".to_owned())
}

fn exposed(answer: &Answer) -> Vec<String> {
    list(answer, "access-control-expose-headers")
}

/// Returns the entries of a list in lower case.
fn list(answer: &Answer, name: &str) -> Vec<String> {
    let text = answer.header(name).unwrap_or_default().to_ascii_lowercase();
    text.split(',')
        .map(|entry| entry.trim().to_owned())
        .collect()
}
