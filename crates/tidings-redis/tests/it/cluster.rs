//! A Redis Cluster: one slot, whose owner is killed.

use std::time::Instant;

use tidings_cluster::engine::{Appended, BATCH_BYTES_MAX, EngineError, Path, Seen, Tailed};
use tidings_contract::Hub;
use tidings_core::Position;

use crate::harness::{Kind, Nodes, RedisRig, options, run, until};

const LOG: &str = "{t:it}:log";

#[test]
fn a_hub_finds_the_replica_that_took_the_slot_over() {
    for kind in [Kind::Redis, Kind::Valkey] {
        let mut nodes = Nodes::start(kind, LOG);
        let rig = RedisRig::new(options(nodes.place()), |_key| {
            unreachable!("no faults here")
        });
        run(async {
            let mut hub = Hub::join(&rig, 1).await;
            hub.append(seen(), &[b"a", b"b"]).await;
            let owner = nodes.owner(LOG);
            until("the replica has it", async || {
                let info: String = nodes.nodes[owner].ask(&["INFO", "replication"]);
                let offset = info.split("master_repl_offset:").nth(1)?.lines().next()?;
                info.contains(&format!("offset={offset},")).then_some(())
            })
            .await;
            nodes.nodes[owner].kill();
            let killed = Instant::now();
            let batch = hub.batch(seen(), &[(b"after", None)]);
            let mut refused = 0;
            let last = until("an append at the replica", async || {
                match hub.engine.append(batch.clone()).await {
                    Ok(Appended::Taken { last, .. }) => return Some(last),
                    Ok(other) => panic!("{other:?}"),
                    Err(EngineError::Refused { .. }) => refused += 1,
                    Err(_away) => {}
                }
                None
            })
            .await;
            println!(
                "{kind:?}: first append {:?} after the kill",
                killed.elapsed()
            );
            assert_eq!(last, Position::new(3));
            for path in [Path::Tail, Path::Control] {
                hub.engine.reset(path);
            }
            let tailed = hub.engine.tail(Position::ZERO, BATCH_BYTES_MAX).await;
            let Ok(Tailed::Entries(entries)) = tailed else {
                panic!("{tailed:?}");
            };
            assert_eq!(entries.len(), 3);
            assert_eq!(hub.line().await.last, last);
        });
    }
}

/// An operator moved the slot to another node.
#[test]
fn a_slot_that_was_moved_is_found_again() {
    let nodes = Nodes::start(Kind::Redis, LOG);
    let rig = RedisRig::new(options(nodes.place()), |_key| {
        unreachable!("no faults here")
    });
    run(async {
        let mut hub = Hub::join(&rig, 1).await;
        let from = nodes.owner(LOG);
        let to = (from + 1) % 3;
        let id: String = nodes.nodes[to].ask(&["CLUSTER", "MYID"]);
        let slot: u64 = nodes.nodes[to].ask(&["CLUSTER", "KEYSLOT", LOG]);
        let slot = slot.to_string();
        // An empty slot: the line is made anew there, by the hub's own start.
        for key in ["{t:it}:head", LOG] {
            let _ok: redis::Value = nodes.nodes[from].ask(&["DEL", key]);
        }
        for node in [to, from] {
            let words = ["CLUSTER", "SETSLOT", &slot, "NODE", &id];
            let _ok: redis::Value = nodes.nodes[node].ask(&words);
        }
        let batch = hub.batch(seen(), &[(b"a", None)]);
        let moved = hub.engine.append(batch.clone()).await.unwrap_err();
        assert!(moved.line().contains("MOVED"), "{}", moved.line());
        assert!(!moved.leaves_doubt());
        until("the new owner is known", async || {
            let init = hub.engine.init(tidings_contract::proposal(1));
            init.await.ok()
        })
        .await;
        let answer = hub.engine.append(batch).await.unwrap();
        assert!(matches!(answer, Appended::Taken { .. }), "{answer:?}");
        assert_eq!(nodes.owner(LOG), to);
    });
}

fn seen() -> Seen {
    Seen {
        position: Position::ZERO,
        print: None,
    }
}
