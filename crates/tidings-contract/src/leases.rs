//! Leases: who lives, who stands in for whom, who does what one of the cluster does.

use std::sync::Arc;

use tidings_cluster::engine::{BootId, Claimed, Lease, LeaseName, Leased, NodeLease, Sender};

use crate::{Check, Hub, Rig};

pub(crate) fn checks<'a>(rig: &'a impl Rig) -> Vec<Check<'a>> {
    vec![
        ("a node has its lease and its record", Box::pin(own(rig))),
        (
            "a lapsed lease is claimed once",
            Box::pin(claimed_once(rig)),
        ),
        ("a running lease is not claimed", Box::pin(alive(rig))),
        ("a node that was claimed learns of it", Box::pin(told(rig))),
        ("a name is held by one node", Box::pin(named(rig))),
        ("a name is given up at once", Box::pin(given_up(rig))),
        ("holders of a name leave notes", Box::pin(notes(rig))),
    ]
}

/// Longer than any check takes.
const LONG_MS: u64 = 600_000;
/// So short that it has lapsed soon.
const SHORT_MS: u64 = 150;

async fn own(rig: &impl Rig) {
    let (one, two) = (Hub::join(rig, 1).await, Hub::join(rig, 2).await);
    assert_eq!(one.engine.leases().await.unwrap(), []);
    assert_eq!(
        take(&one, LONG_MS, Some(b"first")).await,
        Leased::Held(None)
    );
    assert_eq!(take(&two, LONG_MS, None).await, Leased::Held(None));
    // Renewed without a record: the earlier one stays.
    assert_eq!(take(&one, LONG_MS, None).await, Leased::Held(None));
    let expected = vec![node(one.sender, b"first"), node(two.sender, b"")];
    assert_eq!(leases(&two).await, expected);
    assert_eq!(
        take(&one, LONG_MS, Some(b"second")).await,
        Leased::Held(None)
    );
    let expected = vec![node(one.sender, b"second"), node(two.sender, b"")];
    assert_eq!(leases(&two).await, expected);
}

async fn claimed_once(rig: &impl Rig) {
    let (dead, two, three) = (
        Hub::join(rig, 1).await,
        Hub::join(rig, 2).await,
        Hub::join(rig, 3).await,
    );
    take(&dead, SHORT_MS, Some(b"left")).await;
    lapse(rig, &two, dead.sender).await;
    let won = Claimed::Won(Arc::from(b"left".as_slice()));
    assert_eq!(claim(&two, dead.sender).await, won);
    assert_eq!(claim(&three, dead.sender).await, Claimed::Gone);
    assert_eq!(claim(&two, dead.sender).await, Claimed::Gone);
    assert_eq!(leases(&three).await, []);
}

async fn alive(rig: &impl Rig) {
    let (one, two) = (Hub::join(rig, 1).await, Hub::join(rig, 2).await);
    take(&one, LONG_MS, Some(b"mine")).await;
    assert_eq!(claim(&two, one.sender).await, Claimed::Alive);
    let other_boot = Sender {
        boot: BootId::new(99),
        ..one.sender
    };
    assert_eq!(claim(&two, other_boot).await, Claimed::Gone);
    assert_eq!(leases(&two).await, [node(one.sender, b"mine")]);
}

/// A process that was paused for longer than its lease: it goes on as another boot.
async fn told(rig: &impl Rig) {
    let (mut paused, two) = (Hub::join(rig, 1).await, Hub::join(rig, 2).await);
    take(&paused, SHORT_MS, Some(b"left")).await;
    lapse(rig, &two, paused.sender).await;
    // Lapsed but not claimed: it renews.
    assert_eq!(take(&paused, SHORT_MS, None).await, Leased::Held(None));
    lapse(rig, &two, paused.sender).await;
    claim(&two, paused.sender).await;
    let told = Leased::HeldBy(two.sender, None);
    assert_eq!(take(&paused, LONG_MS, Some(b"new")).await, told);
    assert_eq!(leases(&two).await, []);
    paused.restart();
    assert_eq!(
        take(&paused, LONG_MS, Some(b"new")).await,
        Leased::Held(None)
    );
    assert_eq!(leases(&two).await, [node(paused.sender, b"new")]);
}

