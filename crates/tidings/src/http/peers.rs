//! The door for the other hubs of the cluster, at the operators' listener: pages of the history, for a hub that
//! was away for longer than the engine keeps updates. `docs/reference/cluster.md`, "Fetching from another hub".

use http::header::{CACHE_CONTROL, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use tidings_cluster::RelayError;
use tidings_cluster::page::{self, Ask, Page};
use tidings_core::position::Position;
use tidings_hub::refusal::Refusal;
use tidings_wire::form;
use tokio::sync::oneshot;

use super::admin::bearer;
use super::problem::Problem;
use super::{Body, respond};
use crate::http::Site;

const BINARY: &str = "application/octet-stream";

/// Answers another hub.
///
/// # Errors
///
/// The refusal. Without the token, nothing is looked at but the token.
pub(crate) async fn answer<B>(
    site: &Site,
    request: &Request<B>,
) -> Result<Response<Body>, Problem> {
    check_token(site, request.headers())?;
    let ask = asked(request.uri().query().unwrap_or_default())?;
    let page = read(site, ask).await?;
    tracing::debug!(after = %ask.after, updates = page.entries.len(), "another hub fetches updates");
    let mut response = respond(StatusCode::OK, BINARY, page.encode());
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn check_token(site: &Site, headers: &HeaderMap) -> Result<(), Problem> {
    let in_cluster = site.relay().epoch().is_some();
    let Some(token) = site.config().peer_token.as_ref().filter(|_| in_cluster) else {
        let detail = "this hub gives its updates to no other hub: cluster.peer_token_file or \
                      cluster.peer_token switches that on";
        let (status, title) = (StatusCode::FORBIDDEN, "No updates for other hubs");
        return Err(Problem::new(status, "peers-off", title, detail));
    };
    match bearer(headers) {
        None => {
            let detail = "hubs present the token of their cluster (cluster.peer_token) in one \
                          field, Authorization: Bearer TOKEN";
            Err(Refusal::token_missing(detail).into())
        }
        Some(presented) if token.is(presented) => Ok(()),
        Some(_) => {
            let detail = "this is not the token of the cluster's hubs (cluster.peer_token)";
            Err(Refusal::operator_refused(detail).into())
        }
    }
}

/// Reads the question.
fn asked(query: &str) -> Result<Ask, Problem> {
    let number = |name: &str| {
        let mut pairs = form::pairs(query.as_bytes());
        let found = pairs.find(|pair| *pair.name_bytes() == *name.as_bytes());
        let value = found.and_then(|pair| pair.value().ok()?.parse().ok());
        value.map(Position::new).ok_or_else(|| {
            let detail = format!("{name} is not a position");
            Problem::from(Refusal::invalid(
                "parameter-invalid",
                "Not understood",
                detail,
            ))
        })
    };
    Ok(Ask {
        after: number("after")?,
        through: number("through")?,
    })
}

async fn read(site: &Site, ask: Ask) -> Result<Page, Problem> {
    let (done, page) = oneshot::channel();
    // A hub that waits no longer has dropped the receiver.
    let reply = Box::new(move |page| drop(done.send(page)));
    page::answer(site.history(), ask, reply).map_err(unreadable)?;
    match page.await {
        Ok(page) => page.map_err(unreadable),
        Err(_closed) => Err(unreadable(RelayError::Closed)),
    }
}

fn unreadable(error: RelayError) -> Problem {
    let detail = format!("the updates cannot be read now: {error}");
    Refusal::unavailable("history-unreadable", "The history cannot be read", detail).into()
}
