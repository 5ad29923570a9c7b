//! The contract suite on each kind of server and topology.

use tidings_contract::check_all;

use crate::harness::{Kind, Nodes, RedisRig, Sentinels, Server, options, run};

/// No script, and nothing beside them, has a command that only newer servers have.
#[test]
fn the_oldest_redis_keeps_the_contract() {
    check_server(Kind::Oldest);
}

#[test]
fn redis_keeps_the_contract() {
    check_server(Kind::Redis);
}

#[test]
fn valkey_keeps_the_contract() {
    check_server(Kind::Valkey);
}

#[test]
fn a_sentinel_trio_keeps_the_contract() {
    let sentinels = Sentinels::start(Kind::Redis, &["--min-replicas-to-write", "1"]);
    let rig = RedisRig::new(options(sentinels.place()), |_key| {
        sentinels.servers[0].connection()
    });
    check(rig);
}

#[test]
fn a_redis_cluster_keeps_the_contract() {
    let nodes = Nodes::start(Kind::Redis, "{t:it}:log");
    let rig = RedisRig::new(options(nodes.place()), |key| nodes.connection_to(key));
    check(rig);
}

#[test]
fn a_valkey_cluster_keeps_the_contract() {
    let nodes = Nodes::start(Kind::Valkey, "{t:it}:log");
    let rig = RedisRig::new(options(nodes.place()), |key| nodes.connection_to(key));
    check(rig);
}

fn check_server(kind: Kind) {
    let server = Server::start(kind);
    check(RedisRig::new(options(server.place()), |_key| {
        server.connection()
    }));
}

fn check(mut rig: RedisRig<'_>) {
    run(check_all(&mut rig));
}
