//! The door for publications by HTTP POST: bytes to fields, the publisher's token, the answer.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use tidings_core::limits::TOPICS_PER_UPDATE_MAX;
use tidings_wire::publish_form::PublishForm;

use super::authorize::identify;
use super::problem::{self, Problem};
use super::{Body, request_body, respond};
use crate::auth::{Identity, Role};
use crate::ingest::Publisher;
use crate::metrics::count;
use crate::shard::Shard;

/// Publishes an update and answers with its id.
///
/// # Errors
///
/// The refusal.
///
/// Mercure, "Publication".
pub(crate) async fn hub(
    shard: &Rc<Shard>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let result = publish(shard, request).await;
    match &result {
        Ok(_) => {
            shard.metrics().updates.inc();
        }
        Err(problem) => count(&shard.metrics().publish_refused, problem.name()),
    }
    result
}

async fn publish(shard: &Rc<Shard>, request: Request<Incoming>) -> Result<Response<Body>, Problem> {
    let config = shard.config();
    let (form, identity) = read(shard, request).await?;
    let update = shard
        .ingest()
        .publish(form, Publisher::Grants(&identity.grants))
        .await
        .map_err(|error| problem::of_publishing(&error, config.explain_refusals))?;
    let id = Bytes::copy_from_slice(update.id.as_str().as_bytes());
    Ok(respond(StatusCode::OK, "text/plain; charset=utf-8", id))
}

/// Reads what is published and by whom. Nothing of the request's bytes is kept.
async fn read(
    shard: &Shard,
    request: Request<Incoming>,
) -> Result<(PublishForm, Arc<Identity>), Problem> {
    let (asked, body) = request.into_parts();
    let bytes_max = shard.config().publish.body_bytes_max;
    let identity = match publisher(shard, &asked.headers) {
        Ok(identity) => identity,
        Err(problem) => {
            request_body::discard(shard, &asked.headers, body, bytes_max).await;
            return Err(problem);
        }
    };
    let body = request_body::read(shard, body, bytes_max).await?;
    let form = PublishForm::decode(&body, TOPICS_PER_UPDATE_MAX)
        .map_err(|error| problem::of_form(&error))?;
    Ok((form, identity))
}

/// Says who publishes, by what stands in the head of the request.
fn publisher(shard: &Shard, headers: &HeaderMap) -> Result<Arc<Identity>, Problem> {
    let identity = identify(shard, headers, Role::Publish)?.ok_or_else(|| {
        Problem::token_missing(
            "publishing needs an access token: send it as `Authorization: Bearer TOKEN`",
        )
    })?;
    request_body::require_form(headers)?;
    Ok(identity)
}
