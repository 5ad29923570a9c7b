//! Refusals: every one has a status, a name that programs can rely on, and a detail that says what
//! was wrong, with which value, and what to do. RFC 9457. This is the one table from our errors to
//! statuses; `docs/reference/http.md` lists the names.

use http::header::{
    CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE,
    WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use serde_json::json;
use tidings_core::dialect::Dialect;
use tidings_core::matcher::MatcherError;
use tidings_wire::authority::Authority;
use tidings_wire::old_publish_form::OldFormError;
use tidings_wire::publish_form::FormError;
use tidings_wire::selector_query::SelectorError;
use tidings_wire::subscribe_query::QueryError;
use tidings_wire::websocket::handshake::VERSION;

use super::{Body, respond, set_allow};
use crate::account::{Crowded, Kind, Limit, Refusal};
use crate::ingest::PublishError;

/// Seconds after which a refused publisher is asked to try again.
const RETRY_AFTER_SECS: &str = "1";

/// Seconds after which a refused connection is asked to try again.
const RETRY_CONNECTING_AFTER_SECS: &str = "5";

/// A refusal.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    name: &'static str,
    title: &'static str,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    allow: Option<&'static str>,
    /// The dialect that it is said in, and whether the reason is said too.
    old: Option<Old>,
    /// Whether everybody may read the reason, also where dialects of before 1.0 say none.
    is_plain: bool,
}

/// How a refusal is said to a peer of before 1.0.
#[derive(Clone, Copy, Debug)]
struct Old {
    dialect: Dialect,
    explain: bool,
}

