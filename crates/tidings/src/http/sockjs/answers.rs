//! SockJS responses: their fields, their fixed bodies, and the body that carries a session.

use std::future::poll_fn;
use std::hash::BuildHasher;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, ETAG, EXPIRES, HeaderName, HeaderValue,
    IF_NONE_MATCH, ORIGIN, SET_COOKIE, VARY,
};
use http::{HeaderMap, Response, StatusCode};
use http_body::Frame;
use tidings_wire::cookie;
use tidings_wire::origin::OriginList;
use tidings_wire::sockjs::{Transport, pages};
use tokio::sync::mpsc;

use crate::http::io_state::Watch;
use crate::http::{Body, respond, respond_empty, set_allow};

/// Asks nginx not to buffer.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Adds the fields that let a page of the request's origin read the response. The caller has checked the origin.
/// With `credentials`, the browser may send cookies.
pub(super) fn allow(asked: &HeaderMap, credentials: bool, headers: &mut HeaderMap) {
    headers.append(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = asked.get(ORIGIN) else {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        return;
    };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    if credentials {
        let yes = HeaderValue::from_static("true");
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
}

/// Adds the cookie by which load balancers keep a session on one server: the request's own, or a new one. SockJS
/// protocol 0.3.3, "JSESSIONID cookie".
pub(super) fn set_cookie(asked: &HeaderMap, headers: &mut HeaderMap) {
    let known = asked
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .find_map(|value| cookie::find(value, pages::AFFINITY_COOKIE));
    let value = known.unwrap_or("dummy");
    let name = pages::AFFINITY_COOKIE;
    if let Ok(value) = HeaderValue::from_str(&format!("{name}={value}; path=/")) {
        headers.insert(SET_COOKIE, value);
    }
}

/// Forbids caches to store a response.
pub(super) fn not_cached(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    let value = HeaderValue::from_static(pages::NOT_CACHED);
    headers.insert(CACHE_CONTROL, value);
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

fn cached(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(pages::CACHED));
    let expires = SystemTime::now() + Duration::from_secs(pages::CACHED_SECS);
    if let Ok(value) = HeaderValue::from_str(&httpdate::fmt_http_date(expires)) {
        headers.insert(EXPIRES, value);
    }
}

/// Answers a preflight. The response is valid for a year.
pub(super) fn preflight(methods: &'static str, asked: &HeaderMap) -> Response<Body> {
    let mut response = respond_empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    cached(headers);
    headers.insert(ACCESS_CONTROL_MAX_AGE, pages::CACHED_SECS.into());
    let value = HeaderValue::from_static(methods);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, value);
    let wanted = asked.get(ACCESS_CONTROL_REQUEST_HEADERS);
    if let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    response
}

/// Answers a method that a URL does not have.
pub(super) fn method_not_allowed(methods: &'static str) -> Response<Body> {
    let mut response = respond_empty(StatusCode::METHOD_NOT_ALLOWED);
    set_allow(response.headers_mut(), methods);
    response
}

/// Answers a malformed request, as the protocol requires.
pub(super) fn failure(reason: String) -> Response<Body> {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    not_cached(respond(status, pages::PLAIN, reason))
}

/// Answers a request at a WebSocket's URL that is not a WebSocket handshake.
pub(super) fn not_an_upgrade() -> Response<Body> {
    respond(StatusCode::BAD_REQUEST, pages::PLAIN, pages::NOT_AN_UPGRADE)
}

/// Answers a request whose texts were accepted.
pub(super) fn taken(transport: Transport) -> Response<Body> {
    // Some old browsers mishandle a response without a body, and some a response without a type.
    not_cached(if transport == Transport::JsonpSend {
        respond(StatusCode::OK, pages::PLAIN, "ok")
    } else {
        respond(StatusCode::NO_CONTENT, pages::PLAIN, "")
    })
}

/// The page for transports across origins. Its requests look like the hub's own, cookies included, so only pages
/// of named origins may put it in a frame. Without a list, every page may.
pub(super) fn iframe(
    library_url: &str,
    framers: Option<&OriginList>,
    asked: &HeaderMap,
) -> Response<Body> {
    let page = pages::iframe(library_url);
    // The same for every hub that serves the same page.
    let etag = format!(
        "\"{:016x}\"",
        foldhash::quality::FixedState::default().hash_one(&page)
    );
    let known = asked
        .get(IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let mut response = if known {
        respond_empty(StatusCode::NOT_MODIFIED)
    } else {
        respond(StatusCode::OK, "text/html; charset=UTF-8", page)
    };
    let headers = response.headers_mut();
    cached(headers);
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(ETAG, etag);
    }
    if let Some(framers) = framers {
        let mut policy = String::from("frame-ancestors 'self'");
        for named in framers.named() {
            policy.push(' ');
            policy.push_str(&named);
        }
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
    }
    response
}

/// The body that carries a session's frames to one request. Its pieces come from the session's shard.
#[derive(Debug)]
pub(crate) struct CarriedBody {
    pieces: mpsc::Receiver<Bytes>,
    watch: Watch,
}

impl CarriedBody {
    pub(super) fn new(pieces: mpsc::Receiver<Bytes>, watch: Watch) -> Self {
        Self { pieces, watch }
    }

    /// Waits for its only piece. None if the peer or the session has ended.
    pub(super) async fn only_piece(mut self) -> Bytes {
        poll_fn(|cx| self.poll_piece(cx)).await.unwrap_or_default()
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Poll::Ready(piece) = self.pieces.poll_recv(cx) {
            return Poll::Ready(piece);
        }
        // The dropped body then tells the session.
        self.watch.poll_ended(cx).map(|()| None)
    }
}

impl http_body::Body for CarriedBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.poll_piece(cx)
            .map(|piece| piece.map(Frame::data).map(Ok))
    }
}
