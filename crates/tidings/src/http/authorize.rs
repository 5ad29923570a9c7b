//! Who is asking: finds and verifies the token of a request, and checks that a page of another site
//! does not publish with a visitor's cookie.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{HeaderValue, ORIGIN, REFERER};
use tidings_wire::origin;

use super::problem::Problem;
use crate::auth::presented::{Presented, presented};
use crate::auth::{Identity, Role};
use crate::shard::Shard;

/// Verifies the token of a request, if it has one.
///
/// # Errors
///
/// The refusal: a malformed presentation (400), a token that is not accepted (401), or a cookie
/// used by a page that may not (403).
///
/// Mercure, "Presenting the Access Token" and "Error Responses".
pub(crate) fn identify(
    shard: &Shard,
    headers: &HeaderMap,
    role: Role,
) -> Result<Option<Arc<Identity>>, Problem> {
    let config = shard.config();
    let token = match presented(headers, &config.auth.cookie_names) {
        Ok(Presented::None) => return Ok(None),
        Ok(Presented::Header(token)) => token,
        Ok(Presented::Cookie(token)) => {
            if role == Role::Publish {
                check_origin(shard, headers)?;
            }
            token
        }
        Err(error) => return Err(Problem::token_malformed(error.to_string())),
    };
    let verified = shard
        .tokens()
        .borrow_mut()
        .verify(&token, role, unix_secs());
    match verified {
        Ok(identity) => Ok(Some(identity)),
        Err(error) => {
            tracing::debug!(%error, %role, "token not accepted");
            let detail = if config.explain_refusals {
                error.to_string()
            } else {
                "the access token is not accepted; `tidings token inspect` says why".to_owned()
            };
            Err(Problem::token_invalid(detail))
        }
    }
}

/// Refuses a cookie that a page of another site made the browser send (Mercure, "Cookie").
fn check_origin(shard: &Shard, headers: &HeaderMap) -> Result<(), Problem> {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let named = match headers.get(ORIGIN) {
        Some(value) => text(value),
        None => headers
            .get(REFERER)
            .and_then(text)
            .and_then(|url| origin::origin_of(&url)),
    };
    let config = shard.config();
    match named {
        Some(named) if named == config.hub.origin() || config.publish.origins.allows(&named) => {
            Ok(())
        }
        Some(named) => Err(Problem::origin_refused(format!(
            "{named} is neither the hub's own origin nor listed in publish.origins"
        ))),
        None => Err(Problem::origin_refused(
            "a request that is authorized by a cookie needs an Origin or a Referer field",
        )),
    }
}

/// Returns the time in whole seconds since the Unix epoch.
pub(crate) fn unix_secs() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