impl Problem {
    /// Makes a refusal; `name` becomes `urn:tidings:problem:NAME`.
    pub(crate) fn new(
        status: StatusCode,
        name: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            name,
            title,
            detail: detail.into(),
            headers: Vec::new(),
            allow: None,
            old: None,
            is_plain: false,
        }
    }

    /// Has the reason said to peers of any dialect: it tells nothing but what they sent.
    pub(crate) fn plainly(self) -> Self {
        Self {
            is_plain: true,
            ..self
        }
    }

    /// Says it as the hubs of a `dialect` before 1.0 did; with `explain` the reason follows.
    pub(crate) fn said_in(self, dialect: Dialect, explain: bool) -> Self {
        match dialect {
            Dialect::V1 => self,
            Dialect::V0 | Dialect::V2019 => Self {
                old: Some(Old { dialect, explain }),
                ..self
            },
        }
    }

    /// The history cannot be read.
    pub(crate) fn history_unreadable() -> Self {
        let detail = "the history cannot be read now".to_owned();
        Self::unavailable("history-unreadable", "History not readable", detail)
    }

    /// Returns the short name, which is also the word in metrics.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the methods that would have been allowed, if that is what is wrong.
    pub(crate) fn allowed(&self) -> Option<&'static str> {
        self.allow
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// A method that the resource does not have; RFC 9110, 15.5.6.
    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("this resource answers to {allow}");
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let problem = Self::new(status, "method-not-allowed", "Method not allowed", detail);
        Self {
            allow: Some(allow),
            ..problem
        }
    }

    /// A request for subscriptions that nobody keeps track of.
    pub(crate) fn no_presence() -> Self {
        let detail = "this hub does not keep track of subscriptions (presence.enabled)";
        Self::new(StatusCode::NOT_FOUND, "presence-off", "Not found", detail)
    }

    /// A path that nothing is at.
    pub(crate) fn not_found() -> Self {
        let detail = "there is nothing at this path";
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    /// A host name that the hub was not told to answer to; RFC 9110, 15.5.20.
    pub(crate) fn misdirected(named: &str, hosts: &[Authority]) -> Self {
        let hosts: Vec<String> = hosts.iter().map(Authority::to_string).collect();
        let detail = format!(
            "this hub answers as {}, not as {named:?} (hub.hosts)",
            hosts.join(", ")
        );
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected",
            "Misdirected request",
            detail,
        )
    }

    /// No token where one is needed; RFC 6750, 3.1 wants no error code then.
    pub(crate) fn token_missing(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "token-missing",
            "Access token missing",
            detail,
        )
        .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// A token presented in a malformed way.
    pub(crate) fn token_malformed(detail: impl Into<String>) -> Self {
        let title = "Access token presented in a malformed way";
        Self::new(StatusCode::BAD_REQUEST, "token-presentation", title, detail).with(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer error=\"invalid_request\""),
        )
    }

    /// A token that is not accepted.
    pub(crate) fn token_invalid(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "token-invalid",
            "Access token not accepted",
            detail,
        )
        .with(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer error=\"invalid_token\""),
        )
    }

    /// A good token that does not allow this.
    pub(crate) fn scope_insufficient(detail: impl Into<String>) -> Self {
        let title = "Access token does not allow this";
        let challenge = HeaderValue::from_static("Bearer error=\"insufficient_scope\"");
        Self::new(StatusCode::FORBIDDEN, "scope-insufficient", title, detail)
            .with(WWW_AUTHENTICATE, challenge)
    }

    /// A cookie from a page of another site.
    pub(crate) fn origin_refused(detail: impl Into<String>) -> Self {
        let title = "Publishing with the cookie is not allowed from this origin";
        Self::new(StatusCode::FORBIDDEN, "origin-refused", title, detail)
    }

    /// A page of another origin that may not open a WebSocket here.
    pub(crate) fn page_refused(detail: impl Into<String>) -> Self {
        let title = "Not allowed from this origin";
        Self::new(StatusCode::FORBIDDEN, "origin-refused", title, detail)
    }

    /// Something that is only to be had over a WebSocket; RFC 9110, 15.5.22.
    pub(crate) fn upgrade_required(detail: impl Into<String>) -> Self {
        let status = StatusCode::UPGRADE_REQUIRED;
        Self::new(status, "upgrade-required", "WebSocket required", detail)
            .with(CONNECTION, HeaderValue::from_static("Upgrade"))
            .with(UPGRADE, HeaderValue::from_static("websocket"))
            .with(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION))
    }

    /// A malformed request; the usual 400.
    pub(crate) fn bad_request(name: &'static str, title: &'static str, detail: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, name, title, detail)
    }

    /// A body or a field beyond a limit.
    pub(crate) fn too_large(name: &'static str, title: &'static str, detail: String) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, name, title, detail)
    }

    /// A service that cannot be given now.
    pub(crate) fn unavailable(name: &'static str, title: &'static str, detail: String) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, name, title, detail)
            .with(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECS))
    }

    /// Bytes that the hub does not hold for a peer, since a limit is reached.
    pub(crate) fn held_bytes(refusal: &Refusal) -> Self {
        let (name, title) = match refusal.limit {
            Limit::SockJs => ("queue-full", "Too much waits"),
            Limit::Connection | Limit::Address | Limit::Total => {
                ("held-bytes", "Too much memory held")
            }
            Limit::AddressCrowd | Limit::Crowd => {
                ("crowded-patterns", "Too many patterns that are alike")
            }
        };
        if !refusal.limit.is_of_peer() {
            return Self::unavailable(name, title, refusal.to_string());
        }
        let remedy = match refusal.kind {
            Kind::Matchers => "ask for fewer, or by literal texts that few others ask for",
            Kind::Connection
            | Kind::Stream
            | Kind::RequestBody
            | Kind::Answer
            | Kind::Poll
            | Kind::Events
            | Kind::WebSocket
            | Kind::SockJs
            | Kind::Publication => "take the answers that wait, then try again",
        };
        let detail = format!("{refusal}; {remedy}");
        Self::new(StatusCode::TOO_MANY_REQUESTS, name, title, detail)
            .with(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECS))
    }

    /// A connection, or a stream of one, for which there is no place.
    pub(crate) fn too_many_connections(crowded: Crowded) -> Self {
        let (status, detail) = match crowded {
            Crowded::Total => (
                StatusCode::SERVICE_UNAVAILABLE,
                "this hub has reached its limit of connections (limits.connections_max)",
            ),
            Crowded::Address => (
                StatusCode::TOO_MANY_REQUESTS,
                "too many connections from this address (limits.connections_per_address_max)",
            ),
        };
        let title = "Too many connections";
        let retry_after = HeaderValue::from_static(RETRY_CONNECTING_AFTER_SECS);
        Self::new(status, "too-many-connections", title, detail).with(RETRY_AFTER, retry_after)
    }

    /// Returns the bytes of an answer to a connection that is closed without reading its request.
    pub(crate) fn raw(&self) -> String {
        let body = self.document().to_string();
        let mut answer = format!(
            "HTTP/1.1 {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
             connection: close\r\n",
            self.status,
            body.len()
        );
        for (name, value) in &self.headers {
            answer.push_str(&format!(
                "{name}: {}\r\n",
                value.to_str().unwrap_or_default()
            ));
        }
        answer + "\r\n" + &body
    }

    /// Returns the document that says all this; RFC 9457, 3.
    pub(crate) fn document(&self) -> serde_json::Value {
        json!({
            "type": format!("urn:tidings:problem:{}", self.name),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        })
    }

    /// Returns the response.
    pub(crate) fn into_response(self) -> Response<Body> {
        if let Some(old) = self.old {
            return self.into_old_response(old);
        }
        let body = self.document();
        let mut response = respond(self.status, "application/problem+json", body.to_string());
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(
            http::header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        );
        headers.extend(self.headers);
        if let Some(allow) = self.allow {
            set_allow(headers, allow);
        }
        response
    }
}

