//! Tests of [`sse_decoder`](super): the examples of the standard, splits and truncations.

use proptest::prelude::*;

use super::*;

#[test]
fn three_lines_of_data_are_one_event() {
    check(
        "data: YHOO\ndata: +2\ndata: 10\n\n",
        "message \"YHOO\\n+2\\n10\" after \"\"",
    );
}

#[test]
fn the_second_example_of_the_standard() {
    check(
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        "comment \" test stream\"\n\
         message \"first event\" after \"1\"\n\
         message \"second event\" after \"\"\n\
         message \" third event\" after \"\"",
    );
}

#[test]
fn the_third_example_of_the_standard() {
    check(
        "data\n\ndata\ndata\n\ndata:",
        "message \"\" after \"\"\nmessage \"\\n\" after \"\"",
    );
}

#[test]
fn one_space_after_the_colon_is_dropped() {
    check(
        "data:test\n\ndata: test\n\n",
        "message \"test\" after \"\"\nmessage \"test\" after \"\"",
    );
    check("data:\ttest\n\n", "message \"\\ttest\" after \"\"");
}

#[test]
fn cr_lf_and_crlf_end_lines() {
    check(
        "data: a\r\rdata: b\r\n\r\ndata: c\n\n",
        "message \"a\" after \"\"\nmessage \"b\" after \"\"\nmessage \"c\" after \"\"",
    );
    check("data: a\r\n\n", "message \"a\" after \"\"");
    check("data: a\n\r", "message \"a\" after \"\"");
}

#[test]
fn one_byte_order_mark_is_dropped_at_the_beginning_only() {
    check("\u{feff}data: a\n\n", "message \"a\" after \"\"");
    check("\u{feff}\u{feff}data: a\n\n", "");
    check("\n\u{feff}data: a\n\n", "");
    check(
        "\u{feff}\ndata: \u{feff}\n\n",
        "message \"\\u{feff}\" after \"\"",
    );
}

#[test]
fn the_type_is_that_of_one_event_only() {
    check(
        "event: add\ndata: 1\n\nevent: remove\n\ndata: 2\n\nevent\ndata: 3\n\n",
        "add \"1\" after \"\"\nmessage \"2\" after \"\"\nmessage \"3\" after \"\"",
    );
}

#[test]
fn an_id_lasts_until_the_next_and_counts_from_the_empty_line_on() {
    check("id: 1\n\ndata: a\n\nid: 2\n", "message \"a\" after \"1\"");
    let mut decoder = Decoder::new(100, "0");
    let mut decoded = Vec::new();
    for (part, expected) in [
        ("id: 1\ndata: a\n", "0"),
        ("\n", "1"),
        ("id: 2\n", "1"),
        ("\n", "2"),
    ] {
        decoder
            .push(part.as_bytes(), &mut decoded)
            .expect("it fits");
        assert_eq!(decoder.last_event_id(), expected, "after {part:?}");
    }
}

#[test]
fn the_id_of_the_request_lasts_too() {
    let mut decoded = Vec::new();
    Decoder::new(100, "7")
        .push(b"data: a\n\n", &mut decoded)
        .expect("it fits");
    assert_eq!(shown(&decoded), "message \"a\" after \"7\"");
}

#[test]
fn an_id_with_nul_is_ignored() {
    check(
        "id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n",
        "message \"a\" after \"1\"\nmessage \"b\" after \"1\"",
    );
}

#[test]
fn retry_takes_digits_only() {
    check("retry: 1000\n", "retry 1000");
    check("retry: 007\n", "retry 7");
    check(
        "retry: 99999999999999999999\n",
        "retry 18446744073709551615",
    );
    check(
        "retry\nretry:\nretry: -1\nretry: 1s\nretry: +1\nretry:  1\n",
        "",
    );
}

#[test]
fn unknown_fields_are_ignored() {
    check("datum: a\nData: b\n data: c\ndata : d\n\n", "");
}

