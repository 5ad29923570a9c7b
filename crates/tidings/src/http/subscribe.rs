//! The door for subscribers: query to matchers, the subscriber's token, the cursor, and the answer
//! that an event stream begins with.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
use tidings_core::matcher::{Matcher, MatcherType};
use tidings_history::Resolved;
use tidings_wire::frame::{Frame, KEEP_ALIVE_CHUNK};
use tidings_wire::http_head;
use tidings_wire::selector_query::{SelectorQuery, old_cursor};
use tidings_wire::sse::KEEP_ALIVE;
use tidings_wire::subscribe_query::{QueryError, SubscribeQuery};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::access::Access;
use super::authorize::{Asking, identify, identify_in};
use super::problem::{self, Problem};
use super::{Answer, Body, QUERY, Visit, chat, poll, request_body, respond_empty};
use crate::account::{Booked, Holder};
use crate::metrics::count;
use crate::posted::Encoding;
use crate::session::noted::Noted;
use crate::session::socket::{BodySink, Socket};
use crate::session::watcher::Watcher;
use crate::session::{Ending, Opening, Start};
use crate::shard::{Shard, Subscription};

/// The media type of an event stream; WHATWG HTML, "Server-sent events".
const EVENT_STREAM: &str = "text/event-stream";
/// Bytes of the body of a QUERY request: all matchers that one subscriber may have, and some.
const QUERY_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Personal, never stored, never served again; of answers that are whole and may be compressed.
pub(crate) const NOT_CACHED: &str = "private, no-cache, no-store, must-revalidate, max-age=0";
/// Asks nginx not to buffer.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Where the subscriber stands; Mercure, "Reconnection, State Reconciliation, and Event Sourcing".
pub(crate) const MERCURE_LAST_EVENT_ID: HeaderName =
    HeaderName::from_static("mercure-last-event-id");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The answer for a cursor that nothing precedes.
const EARLIEST: HeaderValue = HeaderValue::from_static("earliest");
/// The longest connection lives this much of `subscribe.connection_secs_max` at least: all that
/// connected in one moment must not come back in one moment.
const LIFETIME_SPREAD: std::ops::Range<f64> = 0.8..1.0;

/// An event stream that is about to begin.
#[derive(Debug)]
pub(crate) struct EventStream {
    subscription: Subscription,
    version: Version,
    headers: HeaderMap,
    /// Goes out right after the head.
    prelude: Prelude,
}

/// What a stream begins with.
#[derive(Debug, Default)]
struct Prelude {
    bytes: Bytes,
    /// The content in it, without the framing of chunks.
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
    shard: &Rc<Shard>,
    visit: &Visit,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    if reading && shard.config().dialects.v0 && SelectorQuery::is_meant_by(query) {
        return old(shard, visit, Dialect::V0, None, request).await;
    }
    let result = subscribe(shard, visit, request).await;
    if let Err(problem) = &result {
        count(&shard.metrics().subscribe_refused, problem.name());
    }
    result
}

/// Subscribes in a dialect of before 1.0. With a `peer` it is noted in the log what happens to it.
///
/// # Errors
///
/// The refusal, as the hubs of that dialect said it.
pub(crate) async fn old(
    shard: &Rc<Shard>,
    visit: &Visit,
    dialect: Dialect,
    peer: Option<SocketAddr>,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    let result = subscribe_old(shard, visit, dialect, peer, request).await;
    result.map_err(|problem| {
        count(&shard.metrics().subscribe_refused, problem.name());
        problem.said_in(dialect, shard.config().explain_refusals)
    })
}

async fn subscribe_old(
    shard: &Rc<Shard>,
    visit: &Visit,
    dialect: Dialect,
    peer: Option<SocketAddr>,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    let (asked, _body) = request.into_parts();
    let query = asked.uri.query().unwrap_or_default();
    let asking = Asking {
        headers: &asked.headers,
        query,
        dialect,
    };
    let identity = identify_in(shard, asking, Role::Subscribe).await?;
    check_anonymous(shard, identity.as_ref())?;
    let query = SelectorQuery::decode(query.as_bytes(), SELECTORS_PER_SUBSCRIBER_MAX)
        .map_err(|error| problem::of_selectors(&error))?;
    let mut compiler = shard.compiler();
    let mut matchers: Vec<Matcher> = Vec::with_capacity(query.selectors.len());
    for selector in &query.selectors {
        let matcher = compiler
            .compile(MatcherType::UriTemplate, selector)
            .await
            .map_err(|error| problem::of_matcher("topic", &error))?;
        if !matchers.contains(&matcher) {
            matchers.push(matcher);
        }
    }
    drop(compiler);
    let cursor = cursor(&asked.headers, query.last_event_id.as_deref());
    let asked = Asked {
        method: &asked.method,
        version: asked.version,
        dialect,
        noted: peer.map(|peer| Box::new(Noted::of_2019(peer))),
        wait: None,
    };
    begin(shard, visit, asked, matchers.into(), identity, cursor).await
}

