//! Below which id no row comes any more.

use super::{Floor, Seen};

fn seen(last: i64, newest: Option<i64>, oldest: i64) -> Seen {
    Seen {
        numbering: "1".to_owned(),
        last,
        newest,
        oldest,
    }
}

#[test]
fn the_floor_rises_when_all_have_ended_that_could_fill_it() {
    let mut floor = Floor::none();
    assert!(floor.wants_mark());
    floor.on_seen(seen(7, Some(100), 90), None);
    assert!(!floor.wants_mark(), "one mark at a time");
    floor.on_seen(seen(9, None, 99), None);
    assert_eq!(floor.id, 0, "transaction 99 may still commit a row");
    floor.on_seen(seen(9, None, 100), None);
    assert_eq!(floor.id, 7);
    assert!(floor.wants_mark(), "8 and 9 were given out since");
    floor.on_seen(seen(9, Some(110), 105), None);
    floor.on_seen(seen(9, None, 120), None);
    assert_eq!(floor.id, 9);
    assert!(
        !floor.wants_mark(),
        "an inbox without writers costs no transactions"
    );
}

#[test]
fn the_floor_stays_below_rows_that_were_not_removed() {
    let mut floor = Floor::none();
    floor.on_seen(seen(7, Some(100), 90), Some(3));
    floor.on_seen(seen(7, None, 100), Some(3));
    assert_eq!(floor.id, 2);
    assert!(floor.wants_mark());
}

#[test]
fn the_floor_of_one_numbering_is_not_that_of_another_one() {
    let mut floor = Floor::none();
    floor.on_seen(seen(7, Some(100), 90), None);
    floor.on_seen(seen(7, None, 100), None);
    assert_eq!(floor.id, 7);
    floor.on_seen(seen(9, Some(110), 100), None);
    let other = Seen {
        numbering: "2".to_owned(),
        ..seen(9, None, 120)
    };
    floor.on_seen(other, None);
    assert_eq!(floor.id, 0, "nor is what was to be the next one");
    assert!(floor.wants_mark());
}

#[test]
fn the_floor_is_gone_once_the_sequence_was_set_back() {
    let mut floor = Floor::none();
    floor.on_seen(seen(7, Some(100), 90), None);
    floor.on_seen(seen(7, None, 100), None);
    assert_eq!(floor.id, 7);
    floor.on_seen(seen(2, None, 110), None);
    assert_eq!(floor.id, 0);
    // Nor does it rise to what it was about to be.
    floor.on_seen(seen(7, Some(120), 110), None);
    floor.on_seen(seen(2, None, 110), None);
    floor.on_seen(seen(8, None, 130), None);
    assert_eq!(floor.id, 0, "5 may be that of a transaction since");
}
