//! The built-in pages, which are embedded in the binary.

use std::borrow::Cow;

use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, HeaderName,
    HeaderValue, IF_NONE_MATCH, LOCATION, REFERRER_POLICY,
};
use http::{HeaderMap, Response, StatusCode};
use rust_embed::Embed;
use serde_json::json;

use super::problem::Problem;
use super::{Body, discovery, respond, respond_embedded, respond_empty};
use crate::config::{Config, PageOptions};

/// Everything under `pages/`.
#[derive(Embed)]
#[folder = "../../pages"]
struct Files;

/// Scripts, styles and connections of the hub's own origin only. Nothing inline, and no frames around it.
const POLICY: &str = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'";
/// What the page of operators consists of.
const ADMIN_FOLDERS: [&str; 2] = ["admin/", "shared/"];
const ADMIN_FILES: [&str; 2] = ["style.css", "favicon.svg"];
/// The response at `/` if the pages are switched off.
const BARE_PAGE: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
    <title>Tidings</title>\n<h1>Tidings</h1>\n<p>A hub for real-time updates runs here.</p>\n";

/// What browsers are shown where there is nothing.
const NOT_FOUND_FILE: &str = "404.html";
/// The type that browsers ask for, and programs do not.
const HTML: &str = "text/html";

/// Returns the page that says to a browser that there is nothing at an address; nothing to a program,
/// for which the problem document is.
///
/// RFC 9110, 12.5.1: only what names HTML, and does not prefer JSON, is taken for a browser.
pub(crate) fn not_found(headers: &HeaderMap) -> Option<Response<Body>> {
    let accepted = headers.get_all(ACCEPT);
    let accepted: Vec<&str> = accepted
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let html = quality(&accepted, |named| named == HTML);
    let json = quality(&accepted, |named| named.ends_with("json"));
    if html <= 0.0 || html < json {
        return None;
    }
    let page = Files::get(NOT_FOUND_FILE)?;
    let mut response = respond(
        StatusCode::NOT_FOUND,
        "text/html; charset=utf-8",
        page.data.into_owned(),
    );
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    protect(headers);
    Some(response)
}

/// Returns the highest weight that `Accept` gives to a type; RFC 9110, 12.4.2.
fn quality(accepted: &[&str], is_meant: impl Fn(&str) -> bool) -> f32 {
    let ranges = accepted.iter().flat_map(|field| field.split(','));
    let weights = ranges.filter_map(|range| {
        let mut parts = range
            .split(';')
            .map(|part| part.trim().to_ascii_lowercase());
        let named = parts.next()?;
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
        is_meant(&named).then_some(weight.unwrap_or(1.0))
    });
    weights.fold(0.0, f32::max)
}

/// Returns a page or one of its files.
///
/// # Errors
///
/// 404 if there is none, or if its folder is switched off.
pub(crate) fn page(
    config: &Config,
    path: &str,
    headers: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    let options = &config.pages;
    let folder = path
        .trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default();
    let allowed = match folder {
        // Operators have a listener of their own; in dev, the page comes before these.
        "admin" => false,
        // This page uses only SockJS.
        "chat" if path.starts_with("/chat/old") => options.chat && config.sockjs.enabled,
        "chat" => options.chat,
        "scores" => options.scores,
        "debugger" => options.debugger,
        "diagnose" => options.diagnose,
        "tidings.js" | "tidings.mjs" => options.library || options.any(),
        _ => options.any(),
    };
    if !allowed {
        return if path == "/" {
            Ok(bare_page())
        } else {
            Err(Problem::not_found())
        };
    }
    if path == "/robots.txt" {
        return Ok(respond(
            StatusCode::OK,
            "text/plain; charset=utf-8",
            "User-agent: *\nDisallow: /\n",
        ));
    }
    let file = path.trim_start_matches('/');
    if !file.ends_with('/')
        && Files::get(&format!("{file}/index.html")).is_some()
        && !file.is_empty()
    {
        // Relative links of the page need the slash.
        return Ok(redirect_to(&format!("/{file}/")));
    }
    let name = if file.is_empty() || file.ends_with('/') {
        format!("{file}index.html")
    } else {
        file.to_owned()
    };
    let content = Files::get(&name).filter(|_| name != NOT_FOUND_FILE);
    let content = content.ok_or_else(Problem::not_found)?;
    let mut response = with_validator(&name, content, headers);
    if name.ends_with(".html") {
        discovery::add_links(&config.hub, &name, response.headers_mut());
    }
    if name.starts_with("tidings.") {
        // The same for everybody. Applications of other origins may import it.
        let anybody = HeaderValue::from_static("*");
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, anybody);
    }
    Ok(response)
}