impl Problem {
    /// Returns the response that a hub of before 1.0 gave: a line of text, and 401 for whatever a
    /// token does not allow.
    fn into_old_response(self, old: Old) -> Response<Body> {
        let (status, text) = match (self.status, self.name) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) | (_, "token-presentation") => {
                (StatusCode::UNAUTHORIZED, "Unauthorized")
            }
            (_, "topic-reserved") if old.dialect == Dialect::V0 => {
                (StatusCode::FORBIDDEN, self.detail.as_str())
            }
            (_, "too-many-topics") => (StatusCode::BAD_REQUEST, "too many topics in update"),
            (_, "topic-missing") => (self.status, "Missing \"topic\" parameter"),
            (_, "selector-missing") => (self.status, "Missing \"topic\" parameter."),
            (_, "data-missing") => (self.status, "Missing \"data\" parameter"),
            (_, "retry") => (self.status, "Invalid \"retry\" parameter"),
            (status, _) if status.is_client_error() => (status, self.detail.as_str()),
            (status, _) => (status, self.title),
        };
        let mut body = format!("{text}\n");
        if (old.explain || self.is_plain) && text != self.detail {
            body.push_str(&format!("{}\n", self.detail));
        }
        let mut response = respond(status, "text/plain; charset=utf-8", body);
        let headers = response.headers_mut();
        let kept = self.headers.into_iter();
        headers.extend(kept.filter(|(name, _)| name != WWW_AUTHENTICATE));
        if let Some(allow) = self.allow {
            set_allow(headers, allow);
        }
        response
    }
}

/// Says why an update was not published.
pub(crate) fn of_publishing(error: &PublishError, explain: bool) -> Problem {
    use tidings_core::event_id::EventIdError;
    use tidings_core::target::TargetError;
    use tidings_core::topic::TopicError;
    use tidings_core::update::{EventTypeError, TopicsError};

    let detail = with_sources(error);
    match error {
        PublishError::Topic {
            source: TopicError::TooLong { .. },
            ..
        } => Problem::too_large("topic-too-long", "Topic too long", detail),
        PublishError::Topic { .. } => Problem::bad_request("topic", "Topic not allowed", detail),
        PublishError::Reserved { .. } => {
            Problem::bad_request("topic-reserved", "Topic reserved for the hub", detail)
        }
        PublishError::Topics(TopicsError::None) => {
            Problem::bad_request("topic-missing", "Topic missing", detail)
        }
        PublishError::Topics(TopicsError::TooMany { .. }) => {
            Problem::too_large("too-many-topics", "Too many topics", detail)
        }
        PublishError::Id(EventIdError::TooLong { .. }) => {
            Problem::too_large("id-too-long", "Event id too long", detail)
        }
        PublishError::Id(_) => Problem::bad_request("id", "Event id not allowed", detail),
        PublishError::Type(EventTypeError::TooLong { .. }) => {
            Problem::too_large("type-too-long", "Event type too long", detail)
        }
        PublishError::Type(_) => Problem::bad_request("type", "Event type not allowed", detail),
        PublishError::Forbidden { .. } if explain => Problem::scope_insufficient(detail),
        PublishError::Forbidden { .. } => {
            Problem::scope_insufficient("the token does not allow publishing to every topic given")
        }
        PublishError::Target {
            source: TargetError::TooLong { .. },
            ..
        } => Problem::too_large("target-too-long", "Target too long", detail),
        PublishError::Target { .. } => Problem::bad_request("target", "Target not allowed", detail),
        PublishError::Targets(_) => {
            Problem::too_large("too-many-targets", "Too many targets", detail)
        }
        PublishError::ForbiddenTarget { .. } | PublishError::ForbiddenAtAll => {
            Problem::scope_insufficient(detail)
        }
        PublishError::Busy => Problem::unavailable("busy", "The hub is busy", detail),
        PublishError::Closed => Problem::unavailable("stopping", "The hub is stopping", detail),
        PublishError::NotStored(_) => {
            let title = "The hub cannot store updates now";
            Problem::unavailable("history-unavailable", title, detail)
        }
    }
}

