//! Tests of [`frame`](super).

use super::*;
use crate::sse::KEEP_ALIVE;

#[test]
fn a_frame_is_a_chunk_around_the_event() {
    let frame = Frame::encode(event("a"));
    assert_eq!(frame.event(), "id: 7\ndata: a\n\n");
    assert_eq!(frame.chunk(), "f\r\nid: 7\ndata: a\n\n\r\n");
    assert_eq!(frame.event_len(), 15);
}

#[test]
fn the_event_shares_the_bytes_of_the_chunk() {
    let frame = Frame::encode(event("a"));
    assert!(
        frame
            .chunk()
            .as_ptr_range()
            .contains(&frame.event().as_ptr())
    );
}

#[test]
fn the_size_is_right_for_every_number_of_digits() {
    for payload_len in [0, 1, 2, 241, 242, 243, 4081, 4082, 4083, 70_000] {
        let frame = Frame::encode(event(&"x".repeat(payload_len)));
        let (size, rest) = split_once_crlf(frame.chunk());
        let event_len = usize::from_str_radix(size, 16).expect("a size in hex");
        assert_eq!(size, size.to_ascii_lowercase());
        assert_eq!(event_len, frame.event_len());
        assert_eq!(rest.len(), event_len + 2);
        assert_eq!(rest.get(..event_len).expect("ASCII"), frame.event());
        assert!(rest.ends_with("\r\n"));
    }
}

#[test]
fn a_retry_frame_has_no_event() {
    assert_eq!(Frame::retry(5000).event(), "retry: 5000\n\n");
    assert_eq!(Frame::retry(5000).chunk(), "d\r\nretry: 5000\n\n\r\n");
}

#[test]
fn the_keep_alive_chunk_holds_the_keep_alive() {
    let expected = [b"2\r\n", KEEP_ALIVE, b"\r\n"].concat();
    assert_eq!(KEEP_ALIVE_CHUNK, expected);
}

fn event(payload: &str) -> EventFields<'_> {
    EventFields {
        event_type: None,
        retry_ms: None,
        id: "7",
        data: payload,
    }
}

fn split_once_crlf(chunk: &[u8]) -> (&str, &str) {
    std::str::from_utf8(chunk)
        .expect("text")
        .split_once("\r\n")
        .expect("a size line")
}
