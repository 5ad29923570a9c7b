//! What fits between the marks.

use super::*;

fn limits(messages: usize, bytes: usize) -> Limits {
    Limits {
        queue_messages_max: messages,
        queue_bytes_max: bytes,
        total_bytes_max: 1000,
        message_bytes_max: 100,
        peers_max: 1,
        subscriptions_max: 1,
        handshake: std::time::Duration::ZERO,
        heartbeat: std::time::Duration::ZERO,
    }
}

/// Messages of ten bytes on the wire.
fn chunk(count: usize) -> Chunk {
    let mut wire = Vec::new();
    let mut messages = Vec::new();
    for _ in 0..count {
        frame::encode_message(&mut wire, &[b"12345678"]);
        let end = wire.len();
        messages.push(Extent {
            end,
            first: end - 8,
            first_len: 8,
            parts: 1,
        });
    }
    Chunk {
        wire: wire.into(),
        messages,
        place: None,
    }
}

fn at(place: u64) -> Chunk {
    Chunk {
        place: Some(Position::new(place)),
        ..chunk(2)
    }
}

#[test]
fn messages_beyond_the_high_water_mark_are_lost_and_counted() {
    let mut outbox = Outbox::default();
    assert_eq!(outbox.offer(&chunk(3), 0..3, &limits(5, 1000), 0), 0);
    assert_eq!(outbox.offer(&chunk(3), 0..3, &limits(5, 1000), 0), 1);
    assert_eq!(outbox.offer(&chunk(3), 1..3, &limits(5, 1000), 0), 2);
    assert_eq!(outbox.bytes(), 50);
    assert!(!outbox.has_space(&limits(5, 1000)));
}

#[test]
fn bytes_beyond_the_mark_are_lost_too() {
    let mut outbox = Outbox::default();
    assert_eq!(outbox.offer(&chunk(5), 0..5, &limits(100, 39), 0), 2);
    assert_eq!(outbox.bytes(), 30);
}

#[test]
fn a_message_longer_than_the_mark_goes_to_an_empty_outbox() {
    let mut outbox = Outbox::default();
    assert_eq!(outbox.offer(&chunk(2), 0..2, &limits(100, 5), 0), 1);
    assert_eq!(outbox.offer(&chunk(1), 0..1, &limits(100, 5), 0), 1);
}

#[test]
fn when_all_peers_together_have_too_much_only_a_little_may_wait() {
    let mut outbox = Outbox::default();
    let total = 1000;
    let count = 2 * FLOOR_BYTES / 10;
    let lost = outbox.offer(
        &chunk(count),
        0..count,
        &limits(1_000_000, 1_000_000),
        total,
    );
    assert!(outbox.bytes() <= FLOOR_BYTES && lost > 0);
    assert_eq!(outbox.bytes() / 10 + lost, count);
}

#[test]
fn what_did_not_begin_to_go_out_is_given_back() {
    let mut outbox = Outbox::default();
    outbox.offer(&chunk(2), 0..2, &limits(9, 1000), 0);
    outbox.offer(&chunk(3), 0..3, &limits(9, 1000), 0);
    outbox.control(vec![4, 0]);
    assert_eq!(outbox.advance(5), 0);
    let mut other = Outbox::default();
    assert_eq!(outbox.give_back(&mut other), 2);
    assert_eq!((outbox.bytes(), other.bytes()), (0, 30));
}

#[test]
fn messages_count_as_out_when_their_segment_is() {
    let mut outbox = Outbox::default();
    outbox.offer(&chunk(2), 0..2, &limits(9, 1000), 0);
    outbox.offer(&chunk(3), 0..3, &limits(9, 1000), 0);
    assert_eq!(outbox.advance(19), 0);
    assert_eq!(outbox.advance(2), 2);
    assert_eq!(outbox.advance(29), 3);
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn a_peer_that_reads_nothing_gathers_few_answers() {
    let mut outbox = Outbox::default();
    for _ in 0..100 {
        outbox.control(vec![0; 10]);
    }
    assert_eq!(outbox.bytes(), 10 * CONTROL_MAX);
}

#[test]
fn the_first_place_is_that_of_what_is_not_written() {
    let mut outbox = Outbox::default();
    outbox.offer(&at(7), 0..2, &limits(100, 1000), 0);
    outbox.offer(&at(9), 0..2, &limits(100, 1000), 0);
    outbox.offer(&chunk(1), 0..1, &limits(100, 1000), 0);
    assert_eq!(outbox.first_place(), Some(Position::new(7)));
    outbox.advance(19);
    assert_eq!(outbox.first_place(), Some(Position::new(7)));
    outbox.advance(1);
    assert_eq!(outbox.first_place(), Some(Position::new(9)));
    outbox.advance(20);
    assert_eq!(outbox.first_place(), None);
}

/// A peer that has begun to read a message gets the rest of it.
#[test]
fn what_is_partly_written_is_not_cleared() {
    let mut outbox = Outbox::default();
    outbox.offer(&at(7), 0..2, &limits(100, 1000), 0);
    outbox.offer(&at(9), 0..2, &limits(100, 1000), 0);
    outbox.advance(5);
    outbox.clear();
    assert_eq!(outbox.bytes(), 15);
    assert_eq!(outbox.first_place(), Some(Position::new(7)));
    assert_eq!(outbox.advance(15), 2);
    assert_eq!((outbox.bytes(), outbox.first_place()), (0, None));
    outbox.offer(&at(9), 0..2, &limits(100, 1000), 0);
    outbox.clear();
    assert_eq!((outbox.bytes(), outbox.first_place()), (0, None));
}
