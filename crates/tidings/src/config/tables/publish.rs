//! `[publish]`: rules for publishers.

use tidings_core::limits::PUBLISH_BODY_BYTES_MAX;
use tidings_wire::origin::OriginList;

use crate::config::keys::rule::{list, number};

table! {
    /// Rules for publishers.
    pub struct PublishOptions = "publish" {
        /// Origins of pages that may publish with the cookie, such as `https://example.com` or
        /// `https://*.example.com`. A `*` stands for one or more characters of one label of the
        /// host except the last, or for the port. `file://` is the origin that some devices send
        /// for pages loaded from a file. The hub's own origin is always allowed. `*` and `null` let
        /// pages of any site publish with the cookie of their visitors; the hub warns about them.
        origins: OriginList = list(&[]).live();
        /// Maximum body size of a publish request in bytes. Larger ones get 413.
        body_bytes_max: usize = number(PUBLISH_BODY_BYTES_MAX as u64).at_least(1).live();
    }
}