#[test]
fn a_comment_does_not_end_an_event() {
    check(
        "data: a\n:\ndata: b\n\n",
        "comment \"\"\nmessage \"a\\nb\" after \"\"",
    );
}

#[test]
fn bytes_that_are_not_utf_8_are_replaced() {
    check_bytes(
        b"data: a\xffb\xe2\x82\n\n",
        "message \"a\u{fffd}b\u{fffd}\" after \"\"",
    );
    check_bytes(
        b"\xef\xbb\ndata: a\xf0\x9f\r\n\r\n",
        "message \"a\u{fffd}\" after \"\"",
    );
}

#[test]
fn an_event_over_the_bound_is_an_error_for_good() {
    let mut decoded = Vec::new();
    let mut decoder = Decoder::new(10, "");
    decoder
        .push(b"data: 1234\n\n", &mut decoded)
        .expect("it fits");
    let error = decoder
        .push(b"data: 1\n\ndata: 12345\n\n", &mut decoded)
        .expect_err("11 bytes");
    assert_eq!(
        error.to_string(),
        "an event of the stream is longer than 10 bytes"
    );
    assert_eq!(
        shown(&decoded),
        "message \"1234\" after \"\"\nmessage \"1\" after \"\""
    );
    assert_eq!(decoder.push(b"", &mut decoded), Err(error));
}

#[test]
fn many_short_lines_are_bounded_too() {
    let mut decoder = Decoder::new(100, "");
    let mut decoded = Vec::new();
    let pushes = (0..1000)
        .take_while(|_| decoder.push(b"data: x\n", &mut decoded).is_ok())
        .count();
    assert_eq!(pushes, 47);
    let mut decoder = Decoder::new(100, "");
    let pushes = (0..1000)
        .take_while(|_| decoder.push(b"x", &mut decoded).is_ok())
        .count();
    assert_eq!(pushes, 100);
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_give_the_same(
        stream in "(data|id|event|retry|:|: |\r|\n|\r\n|\n\n|1|é|\u{feff}|\0|x){0,60}",
        cuts in prop::collection::vec(0_usize..100, 0..6),
    ) {
        let mut decoder = Decoder::new(1000, "");
        let mut decoded = Vec::new();
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        for piece in cuts.windows(2) {
            decoder.push(&stream.as_bytes()[piece[0]..piece[1]], &mut decoded).expect("it fits");
        }
        prop_assert_eq!(decoded, decode_in_two(stream.as_bytes(), 0));
    }
}

#[track_caller]
fn check(stream: &str, expected: &str) {
    check_bytes(stream.as_bytes(), expected);
}

/// Checks that every split into two pushes gives `expected`, and every truncation a beginning of
/// it.
#[track_caller]
fn check_bytes(stream: &[u8], expected: &str) {
    let whole = decode_in_two(stream, 0);
    assert_eq!(shown(&whole), expected);
    for split in 0..=stream.len() {
        assert_eq!(
            shown(&decode_in_two(stream, split)),
            expected,
            "split at {split}"
        );
        let truncated = decode_in_two(&stream[..split], 0);
        assert!(
            whole.starts_with(&truncated),
            "truncated at {split}: {truncated:?}"
        );
    }
}

fn decode_in_two(stream: &[u8], split: usize) -> Vec<Decoded> {
    let mut decoder = Decoder::new(1000, "");
    let mut decoded = Vec::new();
    let (first, second) = stream.split_at(split);
    decoder.push(first, &mut decoded).expect("it fits");
    decoder.push(second, &mut decoded).expect("it fits");
    decoded
}

fn shown(decoded: &[Decoded]) -> String {
    let lines: Vec<_> = decoded
        .iter()
        .map(|decoded| match decoded {
            Decoded::Event(event) => {
                format!(
                    "{} {:?} after {:?}",
                    event.event_type, event.data, event.last_event_id
                )
            }
            Decoded::Comment(comment) => format!("comment {comment:?}"),
            Decoded::Retry(ms) => format!("retry {ms}"),
        })
        .collect();
    lines.join("\n")
}