/// Refuses a subscriber without a token, unless such are let in.
fn check_anonymous(shard: &Shard, identity: Option<&Arc<Identity>>) -> Result<(), Problem> {
    if identity.is_none() && !shard.config().subscribe.anonymous {
        return Err(Problem::token_missing(
            "this hub does not take anonymous subscribers (subscribe.anonymous)",
        ));
    }
    Ok(())
}

async fn subscribe(
    shard: &Rc<Shard>,
    visit: &Visit,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    let (asked, body) = request.into_parts();
    let is_query = asked.method.as_str() == QUERY;
    let identity = match subscriber(shard, &asked).await {
        Ok(identity) => identity,
        Err(problem) => {
            if is_query {
                let bytes_max = QUERY_BODY_BYTES_MAX;
                request_body::discard(shard, &asked.headers, body, bytes_max).await;
            }
            return Err(problem);
        }
    };
    // The charge is kept until the stream begins, or the poll is answered.
    let (body, _charge) = if is_query {
        let (body, charge) = request_body::read(shard, visit, body, QUERY_BODY_BYTES_MAX).await?;
        (Some(body), Some(charge))
    } else {
        (None, None)
    };
    let text = asked.uri.query().unwrap_or_default().as_bytes();
    let query = SubscribeQuery::decode(text, body.as_deref(), MATCHERS_PER_SUBSCRIBER_MAX)
        .map_err(|error| of_query(&error, text))?;
    let matchers = matchers(shard, &query).await?;
    // Where 0.x is served there are libraries that send a cursor by its old names only.
    let old_names = || {
        shard
            .config()
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
        noted: None,
        wait: poll::wait(&asked.headers),
    };
    begin(shard, visit, asked, matchers, identity, cursor).await
}

/// Says what is wrong with a query; one of 0.x is told how to be served.
fn of_query(error: &QueryError, query: &[u8]) -> Problem {
    if *error == QueryError::NoMatcher && SelectorQuery::is_meant_by(query) {
        let detail = "topic is a parameter of Mercure 0.x, which this hub does not serve; \
                      dialects.v0 = true switches it on, match=TOPIC asks in Mercure 1.0";
        return Problem::bad_request("matcher-missing", "Matcher missing", detail.to_owned());
    }
    problem::of_query(error)
}

/// How a stream was asked for.
struct Asked<'a> {
    method: &'a Method,
    version: Version,
    dialect: Dialect,
    /// For a subscriber of 2019.
    noted: Option<Box<Noted>>,
    /// How long a poll waits for an answer; none for an event stream.
    wait: Option<Duration>,
}

/// Says who subscribes, by what stands in the head of the request; `None` is an anonymous one.
async fn subscriber(shard: &Shard, asked: &Parts) -> Result<Option<Arc<Identity>>, Problem> {
    let identity = identify(shard, &asked.headers, Role::Subscribe).await?;
    check_anonymous(shard, identity.as_ref())?;
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
    shard: &Rc<Shard>,
    visit: &Visit,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    let (asked, _body) = request.into_parts();
    let matcher = Matcher::parse(MatcherType::Exact, chat::TOPIC, shard.hub())
        .map_err(|error| problem::of_matcher("exact", &error))?;
    // The page itself has no cursor on its first visit; ours asks for what was said before.
    let query = asked.uri.query().unwrap_or_default();
    let last_event_id = tidings_wire::form::pairs(query.as_bytes())
        .filter(|pair| *pair.name_bytes() == *b"last_event_id")
        .find_map(|pair| pair.value().ok());
    let cursor = cursor(&asked.headers, last_event_id.as_deref());
    let asked = Asked {
        method: &asked.method,
        version: asked.version,
        dialect: Dialect::V1,
        noted: None,
        wait: poll::wait(&asked.headers),
    };
    begin(shard, visit, asked, Box::new([matcher]), None, cursor).await
}

