//! The byte order mark that some editors write at the beginning of a file. It is not part of the text:
//! a key with it would be another key.

/// U+FEFF in UTF-8. Unicode, 23.8.
const MARK: &str = "\u{feff}";

/// Returns `text` without one byte order mark at its beginning.
pub fn without(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// Does the same as [`without`] for bytes that may not be UTF-8.
pub fn without_bytes(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK.as_bytes()).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::{without, without_bytes};

    #[test]
    fn one_mark_at_the_beginning_is_removed() {
        for (text, expected) in [
            ("", ""),
            ("key", "key"),
            ("\u{feff}key", "key"),
            ("\u{feff}\u{feff}key", "\u{feff}key"),
            ("key\u{feff}", "key\u{feff}"),
        ] {
            assert_eq!(without(text), expected, "{text:?}");
            assert_eq!(without_bytes(text.as_bytes()), expected.as_bytes());
        }
        assert_eq!(without_bytes(b"\xef\xbb"), b"\xef\xbb");
    }
}
