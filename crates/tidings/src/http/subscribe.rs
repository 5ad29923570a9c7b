//! The door for subscribers: from query to matchers, the subscriber's token, the cursor, and the response head of an
//! event stream.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, PRAGMA};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::Either;
use hyper::body::Incoming;
use tidings_auth::{Identity, Role};
use tidings_core::dialect::Dialect;
use tidings_core::event_id::Cursor;
use tidings_core::limits::{MATCHERS_PER_SUBSCRIBER_MAX, SELECTORS_PER_SUBSCRIBER_MAX};
use tidings_core::matcher::Matcher;
use tidings_wire::frame::{Frame, KEEP_ALIVE_CHUNK};
use tidings_wire::http_head;
use tidings_wire::selector_query::{SelectorQuery, old_cursor};
use tidings_wire::sse::KEEP_ALIVE;
use tidings_wire::subscribe_query::{QueryError, SubscribeQuery};
use tokio::sync::oneshot;

use super::authorize::{Asking, identify, identify_in};
use super::body::EventBody;
use super::legacy::chat;
use super::problem::Problem;
use super::{Answer, Body, ConnectionInfo, QUERY, Whole, poll, request_body, respond_empty};
use crate::http::Site;
use crate::telemetry::access::Access;
use tidings_hub::metrics::count;
use tidings_hub::posted::Encoding;
use tidings_hub::refusal::Refusal;
use tidings_hub::session::Opening;
use tidings_hub::session::log::SessionLog;
use tidings_hub::session::socket::{BodySink, Socket};
use tidings_hub::shard::Subscription;
use tidings_hub::subscribing::{self, SubscribeError};

/// The media type of an event stream; WHATWG HTML, "Server-sent events".
const EVENT_STREAM: &str = "text/event-stream";
/// Maximum size of the body of a QUERY request: enough for all matchers of one subscriber.
const QUERY_BODY_BYTES_MAX: usize = 1024 * 1024;
/// `Cache-Control` of whole responses: personal, and never stored. They may be compressed.
pub(crate) const NOT_CACHED: &str = "private, no-cache, no-store, must-revalidate, max-age=0";
/// Asks nginx not to buffer.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// The subscriber's cursor; Mercure, "Reconnection, State Reconciliation, and Event Sourcing".
pub(crate) const MERCURE_LAST_EVENT_ID: HeaderName =
    HeaderName::from_static("mercure-last-event-id");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The value for a cursor before everything.
const EARLIEST: HeaderValue = HeaderValue::from_static("earliest");
/// What a subscriber that needs a token is told.
const NO_ANONYMOUS: &str = "this hub does not take anonymous subscribers (subscribe.anonymous)";
/// An event stream that is about to begin.
#[derive(Debug)]
pub(crate) struct EventStream {
    subscription: Subscription,
    version: Version,
    headers: HeaderMap,
    /// Sent right after the head.
    prelude: Prelude,
}

/// The first bytes of a stream.
#[derive(Debug, Default)]
struct Prelude {
    bytes: Bytes,
    /// The content, without the framing of chunks.
    content_bytes: usize,
}

/// Subscribes to the hub.
///
/// # Errors
///
/// The refusal.
///
/// Mercure, "Subscription".
pub(crate) async fn hub(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    if reading && site.config().dialects.v0 && SelectorQuery::applies_to(query) {
        return old(site, info, Dialect::V0, None, request).await;
    }
    let result = subscribe(site, info, request).await;
    if let Err(problem) = &result {
        count(&site.metrics().subscribe_refused, problem.name());
    }
    result
}

/// Subscribes in a dialect before 1.0. With a `peer`, its events are logged.
///
/// # Errors
///
/// The refusal, in the form of that dialect.
pub(crate) async fn old(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    dialect: Dialect,
    peer: Option<&str>,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    let result = subscribe_old(site, info, dialect, peer, request).await;
    result.map_err(|problem| {
        count(&site.metrics().subscribe_refused, problem.name());
        problem.said_in(dialect, site.config().explain_refusals)
    })
}

