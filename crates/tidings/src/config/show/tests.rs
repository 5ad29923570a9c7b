//! What `config show` prints.

use std::path::Path;

use expect_test::expect;

use super::super::env::Variable;
use super::*;

#[test]
fn values_have_their_origins_and_secrets_are_hidden() {
    let file =
        "[[listen]]\naddress = \"127.0.0.1:1\"\n[[auth.issuers]]\nissuer = \"a\"\nkey = \"s3\"\n";
    let variable = Variable {
        name: "TIDINGS_LOG__LEVEL".to_owned(),
        value: Some("debug".to_owned()),
    };
    let mut errors = Vec::new();
    let settings = Settings::read(Some((Path::new("t"), file)), &[variable], &mut errors);
    let text = toml(&settings);
    let tables = ["[[listen]]", "[tls]", "[[auth.issuers]]", "[log]"];
    let shown: Vec<&str> = text
        .split("\n\n")
        .filter(|table| tables.iter().any(|header| table.starts_with(header)))
        .collect();
    expect![[r#"
        [[listen]]
        address = "127.0.0.1:1" # file
        tls = false # default
        proxy_protocol = false # default
        # room: none

        [tls]
        # certificate: none
        # key: none

        [[auth.issuers]]
        issuer = "a" # file
        # algorithm: `HS256`; with a key set, whatever its keys are for
        key = "(hidden)" # file
        # key_file: none
        # jwks_url: none
        # jwks_file: none
        # kid: none
        publish = true # default
        subscribe = true # default
        dialects = ["1.0"] # default

        [log]
        level = "debug" # environment
        format = "text" # default
        access = false # default
        # access_file: standard error"#]]
    .assert_eq(&shown.join("\n\n"));
    assert!(text.parse::<toml::Table>().is_ok());
}
