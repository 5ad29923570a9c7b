//! Inbound messages: a JSON array of strings, in the framing of each transport.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

use super::text::Text;
use crate::form;

/// Why the input of a peer contains no texts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InboundError {
    /// The input is empty. The protocol prescribes this error text.
    #[error("Payload expected.")]
    Empty,
    /// The input is not a JSON array of strings. The protocol prescribes this error text.
    #[error("Broken JSON encoding.")]
    Broken,
    /// The input contains more texts than allowed.
    #[error("more than {max} texts in one request; send fewer at once")]
    TooMany {
        /// How many are allowed.
        max: usize,
    },
}

/// Decodes the body of `xhr_send`, with at most `texts_max` texts.
///
/// # Errors
///
/// [`InboundError`] if the body is invalid.
///
/// SockJS protocol 0.3.3, "XhrPolling".
pub fn decode(body: &[u8], texts_max: usize) -> Result<Vec<Text>, InboundError> {
    if body.is_empty() {
        return Err(InboundError::Empty);
    }
    read(body, texts_max, false)
}

/// Decodes the body of `jsonp_send`: from the field `d` of a form if `is_form`, otherwise the bare
/// body.
///
/// # Errors
///
/// [`InboundError`] if the body is invalid.
///
/// SockJS protocol 0.3.3, "JsonPolling".
pub fn decode_jsonp(
    body: &[u8],
    is_form: bool,
    texts_max: usize,
) -> Result<Vec<Text>, InboundError> {
    if !is_form {
        return decode(body, texts_max);
    }
    let value = form::pairs(body)
        .find(|pair| *pair.name_bytes() == *b"d")
        .ok_or(InboundError::Empty)?
        .value()
        .map_err(|_not_text| InboundError::Broken)?;
    decode(value.as_bytes(), texts_max)
}

/// Decodes one text message of a WebSocket: an array or a single string. An empty message contains
/// no texts.
///
/// # Errors
///
/// [`InboundError`]. The protocol requires that the connection is dropped then.
///
/// SockJS protocol 0.3.3, "WebSocket".
pub fn decode_websocket(frame: &str, texts_max: usize) -> Result<Vec<Text>, InboundError> {
    if frame.is_empty() {
        return Ok(Vec::new());
    }
    read(frame.as_bytes(), texts_max, true)
}

fn read(json: &[u8], texts_max: usize, single: bool) -> Result<Vec<Text>, InboundError> {
    // The decoder below keeps bytes as they are, so input that is not UTF-8 is refused here.
    let json = std::str::from_utf8(json).map_err(|_not_text| InboundError::Broken)?;
    let mut decoder = serde_json::Deserializer::from_str(json);
    let texts = if single && json.trim_start().starts_with('"') {
        Element::deserialize(&mut decoder).map(|element| vec![element.0])
    } else {
        decoder.deserialize_seq(Texts { max: texts_max })
    };
    let texts = texts.map_err(|_not_texts| InboundError::Broken)?;
    decoder.end().map_err(|_trailing| InboundError::Broken)?;
    if texts.len() > texts_max {
        return Err(InboundError::TooMany { max: texts_max });
    }
    Ok(texts)
}

/// Deserializes an array of texts.
struct Texts {
    max: usize,
}

impl<'de> Visitor<'de> for Texts {
    type Value = Vec<Text>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(Element(text)) = seq.next_element()? {
            // One text beyond the limit is kept, by which the caller recognises the excess.
            if texts.len() <= self.max {
                texts.push(text);
            }
        }
        Ok(texts)
    }
}

/// One string with its lone surrogates, which serde_json preserves if a string is deserialized as
/// bytes.
struct Element(Text);

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(ElementVisitor)
    }
}

struct ElementVisitor;

impl Visitor<'_> for ElementVisitor {
    type Value = Element;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Element, E> {
        Ok(Element(Text::from_wtf8(bytes)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Element, E> {
        Ok(Element(Text::from(text)))
    }
}

#[cfg(test)]
mod tests;
