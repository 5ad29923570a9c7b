//! How sessions end, and what is answered then.

use super::{CLOSE, Case, ECHO, GO_AWAY, Server};
use crate::harness::{Connection, Request};

pub const CASES: &[Case] = &[
    ("Protocol.simpleSession", simple_session),
    ("Protocol.closeSession", close_session),
    ("HandlingClose.close_frame", close_frame),
    ("HandlingClose.close_request", close_request),
    ("HandlingClose.abort_xhr_streaming", abort_streaming),
    ("HandlingClose.abort_xhr_polling", abort_polling),
];

const ANOTHER: &str = "c[2010,\"Another connection still open\"]\n";
const INTERRUPTED: &str = "c[1002,\"Connection interrupted\"]\n";

/// Begins a poll that has nothing to answer, and another one, which is refused.
#[track_caller]
fn poll_held(server: &Server, session: &str) -> Connection {
    let receivers = "tidings_sockjs_receivers";
    // Those of earlier cases are leaving.
    server.running.wait_for_metric(receivers, 0.0);
    let mut held = Connection::open(server.address);
    held.send_request(&Request::post(&format!("{session}/xhr")));
    server.running.wait_for_metric(receivers, 1.0);
    let refused = server.post(&format!("{session}/xhr"), "");
    assert_eq!((refused.status, refused.text().as_str()), (200, ANOTHER));
    held
}

fn simple_session(server: &Server) {
    let session = server.session(ECHO);
    server.polled(&session, "o");
    server.send(&session, "[\"a\"]");
    server.polled(&session, "a[\"a\"]");
    let unknown = format!("{}/xhr_send", server.session(ECHO));
    assert_eq!(server.post(&unknown, "[\"a\"]").status, 404);
    let mut held = poll_held(server, &session);
    // The refused one does not disturb the other.
    server.send(&session, "[\"b\"]");
    assert_eq!(held.read_answer(false).text(), "a[\"b\"]\n");
}

fn close_session(server: &Server) {
    let session = server.session(CLOSE);
    server.polled(&session, "o");
    server.polled(&session, GO_AWAY);
    server.polled(&session, GO_AWAY);
}

fn close_frame(server: &Server) {
    let session = server.session(CLOSE);
    let mut first = server.xhr_stream(&session);
    assert_eq!(first.chunk(), "o\n");
    assert_eq!(first.chunk(), format!("{GO_AWAY}\n"));
    let mut second = server.xhr_stream(&session);
    assert_eq!(second.chunk(), format!("{GO_AWAY}\n"));
    first.ends();
    second.ends();
}

fn close_request(server: &Server) {
    let session = server.session(ECHO);
    let mut first = server.xhr_stream(&session);
    assert_eq!(first.chunk(), "o\n");
    let mut second = server.xhr_stream(&session);
    assert_eq!(second.chunk(), ANOTHER);
    second.ends();
}

fn abort_streaming(server: &Server) {
    let session = server.session(ECHO);
    let mut first = server.xhr_stream(&session);
    assert_eq!(first.chunk(), "o\n");
    let mut second = server.xhr_stream(&session);
    assert_eq!(second.chunk(), ANOTHER);
    second.ends();
    drop(first);
    let mut third = server.xhr_stream(&session);
    assert_eq!(third.chunk(), INTERRUPTED);
    third.ends();
}

fn abort_polling(server: &Server) {
    let session = server.session(ECHO);
    server.polled(&session, "o");
    drop(poll_held(server, &session));
    server.polled(&session, INTERRUPTED.trim_end());
}
