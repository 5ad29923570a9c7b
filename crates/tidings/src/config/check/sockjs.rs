//! `[sockjs]`: the URL of the library.

use tidings_wire::redact;

use super::Checks;
use crate::config::tables::sockjs::SockJsOptions;

impl Checks<'_> {
    pub(super) fn sockjs(&mut self, sockjs: &SockJsOptions) {
        let Some(url) = &sockjs.library_url else {
            return;
        };
        let mut starts = ["/", "https://", "http://"].iter();
        if !starts.any(|start| url.starts_with(start)) {
            let shown = redact::url(url);
            let reason = format!("{shown:?} is not a URL: write https://… or a path");
            self.invalid("sockjs.library_url", reason);
        }
    }
}
