//! What a refusal is told as.

use super::*;

#[test]
fn the_problems_detail_is_shown_or_what_there_is() {
    check(r#"{"title":"Forbidden","detail":"no grant"}"#, "no grant");
    check(r#"{"title":"Forbidden"}"#, "Forbidden");
    check("Unauthorized\nmore", "Unauthorized");
    check(r#"{"status":403}"#, "");
    check("", "");
    let text = refusal(http::StatusCode::FORBIDDEN, "why").to_string();
    assert_eq!(text, "the hub answered 403 Forbidden: why");
}

#[test]
fn loopback_is_told_by_the_host() {
    for url in ["http://localhost/", "http://127.1.2.3/", "http://[::1]:80/"] {
        assert!(is_loopback(&url.parse().unwrap()), "{url}");
    }
    assert!(!is_loopback(&"http://example.com/".parse().unwrap()));
}

#[track_caller]
fn check(body: &str, expected: &str) {
    assert_eq!(refusal(http::StatusCode::FORBIDDEN, body).detail, expected);
}
