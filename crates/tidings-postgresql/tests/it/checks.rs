//! What is found on a server before hubs use it.

use tidings_cluster::Epoch;
use tidings_cluster::engine::Engine as _;
use tidings_cluster::safety::{Inspect as _, Severity};
use tidings_contract::proposal;
use tidings_postgresql::{Acknowledge, Options, Postgresql, Problem};

use crate::harness::{Pooler, Server, run};

#[test]
fn what_makes_a_server_unsafe_is_found() {
    let server = Server::start(&[]);
    let name = || "it".to_owned();
    check(
        server.options(),
        &[Problem::NeverSynced, Problem::NoSchema { name: name() }],
    );
    server.make_schema("it");
    check(server.options(), &[Problem::NeverSynced]);

    // Seen in the hub's session, wherever it is set.
    for (setting, problem) in [
        (
            "synchronous_commit = off",
            Problem::AnswersEarly {
                setting: "off".to_owned(),
            },
        ),
        (
            "default_transaction_isolation = 'repeatable read'",
            Problem::Isolation {
                level: "repeatable read".to_owned(),
            },
        ),
    ] {
        server.sql(&format!("ALTER ROLE postgres SET {setting}"));
        let mut options = server.options();
        options.name = "it".parse().unwrap();
        let problems = problems(options, None);
        assert!(problems.contains(&problem), "{problems:?}");
        server.sql("ALTER ROLE postgres RESET ALL");
    }
    server.sql("ALTER SYSTEM SET full_page_writes = off");
    server.sql("SELECT pg_reload_conf()");
    assert!(problems(server.options(), None).contains(&Problem::TornPages));

    let mut options = server.options();
    options.acknowledge = Acknowledge::Replicated;
    assert!(problems(options, None).contains(&Problem::NoStandby));

    server.sql("CREATE ROLE stranger LOGIN");
    let mut options = server.options();
    options.login = tidings_access::Login::without_password("stranger");
    assert!(problems(options, None).contains(&Problem::NotGranted { name: name() }));

    server.sql("UPDATE it.schema_version SET version = 0");
    let old = Problem::OldSchema {
        name: name(),
        found: 0,
    };
    assert!(problems(server.options(), None).contains(&old));
    server.sql("UPDATE it.schema_version SET version = 7");
    let new = Problem::NewSchema {
        name: name(),
        found: 7,
    };
    assert!(problems(server.options(), None).contains(&new));
}

#[test]
fn another_cluster_under_the_name_is_found() {
    let server = Server::start(&[]);
    server.make_schema("it");
    run(async {
        let engine = Postgresql::new(server.options());
        engine.init(proposal(1)).await.unwrap();
    });
    let other = Problem::OtherCluster {
        name: "it".to_owned(),
    };
    assert!(!problems(server.options(), proposal(1).secret).contains(&other));
    assert!(problems(server.options(), proposal(2).secret).contains(&other));
    server.sql("DELETE FROM it.head; SELECT it.begin_segment(0, 1, NULL, 0, 0)");
    let half = Problem::Half {
        name: "it".to_owned(),
    };
    assert!(problems(server.options(), None).contains(&half));
}

#[test]
fn a_pooler_that_swallows_notifications_is_found() {
    let server = Server::start(&[]);
    server.make_schema("it");
    let pooler = Pooler::start(&server, "transaction");
    let not_woken = |problems: &[Problem]| {
        let not_woken = |problem: &Problem| matches!(problem, Problem::NotWoken { .. });
        problems.iter().any(not_woken)
    };
    let mut options = server.options();
    options.place = pooler.place();
    assert!(not_woken(&problems(options.clone(), None)));
    options.notify = Some(server.place());
    assert!(!not_woken(&problems(options, None)));
}

#[test]
fn standbys_are_looked_at() {
    let primary = Server::start(&[]);
    primary.make_schema("it");
    let standby = primary.start_standby(&[]);
    let mut options = primary.options();
    options.read = Some(standby.place());
    let look = |options: &Options| {
        let engine = Postgresql::new(options.clone());
        let mut found = None;
        run(async {
            found = Some(engine.inspect_settings().await.unwrap());
        });
        found.unwrap()
    };
    let findings = look(&options);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(
        findings[0].problem.contains("every 5000 ms"),
        "{findings:?}"
    );
    assert_eq!(findings[0].severity, Severity::Warn);
    standby.sql("ALTER SYSTEM SET wal_retrieve_retry_interval = '200ms'");
    standby.sql("SELECT pg_reload_conf()");
    while !look(&options).is_empty() {}

    // A standby alone is nowhere to publish.
    let mut options = standby.options();
    options.name = "it".parse().unwrap();
    run(async {
        let error = Postgresql::new(options).inspect(None).await.unwrap_err();
        assert!(error.line().contains("is a standby"), "{}", error.line());
    });
}

#[track_caller]
pub(crate) fn check(options: Options, expected: &[Problem]) {
    assert_eq!(problems(options, None), expected);
}

fn problems(options: Options, history: Option<Epoch>) -> Vec<Problem> {
    let engine = Postgresql::new(options);
    let mut problems = None;
    run(async {
        problems = Some(engine.problems(history).await.unwrap());
    });
    problems.unwrap()
}
