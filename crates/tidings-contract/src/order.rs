//! Appending: order, repetitions, idempotency, fencing.

use futures_util::future::join_all;
use tidings_cluster::engine::{Again, Appended, BATCH_ITEMS_MAX, Entry, EpochId, Refusal, Sender};
use tidings_core::Position;

use crate::hub::{digest, known, new, positions, refused, seen, seen_as, taken, texts};
use crate::{Check, Hub, Rig};

pub(crate) fn checks<'a>(rig: &'a impl Rig) -> Vec<Check<'a>> {
    vec![
        ("a batch gets dense places", Box::pin(places(rig))),
        ("an entry is what was sent", Box::pin(contents(rig))),
        ("prints follow from each other", Box::pin(prints(rig))),
        (
            "a repeated batch is answered as before",
            Box::pin(repeated(rig)),
        ),
        (
            "a restarted hub counts from one again",
            Box::pin(restarted(rig)),
        ),
        ("another epoch is refused", Box::pin(other_epoch(rig))),
        (
            "a line that ends before what was seen is refused",
            Box::pin(rewound(rig)),
        ),
        ("a print that fits is taken", Box::pin(fitting_print(rig))),
        (
            "a print that does not fit is refused",
            Box::pin(forked(rig)),
        ),
        ("a key is taken once", Box::pin(keys(rig))),
        (
            "hubs that append at once get one order",
            Box::pin(at_once(rig)),
        ),
        ("a batch may be as large as allowed", Box::pin(large(rig))),
    ]
}

async fn places(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    assert_eq!(hub.append(seen(0), &[b"a", b"b"]).await, taken(1, 2));
    assert_eq!(hub.append(seen(0), &[b"c"]).await, taken(3, 3));
    let many = vec![b"m".as_slice(); BATCH_ITEMS_MAX];
    let last = 3 + BATCH_ITEMS_MAX as u64;
    assert_eq!(hub.append(seen(3), &many).await, taken(4, last));
    let entries = hub.entries(1).await;
    assert_eq!(positions(&entries), (1..=last).collect::<Vec<_>>());
    let line = hub.line().await;
    assert_eq!(line.oldest, Position::new(1));
    assert_eq!(line.last, Position::new(last));
}

async fn contents(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 7).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    hub.append(seen(0), &[b"", &every_byte]).await;
    let mut other = Hub::join(rig, 8).await;
    // Sent again after its line was cut: it keeps the origin that it had.
    let mut batch = other.batch(seen(2), &[(b"again", None)]);
    let origin = hub.entries(1).await[1].origin;
    batch.items = batch
        .items
        .iter()
        .map(|item| tidings_cluster::engine::Item {
            origin,
            ..item.clone()
        })
        .collect();
    other.engine.append(batch).await.unwrap();
    let entries = hub.entries(1).await;
    assert_eq!(texts(&entries), [b"".as_slice(), &every_byte, b"again"]);
    for (index, entry) in entries.iter().take(2).enumerate() {
        assert_eq!(entry.origin.sender, hub.sender);
        assert_eq!(
            (entry.origin.batch, entry.origin.index as usize),
            (1, index)
        );
    }
    assert_eq!(entries[2].origin, origin);
    assert!(entries.is_sorted_by_key(|entry| entry.published_ms));
}

/// What the engine forms is what every hub can form.
async fn prints(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    let mut other = Hub::join(rig, 2).await;
    for round in 0_u8..4 {
        hub.append(seen(0), &[&[round], b"same"]).await;
        other.append(seen(0), &[b"same"]).await;
    }
    let entries = hub.entries(1).await;
    assert_prints(rig, &entries);
    assert_eq!(hub.line().await.print, entries[11].print);
    let mut all: Vec<_> = entries
        .iter()
        .map(|entry| entry.print.unwrap().bytes())
        .collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 12, "equal contents have other prints");
}

#[track_caller]
pub(crate) fn assert_prints(rig: &impl Rig, entries: &[Entry]) {
    let mut before = None;
    for entry in entries {
        let print = rig.link(before, entry.published_ms, digest(&entry.bytes));
        assert_eq!(entry.print, Some(print), "at {}", entry.position);
        before = entry.print;
    }
}

async fn repeated(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    let mut other = Hub::join(rig, 2).await;
    let batch = hub.batch(seen(0), &[(b"a", None), (b"b", Some("k"))]);
    assert_eq!(hub.engine.append(batch.clone()).await.unwrap(), taken(1, 2));
    other.append(seen(2), &[b"c"]).await;
    let again = Appended::Taken {
        places: vec![new(1), new(2)],
        last: Position::new(3),
        again: Again::Yes,
    };
    assert_eq!(hub.engine.append(batch.clone()).await.unwrap(), again);
    // Over another connection, too.
    hub.engine.reset(tidings_cluster::engine::Path::Publish);
    assert_eq!(hub.engine.append(batch).await.unwrap(), again);
    assert_eq!(hub.entries(1).await.len(), 3);
}

/// Node and number alone would give the new process the answer to the old one's batch.
async fn restarted(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    hub.append(seen(0), &[b"a", b"b"]).await;
    hub.restart();
    assert_eq!(hub.append(seen(2), &[b"c"]).await, taken(3, 3));
    assert_eq!(texts(&hub.entries(3).await), [b"c"]);
}

