//! Tokens for the fuzz targets, with any content, and signed with a key that verifies them.

use std::sync::LazyLock;

use tidings_auth::issue::SignKey;
use tidings_auth::key::{Algorithm, VerifyKey};
use tidings_auth::{Authority, Door, Issuer, Options, Role};
use tidings_core::{Dialect, HubUrl};

/// The time at which tokens are checked, in seconds since 1970.
pub const NOW: u64 = 1_800_000_000;

/// A token header that is accepted.
pub const HEADER: &str = r#"{"alg":"HS256","typ":"at+jwt"}"#;

/// Returns a token with this header and these claims.
pub fn sign(header: &str, claims: &str) -> String {
    let key = SignKey::parse(Algorithm::Hs256, KEY).expect("a key");
    key.sign_text(header, claims).expect("a signature")
}

/// Verifies any text as a subscriber's token, and returns the error if it is refused.
pub fn verify(token: &str) -> Result<(), String> {
    static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| authority(&[Dialect::V1]));
    let verified = AUTHORITY.verify(token, Role::Subscribe, NOW);
    verified.map(drop).map_err(|error| error.to_string())
}

/// Verifies a token before 1.0 at both endpoints, that of 0.x and that of 2019: `Ok` if one of them
/// accepts it, and whether it grants anything there.
pub fn verify_old(token: &str) -> Result<bool, String> {
    static AUTHORITY: LazyLock<Authority> =
        LazyLock::new(|| authority(&[Dialect::V0, Dialect::V2019]));
    let at = |door| AUTHORITY.verify_at(token, door, Role::Subscribe, NOW);
    let (hub, hub_2019) = (at(Door::Hub), at(Door::Hub2019));
    let either = hub.or_else(|error| hub_2019.map_err(|_other| error));
    let identity = either.map_err(|error| error.to_string())?;
    let grants = &identity.grants;
    let has_matchers = !(grants.publish().is_empty() && grants.subscribe().is_empty());
    Ok(has_matchers || grants.targets() > 0 || grants.reads_all_targets())
}

fn authority(dialects: &[Dialect]) -> Authority {
    let key = VerifyKey::parse(Algorithm::Hs256, KEY).expect("a key");
    let options = Options {
        issuers: vec![Issuer {
            issuer: "lab".into(),
            keys: key.into(),
            kid: None,
            publish: true,
            subscribe: true,
            dialects: dialects.to_vec(),
        }],
        audiences: vec![HUB.to_owned()],
        cookie_names: Vec::new(),
        old_dialects: dialects
            .iter()
            .copied()
            .filter(|dialect| *dialect != Dialect::V1)
            .collect(),
    };
    let hub = HubUrl::parse(HUB).expect("a URL");
    Authority::new(options, hub).expect("an authority")
}

const HUB: &str = "https://hub.example/.well-known/mercure";
const KEY: &str = "a key of the lab, long enough for HS256";
