//! The JSON frames that a subscriber and the hub exchange over a WebSocket, one per message.
//!
//! Each frame is an object with one member that names its kind, and optionally a `ref`, which the
//! response repeats. `docs/reference/websocket.md` describes them all.

use serde::{Deserialize, Serialize};

use crate::object::Object;
use crate::publish_form::{FormError, PublishForm};
use crate::subscribe_query::{DEFAULT_MATCHER_TYPE, QueryError, SubscribeQuery};

/// The longest `ref`, in bytes.
pub const REFERENCE_BYTES_MAX: usize = 64;

/// A request from a peer.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// The kind of request.
    pub kind: RequestKind,
    /// The reference that the response repeats.
    pub reference: Option<Reference>,
}

/// The kinds of requests.
#[derive(Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Presents a token, the first one or a new one.
    Authenticate(Authenticate),
    /// Adds matchers.
    Subscribe(Selection),
    /// Removes matchers.
    Unsubscribe(Selection),
    /// Publishes an update.
    Publish(Box<Publish>),
    /// Asks for a pong.
    Ping,
    /// Answers a ping, or shows unasked that the peer is alive.
    Pong,
}

/// Names a request, so that the peer can recognise its response: a text or a number of the peer's
/// choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reference {
    /// A whole number.
    Number(i64),
    /// A text of at most [`REFERENCE_BYTES_MAX`] bytes.
    Text(String),
}

/// A token. `Debug` hides it.
#[derive(PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authenticate {
    /// The access token, not verified.
    pub token: String,
}

impl std::fmt::Debug for Authenticate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authenticate(hidden)")
    }
}

/// The matchers of a request, named like the parameters of a subscription's URL.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// Topics.
    #[serde(default, rename = "match")]
    pub exact: OneOrMany,
    /// URL patterns.
    #[serde(default, rename = "match_urlpattern")]
    pub url_pattern: OneOrMany,
    /// Topics or URI templates, as in dialects before 1.0.
    #[serde(default)]
    pub topic: OneOrMany,
    /// The cursor to begin at.
    #[serde(default)]
    pub last_event_id: Option<String>,
}

/// The fields of a publication.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// Its topics, the canonical one first.
    #[serde(default)]
    pub topic: OneOrMany,
    /// The payload.
    #[serde(default)]
    pub data: Option<String>,
    /// Whether reading it needs a grant.
    #[serde(default)]
    pub private: Option<bool>,
    /// The publisher's own event id.
    #[serde(default)]
    pub id: Option<String>,
    /// The type of the event.
    #[serde(default, rename = "type")]
    pub event_type: Option<String>,
    /// Milliseconds that subscribers wait before they reconnect.
    #[serde(default)]
    pub retry: RetryMember,
    /// By which a repetition is recognised.
    #[serde(default)]
    pub idempotency_key: Option<String>,
    /// The trace that it belongs to; W3C Trace Context, 3.2.
    #[serde(default)]
    pub traceparent: Option<String>,
}

/// One text or a list of texts; `null` is an empty list.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Texts")]
pub struct OneOrMany(pub Vec<String>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
enum Texts {
    None(()),
    One(String),
    Many(Vec<String>),
}

/// The member `retry`: milliseconds. `null` and an empty text mean no value, like an empty field of
/// a form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WrittenRetry")]
pub struct RetryMember(pub Option<u64>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "retry is milliseconds, a whole number")]
enum WrittenRetry {
    None(()),
    Ms(u64),
    Text(String),
}

/// A text in the place of a number.
#[derive(Debug, thiserror::Error)]
#[error("retry is a text; write milliseconds as a whole number")]
struct RetryText;

impl TryFrom<WrittenRetry> for RetryMember {
    type Error = RetryText;

    fn try_from(written: WrittenRetry) -> Result<Self, RetryText> {
        match written {
            WrittenRetry::None(()) => Ok(Self(None)),
            WrittenRetry::Ms(ms) => Ok(Self(Some(ms))),
            WrittenRetry::Text(text) if text.is_empty() => Ok(Self(None)),
            WrittenRetry::Text(_) => Err(RetryText),
        }
    }
}

impl From<Texts> for OneOrMany {
    fn from(texts: Texts) -> Self {
        match texts {
            Texts::None(()) => Self::default(),
            Texts::One(text) => Self(vec![text]),
            Texts::Many(texts) => Self(texts),
        }
    }
}

impl Selection {
    /// Returns the parameters of a subscription's URL that mean the same.
    ///
    /// # Errors
    ///
    /// [`QueryError`] if there is no matcher, or more than `matchers_max`.
    pub fn into_query(self, matchers_max: usize) -> Result<SubscribeQuery, QueryError> {
        if !self.topic.0.is_empty() {
            return Err(QueryError::UnknownMatcherType {
                name: "topic".into(),
            });
        }
        let of_type = |name: &'static str, patterns: OneOrMany| {
            patterns
                .0
                .into_iter()
                .map(move |pattern| (name.to_owned(), pattern))
        };
        let matchers: Vec<(String, String)> = of_type(DEFAULT_MATCHER_TYPE, self.exact)
            .chain(of_type("urlpattern", self.url_pattern))
            .collect();
        if matchers.is_empty() {
            return Err(QueryError::NoMatcher);
        }
        if matchers.len() > matchers_max {
            return Err(QueryError::TooManyMatchers { max: matchers_max });
        }
        Ok(SubscribeQuery {
            matchers,
            last_event_id: self.last_event_id,
        })
    }
}

