//! Finds the token that a request presents: in the `Authorization` field or in a cookie.
//!
//! Whether the token is any good is not looked at, and neither is whether a cookie may be used for
//! this request (the origin check is in `http`). A token in the URL is never looked for.
//!
//! Mercure, "Presenting the Access Token".

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};
use tidings_wire::bearer::{self, Authorization};
use tidings_wire::cookie;

/// How a request presents its token. `Debug` hides the token.
#[derive(Clone, PartialEq, Eq)]
pub enum Presented {
    /// Not at all.
    None,
    /// In the `Authorization` field.
    Header(String),
    /// In a cookie, which a browser sends without the page's doing.
    Cookie(String),
}

/// A presentation that is malformed, answered 400 with `invalid_request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct PresentationError(#[from] bearer::Malformed);

/// Finds the token. An `Authorization` field with a bearer token wins over every cookie.
///
/// Another scheme carries no token (many a staging site asks for Basic), so that the cookie counts.
/// Of several cookies the first of `cookie_names` that is there and not empty counts.
///
/// # Errors
///
/// Several `Authorization` fields, or one that is not well formed.
pub fn presented(
    headers: &HeaderMap,
    cookie_names: &[String],
) -> Result<Presented, PresentationError> {
    let fields = headers
        .get_all(AUTHORIZATION)
        .iter()
        .map(http::HeaderValue::as_bytes);
    match bearer::parse_all(fields) {
        Some(Authorization::Bearer(token)) => return Ok(Presented::Header(token.to_owned())),
        Some(Authorization::Malformed(rule)) => return Err(PresentationError(rule)),
        Some(Authorization::OtherScheme) | None => {}
    }
    for name in cookie_names {
        for field in headers.get_all(COOKIE) {
            // Another cookie of the site may hold any bytes; they do not hide the token.
            let field = String::from_utf8_lossy(field.as_bytes());
            match cookie::find(&field, name) {
                Some(token) if !token.is_empty() => {
                    return Ok(Presented::Cookie(token.to_owned()));
                }
                Some(_) | None => {}
            }
        }
    }
    Ok(Presented::None)
}

impl std::fmt::Debug for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Header(_) => "Header(hidden)",
            Self::Cookie(_) => "Cookie(hidden)",
        })
    }
}

#[cfg(test)]
mod tests;
