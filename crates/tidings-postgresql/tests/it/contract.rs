//! The contract suite on each kind of set-up.

use tidings_contract::check_all;

use crate::harness::{PostgresqlRig, Server, run};

#[test]
fn postgresql_keeps_the_contract() {
    let server = Server::start(&[]);
    let mut rig = PostgresqlRig::new(&server, server.options());
    run(check_all(&mut rig));
}
