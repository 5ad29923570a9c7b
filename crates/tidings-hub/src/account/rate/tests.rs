//! The buckets: bursts, refills, large things, and a table that is full.

use super::*;

const SECOND: u64 = 1_000_000_000;

fn bounds(per_second: u32, burst_secs: u64) -> RateBounds {
    RateBounds {
        publishes: [Some(per_second); 2],
        published_bytes: [Some(1000); 2],
        subscribes: [None; 2],
        burst: Duration::from_secs(burst_secs),
    }
}

#[test]
fn a_burst_is_taken_at_once_and_then_the_rate_counts() {
    let bounds = bounds(2, 3);
    let mut entry = Entry::default();
    let mut take = |now| {
        let costs = [(Rate::Publishes, 1)];
        take_from(&mut entry, &bounds, Whom::Subject, &costs, now)
    };
    for _ in 0..6 {
        take(5 * SECOND).unwrap();
    }
    let over = take(5 * SECOND).unwrap_err();
    assert_eq!(over.wait, Duration::from_millis(500));
    assert_eq!(over.retry_after_secs(), 1);
    assert_eq!(
        over.to_string(),
        "more than 2 publishes per second by the subject of this token \
         (limits.publishes_per_second_per_subject_max); try again in 1 s"
    );
    assert!(take(5 * SECOND + SECOND / 2 - 1).is_err());
    take(5 * SECOND + SECOND / 2).unwrap();
    assert!(take(5 * SECOND + SECOND / 2).is_err());
    // No more than a burst is saved up.
    for _ in 0..6 {
        take(100 * SECOND).unwrap();
    }
    assert!(take(100 * SECOND).is_err());
}

#[test]
fn what_is_larger_than_a_bucket_needs_a_full_one() {
    let bounds = bounds(1_000_000, 1);
    let mut entry = Entry::default();
    let mut take = |bytes, now| {
        let costs = [(Rate::Publishes, 1), (Rate::PublishedBytes, bytes)];
        take_from(&mut entry, &bounds, Whom::Address, &costs, now)
    };
    take(5000, 0).unwrap();
    let over = take(1, 0).unwrap_err();
    assert_eq!(over.wait, Duration::from_millis(4001));
    assert_eq!(
        over.key(),
        "limits.published_bytes_per_second_per_address_max"
    );
    assert!(take(5000, 4 * SECOND).is_err());
    take(5000, 5 * SECOND).unwrap();
}

#[test]
fn what_is_refused_costs_nothing() {
    let bounds = bounds(1, 1);
    let mut entry = Entry::default();
    let costs = |bytes| [(Rate::PublishedBytes, bytes), (Rate::Publishes, 1)];
    take_from(&mut entry, &bounds, Whom::Subject, &costs(10), 0).unwrap();
    let before = entry.full_at;
    take_from(&mut entry, &bounds, Whom::Subject, &costs(10), 0).unwrap_err();
    assert_eq!(entry.full_at, before);
}

#[test]
fn strangers_do_not_push_out_somebody_over_a_limit() {
    let rates = Rates::new();
    let bounds = bounds(1, 10);
    let costs = [(Rate::Publishes, 1)];
    let take = |peer| rates.take(&bounds, Whom::Address, peer, &costs);
    // All of one set.
    let peer = |number: u64| number + 1;
    for _ in 0..10 {
        take(peer(0)).unwrap();
    }
    take(peer(0)).unwrap_err();
    for stranger in 1..1000 {
        take(peer(stranger)).unwrap();
    }
    take(peer(0)).unwrap_err();
    let refused = rates.refusals().map(|(_, count)| count).sum::<u64>();
    assert_eq!(refused, 2);
}

#[test]
fn one_truth_for_all_threads() {
    let rates = Rates::new();
    let bounds = bounds(1, 100);
    let began = Instant::now();
    let taken: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let costs = [(Rate::Publishes, 1)];
                    let take = || rates.take(&bounds, Whom::Subject, 7, &costs);
                    (0..100).filter(|_| take().is_ok()).count()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    // One more for each second that it took.
    let more = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    assert!((100..=100 + more).contains(&taken), "{taken}");
}

#[test]
fn a_network_of_ipv6_is_one_peer() {
    let same =
        |one: &str, other: &str| network(one.parse().unwrap()) == network(other.parse().unwrap());
    assert!(same("2001:db8::1", "2001:db8::ffff:1"));
    assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
    assert!(!same("192.0.2.1", "192.0.2.2"));
}

#[test]
fn every_limit_has_a_key_of_its_own() {
    let mut keys: Vec<_> = keys().collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 6);
}
