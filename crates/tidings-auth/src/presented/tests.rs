//! Where the token is looked for.

use http::HeaderValue;

use super::*;

#[test]
fn the_field_wins_over_the_cookie() {
    let cookie = ("cookie", "mercure=from-cookie");
    check(
        &[cookie, ("authorization", "bEaReR from-field")],
        Ok(header("from-field")),
    );
    check(&[cookie], Ok(Presented::Cookie("from-cookie".to_owned())));
    check(&[], Ok(Presented::None));
}

#[test]
fn another_scheme_is_an_error_even_with_a_cookie() {
    let basic = ("authorization", "Basic dXNlcjpwYXNz");
    for fields in [vec![basic], vec![basic, ("cookie", "mercure=t")]] {
        assert!(presented(&headers(&fields), &names()).is_err());
        assert!(presented_in_v0(&headers(&fields), "", &names()).is_err());
    }
}

#[test]
fn a_malformed_field_is_an_error_even_with_a_cookie() {
    let cookie = ("cookie", "mercure=t");
    for fields in [
        vec![cookie, ("authorization", "Bearer")],
        vec![cookie, ("authorization", "Bearer a b")],
        vec![
            cookie,
            ("authorization", "Bearer a"),
            ("authorization", "Bearer a"),
        ],
        vec![cookie, ("authorization", "")],
    ] {
        assert!(
            presented(&headers(&fields), &names()).is_err(),
            "{fields:?}"
        );
    }
}

#[test]
fn the_first_name_that_is_there_counts() {
    let fields = [("cookie", "a=1; other=second"), ("cookie", "mercure=; x=y")];
    check(&fields, Ok(Presented::Cookie("second".to_owned())));
    check(
        &[("cookie", "other=second; mercure=first")],
        Ok(Presented::Cookie("first".to_owned())),
    );
    check(&[("cookie", "MERCURE=x; mercure=")], Ok(Presented::None));
}

#[test]
fn bytes_of_another_cookie_hide_nothing() {
    let mut headers = HeaderMap::new();
    headers.append(
        COOKIE,
        HeaderValue::from_bytes(b"x=\xff\xfe; mercure=t").unwrap(),
    );
    assert_eq!(
        presented(&headers, &names()),
        Ok(Presented::Cookie("t".to_owned()))
    );
}

#[track_caller]
fn check(fields: &[(&'static str, &str)], expected: Result<Presented, PresentationError>) {
    assert_eq!(presented(&headers(fields), &names()), expected);
}

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn names() -> Vec<String> {
    vec!["mercure".to_owned(), "other".to_owned()]
}

fn header(token: &str) -> Presented {
    Presented::Header(token.to_owned())
}
