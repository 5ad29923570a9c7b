//! The door for publications by HTTP POST: from bytes to fields, the publisher's token, and the response.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use tidings_auth::{Identity, Role};
use tidings_cluster::Key;
use tidings_core::dialect::Dialect;
use tidings_core::limits::{TARGETS_PER_UPDATE_MAX, TOPICS_PER_UPDATE_MAX};
use tidings_wire::idempotency_key;
use tidings_wire::old_publish_form::OldPublishForm;
use tidings_wire::publish_form::{FormError, PublishForm};

use super::authorize::{Asking, identify_in};
use super::problem::Problem;
use super::{Body, ConnectionInfo, request_body, respond};
use crate::http::Site;
use crate::telemetry::request_line::Published;
use tidings_hub::account::{Charge, Meter};
use tidings_hub::ingest::{Publisher, once};
use tidings_hub::metrics::count;
use tidings_hub::refusal::Refusal;

/// `draft-ietf-httpapi-idempotency-key-header`, 2.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// W3C Trace Context, 3.2.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Publishes an update and answers with its id. `dialect` is that of the path. At the hub's path, the token shows
/// whether it is in 0.x. With a `peer`, the publication is logged.
///
/// # Errors
///
/// The refusal.
///
/// Mercure, "Publication".
pub(crate) async fn hub(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    dialect: Dialect,
    peer: Option<&str>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let result = publish(site, info, dialect, peer, request).await;
    match &result {
        Ok(_) => {
            site.metrics().updates.inc();
        }
        Err(problem) => count(&site.metrics().publish_refused, problem.name()),
    }
    result
}

async fn publish(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    dialect: Dialect,
    peer: Option<&str>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let explain = site.config().explain_refusals;
    let traceparent = traceparent(request.headers());
    let mut read = read(site, info, dialect, request).await?;
    read.form.traceparent = traceparent;
    let grants = &read.identity.grants;
    let publisher = match read.identity.dialect {
        Dialect::V1 | Dialect::V0 => Publisher::Grants(grants),
        Dialect::V2019 => Publisher::Targets(grants, &read.targets),
    };
    let meter = Meter {
        holder: &info.holder,
        identity: Some(&read.identity),
    };
    let ingest = site.ingest();
    let published = ingest.publish(read.form, publisher, Some(meter), read.key);
    let published = published.await;
    let update = published.map_err(|error| {
        Problem::from(Refusal::of_publishing(&error, explain))
            .said_in(read.identity.dialect, explain)
    })?;
    if let Some(peer) = peer {
        let id = update.id.as_str();
        tracing::info!(event_id = id, remote_addr = peer, "Update published");
    }
    let id = Bytes::copy_from_slice(update.id.as_str().as_bytes());
    let mut response = respond(StatusCode::OK, "text/plain; charset=utf-8", id);
    if site.config().request_lines {
        let topic = update.topics.canonical().as_str().to_owned();
        let private = !update.visibility.is_public();
        let published = Published { topic, private };
        response.extensions_mut().insert(published);
    }
    Ok(response)
}

/// Returns the field of a request that belongs to a trace. Two of them are none; W3C Trace Context, 3.2.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let mut fields = headers.get_all(TRACEPARENT).iter();
    let field = fields.next()?.to_str().ok()?;
    fields.next().is_none().then(|| field.to_owned())
}

/// What is published and by whom. Nothing of the request's bytes is kept.
struct Read {
    form: PublishForm,
    /// The targets, in 2019.
    targets: Vec<String>,
    identity: Arc<Identity>,
    /// By which a repetition is recognised.
    key: Option<Key>,
    /// Books the memory of the body until the update is stored.
    _charge: Charge,
}

async fn read(
    site: &Site,
    info: &ConnectionInfo,
    dialect: Dialect,
    request: Request<Incoming>,
) -> Result<Read, Problem> {
    let (asked, body) = request.into_parts();
    let bytes_max = site.config().publish.body_bytes_max;
    let identity = match publisher(site, dialect, &asked).await {
        Ok(identity) => identity,
        Err(problem) => {
            request_body::discard(site, &asked.headers, body, bytes_max).await;
            return Err(problem);
        }
    };
    let (body, charge) = request_body::read(site, info, body, bytes_max).await?;
    let read = decode(identity.dialect, &body);
    let explained =
        |problem: Problem| problem.said_in(identity.dialect, site.config().explain_refusals);
    let (form, targets) = read.map_err(explained)?;
    let fields = asked.headers.get_all(IDEMPOTENCY_KEY).iter();
    let key = idempotency_key::parse(fields.map(HeaderValue::as_bytes));
    let key = key.map_err(|error| explained(Refusal::from(error).into()))?;
    let key = key.and_then(|key| once::key(&identity, key));
    Ok(Read {
        form,
        targets,
        identity,
        key,
        _charge: charge,
    })
}

/// Parses a body in the dialect of the publisher's token.
fn decode(dialect: Dialect, body: &[u8]) -> Result<(PublishForm, Vec<String>), Problem> {
    if dialect == Dialect::V1 {
        let form = PublishForm::decode(body, TOPICS_PER_UPDATE_MAX);
        return Ok((form?, Vec::new()));
    }
    let form = OldPublishForm::decode(body, TOPICS_PER_UPDATE_MAX, TARGETS_PER_UPDATE_MAX);
    let OldPublishForm { fields, targets } = form?;
    if dialect == Dialect::V0 {
        // These hubs ignored targets. A publisher that sends some does not mean everybody.
        let private = fields.private || !targets.is_empty();
        return Ok((PublishForm { private, ..fields }, Vec::new()));
    }
    if fields.data.as_deref().is_none_or(str::is_empty) {
        let detail = "an update of Mercure 2019 needs a field data that is not empty";
        return Err(Refusal::invalid("data-missing", "Data missing", detail).into());
    }
    Ok((fields, targets))
}

/// Returns the identity of the publisher, from the head of the request.
async fn publisher(site: &Site, dialect: Dialect, asked: &Parts) -> Result<Arc<Identity>, Problem> {
    let config = site.config();
    let explain = config.explain_refusals;
    // A 0.x token may be in the places of its dialect. At the hub's path, only the token shows the dialect.
    let reading = match dialect {
        Dialect::V1 if config.dialects.v0 => Dialect::V0,
        Dialect::V1 | Dialect::V0 | Dialect::V2019 => dialect,
    };
    let asking = Asking {
        headers: &asked.headers,
        query: asked.uri.query().unwrap_or_default(),
        dialect: reading,
    };
    let identity = identify_in(site, asking, Role::Publish)
        .await
        .and_then(|identity| {
            identity.ok_or_else(|| {
                Refusal::token_missing(
                    "publishing needs an access token: send it as `Authorization: Bearer TOKEN`",
                )
                .into()
            })
        })
        .map_err(|problem| problem.said_in(dialect, explain))?;
    request_body::require_form(&asked.headers).map_err(|problem| match identity.dialect {
        Dialect::V1 => problem,
        // These hubs did not parse other bodies.
        old @ (Dialect::V0 | Dialect::V2019) => {
            Problem::from(FormError::NoTopic).said_in(old, explain)
        }
    })?;
    Ok(identity)
}
