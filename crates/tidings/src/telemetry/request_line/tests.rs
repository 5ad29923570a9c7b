//! Lines whose every part a peer chose, and how many there may be.

use super::*;

const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJhIn0.c2ln";

#[test]
fn a_line_shows_the_address_as_people_write_it() {
    check(
        "/.well-known/mercure?match=https%3A%2F%2Fexample.com%2F%C3%A9t%C3%A9",
        "GET /.well-known/mercure?match=https://example.com/été  event stream",
    );
}

#[test]
fn nothing_of_a_peer_ends_the_line_or_reaches_the_terminal() {
    check(
        "/a?b=%0A%1b%5b2J%e2%80%ae%ff",
        "GET /a?b=\\u{a}\\u{1b}[2J\\u{202e}\\u{fffd}  event stream",
    );
    let long = format!("/{}", "a".repeat(2000));
    assert!(line(&long).len() < SHOWN_BYTES_MAX + 100);
}

#[test]
fn nothing_secret_stands_in_a_line() {
    check(
        &format!("/ws/{TOKEN}?access_token={TOKEN}&b={TOKEN}"),
        "GET /ws/hidden?access_token=hidden&b=hidden  event stream",
    );
    // Not even if it was hidden by escapes.
    let escaped = TOKEN.replace('.', "%2E");
    assert!(!line(&format!("/{escaped}")).contains("c2ln"));
}

#[test]
fn in_each_second_a_number_of_lines_is_shown_and_the_others_are_counted() {
    let quota = Quota::new();
    for _ in 0..LINES_PER_SECOND_MAX {
        assert_eq!(quota.take(7), Some(0));
    }
    assert_eq!((quota.take(7), quota.take(7)), (None, None));
    assert_eq!((quota.take(8), quota.take(8)), (Some(2), Some(0)));
}

#[track_caller]
fn check(target: &str, expected: &str) {
    let line = line(target);
    let (_, shown) = line.split_once("200  ").unwrap();
    assert_eq!(shown, expected);
}

fn line(target: &str) -> String {
    let request = Request::get(target).body(()).unwrap();
    RequestLine::of(&request, false).line(StatusCode::OK, "event stream", "")
}
