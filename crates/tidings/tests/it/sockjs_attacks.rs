//! Hostile SockJS sessions: their number and their bytes stay bounded, each refusal is counted by its name,
//! others notice nothing, and nothing is left behind.

use serde_json::json;

use crate::harness::sockjs::{Frame, new_session};
use crate::harness::tokens::{settings, token_for_all};
use crate::harness::{Connection, Request, TestHub, wait_until};

const BOOK: &str = "https://example.com/books/1";

fn served(more: &str) -> TestHub {
    TestHub::serve(&settings(&format!(
        "[admin]\naddress = \"127.0.0.1:0\"\n[subscribe]\nanonymous = true\n\
         [sockjs]\nenabled = true\n{more}"
    )))
}

/// Everything that the sessions held is given back.
#[track_caller]
fn check_all_given_back(hub: &TestHub) {
    for name in [
        "tidings_sockjs_sessions",
        "tidings_sockjs_receivers",
        "tidings_sockjs_queued_bytes",
        "tidings_subscribers",
        "tidings_matchers",
    ] {
        hub.wait_for_metric(name, |count| count == 0.0);
    }
}

fn begin(hub: &TestHub) -> (u16, String) {
    let target = format!("{}/xhr?match={BOOK}", new_session("/sockjs"));
    let answer = hub.request(Request::post(&target));
    let name = if answer.status == 200 {
        answer.text()
    } else {
        answer.problem()
    };
    (answer.status, name)
}

#[test]
fn sessions_are_bounded_in_number_and_forgotten() {
    // None may be forgotten before the last one is refused.
    let hub = served("disconnect_secs = 10\nsessions_max = 20\n");
    for _ in 0..20 {
        assert_eq!(begin(&hub), (200, "o\n".to_owned()));
    }
    for _ in 0..20 {
        assert_eq!(begin(&hub), (503, "too-many-sessions".to_owned()));
    }
    let refused = hub.metric_for("tidings_sockjs_refused_total", "too-many-sessions");
    assert_eq!(refused, 20.0);
    // WebSockets have connections of their own, whose number is bounded elsewhere.
    assert!(
        hub.websocket(&format!("match={BOOK}"))
            .head
            .contains(" 101 ")
    );
    check_all_given_back(&hub);
    assert_eq!(begin(&hub), (200, "o\n".to_owned()), "there is room again");
}

#[test]
fn one_address_does_not_take_all_sessions() {
    let hub = served("disconnect_secs = 2\nsessions_per_address_max = 3\n");
    for _ in 0..3 {
        assert_eq!(begin(&hub), (200, "o\n".to_owned()));
    }
    assert_eq!(
        begin(&hub),
        (429, "too-many-sessions-per-address".to_owned())
    );
    check_all_given_back(&hub);
}

#[test]
fn thousands_of_sessions_leave_nothing_behind() {
    let hub = served("disconnect_secs = 1\nsessions_per_address_max = 10000\n");
    let mut connection = Connection::open(hub.address);
    for _ in 0..2000 {
        let target = format!("{}/xhr?match={BOOK}", new_session("/sockjs"));
        assert_eq!(connection.request(&Request::post(&target)).status, 200);
    }
    check_all_given_back(&hub);
}

#[test]
fn long_bodies_and_many_texts_are_refused() {
    let hub = served("body_bytes_max = 10000\n");
    let poller = hub.sockjs("");
    let long = "x".repeat(10_000);
    let answer = poller.try_send(&[&long]);
    assert_eq!(
        (answer.status, answer.problem()),
        (413, "body-too-large".to_owned())
    );
    let many = vec![""; 4097];
    let hub = served("");
    let poller = hub.sockjs("");
    let answer = poller.try_send(&many);
    assert_eq!(
        (answer.status, answer.problem()),
        (413, "too-many-messages".to_owned())
    );
    assert!(hub.metric_for("tidings_sockjs_refused_total", "too-many-messages") >= 1.0);
}

#[test]
fn long_session_ids_are_refused() {
    let hub = served("");
    let target = format!("/sockjs/000/{}/xhr", "x".repeat(3000));
    let answer = hub.request(Request::post(&target));
    assert_eq!(
        (answer.status, answer.problem()),
        (400, "session-id-invalid".to_owned())
    );
}

#[test]
fn a_flood_of_texts_is_closed_with_1008() {
    let hub = served("[websocket]\nframes_per_second_max = 50\n");
    let mut poller = hub.sockjs("");
    let ping = json!({"ping": {}}).to_string();
    let texts = vec![ping.as_str(); 60];
    // Some are answered, and then the session is closed: what was said last may be lost with it.
    let status = poller.try_send(&texts).status;
    assert!(matches!(status, 204 | 404), "{status}");
    loop {
        match poller.poll() {
            Frame::Texts(_) => {}
            Frame::Close(code, reason) => {
                break assert_eq!(
                    (code, reason.as_str()),
                    (1008, "too many frames in a second")
                );
            }
            other @ (Frame::Open | Frame::Heartbeat) => panic!("{other:?}"),
        }
    }
    check_all_given_back(&hub);
}

