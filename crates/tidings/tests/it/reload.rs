//! A running hub reloads a changed configuration: everything that can change, or nothing, without closing a
//! connection.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use rustix::process::Signal;

use crate::harness::tokens::{settings, token_for_all};
use crate::harness::{Connection, HUB_PATH, Request, TestHub, note, run, wait_until};

const SERVED: &str = "[admin]\naddress = \"127.0.0.1:0\"\n[subscribe]\nanonymous = true\n\
                      [server]\ndrain_secs = 1\n";
const STREAMS: usize = 50;
const RELOADS: usize = 100;

#[test]
fn a_hundred_reloads_drop_no_stream() {
    let hub = TestHub::serve(&settings(SERVED));
    let mut streams: Vec<_> = (0..STREAMS).map(|_| hub.subscribe("match=a")).collect();
    for turn in 0..RELOADS {
        let chat = turn % 2 == 0;
        write(
            &hub,
            &format!(
                "[pages]\nchat = {chat}\n[history]\nretain_updates = {}\n",
                turn + 9
            ),
        );
        let answer = ask(&hub);
        let applied = answer["applied"].as_array().unwrap();
        assert!(!applied.is_empty(), "{answer}");
        assert_eq!(
            hub.request(Request::get("/chat/")).status,
            if chat { 200 } else { 404 }
        );
    }
    publish(&hub, "still there");
    for stream in &mut streams {
        assert_eq!(stream.event().data, "still there");
    }
    let closed = hub.metric("tidings_sessions_closed_total");
    assert!(closed < 0.5, "{closed} streams ended");
    note(&format!("{RELOADS} reloads with {STREAMS} streams"));
}

#[test]
fn the_command_says_what_was_applied_and_what_needs_a_restart() {
    let hub = TestHub::serve(&settings(SERVED));
    let path = hub.folder().join("tidings.toml").display().to_string();
    let reload = || run(&["reload", "--config", &path], &[]);
    assert_eq!(reload(), (0, "nothing changed\n".into(), String::new()));
    // A kept connection is answered by the new configuration from its next request on.
    let mut kept = Connection::open(hub.address);
    let asked = Request::get("/debugger/");
    assert_eq!(kept.request(&asked).status, 404);
    write(
        &hub,
        "[pages]\ndebugger = true\n[presence]\nenabled = true\n[limits]\nconnections_max = 77\n",
    );
    let (code, said, error) = reload();
    assert_eq!(code, 0, "{error}");
    for line in [
        "applied: limits.connections_max: 100000 -> 77",
        "applied: pages.debugger: false -> true",
        "needs a restart: presence.enabled: false -> true",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}\n{said}");
    }
    assert_eq!(kept.request(&asked).status, 200);
    // What needs a restart is told until it is restarted.
    let (_, said, _) = reload();
    assert_eq!(said, "needs a restart: presence.enabled: false -> true\n");
}

#[test]
fn limits_and_anonymity_count_for_the_next_peer() {
    let hub = TestHub::serve(&settings(SERVED));
    let mut before = hub.subscribe("match=a");
    let text = std::fs::read_to_string(hub.folder().join("tidings.toml")).unwrap();
    let strict = text.replace("anonymous = true", "anonymous = false");
    replace(
        &hub,
        &format!("{strict}[limits]\nconnections_per_address_max = 3\n"),
    );
    assert_eq!(ask(&hub)["applied"].as_array().unwrap().len(), 2);
    let refused = hub.request(Request::get(&format!("{HUB_PATH}?match=a")));
    assert_eq!(refused.status, 401, "{}", refused.text());
    // The place of a connection that was closed is free a moment later: until then one is refused.
    let admitted = || {
        let mut connection = Connection::open(hub.address);
        let answer = connection.request(&Request::get("/health/live"));
        (answer.status == 200).then_some(connection)
    };
    let open: Vec<_> = (0..2)
        .map(|_| wait_until("there is a place", admitted))
        .collect();
    let status = || hub.request(Request::get("/health/live")).status;
    wait_until("the limit counts", || (status() == 429).then_some(()));
    // Who was there stays.
    drop(open);
    wait_until("there is room", || (status() == 200).then_some(()));
    publish(&hub, "to an earlier peer");
    assert_eq!(before.event().data, "to an earlier peer");
}

