//! Tests of [`sse`](super): the written form, and that the decoder reads it back.

use proptest::prelude::*;

use super::*;
use crate::sse_decoder::{DEFAULT_EVENT_TYPE, Decoded, Decoder, Event};

#[test]
fn fields_come_in_a_fixed_order() {
    let event = EventFields {
        event_type: Some("news"),
        retry_ms: Some(1500),
        id: "7",
        data: "a",
    };
    assert_eq!(
        encode(event),
        "event: news\nretry: 1500\nid: 7\ndata: a\n\n"
    );
}

#[test]
fn every_line_break_starts_a_data_line() {
    check(
        "a\nb\r\nc\rd",
        "id: 7\ndata: a\ndata: b\ndata: c\ndata: d\n\n",
    );
    check("a\n\rb", "id: 7\ndata: a\ndata: \ndata: b\n\n");
    check("\r\n", "id: 7\ndata: \ndata: \n\n");
    check("a\n", "id: 7\ndata: a\ndata: \n\n");
}

#[test]
fn empty_data_is_still_an_event() {
    check("", "id: 7\ndata: \n\n");
}

#[test]
fn a_value_that_begins_with_a_space_keeps_it() {
    check(" a: b", "id: 7\ndata:  a: b\n\n");
}

#[test]
fn numbers_are_written_in_full() {
    for ms in [0, 9, 10, 99, 100, u64::MAX] {
        let mut out = Vec::new();
        encode_retry(&mut out, ms);
        assert_eq!(String::from_utf8_lossy(&out), format!("retry: {ms}\n\n"));
    }
}

#[test]
fn the_keep_alive_is_a_comment() {
    let mut decoded = Vec::new();
    Decoder::new(10, "")
        .push(KEEP_ALIVE, &mut decoded)
        .expect("it fits");
    assert_eq!(decoded, [Decoded::Comment(String::new())]);
}

proptest! {
    #[test]
    fn an_encoded_event_is_decoded(
        event_type in prop::option::of("[^\r\n]{1,10}"),
        retry_ms: Option<u64>,
        id in "[^\r\n\0]{0,10}",
        payload in "([^\r]|\r\n|\r|\n){0,30}",
    ) {
        let fields = EventFields {
            event_type: event_type.as_deref(), retry_ms, id: &id, data: &payload,
        };
        let stream = encode(fields);
        prop_assert_eq!(stream.len(), event_len(fields));
        let mut decoded = Vec::new();
        Decoder::new(1000, "").push(stream.as_bytes(), &mut decoded).expect("it fits");
        let mut expected: Vec<_> = retry_ms.map(Decoded::Retry).into_iter().collect();
        expected.push(Decoded::Event(Event {
            event_type: event_type.clone().unwrap_or_else(|| DEFAULT_EVENT_TYPE.into()),
            data: payload.replace("\r\n", "\n").replace('\r', "\n"),
            last_event_id: id.clone(),
        }));
        prop_assert_eq!(decoded, expected);
    }
}

#[track_caller]
fn check(payload: &str, expected: &str) {
    let event = EventFields {
        event_type: None,
        retry_ms: None,
        id: "7",
        data: payload,
    };
    assert_eq!(encode(event), expected);
    assert_eq!(event_len(event), expected.len());
}

fn encode(event: EventFields<'_>) -> String {
    let mut out = Vec::new();
    encode_event(&mut out, event);
    String::from_utf8(out).expect("text in, text out")
}
