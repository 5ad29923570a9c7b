//! A server that is killed again and again while hubs append: what was acknowledged is there, once.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::future::join_all;
use tidings_cluster::engine::{Again, Appended, EngineError, Origin, Place, Seen};
use tidings_core::Position;

use crate::waiting::{run, until, wait_until};
use crate::{Hub, Rig, digest};

/// Hubs that append.
const HUBS: u64 = 3;
/// Batches between two kills.
const BATCHES: u64 = 40;
const ITEMS: usize = 5;

/// How much of what a kill can cause was seen: without any, nothing was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Calls after which a hub does not know whether the engine took the batch.
    pub doubts: u64,
    /// Batches that the engine had taken already when they were sent again.
    pub again: u64,
}

/// Appends by hubs on the line of `rig`, which nobody used before, while `kill` kills its server and starts it again, `kills`
/// times, each at any moment of a call. Then checks that the line has each acknowledged update once, at
/// the position that was told, and nothing else.
///
/// # Panics
///
/// If that does not hold.
pub fn check_kills(rig: &impl Rig, kills: u64, mut kill: impl FnMut() + Send) -> Shown {
    let progress = Progress::default();
    let outcome = Outcome::default();
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            for number in 1..=kills {
                wait_until("some batches", || {
                    let batches = progress.batches.load(Ordering::Relaxed);
                    (batches >= number * BATCHES).then_some(())
                });
                kill();
            }
            progress.over.store(true, Ordering::Relaxed);
        });
        run(async {
            let mut hubs = Vec::new();
            for node in 1..=HUBS {
                hubs.push(Hub::join(rig, node).await);
            }
            let appending = hubs.iter_mut().map(|hub| append(hub, &outcome, &progress));
            join_all(appending).await;
            check(rig, &hubs[0], &outcome).await;
        });
        killer.join().unwrap();
    });
    Shown {
        doubts: outcome.doubts.get(),
        again: outcome.again.get(),
    }
}

/// What hubs were told.
#[derive(Default)]
struct Outcome {
    acknowledged: RefCell<BTreeMap<Origin, Position>>,
    doubts: Cell<u64>,
    again: Cell<u64>,
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
        let Appended::Taken { places, again, .. } = answer else {
            panic!("{answer:?}");
        };
        count(&outcome.again, again == Again::Yes);
        for (item, place) in batch.items.iter().zip(places) {
            let Place::New(position) = place else {
                panic!("{place:?}");
            };
            let mut acknowledged = outcome.acknowledged.borrow_mut();
            assert_eq!(acknowledged.insert(item.origin, position), None);
        }
    }
}

fn count(counter: &Cell<u64>, counts: bool) {
    counter.set(counter.get() + u64::from(counts));
}

async fn check(rig: &impl Rig, hub: &Hub, outcome: &Outcome) {
    let entries = hub.entries(1).await;
    let stored: BTreeMap<Origin, Position> = entries
        .iter()
        .map(|entry| (entry.origin, entry.position))
        .collect();
    assert_eq!(stored.len(), entries.len(), "an update is there twice");
    assert_eq!(stored, *outcome.acknowledged.borrow());
    let mut before = None;
    for (number, entry) in (1..).zip(&entries) {
        assert_eq!(entry.position, Position::new(number));
        let print = rig.link(before, entry.published_ms, digest(&entry.bytes));
        assert_eq!(entry.print, Some(print));
        before = entry.print;
    }
}
