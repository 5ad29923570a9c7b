//! Surrogates and escapes.

use proptest::prelude::*;

use super::Text;

fn json(text: &Text) -> String {
    let mut out = String::new();
    text.write_json(&mut out);
    out
}

#[test]
fn half_of_a_pair_stays_what_it_is() {
    let text = Text::from_wtf8(b"a\xed\xa0\x80b\xed\xbf\xbf");
    assert_eq!(json(&text), r#""a\ud800b\udfff""#);
    assert_eq!(text.as_str(), None);
    assert_eq!(text.to_unicode(), "a\u{fffd}b\u{fffd}");
}

#[test]
fn what_browsers_mishandle_is_escaped() {
    let text = Text::from("\u{0}\u{1f}\"\\/\u{200c}\u{2028}\u{206f}\u{fff0}\u{ffff}é😀");
    assert_eq!(
        json(&text),
        "\"\\u0000\\u001f\\\"\\\\/\\u200c\\u2028\\u206f\\ufff0\\uffffé😀\""
    );
}

#[test]
fn control_characters_with_a_short_escape_are_written_by_it() {
    let text = Text::from("\u{7}\u{8}\t\n\u{b}\u{c}\r\u{7f}\u{9f}\u{ad}\u{feff}");
    let written = "\\u0007\\b\\t\\n\\u000b\\f\\r\u{7f}\u{9f}\u{ad}\u{feff}";
    assert_eq!(json(&text), format!("\"{written}\""));
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    assert_eq!(
        Text::from_wtf8(b"\xed\xa0").to_unicode(),
        "\u{fffd}\u{fffd}"
    );
    assert_eq!(
        Text::from_wtf8(b"\xff\xfea").to_unicode(),
        "\u{fffd}\u{fffd}a"
    );
}

/// If the time grew with the square of the length, this would take hours.
#[test]
fn a_long_text_is_read_in_one_go() {
    let long = "é%".repeat(4 << 20);
    assert_eq!(json(&Text::from(long.as_str())).len(), long.len() + 2);
    assert!(Text::from(long.as_str()).to_unicode() == long);
    let halves = b"\xed\xa0\x80a".repeat(1 << 20);
    let text = Text::from_wtf8(&halves).to_unicode();
    assert!(text == "\u{fffd}a".repeat(1 << 20));
}

proptest! {
    #[test]
    fn unicode_comes_back_from_its_json(text in any::<String>()) {
        let read: String = serde_json::from_str(&json(&Text::from(text.as_str()))).expect("JSON");
        prop_assert_eq!(read, text);
    }
}