/// The title of a list that is written in another way than by repeating the field.
const LIST: &str = "List not understood";

/// Says what is wrong with a publisher's form.
pub(crate) fn of_form(error: &FormError) -> Problem {
    let detail = error.to_string();
    match error {
        FormError::NotUtf8(_) => Problem::bad_request("not-utf8", "Not UTF-8", detail),
        FormError::List(_) => Problem::bad_request("list", LIST, detail),
        FormError::NoTopic => Problem::bad_request("topic-missing", "Topic missing", detail),
        FormError::TooManyTopics { .. } => {
            Problem::too_large("too-many-topics", "Too many topics", detail)
        }
        FormError::Retry { .. } => Problem::bad_request("retry", "Retry not a number", detail),
    }
}

/// Says what is wrong with a form of before 1.0.
pub(crate) fn of_old_form(error: &OldFormError) -> Problem {
    match error {
        OldFormError::Form(error) => of_form(error),
        OldFormError::TooManyTargets { .. } => {
            Problem::too_large("too-many-targets", "Too many targets", error.to_string())
        }
    }
}

/// Says what is wrong with the query of a subscriber of before 1.0.
pub(crate) fn of_selectors(error: &SelectorError) -> Problem {
    let (name, title) = match error {
        SelectorError::NotUtf8(_) => ("not-utf8", "Not UTF-8"),
        SelectorError::List(_) => ("list", LIST),
        SelectorError::NoSelector => ("selector-missing", "Topic selector missing"),
        SelectorError::TooMany { .. } => ("too-many-matchers", "Too many matchers"),
    };
    Problem::bad_request(name, title, error.to_string())
}

/// Says what is wrong with a subscriber's query.
pub(crate) fn of_query(error: &QueryError) -> Problem {
    let (name, title) = match error {
        QueryError::NotUtf8(_) => ("not-utf8", "Not UTF-8"),
        QueryError::UnknownMatcherType { .. } => ("matcher-type", "Unknown matcher type"),
        QueryError::NoMatcher => ("matcher-missing", "Matcher missing"),
        QueryError::TooManyMatchers { .. } => ("too-many-matchers", "Too many matchers"),
    };
    let mut detail = error.to_string();
    if matches!(
        error,
        QueryError::NoMatcher | QueryError::UnknownMatcherType { .. }
    ) {
        detail.push_str(
            "; ask for topics with match=TOPIC or match_urlpattern=PATTERN, once for each",
        );
    }
    Problem::bad_request(name, title, detail)
}

/// Says what is wrong with a matcher.
pub(crate) fn of_matcher(kind: &str, error: &MatcherError) -> Problem {
    let detail = format!("{kind} matcher: {}", with_sources(error));
    Problem::bad_request("matcher", "Matcher not allowed", detail)
}

/// Joins an error and its causes: the innermost one often says what to do.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let line = source.to_string();
        if !text.contains(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        cause = source.source();
    }
    text
}
