//! What is hidden, and what is not.

use super::*;

const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJhIn0.c2lnbmF0dXJl-_";

#[test]
fn what_looks_like_a_token_is_hidden_wherever_it_stands() {
    let escaped = TOKEN.replace('.', "%2E");
    let twice = format!("a={TOKEN}&b={TOKEN}");
    for (written, expected) in [
        (TOKEN, "hidden"),
        (&escaped, "hidden"),
        (&twice, "a=hidden&b=hidden"),
        (&format!("Tool/1 ({TOKEN})"), "Tool/1 (hidden)"),
        (&format!("/ws/{TOKEN}/x"), "/ws/hidden/x"),
        (&format!("%22{TOKEN}%22"), "%22hidden%22"),
        // Space or line breaks after the brace; encrypted, with five parts; truncated.
        ("eyAiYWxnIjoiSFMyNTYifQ.e30.c2ln", "hidden"),
        ("ewogImFsZyI6IkhTMjU2In0.e30.c2ln", "hidden"),
        ("eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVy.dGFn", "hidden"),
        ("eyJhbGciOiJIUzI1NiIsInR5cCI6", "hidden"),
        ("eyJ", "eyJ"),
        (
            "grey.example.com, keyboard, newsletter.example.com",
            "grey.example.com, keyboard, newsletter.example.com",
        ),
        (
            "urn:uuid:9f1c2b3a-0000-4000-8000-000000000000",
            "urn:uuid:9f1c2b3a-0000-4000-8000-000000000000",
        ),
        ("", ""),
    ] {
        assert_eq!(text(written), expected);
    }
}

#[test]
fn credentials_and_userinfo_are_hidden() {
    for (written, expected) in [
        (
            "Authorization: Bearer abcdefghijklmnop",
            "Authorization: Bearer hidden",
        ),
        ("bearer%20abcdefghijklmnop&x", "bearer%20hidden&x"),
        ("BASIC dXNlcjpwYXNzd29yZA==", "BASIC hidden"),
        ("send it as `Bearer TOKEN`", "send it as `Bearer TOKEN`"),
        ("basic authentication", "basic authentication"),
        ("https://u:p@a.test/x?y", "https://hidden@a.test/x?y"),
        ("a http://t@a.test, b", "a http://hidden@a.test, b"),
        ("https://a.test/@x", "https://a.test/@x"),
        (
            "zmq-bind://PULL@127.0.0.1:5000",
            "zmq-bind://PULL@127.0.0.1:5000",
        ),
        ("https://a.test:443", "https://a.test:443"),
        ("://", "://"),
    ] {
        assert_eq!(text(written), expected);
    }
}

#[test]
fn values_of_secret_names_are_hidden_however_the_name_is_written() {
    for (written, expected) in [
        (
            "topic=a&authorization=s.e.c&b",
            "topic=a&authorization=hidden&b",
        ),
        (
            "Authorization=s&ACCESS_TOKEN=t",
            "Authorization=hidden&ACCESS_TOKEN=hidden",
        ),
        ("%61uthorization=s.e.c", "%61uthorization=hidden"),
        (
            "access-token=1&accessToken=2",
            "access-token=hidden&accessToken=hidden",
        ),
        (
            "token[]=a&token%5B0%5D=b",
            "token[]=hidden&token%5B0%5D=hidden",
        ),
        ("jwt=s.e.c&jwt=t&key=u", "jwt=hidden&jwt=hidden&key=hidden"),
        ("authorization", "authorization=hidden"),
        ("authorizations=1&topic=key", "authorizations=1&topic=key"),
        (&format!("x={TOKEN}"), "x=hidden"),
        ("", ""),
        ("&&", "&&"),
    ] {
        assert_eq!(query(written.as_bytes()), expected.as_bytes(), "{written}");
    }
}

#[test]
fn of_a_url_only_the_place_is_shown() {
    for (written, expected) in [
        (
            "https://a.test/keys?code=1&b=2",
            "https://a.test/keys?hidden",
        ),
        (
            "https://u:p@a.test/keys#t",
            "https://hidden@a.test/keys#hidden",
        ),
        ("https://a.test/keys", "https://a.test/keys"),
        ("https://a.test/keys?", "https://a.test/keys?"),
        ("not a url?x=1", "not a url?hidden"),
    ] {
        assert_eq!(url(written), expected);
    }
}

#[test]
fn a_text_that_is_made_to_be_looked_at_twice_is_not() {
    // If each beginning were scanned again, these would take minutes.
    for piece in ["aeyJ", "bearer ", "://", "eyJ.", "%2eyJ"] {
        let long = piece.repeat(1024 * 1024);
        assert!(bytes(long.as_bytes()).len() <= long.len() + HIDDEN.len() * long.len());
    }
}