/// Compiles what a subscriber asked for; each identical pair once.
///
/// # Errors
///
/// The first one that is not well formed, or of a type that the hub does not know.
pub(crate) async fn matchers(
    shard: &Shard,
    query: &SubscribeQuery,
) -> Result<Box<[Matcher]>, Problem> {
    let mut compiler = shard.compiler();
    let mut matchers: Vec<Matcher> = Vec::with_capacity(query.matchers.len());
    for (name, pattern) in &query.matchers {
        let Some(kind) = MatcherType::from_name(name) else {
            let detail = format!(
                "match_{name} is not a matcher type of this hub; use match or match_urlpattern"
            );
            return Err(Problem::bad_request(
                "matcher-type",
                "Unknown matcher type",
                detail,
            ));
        };
        let matcher = compiler
            .compile(kind, pattern)
            .await
            .map_err(|error| problem::of_matcher(name, &error))?;
        if !matchers.contains(&matcher) {
            matchers.push(matcher);
        }
    }
    Ok(matchers.into())
}

/// Books what a peer asks for, before anything is waited for.
///
/// # Errors
///
/// There is no room for it.
pub(crate) fn book(
    booked: &mut Booked,
    holder: &Arc<Holder>,
    matchers: &mut [Matcher],
) -> Result<(), Problem> {
    let added = booked.add(holder, matchers);
    added.map_err(|refusal| Problem::held_bytes(&refusal))
}

/// Returns the cursor: of the header, else of the query.
pub(crate) fn cursor(headers: &HeaderMap, query: Option<&str>) -> Option<Cursor> {
    match headers.get(LAST_EVENT_ID) {
        Some(value) => Some(Cursor::parse(&field_text(value.as_bytes()))),
        None => query.map(Cursor::parse),
    }
}

/// Reads a field as browsers write them: `EventSource` in UTF-8, `fetch` in Latin-1 (RFC 9110, 5.5).
fn field_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_not_utf8) => bytes.iter().copied().map(char::from).collect(),
    }
}

/// Prepares the stream of a subscriber that may have one.
async fn begin(
    shard: &Rc<Shard>,
    visit: &Visit,
    asked: Asked<'_>,
    mut matchers: Box<[Matcher]>,
    identity: Option<Arc<Identity>>,
    cursor: Option<Cursor>,
) -> Result<Answer, Problem> {
    let mut booked = Booked::default();
    book(&mut booked, &visit.holder, &mut matchers)?;
    let (start, answer) = start(shard, cursor, &matchers, identity.as_deref()).await?;
    let mut headers = HeaderMap::with_capacity(8);
    set_dialect_headers(asked.dialect, answer, &mut headers);
    if *asked.method == Method::HEAD {
        return Ok(Answer::Response(match asked.wait {
            Some(wait) => poll::head_only(headers, wait),
            None => head_only(headers),
        }));
    }
    let deadline = deadline(lifetime(shard), identity.as_deref());
    let subscription = Subscription {
        dialect: asked.dialect,
        noted: asked.noted,
        matchers,
        booked,
        identity,
        start,
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
        let response = poll::answer(shard, visit, subscription, headers, wait).await?;
        return Ok(Answer::Response(response));
    }
    let prelude = prelude(shard, subscription.encoding);
    Ok(Answer::Stream(Box::new(EventStream {
        subscription,
        version: asked.version,
        headers,
        prelude,
    })))
}

