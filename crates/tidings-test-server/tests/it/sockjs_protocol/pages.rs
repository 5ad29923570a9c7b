//! Greeting, the page in a frame, `/info`, the forms of URLs, and HTTP itself.

use super::{
    CLOSE, COOKIE, Case, ECHO, GO_AWAY, Server, check_cached, check_cors, check_no_cookie,
    check_not_cached, check_preflights, check_type,
};
use crate::harness::{Answer, Connection, Request};

pub const CASES: &[Case] = &[
    ("BaseUrlGreeting.greeting", greeting),
    ("BaseUrlGreeting.notFound", not_found),
    ("IframePage.simpleUrl", iframe_simple),
    ("IframePage.versionedUrl", iframe_versioned),
    ("IframePage.queriedUrl", iframe_queried),
    ("IframePage.invalidUrl", iframe_invalid),
    ("IframePage.cacheability", iframe_cacheability),
    ("InfoTest.basic", info_basic),
    ("InfoTest.entropy", info_entropy),
    ("InfoTest.options", info_options),
    ("InfoTest.options_null_origin", info_options_null_origin),
    ("InfoTest.disabled_websocket", info_disabled_websocket),
    ("SessionURLs.anyValue", urls_any_value),
    ("SessionURLs.invalidPaths", urls_invalid),
    ("SessionURLs.ignoringServerId", urls_ignoring_server_id),
    ("JsessionidCookie.basic", cookie_basic),
    ("Http10.synchronous", http10_synchronous),
    ("Http10.streaming", http10_streaming),
    ("Http11.synchronous", http11_synchronous),
    ("Http11.streaming", http11_streaming),
];

const GREETING: &str = "Welcome to SockJS!\n";

fn greeting(server: &Server) {
    for target in ["/echo", "/echo/"] {
        let answer = server.get(target);
        assert_eq!((answer.status, answer.text()), (200, GREETING.to_owned()));
        check_type(&answer, "text/plain; charset=UTF-8");
        check_no_cookie(&answer);
    }
}

fn not_found(server: &Server) {
    for rest in ["/a", "/a.html", "//", "///", "/a/a", "/a/a/", "/a/"] {
        assert_eq!(server.get(&format!("{ECHO}{rest}")).status, 404, "{rest}");
    }
}

#[track_caller]
fn check_iframe(server: &Server, rests: &[&str]) {
    for rest in rests {
        let answer = server.get(&format!("{ECHO}{rest}"));
        assert_eq!(answer.status, 200, "{rest}");
        check_type(&answer, "text/html; charset=UTF-8");
        check_cached(&answer);
        assert!(answer.header("etag").is_some());
        check_no_cookie(&answer);
        let page = "<!DOCTYPE html>\n<html>\n<head>\n  \
            <meta http-equiv=\"X-UA-Compatible\" content=\"IE=edge\" />\n  \
            <meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\" />\n  \
            <script src=\"/sockjs.js\"></script>\n  <script>\n    \
            document.domain = document.domain;\n    SockJS.bootstrap_iframe();\n  </script>\n\
            </head>\n<body>\n  <h2>Don't panic!</h2>\n  \
            <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>\n\
            </body>\n</html>";
        assert_eq!(answer.text(), page);
    }
}

fn iframe_simple(server: &Server) {
    check_iframe(server, &["/iframe.html"]);
}

fn iframe_versioned(server: &Server) {
    let rests = [
        "/iframe-a.html",
        "/iframe-.html",
        "/iframe-0.1.2.html",
        "/iframe-0.1.2abc-dirty.2144.html",
    ];
    check_iframe(server, &rests);
}

fn iframe_queried(server: &Server) {
    let rests = [
        "/iframe-a.html?t=1234",
        "/iframe-0.1.2.html?t=123414",
        "/iframe-0.1.2abc-dirty.2144.html?t=qweqweq123",
    ];
    check_iframe(server, &rests);
}

fn iframe_invalid(server: &Server) {
    let rests = [
        "/iframe.htm",
        "/iframe",
        "/IFRAME.HTML",
        "/IFRAME",
        "/iframe.HTML",
        "/iframe.xml",
        "/iframe-/.html",
    ];
    for rest in rests {
        assert_eq!(server.get(&format!("{ECHO}{rest}")).status, 404, "{rest}");
    }
}

fn iframe_cacheability(server: &Server) {
    let tag = |answer: Answer| answer.header("etag").expect("a tag").to_owned();
    let first = tag(server.get("/echo/iframe.html"));
    assert_eq!(tag(server.get("/echo/iframe.html")), first);
    let again = Request::get("/echo/iframe.html").header("If-None-Match", &first);
    let answer = server.request(&again);
    assert_eq!(answer.status, 304);
    assert_eq!(answer.header("content-type"), None);
    assert!(answer.body.is_empty());
}

fn info_basic(server: &Server) {
    let answer = server.request(&Request::get("/echo/info").header("Origin", "test"));
    assert_eq!(answer.status, 200);
    check_type(&answer, "application/json; charset=UTF-8");
    check_no_cookie(&answer);
    check_not_cached(&answer);
    check_cors(&answer, Some("test"));
    info(&answer, true, false);
}

