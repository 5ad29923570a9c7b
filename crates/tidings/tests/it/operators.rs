//! The commands of operators, on a running hub: by its configuration, by its address, by a context.

use serde_json::{Value, json};

use crate::harness::tokens::{claims, settings, token, token_for_all};
use crate::harness::{EventStream, HUB_PATH, Request, TestHub, run, run_under, wait_until};

const OPERATOR: &str = "4b7c2e9f0d1a6853b7c2e9f0d1a68534";
const JTI: &str = "urn:uuid:5d4a2b3e-0b5c-4a9e-8a51-0d9f3d2c1b00";

#[test]
fn operators_see_and_end_connections() {
    let hub = served();
    let mut alice = subscribe_as(&hub, "alice", "match=a");
    let mut bob = subscribe_as(&hub, "bob", "match=b");
    hub.wait_for_metric("tidings_subscribers", |now| now > 1.5);
    let lines = tidings(&hub, &["connections"]);
    assert!(lines.starts_with("ID "), "{lines}");
    assert_eq!(lines.lines().count(), 3, "{lines}");
    let line = tidings(&hub, &["connections", "--topic", "b", "--json"]);
    let connection: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(connection["token"]["subject"], "bob");
    let id = connection["id"].as_str().unwrap();
    assert_eq!(tidings(&hub, &["disconnect", id]), "1 connections ended\n");
    assert!(bob.next_event().is_none());
    let told = tidings(&hub, &["disconnect", "--subject", "alice", "--json"]);
    assert_eq!(told, "{\"disconnected\":1,\"scope\":\"hub\"}\n");
    assert!(alice.next_event().is_none());
    let (code, _, error) = run(&command(&hub, &["disconnect", id]), &[]);
    assert_eq!(code, 1);
    assert!(error.contains("there is no such connection"), "{error}");
}

#[test]
fn operators_revoke_purge_and_explain() {
    let hub = served();
    for data in ["1", "2"] {
        let answer = hub.publish_as(&token_for_all(), &[("topic", "a"), ("data", data)]);
        assert_eq!(answer.status, 200);
    }
    let _stream = hub.subscribe("match=a");
    hub.wait_for_metric("tidings_subscribers", |now| now > 0.5);
    let file = hub.folder().join("some.token");
    std::fs::write(&file, token_for_all()).unwrap();
    let file = file.display().to_string();
    let told = tidings(&hub, &["explain", "--private", "--token-file", &file, "a"]);
    assert!(told.contains("the token may read it"), "{told}");
    assert!(told.contains("the token may publish it"), "{told}");
    assert!(
        told.contains("0 connections would receive it, 0 do not ask for it, 1 may not read it"),
        "{told}"
    );
    assert!(told.contains("presented no token"), "{told}");
    let (code, _, error) = run(&command(&hub, &["purge", "a"]), &[]);
    assert_eq!((code, error.contains("--yes")), (2, true), "{error}");
    assert_eq!(
        tidings(&hub, &["purge", "--yes", "a"]),
        "2 updates withdrawn\n"
    );
    let told = tidings(&hub, &["revoke", "--token-file", &file]);
    assert!(
        told.starts_with("refused until ") && told.contains("0 connections ended"),
        "{told}"
    );
    let refused = hub.publish_as(&token_for_all(), &[("topic", "a"), ("data", "3")]);
    assert_eq!(refused.status, 401);
    assert!(tidings(&hub, &["revoke", "--list"]).contains(JTI));
    assert_eq!(
        tidings(&hub, &["revoke", "--undo", JTI]),
        "the token is accepted again\n"
    );
    assert_eq!(tidings(&hub, &["revoke", "--list"]), "");
}

#[test]
fn top_shows_rates_and_topics_and_drain_ends_the_hub() {
    let mut hub = served();
    // Counted from the first question on.
    tidings(&hub, &["top", "--once"]);
    for _ in 0..3 {
        hub.publish_as(&token_for_all(), &[("topic", "often"), ("data", "x")]);
    }
    let shown = tidings(&hub, &["top", "--once"]);
    assert!(
        shown.contains("ready") && shown.contains("  often\n"),
        "{shown}"
    );
    let look: Value = serde_json::from_str(&tidings(&hub, &["top", "--once", "--json"])).unwrap();
    assert_eq!(look["state"]["totals"]["published"], 3);
    assert_eq!(look["topics"][0]["topic"], "often");
    let told = tidings(&hub, &["drain"]);
    assert_eq!(told, "the hub is stopping: its streams end within 1 s\n");
    assert!(hub.wait_for_exit().success());
}

