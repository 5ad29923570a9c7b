//! `[publish]`: pages of any site should not publish with a visitor's cookie.

use super::Checks;

impl Checks<'_> {
    /// Warns of origins that pages of any site have, or can give themselves.
    pub(super) fn publish_origins(&mut self) {
        let entry = self.settings.find("publish.origins");
        let entries = entry.and_then(|entry| entry.value.as_array());
        let texts = entries
            .into_iter()
            .flatten()
            .filter_map(toml::Value::as_str);
        for text in texts.filter(|text| ANYBODY.contains(text)) {
            self.warnings.push(format!(
                "publish.origins: {text:?} lets pages of any site publish with the cookie of a \
                 visitor: name the origins of your pages instead"
            ));
        }
    }
}

/// Entries of a list of origins that pages of any site have, or can give themselves.
pub const ANYBODY: [&str; 2] = ["*", "null"];
