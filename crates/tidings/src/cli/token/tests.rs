//! Tokens that are made are accepted by a hub with the same settings.

use std::sync::Arc;

use clap::Parser;
use tidings_auth::key::VerifyKey;
use tidings_auth::{Authority, Identity, Issuer, Options, Parts, Role, TokenError};
use tidings_core::HubUrl;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const HUB: &str = "https://hub.example.com/.well-known/mercure";

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    make: Make,
}

#[test]
fn a_token_says_what_was_asked_for() {
    let token = made(&[
        "--publish=*",
        "--subscribe=a",
        "--subscribe-urlpattern=/books/:id",
        "--payload={\"name\":\"x\"}",
        "--subject=me",
        "--kid=k1",
        "--ttl=15m",
    ])
    .unwrap();
    let identity = accepted(&token, Role::Publish).unwrap();
    assert_eq!(
        (
            identity.grants.publish().len(),
            identity.grants.subscribe().len()
        ),
        (1, 2)
    );
    assert_eq!(identity.subject.as_deref(), Some("me"));
    let parts = Parts::parse(&token).unwrap();
    assert_eq!(parts.header.find("kid").unwrap().as_str(), Some("k1"));
    for claim in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        assert!(parts.claims.find(claim).is_some(), "{claim}");
    }
    let seconds = |name: &str| {
        parts
            .claims
            .find(name)
            .unwrap()
            .to_string()
            .parse::<u64>()
            .unwrap()
    };
    assert_eq!(seconds("exp") - seconds("iat"), 900);
}

#[test]
fn what_is_missing_is_said() {
    let text = |given: &[&str]| make(&arguments(given)).unwrap_err().to_string();
    assert!(text(&["--issuer=a", "--key=k"]).contains("allow nothing"));
    assert!(text(&["--publish=*", "--issuer=a", "--key=k"]).contains("--audience"));
    assert!(text(&["--publish=*", "--issuer=a"]).contains("--key"));
    assert!(text(&["--publish=*", "--key=k"]).contains("--issuer"));
    assert!(text(&["--publish=*", "--dev-data=/nowhere"]).contains("tidings dev"));
}

#[test]
fn times_to_live_are_read_with_units() {
    for (text, expected) in [("90s", 90), ("15m", 900), ("1h", 3600), ("2d", 172_800)] {
        assert_eq!(seconds(text).unwrap(), expected);
    }
    // A number alone would be taken for seconds by some and for days by others.
    for text in [
        "",
        "90",
        "h",
        "0h",
        "1w",
        "-1h",
        "1.5h",
        "99999999999999999999d",
    ] {
        assert!(seconds(text).is_err(), "{text}");
    }
}

#[test]
fn a_payload_must_be_an_object() {
    for payload in ["[]", "1", "{"] {
        let given = ["x", "--subscribe=*", "--payload", payload];
        assert!(Arguments::try_parse_from(given).is_err());
    }
}

fn made(given: &[&str]) -> anyhow::Result<String> {
    let audience = format!("--audience={HUB}");
    let key = format!("--key={SECRET}");
    make(&arguments(
        &[given, &["--issuer=https://example.com", &audience, &key]].concat(),
    ))
}

fn arguments(given: &[&str]) -> Make {
    let name = std::iter::once(&"x");
    Arguments::try_parse_from(name.chain(given)).unwrap().make
}

fn accepted(token: &str, role: Role) -> Result<Arc<Identity>, TokenError> {
    let issuer = Issuer {
        issuer: "https://example.com".into(),
        keys: VerifyKey::parse(Algorithm::Hs256, SECRET).unwrap().into(),
        kid: None,
        publish: true,
        subscribe: true,
        dialects: vec![tidings_core::Dialect::V1],
    };
    let options = Options {
        issuers: vec![issuer],
        audiences: vec![HUB.to_owned()],
        cookie_names: Vec::new(),
        old_dialects: Vec::new(),
    };
    let authority = Authority::new(options, HubUrl::parse(HUB).unwrap()).unwrap();
    authority.verify(token, role, unix_secs())
}
