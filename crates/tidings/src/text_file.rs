//! Reads text files that people wrote with any editor.

use std::io;
use std::path::Path;

use tidings_wire::byte_order_mark;

/// Reads a UTF-8 file without its byte order mark.
///
/// # Errors
///
/// If the file cannot be read or is not UTF-8.
pub fn read(path: impl AsRef<Path>) -> io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    Ok(byte_order_mark::without(&text).to_owned())
}

/// Returns the text of a key file without the line break that editors add at the end.
pub fn without_line_break(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}
