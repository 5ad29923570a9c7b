//! What the hub says of one subscription, as JSON, and under which path: for 1.0 as the standard
//! asks, for 0.x as its hubs did. Stored and spread in the words of 1.0; a subscriber of 0.x gets
//! them translated.
//!
//! Mercure, "Subscription Events" and "Subscription API".

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What stands between the hub's path and the parts of a subscription's path.
pub(crate) const BELOW_HUB: &str = "/subscriptions";
/// The context of a 0.x document.
pub(crate) const CONTEXT: &str = "https://mercure.rocks/";

/// What is encoded in a part of a path: all but the unreserved characters (RFC 6570, 3.2.1).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The document of 1.0.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Document<'a> {
    #[serde(borrow)]
    pub(crate) id: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) match_type: Cow<'a, str>,
    #[serde(rename = "match", borrow)]
    pub(crate) pattern: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) subscriber: Cow<'a, str>,
    pub(crate) active: bool,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<&'a RawValue>,
}

/// The document of 0.x.
#[derive(Debug, Serialize)]
pub(crate) struct OldDocument<'a> {
    #[serde(rename = "@context", skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<&'static str>,
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) subscriber: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) active: bool,
    #[serde(rename = "lastEventID", skip_serializing_if = "Option::is_none")]
    pub(crate) last_event_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<&'a RawValue>,
}

/// Returns the path of a subscription as 1.0 names it. Each part is encoded exactly once.
pub(crate) fn path(hub: &str, match_type: &str, pattern: &str, subscriber: &str) -> String {
    let (pattern, subscriber) = (encode(pattern), encode(subscriber));
    format!("{hub}{BELOW_HUB}/{match_type}/{pattern}/{subscriber}")
}

/// Returns the path of a subscription as 0.x names it.
pub(crate) fn old_path(hub: &str, pattern: &str, subscriber: &str) -> String {
    let (pattern, subscriber) = (encode(pattern), encode(subscriber));
    format!("{hub}{BELOW_HUB}/{pattern}/{subscriber}")
}

fn encode(part: &str) -> impl std::fmt::Display {
    utf8_percent_encode(part, RESERVED)
}

/// Returns a document as text.
pub(crate) fn text(document: &impl Serialize) -> String {
    // Texts and a payload that was read as JSON before cannot fail.
    serde_json::to_string(document).unwrap_or_default()
}

/// Returns a payload as it stands in a document.
pub(crate) fn raw(payload: &str) -> Option<&RawValue> {
    serde_json::from_str(payload).ok()
}

/// Returns the data of the event that ends a subscription, from that of the one that began it.
pub(crate) fn ended(data: &str) -> String {
    match serde_json::from_str::<Document<'_>>(data) {
        Ok(document) => text(&Document {
            active: false,
            ..document
        }),
        Err(error) => {
            tracing::warn!(%error, "an event about a subscription in the history is damaged");
            data.to_owned()
        }
    }
}

/// Returns the data of an event in the words of 0.x, or nothing if it is not of this hub's making.
pub(crate) fn translated(data: &str) -> Option<String> {
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
        assert_eq!(ended(BEGUN), expected);
    }

    #[test]
    fn old_subscribers_get_a_document_of_their_own() {
        let expected = r#"{"@context":"https://mercure.rocks/","id":"/hub/subscriptions/%2Fa%2520%3Ab/urn%3Auuid%3A1","type":"Subscription","subscriber":"urn:uuid:1","topic":"/a%20:b","active":true,"payload":{"n":1.10,"active":true}}"#;
        assert_eq!(translated(BEGUN).as_deref(), Some(expected));
        assert_eq!(translated("plain text"), None);
    }
}
