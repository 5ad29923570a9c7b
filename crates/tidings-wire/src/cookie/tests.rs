//! Tests of [`cookie`](super).

use super::*;

#[test]
fn the_cookie_is_found_among_others() {
    check("SID=31d4d96e407aad42; token=abc; lang=en-US", Some("abc"));
    check("token=abc", Some("abc"));
}

#[test]
fn odd_spacing_is_tolerated() {
    check("a=b;token=abc;c=d", Some("abc"));
    check("a=b;\t token = abc ;;", Some("abc"));
}

#[test]
fn the_first_of_several_counts() {
    check("token=first; token=second", Some("first"));
}

#[test]
fn names_are_compared_whole_and_by_case() {
    check("xtoken=1; tokenx=2; TOKEN=3; token", None);
    check("other=token=abc", None);
    check("", None);
}

#[test]
fn a_value_may_be_empty_quoted_or_contain_an_equals_sign() {
    check("token=", Some(""));
    check("token=\"abc\"", Some("abc"));
    check("token=\"", Some("\""));
    check("token=a=b==", Some("a=b=="));
}

#[test]
fn every_truncation_finds_a_beginning_or_nothing() {
    let header = "a=b; token=\"abc\"; c=d";
    for beginning in (0..header.len()).filter_map(|end| header.get(..end)) {
        let found = find(beginning, "token").unwrap_or_default();
        assert!(
            "\"abc".starts_with(found) || found == "abc",
            "{found:?} in {beginning:?}"
        );
    }
}

#[track_caller]
fn check(header: &str, expected: Option<&str>) {
    assert_eq!(find(header, "token"), expected);
}
