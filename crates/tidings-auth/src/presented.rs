//! Finds the token that a request presents: in the `Authorization` field or in a cookie.
//!
//! The token is not verified here, and the origin check for cookies is in `http`. A token in the
//! URL is read only if the request may be of Mercure 0.x, and used only if it is of that dialect.
//!
//! Mercure, "Presenting the Access Token".

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};
use tidings_wire::bearer::{self, Authorization};
use tidings_wire::{cookie, selector_query};

use super::old::is_old_text;

/// How a request presents its token. `Debug` hides the token.
#[derive(Clone, PartialEq, Eq)]
pub enum Presented {
    /// Not at all.
    None,
    /// In the `Authorization` field.
    Header(String),
    /// In a cookie, which a browser sends without the page's doing.
    Cookie(String),
    /// In the query of the URL, which 0.x allows too.
    Query(String),
}

/// A presentation that is malformed, answered 400 with `invalid_request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct PresentationError(#[from] bearer::Malformed);

/// Finds the token. An `Authorization` field with a bearer token wins over every cookie.
///
/// A field with another scheme is malformed, and no cookie replaces it: the client chose the field to authorize
/// the request (Mercure, "Presenting the Access Token"). Of several cookies, the first of `cookie_names` that is
/// present and not empty counts.
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
        None => {}
    }
    let tokens = cookie_names
        .iter()
        .find_map(|name| in_cookie(headers, name));
    Ok(tokens.map_or(Presented::None, Presented::Cookie))
}

/// Finds the token of a request that may be in the 0.x dialect: the one that [`presented`] finds, else an old
/// token in `query` or in its cookie. A token of 1.0 is ignored there.
///
/// # Errors
///
/// As [`presented`].
pub fn presented_in_v0(
    headers: &HeaderMap,
    query: &str,
    cookie_names: &[String],
) -> Result<Presented, PresentationError> {
    let found = presented(headers, &[])?;
    if found != Presented::None {
        return Ok(found);
    }
    let in_query = selector_query::token(query.as_bytes()).filter(|token| is_old_text(token));
    if let Some(token) = in_query {
        return Ok(Presented::Query(token));
    }
    let found = presented(headers, cookie_names)?;
    if found != Presented::None {
        return Ok(found);
    }
    let in_old_cookie = in_cookie(headers, OLD_COOKIE).filter(|token| is_old_text(token));
    Ok(in_old_cookie.map_or(Presented::None, Presented::Cookie))
}

fn in_cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get_all(COOKIE).iter().find_map(|field| {
        // Other cookies of the site may contain any bytes. They do not hide the token.
        let field = String::from_utf8_lossy(field.as_bytes());
        let token = cookie::find(&field, name)?;
        (!token.is_empty()).then(|| token.to_owned())
    })
}

/// The cookie of the hubs before 1.0.
pub const OLD_COOKIE: &str = "mercureAuthorization";

impl std::fmt::Debug for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Header(_) => "Header(hidden)",
            Self::Cookie(_) => "Cookie(hidden)",
            Self::Query(_) => "Query(hidden)",
        })
    }
}

#[cfg(test)]
mod tests;
