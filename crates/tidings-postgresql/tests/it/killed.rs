//! A server that is killed again and again while hubs append: what was acknowledged is there, once.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tidings_cluster::engine::{Appended, EngineError, Origin, Place, Seen};
use tidings_cluster::link_sha256;
use tidings_contract::{Hub, Rig as _};
use tidings_core::{Digest, Position};

use crate::harness::{PostgresqlRig, Server, run, until, wait_until};

const KILLS: u64 = 6;
/// Batches between two kills.
const BATCHES: u64 = 40;
const ITEMS: usize = 5;

#[test]
fn what_was_acknowledged_survives_kills_once() {
    let mut server = Server::start(&[]);
    let mut options = server.options();
    options.timeouts.connect = Duration::from_millis(500);
    let mut rig = PostgresqlRig::new(&server, options);
    rig.fresh();
    let progress = Progress::default();
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| kill(&mut server, &progress));
        run(async {
            let mut hubs = Vec::new();
            for node in 1..=3 {
                hubs.push(Hub::join(&rig, node).await);
            }
            let outcome = Outcome::default();
            let appending = hubs.iter_mut().map(|hub| append(hub, &outcome, &progress));
            join_all(appending).await;
            check(&hubs[0], &outcome).await;
        });
        killer.join().unwrap();
    });
}

/// What hubs were told.
#[derive(Default)]
struct Outcome {
    acknowledged: RefCell<BTreeMap<Origin, Position>>,
    doubts: Cell<u64>,
}

/// What hubs and killer tell each other.
#[derive(Default)]
struct Progress {
    batches: AtomicU64,
    over: AtomicBool,
}

async fn append(hub: &mut Hub, outcome: &Outcome, progress: &Progress) {
    while !progress.over.load(Ordering::Relaxed) {
        let number = progress.batches.fetch_add(1, Ordering::Relaxed);
        let text = format!("{} {number}", hub.sender.node);
        let items = vec![(text.as_bytes(), None); ITEMS];
        let seen = Seen {
            position: Position::ZERO,
            print: None,
        };
        let batch = hub.batch(seen, &items);
        // The same batch until there is an answer.
        let answer = until("an answer", async || {
            match hub.engine.append(batch.clone()).await {
                Ok(answer) => Some(answer),
                Err(error) => {
                    count(&outcome.doubts, error.leaves_doubt());
                    assert!(!matches!(error, EngineError::Foreign { .. }), "{error:?}");
                    None
                }
            }
        })
        .await;
        let Appended::Taken { places, .. } = answer else {
            panic!("{answer:?}");
        };
        for (item, place) in batch.items.iter().zip(places) {
            let Place::New(position) = place else {
                panic!("{place:?}");
            };
            let before = outcome
                .acknowledged
                .borrow_mut()
                .insert(item.origin, position);
            assert_eq!(before, None);
        }
    }
}

fn count(counter: &Cell<u64>, counts: bool) {
    counter.set(counter.get() + u64::from(counts));
}

/// On a thread of its own, so that a kill comes at any moment of a call.
fn kill(server: &mut Server, progress: &Progress) {
    for kills in 1..=KILLS {
        wait_until("some batches", || {
            let batches = progress.batches.load(Ordering::Relaxed);
            (batches >= kills * BATCHES).then_some(())
        });
        server.kill_all();
        server.restart();
    }
    progress.over.store(true, Ordering::Relaxed);
}

async fn check(hub: &Hub, outcome: &Outcome) {
    let entries = hub.entries(1).await;
    let stored: BTreeMap<Origin, Position> = entries
        .iter()
        .map(|entry| (entry.origin, entry.position))
        .collect();
    assert_eq!(stored.len(), entries.len(), "an update is there twice");
    for (origin, position) in outcome.acknowledged.borrow().iter() {
        assert_eq!(stored.get(origin), Some(position), "{origin:?}");
    }
    assert_eq!(stored.len(), outcome.acknowledged.borrow().len());
    let mut before = None;
    for (number, entry) in (1..).zip(&entries) {
        assert_eq!(entry.position, Position::new(number));
        let digest: Digest = tidings_contract::digest(&entry.bytes);
        assert_eq!(
            entry.print,
            Some(link_sha256(before, entry.published_ms, digest))
        );
        before = entry.print;
    }
    assert!(
        outcome.doubts.get() > 0,
        "no call was in doubt: nothing was shown"
    );
}
