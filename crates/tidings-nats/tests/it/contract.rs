//! The contract suite on one server and on three.

use tidings_contract::check_all;

use crate::harness::{NatsRig, Servers, options, run};

#[test]
fn one_server_keeps_the_contract() {
    let servers = Servers::start(1);
    run(check_all(&mut NatsRig::new(options(&servers))));
}

#[test]
fn three_servers_keep_the_contract() {
    let servers = Servers::start(3);
    run(check_all(&mut NatsRig::new(options(&servers))));
}
