//! The chat of the ZeroMQ tutorial, without its broker: a page's posts are published under one topic, and every page
//! receives them from `subscribe::chat`.

use std::rc::Rc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use tidings_wire::form;
use tidings_wire::publish_form::PublishForm;

use crate::http::Site;
use crate::http::problem::Problem;
use crate::http::publish::traceparent;
use crate::http::{Body, ConnectionInfo, page, request_body, respond};
use tidings_hub::account::Meter;
use tidings_hub::clock::unix_secs;
use tidings_hub::ingest::Publisher;
use tidings_hub::refusal::Refusal;

/// The topic of the built-in chat.
pub(crate) const TOPIC: &str = "/chat";
/// The event name that the tutorial's page listens for.
const EVENT_TYPE: &str = "msg";
/// Maximum size of one post in bytes.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// Publishes a post and answers `true`, as the tutorial's controller does. If the name or the text is empty, it
/// publishes nothing and still answers `true`. The update has a `time`, in Unix seconds, that the
/// tutorial's has not.
///
/// # Errors
///
/// The refusal.
pub(crate) async fn broadcast(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let (asked, body) = request.into_parts();
    // No token is needed here, so without this check every page on the web could post through its visitors.
    page::check_own(site, &asked.headers)?;
    let boundary = asked
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| multer::parse_boundary(value).ok());
    if boundary.is_none() {
        request_body::require_form(&asked.headers)?;
    }
    let (body, _charge) = request_body::read(site, info, body, BODY_BYTES_MAX).await?;
    let said = match boundary {
        Some(boundary) => from_multipart(body, boundary).await?,
        None => from_form(&body)?,
    };
    if !said.from.trim().is_empty() && !said.text.trim().is_empty() {
        let form = PublishForm {
            traceparent: traceparent(&asked.headers),
            topics: vec![TOPIC.to_owned()],
            data: Some(
                json!({"from": said.from, "text": said.text, "time": unix_secs()}).to_string(),
            ),
            private: false,
            id: None,
            event_type: Some(EVENT_TYPE.to_owned()),
            retry: None,
        };
        let meter = Meter {
            holder: &info.holder,
            identity: None,
        };
        let publisher = Publisher::Unchecked;
        let published = site.ingest().publish(form, publisher, Some(meter), None);
        let published = published.await;
        published.map_err(|error| Refusal::of_publishing(&error, true))?;
        site.metrics().updates.inc();
    }
    Ok(respond(StatusCode::OK, "application/json", "true"))
}

#[derive(Default)]
struct Said {
    from: String,
    text: String,
}

fn from_form(body: &[u8]) -> Result<Said, Problem> {
    let mut said = Said::default();
    for pair in form::pairs(body) {
        let field = match &*pair.name_bytes() {
            b"from" => &mut said.from,
            b"text" => &mut said.text,
            _ => continue,
        };
        let value = pair
            .value()
            .map_err(|error| Refusal::invalid("not-utf8", "Not UTF-8", error.to_string()))?;
        *field = value.into_owned();
    }
    Ok(said)
}

async fn from_multipart(body: Bytes, boundary: String) -> Result<Said, Problem> {
    let broken = |error: multer::Error| {
        Refusal::invalid(
            "multipart-invalid",
            "Malformed multipart body",
            error.to_string(),
        )
    };
    let whole = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(body)]);
    let mut parts = multer::Multipart::new(whole, boundary);
    let mut said = Said::default();
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        let field = match part.name() {
            Some("from") => &mut said.from,
            Some("text") => &mut said.text,
            Some(_) | None => continue,
        };
        let value = part.bytes().await.map_err(broken)?;
        *field = String::from_utf8(value.into())
            .map_err(|error| Refusal::invalid("not-utf8", "Not UTF-8", error.to_string()))?;
    }
    Ok(said)
}
