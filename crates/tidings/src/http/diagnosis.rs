//! The tests of the page `/diagnose`. They are below the hub's own path, so that proxies treat them like the hub.
//! They need no token, reveal no topic, and last at most a few seconds.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body_util::Either;
use serde_json::json;
use tidings_wire::form;

use super::body::EventBody;
use super::problem::Problem;
use super::subscribe::{NOT_CACHED, set_stream_headers};
use super::{Body, respond};
use crate::config::Config;
use crate::http::Site;
use tidings_hub::clock::unix_ms;
use tidings_hub::session::socket::{BodySink, Socket};
use tidings_hub::tasks;

/// The start of the paths, below the hub's own.
const BELOW_HUB: &str = "/diagnose/";
/// The path of the WebSocket test.
const ECHO: &str = "echo";
/// How long an echo may last.
pub(crate) const ECHO_LIFETIME: Duration = Duration::from_secs(30);
/// Events of the stream, and the time between two of them; `pages/diagnose/checks.js` knows both.
const EVENTS: usize = 5;
const EVENTS_EVERY: Duration = Duration::from_millis(250);
/// Maximum delay of a response.
const PAUSE_SECS_MAX: u64 = 10;
/// Fields that proxies add to a request.
const PROXIED: [&str; 6] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-real-ip",
    "cf-ray",
];

/// Returns the rest of a path below that of the diagnosis, if that is switched on.
pub(crate) fn below<'a>(config: &Config, path: &'a str) -> Option<&'a str> {
    let path = config.pages.diagnose.then_some(path)?;
    path.strip_prefix(config.hub.path())?
        .strip_prefix(BELOW_HUB)
}

/// Checks that there is a WebSocket at this path.
///
/// # Errors
///
/// There is none.
pub(crate) fn check_echo(below: &str) -> Result<(), Problem> {
    (below == ECHO).then_some(()).ok_or_else(Problem::not_found)
}

/// Answers one of the tests. `below` is the rest of the path.
///
/// # Errors
///
/// There is no such test.
pub(crate) async fn answer<B>(
    site: &Rc<Site>,
    below: &str,
    request: &Request<B>,
) -> Result<Response<Body>, Problem> {
    let mut response = match below {
        "events" => return Ok(events(site)),
        "request" => about(request),
        "poll" => later(site, request.uri().query().unwrap_or_default()).await,
        ECHO => {
            let detail = "this is reached by a WebSocket: the page /diagnose opens one";
            return Err(Problem::upgrade_required(detail));
        }
        _ => return Err(Problem::not_found()),
    };
    let not_cached = HeaderValue::from_static(NOT_CACHED);
    response.headers_mut().insert(CACHE_CONTROL, not_cached);
    Ok(response)
}

/// A stream whose events come one by one. The test is whether they arrive one by one.
fn events(site: &Rc<Site>) -> Response<Body> {
    let (sink, body) = BodySink::new();
    tasks::spawn(send_events(Socket::Body(sink), site.stall()));
    let mut response = Response::new(Either::Right(Either::Left(EventBody(body))));
    set_stream_headers(response.headers_mut());
    response
}

async fn send_events(socket: Socket, stall: Duration) {
    for number in 0..EVENTS {
        let event = Bytes::from(format!("data: {number}\n\n"));
        let ready = tokio::time::timeout(stall, poll_fn(|cx| socket.poll_writable(cx)));
        // The visitor may be gone, or take nothing.
        let Ok(Ok(())) = ready.await else { return };
        if socket.try_send(&event).is_err() {
            return;
        }
        tokio::time::sleep(EVENTS_EVERY).await;
    }
    socket.finish();
}

/// Returns the request as it arrived here.
fn about<B>(request: &Request<B>) -> Response<Body> {
    let version = match request.version() {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        _ => "HTTP/2",
    };
    let mut proxied = PROXIED.to_vec();
    proxied.retain(|name| request.headers().contains_key(*name));
    let said = json!({"http": version, "proxied": proxied, "time_ms": unix_ms()});
    respond(StatusCode::OK, "application/json", said.to_string())
}

/// A delayed response. The stop of the hub ends the delay.
async fn later(site: &Site, query: &str) -> Response<Body> {
    let secs = form::pairs(query.as_bytes())
        .filter(|pair| *pair.name_bytes() == *b"secs")
        .find_map(|pair| pair.value().ok()?.parse::<u64>().ok())
        .unwrap_or_default();
    let secs = secs.min(PAUSE_SECS_MAX);
    let mut stages = site.stages();
    let stopping = stages.wait_for(|stage| stage.is_stopping());
    // It does not matter which of the two ended the wait.
    drop(tokio::time::timeout(Duration::from_secs(secs), stopping).await);
    respond(
        StatusCode::OK,
        "application/json",
        json!({"secs": secs}).to_string(),
    )
}