#[test]
fn anything_wrong_changes_nothing_and_is_told_with_its_key() {
    let hub = TestHub::serve(&settings(SERVED));
    let path = hub.folder().join("tidings.toml").display().to_string();
    for (added, expected) in [
        (
            "[pages]\nchat = true\n[limits]\nbody_timeout_secs = 0\n",
            "limits.body_timeout_secs",
        ),
        ("[pages]\nchat = true\nchatt = 1\n", "pages.chatt"),
        (
            "[pages]\nchat = true\n[cors]\norigins = [\"nowhere\"]\n",
            "cors.origins",
        ),
        ("[pages\n", "line"),
    ] {
        write(&hub, added);
        let (code, said, error) = run(&["reload", "--config", &path], &[]);
        assert_ne!(code, 0, "{added}");
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("no hub runs"), "{error}");
        assert_eq!(said, "");
        hub.signal(Signal::HUP);
        assert_eq!(hub.request(Request::get("/chat/")).status, 404);
    }
    wait_until("the log says it", || {
        hub.log().contains("so nothing was changed").then_some(())
    });
    // The next good one counts.
    write(&hub, "[pages]\nchat = true\n");
    hub.signal(Signal::HUP);
    wait_until("the page is there", || {
        (hub.request(Request::get("/chat/")).status == 200).then_some(())
    });
}

#[test]
fn the_level_of_the_log_changes() {
    let hub = TestHub::serve(&settings(SERVED));
    let toml = hub.folder().join("tidings.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    replace(
        &hub,
        &text.replace("level = \"info\"", "level = \"info,tidings=debug\""),
    );
    ask(&hub);
    let lines = || {
        hub.log()
            .lines()
            .filter(|line| line.contains("\"DEBUG\""))
            .count()
    };
    hub.request(Request::get(&format!("{HUB_PATH}?match=")));
    drop(hub.subscribe("match=a"));
    wait_until("a debug line", || (lines() > 0).then_some(()));
}

#[test]
fn without_a_hub_the_command_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let toml = folder.path().join("tidings.toml");
    let data = folder.path().join("data").display().to_string();
    std::fs::write(&toml, format!("[data]\ndir = {data:?}\n")).unwrap();
    let (code, _, error) = run(&["reload", "--config", &toml.display().to_string()], &[]);
    assert_eq!(code, 1);
    assert!(
        error.contains("no hub runs with the data folder"),
        "{error}"
    );
}

/// Asks by the control socket. Returns the answer.
fn ask(hub: &TestHub) -> serde_json::Value {
    let mut stream = UnixStream::connect(hub.data().join("control.sock")).unwrap();
    stream.write_all(b"\"reload\"\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

/// Puts a configuration with more in it in the place of the hub's.
fn write(hub: &TestHub, more: &str) {
    let first = hub.folder().join("first.toml");
    let toml = hub.folder().join("tidings.toml");
    if !first.exists() {
        std::fs::copy(&toml, &first).unwrap();
    }
    let text = std::fs::read_to_string(first).unwrap();
    replace(hub, &format!("{text}{more}"));
}

/// Puts a configuration in the place of the hub's, whole.
fn replace(hub: &TestHub, text: &str) {
    let new = hub.folder().join("new.toml");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, hub.folder().join("tidings.toml")).unwrap();
}

fn publish(hub: &TestHub, data: &str) {
    let answer = hub.publish_as(&token_for_all(), &[("topic", "a"), ("data", data)]);
    assert_eq!(answer.status, 200, "{}", answer.text());
}
