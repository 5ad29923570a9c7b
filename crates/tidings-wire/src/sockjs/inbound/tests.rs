//! The bodies of the protocol's tests, and broken ones.

use super::*;

fn texts(list: &[&str]) -> Vec<Text> {
    list.iter().copied().map(Text::from).collect()
}

#[test]
fn an_array_of_strings_is_read_in_order() {
    assert_eq!(decode(br#"["a","b\n"]"#, 9), Ok(texts(&["a", "b\n"])));
    assert_eq!(decode(b" [ ] ", 9), Ok(Vec::new()));
}

#[test]
fn nothing_and_junk_have_the_answers_that_the_protocol_names() {
    assert_eq!(
        decode(b"", 9).expect_err("empty").to_string(),
        "Payload expected."
    );
    for body in [
        &b"[\"x"[..],
        b"\"x\"",
        b"{}",
        b"[1]",
        b"[[]]",
        b"[\"x\"] y",
        b"[\"\xff\"]",
        b"null",
    ] {
        let error = decode(body, 9).expect_err("broken");
        assert_eq!(error.to_string(), "Broken JSON encoding.", "{body:?}");
    }
}

#[test]
fn half_of_a_pair_survives() {
    let read = decode(br#"["\ud800x","\ud83d\ude00"]"#, 9).expect("texts");
    assert_eq!(format!("{read:?}"), r#"["\ud800x", "😀"]"#);
    let read = decode_websocket(r#""\udfff""#, 9).expect("a text");
    assert_eq!(format!("{read:?}"), r#"["\udfff"]"#);
}

#[test]
fn a_form_carries_it_in_d() {
    assert_eq!(decode_jsonp(b"d=%5B%22x%22%5D", true, 9), Ok(texts(&["x"])));
    assert_eq!(decode_jsonp(b"[\"x\"]", false, 9), Ok(texts(&["x"])));
    for body in [&b""[..], b"d=", b"p=p"] {
        assert_eq!(
            decode_jsonp(body, true, 9),
            Err(InboundError::Empty),
            "{body:?}"
        );
    }
    assert_eq!(decode_jsonp(b"d=%ff", true, 9), Err(InboundError::Broken));
}

#[test]
fn a_websocket_may_send_one_string_or_nothing() {
    assert_eq!(decode_websocket("", 9), Ok(Vec::new()));
    assert_eq!(decode_websocket("\"a\"", 9), Ok(texts(&["a"])));
    assert_eq!(decode_websocket("[\"a\"]", 9), Ok(texts(&["a"])));
    assert_eq!(
        decode_websocket("\"a\" \"b\"", 9),
        Err(InboundError::Broken)
    );
}

#[test]
fn more_texts_than_allowed_are_refused() {
    assert_eq!(decode(br#"["a","b"]"#, 2).map(|texts| texts.len()), Ok(2));
    assert_eq!(
        decode(br#"["a","b","c","d"]"#, 2),
        Err(InboundError::TooMany { max: 2 })
    );
}