/// Returns whether a path is the page of operators, or one of its own files.
pub(crate) fn is_admin(path: &str) -> bool {
    path.strip_prefix("/admin")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns the page of operators, or one of its files. The files are nobody's secret; what the page shows needs the
/// token.
///
/// # Errors
///
/// 404 if there is none.
pub(crate) fn admin(path: &str, headers: &HeaderMap) -> Result<Response<Body>, Problem> {
    if matches!(path, "/" | "/admin") {
        return Ok(redirect_to("/admin/"));
    }
    let name = match path.trim_start_matches('/') {
        "admin/" => "admin/index.html",
        name if ADMIN_FOLDERS.iter().any(|folder| name.starts_with(folder)) => name,
        name if ADMIN_FILES.contains(&name) => name,
        _ => return Err(Problem::not_found()),
    };
    let content = Files::get(name).ok_or_else(Problem::not_found)?;
    Ok(with_validator(name, content, headers))
}

/// Redirects for good.
fn redirect_to(path: &str) -> Response<Body> {
    let mut response = respond_empty(StatusCode::PERMANENT_REDIRECT);
    if let Ok(location) = HeaderValue::from_str(path) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Redirects from the debugger of 0.x hubs to ours.
///
/// # Errors
///
/// 404 if it is switched off.
pub(crate) fn debugger(options: &PageOptions) -> Result<Response<Body>, Problem> {
    if !options.debugger {
        let detail = "the debugger is switched off; pages.debugger = true serves it";
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Not found",
            detail,
        ));
    }
    let mut response = respond_empty(StatusCode::FOUND);
    let location = HeaderValue::from_static("/debugger/");
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// Tells the pages where the hub is, which pages exist and, in `tidings dev`, how to get tokens.
pub(crate) fn settings(config: &Config) -> Response<Body> {
    let pages = [
        ("chat", config.pages.chat),
        ("scores", config.pages.scores),
        ("debugger", config.pages.debugger),
        ("diagnose", config.pages.diagnose),
    ];
    let pages: Vec<&str> = pages
        .into_iter()
        .filter_map(|(page, on)| on.then_some(page))
        .collect();
    let presence = config.presence.is_some();
    let mut settings = json!({"hub": config.hub.path(), "pages": pages, "presence": presence});
    if let (Some(tokens), Some(settings)) = (&config.dev, settings.as_object_mut()) {
        settings.insert(
            "publisher_token".to_owned(),
            tokens.publisher.clone().into(),
        );
        settings.insert(
            "subscriber_token".to_owned(),
            tokens.subscriber.clone().into(),
        );
    }
    let mut response = respond(StatusCode::OK, "application/json", settings.to_string());
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn bare_page() -> Response<Body> {
    respond(StatusCode::OK, "text/html; charset=utf-8", BARE_PAGE)
}

fn with_validator(
    name: &str,
    file: rust_embed::EmbeddedFile,
    headers: &HeaderMap,
) -> Response<Body> {
    let etag = etag(&file.metadata.sha256_hash());
    let known = headers
        .get(IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    let mut response = if known.is_some_and(|known| matches_etag(known, &etag)) {
        respond_empty(StatusCode::NOT_MODIFIED)
    } else {
        match file.data {
            Cow::Borrowed(data) => respond_embedded(StatusCode::OK, media_type(name), data),
            Cow::Owned(data) => respond(StatusCode::OK, media_type(name), data),
        }
    };
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(ETAG, etag);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    protect(headers);
    response
}

/// Adds what keeps a page to itself.
fn protect(headers: &mut HeaderMap) {
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(
        HeaderName::from_static("x-frame-options"),
        HeaderValue::from_static("DENY"),
    );
}

fn etag(hash: &[u8; 32]) -> String {
    use std::fmt::Write;
    let mut etag = String::from("\"");
    for byte in hash.iter().take(12) {
        // Writing to a String cannot fail.
        write!(etag, "{byte:02x}").ok();
    }
    etag.push('"');
    etag
}

/// Compares weakly, as `If-None-Match` requires; RFC 9110, 13.1.2.
fn matches_etag(list: &str, etag: &str) -> bool {
    list.split(',')
        .map(str::trim)
        .any(|entry| entry == "*" || entry.trim_start_matches("W/") == etag)
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        _ => "application/octet-stream",
    }
}
