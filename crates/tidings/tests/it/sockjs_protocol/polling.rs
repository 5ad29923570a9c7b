//! Transports whose answers carry one frame: `xhr` and `jsonp`; what they escape; cookies.

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
    check_type(&opened, "application/javascript;charset=UTF-8");
    let sent = post("xhr_send", "[\"x\"]");
    assert_eq!((sent.status, sent.text().as_str()), (204, ""));
    check_type(&sent, "text/plain;charset=UTF-8");
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
        assert!(matches!(answer.status, 200 | 204));
        check_cors(&answer, Some("test"));
        assert_eq!(answer.header("access-control-allow-headers"), wanted);
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
    check_type(&opened, "application/javascript;charset=UTF-8");
    check_not_cached(&opened);
    let sent = jsonp_send(server, &session, FORM, "d=%5B%22x%22%5D");
    assert_eq!((sent.status, sent.text().as_str()), (200, "ok"));
    check_type(&sent, "text/plain;charset=UTF-8");
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

/// Returns what the server must escape, as it must be escaped.
fn escaped_by_servers() -> (String, String) {
    let ranges = [
        0x200c..=0x200f,
        0x2028..=0x202f,
        0x2060..=0x206f,
        0xfff0..=0xffff,
    ];
    let codes = ranges.into_iter().flatten();
    let plain = codes.clone().filter_map(char::from_u32).collect();
    let escaped = codes.map(|code| format!("\\u{code:04x}")).collect();
    (plain, escaped)
}

fn encodes(server: &Server) {
    let (plain, escaped) = escaped_by_servers();
    let session = server.session(ECHO);
    server.polled(&session, "o");
    server.send(&session, &format!("[\"{plain}\"]"));
    server.polled(&session, &format!("a[\"{escaped}\"]"));
}

/// Everything below 65536 by an escape, halves of surrogate pairs included.
fn decodes(server: &Server) {
    let session = server.session(ECHO);
    server.polled(&session, "o");
    // In pieces, as the services for tests take no long texts. No piece ends within a pair.
    for start in (0..0x10000_u32).step_by(0x1000) {
        let codes = start..start + 0x1000;
        let escaped: String = codes.clone().map(|code| format!("\\u{code:04x}")).collect();
        server.send(&session, &format!("[\"{escaped}\"]"));
        let answer = server.post(&format!("{session}/xhr"), "").text();
        let text = answer.trim_end().strip_prefix("a[\"").expect("a frame");
        let text = text.strip_suffix("\"]").expect("a frame");
        let units: Vec<u16> = utf16_of_json(text);
        let wanted: Vec<u16> = codes
            .map(|code| u16::try_from(code).expect("16 bits"))
            .collect();
        assert_eq!(units, wanted, "from {start:x}");
    }
}

/// Reads a JSON string as JavaScript does: into units of 16 bits, paired or not.
fn utf16_of_json(text: &str) -> Vec<u16> {
    let mut units = Vec::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            units.extend(character.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        match rest.next().expect("an escape") {
            'u' => {
                let digits: String = rest.by_ref().take(4).collect();
                units.push(u16::from_str_radix(&digits, 16).expect("digits"));
            }
            'n' => units.push(10),
            'r' => units.push(13),
            't' => units.push(9),
            'b' => units.push(8),
            'f' => units.push(12),
            plain => units.extend(plain.encode_utf16(&mut [0; 2]).iter()),
        }
    }
    units
}
