//! The file is one that a hub starts with, and what it shows as a default is one.

use std::path::Path;

use super::super::settings::Settings;
use super::*;
use crate::config::{keys, of_text};

#[test]
fn what_was_chosen_is_set_and_nothing_else() {
    for extent in [Extent::Usual, Extent::Full] {
        let text = toml(&chosen(), extent);
        let config = of_text("starter", &text).unwrap();
        assert_eq!(config.hub.as_str(), URL);
        assert_eq!(config.listens.len(), 1);
        assert!(config.zeromq.is_none());
        let set = text
            .lines()
            .filter(|line| line.contains(" = ") && !line.starts_with('#'));
        assert_eq!(set.count(), chosen().len(), "{text}");
    }
}

#[test]
fn every_line_that_shows_a_default_can_be_uncommented() {
    let text = toml(&chosen(), Extent::Full);
    let shown = |line: &str| {
        let (name, _) = line.split_once(" = ")?;
        let name = name.strip_prefix("# ")?;
        keys::all()
            .any(|key| key.name() == name)
            .then(|| line.to_owned())
    };
    // Of arrays only the entry that is set can be tried without the rest of it.
    let mut table = "";
    let mut tried = 0;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start_matches("# ").starts_with('[') {
            table = line;
        }
        if shown(line).is_none() || table.starts_with('#') {
            continue;
        }
        tried += 1;
        let changed = text
            .lines()
            .enumerate()
            .map(|(index, line)| match index == at {
                true => line.strip_prefix("# ").unwrap(),
                false => line,
            });
        let changed: Vec<&str> = changed.collect();
        let mut errors = Vec::new();
        Settings::read(
            Some((Path::new("t"), &changed.join("\n"))),
            &[],
            &mut errors,
        );
        assert!(errors.is_empty(), "{line}: {errors:?}");
    }
    assert!(tried > 50, "{tried}");
}

#[test]
fn the_usual_file_is_short_and_the_full_one_has_every_key() {
    assert!(toml(&chosen(), Extent::Usual).lines().count() < 170);
    let full = toml(&chosen(), Extent::Full);
    for key in keys::all() {
        assert!(full.contains(&format!("{} = ", key.name())), "{}", key.path);
    }
    assert!(full.lines().all(|line| line.len() < 200));
}

const URL: &str = "https://example.com/.well-known/mercure";

fn chosen() -> Vec<(&'static str, Value)> {
    vec![
        ("listen.0.address", "127.0.0.1:4400".into()),
        ("hub.public_url", URL.into()),
        ("auth.issuers.0.issuer", "https://example.com".into()),
        (
            "auth.issuers.0.key",
            "0123456789abcdef0123456789abcdef".into(),
        ),
    ]
}
