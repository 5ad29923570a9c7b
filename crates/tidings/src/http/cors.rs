//! Which pages of other origins may read the hub's responses (WHATWG Fetch, "CORS protocol").

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, ORIGIN,
    VARY,
};
use http::{HeaderMap, Response, StatusCode};
use tidings_wire::origin::OriginList;

use super::request_body::FORM;
use super::{Body, HUB_METHODS, respond_empty, set_allow};
use crate::config::CorsOptions;

/// The media types of a QUERY request's body; RFC 10008, 3.
const ACCEPT_QUERY: HeaderName = HeaderName::from_static("accept-query");
/// Response fields that pages of other origins may read.
const EXPOSED: &str = "Mercure-Last-Event-ID, Last-Event-ID, Link, ETag, WWW-Authenticate, Retry-After, Preference-Applied";
/// Request fields that the hub reads, which pages of other origins may set; and `Tracestate`, which comes with
/// `Traceparent`.
const ALLOWED_FIELDS: &str = "Authorization, Cache-Control, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, Traceparent, Tracestate";
/// Methods that pages of other origins may use.
const ALLOWED_METHODS: &str = "GET, HEAD, QUERY, POST";
/// Seconds for which a browser may cache a preflight response.
const PREFLIGHT_SECS: &str = "7200";

/// Adds the fields that let a page of `origin` read the response, if the origin is in the list.
///
/// With `*` in the list, no credentials are allowed: otherwise any page could use a visitor's cookie. A named
/// origin may use them (Mercure, "Subscription").
pub(crate) fn allow(list: &OriginList, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    if list.is_empty() {
        return;
    }
    // A cache must not give one origin's response to another, even if this one gets no field.
    headers.append(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin else { return };
    let Ok(text) = origin.to_str() else { return };
    if list.names(text) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
    } else if list.is_any() {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    } else if list.allows(text) {
        // Every sandboxed page and local file has the origin `null`, so it gets no credentials.
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    } else {
        return;
    }
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
}

/// Adds the fields that the hub of 2019 sent to a page of `origin`. With `*` in its list it allowed credentials
/// too, which no browser grants.
pub(crate) fn allow_2019(list: &OriginList, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    let Some(origin) = origin else { return };
    let allowed = if list.is_any() {
        HeaderValue::from_static("*")
    } else if origin.to_str().is_ok_and(|text| list.allows(text)) {
        // A cache must not give one origin's response to another.
        headers.append(VARY, HeaderValue::from_static("Origin"));
        origin.clone()
    } else {
        return;
    };
    if allowed != "null" {
        // Every sandboxed page and local file has that origin.
        let credentials = HeaderValue::from_static("true");
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, credentials);
    }
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
}

/// Answers a preflight as the hub of 2019 did: 405 for another method, 403 for another field, 400 without a
/// method, and no fields for an origin that is not in the list.
pub(crate) fn preflight_2019(list: &OriginList, asked: &HeaderMap) -> Response<Body> {
    const METHODS: [&str; 3] = ["GET", "HEAD", "POST"];
    const FIELDS: [&str; 6] = [
        "accept",
        "accept-language",
        "authorization",
        "cache-control",
        "content-language",
        "origin",
    ];
    let text = |name: HeaderName| asked.get(name).and_then(|value| value.to_str().ok());
    let origin = text(ORIGIN);
    if !origin.is_some_and(|origin| list.allows(origin)) {
        return respond_empty(StatusCode::OK);
    }
    let Some(method) = text(ACCESS_CONTROL_REQUEST_METHOD) else {
        return respond_empty(StatusCode::BAD_REQUEST);
    };
    if !METHODS.contains(&method) {
        return respond_empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    let fields = text(ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default();
    let fields = fields
        .split(',')
        .map(|field| field.trim().to_ascii_lowercase());
    let fields: Vec<String> = fields.filter(|field| !field.is_empty()).collect();
    if fields.iter().any(|field| !FIELDS.contains(&field.as_str())) {
        return respond_empty(StatusCode::FORBIDDEN);
    }
    let mut response = respond_empty(StatusCode::OK);
    if let Ok(fields) = HeaderValue::from_str(&fields.join(","))
        && !fields.is_empty()
    {
        response
            .headers_mut()
            .insert(ACCESS_CONTROL_ALLOW_HEADERS, fields);
    }
    response
}

/// Answers a preflight. [`allow`] adds the fields for the origin, as for every response.
pub(crate) fn preflight(
    options: &CorsOptions,
    methods: &'static str,
    asked: &HeaderMap,
) -> Response<Body> {
    let mut response = respond_empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    set_allow(headers, methods);
    if methods == HUB_METHODS {
        headers.insert(ACCEPT_QUERY, HeaderValue::from_static(FORM));
    }
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(ALLOWED_METHODS),
    );
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed_fields(options, asked));
    if options.headers.is_none() && !options.origins.is_empty() {
        // A cache must not give this response to a page that asks for other fields.
        let asked = HeaderValue::from_static("Access-Control-Request-Headers");
        headers.append(VARY, asked);
    }
    headers.insert(
        ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static(PREFLIGHT_SECS),
    );
    response
}

/// Returns the request fields that a page may set: those that the hub reads, and those of the
/// configuration or else, if its origin is allowed, those that it asks for.
fn allowed_fields(options: &CorsOptions, asked: &HeaderMap) -> HeaderValue {
    let text = |name: HeaderName| asked.get(name).and_then(|value| value.to_str().ok());
    let is_allowed = text(ORIGIN).is_some_and(|origin| options.origins.allows(origin));
    let further: Vec<HeaderName> = match &options.headers {
        Some(configured) => configured.clone(),
        None if is_allowed => {
            let wanted = text(ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default();
            let names = wanted.split(',').map(|name| name.trim().as_bytes());
            names
                .filter_map(|name| HeaderName::from_bytes(name).ok())
                .collect()
        }
        None => Vec::new(),
    };
    let mut fields = ALLOWED_FIELDS.to_owned();
    for name in further {
        let mut known = ALLOWED_FIELDS.split(", ");
        if !known.any(|known| known.eq_ignore_ascii_case(name.as_str())) {
            fields.push_str(", ");
            fields.push_str(name.as_str());
        }
    }
    HeaderValue::from_str(&fields).unwrap_or(HeaderValue::from_static(ALLOWED_FIELDS))
}
