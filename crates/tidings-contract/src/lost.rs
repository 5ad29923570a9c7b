//! What an engine loses, and how it is put back.

use tidings_cluster::engine::{
    Appended, Changed, Entry, EpochId, Key, LineEnd, Refusal, Restore, Restored, State,
};
use tidings_core::Position;

use crate::hub::{KEY_TTL_MS, proposal, refused, seen, seen_as, taken};
use crate::order::assert_prints;
use crate::{Check, Fault, Hub, Possible, Rig};

pub(crate) fn checks<'a>(rig: &'a impl Rig) -> Vec<Check<'a>> {
    vec![
        ("a lost tail is put back once", Box::pin(lost_tail(rig))),
        (
            "answers are lost with the tail",
            Box::pin(lost_answers(rig)),
        ),
        (
            "an empty engine gets its window back",
            Box::pin(lost_everything(rig)),
        ),
        ("keys are put back", Box::pin(lost_keys(rig))),
        (
            "a log without its head is not begun anew",
            Box::pin(lost_head(rig)),
        ),
        (
            "entries beyond the end are taken over",
            Box::pin(repair(rig)),
        ),
        ("what was seen and trimmed is behind", Box::pin(behind(rig))),
        ("an empty window goes on", Box::pin(empty_window(rig))),
        ("times never go back", Box::pin(times(rig))),
        (
            "positions go beyond 10^15 and end at 2^53",
            Box::pin(far_positions(rig)),
        ),
    ]
}

async fn lost_tail(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    let mut other = Hub::join(rig, 2).await;
    for bytes in [b"a", b"b", b"c", b"d", b"e", b"f"] {
        hub.append(seen(0), &[bytes]).await;
    }
    let all = hub.entries(1).await;
    let last = Position::new(3);
    if rig.fault(Fault::LoseTail { last }).await == Possible::No {
        return;
    }
    assert_eq!(
        hub.append(seen(6), &[b"x"]).await,
        refused(Refusal::Rewound, 3)
    );
    // Its own connection may have been closed by that.
    let hole = restore(&hub, Some(&all[2]), &all[4..]);
    assert!(hub.engine.restore(hole).await.is_err(), "a hole is refused");
    let mut wrong_epoch = restore(&hub, Some(&all[2]), &all[3..]);
    wrong_epoch.epoch = EpochId::new(99);
    let moved = hub.engine.restore(wrong_epoch).await.unwrap();
    assert!(matches!(moved, Changed::Moved(State::Line(_))));
    let mut other_line = restore(&hub, Some(&all[2]), &all[3..]);
    other_line.expected_print = all[1].print;
    let moved = hub.engine.restore(other_line).await.unwrap();
    assert!(matches!(moved, Changed::Moved(State::Line(_))));
    let done = Changed::Done {
        last: Position::new(5),
    };
    let back = restore(&hub, Some(&all[2]), &all[3..5]);
    assert_eq!(hub.engine.restore(back.clone()).await.unwrap(), done);
    let late = other.engine.restore(back).await.unwrap();
    let Changed::Moved(State::Line(line)) = late else {
        panic!("{late:?}");
    };
    assert_eq!(line.last, Position::new(5));
    let done = Changed::Done {
        last: Position::new(6),
    };
    let back = restore(&other, Some(&all[4]), &all[5..]);
    assert_eq!(other.engine.restore(back).await.unwrap(), done);
    assert_eq!(hub.entries(1).await, all);
    let seen = seen_as(6, all[5].print);
    assert_eq!(other.append(seen, &[b"g"]).await, taken(7, 7));
    assert_prints(rig, &hub.entries(1).await);
}

/// Only the origins of the entries tell that a batch is there already.
async fn lost_answers(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    hub.append(seen(0), &[b"a"]).await;
    let batch = hub.batch(seen(1), &[(b"b", None)]);
    assert_eq!(hub.engine.append(batch.clone()).await.unwrap(), taken(2, 2));
    let all = hub.entries(1).await;
    let last = Position::new(1);
    if rig.fault(Fault::LoseTail { last }).await == Possible::No {
        return;
    }
    let back = restore(&hub, Some(&all[0]), &all[1..]);
    hub.engine.restore(back).await.unwrap();
    assert_eq!(hub.entries(1).await[1].origin, batch.items[0].origin);
    assert_eq!(hub.engine.append(batch).await.unwrap(), taken(3, 3));
}

