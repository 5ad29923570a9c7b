//! Each kind of flaw is detected, and correct behaviour is not reported.

use super::{Account, Flaws, Next, Progress};

#[test]
fn updates_on_their_way_at_once_may_have_any_order_that_all_agree_on() {
    let mut account = Account::new(1, 2);
    for number in 0..4 {
        assert_eq!(account.on_sent(0), number);
    }
    let mut one = [Progress::new(0, Next::Place(0))];
    receive(&mut account, &mut one, &[0, 1, 3, 2]);
    let mut other = [Progress::new(0, Next::Place(0))];
    receive(&mut account, &mut other, &[0, 1, 3, 2]);
    check(&account, &other, |_| {});
    assert_eq!(account.delivered(), 8);
    let mut stubborn = [Progress::new(0, Next::Place(0))];
    receive(&mut account, &mut stubborn, &[0, 1, 2, 3]);
    check(&account, &stubborn, |flaws| {
        flaws.lost = 0;
        flaws.order_errors = 1;
    });
}

#[test]
fn what_was_sent_after_an_acknowledgement_may_not_overtake() {
    let mut account = acknowledged(4);
    let mut one = [Progress::new(0, Next::Place(0))];
    receive(&mut account, &mut one, &[0, 1, 3, 2]);
    check(&account, &one, |flaws| flaws.order_errors = 1);
}

#[test]
fn one_who_begins_ahead_of_all_others_does_not_set_the_order() {
    let mut account = acknowledged(6);
    let mut new = [Progress::new(0, Next::NotAfter(3))];
    receive(&mut account, &mut new, &[3, 4]);
    assert_eq!(account.outstanding(&new[0]), 2);
    let mut late = [Progress::new(0, Next::NotAfter(2))];
    receive(&mut account, &mut late, &[3, 4]);
    let mut first = [Progress::new(0, Next::Place(0))];
    receive(&mut account, &mut first, &[0, 1, 2, 3, 4]);
    account.take_waiting(&mut new[0]);
    check(&account, &new, |flaws| flaws.missing = 1);
    receive(&mut account, &mut new, &[5]);
    receive(&mut account, &mut first, &[5]);
    check(&account, &new, |_| {});
    account.take_waiting(&mut late[0]);
    check(&account, &late, |flaws| flaws.lost = 2);
}

#[test]
fn a_gap_is_a_loss_and_filling_it_later_an_order_error() {
    let mut account = acknowledged(4);
    receive(
        &mut account,
        &mut [Progress::new(0, Next::Place(0))],
        &[0, 1, 2, 3],
    );
    let mut late = [Progress::new(0, Next::Place(0))];
    receive(&mut account, &mut late, &[0, 3]);
    check(&account, &late, |flaws| flaws.lost = 2);
    receive(&mut account, &mut late, &[1]);
    check(&account, &late, |flaws| {
        flaws.lost = 1;
        flaws.order_errors = 1;
    });
}

#[test]
fn what_comes_twice_is_a_duplicate() {
    let mut account = acknowledged(2);
    let mut one = [Progress::new(0, Next::Place(0))];
    receive(&mut account, &mut one, &[0, 1, 1]);
    check(&account, &one, |flaws| flaws.duplicates = 1);
}

#[test]
fn what_never_comes_is_missing_only_if_it_was_acknowledged() {
    let mut account = acknowledged(2);
    let unanswered = account.on_sent(0);
    account.on_given_up(0, unanswered);
    let mut one = [Progress::new(0, Next::Place(0))];
    receive(&mut account, &mut one, &[0]);
    check(&account, &one, |flaws| flaws.missing = 1);
    assert_eq!((account.acknowledged(), account.given_up()), (2, 1));
}

#[test]
fn what_got_no_answer_may_come_but_not_after_what_was_sent_later() {
    let mut account = Account::new(1, 2);
    let unanswered = account.on_sent(0);
    account.on_given_up(0, unanswered);
    let later = account.on_sent(0);
    let mut one = [Progress::new(0, Next::Place(0))];
    receive(&mut account, &mut one, &[later, unanswered]);
    check(&account, &one, |flaws| flaws.order_errors = 1);
}

#[test]
fn a_new_subscriber_must_get_everything_sent_since_it_was_let_in() {
    let mut account = acknowledged(10);
    receive(
        &mut account,
        &mut [Progress::new(0, Next::Place(0))],
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    let mut in_time = [Progress::new(0, Next::NotAfter(5))];
    receive(&mut account, &mut in_time, &[5, 6, 7, 8, 9]);
    check(&account, &in_time, |_| {});
    let mut early = [Progress::new(0, Next::NotAfter(5))];
    receive(&mut account, &mut early, &[3, 4, 5, 6, 7, 8, 9]);
    check(&account, &early, |_| {});
    let mut nothing = [Progress::new(0, Next::NotAfter(8))];
    receive(&mut account, &mut nothing, &[]);
    check(&account, &nothing, |flaws| flaws.lost = 2);
    let mut late = [Progress::new(0, Next::NotAfter(5))];
    receive(&mut account, &mut late, &[8, 9]);
    check(&account, &late, |flaws| flaws.lost = 3);
}

#[test]
fn what_nobody_asked_for_is_misrouted_and_another_id_misnamed() {
    let mut account = acknowledged(1);
    let mut other = [Progress::new(7, Next::Place(0))];
    assert_eq!(account.on_delivery(&mut other, 0, 0, "id 0"), None);
    let mut unsent = [Progress::new(0, Next::Place(0))];
    assert_eq!(account.on_delivery(&mut unsent, 0, 99, "id 99"), None);
    assert_eq!(account.on_delivery(&mut unsent, 0, 0, "id 1"), Some(0));
    check(&account, &unsent, |flaws| {
        flaws.misrouted = 2;
        flaws.misnamed = 1;
    });
}

/// Returns an account of one topic whose updates were sent and acknowledged one by one.
fn acknowledged(updates: u32) -> Account {
    let mut account = Account::new(1, 2);
    for _ in 0..updates {
        let number = account.on_sent(0);
        account.on_acknowledged(0, number, &format!("id {number}"));
    }
    account
}

fn receive(account: &mut Account, progress: &mut [Progress], numbers: &[u32]) {
    for number in numbers {
        account.on_delivery(progress, 0, *number, &format!("id {number}"));
    }
}

#[track_caller]
fn check(account: &Account, progress: &[Progress], expect: impl Fn(&mut Flaws)) {
    let mut expected = Flaws::default();
    expect(&mut expected);
    assert_eq!(account.flaws(progress.iter()), expected);
}