/// Adds what a dialect says in the head of a stream: where it begins, and about caches.
fn set_dialect_headers(dialect: Dialect, begins: HeaderValue, headers: &mut HeaderMap) {
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

/// Returns what goes out right after the head: a comment, by which a subscriber knows that the stream
/// is open and that nothing on the way holds it back, and how long to wait before connecting again.
fn prelude(shard: &Shard, encoding: Encoding) -> Prelude {
    let retry = shard.config().subscribe.retry.map(|retry| {
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

/// Returns where a stream begins, and what its head says about it: the id of an event that comes
/// before all that the stream sends, so that a subscriber that never got one can resume too.
/// A known cursor that lies before events about subscriptions that are gone and that the subscriber may
/// see is answered `earliest`, too, and what follows it comes (docs/decisions/0015).
///
/// # Errors
///
/// The history cannot be asked.
pub(crate) async fn start(
    shard: &Shard,
    cursor: Option<Cursor>,
    matchers: &[Matcher],
    identity: Option<&Identity>,
) -> Result<(Start, HeaderValue), Problem> {
    let Some(cursor) = cursor else {
        return Ok((Start::Now, standing(shard)));
    };
    match resolve(shard, cursor).await? {
        (Start::After(position), answer) => {
            let watcher = Watcher {
                matchers,
                grants: identity.map(|identity| &*identity.grants),
            };
            if !watcher.misses(shard, position) {
                return Ok((Start::After(position), answer));
            }
            shard.metrics().cursors_unknown.inc();
            Ok((Start::AfterGap(position), EARLIEST))
        }
        begin => Ok(begin),
    }
}

/// Returns the id of the last event that this shard has seen. A stream that joins afterwards begins
/// with a later one.
fn standing(shard: &Shard) -> HeaderValue {
    HeaderValue::try_from(shard.cursor_at_last()).unwrap_or(EARLIEST)
}

/// Finds where a cursor points to, and what is said about it.
///
/// A known one is answered as it was asked: nothing is missing after it. An unknown or expired one
/// is answered `earliest`, and everything that is kept follows (docs/decisions/0007).
async fn resolve(shard: &Shard, cursor: Cursor) -> Result<(Start, HeaderValue), Problem> {
    let id = match cursor {
        Cursor::Earliest => return Ok((Start::Oldest, EARLIEST)),
        Cursor::After(id) => id,
    };
    let (reply, resolved) = oneshot::channel();
    shard.history().resolve(
        Arc::clone(&id),
        |position| shard.recent_print(position),
        Box::new(move |result| drop(reply.send(result))),
    );
    match resolved.await {
        Ok(Ok(Resolved::After(position))) => {
            let answer = HeaderValue::from_bytes(id.as_bytes()).unwrap_or(EARLIEST);
            Ok((Start::After(position), answer))
        }
        Ok(Ok(Resolved::Unknown { .. })) => {
            shard.metrics().cursors_unknown.inc();
            Ok((Start::Oldest, EARLIEST))
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "a cursor could not be looked up");
            Err(Problem::history_unreadable())
        }
        Err(_) => {
            let detail = "the hub is being stopped".to_owned();
            Err(Problem::unavailable(
                "stopping",
                "The hub is stopping",
                detail,
            ))
        }
    }
}

/// Returns when a connection that begins now has lived long enough, if there is such a time.
pub(crate) fn lifetime(shard: &Shard) -> Option<Instant> {
    let longest = shard.config().subscribe.connection_max?;
    let spread = LIFETIME_SPREAD.end - LIFETIME_SPREAD.start;
    let part = fastrand::f64().mul_add(spread, LIFETIME_SPREAD.start);
    Instant::now().checked_add(longest.mul_f64(part))
}

/// Returns when a token ends; nothing for an end so far away that no timer can hold it.
pub(crate) fn expiry(identity: &Identity) -> Option<Instant> {
    let ends = UNIX_EPOCH.checked_add(Duration::from_secs(identity.expires_at))?;
    let left = ends.duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now().checked_add(left)
}

/// Returns when a session ends at the latest: with its token, or after its longest life.
pub(crate) fn deadline(
    lifetime: Option<Instant>,
    identity: Option<&Identity>,
) -> Option<(Instant, Ending)> {
    let lifetime = lifetime.map(|end| (end, Ending::Lifetime));
    let expiry = identity
        .and_then(expiry)
        .map(|end| (end, Ending::TokenExpired));
    // The token's end counts if both come at once.
    expiry
        .into_iter()
        .chain(lifetime)
        .min_by_key(|(end, _)| *end)
}

impl EventStream {
    /// Returns the response fields beside those that every event stream has.
    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// Lets the access log have its line when the stream ends.
    pub(crate) fn log_at_end(&mut self, access: Access) {
        let noted = self.subscription.noted.get_or_insert_default();
        noted.log_at_end(access, self.prelude.content_bytes as u64);
    }

    /// Returns the subscription and the bytes that open its HTTP/1 response.
    pub(crate) fn into_http1(self) -> (Subscription, Bytes) {
        let version = if self.version == Version::HTTP_11 {
            http_head::Version::Http11
        } else {
            http_head::Version::Http10
        };
        let date = httpdate::fmt_http_date(SystemTime::now());
        // All values are the hub's own words or an event id, which was checked to be text.
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

    /// Makes the subscriber join and returns its HTTP/2 response.
    pub(crate) async fn into_http2(self, shard: &Rc<Shard>, visit: &Visit) -> Response<Body> {
        let (sink, body) = BodySink::new();
        let (ready, joined) = oneshot::channel();
        let opening = Opening::Response {
            ready,
            prelude: self.prelude.bytes,
        };
        shard.hold(
            Socket::Body(sink),
            self.subscription,
            opening,
            Arc::clone(&visit.holder),
        );
        // The response means that nothing published from now on is missed. If the session ended
        // before, its body says so.
        drop(joined.await);
        let mut response = Response::new(Either::Right(Either::Left(body)));
        set_stream_headers(response.headers_mut());
        response.headers_mut().extend(self.headers);
        response
    }
}
