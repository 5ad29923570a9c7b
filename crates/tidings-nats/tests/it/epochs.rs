//! A new epoch is two requests here: a look where the line ends, and an update of the stream's settings,
//! which no server compares with anything. What another hub appends in between is in the line all the same.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use futures_util::future::join;
use tidings_cluster::engine::{Appended, Changed, EpochId, LineEnd, Place, Refusal, Seen, State};
use tidings_contract::{Hub, Rig as _, digest};
use tidings_core::Position;

use crate::harness::{NatsRig, Servers, patient_options, run, until};

/// Appends between the two requests, until the test has seen enough.
const BETWEEN: u32 = 5;

#[test]
fn what_is_appended_while_the_epoch_changes_is_there_once_in_its_place() {
    let servers = Servers::start(1);
    let rig = NatsRig::new(patient_options(&servers));
    let between = Cell::new(0);
    run(async {
        let mut hub = Hub::join(&rig, 1).await;
        let other = Hub::join(&rig, 2).await;
        let acknowledged = RefCell::default();
        let append = append_until(&mut hub, &between, &acknowledged);
        join(append, bump_until(&other, &between)).await;
        let entries = other.entries(1).await;
        let mut before = None;
        for entry in &entries {
            let print = rig.link(before, entry.published_ms, digest(&entry.bytes));
            assert_eq!(entry.print, Some(print), "at {}", entry.position);
            before = entry.print;
        }
        let texts = entries.iter().map(|entry| {
            let text = String::from_utf8(entry.bytes.to_vec()).unwrap();
            (entry.position, text)
        });
        assert_eq!(texts.collect::<BTreeMap<_, _>>(), acknowledged.into_inner());
    });
}

/// Appends one batch after the other, as a hub that learns of a new epoch by a refusal.
async fn append_until(
    hub: &mut Hub,
    between: &Cell<u32>,
    acknowledged: &RefCell<BTreeMap<Position, String>>,
) {
    let seen = Seen {
        position: Position::ZERO,
        print: None,
    };
    let mut number = 0;
    while between.get() < BETWEEN {
        number += 1;
        let texts = [format!("{number} a"), format!("{number} b")];
        let batch = hub.batch(seen, &texts.each_ref().map(|text| (text.as_bytes(), None)));
        let places = until("a batch is taken", async || {
            let mut batch = batch.clone();
            batch.epoch = hub.epoch;
            match hub.engine.append(batch).await.unwrap() {
                Appended::Taken { places, .. } => Some(places),
                Appended::Refused { why, .. } => {
                    assert_eq!(why, Refusal::OtherEpoch);
                    hub.epoch = hub.line().await.epoch;
                    None
                }
            }
        })
        .await;
        for (place, text) in places.iter().zip(texts) {
            let Place::New(position) = place else {
                panic!("{place:?} without a key");
            };
            acknowledged.borrow_mut().insert(*position, text);
        }
    }
}

/// Gives the line new epochs, until enough batches came in between.
async fn bump_until(hub: &Hub, between: &Cell<u32>) {
    until("batches are appended while the epoch changes", async || {
        let line = hub.line().await;
        let expected = LineEnd {
            epoch: line.epoch,
            last: line.last,
        };
        let new = EpochId::new(line.epoch.get() + 1);
        match hub.engine.bump(expected, new).await.unwrap() {
            Changed::Done { last } if last > line.last => between.set(between.get() + 1),
            Changed::Done { .. } | Changed::Moved(State::Line(_)) => {}
            other @ (Changed::Moved(_) | Changed::Repair { .. } | Changed::Full) => {
                panic!("{other:?}")
            }
        }
        (between.get() >= BETWEEN).then_some(())
    })
    .await;
}
