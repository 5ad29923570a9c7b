//! A primary that Sentinels name: failover, and a primary that does not know that it is none.

use std::time::Instant;

use tidings_access::Login;
use tidings_cluster::engine::{
    Appended, BATCH_BYTES_MAX, Engine, EngineError, Path, Refusal, Seen, State, Tailed,
};
use tidings_contract::{Hub, Rig};
use tidings_core::Position;
use tidings_redis::Redis;

use crate::harness::{Kind, RedisRig, Sentinels, Server, options, run, until};

/// A primary takes writes only while a replica has answered within the last second.
const GUARDED: &[&str] = &[
    "--min-replicas-to-write",
    "1",
    "--min-replicas-max-lag",
    "1",
];

#[test]
fn a_hub_follows_a_failover_by_itself() {
    for kind in [Kind::Oldest, Kind::Redis, Kind::Valkey] {
        let mut sentinels = Sentinels::start(kind, GUARDED);
        let rig = rig(&sentinels);
        run(async {
            let mut hub = Hub::join(&rig, 1).await;
            for round in 0..20_u8 {
                hub.append(seen(0), &[&[round]]).await;
            }
            let old = sentinels.primary().unwrap();
            sentinels.server(old).kill();
            let killed = Instant::now();
            let batch = hub.batch(seen(0), &[(b"after", None)]);
            let last = until("an append after the failover", async || {
                match hub.engine.append(batch.clone()).await {
                    Ok(Appended::Taken { last, .. }) => Some(last),
                    Ok(other) => panic!("{other:?}"),
                    Err(_away) => None,
                }
            })
            .await;
            println!(
                "{kind:?}: first append {:?} after the kill",
                killed.elapsed()
            );
            let entries = hub.entries(1).await;
            assert_eq!(entries.len() as u64, last.get());
            assert_eq!(*entries[entries.len() - 1].bytes, *b"after");
            let tailed = hub.engine.tail(Position::ZERO, BATCH_BYTES_MAX).await;
            assert_eq!(tailed.unwrap(), Tailed::Entries(entries));
            assert_eq!(hub.line().await.last, last);
        });
    }
}

/// centrifugal/centrifugo#1189: after a failover, publishes went to the new primary and the reader
/// stayed with the old one.
///
/// Without `min-replicas-to-write` the old primary goes on for ten seconds. It is wrong, and cannot
/// be seen on its own connection: the probe asks the Sentinels, and closes the connections to the
/// old one. Prints then say that the lines are not the same.
#[test]
fn a_probe_notices_a_primary_that_was_replaced() {
    let mut sentinels = Sentinels::start(Kind::Redis, &[]);
    let rig = rig(&sentinels);
    run(async {
        let (mut stale, mut other) = (Hub::join(&rig, 1).await, Hub::join(&rig, 2).await);
        stale.append(seen(0), &[b"common"]).await;
        let old = sentinels.primary().unwrap();
        // The follower has its connection to the old one.
        tail(&stale, 0).await.unwrap();
        sentinels.server(old).pause();
        sentinels.wait_for_another(old);
        for path in [Path::Publish, Path::Tail, Path::Control] {
            other.engine.reset(path);
        }
        let line = other.line().await;
        assert_eq!(line.last, Position::new(1));
        other.append(seen(1), &[b"new", b"line"]).await;
        sentinels.server(old).resume();

        let lost = stale.append(seen(1), &[b"old line"]).await;
        assert!(matches!(lost, Appended::Taken { .. }), "{lost:?}");
        let followed = tail(&stale, 1).await.unwrap();
        assert_eq!(*followed[0].bytes, *b"old line");

        let line = stale.line().await;
        assert_eq!(
            line.last,
            Position::new(3),
            "the probe is answered by the new one"
        );
        let batch = stale.batch(seen(2), &[(b"more", None)]);
        let told = stale.engine.append(batch.clone()).await.unwrap_err();
        assert!(
            told.line().contains("another server now"),
            "{}",
            told.line()
        );
        assert!(!told.leaves_doubt());
        tail(&stale, 2).await.unwrap_err();

        let print = Seen {
            print: followed[0].print,
            ..seen(2)
        };
        let forked = Appended::Refused {
            why: Refusal::Forked,
            last: Position::new(3),
        };
        assert_eq!(stale.append(print, &[b"more"]).await, forked);
        let texts: Vec<_> = tail(&stale, 1).await.unwrap();
        assert_eq!(
            (&*texts[0].bytes, &*texts[1].bytes),
            (&b"new"[..], &b"line"[..])
        );
    });
}

