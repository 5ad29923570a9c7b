//! Tests of [`authority`](super).

use super::*;

#[test]
fn hosts_and_ports_are_read_in_normal_form() {
    for (text, normal) in [
        ("example.com", "example.com"),
        ("EXAMPLE.com:8080", "example.com:8080"),
        ("example.com:", "example.com"),
        ("example.com.", "example.com."),
        ("a_b", "a_b"),
        ("127.0.0.1:080", "127.0.0.1:80"),
        ("[::1]", "[::1]"),
        ("[0:0:0:0:0:0:0:1]:443", "[::1]:443"),
        ("[2001:DB8::A]", "[2001:db8::a]"),
        ("%41!$&'()*+;=~", "%41!$&'()*+;=~"),
    ] {
        let authority = Authority::parse(text).expect(text);
        assert_eq!(authority.to_string(), normal);
        assert_eq!(Authority::parse(normal), Ok(authority), "{text}");
    }
}

#[test]
fn what_is_no_authority_is_refused() {
    for text in [
        "",
        ":80",
        "a b",
        " a",
        "a/b",
        "a?b",
        "a#b",
        "http://a",
        "user@a",
        "a\\b",
        "é",
        "a\0",
        "[::1",
        "::1",
        "[]",
        "[a]",
        "[::1]x",
        "[::1%25eth0]",
        "[::1]]",
        "\"a\"",
        "a^b",
        "a|b",
        "a<b",
    ] {
        let error = Authority::parse(text).expect_err(text);
        let named = matches!(
            error,
            AuthorityError::Host { .. } | AuthorityError::Port { .. }
        );
        assert!(named && error.to_string().contains("no valid"), "{error}");
    }
    for text in [
        "a:b",
        "a:65536",
        "a:+1",
        "a:-1",
        "a:1:2",
        "[::1]:x",
        "a:99999999999",
    ] {
        let error = Authority::parse(text).expect_err(text);
        assert!(matches!(error, AuthorityError::Port { .. }), "{error}");
    }
}

#[test]
fn the_same_server_has_several_names() {
    check("example.com", "EXAMPLE.com.", &[], true);
    check("example.com", "example.com:443", &[443], true);
    check("example.com:443", "example.com", &[443], true);
    check("example.com:80", "example.com:443", &[80, 443], true);
    check("[::1]", "[0::1]:80", &[80], true);
    check("example.com", "example.com:443", &[80], false);
    check("example.com:8443", "example.com", &[443], false);
    check("example.com", "example.com..", &[], false);
    check("example.com", "example.org", &[], false);
}

fn check(one: &str, other: &str, default_ports: &[u16], same: bool) {
    let [one, other] = [one, other].map(|text| Authority::parse(text).expect(text));
    assert_eq!(
        one.is_same(&other, default_ports),
        same,
        "{one} {other} {default_ports:?}"
    );
    assert_eq!(
        other.is_same(&one, default_ports),
        same,
        "{other} {one} {default_ports:?}"
    );
}