/// Answers that nobody takes: the session stops listening at a bound, and says so.
#[test]
fn who_speaks_and_does_not_receive_is_not_listened_to() {
    let hub = served("[websocket]\nframes_per_second_max = 0\n");
    let poller = hub.sockjs("");
    // Each is refused by an answer, and a request of them fills what a session may hold.
    let long = "x".repeat(200);
    let texts = vec![long.as_str(); 500];
    let mut held = Vec::new();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let mut connection = Connection::open(hub.address);
        let body = json!(texts).to_string();
        connection.send_request(&poller.request("xhr_send", &body));
        held.push(connection);
    }
    for mut connection in held {
        statuses.push(connection.read_answer(false).status);
    }
    // The first ones are taken until 64 KiB of answers wait; the one after them is held until the
    // session is given up, and those beyond the bound are told to wait.
    let waiting = statuses.iter().filter(|status| **status == 404).count();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert!(waiting >= 1 && refused >= 1, "{statuses:?}");
    check_all_given_back(&hub);
}

#[test]
fn what_waits_in_all_sessions_together_is_bounded() {
    let hub = served("queue_bytes_max = 100000\n[websocket]\nframes_per_second_max = 0\n");
    let pollers: Vec<_> = (0..8).map(|_| hub.sockjs("")).collect();
    let texts = json!(vec!["x"; 100]).to_string();
    let (last, first) = pollers.split_last().expect("some");
    // Nobody takes the answers, until they fill what all may hold together.
    let mut held = Vec::new();
    for poller in first {
        let mut connection = Connection::open(hub.address);
        connection.send_request(&poller.request("xhr_send", &texts));
        held.push(connection);
    }
    hub.wait_for_metric("tidings_sockjs_queued_bytes", |bytes| bytes > 98_000.0);
    let answer = last.try_send(&["x".repeat(3000).as_str()]);
    assert_eq!(
        (answer.status, answer.problem()),
        (503, "queue-full".to_owned())
    );
    assert!(hub.metric("tidings_sockjs_queued_bytes") < 140_000.0);
    drop(held);
    assert!(hub.metric_for("tidings_sockjs_refused_total", "queue-full") >= 1.0);
    drop(pollers);
    check_all_given_back(&hub);
}

/// It costs what one write takes, and others nothing.
#[test]
fn a_receiver_that_does_not_read_is_closed() {
    let hub = served(
        "disconnect_secs = 15\nresponse_bytes_max = 1000000000\n[limits]\nstall_timeout_secs = 1\n",
    );
    let target = format!("{}/xhr_streaming?match={BOOK}", new_session("/sockjs"));
    let mut stalled = Connection::open(hub.address);
    stalled.send_request(&Request::post(&target));
    assert_eq!(stalled.read_head().status, 200);
    let mut other = hub.sockjs(&format!("match={BOOK}"));
    let (token, data) = (token_for_all(), "x".repeat(100_000));
    let mut connection = Connection::open(hub.address);
    for _ in 0..200 {
        let form = [("topic", BOOK), ("data", data.as_str())];
        let request = Request::post(crate::harness::HUB_PATH)
            .bearer(&token)
            .form(&form);
        assert_eq!(connection.request(&request).status, 200);
        assert_eq!(other.data().len(), data.len());
    }
    wait_until("it is closed", || {
        let closed = hub.metric_for("tidings_sessions_closed_total", "stalled");
        (closed >= 1.0).then_some(())
    });
    assert!(other.answered(json!({"ping": {}}))["pong"].is_object());
    drop((stalled, other));
    check_all_given_back(&hub);
}

#[test]
fn half_a_request_and_a_wrong_method_disturb_nobody() {
    let hub = served("");
    let mut poller = hub.sockjs("");
    let mut half = Connection::open(hub.address);
    half.send(
        format!(
            "POST {}/xhr_send HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n[\"",
            poller.url
        )
        .as_bytes(),
    );
    drop(half);
    for (method, transport) in [
        ("PUT", "xhr"),
        ("GET", "xhr_send"),
        ("O", "xhr"),
        ("DELETE", "jsonp"),
    ] {
        let target = format!("{}/{transport}", poller.url);
        let answer = hub.request(Request::new(method, &target));
        assert_eq!(answer.status, 405, "{method} {transport}");
        assert!(answer.body.is_empty());
    }
    assert!(poller.answered(json!({"ping": {}}))["pong"].is_object());
}
