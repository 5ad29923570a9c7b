//! Following the line, and reading parts of it.

use std::pin::pin;

use futures_util::future::{Either, join, select};
use tidings_cluster::engine::{BATCH_BYTES_MAX, Path, Tailed};
use tidings_core::Position;

use crate::hub::{positions, seen, taken, texts};
use crate::{Check, Fault, Hub, Possible, Rig};

pub(crate) fn checks<'a>(rig: &'a impl Rig) -> Vec<Check<'a>> {
    vec![
        ("a follower gets what is there", Box::pin(there(rig))),
        ("a follower waits for what comes", Box::pin(comes(rig))),
        (
            "a follower of nothing is let go",
            Box::pin(nothing_comes(rig)),
        ),
        (
            "an answer stays within its bytes",
            Box::pin(within_bytes(rig)),
        ),
        ("a range does not wait", Box::pin(range(rig))),
        ("a trimmed position is a hole", Box::pin(hole(rig))),
        ("a position beyond the end is told", Box::pin(beyond(rig))),
        (
            "a dropped call leaves its path usable",
            Box::pin(dropped(rig)),
        ),
    ]
}

async fn there(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    let other = Hub::join(rig, 2).await;
    hub.append(seen(0), &[b"a", b"b", b"c"]).await;
    let tailed = tail(&other, 0).await;
    assert_eq!(texts(&tailed), [b"a", b"b", b"c"]);
    assert_eq!(texts(&tail(&other, 1).await), [b"b", b"c"]);
}

async fn comes(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    let other = Hub::join(rig, 2).await;
    let mut seen_by_other = Vec::new();
    for round in 0_u8..20 {
        let items: Vec<Vec<u8>> = (0..=round).map(|item| vec![round, item]).collect();
        let items: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
        let after = seen_by_other.len() as u64;
        let (got, _taken) = join(tail(&other, after), hub.append(seen(0), &items)).await;
        seen_by_other.extend(got);
        while seen_by_other.len() < usize::from(round + 1) * usize::from(round + 2) / 2 {
            let after = seen_by_other.len() as u64;
            seen_by_other.extend(tail(&other, after).await);
        }
    }
    assert_eq!(seen_by_other, hub.entries(1).await);
}

async fn nothing_comes(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    assert_eq!(tail_once(&hub, 0).await, Tailed::Entries(Vec::new()));
    hub.append(seen(0), &[b"a"]).await;
    assert_eq!(tail_once(&hub, 1).await, Tailed::Entries(Vec::new()));
}

async fn within_bytes(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    let sizes = [
        10, 300_000, 300_000, 300_000, 300_000, 2_000_000, 10, 700_000, 400_000,
    ];
    for size in sizes {
        hub.append(seen(0), &[&vec![b's'; size]]).await;
    }
    let small = vec![b"small".as_slice(); 200];
    hub.append(seen(0), &small).await;
    let last = 209;
    for bytes_max in [1, 100_000, 600_000, BATCH_BYTES_MAX] {
        let mut after = 0;
        while after < last {
            let tailed = tail_up_to(&hub, after, bytes_max).await;
            let from = Position::new(after + 1);
            let ranged = hub.engine.range(from, Position::new(last), bytes_max).await;
            for answer in [tailed, ranged.unwrap()] {
                let Tailed::Entries(entries) = answer else {
                    panic!("{answer:?}");
                };
                let bytes: usize = entries.iter().map(|entry| entry.bytes.len()).sum();
                assert!(!entries.is_empty());
                assert!(bytes as u64 <= bytes_max || entries.len() == 1);
                after = after.max(entries[entries.len() - 1].position.get());
            }
        }
    }
}

async fn range(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    hub.append(seen(0), &[b"a", b"b", b"c", b"d"]).await;
    for (from, to, expected) in [
        (2, 3, vec![2, 3]),
        (1, 1, vec![1]),
        (3, 99, vec![3, 4]),
        (5, 99, vec![]),
    ] {
        let (from, to) = (Position::new(from), Position::new(to));
        let answer = hub.engine.range(from, to, BATCH_BYTES_MAX).await.unwrap();
        let Tailed::Entries(entries) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(positions(&entries), expected);
    }
}

async fn hole(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    hub.append(seen(0), &[b"a", b"b", b"c", b"d"]).await;
    for oldest in [3, 5] {
        let oldest = Position::new(oldest);
        if rig.fault(Fault::Trim { oldest }).await == Possible::No {
            return;
        }
        let expected = Tailed::Hole { oldest };
        assert_eq!(tail_once(&hub, 1).await, expected);
        let (from, to) = (Position::new(1), Position::new(2));
        let ranged = hub.engine.range(from, to, BATCH_BYTES_MAX).await.unwrap();
        assert_eq!(ranged, expected);
    }
}

async fn beyond(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    hub.append(seen(0), &[b"a", b"b", b"c"]).await;
    let rewound = |last| Tailed::Rewound {
        last: Position::new(last),
    };
    assert_eq!(tail_once(&hub, 4).await, rewound(3));
    let (from, to) = (Position::new(6), Position::new(7));
    let ranged = hub.engine.range(from, to, BATCH_BYTES_MAX).await.unwrap();
    assert_eq!(ranged, rewound(3));
    if rig.fault(Fault::LoseEverything).await == Possible::Yes {
        assert_eq!(tail_once(&hub, 3).await, rewound(0));
    }
}

async fn dropped(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    hub.append(seen(0), &[b"a"]).await;
    // A follower that waits, and whose caller goes away.
    {
        let waiting = hub.engine.tail(Position::new(1), BATCH_BYTES_MAX);
        let moment = pin!(rig.moment());
        let Either::Right(_) = select(waiting, moment).await else {
            panic!("the follower did not wait");
        };
    }
    let (got, appended) = join(tail(&Hub::join(rig, 2).await, 1), async {
        hub.append(seen(1), &[b"b"]).await
    })
    .await;
    assert_eq!(
        (texts(&got), appended),
        (vec![b"b".as_slice()], taken(2, 2))
    );
    assert_eq!(texts(&tail(&hub, 1).await), [b"b"]);
    for path in [Path::Publish, Path::Tail, Path::Control] {
        hub.engine.reset(path);
    }
    assert_eq!(texts(&tail(&hub, 1).await), [b"b"]);
    assert_eq!(hub.append(seen(2), &[b"c"]).await, taken(3, 3));
    assert_eq!(hub.line().await.last, Position::new(3));
}

async fn tail(hub: &Hub, after: u64) -> Vec<tidings_cluster::engine::Entry> {
    match tail_once(hub, after).await {
        Tailed::Entries(entries) => entries,
        other @ (Tailed::Hole { .. } | Tailed::Rewound { .. }) => panic!("{other:?}"),
    }
}

async fn tail_once(hub: &Hub, after: u64) -> Tailed {
    tail_up_to(hub, after, BATCH_BYTES_MAX).await
}

async fn tail_up_to(hub: &Hub, after: u64, bytes_max: u64) -> Tailed {
    let after = Position::new(after);
    hub.engine.tail(after, bytes_max).await.unwrap()
}
