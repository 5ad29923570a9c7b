//! Taking answers apart: what is right, and what is not.

use super::*;

#[test]
fn places_are_numbers_of_which_some_were_known() {
    let new = |number| Place::New(Position::new(number));
    let known = |number| Place::Known(Position::new(number));
    check("12,13,=6", Some(vec![new(12), new(13), known(6)]));
    check("=1", Some(vec![known(1)]));
    for wrong in [
        "",
        ",",
        "1,",
        "=",
        "==1",
        "+1",
        "-1",
        "1e15",
        "99999999999999999999",
    ] {
        check(wrong, None);
    }
}

#[test]
fn a_header_has_seven_words() {
    let print = "00112233445566778899aabbccddeeff";
    let good = format!("1 {print} 1800000000123 1122334455667788 99aabbccddeeff00 42 7");
    let header = Header::parse(&good).unwrap();
    assert_eq!(hex(&header.print.bytes()), print);
    assert_eq!(header.published_ms, 1_800_000_000_123);
    assert_eq!(
        origin(header.origin),
        "1122334455667788 99aabbccddeeff00 42 7"
    );
    for end in 0..good.len() - 1 {
        let cut: String = good.chars().take(end).collect();
        assert!(Header::parse(&cut).is_none(), "{cut:?}");
    }
    assert!(Header::parse(&format!("{good} 1")).is_none());
    assert!(Header::parse(&good.replacen('1', "2", 1)).is_none());
    assert!(Header::parse(&good.replace("00112233", "0011223g")).is_none());
}

#[test]
fn what_is_no_answer_is_an_error() {
    for value in [
        Value::Nil,
        Value::Okay,
        Value::Int(1),
        Value::Array(Vec::new()),
        Value::Array(vec![Value::Nil]),
        Value::Array(vec![Value::Array(Vec::new())]),
    ] {
        assert!(Answer::read(value.clone()).is_err());
        assert!(state(value.clone()).is_err());
        assert!(init(value).is_err());
    }
    let line = [
        "line",
        "0123456789abcdef",
        "8",
        "",
        "too short",
        "7",
        "whole",
    ];
    let line = line.map(|word| Value::BulkString(word.into()));
    assert_eq!(state(Value::Array(line.to_vec())).unwrap(), State::Half);
}

#[track_caller]
fn check(text: &str, expected: Option<Vec<Place>>) {
    assert_eq!(places(text), expected, "{text:?}");
}
