//! Layers of values, forms, and what unknown names are told.

use expect_test::{Expect, expect};

use super::*;

#[test]
fn the_environment_counts_before_the_file_and_the_file_before_defaults() {
    let variables = [
        ("TIDINGS_LOG__LEVEL", "debug"),
        ("TIDINGS_LISTEN__0__TLS", "true"),
    ];
    let settings = read(
        "[log]\nlevel = \"warn\"\nformat = \"json\"\n[[listen]]\n",
        &variables,
    );
    let shown = |path| {
        let entry = settings.find(path).unwrap();
        format!("{} from {}", entry.value, entry.origin)
    };
    assert_eq!(shown("log.level"), "\"debug\" from environment");
    assert_eq!(shown("log.format"), "\"json\" from file");
    assert_eq!(shown("pages.chat"), "false from default");
    assert_eq!(shown("listen.0.tls"), "true from environment");
}

#[test]
fn every_key_can_be_set_by_a_variable() {
    for key in keys::all() {
        let value = match key.form {
            Form::Flag => "true",
            Form::Number => "7",
            Form::List => "a, b,,",
            Form::Choice(words) => words[0],
            Form::Text | Form::Secret | Form::Path | Form::Address | Form::Url => "text",
        };
        let name = key.variable().replace("__N__", "__0__");
        let settings = read("", &[(&name, value)]);
        let entry = settings.find(&key.path.replace(".N.", ".0.")).unwrap();
        assert_eq!(entry.origin, Origin::Environment, "{name}");
    }
}

#[test]
fn lists_in_the_environment_are_separated_by_commas() {
    let settings = read("", &[("TIDINGS_HUB__HOSTS", " a.example , b.example,")]);
    let value = settings.find("hub.hosts").unwrap().value.to_string();
    assert_eq!(value, r#"["a.example", "b.example"]"#);
}

#[test]
fn an_unknown_key_is_told_the_nearest() {
    check(
        "[history]\nretain_byte = 1\n[limit]\nhead_timeout_secs = 1\n[[auth.issuers]]\niss = \"x\"\n",
        &[],
        expect![[r#"
            auth.issuers.0.iss: unknown key; the nearest one is auth.issuers.0.issuer
            history.retain_byte: unknown key; the nearest one is history.retain_bytes
            limit.head_timeout_secs: unknown key; the nearest one is limits.head_timeout_secs
        "#]],
    );
}

#[test]
fn an_unknown_variable_is_told_the_nearest() {
    check(
        "",
        &[
            ("TIDINGS_LOG_LEVEL", "info"),
            ("TIDINGS_LISTEN__3__ADRESS", "x"),
            ("TIDINGS_X", ""),
        ],
        expect![[r#"
            TIDINGS_LOG_LEVEL: no key has this variable; the nearest one is TIDINGS_LOG__LEVEL
            TIDINGS_LISTEN__3__ADRESS: no key has this variable; the nearest one is TIDINGS_LISTEN__3__ADDRESS
            TIDINGS_X: no key has this variable; the nearest one is TIDINGS_TLS__KEY
        "#]],
    );
}

#[test]
fn wrong_forms_are_told_what_to_write() {
    check(
        "listen = \"0.0.0.0:80\"\nlog = 1\n[hub]\nhosts = \"a\"\n[server]\nshards = -1\n\
         [history]\nkind = \"disk\"\n[pages]\nchat = \"yes\"\n",
        &[("TIDINGS_PUBLISH__BODY_BYTES_MAX", "1MB")],
        expect![[r#"
            history.kind: write one of file, memory, none
            hub.hosts: write a list of texts
            listen: write its entries as [[listen]] tables, in double brackets
            log: write its keys in one table [log]
            pages.chat: write true or false
            server.shards: write a whole number, not negative
            TIDINGS_PUBLISH__BODY_BYTES_MAX: write a whole number, not negative
        "#]],
    );
}

#[test]
fn entries_are_numbered_without_gaps() {
    check(
        "",
        &[
            ("TIDINGS_LISTEN__0__TLS", "true"),
            ("TIDINGS_LISTEN__2__TLS", "true"),
        ],
        expect![[r#"
            listen.2: there is no listen.1; number the entries from 0 without gaps
        "#]],
    );
}

#[test]
fn a_file_that_is_not_toml_is_told_where() {
    let mut errors = Vec::new();
    Settings::read(Some((Path::new("t.toml"), "[log\n")), &[], &mut errors);
    let text = errors[0].to_string();
    assert!(text.starts_with("t.toml: line 1, column "), "{text}");
}

#[track_caller]
fn check(file: &str, variables: &[(&str, &str)], expected: Expect) {
    let mut errors = Vec::new();
    Settings::read(
        Some((Path::new("t.toml"), file)),
        &given(variables),
        &mut errors,
    );
    expected.assert_eq(
        &errors
            .iter()
            .map(|error| format!("{error}\n"))
            .collect::<String>(),
    );
}

#[track_caller]
fn read(file: &str, variables: &[(&str, &str)]) -> Settings {
    let mut errors = Vec::new();
    let settings = Settings::read(
        Some((Path::new("t.toml"), file)),
        &given(variables),
        &mut errors,
    );
    assert!(errors.is_empty(), "{errors:?}");
    settings
}

fn given(variables: &[(&str, &str)]) -> Vec<Variable> {
    let variable = |(name, value): &(&str, &str)| Variable {
        name: (*name).to_owned(),
        value: Some((*value).to_owned()),
    };
    variables.iter().map(variable).collect()
}