async fn subscribe_old(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    dialect: Dialect,
    peer: Option<&str>,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    let (asked, _body) = request.into_parts();
    let query = asked.uri.query().unwrap_or_default();
    let asking = Asking {
        headers: &asked.headers,
        query,
        dialect,
    };
    let identity = identify_in(site, asking, Role::Subscribe).await?;
    subscribing::check_anonymous(site, identity.as_deref(), NO_ANONYMOUS)?;
    let query = SelectorQuery::decode(query.as_bytes(), SELECTORS_PER_SUBSCRIBER_MAX)?;
    let matchers = subscribing::selectors(site, &query).await?;
    let cursor = cursor(&asked.headers, query.last_event_id.as_deref());
    let asked = Asked {
        method: &asked.method,
        version: asked.version,
        dialect,
        log: peer.map(|peer| Box::new(SessionLog::of_2019(peer))),
        wait: None,
    };
    begin(site, info, asked, matchers, identity, cursor).await
}

async fn subscribe(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    let (asked, body) = request.into_parts();
    let is_query = asked.method.as_str() == QUERY;
    let identity = match subscriber(site, &asked).await {
        Ok(identity) => identity,
        Err(problem) => {
            if is_query {
                let bytes_max = QUERY_BODY_BYTES_MAX;
                request_body::discard(site, &asked.headers, body, bytes_max).await;
            }
            return Err(problem);
        }
    };
    // The charge is kept until the stream begins, or the poll is answered.
    let (body, _charge) = if is_query {
        let (body, charge) = request_body::read(site, info, body, QUERY_BODY_BYTES_MAX).await?;
        (Some(body), Some(charge))
    } else {
        (None, None)
    };
    let text = asked.uri.query().unwrap_or_default().as_bytes();
    let query = SubscribeQuery::decode(text, body.as_deref(), MATCHERS_PER_SUBSCRIBER_MAX)
        .map_err(|error| of_query(error, text))?;
    let matchers = subscribing::matchers(site, &query).await?;
    // Some 0.x libraries send a cursor only by its old names.
    let old_names = || {
        site.config()
            .dialects
            .v0
            .then(|| old_cursor(text))
            .flatten()
    };
    let last_event_id = query.last_event_id.or_else(old_names);
    let cursor = cursor(&asked.headers, last_event_id.as_deref());
    let asked = Asked {
        method: &asked.method,
        version: asked.version,
        dialect: Dialect::V1,
        log: None,
        wait: poll::wait(&asked.headers),
    };
    begin(site, info, asked, matchers, identity, cursor).await
}

/// Explains what is wrong with a query. A 0.x query is told which setting it needs.
fn of_query(error: QueryError, query: &[u8]) -> Refusal {
    if error == QueryError::NoMatcher && SelectorQuery::applies_to(query) {
        let detail = "topic is a parameter of Mercure 0.x, which this hub does not serve; \
                      dialects.v0 = true switches it on, match=TOPIC asks in Mercure 1.0";
        return Refusal::invalid("matcher-missing", "Matcher missing", detail);
    }
    error.into()
}

/// How a stream was requested.
struct Asked<'a> {
    method: &'a Method,
    version: Version,
    dialect: Dialect,
    /// The log of a subscriber in the 2019 dialect.
    log: Option<Box<SessionLog>>,
    /// How long a poll waits. None for an event stream.
    wait: Option<Duration>,
}

/// Returns the identity of the subscriber, from the head of the request. `None` if it is anonymous.
async fn subscriber(site: &Site, asked: &Parts) -> Result<Option<Arc<Identity>>, Problem> {
    let identity = identify(site, &asked.headers, Role::Subscribe).await?;
    subscribing::check_anonymous(site, identity.as_deref(), NO_ANONYMOUS)?;
    if asked.method.as_str() == QUERY {
        request_body::require_form(&asked.headers)?;
    }
    Ok(identity)
}

