//! Who receives what: rules, and a comparison with the plainest way to do it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{Hub, SubscriberId};
use crate::index::MatcherId;

#[test]
fn a_subscriber_of_two_matching_matchers_receives_once() {
    let mut hub = Hub::new();
    hub.add(subscriber(1), &[matcher(5), matcher(3), matcher(5)]);
    hub.add(subscriber(2), &[matcher(5)]);
    check(&hub, &[3, 5], &[1, 2]);
    check(&hub, &[3], &[1]);
    check(&hub, &[4], &[]);
    check(&hub, &[], &[]);
}

#[test]
fn who_joins_in_two_steps_receives_once() {
    let mut hub = Hub::new();
    hub.add(subscriber(1), &[matcher(5)]);
    hub.add(subscriber(1), &[matcher(3)]);
    check(&hub, &[3, 5], &[1]);
    assert_eq!(hub.len(), 1);
}

#[test]
fn who_left_receives_nothing() {
    let mut hub = Hub::new();
    hub.add(subscriber(1), &[matcher(1), matcher(2)]);
    hub.add(subscriber(2), &[matcher(1)]);
    hub.remove(subscriber(1), &[matcher(1)]);
    check(&hub, &[1, 2], &[1, 2]);
    check(&hub, &[1], &[2]);
    hub.remove(subscriber(1), &[matcher(2), matcher(9)]);
    check(&hub, &[1, 2], &[2]);
    hub.remove(subscriber(2), &[matcher(1)]);
    hub.remove(subscriber(2), &[matcher(1)]);
    assert!(hub.is_empty());
    assert!(hub.audiences.is_empty());
}

#[test]
fn another_generation_is_another_subscriber() {
    let mut hub = Hub::new();
    let later = SubscriberId {
        slot: 1,
        generation: 1,
    };
    hub.add(subscriber(1), &[matcher(1)]);
    hub.add(later, &[matcher(1)]);
    hub.remove(subscriber(1), &[matcher(1)]);
    let mut receivers = Vec::new();
    hub.route(&[matcher(1)], &mut receivers);
    assert_eq!(receivers, [later]);
}

#[test]
fn memory_comes_back() {
    let mut hub = Hub::new();
    for slot in 0..10_000 {
        hub.add(subscriber(slot), &[matcher(slot), matcher(1 << 20)]);
    }
    for slot in 0..10_000 {
        hub.remove(subscriber(slot), &[matcher(slot), matcher(1 << 20)]);
    }
    assert!(hub.members.capacity() <= 1024 && hub.audiences.capacity() <= 1024);
}

proptest! {
    #[test]
    fn routing_agrees_with_asking_everyone(
        steps in proptest::collection::vec(
            (any::<bool>(), 0..12_u32, proptest::collection::vec(0..8_u32, 0..5)), 0..120),
        asked in proptest::collection::btree_set(0..8_u32, 0..6),
    ) {
        let mut hub = Hub::new();
        let mut model: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for (joins, slot, matchers) in steps {
            let ids: Vec<_> = matchers.iter().copied().map(matcher).collect();
            let own = model.entry(slot).or_default();
            if joins {
                hub.add(subscriber(slot), &ids);
                own.extend(&matchers);
            } else {
                hub.remove(subscriber(slot), &ids);
                own.retain(|id| !matchers.contains(id));
            }
            model.retain(|_, own| !own.is_empty());
            prop_assert_eq!(hub.len(), model.len());
            let expected: Vec<u32> = model
                .iter()
                .filter(|(_, own)| !own.is_disjoint(&asked))
                .map(|(slot, _)| *slot)
                .collect();
            let asked: Vec<u32> = asked.iter().copied().collect();
            check(&hub, &asked, &expected);
        }
    }
}

#[track_caller]
fn check(hub: &Hub, matching: &[u32], expected: &[u32]) {
    let matching: Vec<_> = matching.iter().copied().map(matcher).collect();
    let mut receivers = vec![subscriber(77)];
    hub.route(&matching, &mut receivers);
    let mut slots: Vec<u32> = receivers.iter().map(|receiver| receiver.slot).collect();
    slots.sort_unstable();
    assert_eq!(slots, expected);
}

fn subscriber(slot: u32) -> SubscriberId {
    SubscriberId {
        slot,
        generation: 0,
    }
}

fn matcher(number: u32) -> MatcherId {
    MatcherId::from_number(number)
}
