//! The body of a publish request, as fields.
//!
//! Topics, ids and types are validated elsewhere.

use crate::form::{ListName, NotUtf8, Pair, append_pair, pairs, shown};

/// A publication, decoded but not validated.
///
/// Mercure, "Publication".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishForm {
    /// Values of `topic`, in order, at least one; the first is the canonical topic.
    pub topics: Vec<String>,
    /// First value of `data`; `None` if there is no such field.
    pub data: Option<String>,
    /// Whether there is a `private` field, whatever its value.
    pub private: bool,
    /// First value of `id`.
    pub id: Option<String>,
    /// First value of `type`, the type of the event.
    pub event_type: Option<String>,
    /// First value of `retry`, in milliseconds.
    pub retry: Option<u64>,
    /// The trace that the publisher's request belongs to: a `traceparent` that came beside the fields.
    pub traceparent: Option<String>,
}

/// Why a body is not a publication.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// A name or the value of a known field is not UTF-8.
    #[error(transparent)]
    NotUtf8(#[from] NotUtf8),
    /// There is no `topic` field.
    #[error("missing \"topic\" parameter")]
    NoTopic,
    /// There are more `topic` fields than the hub accepts.
    #[error("more than {max} topics in one update")]
    TooManyTopics {
        /// How many topics the hub accepts.
        max: usize,
    },
    /// A list is in PHP's array notation, and would be lost silently.
    #[error(transparent)]
    List(#[from] ListName),
    /// `retry` is neither empty nor a number of milliseconds in ASCII digits that fits 64 bits.
    #[error("invalid \"retry\" parameter {value:?}")]
    Retry {
        /// The value, shortened to [`SHOWN_CHARACTERS_MAX`](crate::form::SHOWN_CHARACTERS_MAX).
        value: Box<str>,
    },
}

impl PublishForm {
    /// Decodes `body`, which is `application/x-www-form-urlencoded`.
    ///
    /// Unknown fields are skipped, as are further values of `data`, `id`, `type` and `retry`.
    /// Keeps at most `topics_max` topics; the caller bounds the length of `body`.
    ///
    /// # Errors
    ///
    /// [`FormError`] for the first invalid field; a missing topic is reported last.
    ///
    /// Mercure, "Publication".
    pub fn decode(body: &[u8], topics_max: usize) -> Result<Self, FormError> {
        let mut form = Self::default();
        let mut retry = None;
        for pair in pairs(body) {
            match pair.name()?.as_ref() {
                "retry" => take_retry(pair, &mut retry)?,
                _ => form.take(pair, topics_max)?,
            }
        }
        form.retry = retry.flatten();
        form.check_topics()?;
        Ok(form)
    }

    /// Takes in one field other than `retry`.
    pub(crate) fn take(&mut self, pair: Pair<'_>, topics_max: usize) -> Result<(), FormError> {
        ListName::refuse(pair, "topic")?;
        match pair.name()?.as_ref() {
            "topic" if self.topics.len() >= topics_max => {
                return Err(FormError::TooManyTopics { max: topics_max });
            }
            "topic" => self.topics.push(pair.value()?.into_owned()),
            "data" if self.data.is_none() => self.data = Some(pair.value()?.into_owned()),
            "private" => self.private = true,
            "id" if self.id.is_none() => self.id = Some(pair.value()?.into_owned()),
            "type" if self.event_type.is_none() => {
                self.event_type = Some(pair.value()?.into_owned());
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn check_topics(&self) -> Result<(), FormError> {
        if self.topics.is_empty() {
            return Err(FormError::NoTopic);
        }
        Ok(())
    }

    /// Returns the body that [`decode`](Self::decode) decodes to this form.
    pub fn encode(&self) -> String {
        let mut body = String::new();
        for topic in &self.topics {
            append_pair(&mut body, "topic", topic);
        }
        let retry = self.retry.map(|ms| ms.to_string());
        let optional = [
            ("data", self.data.as_deref()),
            ("private", self.private.then_some("on")),
            ("id", self.id.as_deref()),
            ("type", self.event_type.as_deref()),
            ("retry", retry.as_deref()),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                append_pair(&mut body, name, value);
            }
        }
        body
    }
}

/// Takes in a `retry` field. The first one counts; an empty one means no value.
pub(crate) fn take_retry(pair: Pair<'_>, retry: &mut Option<Option<u64>>) -> Result<(), FormError> {
    if retry.is_none() {
        *retry = Some(match &*pair.value()? {
            // Forms of web pages also send the fields that the user left empty.
            "" => None,
            value => Some(parse_retry(value)?),
        });
    }
    Ok(())
}

/// Parses digits; `u64::from_str` alone would accept a `+`.
fn parse_retry(value: &str) -> Result<u64, FormError> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    match value.parse() {
        Ok(ms) if digits => Ok(ms),
        _ => Err(FormError::Retry {
            value: shown(value),
        }),
    }
}

#[cfg(test)]
mod tests;
