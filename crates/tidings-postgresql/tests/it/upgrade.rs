//! A database with the schema of an earlier build is brought up to this one, while hubs run.

use crate::harness::{RelayHub, Server, hubs, publish_by_turns, wait_for_equal};

/// The schema of the cluster `it` as the first build made it, without an inbox.
const FIRST: &str = include_str!("format/schema-1.sql");

/// What a hub of that build calls, with the columns of the answers that it reads.
const CALLS: &str = "SELECT p.oid::regprocedure || ' ' || pg_get_function_result(p.oid) \
    FROM pg_proc p WHERE pronamespace = 'it'::regnamespace AND prosecdef ORDER BY 1";

/// The calls of a hub have not changed since, so that these hubs stand for those of the first build: they
/// publish before, during and after the upgrade, and see one line.
#[test]
fn hubs_keep_working_while_the_schema_of_the_first_build_is_upgraded() {
    let server = Server::start(&[]);
    server.sql(FIRST);
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
}
