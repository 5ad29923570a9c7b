//! Tests of [`form`](super): the standard's parsing rules, and the round trip.

use proptest::prelude::*;

use super::*;

#[test]
fn pairs_are_split_at_ampersands_and_the_first_equals_sign() {
    check("a=b&c=d", &[("a", "b"), ("c", "d")]);
    check("a=b=c", &[("a", "b=c")]);
    check("=b", &[("", "b")]);
    check("=", &[("", "")]);
}

#[test]
fn a_name_without_a_value_has_an_empty_one() {
    check("private&a=", &[("private", ""), ("a", "")]);
}

#[test]
fn empty_sequences_are_skipped() {
    check("", &[]);
    check("&&", &[]);
    check("&a=b&&c=d&", &[("a", "b"), ("c", "d")]);
}

#[test]
fn a_raw_semicolon_is_part_of_the_value() {
    check("a=b;c=d", &[("a", "b;c=d")]);
}

#[test]
fn plus_is_a_space_and_percent_is_decoded_in_names_and_values() {
    check("a+b=c%20d%2B", &[("a b", "c d+")]);
    check("%61%3D=%26%c3%A9", &[("a=", "&é")]);
}

#[test]
fn a_stray_percent_sign_stays() {
    check("a=100%", &[("a", "100%")]);
    check("a=%zz%4&b=%4g%%41", &[("a", "%zz%4"), ("b", "%4g%A")]);
}

#[test]
fn a_byte_order_mark_is_kept() {
    check("a=%EF%BB%BFb", &[("a", "\u{feff}b")]);
}

#[test]
fn plain_text_is_borrowed() {
    let pair = pairs(b"topic=https://example.com/books/1")
        .next()
        .expect("a pair");
    assert!(matches!(pair.name(), Ok(Cow::Borrowed("topic"))));
    assert!(matches!(
        pair.value(),
        Ok(Cow::Borrowed("https://example.com/books/1"))
    ));
}

#[test]
fn bytes_that_are_not_utf_8_are_an_error_that_names_the_field() {
    for encoded in [
        b"topic=%ff".as_slice(),
        b"topic=\xff",
        b"topic=a%C3&b",
        b"topic=%ed%a0%80",
    ] {
        let error = pairs(encoded)
            .next()
            .expect("a pair")
            .value()
            .expect_err("not UTF-8");
        assert_eq!(error.to_string(), "field \"topic\" is not valid UTF-8");
    }
    let error = pairs(b"t%ffo=1")
        .next()
        .expect("a pair")
        .name()
        .expect_err("not UTF-8");
    assert_eq!(error.to_string(), "field \"t\u{fffd}o\" is not valid UTF-8");
}

#[test]
fn an_error_shows_a_bounded_part_of_a_name() {
    let encoded = [&b"x".repeat(100_000), b"=%ff".as_slice()].concat();
    let error = pairs(&encoded)
        .next()
        .expect("a pair")
        .value()
        .expect_err("not UTF-8");
    assert_eq!(error.field.len(), SHOWN_CHARACTERS_MAX);
}

#[test]
fn the_serializer_escapes_what_the_standard_says() {
    let mut encoded = String::new();
    append_pair(&mut encoded, "a b", "*-._~é&=+%");
    append_pair(&mut encoded, "", "");
    assert_eq!(encoded, "a+b=*-._%7E%C3%A9%26%3D%2B%25&=");
}

proptest! {
    #[test]
    fn what_was_appended_is_parsed(expected in prop::collection::vec((".{0,12}", ".{0,12}"), 0..6)) {
        let mut encoded = String::new();
        for (name, value) in &expected {
            append_pair(&mut encoded, name, value);
        }
        prop_assert_eq!(decode(encoded.as_bytes()), expected);
    }

    #[test]
    fn any_bytes_are_some_pairs(encoded in prop::collection::vec(any::<u8>(), 0..64)) {
        let bytes: usize = pairs(&encoded).map(|pair| pair.name_bytes().len()).sum();
        prop_assert!(bytes <= encoded.len());
        for pair in pairs(&encoded) {
            prop_assert_eq!(pair.name().is_ok(), std::str::from_utf8(&pair.name_bytes()).is_ok());
        }
    }
}

#[track_caller]
fn check(encoded: &str, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    assert_eq!(decode(encoded.as_bytes()), expected);
}

fn decode(encoded: &[u8]) -> Vec<(String, String)> {
    pairs(encoded)
        .map(|pair| {
            (
                pair.name().expect("UTF-8").into(),
                pair.value().expect("UTF-8").into(),
            )
        })
        .collect()
}