async fn other_epoch(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    hub.append(seen(0), &[b"a"]).await;
    hub.epoch = EpochId::new(99);
    let refused = refused(Refusal::OtherEpoch, 1);
    assert_eq!(hub.append(seen(1), &[b"b"]).await, refused);
    assert_eq!(hub.entries(1).await.len(), 1);
}

async fn rewound(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    hub.append(seen(0), &[b"a"]).await;
    let refused = refused(Refusal::Rewound, 1);
    assert_eq!(hub.append(seen(2), &[b"b"]).await, refused);
    assert_eq!(hub.append(seen(1), &[b"b"]).await, taken(2, 2));
}

async fn fitting_print(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    hub.append(seen(0), &[b"a", b"b", b"c"]).await;
    let entries = hub.entries(1).await;
    assert_eq!(
        hub.append(seen_as(3, entries[2].print), &[b"d"]).await,
        taken(4, 4)
    );
    assert_eq!(
        hub.append(seen_as(2, entries[1].print), &[b"e"]).await,
        taken(5, 5)
    );
    assert_eq!(hub.append(seen_as(0, None), &[b"f"]).await, taken(6, 6));
}

async fn forked(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    hub.append(seen(0), &[b"a", b"b", b"c"]).await;
    let entries = hub.entries(1).await;
    let refused = refused(Refusal::Forked, 3);
    for (position, other) in [(3, 1), (2, 2), (1, 2)] {
        let seen = seen_as(position, entries[other].print);
        assert_eq!(hub.append(seen, &[b"x"]).await, refused, "at {position}");
    }
    assert_eq!(hub.entries(1).await, entries);
}

async fn keys(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    let mut other = Hub::join(rig, 2).await;
    let taken = |places, last| Appended::Taken {
        places,
        last: Position::new(last),
        again: Again::No,
    };
    let twice = hub
        .append_keyed(
            seen(0),
            &[(b"f", Some("k")), (b"g", None), (b"f", Some("k"))],
        )
        .await;
    assert_eq!(twice, taken(vec![new(1), new(2), known(1)], 2));
    let later = other
        .append_keyed(seen(2), &[(b"f", Some("k")), (b"h", Some("l"))])
        .await;
    assert_eq!(later, taken(vec![known(1), new(3)], 3));
    let nothing_new = hub.append_keyed(seen(3), &[(b"f", Some("l"))]).await;
    assert_eq!(nothing_new, taken(vec![known(3)], 3));
    // Keys are bytes, of which none ends or begins another's.
    let odd = hub
        .append_keyed(
            seen(3),
            &[(b"i", Some("k ")), (b"j", Some("\0")), (b"k", Some("=1"))],
        )
        .await;
    assert_eq!(odd, taken(vec![new(4), new(5), new(6)], 6));
    assert_eq!(hub.entries(1).await.len(), 6);
    assert_prints(rig, &hub.entries(1).await);
}

async fn at_once(rig: &impl Rig) {
    const ROUNDS: u64 = 25;
    let mut hubs = Vec::new();
    for node in 1..=4 {
        hubs.push(Hub::join(rig, node).await);
    }
    let append = async |hub: &mut Hub| {
        let name = hub.sender.node.get().to_be_bytes();
        let mut own = Vec::new();
        for round in 0..ROUNDS {
            let bytes = [name, round.to_be_bytes()].concat();
            let answer = hub.append(seen(0), &[&bytes, &bytes]).await;
            let Appended::Taken { places, .. } = answer else {
                panic!("{answer:?}");
            };
            own.extend(places.iter().map(|place| (*place, bytes.clone())));
        }
        own
    };
    let answers = join_all(hubs.iter_mut().map(append)).await;
    let entries = hubs[0].entries(1).await;
    assert_eq!(positions(&entries), (1..=200).collect::<Vec<_>>());
    assert_prints(rig, &entries);
    for (place, bytes) in answers.into_iter().flatten() {
        let tidings_cluster::engine::Place::New(position) = place else {
            panic!("{place:?}");
        };
        let index = usize::try_from(position.get()).unwrap() - 1;
        assert_eq!(*entries[index].bytes, *bytes);
    }
    let of = |sender: Sender| {
        let own = entries
            .iter()
            .filter(move |entry| entry.origin.sender == sender);
        own.map(|entry| entry.origin).collect::<Vec<_>>()
    };
    for hub in &hubs {
        let own = of(hub.sender);
        assert!(own.is_sorted() && own.len() as u64 == 2 * ROUNDS);
    }
}

async fn large(rig: &impl Rig) {
    let mut hub = Hub::join(rig, 1).await;
    let part = vec![b'p'; 4096];
    let parts = vec![part.as_slice(); BATCH_ITEMS_MAX];
    assert_eq!(hub.append(seen(0), &parts).await, taken(1, 256));
    let one = vec![b'o'; 3 * 1024 * 1024];
    assert_eq!(hub.append(seen(0), &[&one]).await, taken(257, 257));
    assert_eq!(hub.append(seen(0), &[b"after"]).await, taken(258, 258));
    assert_prints(rig, &hub.entries(1).await);
}
