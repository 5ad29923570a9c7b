//! The contract suite on one server and on three, and on the oldest server.

use tidings_contract::check_all;

use crate::harness::{NatsRig, Servers, patient_options, run};

#[test]
fn one_server_keeps_the_contract() {
    check(&Servers::start(1));
}

#[test]
fn three_servers_keep_the_contract() {
    check(&Servers::start(3));
}

#[test]
fn the_oldest_server_keeps_the_contract() {
    check(&Servers::start_oldest());
}

fn check(servers: &Servers) {
    run(check_all(&mut NatsRig::new(patient_options(servers))));
}