impl Publish {
    /// Returns the form fields that mean the same.
    ///
    /// # Errors
    ///
    /// [`FormError`] if there is no topic, or more than `topics_max`.
    pub fn into_form(self, topics_max: usize) -> Result<PublishForm, FormError> {
        let topics = self.topic.0;
        if topics.is_empty() {
            return Err(FormError::NoTopic);
        }
        if topics.len() > topics_max {
            return Err(FormError::TooManyTopics { max: topics_max });
        }
        Ok(PublishForm {
            topics,
            data: self.data,
            private: self.private.unwrap_or_default(),
            id: self.id,
            event_type: self.event_type,
            retry: self.retry.0,
            traceparent: self.traceparent,
        })
    }
}

/// Why a frame is refused.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The text is not the JSON of a request.
    #[error("the frame is not a request: {0}")]
    Json(#[from] serde_json::Error),
    /// The object has none of the known members, or several.
    #[error(
        "a frame has exactly one of authenticate, subscribe, unsubscribe, publish, ping and pong"
    )]
    Kind,
    /// The reference is too long.
    #[error("ref is longer than {REFERENCE_BYTES_MAX} bytes")]
    Reference,
}

impl Request {
    /// Reads a frame.
    ///
    /// # Errors
    ///
    /// [`RequestError`] names the rule that the frame breaks.
    pub fn decode(frame: &str) -> Result<Self, RequestError> {
        let Object(written): Object<Written> = serde_json::from_str(frame)?;
        if let Some(Reference::Text(text)) = &written.reference
            && text.len() > REFERENCE_BYTES_MAX
        {
            return Err(RequestError::Reference);
        }
        let asks = [
            written
                .authenticate
                .map(|Object(it)| RequestKind::Authenticate(it)),
            written
                .subscribe
                .map(|Object(it)| RequestKind::Subscribe(it)),
            written
                .unsubscribe
                .map(|Object(it)| RequestKind::Unsubscribe(it)),
            written.publish.map(|Object(it)| RequestKind::Publish(it)),
            written.ping.map(|_empty| RequestKind::Ping),
            written.pong.map(|_empty| RequestKind::Pong),
        ];
        let mut asks = asks.into_iter().flatten();
        match (asks.next(), asks.next()) {
            (Some(kind), None) => Ok(Self {
                kind,
                reference: written.reference,
            }),
            _ => Err(RequestError::Kind),
        }
    }
}

/// A frame before its members are counted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    authenticate: Option<Object<Authenticate>>,
    subscribe: Option<Object<Selection>>,
    unsubscribe: Option<Object<Selection>>,
    publish: Option<Object<Box<Publish>>>,
    ping: Option<Object<Empty>>,
    pong: Option<Object<Empty>>,
    #[serde(rename = "ref")]
    reference: Option<Reference>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

/// An update in JSON: in a frame of its own, and in the answers of long polling.
#[derive(Clone, Debug, Serialize)]
pub struct UpdateFields<'a> {
    /// The cursor.
    pub id: &'a str,
    /// Its topics, the canonical one first.
    pub topics: &'a [&'a str],
    /// The type of the event.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub event_type: Option<&'a str>,
    /// Milliseconds that subscribers wait before they reconnect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<u64>,
    /// Whether reading it needs a grant.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
    /// The payload.
    pub data: &'a str,
}

/// A frame from the hub.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HubFrame<'a> {
    /// The connection is open.
    Open {
        /// The cursor from which a subscriber without any update may resume.
        last_event_id: &'a str,
        /// Seconds between two pings of the hub; 0 if it sends none.
        ping_secs: u64,
    },
    /// An update.
    Update(UpdateFields<'a>),
    /// A request was granted.
    Ack(AckFields<'a>),
    /// A request was refused, or the connection is about to be closed: a problem document.
    Error(&'a serde_json::Value),
    /// Every update that a cursor asked for has been sent.
    CaughtUp {
        /// The cursor to resume from.
        last_event_id: &'a str,
    },
    /// The connection was full, so the hub continues from the history.
    Lagging {},
    /// The answer to a ping.
    Pong {},
}

/// The result of a granted request.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AckFields<'a> {
    /// The id of a published update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    /// Where a subscription begins: the cursor of the request, `earliest` if that is unknown, or
    /// the end of the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_event_id: Option<&'a str>,
    /// When a token expires, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// Returns the text of a frame.
pub fn encode(frame: &HubFrame<'_>, reference: Option<&Reference>) -> String {
    #[derive(Serialize)]
    struct Frame<'a> {
        #[serde(flatten)]
        frame: &'a HubFrame<'a>,
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a Reference>,
    }
    let written = match reference {
        // The usual case, and that of every update, avoids the cost of `flatten`.
        None => serde_json::to_string(frame),
        Some(_) => serde_json::to_string(&Frame { frame, reference }),
    };
    debug_assert!(written.is_ok(), "texts, numbers and lists are always JSON");
    written.unwrap_or_default()
}

/// Returns the JSON of an update on one line, without a frame.
pub fn encode_update(fields: &UpdateFields<'_>) -> String {
    let written = serde_json::to_string(fields);
    debug_assert!(written.is_ok(), "texts, numbers and lists are always JSON");
    written.unwrap_or_default()
}

#[cfg(test)]
mod tests;