/// Subscribes to the chat: the tutorial's `EventSource("/event/fetch")`.
///
/// # Errors
///
/// The refusal.
pub(crate) async fn chat(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    let (asked, _body) = request.into_parts();
    let matchers = subscribing::exactly(site, chat::TOPIC)?;
    // On its first visit the page has no cursor. Ours asks for the earlier messages.
    let query = asked.uri.query().unwrap_or_default();
    let last_event_id = tidings_wire::form::pairs(query.as_bytes())
        .filter(|pair| *pair.name_bytes() == *b"last_event_id")
        .find_map(|pair| pair.value().ok());
    let cursor = cursor(&asked.headers, last_event_id.as_deref());
    let asked = Asked {
        method: &asked.method,
        version: asked.version,
        dialect: Dialect::V1,
        log: None,
        wait: poll::wait(&asked.headers),
    };
    begin(site, info, asked, matchers, None, cursor).await
}

/// Returns the cursor: from the header, else from the query.
pub(crate) fn cursor(headers: &HeaderMap, query: Option<&str>) -> Option<Cursor> {
    match headers.get(LAST_EVENT_ID) {
        Some(value) => Some(Cursor::parse(&field_text(value.as_bytes()))),
        None => query.map(Cursor::parse),
    }
}

/// Decodes a field as browsers write it: `EventSource` in UTF-8, `fetch` in Latin-1 (RFC 9110, 5.5).
fn field_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_not_utf8) => bytes.iter().copied().map(char::from).collect(),
    }
}

/// Prepares the stream of an admitted subscriber.
async fn begin(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    asked: Asked<'_>,
    matchers: Vec<Matcher>,
    identity: Option<Arc<Identity>>,
    cursor: Option<Cursor>,
) -> Result<Answer, Problem> {
    let comes_back = asked.wait.is_none() && *asked.method != Method::HEAD;
    let asked_for = cursor.clone();
    let admitted = match subscribing::admit(site, &info.holder, identity, matchers, cursor).await {
        Err(SubscribeError::CatchingUp) if comes_back => {
            let cursor = asked_for.unwrap_or(Cursor::Earliest);
            return Ok(Answer::Response(empty_stream(site, asked.dialect, &cursor)));
        }
        admitted => admitted?,
    };
    let mut headers = HeaderMap::with_capacity(8);
    set_dialect_headers(asked.dialect, &admitted.begins.cursor, &mut headers);
    if *asked.method == Method::HEAD {
        return Ok(Answer::Response(match asked.wait {
            Some(wait) => poll::head_only(headers, wait),
            None => head_only(headers),
        }));
    }
    let lifetime = subscribing::lifetime(site);
    let deadline = subscribing::deadline(lifetime, admitted.identity.as_deref());
    let subscription = Subscription {
        admitted,
        dialect: asked.dialect,
        log: asked.log,
        encoding: if asked.wait.is_some() {
            Encoding::Lines
        } else if asked.version == Version::HTTP_11 {
            Encoding::Chunked
        } else {
            Encoding::Plain
        },
        deadline,
        duplex: None,
    };
    if let Some(wait) = asked.wait {
        let response = poll::answer(site, info, subscription, headers, wait).await?;
        return Ok(Answer::Response(response));
    }
    let prelude = prelude(site, subscription.encoding);
    Ok(Answer::Stream(Box::new(EventStream {
        subscription,
        version: asked.version,
        headers,
        prelude,
    })))
}

/// Adds a dialect's fields to the head of a stream: where it begins, and caching.
fn set_dialect_headers(dialect: Dialect, begins: &Cursor, headers: &mut HeaderMap) {
    // A publisher's id may contain characters that no field can carry.
    let begins = HeaderValue::from_bytes(begins.as_str().as_bytes()).unwrap_or(EARLIEST);
    match dialect {
        Dialect::V1 => {}
        Dialect::V0 => {
            headers.insert(LAST_EVENT_ID, begins.clone());
        }
        Dialect::V2019 => {
            headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
            return;
        }
    }
    headers.insert(MERCURE_LAST_EVENT_ID, begins);
}

