//! Compares the tree of prefixes with a plain list.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn a_message_goes_to_those_who_subscribed_to_its_beginning() {
    let mut prefixes = Prefixes::new();
    assert!(prefixes.is_empty());
    prefixes.insert(b"", 0);
    prefixes.insert(b"scores.", 1);
    prefixes.insert(b"scores.football", 1);
    prefixes.insert(b"scores.football", 2);
    assert_eq!(receivers(&prefixes, b"scores.football.1"), [0, 1, 2]);
    assert_eq!(receivers(&prefixes, b"scores."), [0, 1]);
    assert_eq!(receivers(&prefixes, b"score"), [0]);
    prefixes.remove(b"scores.", 1);
    prefixes.remove(b"scores.football", 2);
    assert_eq!(receivers(&prefixes, b"scores.football.1"), [0, 1]);
    assert_eq!(prefixes.len(), 1 + "scores.football".len());
    prefixes.remove(b"scores.football", 1);
    assert!(prefixes.only_everything());
}

proptest! {
    #[test]
    fn it_knows_what_a_list_knows(
        steps in prop::collection::vec((any::<bool>(), "[ab]{0,4}", 0_u32..4), 0..60),
        topic in "[ab]{0,6}",
    ) {
        let mut prefixes = Prefixes::new();
        let mut list = BTreeSet::new();
        for (add, prefix, peer) in steps {
            if add {
                prefixes.insert(prefix.as_bytes(), peer);
                list.insert((prefix, peer));
            } else {
                prefixes.remove(prefix.as_bytes(), peer);
                list.remove(&(prefix, peer));
            }
        }
        let matching = list.iter().filter(|(prefix, _)| topic.starts_with(prefix.as_str()));
        let expected: BTreeSet<u32> = matching.map(|(_, peer)| *peer).collect();
        prop_assert_eq!(receivers(&prefixes, topic.as_bytes()), Vec::from_iter(expected));
        for (prefix, peer) in &list {
            prefixes.remove(prefix.as_bytes(), *peer);
        }
        prop_assert!(prefixes.is_empty());
        prop_assert_eq!(prefixes.len(), 1);
    }
}

fn receivers(prefixes: &Prefixes, topic: &[u8]) -> Vec<u32> {
    let mut receivers: BTreeSet<u32> = prefixes.everything().iter().copied().collect();
    prefixes.visit(topic, |peer| {
        receivers.insert(peer);
    });
    receivers.into_iter().collect()
}
