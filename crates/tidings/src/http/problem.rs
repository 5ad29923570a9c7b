//! Refusals over HTTP: the table from kinds of refusal to statuses and fields, and the refusals that only
//! HTTP has. RFC 9457; `docs/reference/http.md` lists the names.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
    SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use http_body_util::Either;
use tidings_core::dialect::Dialect;
use tidings_wire::authority::Authority;
use tidings_wire::problem;
use tidings_wire::websocket::handshake::VERSION;

use super::body::Whole;
use super::{Body, respond, set_allow};
use crate::telemetry::request_line::Refused;
use tidings_hub::account::Crowded;
use tidings_hub::refusal::{Kind, Refusal};

/// Seconds after which a refused publisher is asked to try again.
const RETRY_AFTER_SECS: &str = "1";

/// Seconds after which a refused connection is asked to try again.
const RETRY_CONNECTING_AFTER_SECS: &str = "5";

/// A refusal that HTTP can answer with.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    name: &'static str,
    title: &'static str,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The limit that was reached, if the peer may know.
    reached: Option<Box<Reached>>,
    allow: Option<&'static str>,
    /// The dialect of the response, if that is before 1.0.
    old: Option<Old>,
    /// Whether the detail may be told even if a dialect before 1.0 tells none.
    is_harmless: bool,
}

/// A limit that a peer has reached.
#[derive(Clone, Copy, Debug)]
struct Reached {
    key: &'static str,
    retry_after_secs: Option<u64>,
}

/// How a refusal is answered to a peer of a dialect before 1.0.
#[derive(Clone, Copy, Debug)]
struct Old {
    dialect: Dialect,
    explain: bool,
}

impl<E> From<E> for Problem
where
    Refusal: From<E>,
{
    fn from(error: E) -> Self {
        let refusal = Refusal::from(error);
        let (status, mut headers) = status_and_fields(refusal.kind);
        if let Some(secs) = refusal.retry_after_secs {
            headers.retain(|(name, _)| name != RETRY_AFTER);
            headers.push((RETRY_AFTER, secs.into()));
        }
        let reached = refusal.limit.map(|key| {
            let retry_after_secs = refusal.retry_after_secs;
            Box::new(Reached {
                key,
                retry_after_secs,
            })
        });
        Self {
            headers,
            reached,
            is_harmless: refusal.is_harmless,
            ..Self::new(status, refusal.name, refusal.title, refusal.detail)
        }
    }
}

/// The table from kinds of refusal to statuses and fields. RFC 6750, 3.1, wants no error code if there is no
/// token.
fn status_and_fields(kind: Kind) -> (StatusCode, Vec<(HeaderName, HeaderValue)>) {
    let challenge = |text| vec![(WWW_AUTHENTICATE, HeaderValue::from_static(text))];
    let later = vec![(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECS))];
    match kind {
        Kind::Invalid => (StatusCode::BAD_REQUEST, Vec::new()),
        Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Vec::new()),
        Kind::TokenMissing => (StatusCode::UNAUTHORIZED, challenge("Bearer")),
        Kind::TokenInvalid => (
            StatusCode::UNAUTHORIZED,
            challenge("Bearer error=\"invalid_token\""),
        ),
        Kind::ScopeInsufficient => (
            StatusCode::FORBIDDEN,
            challenge("Bearer error=\"insufficient_scope\""),
        ),
        Kind::NotFound => (StatusCode::NOT_FOUND, Vec::new()),
        Kind::Contradicts => (StatusCode::UNPROCESSABLE_ENTITY, Vec::new()),
        Kind::TooMuch => (StatusCode::TOO_MANY_REQUESTS, later),
        Kind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, later),
    }
}

