//! What `tidings dev` shows on the terminal: a line for each request, and what a page's script cannot see.

use crate::harness::peer::handshake;
use crate::harness::{HUB_PATH, Request, TestHub, wait_until};

const TOPIC: &str = "https://example.com/books/1";

#[test]
fn each_request_is_a_line_that_says_what_became_of_it() {
    let hub = TestHub::dev();
    let _stream = hub.subscribe("match=https%3A%2F%2Fexample.com%2Fbooks%2F1");
    shown(
        &hub,
        &format!("200  GET {HUB_PATH}?match={TOPIC}  event stream\n"),
    );
    hub.published(&[("topic", TOPIC)]);
    shown(&hub, &format!("200  POST {HUB_PATH}  published {TOPIC}, "));
    hub.published(&[("topic", TOPIC), ("private", "on")]);
    shown(&hub, &format!("published {TOPIC}, private, "));
    let refused = hub.request(Request::post(HUB_PATH).form(&[("topic", TOPIC)]));
    assert_eq!(refused.status, 401);
    shown(&hub, &format!("401  POST {HUB_PATH}  "));
    shown(&hub, refused.json()["detail"].as_str().unwrap());
    shown(&hub, "tidings token make --publish");
    hub.request(Request::get("/nothing"));
    shown(&hub, "404  GET /nothing  ");
    // Tokens stay secret.
    hub.request(Request::get(&format!(
        "/x?access_token={}",
        hub.publisher_token()
    )));
    shown(&hub, "404  GET /x?access_token=hidden");
    assert!(!hub.log().contains(&hub.publisher_token()));
}

#[test]
fn what_the_browser_keeps_from_a_page_is_said_with_what_to_do() {
    let hub = TestHub::dev();
    let page = "http://app.test:8080";
    let blocked =
        format!("hides this answer from the page: its origin {page} is not allowed (CORS)");
    let allow = format!("start the hub with: tidings dev --origin {page}");
    let path = format!("{HUB_PATH}?match=a");
    hub.request(Request::new("HEAD", &path).header("Origin", page));
    shown(&hub, &blocked);
    shown(&hub, &allow);
    hub.request(Request::new("OPTIONS", HUB_PATH).header("Origin", page));
    shown(&hub, "will not send the page's request");
    // One that is allowed is not warned of.
    let warnings = |hub: &TestHub| hub.log().matches("CORS").count();
    let before = warnings(&hub);
    let allowed = Request::new("HEAD", &path).header("Origin", "http://localhost:3000");
    hub.request(allowed);
    shown(&hub, "for a page of http://localhost:3000\n");
    assert_eq!(warnings(&hub), before);
}

#[test]
fn a_websocket_that_is_refused_is_shown_with_what_to_do() {
    let hub = TestHub::dev();
    let page = "http://app.test:8080";
    let target = format!("{HUB_PATH}?match=a");
    let refused = hub.refused(&handshake(&target).header("Origin", page));
    assert_eq!(refused.status, 403);
    shown(&hub, &format!("403  GET {target}  "));
    shown(
        &hub,
        &format!("{page} is neither the hub's own origin nor listed in cors.origins"),
    );
    shown(&hub, &format!("tidings dev --origin {page}"));
    let _peer = hub.websocket_by(&handshake(&target));
    shown(&hub, &format!("101  GET {target}  WebSocket\n"));
}

#[test]
fn the_first_page_without_an_origin_is_explained() {
    let hub = TestHub::dev();
    for _ in 0..3 {
        let path = format!("{HUB_PATH}?match=a");
        hub.request(Request::new("HEAD", &path).header("Origin", "null"));
    }
    hub.request(Request::get("/last"));
    shown(&hub, "GET /last");
    assert_eq!(hub.log().matches("--no-file-pages refuses it").count(), 1);
    // A refusal comes with advice that works.
    let cookie = format!("mercure_access_token={}", hub.publisher_token());
    let publish = Request::post(HUB_PATH).header("Origin", "null");
    hub.request(publish.header("Cookie", &cookie).form(&[("topic", "a")]));
    shown(
        &hub,
        "open the page at http://localhost instead of from a file",
    );
}

#[test]
fn a_quiet_hub_shows_no_requests() {
    let mut hub = TestHub::dev_with(&["--quiet"]);
    hub.published(&[("topic", TOPIC)]);
    assert!(hub.stop());
    assert!(!hub.log().contains("POST "), "{}", hub.log());
}

#[track_caller]
fn shown(hub: &TestHub, part: &str) {
    wait_until(part, || hub.log().contains(part).then_some(()));
}
