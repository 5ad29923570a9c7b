//! `[hub]`: tokens travel unencrypted only if that is allowed.

use super::{Checks, is_loopback};
use crate::config::tables::hub::HubTable;

impl Checks<'_> {
    pub(super) fn hub(&mut self, table: &HubTable) {
        let Some(hub) = &table.public_url else {
            return;
        };
        if !table.allow_plaintext && is_cleartext(hub.as_str()) {
            let advice = "begins with http://, so that tokens would travel in the clear: \
                          write https:// (also behind a proxy that terminates TLS), or \
                          hub.allow_plaintext = true in a network that is protected in \
                          another way";
            self.contradiction("hub.public_url", advice);
        }
    }
}

/// Returns whether requests to a URL can be read in transit: plain HTTP to another machine.
///
/// Mercure, "Presenting the Access Token".
fn is_cleartext(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| url.scheme() == "http" && !is_loopback(&url))
}
