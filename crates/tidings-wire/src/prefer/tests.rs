//! What counts as the preference `wait`, by the grammar and the examples of RFC 7240.

use super::wait;

#[test]
fn the_examples_of_the_standard_are_read() {
    // RFC 7240, 2, 4.1 and 4.3.
    check(&["respond-async, wait=10"], Some(10));
    check(&["respond-async", "wait=10"], Some(10));
    check(&["priority=5", "foo; bar", "foo; bar=\"\""], None);
    check(&["wait=100; priority=5"], Some(100));
}

#[test]
fn names_have_no_case_and_spaces_may_stand_around_everything() {
    check(&["  WAIT \t=  7  ;x=y"], Some(7));
    check(&[",, ,wait=3,,"], Some(3));
}

#[test]
fn a_quoted_word_is_a_word() {
    check(&["wait=\"10\""], Some(10));
    check(&["wait=\"\""], None);
    check(&["wait=\"10"], None);
}

#[test]
fn what_stands_in_quotes_or_in_a_parameter_is_no_preference() {
    check(&["foo=\"a, wait=1\""], None);
    check(&["foo=\"a\\\", wait=1\""], None);
    check(&["foo=\"a\", wait=2"], Some(2));
    check(&["foo; wait=1"], None);
    check(&["foo=\"x;y\"; wait=1, wait=4"], Some(4));
    check(&["waiting=1, no-wait=2"], None);
}

#[test]
fn only_the_first_counts_even_if_it_says_nothing() {
    check(&["wait=1, wait=2", "wait=3"], Some(1));
    check(&["wait=x, wait=2"], None);
    check(&["wait, wait=2"], None);
}

#[test]
fn only_digits_are_seconds_and_too_many_are_the_most() {
    for word in ["", "-1", "+1", "1.5", "1 2", "0x1", "ten", "\u{0661}"] {
        check(&[&format!("wait={word}")], None);
    }
    check(&["wait=0"], Some(0));
    check(&["wait=00099999999999999999999999999"], Some(u64::MAX));
}

#[track_caller]
fn check(fields: &[&str], expected: Option<u64>) {
    assert_eq!(
        wait(fields.iter().map(|field| field.as_bytes())),
        expected,
        "{fields:?}"
    );
}
