//! Lines whose every part a peer chose.

use time::{Date, Month, Time};

use super::*;

#[test]
fn a_line_is_that_of_2019() {
    let request = Request::post("/hub").body(()).unwrap();
    check(
        &request,
        r#"172.17.0.1 - - [17/May/2019:08:00:01 +0000] "POST /hub HTTP/1.1" 200 36 "" """#,
    );
}

#[test]
fn nothing_of_a_peer_ends_the_quotes_or_the_line() {
    let request = Request::get("/a?b={|}\\")
        .header("Referer", "http://x/\\\"")
        .header("User-Agent", &b"a\tb\xff"[..])
        .body(())
        .unwrap();
    check(
        &request,
        r#"172.17.0.1 - - [17/May/2019:08:00:01 +0000] "GET /a?b={|}\\ HTTP/1.1" 200 36 "http://x/\\\"" "a\x09b\xff""#,
    );
}

#[test]
fn nothing_secret_stands_in_a_line() {
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJhIn0.c2ln";
    let request = Request::get(format!("/ws/{token}?Token=a&b={token}&topic=c"))
        .header("Referer", "https://u:p@a.test/page?code=s")
        .header("User-Agent", format!("Tool/1 {token}"))
        .body(())
        .unwrap();
    check(
        &request,
        r#"172.17.0.1 - - [17/May/2019:08:00:01 +0000] "GET /ws/hidden?Token=hidden&b=hidden&topic=c HTTP/1.1" 200 36 "https://hidden@a.test/page?hidden" "Tool/1 hidden""#,
    );
}

#[track_caller]
fn check(request: &Request<()>, expected: &str) {
    let mut access = Access::of(
        Style::Combined,
        ([172, 17, 0, 1], 40_000).into(),
        request,
        &HeaderValue::from_static("id"),
    );
    let date = Date::from_calendar_date(2019, Month::May, 17).unwrap();
    access.received = date
        .with_time(Time::from_hms(8, 0, 1).unwrap())
        .assume_utc();
    assert_eq!(access.combined(200, 36), expected);
}