async fn lost_everything(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    let mut other = Hub::join(rig, 2).await;
    hub.append(seen(0), &[b"a", b"b", b"c", b"d", b"e"]).await;
    let (all, line) = (hub.entries(1).await, hub.line().await);
    if rig.fault(Fault::LoseEverything).await == Possible::No {
        return;
    }
    assert_eq!(
        hub.append(seen(5), &[b"x"]).await,
        refused(Refusal::None, 0)
    );
    assert_eq!(hub.engine.state().await.unwrap(), State::None);
    let expects_more = restore(&hub, Some(&all[2]), &all[3..]);
    let moved = hub.engine.restore(expects_more).await.unwrap();
    assert_eq!(moved, Changed::Moved(State::None));
    let back = restore(&hub, None, &all[3..]);
    let done = Changed::Done {
        last: Position::new(5),
    };
    assert_eq!(hub.engine.restore(back.clone()).await.unwrap(), done);
    let late = other.engine.restore(back).await.unwrap();
    assert!(matches!(late, Changed::Moved(State::Line(_))));
    let restored = hub.line().await;
    assert_eq!(restored.oldest, Position::new(4));
    assert_eq!((restored.epoch, restored.secret), (line.epoch, line.secret));
    assert_eq!((restored.last, restored.print), (line.last, line.print));
    assert_eq!(hub.entries(4).await, all[3..]);
    let early = seen_as(2, all[1].print);
    assert_eq!(
        other.append(early, &[b"x"]).await,
        refused(Refusal::Behind, 5)
    );
    let end = seen_as(5, all[4].print);
    assert_eq!(other.append(end, &[b"f"]).await, taken(6, 6));
}

async fn lost_keys(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    hub.append_keyed(seen(0), &[(b"a", Some("k")), (b"b", None)])
        .await;
    let all = hub.entries(1).await;
    if rig.fault(Fault::LoseEverything).await == Possible::No {
        return;
    }
    let mut back = restore(&hub, None, &all);
    back.entries[0].key = Some((Key::new(b"k").unwrap(), KEY_TTL_MS));
    hub.engine.restore(back).await.unwrap();
    let answer = hub
        .append_keyed(seen(2), &[(b"a", Some("k")), (b"c", None)])
        .await;
    let Appended::Taken { places, .. } = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(places, [crate::hub::known(1), crate::hub::new(3)]);
}

async fn lost_head(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    hub.append(seen(0), &[b"a"]).await;
    let all = hub.entries(1).await;
    if rig.fault(Fault::LoseHead).await == Possible::No {
        return;
    }
    let init = hub.engine.init(proposal(3)).await.unwrap();
    assert_eq!(init, tidings_cluster::engine::Init::Half);
    assert_eq!(hub.engine.state().await.unwrap(), State::Half);
    let back = restore(&hub, None, &all);
    let moved = hub.engine.restore(back).await.unwrap();
    assert_eq!(moved, Changed::Moved(State::Half));
    assert!(!matches!(
        hub.append(seen(1), &[b"b"]).await,
        Appended::Taken { .. }
    ));
}

async fn repair(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    hub.append(seen(0), &[b"a", b"b", b"c"]).await;
    let all = hub.entries(1).await;
    if rig.fault(Fault::EndBehind { entries: 2 }).await == Possible::No {
        return;
    }
    let line = hub.line().await;
    assert_eq!((line.last, line.torn), (Position::new(1), true));
    assert_eq!(
        hub.append(seen(1), &[b"d"]).await,
        refused(Refusal::Repair, 1)
    );
    let back = restore(&hub, Some(&all[0]), &all[1..]);
    let last = Position::new(1);
    let first = Changed::Repair { last };
    assert_eq!(hub.engine.restore(back).await.unwrap(), first);
    let end = LineEnd {
        epoch: hub.epoch,
        last: Position::new(1),
    };
    let done = Changed::Done {
        last: Position::new(3),
    };
    assert_eq!(hub.engine.repair(end).await.unwrap(), done);
    let again = hub.engine.repair(end).await.unwrap();
    assert!(matches!(again, Changed::Moved(State::Line(_))));
    let line = hub.line().await;
    assert_eq!((line.print, line.torn), (all[2].print, false));
    assert_eq!(
        hub.append(seen_as(3, all[2].print), &[b"d"]).await,
        taken(4, 4)
    );
    assert_prints(rig, &hub.entries(1).await);
}

