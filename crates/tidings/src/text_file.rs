//! Reads text files that people wrote with whatever editor they have.

use std::io;
use std::path::Path;

/// Reads a file in UTF-8, without the byte order mark that some editors put at its head: it is no part
/// of the text, and a key with it would be another key.
///
/// # Errors
///
/// If the file cannot be read or is not UTF-8.
pub fn read(path: impl AsRef<Path>) -> io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    Ok(match text.strip_prefix(MARK) {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// Returns bytes without a byte order mark at their head.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK.as_bytes()).unwrap_or(bytes)
}

/// Returns a key file's text without the line break that editors put at the end.
pub fn without_line_break(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// The byte order mark. Unicode, 23.8.
const MARK: &str = "\u{feff}";