impl Problem {
    /// Makes a refusal that only HTTP has; `name` becomes `urn:tidings:problem:NAME`.
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
            reached: None,
            allow: None,
            old: None,
            is_harmless: false,
        }
    }

    /// Makes it a refusal in `dialect`. With `explain`, dialects before 1.0 tell the reason.
    pub(crate) fn said_in(self, dialect: Dialect, explain: bool) -> Self {
        match dialect {
            Dialect::V1 => self,
            Dialect::V0 | Dialect::V2019 => Self {
                old: Some(Old { dialect, explain }),
                ..self
            },
        }
    }

    /// Returns the short name, which is also the label in metrics.
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

    /// A path without a resource.
    pub(crate) fn not_found() -> Self {
        let detail = "there is nothing at this path";
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    /// A host name that the hub does not answer for; RFC 9110, 15.5.20.
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

    /// A token presented in a malformed way.
    pub(crate) fn token_malformed(detail: impl Into<String>) -> Self {
        let title = "Access token presented in a malformed way";
        Self::new(StatusCode::BAD_REQUEST, "token-malformed", title, detail).with(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer error=\"invalid_request\""),
        )
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

    /// A resource that only a WebSocket can use; RFC 9110, 15.5.22.
    pub(crate) fn upgrade_required(detail: impl Into<String>) -> Self {
        let status = StatusCode::UPGRADE_REQUIRED;
        Self::new(status, "upgrade-required", "WebSocket required", detail)
            .with(CONNECTION, HeaderValue::from_static("Upgrade"))
            .with(UPGRADE, HeaderValue::from_static("websocket"))
            .with(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION))
    }

    /// A connection or a stream for which there is no place.
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

    /// An address that the operator has blocked.
    pub(crate) fn blocked() -> Self {
        let detail = "requests from this address are not answered (limits.blocked_addresses)";
        let status = StatusCode::FORBIDDEN;
        Self::new(status, "address-blocked", "Address blocked", detail)
    }

    /// Returns the response.
    pub(crate) fn into_response(self) -> Response<Body> {
        match self.old {
            Some(old) => self.into_old_response(old),
            None => self
                .into_document()
                .map(|document| Either::Left(Whole::new(document))),
        }
    }

    /// Returns the bytes of the response over HTTP/1.1, for a connection that is closed without reading its
    /// request.
    pub(crate) fn into_http1(self) -> Bytes {
        let mut response = self.into_document();
        let length = response.body().len();
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, length.into());
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let (head, document) = response.into_parts();
        let mut bytes = format!("{:?} {}\r\n", head.version, head.status).into_bytes();
        for (name, value) in &head.headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&document);
        bytes.into()
    }

    /// Returns the response with its problem document; RFC 9457, 3.
    fn into_document(self) -> Response<Bytes> {
        let status = self.status.as_u16();
        let mut document = problem::document(status, self.name, self.title, &self.detail);
        if let Some(reached) = self.reached {
            problem::add_limit(&mut document, reached.key, reached.retry_after_secs);
        }
        let mut response = Response::new(document.to_string().into());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers);
        if let Some(allow) = self.allow {
            set_allow(headers, allow);
        }
        let (name, detail) = (self.name, self.detail);
        response.extensions_mut().insert(Refused { name, detail });
        response
    }
}

impl Problem {
    /// Returns the response of a hub before 1.0: a line of text, and 401 for everything that a token does not allow.
    fn into_old_response(self, old: Old) -> Response<Body> {
        let (status, text) = match (self.status, self.name) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) | (_, "token-malformed") => {
                (StatusCode::UNAUTHORIZED, "Unauthorized")
            }
            (_, "topic-reserved") if old.dialect == Dialect::V0 => {
                (StatusCode::FORBIDDEN, self.detail.as_str())
            }
            (_, "too-many-topics") => (StatusCode::BAD_REQUEST, "too many topics in update"),
            (_, "topic-missing") => (self.status, "Missing \"topic\" parameter"),
            (_, "selector-missing") => (self.status, "Missing \"topic\" parameter."),
            (_, "data-missing") => (self.status, "Missing \"data\" parameter"),
            (_, "retry-invalid") => (self.status, "Invalid \"retry\" parameter"),
            (status, _) if status.is_client_error() => (status, self.detail.as_str()),
            (status, _) => (status, self.title),
        };
        let mut body = format!("{text}\n");
        if (old.explain || self.is_harmless) && text != self.detail {
            body.push_str(&format!("{}\n", self.detail));
        }
        let mut response = respond(status, "text/plain; charset=utf-8", body);
        let headers = response.headers_mut();
        let kept = self.headers.into_iter();
        headers.extend(kept.filter(|(name, _)| name != WWW_AUTHENTICATE));
        if let Some(allow) = self.allow {
            set_allow(headers, allow);
        }
        let (name, detail) = (self.name, self.detail);
        response.extensions_mut().insert(Refused { name, detail });
        response
    }
}
