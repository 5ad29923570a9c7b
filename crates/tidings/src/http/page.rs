//! The page that a request comes from, as the browser reports it. For resources that act on more than a token in a
//! field: on a cookie, on the address of the visitor's machine, or on nothing at all.

use http::HeaderMap;
use http::header::{HeaderName, ORIGIN, REFERER};
use tidings_wire::origin::{OriginList, origin_of};

use super::authorize::{Credentials, check_page_of};
use super::problem::Problem;
use crate::http::Site;

/// The relation of the page to the requested URL; Fetch Metadata Request Headers, 2.3.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The origin of a page that hides its own; RFC 6454, 6.1.
const OPAQUE: &str = "null";

/// Returns the origin of the page that made the browser send the request. None if it was not a page.
///
/// `own` is the origin of the hub's pages. A page of another site that hides its origin, or whose `Referer` cannot
/// be parsed, counts as a page with an opaque origin.
pub(crate) fn asking(headers: &HeaderMap, own: &str) -> Option<String> {
    let text = |name: HeaderName| {
        let value = headers.get(name)?;
        Some(value.to_str().unwrap_or_default())
    };
    if let Some(origin) = text(ORIGIN) {
        return Some(origin.to_owned());
    }
    // Requests for scripts and frames have no Origin, but mostly a Referer.
    let referer = text(REFERER).map(|url| origin_of(url).unwrap_or_else(|| OPAQUE.to_owned()));
    match text(SEC_FETCH_SITE) {
        Some("same-origin") => Some(own.to_owned()),
        // Typed by the visitor, or from a bookmark.
        None | Some("none") => referer,
        Some(_) => referer.or_else(|| Some(OPAQUE.to_owned())),
    }
}

/// Refuses pages other than the hub's own and those of `publish.origins`, for resources that need no token.
/// Requests of programs pass.
///
/// # Errors
///
/// 403.
pub(crate) fn check_own(site: &Site, headers: &HeaderMap) -> Result<(), Problem> {
    let page = asking(headers, &site.config().hub.origin());
    let nobody_else = OriginList::default();
    check_page_of(
        site,
        page.as_deref(),
        Credentials::Other,
        &nobody_else,
        "publish.origins",
    )
}
