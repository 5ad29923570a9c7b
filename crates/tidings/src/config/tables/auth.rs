//! `[auth]`: who may issue tokens, and for whom they must be meant.

use std::time::Duration;

use tidings_auth::key::Algorithm;

use crate::config::keys::Form::{self, Choice, List, Path, Text, Url};
use crate::config::keys::rule::{flag, list, number, required_by_check, unset};
use crate::config::value::Secret;

table! {
    /// The `[auth]` table.
    pub struct AuthTable = "auth" {
        /// Values of a token's `aud` that mean this hub. Write several when publishers use an
        /// internal URL and browsers a public one.
        audiences: Option<Vec<String>> = unset(List, "`hub.public_url`").live();
        /// Cookies that may carry a token, in the order of preference.
        cookie_names: Vec<String> = list(&["__Secure-mercure_access_token"]).live();
        /// Seconds between two fetches of a key set, at least 10. A key that its issuer removed
        /// counts no longer than this and 10 seconds, as long as the set can be fetched.
        jwks_refresh as "jwks_refresh_secs": Duration = number(300).secs().at_least(10).live();
        /// Seconds for which a key set that was fetched counts at a start while its issuer does not
        /// answer. It is kept in `key-sets` in `data.dir`; 0 keeps none. A key that the issuer
        /// removed meanwhile counts until it answers.
        jwks_keep as "jwks_keep_secs": Duration = number(86_400).secs().live();
    }
}

table! {
    /// One `[[auth.issuers]]` table.
    pub struct IssuerTable = "auth.issuers.N" {
        /// Who issues tokens with this key: the exact value of their `iss`. Write one
        /// `[[auth.issuers]]` table per key; several may share one issuer.
        issuer: Option<String> = required_by_check(Text).live();
        /// The one signature algorithm that this key verifies. The HS algorithms take a shared
        /// secret, the others a public key in PEM. Of a key set, only keys for this algorithm
        /// count.
        algorithm: Option<Algorithm> = unset(Choice(Algorithm::NAMES), ALGORITHM).live();
        /// The shared secret or the public key in PEM. Write one of this, `key_file`, `jwks_url`
        /// and `jwks_file`. A secret has at least 32 bytes for HS256, 48 for HS384 and 64 for
        /// HS512.
        key: Option<Secret> = unset(Form::Secret, "none").live();
        /// File with what `key` would hold. One line break at its end is not part of a secret.
        key_file: Option<String> = unset(Path, "none").live();
        /// Address of the key set that the issuer publishes, with `https://`; `http://` only on
        /// this machine. It is fetched when the hub starts, every `auth.jwks_refresh_secs`, and for
        /// a token with an unknown key at most every 5 seconds. Redirects are refused. While the
        /// set cannot be had, the last one counts, at a start that of `auth.jwks_keep_secs`.
        jwks_url: Option<String> = unset(Url, "none").live();
        /// File with a key set. It is read again when it changes.
        jwks_file: Option<String> = unset(Path, "none").live();
        /// Name of the key. A token whose `kid` is the same is tried with this key first.
        kid: Option<String> = unset(Text, "none").live();
        /// Whether tokens for publishing may be signed with this key.
        publish: bool = flag(true).live();
        /// Whether tokens for subscribing may be signed with this key.
        subscribe: bool = flag(true).live();
        /// Dialects whose tokens may be signed with this key: `1.0`, `0.x`, `2019`. Tokens before
        /// 1.0 name neither an issuer nor an audience: with those alone, `issuer` may be left out,
        /// and a secret may be shorter than its algorithm asks for, which the log warns of.
        dialects: Vec<String> = list(&["1.0"]).live();
    }
}

/// What a key is for if nothing says it.
const ALGORITHM: &str = "`HS256`; with a key set, whatever its keys are for";
