//! Tokens in cookies, and who may publish with them.

use serde_json::json;

use crate::harness::tokens::{detail, settings_for, token_for_all, token_with};
use crate::harness::{Answer, HUB_PATH, Request, TestHub};

const NAME: &str = "__Secure-mercure_access_token";
const OWN: &str = "https://hub.example.com";
const LISTED: &str = "https://app.example.com";
const FOREIGN: &str = "https://evil.example";
const FORM: &[(&str, &str)] = &[("topic", "https://example.com/books/1"), ("data", "hello")];

#[test]
fn publishing_with_a_cookie_needs_an_allowed_origin() {
    let hub = hub();
    for (fields, status) in [
        (&[("Origin", OWN)][..], 200),
        (&[("Origin", LISTED)], 200),
        (&[("Origin", "https://one.apps.example")], 200),
        (&[("Origin", FOREIGN)], 403),
        (&[("Origin", "null")], 403),
        (&[("Origin", "")], 403),
        (&[("Origin", "http://hub.example.com")], 403),
        (&[("Origin", "https://hub.example.com:444")], 403),
        (&[("Origin", "https://hub.example.com.evil.example")], 403),
        (&[], 403),
        // Old browsers send only this.
        (&[("Referer", "https://hub.example.com/page?x=1")], 200),
        (&[("Referer", "https://app.example.com/")], 200),
        (
            &[("Referer", "https://evil.example/?https://app.example.com/")],
            403,
        ),
        (&[("Referer", "https://app.example.com@evil.example/")], 403),
        (&[("Referer", "nonsense")], 403),
        // What says less does not overrule what says more.
        (
            &[("Origin", FOREIGN), ("Referer", "https://app.example.com/")],
            403,
        ),
        (
            &[("Origin", "null"), ("Referer", "https://app.example.com/")],
            403,
        ),
        (
            &[("Origin", LISTED), ("Referer", "https://evil.example/")],
            200,
        ),
    ] {
        let mut request = Request::post(HUB_PATH).header("Cookie", &cookie(&token_for_all()));
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let answer = hub.request(request.form(FORM));
        assert_eq!(answer.status, status, "{fields:?}: {}", answer.text());
        if status == 403 {
            assert_eq!(answer.problem(), "origin-refused");
        }
    }
}

#[test]
fn the_hubs_own_origin_may_publish_without_being_listed() {
    let hub = TestHub::serve(&settings_of(""));
    let send = |origin: &str| {
        let request = Request::post(HUB_PATH).header("Cookie", &cookie(&token_for_all()));
        hub.request(request.header("Origin", origin).form(FORM))
            .status
    };
    assert_eq!((send(OWN), send(LISTED)), (200, 403));
}

#[test]
fn a_refused_origin_publishes_nothing() {
    let hub = TestHub::serve(&settings_of("[subscribe]\nanonymous = true\n"));
    let mut stream = hub.subscribe("match=*");
    let forged = Request::post(HUB_PATH)
        .header("Cookie", &cookie(&token_for_all()))
        .header("Origin", FOREIGN)
        .form(&[("topic", "a"), ("data", "forged")]);
    assert_eq!(hub.request(forged).status, 403);
    assert_eq!(
        hub.publish_as(&token_for_all(), &[("topic", "a"), ("data", "real")])
            .status,
        200
    );
    assert_eq!(stream.event().data, "real");
}

#[test]
fn a_token_in_the_header_needs_no_origin() {
    let hub = hub();
    for origin in [FOREIGN, "null"] {
        let request = Request::post(HUB_PATH)
            .bearer(&token_for_all())
            .header("Origin", origin);
        assert_eq!(hub.request(request.form(FORM)).status, 200);
    }
}

#[test]
fn the_header_wins_over_the_cookie() {
    let hub = hub();
    let good = token_for_all();
    let narrow = token_with(json!([detail(&["publish"], &["another"])]));
    let both = |header: &str, in_cookie: &str| {
        let request = Request::post(HUB_PATH).header("Origin", OWN).bearer(header);
        hub.request(request.header("Cookie", &cookie(in_cookie)).form(FORM))
            .status
    };
    assert_eq!(both(&good, "nonsense"), 200);
    assert_eq!(both(&good, &narrow), 200);
    assert_eq!(both("a.b.c", &good), 401);
    assert_eq!(both(&narrow, &good), 403);
    let malformed = Request::post(HUB_PATH)
        .header("Authorization", "Bearer")
        .header("Cookie", &cookie(&good))
        .header("Origin", OWN);
    assert_eq!(hub.request(malformed.form(FORM)).status, 400);
}

