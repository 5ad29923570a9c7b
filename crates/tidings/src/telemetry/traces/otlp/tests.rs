//! What collectors answer. What the hub sends is decoded by conformance/test_traces.py.

use super::*;

/// Seven spans are rejected, with a reason; before that a field of each wire type that nobody knows.
fn answer() -> Vec<u8> {
    let mut partial = Message::default();
    partial.bytes(2, b"too old");
    partial.number(1, 7);
    let mut answer = Message::default();
    answer.number(9, u64::MAX);
    answer.fixed64(9, 1);
    answer.fixed32(9, 1);
    answer.message(1, &partial);
    answer.0
}

#[test]
fn what_a_collector_did_not_take_is_read() {
    assert_eq!(rejected(&answer()), 7);
    assert_eq!(rejected(b""), 0);
    // An empty `partial_success` rejects nothing.
    assert_eq!(rejected(&[10, 0]), 0);
    assert_eq!(rejected(b"<html>busy</html>"), 0);
}

#[test]
fn every_truncation_and_every_changed_byte_is_read_without_a_panic() {
    let answer = answer();
    for length in 0..answer.len() {
        assert_eq!(rejected(answer.get(..length).unwrap()), 0, "{length}");
    }
    for place in 0..answer.len() {
        for byte in 0..=u8::MAX {
            let mut changed = answer.clone();
            changed[place] = byte;
            rejected(&changed);
        }
    }
    // A length without bytes, and a number without an end.
    assert_eq!(rejected(&[&[10][..], &[0xff; 9], &[1]].concat()), 0);
    assert_eq!(rejected(&[0xff; 20]), 0);
}
