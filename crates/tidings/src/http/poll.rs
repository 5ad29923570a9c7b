//! Long polling: an answer in JSON as soon as there is something, or after a while, with the cursor
//! of the next request. Nothing is kept between two requests, so any hub may take the next one.
//!
//! A poll is a session like that of an event stream, whose body is gathered instead of sent.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, VARY};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as _;
use serde::Deserialize;
use tidings_wire::prefer;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::problem::Problem;
use super::subscribe::{MERCURE_LAST_EVENT_ID, NOT_CACHED};
use super::{Body, respond};
use crate::session::socket::{BodySink, Socket, StreamBody};
use crate::session::{Ending, Opening, Phase, Session};
use crate::shard::{Shard, Subscription};

/// The longest that a request may ask to wait. Proxies give up after a minute or so.
const WAIT_SECS_MAX: u64 = 60;
/// How long reading the history may take beyond that; what is left is for the next request.
const READING: Duration = Duration::from_secs(10);
/// Bytes of updates in one answer after which it goes out; what came last may exceed it.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const JSON: &str = "application/json";

/// Returns how long a request prefers to wait for an answer: that makes it a poll. More than the
/// hub allows counts as that.
///
/// RFC 7240, 4.3.
pub(crate) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let fields = headers.get_all(PREFER);
    let secs = prefer::wait(fields.iter().map(HeaderValue::as_bytes))?;
    Some(Duration::from_secs(secs.min(WAIT_SECS_MAX)))
}

/// Answers a poll. `headers` says what the cursor stands for.
///
/// # Errors
///
/// The history cannot be read.
pub(crate) async fn answer(
    shard: &Rc<Shard>,
    subscription: Subscription,
    headers: HeaderMap,
    wait: Duration,
) -> Result<Response<Body>, Problem> {
    let end = Instant::now() + wait;
    let (sink, mut body) = BodySink::new();
    let (ready, joined) = oneshot::channel();
    let opening = Opening::Response {
        ready,
        prelude: Bytes::new(),
    };
    let session = shard.hold(Socket::Body(sink), subscription, opening, None);
    // A session that has ended instead stands nowhere.
    let began = joined.await.is_ok();
    let lines = gather(&session, &mut body, end).await;
    let ending = match session.phase.get() {
        Phase::Closing(ending) => Some(ending),
        Phase::Joining | Phase::Behind | Phase::Live => None,
    };
    if lines.is_empty() && ending == Some(Ending::HistoryUnreadable) {
        return Err(Problem::history_unreadable());
    }
    let cursor = match last_id(&lines) {
        Some(id) => id,
        None if began => reached(shard, &session).await,
        None => asked(&headers),
    };
    session.enter(Phase::Closing(Ending::Answered));
    let mut response = respond(StatusCode::OK, JSON, text(&lines, &cursor));
    set_headers(headers, wait, response.headers_mut());
    Ok(response)
}

/// Answers HEAD: the fields of an answer, at once.
pub(crate) fn head_only(headers: HeaderMap, wait: Duration) -> Response<Body> {
    let mut response = respond(StatusCode::OK, JSON, Bytes::new());
    set_headers(headers, wait, response.headers_mut());
    response
}

fn set_headers(about_cursor: HeaderMap, wait: Duration, headers: &mut HeaderMap) {
    let applied = HeaderValue::from_str(&format!("wait={}", wait.as_secs()));
    headers.extend(about_cursor);
    headers.extend(applied.ok().map(|applied| (PREFERENCE_APPLIED, applied)));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(NOT_CACHED));
    headers.append(VARY, HeaderValue::from_static("Prefer"));
}

/// What a session does next.
enum Step {
    Piece(Bytes),
    /// It has sent all there is for now.
    Settled,
    Ended,
}

/// Collects what a session sends, until something came and nothing more is at hand, or until `end`.
///
/// What is kept after the cursor counts however short the wait is: reading it may go on beyond.
async fn gather(session: &Session, body: &mut StreamBody, end: Instant) -> Vec<u8> {
    let mut lines = Vec::new();
    loop {
        let step = poll_fn(|cx| poll_step(session, body, cx));
        let piece = match timeout_at(end + READING, step).await {
            Ok(Step::Piece(piece)) => piece,
            Ok(Step::Settled) if lines.is_empty() => {
                let next = poll_fn(|cx| poll_piece(body, cx));
                let Ok(Some(piece)) = timeout_at(end, next).await else {
                    return lines;
                };
                piece
            }
            Ok(Step::Settled | Step::Ended) | Err(_) => return lines,
        };
        lines.extend_from_slice(&piece);
        if lines.len() >= ANSWER_BYTES_MAX {
            return lines;
        }
    }
}

fn poll_step(session: &Session, body: &mut StreamBody, cx: &mut Context<'_>) -> Poll<Step> {
    match poll_piece(body, cx) {
        Poll::Ready(Some(piece)) => Poll::Ready(Step::Piece(piece)),
        Poll::Ready(None) => Poll::Ready(Step::Ended),
        Poll::Pending if is_settled(session) => Poll::Ready(Step::Settled),
        Poll::Pending => Poll::Pending,
    }
}

fn poll_piece(body: &mut StreamBody, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
    let frame = Pin::new(body).poll_frame(cx);
    frame.map(|frame| frame?.ok()?.into_data().ok())
}

/// Returns whether all that its shard has seen was handed over to a session, or was not for it.
fn is_settled(session: &Session) -> bool {
    session.phase.get() == Phase::Live && session.runs.borrow().is_empty()
}

/// Returns the cursor up to which nothing was for the subscriber: it need not be asked about again,
/// nor kept for it. Valid while no piece of the session waits to be taken; one that comes meanwhile
/// comes after the cursor.
async fn reached(shard: &Shard, session: &Session) -> String {
    if session.from_oldest.get() {
        return "earliest".to_owned();
    }
    let next = session.next.get();
    let position = if is_settled(session) {
        // The cursor may be from another shard that has seen more.
        next.max(shard.last_seen())
    } else {
        next
    };
    shard.cursor_at(position).await
}

/// Returns the cursor where the request began.
fn asked(headers: &HeaderMap) -> String {
    let begun = headers.get(MERCURE_LAST_EVENT_ID);
    let begun = begun.map_or(&b"earliest"[..], HeaderValue::as_bytes);
    String::from_utf8_lossy(begun).into_owned()
}

fn last_id(lines: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    let last = lines
        .split(|byte| *byte == b'\n')
        .rfind(|line| !line.is_empty())?;
    let named: Named = serde_json::from_slice(last).ok()?;
    Some(named.id)
}

/// Returns the answer's text. A line of JSON holds no line end inside.
fn text(lines: &[u8], cursor: &str) -> String {
    let lines = String::from_utf8_lossy(lines);
    let updates = lines.trim_end().replace('\n', ",\n");
    let cursor = serde_json::Value::from(cursor);
    format!("{{\"updates\":[{updates}],\"last_event_id\":{cursor}}}\n")
}
