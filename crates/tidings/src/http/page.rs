//! Which page a browser says that a request comes from, for addresses that act on more than a token in
//! a field: on a cookie, on where the visitor's machine stands, on nothing at all.

use http::HeaderMap;
use http::header::{HeaderName, ORIGIN, REFERER};
use tidings_wire::origin::{OriginList, origin_of};

use super::authorize::{Credentials, check_page_of};
use super::problem::Problem;
use crate::http::Site;

/// How the page that asks stands to the address; Fetch Metadata Request Headers, 2.3.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The origin of a page that does not say which it has; RFC 6454, 6.1.
const OPAQUE: &str = "null";

/// Returns the origin of the page that made a browser ask; nothing if it was no page.
///
/// `own` is the origin of the hub's pages. A page of another site that hides its own origin, and one
/// whose `Referer` cannot be read, count as one of an opaque origin.
pub(crate) fn asking(headers: &HeaderMap, own: &str) -> Option<String> {
    let text = |name: HeaderName| {
        let value = headers.get(name)?;
        Some(value.to_str().unwrap_or_default())
    };
    if let Some(origin) = text(ORIGIN) {
        return Some(origin.to_owned());
    }
    // Scripts and pages in frames come without an Origin, but mostly with a Referer.
    let referer = text(REFERER).map(|url| origin_of(url).unwrap_or_else(|| OPAQUE.to_owned()));
    match text(SEC_FETCH_SITE) {
        Some("same-origin") => Some(own.to_owned()),
        // Typed, or from a list of bookmarks.
        None | Some("none") => referer,
        Some(_) => referer.or_else(|| Some(OPAQUE.to_owned())),
    }
}

/// Refuses pages other than the hub's own and those of `publish.origins`, for what needs no token.
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
