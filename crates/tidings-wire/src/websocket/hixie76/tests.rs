//! The examples of the draft, and of the SockJS protocol.

use super::*;

#[test]
fn the_examples_are_answered() {
    let draft = Keys::parse(
        "18x 6]8vM;54 *(5:  {   U1]8  z [  8",
        "1_ tx7X d  <  nw  334J702) 7]o}` 0",
    );
    assert_eq!(draft.unwrap().answer(*b"Tm[K T2u"), *b"fQJ,fN/4F4!~K~MH");
    let sockjs = Keys::parse("4 @1  46546xW%0l 1 5", "12998 5 Y3 1  .P00").unwrap();
    assert_eq!(
        sockjs.answer(*b"aaaaaaaa"),
        *b"\xca4\x00\xd8\xa5\x08G\x97,\xd5qZ\xba\xbfC{"
    );
}

#[test]
fn keys_without_spaces_or_that_do_not_divide_are_refused() {
    for key in [
        "",
        "12",
        "1 2 3 4 5",
        "  ",
        "99999999999999999999999 ",
        "9999999999 ",
    ] {
        assert_eq!(Keys::parse(key, "4 "), None, "{key:?}");
    }
    assert!(Keys::parse("4294967295 ", "0 ").is_some());
}

#[test]
fn texts_and_the_end_come_however_the_bytes_are_cut() {
    let bytes = b"\x00hello\xff\x00\xff\x00\xc3\xa9\xff\xff\x00";
    let wanted = [
        Event::Text("hello".into()),
        Event::Text(String::new()),
        Event::Text("é".into()),
        Event::Close,
    ];
    for cut in 0..=bytes.len() {
        let mut decoder = Decoder::new(5);
        let (first, second) = bytes.split_at(cut);
        let mut events = Vec::new();
        for mut part in [first, second] {
            while let Some(event) = decoder.decode(&mut part).unwrap() {
                events.push(event);
            }
        }
        assert_eq!(events, wanted, "cut at {cut}");
    }
}

#[test]
fn each_rule_that_is_broken_is_named() {
    check(b"\x80\x01a", DecodeError::NotText);
    check(b"a", DecodeError::NotText);
    check(b"\xff\x01", DecodeError::NotText);
    check(b"\x00\xc3\xff", DecodeError::NotUtf8);
    check(b"\x00123456", DecodeError::TooLong { max: 5 });
}

#[test]
fn a_text_is_read_back() {
    let frame = text("a\u{0}é".as_bytes());
    let event = Decoder::new(10).decode(&mut &frame[..]).unwrap();
    assert_eq!(event, Some(Event::Text("a\u{0}é".into())));
}

#[track_caller]
fn check(mut bytes: &[u8], wanted: DecodeError) {
    assert_eq!(Decoder::new(5).decode(&mut bytes), Err(wanted));
}
