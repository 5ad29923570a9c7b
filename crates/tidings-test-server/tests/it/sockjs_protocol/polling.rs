//! Transports whose answers carry one frame: `xhr` and `jsonp`; what they escape; cookies.

use std::ops::RangeInclusive;

use super::{
    CLOSE, COOKIE, Case, ECHO, GO_AWAY, Server, check_cookie, check_cors, check_not_cached,
    check_preflights, check_type,
};
use crate::harness::{Answer, Request};

pub const CASES: &[Case] = &[
    ("XhrPolling.options", xhr_options),
    ("XhrPolling.transport", xhr_transport),
    ("XhrPolling.invalid_session", xhr_invalid_session),
    ("XhrPolling.invalid_json", xhr_invalid_json),
    ("XhrPolling.content_types", xhr_content_types),
    ("XhrPolling.request_headers_cors", xhr_request_headers_cors),
    ("XhrPolling.sending_empty_frame", xhr_sending_empty_frame),
    ("JsonPolling.transport", jsonp_transport),
    ("JsonPolling.no_callback", jsonp_no_callback),
    ("JsonPolling.invalid_callback", jsonp_invalid_callback),
    ("JsonPolling.invalid_json", jsonp_invalid_json),
    ("JsonPolling.content_types", jsonp_content_types),
    ("JsonPolling.close", jsonp_close),
    ("JsonPolling.sending_empty_frame", jsonp_sending_empty_frame),
    ("JsessionidCookie.xhr", cookie_xhr),
    ("JsessionidCookie.jsonp", cookie_jsonp),
    ("JSONEncoding.xhr_server_encodes", encodes),
    ("JSONEncoding.xhr_server_decodes", decodes),
];

const FORM: &str = "application/x-www-form-urlencoded";

fn xhr_options(server: &Server) {
    for transport in ["xhr", "xhr_send"] {
        check_preflights(
            server,
            &format!("/echo/abc/abc/{transport}"),
            "OPTIONS, POST",
        );
    }
}

fn xhr_transport(server: &Server) {
    let session = server.session(ECHO);
    let post = |transport: &str, body: &str| {
        let request = Request::post(&format!("{session}/{transport}"));
        let answer = server.request(&request.header("Origin", "test").body(body));
        check_cors(&answer, Some("test"));
        check_not_cached(&answer);
        answer
    };
    let opened = post("xhr", "");
    assert_eq!((opened.status, opened.text().as_str()), (200, "o\n"));
    check_type(&opened, "application/javascript; charset=UTF-8");
    let sent = post("xhr_send", "[\"x\"]");
    assert_eq!((sent.status, sent.text().as_str()), (204, ""));
    check_type(&sent, "text/plain; charset=UTF-8");
    server.polled(&session, "a[\"x\"]");
}

fn xhr_invalid_session(server: &Server) {
    let target = format!("{}/xhr_send", server.session(ECHO));
    assert_eq!(server.post(&target, "[\"x\"]").status, 404);
}

fn xhr_invalid_json(server: &Server) {
    let session = server.session(ECHO);
    server.polled(&session, "o");
    for (body, reason) in [("[\"x", "Broken JSON encoding."), ("", "Payload expected.")] {
        let answer = server.post(&format!("{session}/xhr_send"), body);
        assert_eq!((answer.status, answer.text().as_str()), (500, reason));
    }
    server.send(&session, "[\"a\"]");
    server.polled(&session, "a[\"a\"]");
}

fn xhr_content_types(server: &Server) {
    let session = server.session(ECHO);
    server.polled(&session, "o");
    let types = [
        "text/plain",
        "T",
        "application/json",
        "application/xml",
        "",
        "application/json; charset=utf-8",
        "text/xml; charset=utf-8",
        "text/xml",
    ];
    for media_type in types {
        let request = Request::post(&format!("{session}/xhr_send"));
        let answer = server.request(&request.header("Content-Type", media_type).body("[\"a\"]"));
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{media_type}");
    }
    server.polled(
        &session,
        "a[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]",
    );
}

