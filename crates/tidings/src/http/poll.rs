//! Long polling: a JSON response as soon as there are updates, or after a while, with the cursor for the next
//! request. The hub stores nothing between two requests, so any hub may answer the next one.
//!
//! A poll is a session like an event stream, whose body is gathered instead of sent.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, VARY};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Either;
use serde::Deserialize;
use tidings_core::event_id::Cursor;
use tidings_wire::prefer;
use tokio::sync::{SemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};

use super::body::Whole;
use super::problem::Problem;
use super::subscribe::{MERCURE_LAST_EVENT_ID, NOT_CACHED};
use super::{Body, ConnectionInfo, respond};
use crate::http::Site;
use tidings_hub::account::{Charge, Kind, OverLimit};
use tidings_hub::refusal::Refusal;
use tidings_hub::session::socket::{BodySink, Socket, StreamBody};
use tidings_hub::session::{Ending, Opening, Phase, Session};
use tidings_hub::shard::Subscription;

/// Maximum wait that a request may ask for. Proxies give up after about a minute.
const WAIT_SECS_MAX: u64 = 60;
/// How much longer reading the history may take. The rest is for the next request.
const READING: Duration = Duration::from_secs(10);
/// Bytes of updates after which a response is sent. The last piece may exceed them.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

const PREFER: HeaderName = HeaderName::from_static("prefer");
pub(super) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const JSON: &str = "application/json";
/// The start of a response, and the separator of updates.
const HEAD: &[u8] = b"{\"updates\":[";
const BETWEEN: &[u8] = b",\n";

/// Returns how long a request prefers to wait for a response, which makes it a poll. At most what the hub allows.
///
/// RFC 7240, 4.3.
pub(crate) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let fields = headers.get_all(PREFER);
    let secs = prefer::wait(fields.iter().map(HeaderValue::as_bytes))?;
    Some(Duration::from_secs(secs.min(WAIT_SECS_MAX)))
}

/// Answers a poll. `headers` contains the response to the cursor.
///
/// # Errors
///
/// The history cannot be read, there is no room for the updates, or too many others read the history.
pub(crate) async fn answer(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    subscription: Subscription,
    headers: HeaderMap,
    wait: Duration,
) -> Result<Response<Body>, Problem> {
    let end = Instant::now() + wait;
    let turn = timeout_at(end + READING, site.poll_turns().acquire()).await;
    let Ok(Ok(turn)) = turn else {
        let detail = "too many polls read the history at once; try again".to_owned();
        return Err(Refusal::unavailable("busy", "The hub is busy", detail).into());
    };
    let (sink, mut body) = BodySink::new();
    let (ready, joined) = oneshot::channel();
    let opening = Opening::Response {
        ready,
        prelude: Bytes::new(),
    };
    let session = site.hold(
        Socket::Body(sink),
        subscription,
        opening,
        Arc::clone(&info.holder),
    );
    // A session that has ended has no position.
    let began = joined.await.is_ok();
    let mut gathered = Gathered::new(info);
    let refusal = gathered.gather(&session, &mut body, end, turn).await.err();
    let ending = match session.phase() {
        Phase::Closing(ending) => Some(ending),
        Phase::Joining | Phase::Behind | Phase::Live => None,
    };
    if gathered.pieces.is_empty() {
        if let Some(refusal) = refusal {
            session.close(Ending::MemoryLimit);
            return Err(Problem::from(refusal));
        }
        if ending == Some(Ending::HistoryUnreadable) {
            return Err(Refusal::history_unreadable().into());
        }
    }
    let cursor = match gathered.last_id() {
        Some(id) => id,
        None if began => reached(site, &session).await.as_str().to_owned(),
        None => asked(&headers),
    };
    session.close(Ending::Answered);
    let mut response = respond(StatusCode::OK, JSON, Bytes::new());
    *response.body_mut() = Either::Left(gathered.into_body(&cursor));
    set_headers(headers, wait, response.headers_mut());
    Ok(response)
}

/// Answers HEAD: the fields of a response, at once.
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
    /// It has sent everything for now.
    UpToDate,
    Ended,
}

