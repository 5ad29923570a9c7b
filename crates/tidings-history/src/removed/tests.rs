//! What is known of removed presence events, and its bounds.

use super::*;

#[test]
fn the_last_event_of_each_group_is_known() {
    let mut removed = Removed::unknown(Position::ZERO);
    removed.note(
        vec![event(1, "a/1"), event(2, "b/1"), event(5, "a/2")],
        at(6),
    );
    check(&removed, 0, &["a/2", "b/1"]);
    check(&removed, 2, &["a/2"]);
    check(&removed, 5, &[]);
    assert_eq!(
        (removed.through(), removed.unknown_through()),
        (at(6), at(0))
    );
    assert_eq!(Removed::decode(&removed.encode()), Some(removed));
}

#[test]
fn what_is_known_is_bounded_and_what_is_given_up_is_unknown() {
    let mut removed = Removed::unknown(Position::ZERO);
    let groups = GROUPS_MAX as u64 + 10;
    for number in 1..=groups {
        removed.note(vec![event(number, &format!("{number}/s"))], at(number));
    }
    assert_eq!(removed.unknown_through(), at(10));
    assert_eq!(removed.after(at(0)).len(), GROUPS_MAX);
    let long = "x".repeat(BYTES_MAX / 4);
    for number in groups + 1..groups + 9 {
        removed.note(
            vec![event(number, &format!("{number}{long}/s"))],
            at(number),
        );
    }
    assert_eq!(removed.after(at(0)).len(), 3);
    assert_eq!(removed.unknown_through(), at(groups + 5));
    assert_eq!(Removed::decode(&removed.encode()), Some(removed));
}

#[test]
fn what_is_no_summary_is_not_read() {
    for text in ["", "1", "1\tx\n", "1\t1\nx\ta/b\n", "1\t1\n2\n"] {
        assert_eq!(Removed::decode(text), None, "{text:?}");
    }
}

fn at(position: u64) -> Position {
    Position::new(position)
}

fn event(position: u64, topic: &str) -> (Position, Topics) {
    (at(position), Topics::one(Topic::of_hub(topic)))
}

#[track_caller]
fn check(removed: &Removed, after: u64, expected: &[&str]) {
    let after = removed.after(at(after));
    let topics = after.iter().map(|(_, topics)| topics.canonical().as_str());
    assert_eq!(topics.collect::<Vec<_>>(), expected);
}