fn xhr_request_headers_cors(server: &Server) {
    for (asked, wanted) in [
        (Some("a, b, c"), Some("a, b, c")),
        (Some(""), None),
        (None, None),
    ] {
        let mut request = Request::new("OPTIONS", &format!("{}/xhr", server.session(ECHO)))
            .header("Origin", "test")
            .header("Access-Control-Request-Method", "POST");
        if let Some(asked) = asked {
            request = request.header("Access-Control-Request-Headers", asked);
        }
        let answer = server.request(&request);
        assert_eq!(answer.status, 204);
        check_cors(&answer, Some("test"));
        let allowed = answer.headers("access-control-allow-headers");
        assert_eq!(allowed, Vec::from_iter(wanted));
    }
}

fn xhr_sending_empty_frame(server: &Server) {
    let session = server.session(ECHO);
    server.polled(&session, "o");
    server.send(&session, "[]");
    server.send(&session, "[\"a\"]");
    server.polled(&session, "a[\"a\"]");
}

/// Polls by `jsonp`, and expects this in the script.
#[track_caller]
fn jsonp(server: &Server, session: &str, frame: &str) -> Answer {
    let answer = server.get(&format!("{session}/jsonp?c=%63allback"));
    let script = format!("/**/callback(\"{frame}\");\r\n");
    assert_eq!((answer.status, answer.text()), (200, script));
    answer
}

fn jsonp_send(server: &Server, session: &str, media_type: &str, body: &str) -> Answer {
    let request = Request::post(&format!("{session}/jsonp_send"));
    server.request(&request.header("Content-Type", media_type).body(body))
}

fn jsonp_transport(server: &Server) {
    let session = server.session(ECHO);
    let opened = jsonp(server, &session, "o");
    check_type(&opened, "application/javascript; charset=UTF-8");
    check_not_cached(&opened);
    let sent = jsonp_send(server, &session, FORM, "d=%5B%22x%22%5D");
    assert_eq!((sent.status, sent.text().as_str()), (200, "ok"));
    check_type(&sent, "text/plain; charset=UTF-8");
    check_not_cached(&sent);
    jsonp(server, &session, "a[\\\"x\\\"]");
}

#[track_caller]
pub fn check_callbacks(server: &Server, transport: &str, rests: &[&str], reason: &str) {
    for rest in rests {
        let answer = server.get(&format!("/echo/a/a/{transport}{rest}"));
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (500, reason),
            "{rest}"
        );
    }
}

pub const INVALID_CALLBACKS: &[&str] = &["?c=%20", "?c=*", "?c=abc(", "?c=abc%28"];

fn jsonp_no_callback(server: &Server) {
    check_callbacks(server, "jsonp", &[""], "\"callback\" parameter required");
}

fn jsonp_invalid_callback(server: &Server) {
    let reason = "invalid \"callback\" parameter";
    check_callbacks(server, "jsonp", INVALID_CALLBACKS, reason);
}

fn jsonp_invalid_json(server: &Server) {
    let session = server.session(ECHO);
    jsonp(server, &session, "o");
    let cases = [
        ("d=%5B%22x", "Broken JSON encoding."),
        ("", "Payload expected."),
        ("d=", "Payload expected."),
        ("p=p", "Payload expected."),
    ];
    for (body, reason) in cases {
        let answer = jsonp_send(server, &session, FORM, body);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (500, reason),
            "{body}"
        );
    }
    assert_eq!(
        jsonp_send(server, &session, FORM, "d=%5B%22b%22%5D").text(),
        "ok"
    );
    jsonp(server, &session, "a[\\\"b\\\"]");
}

fn jsonp_content_types(server: &Server) {
    let session = server.session(ECHO);
    jsonp(server, &session, "o");
    assert_eq!(
        jsonp_send(server, &session, FORM, "d=%5B%22abc%22%5D").text(),
        "ok"
    );
    assert_eq!(
        jsonp_send(server, &session, "text/plain", "[\"%61bc\"]").text(),
        "ok"
    );
    jsonp(server, &session, "a[\\\"abc\\\",\\\"%61bc\\\"]");
}

