//! What only this engine has: keys, scripts, replies of the server, a server that dies.

use std::time::{Duration, Instant};

use redis::Value;
use tidings_cluster::engine::{
    Again, Append, Appended, BATCH_BYTES_MAX, EngineError, Refusal, Seen, State, Tailed,
};
use tidings_contract::Hub;
use tidings_core::Position;
use tidings_redis::Acknowledge;

use crate::harness::{Kind, RedisRig, Server, options, run, until};

#[test]
fn a_key_of_another_type_leaves_nothing_behind() {
    on_each(async |server, mut hub| {
        append(&mut hub, &[b"a"]).await.unwrap();
        let _ok: Value = server.ask(&["HSET", "{t:it}:key:bad", "a", "b"]);
        let batch = hub.batch(seen(1), &[(b"b", None), (b"c", Some("bad"))]);
        let error = hub.engine.append(batch.clone()).await.unwrap_err();
        assert!(matches!(error, EngineError::Foreign { .. }), "{error:?}");
        assert_eq!(hub.entries(1).await.len(), 1);
        assert_eq!(hub.line().await.last, Position::new(1));
        let _ok: Value = server.ask(&["DEL", "{t:it}:key:bad"]);
        taken(&hub.engine.append(batch).await.unwrap(), 3);
    });
}

#[test]
fn scripts_that_the_server_forgot_are_sent_again() {
    on_each(async |server, mut hub| {
        append(&mut hub, &[b"a"]).await.unwrap();
        let _ok: Value = server.ask(&["SCRIPT", "FLUSH"]);
        taken(&append(&mut hub, &[b"b"]).await.unwrap(), 2);
        assert_eq!(hub.entries(1).await.len(), 2);
    });
}

#[test]
fn a_server_without_memory_is_full() {
    on_each(async |server, mut hub| {
        append(&mut hub, &[b"a"]).await.unwrap();
        let _ok: Value = server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
        let full = Appended::Refused {
            why: Refusal::Full,
            last: Position::new(1),
        };
        assert_eq!(append(&mut hub, &[b"b"]).await.unwrap(), full);
        let _ok: Value = server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
        taken(&append(&mut hub, &[b"c"]).await.unwrap(), 2);
    });
}

