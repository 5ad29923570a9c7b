//! Keys in the forms that issuers, editors and deployments produce, and clocks that differ.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use serde_json::json;
use tempfile::TempDir;
use tidings_auth::issue::SignKey;
use tidings_auth::key::Algorithm;

use crate::harness::dialects::publish_at;
use crate::harness::tokens::{HUB, ISSUER, SECRET, claims, now_secs, sign, token, with};
use crate::harness::{TestHub, run};

/// What PowerShell and some editors write at the head of a file.
const MARK: &str = "\u{feff}";

#[test]
fn a_public_key_is_accepted_in_every_shape_that_tools_write() {
    let (rsa, ed) = (pair(&rcgen::PKCS_RSA_SHA256), pair(&rcgen::PKCS_ED25519));
    let certificate = |pair: &KeyPair| {
        let parameters = CertificateParams::new(vec!["id.example".to_owned()]).unwrap();
        parameters.self_signed(pair).unwrap().pem()
    };
    let pkcs1 = pem("RSA PUBLIC KEY", rsa.der_bytes());
    for (pair, algorithm, text) in [
        (&rsa, "RS256", rsa.public_key_pem()),
        (&rsa, "PS256", pkcs1),
        (&rsa, "RS256", certificate(&rsa)),
        (&ed, "EdDSA", ed.public_key_pem()),
        (&ed, "Ed25519", certificate(&ed)),
    ] {
        // In a file with a byte order mark, and on one line as environment variables have it.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        fs::write(&file, format!("{MARK}{text}")).unwrap();
        let one_line = text.trim_end().replace('\n', "\\n");
        for (settings, environment) in [
            (format!("key_file = {file:?}"), vec![]),
            (
                String::new(),
                vec![("TIDINGS_AUTH__ISSUERS__0__KEY", one_line.as_str())],
            ),
        ] {
            let toml = hub_with(&format!("algorithm = \"{algorithm}\"\n{settings}"));
            let hub = serve(&toml, &environment);
            // Ed25519 has two names: RFC 9864 gave it the second one.
            let names = match algorithm {
                "EdDSA" | "Ed25519" => &["EdDSA", "Ed25519"][..],
                _ => &[algorithm],
            };
            for name in names {
                let token = signed(pair, name);
                assert_eq!(publish(&hub, &token), 200, "{name}\n{text}");
            }
        }
    }
}

