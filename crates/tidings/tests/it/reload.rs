//! A running hub reloads a changed configuration: everything that can change, or nothing, without closing a
//! connection.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::process::Signal;
use serde_json::json;

use crate::harness::key_server::{Behaviour, IssuerKey, KeyServer, document};
use crate::harness::tokens::{
    DETAIL_TYPE, HUB, ISSUER, SECRET, claims, header, settings, sign, token_for_all, token_with,
};
use crate::harness::{Connection, DEADLINE, HUB_PATH, Request, TestHub, note, run, wait_until};

const SERVED: &str = "[admin]\naddress = \"127.0.0.1:0\"\n[subscribe]\nanonymous = true\n\
                      [server]\ndrain_secs = 1\n";
const OTHER_SECRET: &str = "another-secret-of-more-than-32-bytes-for-tests";
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
fn issuers_and_keys_change_while_streams_go_on() {
    let hub = TestHub::serve(&settings(&format!("{SERVED}shards = 3\n")));
    let toml = hub.folder().join("tidings.toml");
    let before = std::fs::read_to_string(&toml).unwrap();
    let old = token_for_all();
    let mut open = hub.subscribe_by(subscribing(&old));
    let mut claims = claims();
    claims["iss"] = "https://other.example.com".into();
    let new = sign(OTHER_SECRET, &header(), &claims);
    let status = |token: &str| hub.publish_as(token, &[("topic", "a")]).status;
    assert_eq!((status(&old), status(&new)), (200, 401));
    let other = before
        .replace(SECRET, OTHER_SECRET)
        .replace(ISSUER, "https://other.example.com");
    replace(&hub, &other);
    let answer = ask(&hub);
    let applied: Vec<_> = answer["applied"].as_array().unwrap().iter().collect();
    let keys = applied.iter().map(|change| change["key"].as_str().unwrap());
    assert_eq!(
        keys.collect::<Vec<_>>(),
        ["auth.issuers.0.issuer", "auth.issuers.0.key"]
    );
    assert!(!answer.to_string().contains(OTHER_SECRET), "{answer}");
    // Every shard, also those that have verified the old token before.
    for _ in 0..20 {
        assert_eq!((status(&old), status(&new)), (401, 200));
    }
    let refused = hub.request(subscribing(&old).header("Prefer", "wait=0"));
    assert_eq!(refused.status, 401);
    // Who was let in stays until its token expires.
    open.event();
    // Audiences change too; what is not usable changes nothing.
    replace(&hub, &format!("{other}[auth]\naudiences = [\"urn:x\"]\n"));
    ask(&hub);
    assert_eq!(status(&new), 401);
    replace(&hub, &before.replace(SECRET, "short"));
    let answer = ask(&hub);
    let errors = answer["errors"].to_string();
    assert!(errors.contains("auth.issuers.0.key"), "{answer}");
    assert_eq!(status(&old), 401);
}

#[test]
fn a_key_set_that_a_reload_adds_is_read_and_one_that_stays_keeps_its_keys() {
    const ISSUER: &str = "https://id.example.com";
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let key = IssuerKey::new("a");
    let server = KeyServer::start(folder.path(), document(&[&key]));
    let hub = TestHub::serve_in(folder, &settings(SERVED), &server.environment());
    let token = key.token(ISSUER, HUB);
    let status = || hub.publish_as(&token, &[("topic", "a")]).status;
    assert_eq!(status(), 401);
    let url = server.url();
    let issuer = format!("[[auth.issuers]]\nissuer = {ISSUER:?}\njwks_url = {url:?}\n");
    write(&hub, &issuer);
    ask(&hub);
    wait_until("the set is read", || (status() == 200).then_some(()));
    // The set stays beside other changes, and no token is refused meanwhile.
    server.behave(Behaviour::Close);
    for turn in 0..5 {
        write(
            &hub,
            &format!(
                "{issuer}kid = \"{turn}\"\n[auth]\njwks_refresh_secs = {}\n",
                100 + turn
            ),
        );
        assert_eq!(ask(&hub)["errors"], json!([]));
        assert_eq!(status(), 200);
    }
    assert_eq!(hub.request_admin("/health/ready").status, 200);
}

