//! The chat's own two addresses, as the tutorial's page uses them.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::{Answer, Request, TestHub};

const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn the_chat_takes_both_kinds_of_forms_and_tells_everyone() {
    let hub = TestHub::dev();
    let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let begun = begun.as_secs();
    let fetch = || Request::get("/event/fetch");
    let mut early = hub.subscribe_by(fetch());
    let said = |answer: Answer| {
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "true"),
            "{answer:?}"
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
    };
    let broadcast = || Request::post("/message/broadcast");
    said(hub.request(broadcast().form(&[("from", "Ada"), ("text", "Hallo & \"guten\" Tag\n⚽")])));
    let multipart = "--b0\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nüber\r\n\
         --b0\r\nContent-Disposition: form-data; name=\"from\"\r\n\r\nBob\r\n--b0--\r\n";
    let media_type = "multipart/form-data; boundary=b0";
    said(
        hub.request(
            broadcast()
                .header("Content-Type", media_type)
                .body(multipart),
        ),
    );
    // Nothing is said without a name or a text, but the answer is the same.
    for form in [
        &[("from", " "), ("text", "x")][..],
        &[("from", "Ada"), ("text", "\t\n")],
        &[("from", "Ada")],
        &[("text", "x")],
        &[],
    ] {
        said(hub.request(broadcast().form(form)));
    }
    said(hub.request(broadcast().form(&[("from", "Ada"), ("text", "end")])));
    let wanted = [
        ("Ada", "Hallo & \"guten\" Tag\n⚽"),
        ("Bob", "über"),
        ("Ada", "end"),
    ];
    let mut late = hub.subscribe_by(Request::get("/event/fetch?last_event_id=earliest"));
    for stream in [&mut early, &mut late] {
        let mut last = String::new();
        for (from, text) in wanted {
            let event = stream.event();
            assert_eq!(event.event_type, "msg");
            let json: serde_json::Value = serde_json::from_str(&event.data).expect("JSON");
            let time = json["time"].as_u64().expect("a time");
            assert!(time.abs_diff(begun) < 3600, "{time} is not about {begun}");
            assert_eq!(
                json,
                serde_json::json!({"from": from, "text": text, "time": time})
            );
            assert_ne!(event.last_event_id, last);
            last = event.last_event_id;
        }
    }
}

#[test]
fn the_chat_refuses_what_it_cannot_read() {
    let hub = TestHub::dev();
    let post = |media_type: &str, body: &[u8]| {
        let request = Request::post("/message/broadcast").header("Content-Type", media_type);
        hub.request(request.body(body))
    };
    check(
        &post("application/json", b"{}"),
        415,
        "media-type-unsupported",
    );
    check(&post(FORM, b"from=Ada&text=%FF"), 400, "not-utf8");
    let unfinished = b"--b0\r\nContent-Disposition: form-data; name=\"from\"\r\n\r\nAda";
    check(
        &post("multipart/form-data; boundary=b0", unfinished),
        400,
        "multipart-invalid",
    );
    let broken = b"--b0\r\nContent-Disposition: form-data; name=\"from\"\r\n\r\n\xff\r\n--b0--\r\n";
    check(
        &post("multipart/form-data; boundary=b0", broken),
        400,
        "not-utf8",
    );
    let long = format!("from=Ada&text={}", "x".repeat(16 * 1024));
    check(&post(FORM, long.as_bytes()), 413, "body-too-large");
    let long = format!(
        "--b0\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\n{}\r\n--b0--\r\n",
        "x".repeat(16 * 1024)
    );
    check(
        &post("multipart/form-data; boundary=b0", long.as_bytes()),
        413,
        "body-too-large",
    );
}

#[test]
fn a_hub_without_the_chat_has_none_of_its_paths() {
    let hub = TestHub::served("[subscribe]\nanonymous = true\n");
    check(&hub.request(Request::get("/event/fetch")), 404, "not-found");
    let form = [("from", "Ada"), ("text", "x")];
    let answer = hub.request(Request::post("/message/broadcast").form(&form));
    assert!(matches!(answer.status, 404 | 405), "{answer:?}");
}

#[track_caller]
fn check(answer: &Answer, status: u16, problem: &str) {
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (status, problem),
        "{}",
        answer.text()
    );
}
