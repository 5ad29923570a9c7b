//! Tests of [`bearer`](super).

use super::*;

#[test]
fn the_example_of_the_rfc() {
    check(
        "Bearer mF_9.B5f-4.1JqM",
        Authorization::Bearer("mF_9.B5f-4.1JqM"),
    );
}

#[test]
fn the_scheme_is_compared_without_case_and_space_is_tolerated() {
    check("bearer a", Authorization::Bearer("a"));
    check("BEARER   a", Authorization::Bearer("a"));
    check("\t Bearer a== ", Authorization::Bearer("a=="));
}

#[test]
fn all_characters_of_a_token_are_taken() {
    check(
        "Bearer AZaz09-._~+/=",
        Authorization::Bearer("AZaz09-._~+/="),
    );
}

#[test]
fn other_characters_are_malformed() {
    for token in [
        "a b",
        "a,b",
        "a=b",
        "=",
        "==",
        "\"a\"",
        "a\tb",
        "é",
        "a%20",
        "a, Bearer b",
        "\ta",
    ] {
        check(
            &format!("Bearer {token}"),
            Authorization::Malformed(Malformed::Token),
        );
    }
    assert_eq!(
        parse(b"Bearer a\xff"),
        Authorization::Malformed(Malformed::Token)
    );
}

#[test]
fn a_missing_token_is_malformed() {
    for value in ["Bearer", "Bearer ", "bearer    "] {
        check(value, Authorization::Malformed(Malformed::NoToken));
    }
}

#[test]
fn a_missing_scheme_is_malformed() {
    for value in ["", " ", "Bearer\ta", "Bearer,a", "a=b c", "Béarer a"] {
        check(value, Authorization::Malformed(Malformed::Scheme));
    }
}

#[test]
fn other_schemes_are_told_apart() {
    for value in [
        "Basic QWxhZGRpbjpvcGVu",
        "Basic",
        "Bearer2 a",
        "Digest a=\"b\", c=d",
    ] {
        check(value, Authorization::Malformed(Malformed::OtherScheme));
    }
}

#[test]
fn only_one_field_is_allowed() {
    assert_eq!(parse_all([]), None);
    assert_eq!(
        parse_all([b"Bearer a".as_slice()]),
        Some(Authorization::Bearer("a"))
    );
    let repeated = Some(Authorization::Malformed(Malformed::Repeated));
    assert_eq!(parse_all([b"Bearer a".as_slice(), b"Bearer a"]), repeated);
    assert_eq!(parse_all([b"Basic a".as_slice(), b"Bearer a"]), repeated);
}

#[test]
fn every_truncation_has_an_answer() {
    let value = b"Bearer ab==";
    for end in 0..value.len() {
        let expected = match end {
            0 => Authorization::Malformed(Malformed::Scheme),
            1..=5 => Authorization::Malformed(Malformed::OtherScheme),
            6 | 7 => Authorization::Malformed(Malformed::NoToken),
            _ => Authorization::Bearer(std::str::from_utf8(&value[7..end]).expect("ASCII")),
        };
        assert_eq!(parse(&value[..end]), expected, "at {end}");
    }
}

#[track_caller]
fn check(value: &str, expected: Authorization<'_>) {
    assert_eq!(parse(value.as_bytes()), expected, "{value:?}");
}
