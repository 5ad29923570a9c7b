//! Authenticates requests: finds and verifies the token, and checks that a page of another site does not publish
//! with a visitor's cookie.

use std::sync::Arc;

use http::HeaderMap;
use http::header::{HeaderValue, ORIGIN, REFERER};
use tidings_auth::presented::{OLD_COOKIE, Presented, presented, presented_in_v0};
use tidings_auth::{Door, Identity, Role, is_old_text};
use tidings_core::dialect::Dialect;
use tidings_wire::origin::{self, OriginList};

use super::problem::Problem;
use crate::config::Config;
use crate::http::Site;

/// The parts of a request that show who sends it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking<'a> {
    pub(crate) headers: &'a HeaderMap,
    /// The query of its URL.
    pub(crate) query: &'a str,
    /// The dialect of the request. [`Dialect::V0`] also accepts that dialect's tokens in its own places.
    pub(crate) dialect: Dialect,
}

/// Verifies the token of a request of 1.0, if it has one.
///
/// # Errors
///
/// As [`identify_in`].
pub(crate) async fn identify(
    site: &Site,
    headers: &HeaderMap,
    role: Role,
) -> Result<Option<Arc<Identity>>, Problem> {
    let (query, dialect) = ("", Dialect::V1);
    let asking = Asking {
        headers,
        query,
        dialect,
    };
    identify_in(site, asking, role).await
}

/// Verifies the token of a request, if it has one.
///
/// # Errors
///
/// The refusal: a malformed presentation (400), a token that is not accepted (401), or a cookie that the page may
/// not use (403). [`Problem::into_response`] writes it in the dialect.
///
/// Mercure, "Presenting the Access Token" and "Error Responses".
pub(crate) async fn identify_in(
    site: &Site,
    asking: Asking<'_>,
    role: Role,
) -> Result<Option<Arc<Identity>>, Problem> {
    let config = site.config();
    let found = match asking.dialect {
        Dialect::V1 => presented(asking.headers, &config.auth.cookie_names),
        Dialect::V0 => presented_in_v0(asking.headers, asking.query, &config.auth.cookie_names),
        Dialect::V2019 => presented(asking.headers, &[OLD_COOKIE.to_owned()]),
    };
    let (token, by_cookie) = match found {
        Ok(Presented::None) => return Ok(None),
        Ok(Presented::Header(token) | Presented::Query(token)) => (token, false),
        Ok(Presented::Cookie(token)) => (token, true),
        Err(error) => return Err(Problem::token_malformed(error.to_string())),
    };
    let checked = match by_cookie && role == Role::Publish {
        true => check_origin(site, asking),
        false => Ok(()),
    };
    let verified = match checked {
        Ok(()) => {
            let door = match asking.dialect {
                Dialect::V1 | Dialect::V0 => Door::Hub,
                Dialect::V2019 => Door::Hub2019,
            };
            let verified = site.verify(&token, door, role).await;
            verified.map_err(|error| site.token_refused(&error, role).into())
        }
        Err(problem) => Err(problem),
    };
    verified.map(Some).map_err(|problem| {
        // A client with a 0.x token gets the response of a 0.x hub.
        match config.dialects.v0 && is_old_text(&token) {
            true => problem.said_in(Dialect::V0, config.explain_refusals),
            false => problem,
        }
    })
}

/// How a request presents its credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// In a cookie, which a browser sends for every page.
    Cookie,
    /// In another way, or not at all.
    Other,
}

/// Returns how a request presents its token.
pub(crate) fn credentials(site: &Site, headers: &HeaderMap) -> Credentials {
    match presented(headers, &site.config().auth.cookie_names) {
        Ok(Presented::Cookie(_)) => Credentials::Cookie,
        Ok(Presented::None | Presented::Header(_) | Presented::Query(_)) | Err(_) => {
            Credentials::Other
        }
    }
}

/// Refuses a WebSocket from a page whose origin is not allowed. Browsers let any page open a WebSocket (RFC 6455,
/// 10.2), without the check that they make for event streams. `credentials` is how the request presents them.
pub(crate) fn check_page(
    site: &Site,
    headers: &HeaderMap,
    credentials: Credentials,
    list: &OriginList,
    key: &str,
) -> Result<(), Problem> {
    let page = headers.get(ORIGIN);
    let page = page.map(|origin| origin.to_str().unwrap_or_default());
    check_page_of(site, page, credentials, list, key)
}

/// The same for a page of this origin, if it is known.
pub(crate) fn check_page_of(
    site: &Site,
    origin: Option<&str>,
    credentials: Credentials,
    list: &OriginList,
    key: &str,
) -> Result<(), Problem> {
    let config = site.config();
    let Some(origin) = origin else {
        return match credentials {
            Credentials::Other => Ok(()),
            Credentials::Cookie => Err(Problem::page_refused(
                "a connection that is authorized by a cookie needs an Origin field",
            )),
        };
    };
    let allowed = match credentials {
        // `*` and `null` mean anybody's pages, which must not use a visitor's cookie.
        Credentials::Cookie => is_named(config, origin, list),
        Credentials::Other => is_named(config, origin, list) || list.allows(origin),
    };
    if allowed {
        Ok(())
    } else {
        Err(Problem::page_refused(format!(
            "{origin} is neither the hub's own origin nor listed in {key}"
        )))
    }
}

/// Returns whether pages of an origin may use a visitor's credentials: pages of the hub itself, and of origins that
/// the operator named, in `list` or as publishers.
pub(crate) fn is_named(config: &Config, origin: &str, list: &OriginList) -> bool {
    origin == config.hub.origin() || config.publish.origins.names(origin) || list.names(origin)
}

/// Refuses a cookie that a page of another site made the browser send (Mercure, "Cookie").
fn check_origin(site: &Site, asking: Asking<'_>) -> Result<(), Problem> {
    let headers = asking.headers;
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let named = match headers.get(ORIGIN) {
        Some(value) => text(value),
        None => headers
            .get(REFERER)
            .and_then(text)
            .and_then(|url| origin::origin_of(&url)),
    };
    let config = site.config();
    let origins = &config.publish.origins;
    let listed = |named: &str| match asking.dialect {
        Dialect::V1 | Dialect::V0 => origins.allows(named),
        // In 2019, `*` in the list let nobody publish.
        Dialect::V2019 => origins.names(named),
    };
    match named {
        Some(named) if named == config.hub.origin() || listed(&named) => Ok(()),
        Some(named) => Err(Problem::origin_refused(format!(
            "{named} is neither the hub's own origin nor listed in publish.origins"
        ))),
        None => Err(Problem::origin_refused(
            "a request that is authorized by a cookie needs an Origin or a Referer field",
        )),
    }
}
