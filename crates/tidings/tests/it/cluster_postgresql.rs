//! Hubs on a PostgreSQL: real programs and a real server. `docs/guide/cluster.md`, "PostgreSQL".

use serde_json::json;

use crate::cluster::{asked, run_with};
use crate::harness::postgresql::Postgresql;
use crate::harness::redis::member_of;
use crate::harness::tokens::token_for_all;
use crate::harness::{HUB_PATH, Request, TestHub};

const TOPIC: &str = "https://example.com/news";

/// The schema of the cluster `it` as the first build made it, without an inbox.
const FIRST: &str = include_str!("../../../tidings-postgresql/tests/it/format/schema-1.sql");

/// The way of an operator: an empty database, a schema, a role that may only use it, two hubs.
#[test]
fn hubs_on_postgresql_are_one_hub() {
    let server = Postgresql::start();
    server.sql("CREATE ROLE hub LOGIN");
    let (owner, hub) = (server.cluster("postgres"), server.cluster("hub"));
    let (owner, settings) = (member_of(&owner, ""), member_of(&hub, ""));

    // Without the schema hubs do not start, and are told the command.
    let (code, status) = asked(&settings, &["cluster", "status", "--json"]);
    assert_eq!((code, &status["safe"]), (1, &json!(false)), "{status}");
    let finding = status["findings"].to_string();
    assert!(
        finding.contains("tidings cluster schema --apply"),
        "{finding}"
    );
    let (code, _, errors) = run_with(&settings, &["serve"]);
    assert_ne!(code, 0);
    assert!(
        errors.contains("tidings cluster schema --apply"),
        "{errors}"
    );

    // A role without rights is told so; what is printed is what is applied.
    let (code, _, errors) = run_with(&settings, &["cluster", "schema", "--apply"]);
    assert_eq!(code, 1);
    assert!(errors.contains("permission denied"), "{errors}");
    let (code, printed, errors) = run_with(&settings, &["cluster", "schema", "--hub", "hub"]);
    assert_eq!(code, 0, "{errors}");
    server.sql(&printed);
    let (code, said, errors) = run_with(&owner, &["cluster", "schema", "--apply", "--hub", "hub"]);
    assert_eq!(code, 0, "{errors}");
    assert_eq!(said, "the schema tidings has version 1 now\n");

    let start = || {
        let hub = TestHub::serve(&settings);
        hub.wait_until_ready();
        hub
    };
    let (one, two) = (start(), start());
    let mut stream = two.subscribe(&format!("match={TOPIC}"));
    let token = token_for_all();
    let publish = |hub: &TestHub, data: &str| {
        let answer = hub.publish_as(&token, &[("topic", TOPIC), ("data", data)]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    };
    let first = publish(&one, "1");
    publish(&two, "2");
    assert_eq!(stream.data(2), ["1", "2"]);
    let request = Request::get(&format!("{HUB_PATH}?match={TOPIC}"));
    let mut resumed = one.subscribe_by(request.header("Last-Event-ID", &first));
    assert_eq!(resumed.data(1), ["2"]);

    // The role of the hubs reads no table.
    let reads = "SELECT has_table_privilege('hub', 'tidings.head', 'SELECT') OR \
                 has_table_privilege('hub', 'tidings.log', 'SELECT')";
    assert_eq!(server.sql(reads), "f");
    let (code, status) = asked(&settings, &["cluster", "status", "--json"]);
    assert_eq!((code, &status["log"]["last"]), (0, &json!(2)), "{status}");
    assert_eq!(status["hubs"].as_array().unwrap().len(), 2);

    // A later program has been here.
    server.sql("UPDATE tidings.schema_version SET version = 99");
    let (code, status) = asked(&settings, &["cluster", "status", "--json"]);
    let finding = status["findings"].to_string();
    assert_eq!(code, 1);
    assert!(finding.contains("version 99"), "{finding}");
    let (code, _, errors) = run_with(&owner, &["cluster", "schema", "--apply"]);
    assert_eq!(code, 1);
    assert!(
        errors.contains("Use the program of the newest hub"),
        "{errors}"
    );
}

/// The old hubs go on with it, so its version says nothing.
#[test]
fn on_the_schema_of_the_first_build_a_hub_does_not_start_and_names_the_command() {
    let server = Postgresql::start();
    server.sql(FIRST);
    let settings = format!("{}\nname = \"it\"", server.cluster("postgres"));
    let settings = member_of(&settings, "");
    let lacks = "it has no function inbox_next";
    for command in [&["serve"][..], &["doctor"], &["cluster", "status"]] {
        let (code, output, errors) = run_with(&settings, command);
        let said = format!("{output}{errors}");
        assert_ne!(code, 0, "{command:?}: {said}");
        assert!(said.contains(lacks), "{command:?}: {said}");
        assert!(
            said.contains("tidings cluster schema --apply"),
            "{command:?}: {said}"
        );
        assert!(!said.contains("waiting for the engine"), "{said}");
    }
    let (code, said, errors) = run_with(&settings, &["cluster", "schema", "--apply"]);
    assert_eq!(code, 0, "{errors}");
    assert_eq!(said, "the schema it has version 1 now\n");
    TestHub::serve(&settings).wait_until_ready();
}
