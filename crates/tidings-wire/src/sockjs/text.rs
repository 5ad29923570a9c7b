//! A SockJS string: a JavaScript string, which may contain half of a surrogate pair.

use std::fmt::Write as _;

/// A text in WTF-8: UTF-8 in which a lone surrogate has the three bytes that UTF-8 would give it.
///
/// JSON escapes can express lone surrogates, and browsers send them. They are kept if the text is
/// sent as JSON. They are replaced if the text becomes an update, which is Unicode.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Text(Box<[u8]>);

/// One unit of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Scalar(char),
    /// Half of a surrogate pair, from 0xd800 to 0xdfff.
    Surrogate(u16),
}

impl Text {
    /// Takes WTF-8 as a JSON decoder produces it. Bytes that are neither UTF-8 nor a surrogate are
    /// replaced when the text is read.
    pub(crate) fn from_wtf8(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the text as Unicode, or `None` if it contains a lone surrogate.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Returns the text as Unicode, with each lone surrogate replaced by U+FFFD.
    pub fn to_unicode(&self) -> String {
        self.units()
            .map(|unit| match unit {
                Unit::Scalar(character) => character,
                Unit::Surrogate(_) => char::REPLACEMENT_CHARACTER,
            })
            .collect()
    }

    fn units(&self) -> Units<'_> {
        Units {
            sound: "".chars(),
            rest: &self.0,
        }
    }

    /// Appends the text to `out` as a JSON string, with the escapes of [`write_json`].
    pub(crate) fn write_json(&self, out: &mut String) {
        out.push('"');
        for unit in self.units() {
            match unit {
                Unit::Scalar(character) => write_escaped(character, out),
                Unit::Surrogate(code) => write_code(u32::from(code), out),
            }
        }
        out.push('"');
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut json = String::new();
        self.write_json(&mut json);
        f.write_str(&json)
    }
}

/// Reads WTF-8 unit by unit.
struct Units<'a> {
    /// The valid UTF-8 that comes next, so that each byte is looked at twice at most.
    sound: std::str::Chars<'a>,
    rest: &'a [u8],
}

impl Iterator for Units<'_> {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        if let Some(character) = self.sound.next() {
            return Some(Unit::Scalar(character));
        }
        if let [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, rest @ ..] = self.rest {
            self.rest = rest;
            let code = 0xd000 | (u16::from(*second & 0x3f) << 6) | u16::from(*third & 0x3f);
            return Some(Unit::Surrogate(code));
        }
        let chunk = self.rest.utf8_chunks().next()?;
        self.sound = chunk.valid().chars();
        let first = self.sound.next();
        // Without a valid character, the input begins with an invalid sequence, which one character
        // replaces.
        let read = match first {
            Some(_) => chunk.valid().len(),
            None => chunk.invalid().len(),
        };
        self.rest = self.rest.get(read..).unwrap_or_default();
        Some(Unit::Scalar(first.unwrap_or(char::REPLACEMENT_CHARACTER)))
    }
}

/// Appends `text` to `out` as a JSON string. It escapes what `JSON.stringify` escapes, and the
/// characters that the protocol requires a server to escape.
pub(crate) fn write_json(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        write_escaped(character, out);
    }
    out.push('"');
}

/// The protocol's tests compare these escapes literally.
///
/// ECMA-262, "QuoteJSONString"; SockJS protocol 0.3.3, "JSON Unicode Encoding".
fn write_escaped(character: char, out: &mut String) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\u{c}' => out.push_str("\\f"),
        '\r' => out.push_str("\\r"),
        '\u{0}'..='\u{1f}'
        | '\u{200c}'..='\u{200f}'
        | '\u{2028}'..='\u{202f}'
        | '\u{2060}'..='\u{206f}'
        | '\u{fff0}'..='\u{ffff}' => write_code(u32::from(character), out),
        _ => out.push(character),
    }
}

fn write_code(code: u32, out: &mut String) {
    // Writing to a String cannot fail.
    write!(out, "\\u{code:04x}").ok();
}

#[cfg(test)]
mod tests;