#[test]
fn a_key_set_may_have_padding_a_mark_and_the_newer_name_of_ed25519() {
    let (rsa, ed) = (pair(&rcgen::PKCS_RSA_SHA256), pair(&rcgen::PKCS_ED25519));
    // An RSAPublicKey: a sequence of the modulus and the exponent, whose lengths are known for 2048 bits.
    let (modulus, exponent) = (&rsa.der_bytes()[9..9 + 256], [1, 0, 1]);
    let set = json!({"keys": [
        {"kty": "RSA", "kid": "r", "n": URL_SAFE.encode(modulus), "e": URL_SAFE.encode(exponent)},
        {"kty": "OKP", "crv": "Ed25519", "kid": "e", "alg": "Ed25519",
         "x": URL_SAFE.encode(ed.der_bytes())},
    ]});
    assert!(set.to_string().contains('='));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    fs::write(&file, format!("{MARK}{set}")).unwrap();
    let hub = serve(&hub_with(&format!("jwks_file = {file:?}")), &[]);
    for (pair, name) in [
        (&rsa, "RS256"),
        (&rsa, "PS512"),
        (&ed, "EdDSA"),
        (&ed, "Ed25519"),
    ] {
        assert_eq!(publish(&hub, &signed(pair, name)), 200, "{name}");
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_any_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    // A secret with three bytes more would verify no token.
    fs::write(path("secret"), format!("{MARK}{SECRET}\n")).unwrap();
    let hub = serve(&hub_with(&format!("key_file = {:?}", path("secret"))), &[]);
    assert_eq!(publish(&hub, &token(&claims())), 200);
    // The configuration, the certificate and its key.
    let pair = KeyPair::generate().unwrap();
    let parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = parameters.self_signed(&pair).unwrap().pem();
    fs::write(path("crt"), format!("{MARK}{certificate}")).unwrap();
    fs::write(path("key"), format!("{MARK}{}", pair.serialize_pem())).unwrap();
    let toml = format!(
        "{MARK}{}[[listen]]\naddress = \"127.0.0.1:4400\"\ntls = true\n[tls]\ncertificate = {:?}\nkey = \
         {:?}\n",
        hub_with(&format!("key = \"{SECRET}\"")),
        path("crt"),
        path("key")
    );
    let (code, _, error) = check(&folder, &toml);
    assert_eq!(code, 0, "{error}");
    // A Caddyfile.
    let caddyfile =
        format!("{MARK}:80 {{\nmercure {{\npublisher_jwt {SECRET}\nanonymous\n}}\n}}\n");
    fs::write(path("Caddyfile"), caddyfile).unwrap();
    let import = ["config", "import", &path("Caddyfile"), "--output", "-"];
    let (code, toml, error) = run(&import, &[]);
    assert_eq!(code, 0, "{error}");
    assert!(toml.contains("address = \"[::]:80\""), "{toml}");
}

#[test]
fn keys_that_documentations_show_are_refused() {
    for key in [
        "!ChangeThisMercureHubJWTSecretKey!",
        "!ChangeMe!",
        "!UnsecureChangeMe!",
    ] {
        for dialects in ["[\"1.0\"]", "[\"0.x\"]", "[\"0.x\", \"2019\"]"] {
            let old = dialects.contains("0.x");
            let toml = format!(
                "[[listen]]\naddress = \"127.0.0.1:4400\"\n{}dialects = {dialects}\n[dialects]\nv0 = {old}\n\
                 v2019 = {}\n",
                hub_with(&format!("key = \"{key}\"")),
                dialects.contains("2019"),
            );
            let (code, _, error) = check(&tempfile::tempdir().unwrap(), &toml);
            assert_eq!(code, 2, "{toml}");
            assert!(error.contains("a publicly known example key"), "{error}");
        }
        let environment = [("MERCURE_PUBLISHER_JWT_KEY", key), ("SERVER_NAME", ":80")];
        assert_eq!(run(&["config", "check"], &environment).0, 2);
    }
}

#[test]
fn clocks_may_differ_a_little_at_the_beginning_of_a_token_but_not_at_its_end() {
    let old = "dialects = [\"1.0\", \"0.x\", \"2019\"]\n[dialects]\nv0 = true\nv2019 = true";
    let hub = serve(&hub_with(&format!("key = \"{SECRET}\"\n{old}")), &[]);
    for (name, ahead, status) in [
        ("nbf", 2, 200),
        ("nbf", 20, 200),
        ("nbf", 600, 401),
        ("iat", 2, 200),
        ("iat", 600, 200),
    ] {
        let later = now_secs() + ahead;
        assert_eq!(
            publish(&hub, &token(&with(name, later))),
            status,
            "{name} {ahead}"
        );
        // The same for tokens of before 1.0; those of 2019 are asked for `iat` too.
        let claims = json!({"mercure": {"publish": ["*"]}, name: later});
        let token = sign(SECRET, &json!({"alg": "HS256"}), &claims);
        assert_eq!(publish(&hub, &token), status, "0.x {name} {ahead}");
        let fields = [("topic", "https://example.com/a"), ("data", "1")];
        let answer = publish_at(&hub, "/hub", &token, &fields);
        let at_2019 = if ahead == 600 { 401 } else { 200 };
        assert_eq!(answer.status, at_2019, "2019 {name} {ahead}");
    }
    for ended in [0, 1, 20] {
        let token = token(&with("exp", now_secs() - ended));
        assert_eq!(publish(&hub, &token), 401, "exp {ended}");
    }
}

/// Returns a configuration with one issuer that has these further lines.
fn hub_with(issuer: &str) -> String {
    format!("[hub]\npublic_url = \"{HUB}\"\n[[auth.issuers]]\nissuer = \"{ISSUER}\"\n{issuer}\n")
}

fn serve(toml: &str, environment: &[(&str, &str)]) -> TestHub {
    TestHub::serve_in(Arc::new(tempfile::tempdir().unwrap()), toml, environment)
}

fn check(folder: &TempDir, toml: &str) -> (i32, String, String) {
    let path = folder.path().join("tidings.toml");
    fs::write(&path, toml).unwrap();
    run(&["config", "check", "--config", text(&path)], &[])
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn publish(hub: &TestHub, token: &str) -> u16 {
    hub.publish_as(token, &[("topic", "https://example.com/a"), ("data", "1")])
        .status
}

fn pair(algorithm: &'static rcgen::SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(algorithm).unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    )
}

/// Signs the usual claims; the header names the algorithm as it is written here.
fn signed(pair: &KeyPair, name: &str) -> String {
    let algorithm = Algorithm::from_name(name).unwrap();
    let key = SignKey::parse(algorithm, &pair.serialize_pem()).unwrap();
    let header = json!({"alg": name, "typ": "at+jwt"});
    key.sign_text(&header.to_string(), &claims().to_string())
        .unwrap()
}
