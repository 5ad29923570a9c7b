//! `[auth]`: trusted issuers, their keys, and the accepted audiences of tokens.

use std::time::Duration;

use tidings_auth::key::Algorithm;
use tidings_core::Dialect;

use crate::config::keys::Form::{self, Choice, List, Path, Text, Url};
use crate::config::keys::rule::{flag, list, number, required_by_check, unset};
use crate::config::value::Secret;

table! {
    /// The `[auth]` table.
    pub struct AuthTable = "auth" {
        /// Values of a token's `aud` that this hub accepts. List several if publishers use an
        /// internal URL and browsers a public one.
        audiences: Option<Vec<String>> = unset(List, "`hub.public_url`").live();
        /// Names of cookies that may contain a token, in order of preference.
        cookie_names: Vec<String> = list(&["__Secure-mercure_access_token"]).live();
        /// Seconds between two fetches of a key set, at least 10. A key that its issuer removes
        /// stays valid for at most this time plus 10 seconds, as long as the set can be fetched.
        jwks_refresh as "jwks_refresh_secs": Duration = number(300).secs().at_least(10).live();
        /// Maximum age in seconds of a cached key set that the hub uses at startup until the issuer
        /// answers. The cache is in `key-sets` in `data.dir`; 0 caches nothing. A key that the
        /// issuer has removed in the meantime stays valid until the issuer answers.
        jwks_cache as "jwks_cache_secs": Duration = number(86_400).secs().start();
    }
}

table! {
    /// One `[[auth.issuers]]` table.
    pub struct IssuerTable = "auth.issuers.N" {
        /// The issuer of tokens signed with this key: the exact value of their `iss`. Write one
        /// `[[auth.issuers]]` table per key; several may share one issuer.
        issuer: Option<String> = required_by_check(Text).live();
        /// The only signature algorithm that this key verifies. The HS algorithms use a shared
        /// secret, the others a public key in PEM. With a key set, only keys for this algorithm are
        /// used.
        algorithm: Option<Algorithm> = unset(Choice(Algorithm::NAMES), ALGORITHM).live();
        /// The shared secret or the public key in PEM. Set exactly one of `key`, `key_file`,
        /// `jwks_url` and `jwks_file`. A secret needs at least 32 bytes for HS256, 48 for HS384 and
        /// 64 for HS512.
        key: Option<Secret> = unset(Form::Secret, "none").live();
        /// File that contains the value of `key`. A single line break at its end is not part of a
        /// secret.
        key_file: Option<String> = unset(Path, "none").live();
        /// Address of the key set that the issuer publishes, with `https://`; `http://` only on
        /// this machine. The hub fetches it at startup, every `auth.jwks_refresh_secs`, and at most
        /// every 5 seconds for tokens with an unknown key. Redirects are refused. While the set
        /// cannot be fetched, the last one stays in force; at startup the cached one is used
        /// (`auth.jwks_cache_secs`).
        jwks_url: Option<String> = unset(Url, "none").live();
        /// File with a key set. The hub reads it again when it changes.
        jwks_file: Option<String> = unset(Path, "none").live();
        /// Name of the key. A token with the same `kid` is tried with this key first.
        kid: Option<String> = unset(Text, "none").live();
        /// Whether tokens for publishing may be signed with this key.
        publish: bool = flag(true).live();
        /// Whether tokens for subscribing may be signed with this key.
        subscribe: bool = flag(true).live();
        /// Dialects whose tokens may be signed with this key: `1.0`, `0.x`, `2019`. Tokens before
        /// 1.0 name neither an issuer nor an audience: if only those are listed, `issuer` may be
        /// omitted, and a secret may be shorter than its algorithm requires (the hub logs a
        /// warning).
        dialects: Vec<Dialect> = list(&["1.0"]).live();
    }
}

/// Default algorithm of a key.
const ALGORITHM: &str = "`HS256`; with a key set, whatever its keys are for";
