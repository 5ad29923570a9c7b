//! Transports whose answers go on: `xhr_streaming`, `eventsource`, `htmlfile`.

use super::polling::{INVALID_CALLBACKS, check_callbacks};
use super::{
    COOKIE, Case, ECHO, Server, check_cookie, check_cors, check_not_cached, check_preflights,
    check_type,
};
use crate::harness::Request;

pub const CASES: &[Case] = &[
    ("XhrStreaming.options", xhr_options),
    ("XhrStreaming.transport", xhr_transport),
    ("XhrStreaming.response_limit", xhr_response_limit),
    ("EventSource.transport", events_transport),
    ("EventSource.response_limit", events_response_limit),
    ("HtmlFile.transport", html_transport),
    ("HtmlFile.no_callback", html_no_callback),
    ("HtmlFile.invalid_callback", html_invalid_callback),
    ("HtmlFile.response_limit", html_response_limit),
    ("JsessionidCookie.xhr_streaming", cookie_xhr),
    ("JsessionidCookie.eventsource", cookie_events),
    ("JsessionidCookie.htmlfile", cookie_html),
];

fn xhr_options(server: &Server) {
    check_preflights(server, "/echo/abc/abc/xhr_streaming", "OPTIONS, POST");
}

fn xhr_transport(server: &Server) {
    let session = server.session(ECHO);
    let request = Request::post(&format!("{session}/xhr_streaming"));
    let mut stream = server.stream(&request.header("Origin", "test"));
    check_type(&stream.head, "application/javascript; charset=UTF-8");
    check_cors(&stream.head, Some("test"));
    check_not_cached(&stream.head);
    assert_eq!(stream.chunk(), format!("{}\n", "h".repeat(2048)));
    assert_eq!(stream.chunk(), "o\n");
    server.send(&session, "[\"x\"]");
    assert_eq!(stream.chunk(), "a[\"x\"]\n");
}

fn xhr_response_limit(server: &Server) {
    let session = server.session(ECHO);
    let mut stream = server.xhr_stream(&session);
    assert_eq!(stream.chunk(), "o\n");
    let text = format!("[\"{}\"]", "x".repeat(128));
    for _ in 0..31 {
        server.send(&session, &text);
        assert_eq!(stream.chunk(), format!("a{text}\n"));
    }
    stream.ends();
}

fn events_transport(server: &Server) {
    let session = server.session(ECHO);
    let mut stream = server.stream(&Request::get(&format!("{session}/eventsource")));
    check_type(&stream.head, "text/event-stream");
    check_not_cached(&stream.head);
    assert_eq!(stream.chunk(), "\r\n");
    assert_eq!(stream.chunk(), "data: o\r\n\r\n");
    server.send(&session, "[\"x\"]");
    assert_eq!(stream.chunk(), "data: a[\"x\"]\r\n\r\n");
    server.send(&session, "[\"  \\u0000\\n\\r \"]");
    assert_eq!(stream.chunk(), "data: a[\"  \\u0000\\n\\r \"]\r\n\r\n");
}

fn events_response_limit(server: &Server) {
    let session = server.session(ECHO);
    let mut stream = server.stream(&Request::get(&format!("{session}/eventsource")));
    assert_eq!(stream.chunk(), "\r\n");
    assert_eq!(stream.chunk(), "data: o\r\n\r\n");
    let text = format!("[\"{}\"]", "x".repeat(4096));
    server.send(&session, &text);
    assert_eq!(stream.chunk(), format!("data: a{text}\r\n\r\n"));
    stream.ends();
}

/// The head of the page, up to the spaces that fill it.
const HTML_HEAD: &str = "<!doctype html>\n<html><head>\n  \
    <meta http-equiv=\"X-UA-Compatible\" content=\"IE=edge\" />\n  \
    <meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\" />\n</head>\
    <body><h2>Don't panic!</h2>\n  <script>\n    document.domain = document.domain;\n    \
    var c = parent.callback;\n    c.start();\n    function p(d) {c.message(d);};\n    \
    window.onload = function() {c.stop();};\n  </script>";

fn html_transport(server: &Server) {
    let session = server.session(ECHO);
    let mut stream = server.stream(&Request::get(&format!("{session}/htmlfile?c=%63allback")));
    check_type(&stream.head, "text/html; charset=UTF-8");
    check_not_cached(&stream.head);
    let head = stream.chunk();
    assert_eq!(head.trim(), HTML_HEAD);
    assert!(head.len() > 1024);
    assert_eq!(stream.chunk(), "<script>\np(\"o\");\n</script>\r\n");
    server.send(&session, "[\"x\"]");
    assert_eq!(
        stream.chunk(),
        "<script>\np(\"a[\\\"x\\\"]\");\n</script>\r\n"
    );
}

fn html_no_callback(server: &Server) {
    check_callbacks(server, "htmlfile", &[""], "\"callback\" parameter required");
}

fn html_invalid_callback(server: &Server) {
    let reason = "invalid \"callback\" parameter";
    check_callbacks(server, "htmlfile", INVALID_CALLBACKS, reason);
}

fn html_response_limit(server: &Server) {
    let session = server.session(ECHO);
    let mut stream = server.stream(&Request::get(&format!("{session}/htmlfile?c=callback")));
    assert_eq!(stream.chunk().trim(), HTML_HEAD);
    assert_eq!(stream.chunk(), "<script>\np(\"o\");\n</script>\r\n");
    let text = "x".repeat(4096);
    server.send(&session, &format!("[\"{text}\"]"));
    let script = format!("<script>\np(\"a[\\\"{text}\\\"]\");\n</script>\r\n");
    assert_eq!(stream.chunk(), script);
    stream.ends();
}

fn cookie_xhr(server: &Server) {
    let request = Request::post(&format!("{}/xhr_streaming", server.session(COOKIE)));
    check_cookie(&server.stream(&request).head, "dummy");
}

fn cookie_events(server: &Server) {
    let request = Request::get(&format!("{}/eventsource", server.session(COOKIE)));
    check_cookie(&server.stream(&request).head, "dummy");
}

fn cookie_html(server: &Server) {
    let request = Request::get(&format!("{}/htmlfile?c=c", server.session(COOKIE)));
    check_cookie(&server.stream(&request).head, "dummy");
}
