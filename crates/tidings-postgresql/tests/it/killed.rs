//! A server that is killed again and again while hubs append: what was acknowledged is there, once.

use std::time::Duration;

use tidings_contract::Rig as _;
use tidings_contract::killed::check_kills;

use crate::harness::{PostgresqlRig, Server};

const KILLS: u64 = 6;

#[test]
fn what_was_acknowledged_survives_kills_once() {
    let mut server = Server::start(&[]);
    let mut options = server.options();
    options.timeouts.connect = Duration::from_millis(500);
    let mut rig = PostgresqlRig::new(&server, options);
    rig.fresh();
    let seen = check_kills(&rig, KILLS, || {
        server.kill_all();
        server.restart();
    });
    assert!(seen.doubts > 0, "nothing shown: {seen:?}");
}
