//! Waits, and the ways to prove a name.

use super::*;

const BOTH: &[Challenge] = &[Challenge::TlsAlpn01, Challenge::Http01];

#[test]
fn a_wait_doubles_up_to_a_bound() {
    let secs = |failures| wait_after(PASSING_WAIT, failures, 0.0).as_secs();
    assert_eq!([0, 1, 2, 3].map(secs), [5, 10, 20, 40]);
    assert_eq!([16, 1000, u32::MAX].map(secs), [WAIT_MAX.as_secs(); 3]);
    let shortest = wait_after(REFUSED_WAIT, 0, 1.0);
    assert_eq!(shortest, REFUSED_WAIT.mul_f64(0.75));
}

#[test]
fn a_certificate_is_renewed_with_a_third_of_its_life_left() {
    let validity = Validity {
        not_before: 1_000_000,
        not_after: 1_000_000 + 90 * 86_400,
    };
    for dice in [0.0, 0.5, 1.0] {
        let at = point_of(validity, RENEW_AFTER.start, RENEW_AFTER.end, dice);
        let days = (secs(at) - validity.not_before) / 86_400;
        assert!((57..=62).contains(&days), "day {days}");
    }
}

#[test]
fn the_next_way_is_tried_at_once_and_all_ways_wait() {
    let mut attempts = Attempts::default();
    let now = SystemTime::now();
    let soon = |at: SystemTime| at.duration_since(now).unwrap_or_default() < PASSING_WAIT;
    assert_eq!(attempts.challenge(BOTH), Challenge::TlsAlpn01);
    assert!(soon(attempts.failed(&unproved(), None, BOTH)));
    assert_eq!(attempts.challenge(BOTH), Challenge::Http01);
    assert!(!soon(attempts.failed(&unproved(), None, BOTH)));
    assert_eq!(attempts.challenge(BOTH), Challenge::TlsAlpn01);
    attempts.hurry();
    assert_eq!(attempts.due(), UNIX_EPOCH);
}

#[test]
fn the_way_that_succeeded_is_the_first_one_of_a_renewal() {
    let mut attempts = Attempts::default();
    attempts.failed(&unproved(), None, BOTH);
    attempts.succeeded();
    assert_eq!(attempts.challenge(BOTH), Challenge::Http01);
    assert_eq!(attempts.due(), UNIX_EPOCH);
}

#[test]
fn what_the_authority_says_counts_and_nobody_hurries() {
    let mut attempts = Attempts::default();
    let refused = OrderError::OtherNames;
    let before = SystemTime::now();
    let wait = Duration::from_hours(30);
    let due = attempts.failed(&refused, Some(wait), BOTH);
    assert!(due >= before + wait);
    attempts.hurry();
    assert_eq!(attempts.due(), due);
}

fn unproved() -> OrderError {
    OrderError::Unproved {
        name: "example.com".into(),
        challenge: Challenge::TlsAlpn01.name(),
        detail: "connection refused".into(),
    }
}
