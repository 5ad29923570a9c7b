//! The environment of the other hub since 0.11: `MERCURE_…` and, together with those, `SERVER_NAME`.

use super::caddyfile::{self, Lookup};
use super::{DEFAULT_ISSUER, Environment, TokenKey, Translation, directives, site};

/// The hub's path on a site.
pub const PATH: &str = "/.well-known/mercure";

/// Returns whether the environment is one of this kind. `SERVER_NAME` alone may belong to any program.
pub fn applies(environment: &Environment<'_>) -> bool {
    let decisive = [PUBLISHER_KEY, SUBSCRIBER_KEY, EXTRA_DIRECTIVES];
    decisive.iter().any(|name| environment.find(name).is_some())
}

/// Reads the environment.
pub fn read(environment: &Environment<'_>) -> Translation {
    let mut into = Translation::default();
    let (name, sites) = match environment.find(SERVER_NAME) {
        Some(sites) => (SERVER_NAME, sites),
        None => (UNSET_SERVER_NAME, "localhost"),
    };
    site::translate(sites, PATH, site::Tls::ByAddress, name, &mut into);
    read_keys(environment, &mut into);
    if let Some(url) = environment.find(TRANSPORT_URL) {
        directives::transport_url(url, TRANSPORT_URL, &mut into);
    }
    if let Some(text) = environment.find(EXTRA_DIRECTIVES) {
        read_directives(environment, text, &mut into);
    }
    for (name, why) in WITHOUT_COUNTERPART {
        if environment.find(name).is_some() {
            into.leave(name, why);
        }
    }
    let known =
        |name: &str| READ.contains(&name) || WITHOUT_COUNTERPART.iter().any(|(n, _)| *n == name);
    let ours = environment.beginning("MERCURE_");
    for name in ours.filter(|name| !known(name) && !environment.is_of_service(name)) {
        let why = "not a setting of the hub; applications have settings with such names";
        into.leave(name, why);
    }
    into
}

fn read_keys(environment: &Environment<'_>, into: &mut Translation) {
    let issuer = environment.find(TRUSTED_ISSUERS).unwrap_or(DEFAULT_ISSUER);
    // Only hubs of 1.0 know trusted issuers, and they accept older tokens only if configured to.
    let told = environment
        .find(EXTRA_DIRECTIVES)
        .is_some_and(|text| text.contains("protocol_version_compatibility"));
    let modern = environment.find(TRUSTED_ISSUERS).is_some() && !told;
    let old_dialects: &'static [&'static str] = if modern { &[] } else { &["0.x"] };
    let roles = [
        (PUBLISHER_KEY, "MERCURE_PUBLISHER_JWT_ALG", true),
        (SUBSCRIBER_KEY, "MERCURE_SUBSCRIBER_JWT_ALG", false),
    ];
    for (name, algorithm, publish) in roles {
        let Some(text) = environment.find(name) else {
            continue;
        };
        let key = TokenKey {
            issuer,
            field: "key",
            text,
            algorithm: environment.find(algorithm),
            publish,
            subscribe: !publish,
            old_dialects,
        };
        into.set_role_key(&key, name);
    }
}

fn read_directives(environment: &Environment<'_>, text: &str, into: &mut Translation) {
    let lookup: Lookup<'_> = &|name| environment.look_up(name);
    let context = |_: &caddyfile::Line| EXTRA_DIRECTIVES.to_owned();
    match caddyfile::parse(text, lookup) {
        Ok(lines) => directives::translate(&lines, lookup, &context, into),
        Err(error) => into.refuse(EXTRA_DIRECTIVES, format!("one directive a line: {error}")),
    }
}

const SERVER_NAME: &str = "SERVER_NAME";
/// The name of the origin for the default of `SERVER_NAME`.
const UNSET_SERVER_NAME: &str = "SERVER_NAME, not set";
const PUBLISHER_KEY: &str = "MERCURE_PUBLISHER_JWT_KEY";
const SUBSCRIBER_KEY: &str = "MERCURE_SUBSCRIBER_JWT_KEY";
const TRUSTED_ISSUERS: &str = "MERCURE_TRUSTED_ISSUERS";
const TRANSPORT_URL: &str = "MERCURE_TRANSPORT_URL";
const EXTRA_DIRECTIVES: &str = "MERCURE_EXTRA_DIRECTIVES";

/// The variables that are read.
const READ: [&str; 7] = [
    PUBLISHER_KEY,
    "MERCURE_PUBLISHER_JWT_ALG",
    SUBSCRIBER_KEY,
    "MERCURE_SUBSCRIBER_JWT_ALG",
    TRUSTED_ISSUERS,
    TRANSPORT_URL,
    EXTRA_DIRECTIVES,
];

const WITHOUT_COUNTERPART: [(&str, &str); 4] = [
    ("MERCURE_LICENSE", "Tidings needs no licence"),
    ("GLOBAL_OPTIONS", CADDY),
    ("CADDY_EXTRA_CONFIG", CADDY),
    ("CADDY_SERVER_EXTRA_DIRECTIVES", CADDY),
];

const CADDY: &str = "it configures Caddy; keep Caddy in front of the hub if you need it";
