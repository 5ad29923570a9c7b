//! The events are the same however the stream is split into reads and chunks.

use super::{BadChunk, Body, Event, Events};

const STREAM: &str =
    "retry: 1\n\n:\nid: 1\ndata: one\n\n:\n\nevent: x\nid: 2\ndata: two\ndata: lines\n\n";

#[test]
fn events_are_found_wherever_a_plain_stream_is_cut() {
    for cut in 0..=STREAM.len() {
        check(Body::Plain, STREAM.as_bytes(), cut);
    }
}

#[test]
fn events_are_found_wherever_a_chunked_stream_is_cut() {
    for chunk in [1, 2, 7, 26, STREAM.len()] {
        let mut chunked = Vec::new();
        for piece in STREAM.as_bytes().chunks(chunk) {
            chunked.extend_from_slice(format!("{:X}\r\n", piece.len()).as_bytes());
            chunked.extend_from_slice(piece);
            chunked.extend_from_slice(b"\r\n");
        }
        chunked.extend_from_slice(b"0\r\n\r\n");
        for cut in 0..=chunked.len() {
            check(Body::Chunked, &chunked, cut);
        }
    }
}

#[test]
fn a_size_that_is_no_number_is_an_error() {
    let mut events = Events::new(Body::Chunked);
    assert_eq!(events.push(b"1g\r\n", |_| {}), Err(BadChunk));
    let mut events = Events::new(Body::Chunked);
    assert_eq!(events.push(b"fffffffffffffffff\r\n", |_| {}), Err(BadChunk));
}

#[track_caller]
fn check(body: Body, stream: &[u8], cut: usize) {
    let event = |id: &str, data: &str| Event {
        id: id.to_owned(),
        data: data.into(),
    };
    let (mut events, mut found) = (Events::new(body), Vec::new());
    let (head, tail) = stream.split_at(cut);
    for piece in [head, tail] {
        let pushed = events.push(piece, |event| found.push(event.clone()));
        assert_eq!(pushed, Ok(()), "cut at {cut}");
    }
    assert_eq!(
        found,
        [event("1", "one"), event("2", "two\nlines")],
        "cut at {cut}"
    );
}
