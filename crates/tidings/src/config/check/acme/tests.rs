//! What is refused, in the words an operator reads.

use std::path::Path;

use expect_test::{Expect, expect};

use super::*;
use crate::config::Config;
use crate::config::check;
use crate::config::error::ConfigErrors;
use crate::config::settings::Settings;

const GOOD: &str = r#"
[hub]
public_url = "https://hub.example.com/.well-known/mercure"
[[auth.issuers]]
issuer = "https://example.com"
key = "0123456789abcdef0123456789abcdef"
[[listen]]
address = "127.0.0.1:4443"
tls = true
[[listen]]
address = "127.0.0.1:4480"
[tls.acme]
names = ["hub.example.com"]
"#;

#[test]
fn names_are_enough() {
    let config = read(GOOD).unwrap();
    let Some(Source::Acme(options)) = config.tls else {
        panic!("an authority");
    };
    assert_eq!(options.directory.as_str(), LETS_ENCRYPT);
    let both = [Challenge::TlsAlpn01, Challenge::Http01];
    assert_eq!(options.challenges, both);
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn names_are_as_they_are_in_a_certificate() {
    let written = r#"names = ["Hub.Example.com", "hub.example.com", "bücher.example"]"#;
    let config = read(&GOOD.replace(r#"names = ["hub.example.com"]"#, written)).unwrap();
    let Some(Source::Acme(options)) = config.tls else {
        panic!("an authority");
    };
    assert_eq!(options.names, ["hub.example.com", "xn--bcher-kva.example"]);
    for (name, said) in [
        ("*.example.com", "is a wildcard"),
        ("192.0.2.1", "is an address"),
        ("2001:db8::1", "is an address"),
        ("https://hub.example.com", "is not a name"),
        ("hub.example.com:443", "is not a name"),
        ("hub.example.com.", "ends with a dot"),
        ("hub example.com", "is not a name"),
        ("", "is not a name"),
    ] {
        let text = GOOD.replace("[\"hub.example.com\"]", &format!("[\"{name}\"]"));
        let error = read(&text).unwrap_err().to_string();
        assert!(error.contains(said), "{name:?}: {error}");
    }
}

#[test]
fn without_a_listener_for_plain_http_only_tls_can_prove_a_name() {
    let text = GOOD.replace("[[listen]]\naddress = \"127.0.0.1:4480\"\n", "");
    let Some(Source::Acme(options)) = read(&text).unwrap().tls else {
        panic!("an authority");
    };
    assert_eq!(options.challenges, [Challenge::TlsAlpn01]);
    refused(
        &format!("{text}challenges = [\"http-01\"]\n"),
        expect![[r#"
            tls.acme.challenges: is only http-01, which needs a [[listen]] with tls = false: write one for port 80, or add tls-alpn-01
        "#]],
    );
}

#[test]
fn contradictions_are_named() {
    refused(
        &GOOD.replace(
            "[tls.acme]",
            "[tls]\ncertificate = \"c\"\nkey = \"k\"\n[tls.acme]",
        ),
        expect![[r#"
            tls.acme.names: is set, and so are tls.certificate or tls.key: the certificate comes from files or from an authority, so remove one of the two
        "#]],
    );
    refused(
        &GOOD.replace("tls = true", "tls = false"),
        expect![[r#"
            tls.acme.names: is set, but no [[listen]] has tls = true: write it there, or remove [tls.acme]
        "#]],
    );
    refused(
        &GOOD.replace(
            "names = [\"hub.example.com\"]",
            "contact = [\"ops@example.com\"]",
        ),
        expect![[r#"
            tls.acme.names is missing: write the names that the certificate is for, such as ["hub.example.com"] (or set TIDINGS_TLS__ACME__NAMES)
            listen.0.tls: is true, but there is no certificate: write tls.certificate and tls.key, or tls.acme.names, or tls = false
        "#]],
    );
    refused(
        &format!(
            "{GOOD}contact = [\"ops\"]\ndirectory = \"http://ca.example.com/dir\"\n\
             eab_key_id = \"kid\"\nchallenges = []\n"
        ),
        expect![[r#"
            tls.acme.contact: "ops" is not an e-mail address, such as ops@example.com
            tls.acme.directory: "http://ca.example.com/dir" is not https: write it like "https://acme-v02.api.letsencrypt.org/directory"
            tls.acme.challenges: is empty, so that no name could be checked: write ["tls-alpn-01"], or remove the key
            tls.acme.eab_key is missing: write the key that belongs to tls.acme.eab_key_id (or set TIDINGS_TLS__ACME__EAB_KEY)
        "#]],
    );
    refused(
        &format!(
            "{GOOD}challenges = [\"dns-01\"]\neab_key_id = \"kid\"\neab_key = \"not base64!\"\n"
        ),
        expect![[r#"
            tls.acme.challenges: "dns-01" is not a challenge: write tls-alpn-01 or http-01
            tls.acme.eab_key: write the key in base64url, as the authority shows it
        "#]],
    );
    refused(
        &format!("{GOOD}ca_file = \"/nowhere/ca.pem\"\n"),
        expect![[r#"
            tls.acme.ca_file: /nowhere/ca.pem: I/O error: No such file or directory (os error 2)
        "#]],
    );
}

#[test]
fn a_public_name_that_the_certificate_lacks_is_a_warning() {
    let text = GOOD.replace("[\"hub.example.com\"]", "[\"push.example.com\"]");
    let warnings = read(&text).unwrap().warnings;
    assert!(warnings[0].contains("hub.example.com"), "{warnings:?}");
}

#[test]
fn the_key_of_an_account_is_not_shown() {
    let text = format!("{GOOD}eab_key_id = \"kid\"\neab_key = \"c2VjcmV0LXNlY3JldA\"\n");
    let config = read(&text).unwrap();
    assert!(!format!("{config:?}").contains("115, 101"), "{config:?}");
}

fn read(text: &str) -> Result<Config, ConfigErrors> {
    let mut errors = Vec::new();
    let settings = Settings::read(Some((Path::new("t.toml"), text)), &[], &mut errors);
    assert!(errors.is_empty(), "{errors:?}");
    check::check(&settings)
}

#[track_caller]
fn refused(text: &str, expected: Expect) {
    let errors = read(text).unwrap_err().0;
    let said: String = errors.iter().map(|error| format!("{error}\n")).collect();
    expected.assert_eq(&said);
}
