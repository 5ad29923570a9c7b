//! `[publish]`: warns if pages of any site can publish with a visitor's cookie.

use super::Checks;

impl Checks<'_> {
    /// Warns about origins that pages of any site have or can obtain.
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

/// Origins that pages of any site have or can obtain.
pub const ANYBODY: [&str; 2] = ["*", "null"];
