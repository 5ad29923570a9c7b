//! How each flaw is counted.

use super::*;

#[test]
fn each_flaw_is_counted_as_what_it_is() {
    let fine = Flaws::default();
    check(&[&[0, 1, 2], &[0, 1, 2]], Publishing::OneByOne, fine);
    check(&[&[1, 0, 2], &[1, 0, 2]], Publishing::AtOnce, fine);
    check(
        &[&[1, 0, 2], &[1, 0, 2]],
        Publishing::OneByOne,
        Flaws {
            order_errors: 1,
            ..fine
        },
    );
    check(
        &[&[0, 1, 2], &[0, 2]],
        Publishing::AtOnce,
        Flaws { lost: 1, ..fine },
    );
    check(
        &[&[0, 1, 2], &[0, 1]],
        Publishing::AtOnce,
        Flaws { lost: 1, ..fine },
    );
    check(
        &[&[0, 1, 2], &[0, 1, 1, 2]],
        Publishing::AtOnce,
        Flaws {
            duplicates: 1,
            ..fine
        },
    );
    check(
        &[&[0, 1, 2], &[0, 2, 1]],
        Publishing::AtOnce,
        Flaws {
            order_errors: 1,
            ..fine
        },
    );
}

#[test]
fn an_update_of_another_topic_is_misrouted() {
    let mut ledger = Ledger::new(2);
    ledger.add(0);
    ledger.on_delivery(0, 1, 0);
    let flaws = ledger.flaws(&[0, 1], Publishing::OneByOne);
    assert_eq!(
        flaws,
        Flaws {
            misrouted: 1,
            ..Flaws::default()
        }
    );
}

#[track_caller]
fn check(received: &[&[u32]], publishing: Publishing, expected: Flaws) {
    let mut ledger = Ledger::new(1);
    received.iter().for_each(|_| ledger.add(0));
    for (connection, numbers) in received.iter().enumerate() {
        numbers
            .iter()
            .for_each(|number| ledger.on_delivery(connection, 0, *number));
    }
    assert_eq!(ledger.flaws(&[3], publishing), expected);
}