/// The probe writes: it does not trust a server that takes no writes.
#[test]
fn a_server_without_its_replicas_refuses() {
    on_each(async |server, mut hub| {
        append(&mut hub, &[b"a"]).await.unwrap();
        let _ok: Value = server.ask(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
        assert_refused(append(&mut hub, &[b"b"]).await, "min-replicas-to-write");
        assert_refused(hub.engine.state().await, "NOREPLICAS");
        assert_eq!(hub.entries(1).await.len(), 1);
    });
}

#[test]
fn a_replica_refuses() {
    on_each(async |server, mut hub| {
        append(&mut hub, &[b"a"]).await.unwrap();
        let _ok: Value = server.ask(&["REPLICAOF", "127.0.0.1", "1"]);
        assert_refused(append(&mut hub, &[b"b"]).await, "READONLY");
        assert_refused(hub.engine.state().await, "it is a replica");
    });
}

#[test]
fn a_line_of_another_version_is_not_touched() {
    on_each(async |server, mut hub| {
        append(&mut hub, &[b"a"]).await.unwrap();
        let _ok: Value = server.ask(&["HSET", "{t:it}:head", "v", "2"]);
        for error in [
            append(&mut hub, &[b"b"]).await.unwrap_err(),
            hub.engine.state().await.unwrap_err(),
            hub.engine
                .init(tidings_contract::proposal(2))
                .await
                .unwrap_err(),
        ] {
            assert!(error.line().contains("version \"2\""), "{}", error.line());
        }
        assert_eq!(server.ask::<u64>(&["XLEN", "{t:it}:log"]), 1);
    });
}

#[test]
fn entries_of_another_program_are_an_error() {
    on_each(async |server, mut hub| {
        append(&mut hub, &[b"a"]).await.unwrap();
        for (id, fields) in [
            ("2-0", ["temperature", "21"].as_slice()),
            ("2-1", &["h", "1", "u", "x"]),
            ("3-0", &["h", "2 something newer", "u", "x"]),
        ] {
            let words = [&["XADD", "{t:it}:log", id], fields].concat();
            let _id: Value = server.ask(&words);
            let tailed = hub.engine.tail(Position::new(1), BATCH_BYTES_MAX).await;
            let error = tailed.unwrap_err();
            assert!(matches!(error, EngineError::Foreign { .. }), "{error:?}");
            hub.engine.reset(tidings_cluster::engine::Path::Tail);
        }
    });
}

#[test]
fn a_follower_waits_as_long_as_it_is_told() {
    on_each(async |_server, hub| {
        let start = Instant::now();
        let tailed = hub.engine.tail(Position::ZERO, BATCH_BYTES_MAX).await;
        assert_eq!(tailed.unwrap(), Tailed::Entries(Vec::new()));
        assert!(start.elapsed() >= Duration::from_millis(900));
    });
}

#[test]
fn a_server_that_is_killed_between_calls_leaves_no_doubt() {
    on_each(async |server, mut hub| {
        append(&mut hub, &[b"a"]).await.unwrap();
        server.kill();
        let closed = append(&mut hub, &[b"b"]).await.unwrap_err();
        assert!(!closed.leaves_doubt(), "{}", closed.line());
        assert!(closed.line().contains("has closed"), "{}", closed.line());
        let gone = append(&mut hub, &[b"b"]).await.unwrap_err();
        assert!(!gone.leaves_doubt(), "{}", gone.line());
        assert!(gone.line().contains("refused"), "{}", gone.line());
        server.restart();
        assert_eq!(hub.engine.state().await.unwrap(), State::None);
        let none = Appended::Refused {
            why: Refusal::None,
            last: Position::ZERO,
        };
        assert_eq!(append(&mut hub, &[b"c"]).await.unwrap(), none);
    });
}

#[test]
fn a_server_that_does_not_answer_leaves_doubt() {
    on_each(async |server, mut hub| {
        let batch = hub.batch(seen(0), &[(b"a", None)]);
        // The script is known, so that the batch itself is what waits.
        let first = hub.batch(seen(0), &[(b"first", None)]);
        hub.engine.append(first).await.unwrap();
        server.pause();
        let late = hub.engine.append(batch.clone()).await.unwrap_err();
        assert!(late.leaves_doubt(), "{}", late.line());
        server.resume();
        let answer = hub.engine.append(batch).await.unwrap();
        let Appended::Taken { last, again, .. } = answer else {
            panic!("{answer:?}");
        };
        assert_eq!((last, again), (Position::new(2), Again::Yes));
        assert_eq!(hub.entries(1).await.len(), 2);
    });
}

/// A server that hangs, or a network that swallows everything, must not hold a follower for ever.
#[test]
fn a_follower_of_a_server_that_does_not_answer_is_let_go() {
    on_each(async |server, mut hub| {
        append(&mut hub, &[b"a"]).await.unwrap();
        hub.engine
            .tail(Position::ZERO, BATCH_BYTES_MAX)
            .await
            .unwrap();
        server.pause();
        let late = hub.engine.tail(Position::new(1), BATCH_BYTES_MAX).await;
        assert!(late.unwrap_err().line().contains("did not answer within"));
        server.resume();
        append(&mut hub, &[b"b"]).await.unwrap();
        let tailed = hub.engine.tail(Position::new(1), BATCH_BYTES_MAX).await;
        let Ok(Tailed::Entries(entries)) = tailed else {
            panic!("{tailed:?}");
        };
        assert_eq!(*entries[0].bytes, *b"b");
    });
}

/// `WAIT` after a repetition must cover the batch, not only what this connection wrote.
#[test]
fn an_answer_waits_for_replicas() {
    let server = Server::start(Kind::Redis);
    let mut options = options(server.place());
    options.acknowledge = Acknowledge::Replicated { replicas: 1 };
    let rig = RedisRig::new(options, |_key| server.connection());
    run(async {
        let mut hub = Hub::join(&rig, 1).await;
        let batch = hub.batch(seen(0), &[(b"a", None)]);
        let alone = hub.engine.append(batch.clone()).await.unwrap_err();
        assert!(alone.leaves_doubt());
        assert!(alone.line().contains("0 of 1 replicas"), "{}", alone.line());
        let port = server.port.to_string();
        let arguments = ["--replicaof", "127.0.0.1", &port];
        let replica = Server::start_with(Kind::Redis, &arguments);
        let answer = until("the replica has the batch", async || {
            hub.engine.reset(tidings_cluster::engine::Path::Publish);
            hub.engine.append(batch.clone()).await.ok()
        })
        .await;
        assert!(matches!(
            answer,
            Appended::Taken {
                again: Again::Yes,
                ..
            }
        ));
        assert_eq!(replica.ask::<u64>(&["XLEN", "{t:it}:log"]), 1);
        replica.pause();
        let late = append(&mut hub, &[b"b"]).await.unwrap_err();
        assert!(late.leaves_doubt(), "{}", late.line());
        replica.resume();
    });
}

/// Runs a test on each kind of server, with a hub that has joined.
fn on_each(test: impl AsyncFn(&mut Server, Hub)) {
    for kind in [Kind::Oldest, Kind::Redis, Kind::Valkey] {
        let mut server = Server::start(kind);
        let options = options(server.place());
        run(async {
            let rig = RedisRig::new(options, |_key| unreachable!("no faults here"));
            let hub = Hub::join(&rig, 1).await;
            test(&mut server, hub).await;
        });
    }
}

async fn append(hub: &mut Hub, items: &[&[u8]]) -> Result<Appended, EngineError> {
    let items: Vec<_> = items.iter().map(|bytes| (*bytes, None)).collect();
    let batch: Append = hub.batch(seen(0), &items);
    hub.engine.append(batch).await
}

fn seen(position: u64) -> Seen {
    Seen {
        position: Position::new(position),
        print: None,
    }
}

#[track_caller]
fn taken(answer: &Appended, last: u64) {
    let Appended::Taken { last: found, .. } = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(*found, Position::new(last));
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(answer: Result<T, EngineError>, words: &str) {
    let error = answer.unwrap_err();
    assert!(matches!(error, EngineError::Refused { .. }), "{error:?}");
    assert!(error.line().contains(words), "{}", error.line());
}
