//! The JSON document and the path of one subscription, for Mercure 1.0 and 0.x. Presence events are
//! stored and sent in the form of 1.0; subscribers of 0.x receive a translation.
//!
//! Mercure, "Subscription Events" and "Subscription API".

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The segment between the hub's path and the parts of a subscription's path.
pub const BELOW_HUB: &str = "/subscriptions";
/// The context of a 0.x document.
pub const CONTEXT: &str = "https://mercure.rocks/";

/// The characters that are encoded in a part of a path: all but the unreserved ones (RFC 6570,
/// 3.2.1).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The document of 1.0.
#[derive(Debug, Serialize, Deserialize)]
pub struct Document<'a> {
    /// The path of the subscription.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// Always `subscription`.
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    /// The type of the matcher, such as `exact`.
    #[serde(borrow)]
    pub match_type: Cow<'a, str>,
    /// The pattern of the matcher.
    #[serde(rename = "match", borrow)]
    pub pattern: Cow<'a, str>,
    /// The IRI of the subscriber.
    #[serde(borrow)]
    pub subscriber: Cow<'a, str>,
    /// Whether the subscription is open.
    pub active: bool,
    /// The payload from the token, as written there.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<&'a RawValue>,
}

/// The document of 0.x.
#[derive(Debug, Serialize)]
pub struct OldDocument<'a> {
    /// The JSON-LD context, in a document that is not part of a list.
    #[serde(rename = "@context", skip_serializing_if = "Option::is_none")]
    pub context: Option<&'static str>,
    /// The path of the subscription.
    pub id: String,
    /// Always `Subscription`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The IRI of the subscriber.
    pub subscriber: &'a str,
    /// The topic selector.
    pub topic: &'a str,
    /// Whether the subscription is open.
    pub active: bool,
    /// The id of the last event, in a document that is not part of a list.
    #[serde(rename = "lastEventID", skip_serializing_if = "Option::is_none")]
    pub last_event_id: Option<&'a str>,
    /// The payload from the token, as written there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<&'a RawValue>,
}

/// Returns the path of a subscription in 1.0. Each part is encoded exactly once.
pub fn path(hub: &str, match_type: &str, pattern: &str, subscriber: &str) -> String {
    let (pattern, subscriber) = (encode(pattern), encode(subscriber));
    format!("{hub}{BELOW_HUB}/{match_type}/{pattern}/{subscriber}")
}

/// Returns the path of a subscription in 0.x.
pub fn old_path(hub: &str, pattern: &str, subscriber: &str) -> String {
    let (pattern, subscriber) = (encode(pattern), encode(subscriber));
    format!("{hub}{BELOW_HUB}/{pattern}/{subscriber}")
}

fn encode(part: &str) -> impl std::fmt::Display {
    utf8_percent_encode(part, RESERVED)
}

/// Returns a document as text.
pub fn text(document: &impl Serialize) -> String {
    // Texts, and a payload that was parsed as JSON before, always serialize.
    serde_json::to_string(document).unwrap_or_default()
}

/// Returns a payload for use in a document; `None` if it is not JSON.
pub fn raw(payload: &str) -> Option<&RawValue> {
    serde_json::from_str(payload).ok()
}

/// Turns the data of the event that began a subscription into the data of the event that ends it.
///
/// # Errors
///
/// [`serde_json::Error`] if the data is not such a document.
pub fn ended(data: &str) -> Result<String, serde_json::Error> {
    let document: Document<'_> = serde_json::from_str(data)?;
    Ok(text(&Document {
        active: false,
        ..document
    }))
}

/// Returns the data of a presence event in the form of 0.x; `None` if this hub did not make it.
pub fn translated(data: &str) -> Option<String> {
    let document: Document<'_> = serde_json::from_str(data).ok()?;
    let below = path(
        "",
        &document.match_type,
        &document.pattern,
        &document.subscriber,
    );
    let hub = document.id.strip_suffix(&below)?;
    Some(text(&OldDocument {
        context: Some(CONTEXT),
        id: old_path(hub, &document.pattern, &document.subscriber),
        kind: "Subscription",
        subscriber: &document.subscriber,
        topic: &document.pattern,
        active: document.active,
        last_event_id: None,
        payload: document.payload,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGUN: &str = r#"{"id":"/hub/subscriptions/urlpattern/%2Fa%2520%3Ab/urn%3Auuid%3A1","type":"subscription","match_type":"urlpattern","match":"/a%20:b","subscriber":"urn:uuid:1","active":true,"payload":{"n":1.10,"active":true}}"#;

    #[test]
    fn each_part_is_encoded_exactly_once() {
        let path = path("/hub", "urlpattern", "/a%20:b", "urn:uuid:1");
        assert!(BEGUN.contains(&path), "{path}");
    }

    #[test]
    fn the_end_differs_from_the_beginning_in_one_word() {
        let expected = BEGUN.replacen(r#""active":true"#, r#""active":false"#, 1);
        assert_eq!(ended(BEGUN).unwrap(), expected);
    }

    #[test]
    fn old_subscribers_get_a_document_of_their_own() {
        let expected = r#"{"@context":"https://mercure.rocks/","id":"/hub/subscriptions/%2Fa%2520%3Ab/urn%3Auuid%3A1","type":"Subscription","subscriber":"urn:uuid:1","topic":"/a%20:b","active":true,"payload":{"n":1.10,"active":true}}"#;
        assert_eq!(translated(BEGUN).as_deref(), Some(expected));
        assert_eq!(translated("plain text"), None);
    }
}
