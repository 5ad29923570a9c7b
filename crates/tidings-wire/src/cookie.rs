//! Finds a cookie in a `Cookie` field.
//!
//! Cookies are set elsewhere, and whether a cookie may be used is decided elsewhere.

/// Returns the value of the first cookie named `name` in `header`, the value of a `Cookie` field.
///
/// Space around names and values is dropped, as are double quotes around a value. Names are
/// compared byte for byte. User agents send the cookie with the longer path first, so the first
/// match is the most specific. HTTP/2 may split the field; call this for each part in turn.
///
/// RFC 6265, 4.2 and 5.4; RFC 9113, 8.2.3.
pub fn find<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .find(|(found, _)| found.trim_matches(SPACE) == name)
        .map(|(_, value)| unquoted(value.trim_matches(SPACE)))
}

/// Optional whitespace. RFC 9110, 5.6.3.
const SPACE: [char; 2] = [' ', '\t'];

fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value)
}

#[cfg(test)]
mod tests;