#[test]
fn another_scheme_than_bearer_is_an_invalid_request_and_no_cookie_counts_beside_it() {
    let hub = hub();
    for scheme in [
        "Basic c3RhZ2luZzpzZWNyZXQ=",
        "Digest username=\"a\"",
        "basic",
    ] {
        for with_cookie in [true, false] {
            let publishing = Request::post(HUB_PATH).header("Origin", OWN);
            let asking = Request::get(&format!("{HUB_PATH}?match=*"));
            for request in [publishing.form(FORM), asking] {
                let request = request.header("Authorization", scheme);
                let answer = hub.request(match with_cookie {
                    true => request.header("Cookie", &cookie(&token_for_all())),
                    false => request,
                });
                assert_eq!(answer.status, 400, "{scheme}: {}", answer.text());
                let challenge = answer.header("WWW-Authenticate").unwrap_or_default();
                assert!(
                    challenge.contains("error=\"invalid_request\""),
                    "{challenge}"
                );
                assert!(answer.text().contains("Bearer"), "{}", answer.text());
            }
        }
    }
}

#[test]
fn subscribing_with_a_cookie_needs_no_origin() {
    let hub = hub();
    let asked =
        Request::get(&format!("{HUB_PATH}?match=*")).header("Cookie", &cookie(&token_for_all()));
    let mut stream = hub.subscribe_by(asked);
    let private: &[(&str, &str)] = &[("topic", "a"), ("data", "for few"), ("private", "")];
    assert_eq!(hub.publish_as(&token_for_all(), private).status, 200);
    assert_eq!(stream.event().data, "for few");
}

#[test]
fn a_cookie_without_a_good_token_gets_401_not_anonymous_access() {
    let hub = TestHub::serve(&settings_of("[subscribe]\nanonymous = true\n"));
    let answer = subscribe(&hub, &[&cookie("nonsense")]);
    assert_eq!(answer.challenge(), Some("Bearer error=\"invalid_token\""));
    // An empty cookie is how a site forgets it.
    assert_eq!(subscribe(&hub, &[&cookie("")]).status, 200);
    assert_eq!(subscribe(&hub, &["other=1"]).status, 200);
}

#[test]
fn the_cookie_is_found_among_others_under_its_exact_name() {
    let hub = hub();
    let token = token_for_all();
    for fields in [
        &[format!("a=1; {NAME}={token}; b=2")][..],
        &[format!("a=1;{NAME}={token};b=2")],
        &[format!("broken; =; {NAME}={token}")],
        &["a=1".to_owned(), format!("{NAME}={token}")],
    ] {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        assert_eq!(subscribe(&hub, &fields).status, 200, "{fields:?}");
    }
    for other in [
        "mercureAuthorization",
        "mercure_access_token",
        "__secure-mercure_access_token",
    ] {
        assert_eq!(
            subscribe(&hub, &[&format!("{other}={token}")]).status,
            401,
            "{other}"
        );
        assert_eq!(subscribe(&hub, &[&format!("x{NAME}={token}")]).status, 401);
    }
}

#[test]
fn several_cookie_names_count_in_their_order() {
    let hub = TestHub::serve(&settings_of("[auth]\ncookie_names = [\"new\", \"old\"]\n"));
    let token = token_for_all();
    assert_eq!(subscribe(&hub, &[&format!("new={token}")]).status, 200);
    assert_eq!(subscribe(&hub, &[&format!("old={token}")]).status, 200);
    assert_eq!(
        subscribe(&hub, &[&format!("old=nonsense; new={token}")]).status,
        200
    );
    assert_eq!(
        subscribe(&hub, &[&format!("old={token}; new=nonsense")]).status,
        401
    );
    assert_eq!(
        subscribe(&hub, &[&format!("old={token}; new=")]).status,
        200
    );
    assert_eq!(subscribe(&hub, &[&cookie(&token)]).status, 401);
}

/// Returns the configuration; this file is compiled a second time for hubs with old dialects.
fn settings_of(more: &str) -> String {
    settings_for(module_path!(), more)
}

fn hub() -> TestHub {
    TestHub::serve(&settings_of(
        "[publish]\norigins = [\"https://app.example.com\", \"https://*.apps.example\"]\n",
    ))
}

fn cookie(token: &str) -> String {
    format!("{NAME}={token}")
}

fn subscribe(hub: &TestHub, cookies: &[&str]) -> Answer {
    let mut request = Request::new("HEAD", &format!("{HUB_PATH}?match=*"));
    for cookie in cookies {
        request = request.header("Cookie", cookie);
    }
    hub.request(request)
}
