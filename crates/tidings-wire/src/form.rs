//! `application/x-www-form-urlencoded`: bytes to pairs of name and value, and back.
//!
//! The names are interpreted by [`publish_form`](crate::publish_form) and
//! [`subscribe_query`](crate::subscribe_query).

use std::borrow::Cow;

/// Returns the pairs of `encoded` in their order.
///
/// The input is split at `&` only: a raw `;` belongs to the name or value that contains it. An
/// empty sequence between two `&` is skipped. This never fails; a pair that is not UTF-8 fails when
/// it is decoded. The caller bounds the length of `encoded`.
///
/// WHATWG URL, "application/x-www-form-urlencoded parsing".
pub fn pairs(encoded: &[u8]) -> Pairs<'_> {
    Pairs { rest: encoded }
}

/// Iterates over the pairs of an encoded form, see [`pairs`].
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    rest: &'a [u8],
}

/// One pair of a form, still encoded.
///
/// Decoding allocates only if the text contains `+` or `%`, so skipping a pair costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

/// A name or a value is not UTF-8 after percent-decoding.
///
/// The URL standard would replace the invalid bytes, but Mercure requires UTF-8. Mercure,
/// "Subscription" and "Publication".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field:?} is not valid UTF-8")]
pub struct NotUtf8 {
    /// Name of the field, shortened to [`SHOWN_CHARACTERS_MAX`], with U+FFFD for bytes that are not
    /// UTF-8.
    pub field: Box<str>,
}

/// A list in PHP's array notation: `topic[0]=A`, `topic[]=A`.
///
/// Mercure repeats the field instead. If the list were skipped like an unknown field, it would be
/// lost, and an update without its targets would be public.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no field; write a list by repeating {field}: {field}=A&{field}=B")]
pub struct ListName {
    name: Box<str>,
    field: &'static str,
}

impl ListName {
    /// Refuses a pair whose name is `field` with an index.
    ///
    /// # Errors
    ///
    /// [`ListName`] with the name, shortened to [`SHOWN_CHARACTERS_MAX`].
    pub fn refuse(pair: Pair<'_>, field: &'static str) -> Result<(), Self> {
        let name = pair.name_bytes();
        match name.strip_prefix(field.as_bytes()) {
            Some([b'[', ..]) => Err(Self {
                name: shown(&String::from_utf8_lossy(&name)),
                field,
            }),
            Some(_) | None => Ok(()),
        }
    }
}

/// Characters of a peer's text that an error of this crate repeats at most.
pub const SHOWN_CHARACTERS_MAX: usize = 64;

/// Appends one encoded pair to `encoded`, after a `&` if it is not the first.
///
/// WHATWG URL, "application/x-www-form-urlencoded serializing".
pub fn append_pair(encoded: &mut String, name: &str, value: &str) {
    if !encoded.is_empty() {
        encoded.push('&');
    }
    append_encoded(encoded, name);
    encoded.push('=');
    append_encoded(encoded, value);
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        while !self.rest.is_empty() {
            let (sequence, rest) = split_at_byte(self.rest, b'&');
            self.rest = rest;
            if !sequence.is_empty() {
                let (name, value) = split_at_byte(sequence, b'=');
                return Some(Pair { name, value });
            }
        }
        None
    }
}

impl<'a> Pair<'a> {
    /// Returns the decoded name.
    ///
    /// # Errors
    ///
    /// [`NotUtf8`] if the decoded bytes are not UTF-8.
    pub fn name(self) -> Result<Cow<'a, str>, NotUtf8> {
        self.text(self.name)
    }

    /// Returns the decoded value; a name without `=` has an empty value.
    ///
    /// # Errors
    ///
    /// [`NotUtf8`] if the decoded bytes are not UTF-8.
    pub fn value(self) -> Result<Cow<'a, str>, NotUtf8> {
        self.text(self.value)
    }

    /// Returns the decoded name as bytes.
    pub fn name_bytes(self) -> Cow<'a, [u8]> {
        percent_decode(self.name)
    }

    fn text(self, encoded: &'a [u8]) -> Result<Cow<'a, str>, NotUtf8> {
        let decoded = match percent_decode(encoded) {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
        };
        decoded.ok_or_else(|| NotUtf8 {
            field: shown(&String::from_utf8_lossy(&percent_decode(self.name))),
        })
    }
}

/// Returns the beginning of a peer's `text`, short enough for an error text.
pub(crate) fn shown(text: &str) -> Box<str> {
    text.chars().take(SHOWN_CHARACTERS_MAX).collect()
}

/// Returns the bytes before and after the first `separator`; without one, all bytes and none.
fn split_at_byte(bytes: &[u8], separator: u8) -> (&[u8], &[u8]) {
    memchr::memchr(separator, bytes)
        .and_then(|index| bytes.split_at_checked(index))
        .and_then(|(before, after)| Some((before, after.split_first()?.1)))
        .unwrap_or((bytes, &[]))
}

/// Decodes `+` and `%xx`. A `%` without two hex digits after it is kept.
fn percent_decode(encoded: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr2(b'+', b'%', encoded) else {
        return Cow::Borrowed(encoded);
    };
    let (plain, mut rest) = encoded.split_at_checked(first).unwrap_or((&[], encoded));
    let mut decoded = Vec::with_capacity(encoded.len());
    decoded.extend_from_slice(plain);
    loop {
        let (byte, tail) = match rest {
            [] => return Cow::Owned(decoded),
            [b'+', tail @ ..] => (b' ', tail),
            [b'%', high, low, tail @ ..] => match (hex_digit(*high), hex_digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, tail),
                _ => (b'%', rest.get(1..).unwrap_or_default()),
            },
            [byte, tail @ ..] => (*byte, tail),
        };
        decoded.push(byte);
        rest = tail;
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn append_encoded(encoded: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'*' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            _ => encoded.extend(['%', upper_hex(byte >> 4), upper_hex(byte & 15)]),
        }
    }
}

/// Returns the hex digit for `value`, which is below 16.
fn upper_hex(value: u8) -> char {
    char::from(if value < 10 {
        b'0' + value
    } else {
        b'A' + value - 10
    })
}

#[cfg(test)]
mod tests;
