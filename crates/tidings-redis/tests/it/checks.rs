//! What makes a server unsafe is found on real servers, and gone after the line that is said.

use redis::Value;
use tidings_cluster::Epoch;
use tidings_cluster::safety::{Inspect, Severity};
use tidings_contract::Hub;
use tidings_redis::{Acknowledge, Options, Problem, Redis, Unguarded};

use crate::harness::{Kind, Nodes, RedisRig, Sentinels, Server, options, run, wait_until};

#[test]
fn settings_that_lose_updates_are_found() {
    for kind in [Kind::Oldest, Kind::Redis, Kind::Valkey] {
        let server = Server::start(kind);
        let options = options(server.place());
        assert_eq!(problems(&options), [(Problem::Forgets, Severity::Warn)]);
        let _ok: Value = server.ask(&["CONFIG", "SET", "appendonly", "yes"]);
        assert_eq!(problems(&options), []);

        let _ok: Value = server.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
        let policy = "allkeys-lru".to_owned();
        let found = (Problem::Evicts { policy }, Severity::Refuse);
        assert_eq!(problems(&options), [found]);
        follow_the_remedy(&server, "CONFIG SET maxmemory-policy noeviction");

        let _ok: Value = server.ask(&["CONFIG", "SET", "maxmemory", "20mb"]);
        let found = Problem::SmallMemory {
            maxmemory_bytes: 20 << 20,
            window_bytes: 16 << 20,
        };
        assert_eq!(problems(&options), [(found, Severity::Warn)]);
    }
}

#[test]
fn replicas_without_a_guard_are_found() {
    for kind in [Kind::Oldest, Kind::Redis, Kind::Valkey] {
        check_replicas(kind);
    }
}

fn check_replicas(kind: Kind) {
    let primary = Server::start_with(kind, &["--appendonly", "yes"]);
    let port = primary.port.to_string();
    let replica = Server::start_with(kind, &["--replicaof", "127.0.0.1", &port]);
    wait_until("the replica is connected", || {
        let info: String = primary.ask(&["INFO", "replication"]);
        info.contains("state=online").then_some(())
    });
    let mut options = options(primary.place());
    let unguarded = Problem::Unguarded { replicas: 1 };
    assert_eq!(problems(&options), [(unguarded.clone(), Severity::Refuse)]);
    options.unguarded = Unguarded::Accept;
    assert_eq!(problems(&options), [(unguarded, Severity::Warn)]);
    let _ok: Value = primary.ask(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    assert_eq!(problems(&options), []);

    options.acknowledge = Acknowledge::Replicated { replicas: 2 };
    let found = Problem::TooFewReplicas {
        wanted: 2,
        connected: 1,
    };
    assert_eq!(problems(&options), [(found, Severity::Refuse)]);

    let found = problems(&crate::harness::options(replica.place()));
    let primary = "127.0.0.1".to_owned();
    assert!(found.contains(&(Problem::Replica { primary }, Severity::Refuse)));
}

#[test]
fn an_address_of_the_wrong_kind_is_found() {
    let sentinels = Sentinels::start(Kind::Redis, &["--appendonly", "yes"]);
    let found = problems(&options(sentinels.sentinels[0].place()));
    assert_eq!(found, [(Problem::Sentinel, Severity::Refuse)]);
    let found = problems(&options(sentinels.place()));
    assert_eq!(
        found,
        [(Problem::Unguarded { replicas: 2 }, Severity::Refuse)]
    );

    let nodes = Nodes::start(Kind::Redis, "{t:it}:log");
    let owner = nodes.owner("{t:it}:log");
    let found = problems(&options(nodes.nodes[owner].place()));
    assert!(found.contains(&(Problem::ClusterNode, Severity::Refuse)));
    let found = problems(&options(nodes.place()));
    assert!(!found.contains(&(Problem::ClusterNode, Severity::Refuse)));
}

#[test]
fn two_clusters_under_one_name_are_found() {
    let server = Server::start_with(Kind::Redis, &["--appendonly", "yes"]);
    let options = options(server.place());
    let rig = RedisRig::new(options.clone(), |_key| server.connection());
    run(async {
        let mut hub = Hub::join(&rig, 1).await;
        let secret = hub.line().await.secret;
        let engine = Redis::new(options.clone());
        assert_eq!(engine.problems(Some(secret)).await.unwrap(), []);
        let other = Some(Epoch::new([9; 32]));
        let problems = engine.problems(other).await.unwrap();
        let name = "it".to_owned();
        assert_eq!(problems, [Problem::OtherCluster { name: name.clone() }]);
        let found = engine.inspect(other).await.unwrap();
        assert_eq!(found[0].severity, Severity::Refuse);
        assert!(found[0].to_string().contains("choose another name"));

        let seen = tidings_cluster::engine::Seen {
            position: tidings_core::Position::ZERO,
            print: None,
        };
        hub.append(seen, &[b"a"]).await;
        let _ok: Value = server.ask(&["DEL", "{t:it}:head"]);
        let problems = engine.problems(None).await.unwrap();
        assert_eq!(problems, [Problem::Half { name }]);
    });
}

/// Sends the line that a finding says.
fn follow_the_remedy(server: &Server, remedy: &str) {
    let words: Vec<&str> = remedy.split(' ').collect();
    let _ok: Value = server.ask(&words);
}

fn problems(options: &Options) -> Vec<(Problem, Severity)> {
    let engine = Redis::new(options.clone());
    let mut found = Vec::new();
    run(async {
        let problems = engine.problems(None).await.unwrap();
        found.extend(problems.into_iter().map(|one| {
            let severity = engine.severity(&one);
            (one, severity)
        }));
    });
    found
}
