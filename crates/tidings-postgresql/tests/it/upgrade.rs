//! A database with the schema of an earlier build is brought up to this one, while hubs run.

use tidings_access::Login;
use tidings_postgresql::Problem;

use crate::checks::check;
use crate::harness::server::make_schema_for;
use crate::harness::{RelayHub, Server, hubs, publish_by_turns, wait_for_equal};

/// The schema of the cluster `it` as the first build made it, without an inbox.
const FIRST: &str = include_str!("format/schema-1.sql");

/// As a later build made it, with an inbox whose rows hubs name by their ids.
const OF_IDS: &str = include_str!("format/schema-1-ids.sql");

/// What a hub of such a build calls, with the columns of the answers that it reads.
const CALLS: &str = "SELECT p.oid::regprocedure || ' ' || pg_get_function_result(p.oid) \
    FROM pg_proc p WHERE pronamespace = 'it'::regnamespace AND prosecdef ORDER BY 1";

/// The calls of a hub have not changed since, so that these hubs stand for those of the first build: they
/// publish before, during and after the upgrade, and see one line.
#[test]
fn hubs_keep_working_while_the_schema_of_the_first_build_is_upgraded() {
    check_upgrade(FIRST);
}

#[test]
fn hubs_keep_working_while_the_schema_with_an_inbox_of_ids_is_upgraded() {
    let server = check_upgrade(OF_IDS);
    // A hub of that build, which read rows before the upgrade, and removes them after it.
    server.sql("SELECT it.publish('https://example.com/orders', 'sold again')");
    let next = "SELECT data FROM it.inbox_next('{1}', 0, '{}', 512, 1048576, true)";
    assert_eq!(server.sql(next), "sold again");
    server.sql("SELECT it.inbox_done('{2}')");
    assert_eq!(server.sql("SELECT count(*) FROM it.inbox"), "0");
    let key =
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'inbox_refused_pkey'";
    assert_eq!(server.sql(key), "PRIMARY KEY (id, key)");
}

#[track_caller]
fn check_upgrade(earlier: &str) -> Server {
    let server = Server::start(&[]);
    server.sql(earlier);
    let calls = server.sql(CALLS);
    let old = hubs(&server.options());
    publish_by_turns(&old, 0..40);
    wait_for_equal(&old, 40);
    let epoch = server.sql("SELECT epoch, secret FROM it.head");

    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| publish_by_turns(&old, 40..240));
        server.make_schema("it");
        publishing.join().unwrap();
    });
    wait_for_equal(&old, 240);
    assert_eq!(server.sql("SELECT epoch, secret FROM it.head"), epoch);
    assert_eq!(
        server.sql("SELECT count(*), count(DISTINCT origin) FROM it.log"),
        "240|240"
    );
    let now = server.sql(CALLS);
    for call in calls.lines() {
        assert!(now.lines().any(|line| line == call), "{call} is gone");
    }

    // What came with later builds is there too.
    server.sql("SELECT it.publish('https://example.com/orders', 'sold')");
    assert_eq!(server.sql("SELECT data FROM it.inbox"), "sold");
    old.into_iter().for_each(RelayHub::stop);
    server
}

/// A hub of this build is told what to do: it would find out at its first look into the inbox.
#[test]
fn a_new_hub_is_told_that_the_schema_is_of_the_first_build() {
    check_told(FIRST);
}

#[test]
fn a_new_hub_is_told_that_the_schema_has_an_inbox_of_ids() {
    check_told(OF_IDS);
}

#[track_caller]
fn check_told(earlier: &str) {
    let server = Server::start(&[]);
    server.sql(earlier);
    let name = || "it".to_owned();
    let lacks = Problem::Lacks {
        name: name(),
        function: "inbox_next(bigint[], uuid[], uuid[], text, bigint, integer, bigint, boolean)"
            .to_owned(),
    };
    assert_eq!(lacks.remedy(), "tidings cluster schema --apply");
    check(server.options(), &[Problem::NeverSynced, lacks]);

    // The owner upgrades it, and forgets the role of the hubs.
    server.sql("CREATE ROLE hub LOGIN");
    server
        .sql("GRANT USAGE ON SCHEMA it TO hub; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA it TO hub");
    server.make_schema("it");
    let mut options = server.options();
    options.login = Login::without_password("hub");
    check(
        options.clone(),
        &[Problem::NeverSynced, Problem::NotGranted { name: name() }],
    );
    make_schema_for(server.port, "it", "hub");
    check(options, &[Problem::NeverSynced]);
    let earlier = "SELECT has_function_privilege('hub', 'it.inbox_done(bigint[])', 'EXECUTE')";
    assert_eq!(server.sql(earlier), "t", "hubs of an earlier build go on");
}
