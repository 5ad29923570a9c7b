//! Characters that no name may contain.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Returns the first character of `text` that topics, matchers, event ids and event types must not
/// contain: C0, DEL, C1, or a format character (category Cf), which is invisible.
///
/// Mercure, "Terminology".
#[must_use]
pub fn forbidden_character(text: &str) -> Option<char> {
    if text.is_ascii() {
        return text.bytes().find(u8::is_ascii_control).map(char::from);
    }
    text.chars().find(|character| {
        character.is_control() || character.general_category() == GeneralCategory::Format
    })
}

#[cfg(test)]
mod tests {
    use super::forbidden_character;

    #[test]
    fn controls_and_format_characters_are_found() {
        for bad in [
            '\0', '\t', '\n', '\u{1f}', '\u{7f}', '\u{80}', '\u{9f}', '\u{ad}',
        ] {
            assert_eq!(forbidden_character(&format!("é{bad}")), Some(bad));
            assert_eq!(forbidden_character(&format!("a{bad}b\u{0}")), Some(bad));
        }
        for bad in [
            '\u{200b}',
            '\u{200d}',
            '\u{202e}',
            '\u{2066}',
            '\u{feff}',
            '\u{e0001}',
        ] {
            assert_eq!(forbidden_character(&format!("a{bad}")), Some(bad));
        }
    }

    #[test]
    fn all_other_text_passes() {
        for good in ["", " ", "~", "é", "日本", "a b", "\u{a0}", "\u{2028}", "🦀"] {
            assert_eq!(forbidden_character(good), None, "{good:?}");
        }
    }
}
