//! Tests of [`http_head`](super).

use expect_test::{Expect, expect};

use super::*;

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

#[test]
fn an_http_1_1_stream_is_chunked() {
    check(
        Version::Http11,
        &[],
        expect![[r#"
            HTTP/1.1 200 OK
            content-type: text/event-stream
            x-accel-buffering: no
            cache-control: private, no-cache, no-store, no-transform, must-revalidate, max-age=0
            transfer-encoding: chunked
            date: Sun, 06 Nov 1994 08:49:37 GMT

        "#]],
    );
}

#[test]
fn an_http_1_0_stream_ends_with_its_connection() {
    check(
        Version::Http10,
        &[("mercure-last-event-id", "é\t1"), ("vary", "")],
        expect![[r#"
            HTTP/1.1 200 OK
            content-type: text/event-stream
            x-accel-buffering: no
            cache-control: private, no-cache, no-store, no-transform, must-revalidate, max-age=0
            connection: close
            date: Sun, 06 Nov 1994 08:49:37 GMT
            mercure-last-event-id: é	1
            vary: 

        "#]],
    );
}

#[test]
fn a_value_cannot_add_a_field() {
    for value in ["a\r\nx: y", "a\n", "\r", "\0", "\u{7f}"] {
        let error = event_stream_head(Version::Http11, DATE, &[("a", value)]).expect_err(value);
        assert_eq!(error, HeadError::Value { name: "a".into() });
    }
    let error = event_stream_head(Version::Http11, "\r\n", &[]).expect_err("a line break");
    assert_eq!(
        error.to_string(),
        "the value of response field \"date\" has a control character"
    );
}

#[test]
fn a_name_is_a_token() {
    for name in ["", "a b", "a:", "é", "a\r\n"] {
        let error = event_stream_head(Version::Http11, DATE, &[(name, "a")]).expect_err(name);
        assert_eq!(error, HeadError::Name { name: name.into() });
    }
}

#[test]
fn fields_of_the_head_cannot_be_given_again() {
    for name in ["Content-Length", "transfer-encoding", "DATE"] {
        let error = event_stream_head(Version::Http11, DATE, &[(name, "1")]).expect_err(name);
        assert_eq!(error, HeadError::Fixed { name: name.into() });
    }
}

#[test]
fn the_head_is_one_allocation() {
    let head = event_stream_head(Version::Http11, DATE, &[("a", "b")]).expect("a head");
    assert!(head.capacity() < head.len() + 64);
}

#[track_caller]
fn check(version: Version, extra: &[(&str, &str)], expected: Expect) {
    let head = event_stream_head(version, DATE, extra).expect("a head");
    expected.assert_eq(&String::from_utf8(head).expect("text").replace("\r\n", "\n"));
}
