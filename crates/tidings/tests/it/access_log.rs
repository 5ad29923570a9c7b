//! The id of a request, and the lines that are found by it.

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::tokens::{settings, token_for_all};
use crate::harness::{HUB_PATH, Request, TestHub, run, wait_until};

const SERVED: &str = "[admin]\naddress = \"127.0.0.1:0\"\n[subscribe]\nanonymous = true\n\
                      [server]\ndrain_secs = 0\n";

#[test]
fn a_request_keeps_the_id_that_it_came_with_or_gets_one() {
    let hub = TestHub::serve(&settings(SERVED));
    let id = |request: Request| {
        let answer = hub.request(request);
        answer.header("X-Request-Id").expect("an id").to_owned()
    };
    let get = |path: &str| Request::get(path);
    assert_eq!(
        id(get("/nothing").header("X-Request-Id", "edge-1:7")),
        "edge-1:7"
    );
    let made = id(get("/health/live"));
    assert_eq!(made.len(), 16, "{made}");
    assert_ne!(
        id(get("/health/live").header("X-Request-Id", "not \"plain\"")),
        made
    );
    let stream = Request::new("HEAD", &format!("{HUB_PATH}?match=a"));
    assert_eq!(id(stream.header("X-Request-Id", "stream")), "stream");
}

#[test]
fn lines_about_a_request_have_its_id() {
    for (format, expected) in [
        (
            "json",
            "\"span\":{\"request_id\":\"find-me\",\"name\":\"request\"}",
        ),
        ("logfmt", " request_id=\"find-me\""),
    ] {
        let log = format!("[log]\nlevel = \"debug\"\nformat = \"{format}\"\n");
        let hub = TestHub::serve(&settings(&format!("{SERVED}{log}")));
        let refused = Request::post(HUB_PATH)
            .bearer("not.a.token")
            .form(&[("topic", "a")]);
        hub.request(refused.header("X-Request-Id", "find-me"));
        wait_until("a line with the id", || {
            hub.log().contains(expected).then_some(())
        });
    }
}

#[test]
fn each_request_has_a_line_in_a_file_that_may_be_rotated() {
    let log = "[log]\naccess = true\naccess_file = \"FOLDER/access.log\"\nformat = \"json\"\n";
    let hub = TestHub::serve(&settings(&format!("{SERVED}{log}")));
    let path = hub.folder().join("access.log");
    let asked = Request::get("/nothing?token=secret").header("X-Request-Id", "one");
    hub.request(asked.header("User-Agent", "a \"test\""));
    let line = wait_for_line(&path, "one");
    assert_eq!(line["status"], 404);
    assert_eq!(line["method"], "GET");
    assert_eq!(line["path"], "/nothing?token=hidden");
    assert_eq!(line["user_agent"], "a \"test\"");
    assert_eq!(line["peer"], "127.0.0.1");
    assert!(line["duration_ms"].as_f64().unwrap() > 0.0, "{line}");
    // An event stream has its line at its end, with what was sent.
    let query = format!("{HUB_PATH}?match=a");
    let mut stream = hub.subscribe_by(Request::get(&query).header("X-Request-Id", "stream"));
    hub.publish_as(&token_for_all(), &[("topic", "a"), ("data", "xxxxxxxxxx")]);
    stream.event();
    drop(stream);
    let line = wait_for_line(&path, "stream");
    assert!(line["bytes"].as_u64().unwrap() > 10, "{line}");
    // Another program takes the file away, and says so.
    let rotated = hub.folder().join("access.log.1");
    std::fs::rename(&path, &rotated).unwrap();
    hub.signal(Signal::HUP);
    wait_until("the file is opened again", || {
        hub.request(Request::get("/nothing").header("X-Request-Id", "two"));
        path.exists().then_some(())
    });
    wait_for_line(&path, "two");
    assert!(!hub.log().contains("\"path\":"), "{}", hub.log());
}

#[test]
fn without_a_file_the_lines_are_on_standard_error_and_bare() {
    let log = "[log]\naccess = true\nformat = \"logfmt\"\n";
    let hub = TestHub::serve(&settings(&format!("{SERVED}{log}")));
    hub.request(Request::get("/nothing"));
    let bare = |line: &&str| {
        line.starts_with("127.0.0.1 - - [") && line.contains("\"GET /nothing HTTP/1.1\" 404 ")
    };
    wait_until("the line", || {
        hub.log().lines().any(|line| bare(&line)).then_some(())
    });
}

#[test]
fn a_file_that_cannot_be_written_keeps_the_hub_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let toml = folder.path().join("tidings.toml");
    let data = folder.path().join("data").display().to_string();
    let text = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[data]\ndir = {data:?}\n[log]\naccess_file = \"/nowhere/a.log\"\n"
    );
    std::fs::write(&toml, settings(&text)).unwrap();
    let (code, _, error) = run(&["serve", "--config", &toml.display().to_string()], &[]);
    assert_eq!(code, 1);
    assert!(
        error.contains("log.access_file") && error.contains("/nowhere/a.log"),
        "{error}"
    );
}

fn wait_for_line(path: &Path, id: &str) -> Value {
    wait_until("a line of the access log", || {
        let text = std::fs::read_to_string(path).ok()?;
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.into_iter().find(|line| line["request_id"] == id)
    })
}
