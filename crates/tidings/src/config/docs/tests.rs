//! The manual is complete and its example works.

use std::path::Path;

use super::super::settings::Settings;
use super::*;

#[test]
fn every_key_is_in_the_manual_with_its_variable() {
    let text = manual();
    for key in keys::all() {
        assert!(
            text.contains(&key.variable()) && text.contains(key.text()),
            "{}",
            key.path
        );
        assert!(key.text().ends_with('.'), "{}", key.path);
    }
    assert!(text.contains("## `[[auth.issuers]]`"));
}

#[test]
fn the_example_has_no_unknown_keys() {
    let example = INTRODUCTION
        .split("```toml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let mut errors = Vec::new();
    Settings::read(Some((Path::new("example"), example)), &[], &mut errors);
    assert!(errors.is_empty(), "{errors:?}");
}