/// What a session sent for one response: pieces of whole JSON lines. They are shared with other sessions, or
/// booked, and not copied together.
struct Gathered {
    pieces: Vec<Bytes>,
    bytes: usize,
    charge: Charge,
}

impl Gathered {
    fn new(info: &ConnectionInfo) -> Self {
        Self {
            pieces: Vec::new(),
            bytes: 0,
            charge: info.holder.book(Kind::Poll, 0),
        }
    }

    /// Collects pieces until something came and nothing more is ready, or until `end`.
    ///
    /// The history after the cursor is read even if the wait is shorter than that takes.
    ///
    /// # Errors
    ///
    /// There is no room for more. The last piece is not part of the response then, and the cursor is that of the
    /// piece before it.
    async fn gather(
        &mut self,
        session: &Session,
        body: &mut StreamBody,
        end: Instant,
        turn: SemaphorePermit<'_>,
    ) -> Result<(), OverLimit> {
        let mut turn = Some(turn);
        loop {
            let step = poll_fn(|cx| poll_step(session, body, cx));
            let piece = match timeout_at(end + READING, step).await {
                Ok(Step::Piece(piece)) => piece,
                Ok(Step::UpToDate) if self.pieces.is_empty() => {
                    // What comes now is new, and shared with other sessions.
                    turn.take();
                    let next = poll_fn(|cx| body.poll_whole(cx));
                    let Ok(Some(piece)) = timeout_at(end, next).await else {
                        return Ok(());
                    };
                    piece
                }
                Ok(Step::UpToDate | Step::Ended) | Err(_) => return Ok(()),
            };
            self.charge.grow(piece.len())?;
            self.bytes += piece.len();
            self.pieces.push(piece);
            if self.bytes >= ANSWER_BYTES_MAX {
                return Ok(());
            }
        }
    }

    fn last_id(&self) -> Option<String> {
        last_id(self.pieces.last()?)
    }

    /// Returns the response, whose bytes stay booked until the peer has taken them.
    fn into_body(mut self, cursor: &str) -> Whole {
        let cursor = serde_json::Value::from(cursor);
        let tail = Bytes::from(format!("],\"last_event_id\":{cursor}}}\n"));
        let mut body = vec![Bytes::from_static(HEAD)];
        for (number, piece) in self.pieces.drain(..).enumerate() {
            if number > 0 {
                body.push(Bytes::from_static(BETWEEN));
            }
            let charge = self.charge.split(piece.len());
            body.push(charge.wrap(joined_by_commas(&piece)));
        }
        body.push(tail);
        Whole::of_pieces(body).booked()
    }
}

/// Turns lines of JSON into members of an array. A single line is not copied. JSON lines contain no line ends.
fn joined_by_commas(lines: &Bytes) -> Bytes {
    let end = lines.len() - usize::from(lines.ends_with(b"\n"));
    let lines = lines.slice(..end);
    if !lines.contains(&b'\n') {
        return lines;
    }
    let mut joined = Vec::with_capacity(lines.len() + 64);
    for (number, line) in lines.split(|byte| *byte == b'\n').enumerate() {
        if number > 0 {
            joined.extend_from_slice(BETWEEN);
        }
        joined.extend_from_slice(line);
    }
    joined.into()
}

fn poll_step(session: &Session, body: &mut StreamBody, cx: &mut Context<'_>) -> Poll<Step> {
    match body.poll_whole(cx) {
        Poll::Ready(Some(piece)) => Poll::Ready(Step::Piece(piece)),
        Poll::Ready(None) => Poll::Ready(Step::Ended),
        Poll::Pending if session.is_up_to_date() => Poll::Ready(Step::UpToDate),
        Poll::Pending => Poll::Pending,
    }
}

/// Returns the cursor up to which nothing more is for the subscriber, so that the next request begins there. Valid
/// while no piece of the session waits to be taken. Later pieces come after the cursor.
async fn reached(site: &Site, session: &Session) -> Cursor {
    let last = site.last_seen();
    match session.update(|progress| progress.reached(last)) {
        Some(position) => site.cursor_at(position).await,
        None => Cursor::Earliest,
    }
}

/// Returns the cursor at which the request began.
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
