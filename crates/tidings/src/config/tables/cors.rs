//! `[cors]`: pages of other origins that may read responses.

use http::HeaderName;
use tidings_wire::origin::OriginList;

use crate::config::keys::Form::List;
use crate::config::keys::rule::{list, unset};

table! {
    /// Pages of other origins that may read responses.
    pub struct CorsOptions = "cors" {
        /// Origins of pages that may read the hub's responses, such as `https://example.com` or
        /// `https://*.example.com`. A `*` stands for one or more characters of one label of the
        /// host except the last (`https://pr-*.example.com`), or for the port
        /// (`http://localhost:*`). `file://` is the origin that some devices send for pages loaded
        /// from a file; browsers send `null`. `*` alone lets every page read responses that need no
        /// cookie.
        origins: OriginList = list(&[]).live();
        /// Request fields that pages of these origins may set in addition to those that the hub
        /// reads, such as `X-Requested-With`. Some libraries add their own fields to every request,
        /// which the hub ignores: `HX-Request` (htmx), `Datastar-Request`, `baggage`. Names are
        /// not case-sensitive.
        headers: Option<Vec<HeaderName>> = unset(List, ANY_FIELD).live();
    }
}

/// The fields that are allowed by default.
const ANY_FIELD: &str = "whatever a page of these origins asks for";
