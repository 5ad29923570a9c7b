//! The settings that the hubs of a cluster share, as they are compared.

use tidings_cluster::record::{Needed, Setting};

use super::Checks;
use crate::config::keys;
use crate::config::settings::Settings;
use crate::config::tables::Table;
use crate::config::tables::auth::IssuerTable;

/// A group, whether its settings must be equal, and their keys.
type Group = (&'static str, Needed, &'static [&'static str]);

/// What is compared. A hub that differs in a setting that must be equal would accept other tokens, or
/// read them differently; other differences are only surprising.
const GROUPS: &[Group] = &[
    ("address", Needed::Equal, &["hub.public_url"]),
    (
        "tokens",
        Needed::Equal,
        &["auth.audiences", "auth.cookie_names"],
    ),
    (
        "dialects",
        Needed::Equal,
        &["dialects.v0", "dialects.v2019"],
    ),
    (
        "access",
        Needed::Similar,
        &[
            "subscribe.anonymous",
            "publish.origins",
            "cors.origins",
            "rooms.access",
            "rooms.origins",
        ],
    ),
    (
        "sizes",
        Needed::Similar,
        &[
            "publish.body_bytes_max",
            "websocket.message_bytes_max",
            "sockjs.body_bytes_max",
            "history.retain_hours",
            "history.retain_updates",
            "history.retain_bytes",
        ],
    ),
];

/// Of an issuer, its keys are not compared: they are secret, and are changed hub by hub.
const ISSUER_KEYS: &[&str] = &["algorithm", "kid", "publish", "subscribe", "dialects"];

impl Checks<'_> {
    /// Returns the settings that hubs share.
    pub(super) fn shared(&self) -> Vec<Setting> {
        let mut shared = Vec::new();
        for (group, needed, keys) in GROUPS {
            shared.extend(keys.iter().map(|key| Setting {
                group: (*group).into(),
                needed: *needed,
                key: (*key).into(),
                value: value(self.settings, key).into(),
            }));
        }
        let mut issuers: Vec<String> = self.issuers().collect();
        // Their order does not matter.
        issuers.sort();
        shared.push(Setting {
            group: "tokens".into(),
            needed: Needed::Equal,
            key: "auth.issuers".into(),
            value: issuers.concat().into(),
        });
        shared
    }

    fn issuers(&self) -> impl Iterator<Item = String> {
        let array = IssuerTable::PATH.trim_end_matches(".N");
        let indexes = self.settings.indexes(array).into_iter();
        indexes.map(move |index| {
            let names = ["issuer"].iter().chain(ISSUER_KEYS);
            let values = names.map(|name| value(self.settings, &format!("{array}.{index}.{name}")));
            format!("{:?}", values.collect::<Vec<_>>())
        })
    }
}

/// Returns a value as it is written, or its default.
fn value(settings: &Settings, place: &str) -> String {
    if let Some(entry) = settings.find(place) {
        return entry.value.to_string();
    }
    let fallback = keys::find(place).and_then(keys::Key::fallback_value);
    fallback.map_or_else(String::new, |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_compared_setting_is_a_key() {
        for key in GROUPS.iter().flat_map(|(_, _, keys)| *keys) {
            assert!(keys::find(key).is_some(), "{key}");
        }
        for name in ISSUER_KEYS {
            let path = format!("{}.{name}", IssuerTable::PATH);
            assert!(keys::find(&path).is_some(), "{path}");
        }
    }
}
