//! `[publish]`: rules for publishers.

use tidings_core::limits::PUBLISH_BODY_BYTES_MAX;
use tidings_wire::origin::OriginList;

use crate::config::keys::rule::{list, number};

table! {
    /// Rules for publishers.
    pub struct PublishOptions = "publish" {
        /// Origins of pages that may publish with the cookie, such as `https://example.com` or
        /// `https://*.example.com`. A `*` stands for one or more characters of one label of the
        /// host but the last, or for the port. `file://` is what some devices say of pages that
        /// they load from a file. The hub's own origin always may. `*` and `null` let pages of any
        /// site publish with the cookie of whoever visits them, which a warning says.
        origins: OriginList = list(&[]).live();
        /// Longest body of a publishing request in bytes. Longer ones get 413.
        body_bytes_max: usize = number(PUBLISH_BODY_BYTES_MAX as u64).at_least(1).live();
    }
}