/// Compares the answer of `/info` but for the random number in it, which it returns.
#[track_caller]
fn info(answer: &Answer, websocket: bool, cookie_needed: bool) -> u32 {
    assert_eq!(answer.status, 200);
    let before = format!(
        "{{\"websocket\":{websocket},\"origins\":[\"*:*\"],\"cookie_needed\":{cookie_needed},\"entropy\":"
    );
    let text = answer.text();
    let entropy = text
        .strip_prefix(&before)
        .and_then(|rest| rest.strip_suffix('}'))
        .unwrap_or_else(|| panic!("{text}"));
    assert!(entropy.bytes().all(|byte| byte.is_ascii_digit()), "{text}");
    entropy.parse().expect("a number of 32 bits")
}

fn info_entropy(server: &Server) {
    let entropy = || info(&server.get("/echo/info"), true, false);
    assert_ne!(entropy(), entropy());
}

fn info_options(server: &Server) {
    check_preflights(server, "/echo/info", "OPTIONS, GET");
}

fn info_options_null_origin(server: &Server) {
    let answer = server.request(
        &Request::new("OPTIONS", "/echo/info")
            .header("Origin", "null")
            .header("Access-Control-Request-Method", "POST"),
    );
    assert_eq!(answer.status, 204);
    assert!(answer.body.is_empty());
    check_cors(&answer, Some("null"));
}

fn info_disabled_websocket(server: &Server) {
    info(&server.get("/disabled_websocket_echo/info"), false, false);
}

fn urls_any_value(server: &Server) {
    for rest in ["/a/a1", "/_/_1", "/1/1", "/abcdefgh_i-j%20/abcdefg_i-j%201"] {
        server.polled(&format!("{ECHO}{rest}"), "o");
    }
}

fn urls_invalid(server: &Server) {
    for rest in ["//", "/a./a", "/a/a.", "/./.", "/", "///"] {
        let target = format!("{ECHO}{rest}/xhr");
        assert_eq!(server.get(&target).status, 404, "{rest}");
        assert_eq!(server.post(&target, "").status, 404, "{rest}");
    }
}

fn urls_ignoring_server_id(server: &Server) {
    let session = server.session(ECHO);
    server.polled(&session, "o");
    server.send(&session, "[\"a\"]");
    server.polled(&session.replace("/000/", "/999/"), "a[\"a\"]");
}

fn cookie_basic(server: &Server) {
    let answer = server.get(&format!("{COOKIE}/info"));
    check_no_cookie(&answer);
    info(&answer, true, true);
}

fn http10_synchronous(server: &Server) {
    let mut connection = Connection::open(server.address);
    let request = Request::get(ECHO)
        .header("Connection", "Keep-Alive")
        .http10();
    for _ in 0..2 {
        let answer = connection.request(&request);
        assert_eq!((answer.status, answer.text()), (200, GREETING.to_owned()));
        assert!(matches!(answer.version.as_str(), "HTTP/1.0" | "HTTP/1.1"));
        assert_eq!(answer.header("transfer-encoding"), None);
        assert_eq!(answer.header("content-length"), Some("19"));
        let kept = answer.header("connection").map(str::to_ascii_lowercase);
        assert_eq!(kept.as_deref(), Some("keep-alive"));
    }
}

fn http10_streaming(server: &Server) {
    let mut connection = Connection::open(server.address);
    let target = format!("{}/xhr_streaming", server.session(CLOSE));
    let request = Request::post(&target)
        .header("Connection", "Keep-Alive")
        .http10();
    connection.send_request(&request);
    let head = connection.read_head();
    assert_eq!(head.status, 200);
    assert_eq!(head.header("transfer-encoding"), None);
    assert_eq!(head.header("content-length"), None);
    let body = String::from_utf8(connection.read_to_end()).expect("UTF-8");
    assert_eq!(body, format!("{}\no\n{GO_AWAY}\n", "h".repeat(2048)));
}

fn http11_synchronous(server: &Server) {
    let mut connection = Connection::open(server.address);
    let request = Request::get(ECHO).header("Connection", "Keep-Alive");
    for _ in 0..2 {
        let answer = connection.request(&request);
        assert_eq!((answer.status, answer.text()), (200, GREETING.to_owned()));
        assert_eq!(answer.version, "HTTP/1.1");
        assert_eq!(answer.header("content-length"), Some("19"));
        assert_eq!(answer.header("transfer-encoding"), None);
        let kept = answer.header("connection").unwrap_or("keep-alive");
        assert_eq!(kept.to_ascii_lowercase(), "keep-alive");
    }
}

fn http11_streaming(server: &Server) {
    let mut stream = server.xhr_stream(&server.session(CLOSE));
    assert_eq!(stream.head.header("transfer-encoding"), Some("chunked"));
    assert_eq!(stream.head.header("content-length"), None);
    assert_eq!(stream.chunk(), "o\n");
    assert_eq!(stream.chunk(), format!("{GO_AWAY}\n"));
    stream.ends();
}
