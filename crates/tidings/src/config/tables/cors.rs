//! `[cors]`: which pages of other origins may read answers.

use http::HeaderName;
use tidings_wire::origin::OriginList;

use crate::config::keys::Form::List;
use crate::config::keys::rule::{list, unset};

table! {
    /// Which pages of other origins may read answers.
    pub struct CorsOptions = "cors" {
        /// Origins of pages that may read the hub's answers, such as `https://example.com` or
        /// `https://*.example.com`. A `*` stands for one or more characters of one label of the
        /// host but the last (`https://pr-*.example.com`), or for the port (`http://localhost:*`).
        /// `file://` is what some devices say of pages that they load from a file, `null` what
        /// browsers say. `*` lets every page read what needs no cookie.
        origins: OriginList = list(&[]).live();
        /// Request fields that pages of these origins may set beside those that the hub reads, such
        /// as `X-Requested-With`. Libraries add fields of their own to every request, which the hub
        /// ignores: `HX-Request` (htmx), `Datastar-Request`, `traceparent`. Names without regard to
        /// case.
        headers: Option<Vec<HeaderName>> = unset(List, ANY_FIELD).live();
    }
}

/// Which fields are allowed where none is named.
const ANY_FIELD: &str = "whatever a page of these origins asks for";