#[test]
fn the_hub_is_found_by_address_and_by_context_and_never_without_a_token() {
    let hub = served();
    let admin = format!("http://{}", hub.admin.unwrap());
    let file = hub.folder().join("operator.token");
    std::fs::write(&file, format!("{OPERATOR}\n")).unwrap();
    let (file, home) = (
        file.display().to_string(),
        hub.folder().display().to_string(),
    );
    let home = [("XDG_CONFIG_HOME", home.as_str())];
    let by_address = ["connections", "--admin", &admin, "--json"];
    let (code, _, error) = run(&by_address, &home);
    assert_eq!(
        (code, error.contains("no token of operators")),
        (2, true),
        "{error}"
    );
    let (code, _, error) = run(&by_address, &[home[0], ("TIDINGS_ADMIN_TOKEN", "wrong")]);
    assert_eq!((code, error.contains("401")), (1, true), "{error}");
    let given = [&by_address[..], &["--admin-token-file", &file]].concat();
    assert_eq!(run(&given, &home), (0, String::new(), String::new()));
    let add = [
        "context",
        "add",
        "prod",
        "--hub",
        "https://hub.example.com/.well-known/mercure",
        "--admin",
        &admin,
        "--admin-token-file",
        &file,
    ];
    assert_eq!(run(&add, &home), (0, String::new(), String::new()));
    let by_context = ["connections", "--json", "--context", "prod"];
    assert_eq!(run(&by_context, &home), (0, String::new(), String::new()));
    // The chosen one is used without its name.
    assert_eq!(
        run(&["revoke", "--list"], &home),
        (0, String::new(), String::new())
    );
}

#[test]
fn a_developers_hub_shows_the_token_and_answers_operators_on_its_own_address() {
    let hub = TestHub::dev();
    let log = hub.log();
    let (_, after) = log.split_once("/admin, with the token ").unwrap();
    let token = after.lines().next().unwrap();
    let kept = std::fs::read_to_string(hub.data().join("admin.token")).unwrap();
    assert_eq!(token, kept.trim());
    assert_eq!(hub.request(Request::get("/admin/")).status, 200);
    assert_eq!(hub.request(Request::get("/admin/admin.css")).status, 200);
    assert_eq!(
        hub.request(Request::get("/admin")).header("location"),
        Some("/admin/")
    );
    let state = || Request::get("/admin/v1/state");
    assert_eq!(hub.request(state()).status, 401);
    assert_eq!(
        hub.request(state().bearer(&hub.publisher_token())).status,
        401
    );
    assert_eq!(hub.request(state().bearer(token)).status, 200);
    // Neither a page of another origin, nor one that reaches the hub by DNS rebinding.
    let page = state()
        .bearer(token)
        .header("Origin", "http://localhost:3000");
    assert_eq!(hub.request(page).status, 403);
    let rebound = state().bearer(token).header("Host", "evil.example");
    assert_eq!(hub.request(rebound).status, 421);
    hub.request(Request::get("/nowhere"));
    wait_until("the next request is shown", || {
        hub.log().contains("GET /nowhere").then_some(())
    });
    assert!(!hub.log().contains("/admin/v1/state"), "{}", hub.log());
}

#[test]
fn the_commands_of_operators_find_the_hub_of_a_developer() {
    let hub = TestHub::dev();
    let _stream = hub.subscribe("match=a");
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(hub.data(), folder.path().join("tidings-data")).unwrap();
    let there = format!("cd {} && exec \"$0\" \"$@\"", folder.path().display());
    let ask = |words: &[&str]| run_under(&["sh", "-c", &there], words, &[]);
    let (code, said, error) = ask(&["connections"]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(error.contains("tidings-data/dev.json"), "{error}");
    std::fs::remove_file(folder.path().join("tidings-data")).unwrap();
    let (code, _, error) = ask(&["connections"]);
    assert_eq!(code, 2);
    assert!(error.contains("`tidings dev`"), "{error}");
}

fn served() -> TestHub {
    TestHub::serve(&settings(&format!(
        "[admin]\naddress = \"127.0.0.1:0\"\ntoken = \"{OPERATOR}\"\n\
         [subscribe]\nanonymous = true\n[server]\ndrain_secs = 1\n"
    )))
}

/// Runs a command that must succeed, and returns what it prints.
#[track_caller]
fn tidings(hub: &TestHub, words: &[&str]) -> String {
    let (code, output, error) = run(&command(hub, words), &[]);
    assert_eq!(code, 0, "{words:?}: {error}");
    output
}

fn command<'a>(hub: &TestHub, words: &[&'a str]) -> Vec<&'a str> {
    let admin: &'static str = format!("http://{}", hub.admin.unwrap()).leak();
    [words, &["--admin", admin, "--admin-token", OPERATOR]].concat()
}

fn subscribe_as(hub: &TestHub, subject: &str, query: &str) -> EventStream {
    let mut of_it = claims();
    of_it["sub"] = json!(subject);
    let request = Request::get(&format!("{HUB_PATH}?{query}"));
    hub.subscribe_by(request.bearer(&token(&of_it)))
}