/// Returns the bytes right after the head: a comment, which shows the subscriber that the stream is open and that no
/// proxy buffers it, and the reconnection time.
fn prelude(site: &Site, encoding: Encoding) -> Prelude {
    let retry = site.config().subscribe.retry.map(|retry| {
        let ms = u64::try_from(retry.as_millis()).unwrap_or(u64::MAX);
        let frame = Frame::retry(ms);
        let bytes = match encoding {
            Encoding::Chunked => frame.chunk().clone(),
            Encoding::Plain => frame.event(),
            Encoding::WebSocket(..) | Encoding::Lines => return Prelude::default(),
        };
        Prelude {
            bytes,
            content_bytes: frame.event_len(),
        }
    });
    let retry = retry.unwrap_or_default();
    let comment = match encoding {
        Encoding::WebSocket(..) | Encoding::Lines => return retry,
        Encoding::Chunked => KEEP_ALIVE_CHUNK,
        Encoding::Plain => KEEP_ALIVE,
    };
    Prelude {
        bytes: [comment, &retry.bytes].concat().into(),
        content_bytes: KEEP_ALIVE.len() + retry.content_bytes,
    }
}

/// Answers with a stream that ends at once, where it begins: a browser's `EventSource` comes back after that, and never
/// after a refusal.
fn empty_stream(site: &Site, dialect: Dialect, cursor: &Cursor) -> Response<Body> {
    let bytes = prelude(site, Encoding::Plain).bytes;
    let mut response = Response::new(Either::Left(Whole::new(bytes)));
    set_stream_headers(response.headers_mut());
    set_dialect_headers(dialect, cursor, response.headers_mut());
    response
}

/// Answers HEAD: the fields of a stream, but no stream (RFC 9110, 9.3.2).
fn head_only(headers: HeaderMap) -> Response<Body> {
    let mut response = respond_empty(StatusCode::OK);
    set_stream_headers(response.headers_mut());
    response.headers_mut().extend(headers);
    response
}

pub(crate) fn set_stream_headers(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    let cache_control = HeaderValue::from_static(http_head::CACHE_CONTROL);
    headers.insert(CACHE_CONTROL, cache_control);
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
}

impl EventStream {
    /// Returns the response fields that not every event stream has.
    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// Writes the line of the access log when the stream ends.
    pub(crate) fn log_at_end(&mut self, access: Access) {
        let log = self.subscription.log.get_or_insert_default();
        let at_end = Box::new(move |bytes| access.write(200, bytes));
        log.count_until_end(self.prelude.content_bytes as u64, at_end);
    }

    /// Returns the subscription and the bytes that open its HTTP/1 response.
    pub(crate) fn into_http1(self) -> (Subscription, Bytes) {
        let version = if self.version == Version::HTTP_11 {
            http_head::Version::Http11
        } else {
            http_head::Version::Http10
        };
        let date = httpdate::fmt_http_date(SystemTime::now());
        // All values are the hub's own or an event id, which was checked.
        let extra: Vec<(&str, &str)> = self
            .headers
            .iter()
            .filter_map(|(name, value)| {
                Some((name.as_str(), std::str::from_utf8(value.as_bytes()).ok()?))
            })
            .collect();
        let head = http_head::event_stream_head(version, &date, &extra);
        debug_assert!(head.is_ok(), "{head:?}");
        let mut head = head.unwrap_or_default();
        head.extend_from_slice(&self.prelude.bytes);
        (self.subscription, head.into())
    }

    /// Lets the subscriber join, and returns its HTTP/2 response.
    pub(crate) async fn into_http2(self, site: &Rc<Site>, info: &ConnectionInfo) -> Response<Body> {
        let (sink, body) = BodySink::new();
        let (ready, joined) = oneshot::channel();
        let opening = Opening::Response {
            ready,
            prelude: self.prelude.bytes,
        };
        site.hold(
            Socket::Body(sink),
            self.subscription,
            opening,
            Arc::clone(&info.holder),
        );
        // The response means that the subscriber misses nothing published from now on. If the session ended
        // before, its body ends too.
        drop(joined.await);
        let mut response = Response::new(Either::Right(Either::Left(EventBody(body))));
        set_stream_headers(response.headers_mut());
        response.headers_mut().extend(self.headers);
        response
    }
}
