//! Tokens that are refused before they expire.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, invalid};
use crate::http::problem::Problem;
use tidings_auth::{NEVER, Parts, Revocation};
use tidings_hub::clock::unix_secs;
use tidings_hub::shard::looking::Filter;
use tidings_hub::steering::{Done, Place, Verb};

/// Returns the revoked tokens.
pub(super) fn list(asked: &Asked<'_>) -> Value {
    let revocations = asked.site.authority().revocations().list(unix_secs());
    json!({"revocations": revocations})
}

/// Which token, and until when it is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    id: Option<String>,
    /// The token itself, instead of its id.
    token: Option<String>,
    until: Option<u64>,
}

/// Refuses a token from now on, and ends what it opened.
pub(super) async fn revoke(asked: &Asked<'_>) -> Result<Value, Problem> {
    let command: Revoke = asked.command()?;
    let (id, expires) = match (command.id, command.token) {
        (Some(id), None) => (Arc::from(id), None),
        (None, Some(token)) => id_of(&token)?,
        (Some(_), Some(_)) | (None, None) => {
            return Err(invalid(
                "body-invalid",
                "name either an id (jti) or a token",
            ));
        }
    };
    let until = match command.until.or(expires) {
        Some(until) => Some(until),
        None => expiry_of(asked, &id).await,
    };
    if until.is_some_and(|until| until <= unix_secs()) {
        let detail = "the token has expired already, so there is nothing to revoke";
        return Err(invalid("token-expired", detail));
    }
    let revocation = Revocation {
        id: Arc::clone(&id),
        until,
    };
    let (done, scope) = asked.desk.steer(Verb::Revoke(revocation)).await?;
    let ended = match done {
        Done::Revoked(ended) => ended,
        Done::Disconnected(_) | Done::Reinstated(_) | Done::Purged(_) => 0,
    };
    tracing::info!(peer = %asked.info.peer, token_id = &*id, until, ended, "an operator revoked a token");
    Ok(json!({"id": id, "until": until, "disconnected": ended, "scope": scope.name()}))
}

/// Returns the id and the expiry of a token, whoever signed it.
fn id_of(token: &str) -> Result<(Arc<str>, Option<u64>), Problem> {
    let parts = Parts::parse(token.trim())
        .map_err(|error| invalid("token-unreadable", error.to_string()))?;
    let id = parts.claims.find("jti").and_then(|jti| jti.as_str());
    let id = id.ok_or_else(|| {
        let detail = "the token has no id (jti), so that it cannot be revoked alone: exchange the \
                      key that signed it, or wait until it expires";
        invalid("token-without-id", detail)
    })?;
    let expires = parts.claims.find("exp").and_then(|exp| exp.as_u64());
    Ok((id.into(), expires))
}

/// Returns when the token expires that a connection was opened with. None if nobody is connected by it.
async fn expiry_of(asked: &Asked<'_>, id: &Arc<str>) -> Option<u64> {
    let filter = Filter {
        token_id: Some(Arc::clone(id)),
        ..Filter::default()
    };
    let shared = asked.site.shared();
    let filter = Arc::new(filter);
    let page = shared.connections(&filter, Place::default(), 1).await?;
    let found = page.found;
    let identity = found.first()?.identity.as_ref()?;
    (identity.expires_at != NEVER).then_some(identity.expires_at)
}

/// Which token.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reinstate {
    id: String,
}

/// Accepts a revoked token again.
pub(super) async fn reinstate(asked: &Asked<'_>) -> Result<Value, Problem> {
    let Reinstate { id } = asked.command()?;
    let (done, scope) = asked
        .desk
        .steer(Verb::Reinstate(id.as_str().into()))
        .await?;
    let was = done == Done::Reinstated(true);
    tracing::info!(peer = %asked.info.peer, token_id = id, was, "an operator reinstated a token");
    Ok(json!({"reinstated": was, "scope": scope.name()}))
}