/// With it, the old primary takes nothing once it has counted its replicas, which it does every
/// second.
#[test]
fn a_guarded_primary_that_was_replaced_takes_nothing() {
    let mut sentinels = Sentinels::start(Kind::Redis, GUARDED);
    let rig = rig(&sentinels);
    run(async {
        let mut stale = Hub::join(&rig, 1).await;
        stale.append(seen(0), &[b"common"]).await;
        let old = sentinels.primary().unwrap();
        sentinels.server(old).pause();
        sentinels.wait_for_another(old);
        let server = sentinels.server(old);
        server.resume();
        until("it has counted its replicas, or is one", async || {
            let info: String = server.ask(&["INFO", "replication"]);
            let counted = info.contains("min_slaves_good_slaves:0");
            (counted || info.contains("role:slave")).then_some(())
        })
        .await;
        let batch = stale.batch(seen(1), &[(b"old line", None)]);
        let refused = stale.engine.append(batch.clone()).await.unwrap_err();
        assert!(!refused.leaves_doubt(), "{}", refused.line());
        let answer = until("the new primary takes it", async || {
            stale.engine.append(batch.clone()).await.ok()
        })
        .await;
        let Appended::Taken { last, .. } = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(last, Position::new(2));
    });
}

/// Cut off from its replicas, a primary sees no closed connection: it counts those that have
/// answered within `min-replicas-max-lag`.
#[test]
fn a_primary_that_hears_of_no_replica_refuses() {
    for kind in [Kind::Oldest, Kind::Redis, Kind::Valkey] {
        let sentinels = Sentinels::start(kind, GUARDED);
        let rig = rig(&sentinels);
        run(async {
            let mut hub = Hub::join(&rig, 1).await;
            hub.append(seen(0), &[b"a"]).await;
            // Nobody is left to name another primary.
            let others = || sentinels.servers.iter().skip(1).chain(&sentinels.sentinels);
            others().for_each(Server::pause);
            let reason = until("it refuses", async || {
                let batch = hub.batch(seen(0), &[(b"b", None)]);
                match hub.engine.append(batch).await {
                    Ok(_taken) => None,
                    Err(error) => Some(error.line()),
                }
            })
            .await;
            assert!(reason.contains("NOREPLICAS"), "{reason}");
            others().for_each(Server::resume);
            until("it takes updates again", async || {
                let batch = hub.batch(seen(0), &[(b"c", None)]);
                hub.engine.append(batch).await.ok()
            })
            .await;
        });
    }
}

#[test]
fn a_minority_of_sentinels_is_not_believed() {
    let mut sentinels = Sentinels::start(Kind::Redis, &[]);
    let rig = rig(&sentinels);
    run(async {
        let mut hub = Hub::join(&rig, 1).await;
        hub.append(seen(0), &[b"a"]).await;
        for sentinel in &mut sentinels.sentinels[..2] {
            sentinel.kill();
        }
        let error = hub.engine.state().await.unwrap_err();
        assert!(
            matches!(error, EngineError::Unreachable { .. }),
            "{error:?}"
        );
        let words = "1 of 3 Sentinels answered and 1 of them name the same primary of \"hub\"";
        assert!(error.line().contains(words), "{}", error.line());
        // What is open goes on: the caller decides what a failed probe means.
        let answer = hub.append(seen(1), &[b"b"]).await;
        assert!(matches!(answer, Appended::Taken { .. }));
        hub.engine.reset(Path::Publish);
        let batch = hub.batch(seen(2), &[(b"c", None)]);
        hub.engine.append(batch).await.unwrap_err();
    });
}

/// The rules are those of `docs/formats/cluster-redis.md`.
#[test]
fn a_user_of_the_sentinels_needs_one_command() {
    let sentinels = Sentinels::start(Kind::Redis, &[]);
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    for sentinel in &sentinels.sentinels {
        let words = ["ACL", "SETUSER", "hub", "on", ">secret", "-@all", "+auth"];
        let words = [&words[..], &["+sentinel|get-master-addr-by-name"]].concat();
        let _ok: redis::Value = sentinel.ask(&words);
    }
    let mut options = options(sentinels.place());
    options.sentinel_login = Login::read(Some("hub"), Some(&password)).unwrap();
    let hub = Redis::new(options);
    run(async {
        assert!(matches!(hub.state().await, Ok(State::None)));
        for sentinel in &sentinels.sentinels {
            let words = ["ACL", "SETUSER", "hub", ">another", "<secret"];
            let _ok: redis::Value = sentinel.ask(&words);
        }
        let error = hub.state().await.unwrap_err();
        assert!(
            error.line().contains("0 of 3 Sentinels"),
            "{}",
            error.line()
        );
    });
}

async fn tail(hub: &Hub, after: u64) -> Result<Vec<tidings_cluster::engine::Entry>, EngineError> {
    let tailed = hub
        .engine
        .tail(Position::new(after), BATCH_BYTES_MAX)
        .await?;
    let Tailed::Entries(entries) = tailed else {
        panic!("{tailed:?}");
    };
    Ok(entries)
}

fn rig(sentinels: &Sentinels) -> impl Rig + use<> {
    RedisRig::new(options(sentinels.place()), |_key| {
        unreachable!("no faults here")
    })
}

fn seen(position: u64) -> Seen {
    Seen {
        position: Position::new(position),
        print: None,
    }
}
