//! Discovery: the metadata of the protected resource, the challenge that points to it, and the `Link` fields of
//! pages.
//!
//! Mercure, "Discovery"; RFC 9728; RFC 8288.

use http::header::{CACHE_CONTROL, HeaderValue, LINK, WWW_AUTHENTICATE};
use http::{HeaderMap, Response, StatusCode};
use serde_json::json;
use tidings_auth::DETAIL_TYPE;
use tidings_auth::Keys;
use tidings_core::HubUrl;
use tidings_core::matcher::MatcherType;

use super::legacy::chat;
use super::{Body, respond};
use crate::config::Config;

/// The well-known path of the metadata, which precedes the resource's own path; RFC 9728, 3.1.
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Returns the path of the hub's metadata.
pub(crate) fn metadata_path(hub: &HubUrl) -> String {
    format!("{WELL_KNOWN}{}", hub.path())
}

/// Returns the metadata: what a token must contain, and how it may be presented.
pub(crate) fn metadata(config: &Config) -> Response<Body> {
    let types = [MatcherType::Exact, MatcherType::UrlPattern].map(MatcherType::name);
    let mut document = json!({
        "resource": resource(config),
        "authorization_details_types_supported": [DETAIL_TYPE],
        "bearer_methods_supported": ["header"],
        "mercure_matcher_types_supported": types,
    });
    if let Some(document) = document.as_object_mut() {
        if let Some(cookie) = cookie(config) {
            document.insert("mercure_cookie".to_owned(), cookie.into());
        }
        if config.presence.is_some() {
            document.insert("mercure_subscriptions".to_owned(), true.into());
        }
        let servers = authorization_servers(&config.auth);
        if !servers.is_empty() {
            document.insert("authorization_servers".to_owned(), servers.into());
        }
    }
    let mut response = respond(StatusCode::OK, "application/json", document.to_string());
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    response
}

/// Returns the cookie that applications should set: the first that a browser accepts from the hub's URL. Browsers
/// accept a cookie with a prefix only over TLS.
///
/// RFC 6265bis, 4.1.3.
fn cookie(config: &Config) -> Option<&str> {
    let names = || config.auth.cookie_names.iter().map(String::as_str);
    let secure = config.hub.origin().starts_with("https://");
    let prefixed = |name: &str| name.starts_with("__Secure-") || name.starts_with("__Host-");
    let taken = names().find(|name| secure || !prefixed(name));
    taken.or_else(|| names().next())
}

/// Returns the `aud` that tokens should have: the hub's URL, unless it is not among the audiences.
fn resource(config: &Config) -> &str {
    let url = config.hub.as_str();
    let audiences = &config.auth.audiences;
    match audiences.first() {
        Some(first) if !audiences.iter().any(|audience| audience == url) => first,
        Some(_) | None => url,
    }
}

/// Returns the issuers that publish their keys. Other issuers' clients need no discovery.
fn authorization_servers(options: &tidings_auth::Options) -> Vec<&str> {
    let published = options
        .issuers
        .iter()
        .filter(|issuer| matches!(issuer.keys, Keys::Set { .. }));
    let mut servers: Vec<&str> = published.map(|issuer| &*issuer.issuer).collect();
    servers.sort_unstable();
    servers.dedup();
    servers
}

/// Adds the URL of the metadata to a challenge; RFC 9728, 5.1.
pub(crate) fn complete_challenge(hub: &HubUrl, headers: &mut HeaderMap) {
    let Some(challenge) = headers.get(WWW_AUTHENTICATE) else {
        return;
    };
    let Ok(challenge) = challenge.to_str() else {
        return;
    };
    let separator = match challenge {
        "Bearer" => " ",
        _ if challenge.starts_with("Bearer ") => ", ",
        _ => return,
    };
    let url = format!("{}{}", hub.origin(), metadata_path(hub));
    let completed = format!("{challenge}{separator}resource_metadata=\"{url}\"");
    if let Ok(completed) = HeaderValue::from_str(&completed) {
        headers.insert(WWW_AUTHENTICATE, completed);
    }
}

/// Adds the links of a page: to the hub and, if the page shows one topic, to that.
pub(crate) fn add_links(hub: &HubUrl, page: &str, headers: &mut HeaderMap) {
    let mut add = |target: &str, relation: &str| {
        if let Ok(link) = HeaderValue::from_str(&format!("<{target}>; rel=\"{relation}\"")) {
            headers.append(LINK, link);
        }
    };
    add(hub.as_str(), "mercure");
    if page == "chat/index.html" {
        add(chat::TOPIC, "self");
    }
}
