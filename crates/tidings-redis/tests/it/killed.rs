//! A server that is killed again and again while hubs append: what was acknowledged is there, once.

use std::time::Duration;

use tidings_contract::killed::check_kills;

use crate::harness::{Kind, RedisRig, Server, options};

const KILLS: u64 = 12;

#[test]
fn what_was_acknowledged_survives_kills_once() {
    for kind in [Kind::Redis, Kind::Valkey] {
        // With `everysec` a server holds writes back while a sync runs, for up to two seconds, and
        // answers all the same: a kill of the process alone then loses what was acknowledged.
        let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
        let mut server = Server::start_with(kind, &arguments);
        let mut options = options(server.place());
        options.timeouts.connect = Duration::from_millis(500);
        let rig = RedisRig::new(options, |_key| unreachable!("no faults here"));
        let seen = check_kills(&rig, KILLS, || {
            server.kill();
            server.restart();
        });
        assert!(seen.doubts > 0 && seen.again > 0, "nothing shown: {seen:?}");
    }
}
