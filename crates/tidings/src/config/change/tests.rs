//! Which changes a running hub takes over, and which wait for its next start.

use super::*;

const OLD: &str = "[[listen]]\naddress = \"127.0.0.1:1\"\n[cors]\norigins = [\"https://a.example\"]\n\
    [[auth.issuers]]\nissuer = \"https://a.example\"\nkey = \"0123456789012345678901234567890123\"\n";

#[test]
fn every_change_is_told_with_both_values_and_secrets_are_hidden() {
    let new = OLD
        .replace("127.0.0.1:1", "127.0.0.1:2")
        .replace("0123", "x123");
    let new = new + "[limits]\nconnections_max = 7\n";
    let told = differences(&settings(OLD), &settings(&new));
    let told: Vec<_> = told
        .iter()
        .map(|one| {
            (
                one.key.as_str(),
                one.old.as_deref(),
                one.new.as_deref(),
                one.change,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                "auth.issuers.0.key",
                Some("(hidden)"),
                Some("(hidden)"),
                Change::Live
            ),
            (
                "limits.connections_max",
                Some("100000"),
                Some("7"),
                Change::Live
            ),
            (
                "listen.0.address",
                Some("\"127.0.0.1:1\""),
                Some("\"127.0.0.1:2\""),
                Change::Start
            ),
        ]
    );
}

#[test]
fn keys_of_a_start_keep_their_values_and_entries() {
    let more = "[[listen]]\naddress = \"127.0.0.1:3\"\n[pages]\nchat = true\n";
    let new = OLD.replace("127.0.0.1:1", "127.0.0.1:2") + more;
    let merged = settings(&new).with_start_keys_of(&settings(OLD));
    assert_eq!(merged.indexes("listen"), [0]);
    let value = |key| merged.find(key).map(|entry| entry.value.to_string());
    assert_eq!(
        value("listen.0.address").as_deref(),
        Some("\"127.0.0.1:1\"")
    );
    assert_eq!(value("pages.chat").as_deref(), Some("true"));
    // And back again: what is no longer written has its default.
    let back = settings(OLD).with_start_keys_of(&merged);
    assert_eq!(differences(&settings(OLD), &back), []);
}

fn settings(text: &str) -> Settings {
    let mut errors = Vec::new();
    let settings = Settings::read(Some((Path::new("t.toml"), text)), &[], &mut errors);
    assert!(errors.is_empty(), "{errors:?}");
    settings
}
