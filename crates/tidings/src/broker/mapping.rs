//! Converts messages to updates and back.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidings_core::update::{Update, Visibility};
use tidings_wire::hub_frames::{OneOrMany, RetryMember};
use tidings_wire::object::Object;
use tidings_wire::publish_form::PublishForm;
use tidings_wire::zmtp::frame::encode_message;

use super::options::{HubInput, MessageFormat};

/// A parsed message.
#[derive(Debug)]
pub(crate) struct Mapped {
    pub(crate) form: PublishForm,
    /// The hub at which the update was first published, if the message names it.
    pub(crate) hub: Option<String>,
}

/// Why a message does not fit its socket's `format`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("it has {found} parts, and {wanted} are expected")]
    Parts { found: usize, wanted: usize },
    #[error("part {part} is not UTF-8")]
    NotUtf8 { part: usize },
    #[error("it is not a JSON object with the fields of an update: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it names no topic, and the configuration sets none")]
    NoTopic,
}

/// The fields of an update in JSON.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(default)]
    topic: OneOrMany,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    private: Option<bool>,
    id: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    #[serde(default)]
    retry: RetryMember,
    traceparent: Option<String>,
    hub: Option<String>,
}

/// The same, for writing.
#[derive(Serialize)]
struct Written<'a> {
    topic: OneOrSeveral<'a>,
    data: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    private: bool,
    id: &'a str,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    event_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<u64>,
    hub: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum OneOrSeveral<'a> {
    One(&'a str),
    Several(Vec<&'a str>),
}

/// Parses a message by the format of `bridge`.
///
/// # Errors
///
/// [`Unreadable`] if it has another form.
pub(crate) fn read(bridge: &HubInput, parts: &[&[u8]]) -> Result<Mapped, Unreadable> {
    match bridge.format {
        MessageFormat::Data => {
            let [data] = exactly(parts)?;
            let data = text(data, 1)?;
            with_fixed_topic(bridge, data.to_owned())
        }
        MessageFormat::Parts => {
            let [topic, data] = exactly(parts)?;
            let topic = format!("{}{}", bridge.topic_prefix, text(topic, 1)?);
            let form = form(bridge, vec![topic], text(data, 2)?.to_owned());
            Ok(Mapped { form, hub: None })
        }
        MessageFormat::Json => {
            let [object] = exactly(parts)?;
            read_json(bridge, text(object, 1)?)
        }
    }
}

/// Uses the text of an unreadable message as the data of an update under the fixed topic.
///
/// # Errors
///
/// [`Unreadable::NoTopic`] if there is none.
pub(crate) fn as_text(bridge: &HubInput, parts: &[&[u8]]) -> Result<Mapped, Unreadable> {
    let texts: Vec<_> = parts
        .iter()
        .map(|part| String::from_utf8_lossy(part))
        .collect();
    with_fixed_topic(bridge, texts.join("\n"))
}

fn read_json(bridge: &HubInput, object: &str) -> Result<Mapped, Unreadable> {
    let Object(fields): Object<Fields<'_>> = serde_json::from_str(object)?;
    let topics = match (fields.topic.0, &bridge.topic) {
        // A single empty topic counts as absent; among others it is a mistake.
        (topics, _) if !topics.is_empty() && topics != [""] => topics,
        (_, Some(topic)) => vec![topic.clone()],
        (_, None) => return Err(Unreadable::NoTopic),
    };
    // A text is the data itself; anything else is data in JSON.
    let data = match fields.data.map(RawValue::get) {
        None | Some("null") => String::new(),
        Some(text) if text.starts_with('"') => serde_json::from_str(text)?,
        Some(json) => json.to_owned(),
    };
    let mut form = form(bridge, topics, data);
    form.private = fields.private.unwrap_or(form.private);
    let filled_in = |text: &String| !text.is_empty();
    form.event_type = fields.event_type.filter(filled_in).or(form.event_type);
    form.id = fields.id.filter(filled_in);
    form.retry = fields.retry.0;
    form.traceparent = fields.traceparent;
    Ok(Mapped {
        form,
        hub: fields.hub.filter(filled_in),
    })
}

fn with_fixed_topic(bridge: &HubInput, data: String) -> Result<Mapped, Unreadable> {
    let topic = bridge.topic.clone().ok_or(Unreadable::NoTopic)?;
    let form = form(bridge, vec![topic], data);
    Ok(Mapped { form, hub: None })
}

fn form(bridge: &HubInput, topics: Vec<String>, data: String) -> PublishForm {
    PublishForm {
        traceparent: None,
        topics,
        data: Some(data),
        private: bridge.private,
        id: None,
        event_type: bridge.event_type.clone(),
        retry: None,
    }
}

fn exactly<'a, const N: usize>(parts: &[&'a [u8]]) -> Result<[&'a [u8]; N], Unreadable> {
    let found = parts.len();
    parts
        .try_into()
        .map_err(|_other: std::array::TryFromSliceError| Unreadable::Parts { found, wanted: N })
}

fn text(bytes: &[u8], part: usize) -> Result<&str, Unreadable> {
    std::str::from_utf8(bytes).map_err(|_not: std::str::Utf8Error| Unreadable::NotUtf8 { part })
}

/// Returns whether a message can represent `update`: it has no field for targets.
pub(crate) fn can_carry(update: &Update) -> bool {
    match update.visibility {
        Visibility::Public | Visibility::Private => true,
        Visibility::Targeted(_) | Visibility::Hubs | Visibility::Withdrawn => false,
    }
}

/// Appends `update` to `out` as one message. `node` names this hub.
pub(crate) fn write(out: &mut Vec<u8>, format: MessageFormat, update: &Update, node: &str) {
    let topic = update.topics.canonical().as_str();
    match format {
        MessageFormat::Data => encode_message(out, &[update.data.as_bytes()]),
        MessageFormat::Parts => encode_message(out, &[topic.as_bytes(), update.data.as_bytes()]),
        MessageFormat::Json => {
            let written = Written {
                topic: match update.topics.len() {
                    1 => OneOrSeveral::One(topic),
                    _ => {
                        let topics = update.topics.iter().map(|topic| topic.as_str());
                        OneOrSeveral::Several(topics.collect())
                    }
                },
                data: &update.data,
                private: !update.visibility.is_public(),
                id: update.id.as_str(),
                event_type: update.event_type.as_ref().map(|name| name.as_str()),
                retry: update.retry_ms,
                hub: node,
            };
            // Serializing strings and numbers cannot fail.
            let object = serde_json::to_vec(&written).unwrap_or_default();
            encode_message(out, &[&object]);
        }
    }
}

#[cfg(test)]
mod tests;
