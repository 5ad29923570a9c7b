//! Tokens on request, for the built-in pages in `tidings dev`. Not served otherwise. Pages of other sites get no
//! tokens, nor do pages that reach this machine by another name.

use std::rc::Rc;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tidings_auth::issue::Detail;

use super::problem::Problem;
use super::{Body, ConnectionInfo, page, request_body, respond};
use crate::http::Site;
use tidings_hub::clock::unix_secs;
use tidings_hub::refusal::Refusal;

/// Maximum size of a request for a token, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Maximum lifetime of a token made here.
const TTL_SECS_MAX: u64 = 365 * 24 * 3600;

/// What the token should allow.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    publish: Vec<Topic>,
    #[serde(default)]
    subscribe: Vec<Topic>,
    /// What presence says of subscriptions that `subscribe` covers.
    #[serde(default)]
    payload: Option<Map<String, Value>>,
    #[serde(default = "default_ttl_secs")]
    ttl_secs: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Topic {
    #[serde(rename = "match")]
    pattern: String,
    #[serde(default)]
    match_type: Option<String>,
}

fn default_ttl_secs() -> u64 {
    3600
}

/// Makes a token.
///
/// # Errors
///
/// 400 for a request that no token can fulfil.
pub(crate) async fn token(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    page::check_own(site, request.headers())?;
    let malformed = |detail: String| {
        Refusal::invalid(
            "token-request-invalid",
            "No token can be made of this",
            detail,
        )
        .into()
    };
    // A form on another site can post text, but JSON only after a preflight.
    if !request_body::media_type(request.headers())
        .is_some_and(|found| found.eq_ignore_ascii_case("application/json"))
    {
        return Err(malformed("send JSON as application/json".to_owned()));
    }
    let (body, _charge) =
        request_body::read(site, info, request.into_body(), BODY_BYTES_MAX).await?;
    let wish: Wish = serde_json::from_slice(&body).map_err(|error| malformed(error.to_string()))?;
    if wish.ttl_secs > TTL_SECS_MAX {
        return Err(malformed(format!("ttl_secs is more than {TTL_SECS_MAX}")));
    }
    let Some(tokens) = &site.config().dev else {
        return Err(Problem::not_found());
    };
    let mut details = Vec::new();
    for (action, topics, payload) in [
        ("publish", wish.publish, None),
        ("subscribe", wish.subscribe, wish.payload),
    ] {
        if !topics.is_empty() {
            details.push(detail(action, topics, payload).map_err(malformed)?);
        }
    }
    let token = tokens
        .make(details, unix_secs(), wish.ttl_secs)
        .map_err(|error| malformed(error.to_string()))?;
    Ok(respond(
        StatusCode::OK,
        "application/json",
        json!({"token": token}).to_string(),
    ))
}

fn detail(
    action: &'static str,
    topics: Vec<Topic>,
    payload: Option<Map<String, Value>>,
) -> Result<Detail, String> {
    let matchers: Result<Vec<_>, String> = topics
        .into_iter()
        .map(|topic| match topic.match_type.as_deref() {
            None | Some("exact") => Ok(("exact", topic.pattern)),
            Some("urlpattern") => Ok(("urlpattern", topic.pattern)),
            Some(other) => Err(format!("match_type {other:?} is not exact or urlpattern")),
        })
        .collect();
    Ok(Detail {
        actions: vec![action],
        matchers: matchers?,
        payload,
    })
}