async fn named(rig: &impl Rig) {
    let (one, two) = (Hub::join(rig, 1).await, Hub::join(rig, 2).await);
    assert_eq!(hold(&one, "trim", SHORT_MS).await, Leased::Held(None));
    assert_eq!(hold(&two, "acme", LONG_MS).await, Leased::Held(None));
    assert_eq!(
        hold(&one, "acme", LONG_MS).await,
        Leased::HeldBy(two.sender, None)
    );
    assert_eq!(hold(&two, "acme", LONG_MS).await, Leased::Held(None));
    while hold(&two, "trim", LONG_MS).await != Leased::Held(None) {
        rig.moment().await;
    }
    assert_eq!(
        hold(&one, "trim", SHORT_MS).await,
        Leased::HeldBy(two.sender, None)
    );
    // The leases of nodes are others.
    assert_eq!(leases(&one).await, []);
}

async fn given_up(rig: &impl Rig) {
    let (one, two) = (Hub::join(rig, 1).await, Hub::join(rig, 2).await);
    assert_eq!(hold(&one, "push", LONG_MS).await, Leased::Held(None));
    // Who does not hold it does not give it up.
    let held = Leased::HeldBy(one.sender, None);
    assert_eq!(hold(&two, "push", 0).await, held);
    assert_eq!(hold(&two, "push", LONG_MS).await, held);
    assert_eq!(hold(&one, "push", 0).await, Leased::Held(None));
    assert_eq!(hold(&one, "push", 0).await, Leased::Held(None));
    assert_eq!(hold(&two, "push", LONG_MS).await, Leased::Held(None));
}

async fn notes(rig: &impl Rig) {
    let (one, two) = (Hub::join(rig, 1).await, Hub::join(rig, 2).await);
    let note = |text: &[u8]| Some(Arc::from(text));
    let left = hold_with(&one, "push", LONG_MS, Some(b"1")).await;
    assert_eq!(left, Leased::Held(note(b"1")));
    // Only the holder leaves anything.
    let left = hold_with(&two, "push", LONG_MS, Some(b"2")).await;
    assert_eq!(left, Leased::HeldBy(one.sender, note(b"1")));
    let kept = hold(&one, "push", LONG_MS).await;
    assert_eq!(kept, Leased::Held(note(b"1")), "it stays");
    let left = hold_with(&one, "push", 0, Some(b"3")).await;
    assert_eq!(left, Leased::Held(note(b"3")));
    let left = hold_with(&one, "push", 0, Some(b"4")).await;
    assert_eq!(left, Leased::Held(note(b"3")), "it is nobody's");
    let next = hold(&two, "push", LONG_MS).await;
    assert_eq!(next, Leased::Held(note(b"3")), "the next holder gets it");
    let other = hold(&one, "other", LONG_MS).await;
    assert_eq!(other, Leased::Held(None), "each name has its own");
}

async fn lapse(rig: &impl Rig, by: &Hub, dead: Sender) {
    let lives = |leases: &[NodeLease]| {
        let its = leases.iter().find(|lease| lease.holder == dead);
        its.expect("a lapsed lease stays until it is claimed").alive
    };
    while lives(&by.engine.leases().await.unwrap()) {
        rig.moment().await;
    }
}

async fn take(hub: &Hub, ttl_ms: u64, record: Option<&[u8]>) -> Leased {
    let lease = Lease {
        name: LeaseName::Node,
        holder: hub.sender,
        ttl_ms,
        record: record.map(Arc::from),
    };
    hub.engine.lease(lease).await.unwrap()
}

async fn hold(hub: &Hub, name: &str, ttl_ms: u64) -> Leased {
    hold_with(hub, name, ttl_ms, None).await
}

async fn hold_with(hub: &Hub, name: &str, ttl_ms: u64, note: Option<&[u8]>) -> Leased {
    let lease = Lease {
        name: LeaseName::Named(name.into()),
        holder: hub.sender,
        ttl_ms,
        record: note.map(Arc::from),
    };
    hub.engine.lease(lease).await.unwrap()
}

async fn claim(hub: &Hub, dead: Sender) -> Claimed {
    hub.engine.claim(dead, hub.sender).await.unwrap()
}

async fn leases(hub: &Hub) -> Vec<NodeLease> {
    let mut leases = hub.engine.leases().await.unwrap();
    leases.sort_by_key(|lease| lease.holder);
    leases
}

fn node(holder: Sender, record: &[u8]) -> NodeLease {
    NodeLease {
        holder,
        record: Arc::from(record),
        alive: true,
    }
}