fn jsonp_close(server: &Server) {
    let session = server.session(CLOSE);
    jsonp(server, &session, "o");
    for _ in 0..2 {
        jsonp(server, &session, &GO_AWAY.replace('"', "\\\""));
    }
}

fn jsonp_sending_empty_frame(server: &Server) {
    let session = server.session(ECHO);
    jsonp(server, &session, "o");
    assert_eq!(jsonp_send(server, &session, FORM, "d=%5B%5D").text(), "ok");
    assert_eq!(
        jsonp_send(server, &session, FORM, "d=%5B%22x%22%5D").text(),
        "ok"
    );
    jsonp(server, &session, "a[\\\"x\\\"]");
}

fn cookie_xhr(server: &Server) {
    check_cookie(&server.polled(&server.session(COOKIE), "o"), "dummy");
    let request = Request::post(&format!("{}/xhr", server.session(COOKIE)));
    let answer = server.request(&request.header("Cookie", "JSESSIONID=abcdef"));
    assert_eq!((answer.status, answer.text().as_str()), (200, "o\n"));
    check_cookie(&answer, "abcdef");
}

fn cookie_jsonp(server: &Server) {
    let session = server.session(COOKIE);
    check_cookie(&jsonp(server, &session, "o"), "dummy");
    let sent = jsonp_send(server, &session, FORM, "d=%5B%22x%22%5D");
    assert_eq!((sent.status, sent.text().as_str()), (200, "ok"));
    check_cookie(&sent, "dummy");
}

/// What a server escapes beside what JSON asks for, whether it needs to or not.
const ESCAPED_BY_SERVERS: [RangeInclusive<u16>; 4] = [
    0x200c..=0x200f,
    0x2028..=0x202f,
    0x2060..=0x206f,
    0xfff0..=0xffff,
];

fn encodes(server: &Server) {
    let session = server.session(ECHO);
    server.polled(&session, "o");
    let codes = ESCAPED_BY_SERVERS.into_iter().flatten();
    let plain: String = codes
        .clone()
        .filter_map(|code| char::from_u32(u32::from(code)))
        .collect();
    let escaped: String = codes.map(escape).collect();
    server.send(&session, &format!("[\"{plain}\"]"));
    server.polled(&session, &format!("a[\"{escaped}\"]"));
}

/// Every unit of JavaScript's strings by an escape, halves of surrogate pairs included, in one text.
fn decodes(server: &Server) {
    let session = server.session(ECHO);
    server.polled(&session, "o");
    let sent: String = (0..=u16::MAX).map(escape).collect();
    server.send(&session, &format!("[\"{sent}\"]"));
    // As JSON.stringify writes it. One pair meets in that order, and is one character then.
    let written: String = (0..=u16::MAX).map(written).collect();
    let written = written.replace("\\udbff\\udc00", "\u{10fc00}");
    server.polled(&session, &format!("a[\"{written}\"]"));
}

fn escape(code: u16) -> String {
    format!("\\u{code:04x}")
}

/// Returns how a server writes one unit of JavaScript's strings. ECMA-262, "QuoteJSONString".
fn written(code: u16) -> String {
    let demanded = ESCAPED_BY_SERVERS.iter().any(|range| range.contains(&code));
    match char::from_u32(u32::from(code)) {
        Some('\u{8}') => "\\b".to_owned(),
        Some('\t') => "\\t".to_owned(),
        Some('\n') => "\\n".to_owned(),
        Some('\u{c}') => "\\f".to_owned(),
        Some('\r') => "\\r".to_owned(),
        Some(character @ ('"' | '\\')) => format!("\\{character}"),
        Some(character) if character >= ' ' && !demanded => character.to_string(),
        Some(_) | None => escape(code),
    }
}