#[test]
fn the_grace_period_of_presence_changes() {
    let presence = "[presence]\nenabled = true\ngrace_secs = 3600\n";
    let hub = TestHub::serve(&settings(&format!("{SERVED}{presence}")));
    let everything = json!([{
        "type": DETAIL_TYPE, "actions": ["subscribe"], "topics": [{"match": "*"}],
    }]);
    let query = format!("{HUB_PATH}?match_urlpattern=/.well-known/mercure/subscriptions/*");
    let mut events = hub.subscribe_by(Request::get(&query).bearer(&token_with(everything)));
    let mut wait_for = |active: bool| {
        let wanted = [format!("\"active\":{active}"), "\"match\":\"a\"".to_owned()];
        let found = (0..10)
            .map(|_| events.event().data)
            .find(|data| wanted.iter().all(|wanted| data.contains(wanted)));
        found.expect("the event comes");
    };
    let someone = hub.subscribe_by(subscribing(&token_for_all()));
    wait_for(true);
    let toml = hub.folder().join("tidings.toml");
    let text = std::fs::read_to_string(toml).unwrap();
    replace(&hub, &text.replace("grace_secs = 3600", "grace_secs = 0"));
    let answer = ask(&hub);
    assert_eq!(
        answer["applied"][0]["key"], "presence.grace_secs",
        "{answer}"
    );
    drop(someone);
    wait_for(false);
}

#[test]
fn an_access_log_that_cannot_be_opened_again_is_an_error_of_the_reload() {
    let log = "[log]\naccess = true\naccess_file = \"FOLDER/access.log\"\nformat = \"json\"\n";
    let hub = TestHub::serve(&settings(&format!("{SERVED}{log}")));
    let path = hub.folder().join("access.log");
    let rotated = hub.folder().join("access.log.1");
    std::fs::rename(&path, &rotated).unwrap();
    std::fs::create_dir(&path).unwrap();
    write(&hub, "[pages]\nchat = true\n");
    let answer = ask(&hub);
    let error = answer["errors"][0].as_str().unwrap_or_default();
    assert!(error.contains("log.access_file: cannot write"), "{answer}");
    assert_eq!(hub.request(Request::get("/chat/")).status, 404);
    // Lines go on to the open file.
    hub.request(Request::get("/after").header("X-Request-Id", "after"));
    let has = |path: &std::path::Path, text: &str| {
        std::fs::read_to_string(path).is_ok_and(|lines| lines.contains(text))
    };
    wait_until("a line in the old file", || {
        has(&rotated, "after").then_some(())
    });
    std::fs::remove_dir(&path).unwrap();
    assert_eq!(ask(&hub)["errors"], json!([]));
    hub.request(Request::get("/chat/").header("X-Request-Id", "later"));
    wait_until("a line in the new file", || {
        has(&path, "later").then_some(())
    });
}

#[test]
fn connections_that_say_nothing_do_not_delay_a_reload() {
    let hub = TestHub::serve(&settings(SERVED));
    let path = hub.data().join("control.sock");
    let idle: Vec<_> = (0..300)
        .map(|number: u32| {
            let mut stream = UnixStream::connect(&path).unwrap();
            if number.is_multiple_of(2) {
                stream.write_all(b"\"relo").unwrap();
            }
            stream
        })
        .collect();
    write(&hub, "[pages]\nchat = true\n");
    // One after the other, they would take ten minutes.
    assert_eq!(ask(&hub)["applied"].as_array().unwrap().len(), 1);
    drop(idle);
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
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
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

/// Returns the request for an event stream with a token.
fn subscribing(token: &str) -> Request {
    Request::get(&format!("{HUB_PATH}?match=a")).bearer(token)
}

fn publish(hub: &TestHub, data: &str) {
    let answer = hub.publish_as(&token_for_all(), &[("topic", "a"), ("data", data)]);
    assert_eq!(answer.status, 200, "{}", answer.text());
}
