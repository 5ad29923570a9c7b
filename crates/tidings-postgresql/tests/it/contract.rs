//! The contract suite on a server, through poolers, and on the oldest server.

use tidings_contract::check_all;

use crate::harness::{Pooler, PostgresqlRig, Server, run};

#[test]
fn postgresql_keeps_the_contract() {
    let server = Server::start(&[]);
    let mut rig = PostgresqlRig::new(&server, server.options());
    run(check_all(&mut rig));
}

/// `cargo xtask deps` has it for this kind of machine alone.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn the_oldest_server_keeps_the_contract() {
    let server = Server::start_oldest();
    assert_eq!(server.sql("SHOW server_version"), "14.3");
    let mut rig = PostgresqlRig::new(&server, server.options());
    run(check_all(&mut rig));
}

/// Each call may run in another session, and notifications arrive past the pooler.
#[test]
fn a_pooler_of_transactions_keeps_the_contract() {
    let server = Server::start(&[]);
    let pooler = Pooler::start(&server, "transaction");
    let mut options = server.options();
    options.notify = Some(options.place);
    options.place = pooler.place();
    run(check_all(&mut PostgresqlRig::new(&server, options)));
}

#[test]
fn a_pooler_of_sessions_keeps_the_contract() {
    let server = Server::start(&[]);
    let pooler = Pooler::start(&server, "session");
    let mut options = server.options();
    options.place = pooler.place();
    run(check_all(&mut PostgresqlRig::new(&server, options)));
}
