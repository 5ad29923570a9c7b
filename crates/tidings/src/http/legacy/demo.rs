//! The demonstration of the hubs before 1.0: a link contains the content of its page, and the token that the visitor
//! gets as a cookie. Off unless configured.
//!
//! Anybody can choose the content by a link, so browsers are told to give it an opaque origin and to run nothing in
//! it.

use std::rc::Rc;

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LINK, SET_COOKIE,
};
use http::{Request, Response, StatusCode};
use tidings_auth::presented::OLD_COOKIE;
use tidings_wire::form;

use crate::config::check::dialects::PATH_2019;
use crate::http::Site;
use crate::http::{Body, respond};

/// Returns whether a path belongs to the demonstration: in 2019 at the root, in 0.x below the hub.
pub(crate) fn is_at(path: &str, hub: &str) -> bool {
    path.starts_with("/demo/") || crate::http::is_below(path, hub, "/ui/demo/")
}

/// Returns the content of the link, with the fields by which a subscriber finds the hub.
pub(crate) fn page<B>(site: &Rc<Site>, request: &Request<B>) -> Response<Body> {
    let config = site.config();
    let path = request.uri().path();
    let query = request.uri().query().unwrap_or_default();
    let value = |name: &[u8]| {
        let mut pairs = form::pairs(query.as_bytes());
        let pair = pairs.find(|pair| *pair.name_bytes() == *name);
        pair.and_then(|pair| pair.value().ok()).unwrap_or_default()
    };
    let hub = match path.starts_with("/demo/") && config.dialects.v2019 {
        true => PATH_2019,
        false => config.hub.path(),
    };
    let mut response = respond(StatusCode::OK, "text/plain", value(b"body").into_owned());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type(path)));
    let origin = config.hub.origin();
    let own = match query {
        "" => format!("{origin}{path}"),
        query => format!("{origin}{path}?{query}"),
    };
    for (target, relation) in [(hub, "mercure"), (own.as_str(), "self")] {
        if let Ok(link) = HeaderValue::from_str(&format!("<{target}>; rel=\"{relation}\"")) {
            headers.append(LINK, link);
        }
    }
    if let Some(cookie) = cookie(&value(b"jwt"), hub, origin.starts_with("https:")) {
        headers.insert(SET_COOKIE, cookie);
    }
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (HeaderName::from_static("referrer-policy"), "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Sets the token as the visitor's cookie, or removes the cookie if there is no token.
fn cookie(token: &str, path: &str, secure: bool) -> Option<HeaderValue> {
    let token_like = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !token.bytes().all(token_like) {
        return None;
    }
    let secure = if secure { "; Secure; HttpOnly" } else { "" };
    let ends = match token {
        "" => "; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        _ => "",
    };
    let cookie = format!("{OLD_COOKIE}={token}; Path={path}{ends}{secure}; SameSite=Strict");
    HeaderValue::from_str(&cookie).ok()
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("jsonld") => "application/ld+json",
        Some("json") => "application/json",
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("xml") => "text/xml; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}