async fn behind(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    hub.append(seen(0), &[b"a", b"b", b"c", b"d"]).await;
    let all = hub.entries(1).await;
    let oldest = Position::new(3);
    if rig.fault(Fault::Trim { oldest }).await == Possible::No {
        return;
    }
    assert_eq!(hub.line().await.oldest, oldest);
    let trimmed = seen_as(2, all[1].print);
    assert_eq!(
        hub.append(trimmed, &[b"e"]).await,
        refused(Refusal::Behind, 4)
    );
    let kept = seen_as(3, all[2].print);
    assert_eq!(hub.append(kept, &[b"e"]).await, taken(5, 5));
}

async fn empty_window(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    hub.append(seen(0), &[b"a", b"b"]).await;
    let print = hub.line().await.print;
    let oldest = Position::new(3);
    if rig.fault(Fault::Trim { oldest }).await == Possible::No {
        return;
    }
    let line = hub.line().await;
    assert_eq!((line.oldest, line.last), (oldest, Position::new(2)));
    assert_eq!(line.print, print);
    assert_eq!(hub.append(seen_as(2, print), &[b"c"]).await, taken(3, 3));
}

/// As after a failover to a server whose clock is behind.
async fn times(rig: &impl Rig) {
    const AHEAD_MS: u64 = 3_600_000;
    let mut hub = Hub::join(rig, 1).await;
    hub.append(seen(0), &[b"a"]).await;
    let mut back = restore(&hub, None, &hub.entries(1).await);
    if rig.fault(Fault::LoseEverything).await == Possible::No {
        return;
    }
    back.entries[0].entry.published_ms += AHEAD_MS;
    hub.engine.restore(back).await.unwrap();
    hub.append(seen(1), &[b"b", b"c"]).await;
    hub.append(seen(1), &[b"d"]).await;
    let entries = hub.entries(1).await;
    let first = entries[0].published_ms;
    assert!(entries.iter().all(|entry| entry.published_ms == first));
}

async fn far_positions(rig: &impl Rig) {
    const END: u64 = (1 << 53) - 1;
    for (first, fits) in [(1_000_000_000_000_000 - 1, true), (END, false)] {
        let mut hub = Hub::join(rig, 1).await;
        hub.append(seen(0), &[b"a"]).await;
        let mut back = restore(&hub, None, &hub.entries(1).await);
        if rig.fault(Fault::LoseEverything).await == Possible::No {
            return;
        }
        back.entries[0].entry.position = Position::new(first);
        hub.engine.restore(back).await.unwrap();
        let answer = hub.append(seen(first), &[b"b", b"c"]).await;
        if fits {
            assert_eq!(answer, taken(first + 1, first + 2));
            assert_eq!(hub.entries(first).await.len(), 3);
        } else {
            assert_eq!(answer, refused(Refusal::Full, END));
        }
        rig.fault(Fault::LoseEverything).await;
    }
}

/// Puts `entries` back as they are, after `before`; into an empty engine if there is none.
fn restore(hub: &Hub, before: Option<&Entry>, entries: &[Entry]) -> Restore {
    let restored = |entry: &Entry| Restored {
        entry: entry.clone(),
        key: None,
    };
    Restore {
        epoch: hub.epoch,
        secret: proposal(1).secret.unwrap(),
        expected_last: before.map(|entry| entry.position),
        expected_print: before.and_then(|entry| entry.print),
        entries: entries.iter().map(restored).collect(),
    }
}
