//! Why a token is refused: one variant per rule.
//!
//! The texts are for the people who run the hub (`tidings dev`, `token inspect`, the log). They say
//! what was found in the token's public parts, never the token, its signature or a key.

use std::sync::Arc;

use tidings_core::{Dialect, GrantsError};

use super::Role;
use super::details::DetailError;

/// The rule that a token breaks. Each is answered with 401 and `invalid_token`.
///
/// Mercure, "Token Validation" and "Authorization Details"; RFC 9068, 4.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The text is too long.
    #[error("the token has {bytes} bytes; the hub reads at most {max}")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Not a JWS in compact serialization. RFC 7515, 7.1.
    #[error("a token has three parts separated by dots; this one has {count}")]
    NotThreeParts {
        /// The number of parts.
        count: usize,
    },
    /// A part is not base64url without padding. RFC 7515, 2.
    #[error("the token's {part} is not base64url without padding")]
    Base64 {
        /// Which part.
        part: Part,
    },
    /// A part is not strict JSON.
    #[error("the token's {part} is not valid JSON: {source}")]
    Json {
        /// Which part.
        part: Part,
        /// Where and why. Contains no text of the token except single unexpected characters.
        source: serde_json::Error,
    },
    /// A part is JSON, but not an object.
    #[error("the token's {part} is not a JSON object")]
    NotObject {
        /// Which part.
        part: Part,
    },
    /// The header has no `typ`. RFC 9068, 2.1.
    #[error("the header has no typ; it must be at+jwt")]
    TypMissing,
    /// The token was made for another purpose. RFC 9068, 4; RFC 8725, 3.11.
    #[error("typ is {found:?}, not at+jwt")]
    Typ {
        /// The `typ`.
        found: Box<str>,
    },
    /// The header asks for extensions, and the hub understands none. RFC 7515, 4.1.11.
    #[error("the header has crit, but the hub supports no extensions")]
    Crit,
    /// The header has no `alg`.
    #[error("the header has no alg")]
    AlgMissing,
    /// The token is not signed.
    #[error("alg is none: the token is not signed")]
    AlgNone,
    /// No key of the issuer is bound to the algorithm. RFC 8725, 3.1.
    #[error("alg {found:?} is not accepted from this issuer; its keys are for {accepted}")]
    AlgNotAllowed {
        /// The `alg`.
        found: Box<str>,
        /// The algorithms of the issuer's keys, joined by commas.
        accepted: Box<str>,
    },
    /// The claims have no `iss`.
    #[error("the token has no iss")]
    IssMissing,
    /// The issuer is not trusted.
    #[error("iss is {found:?}, which is not a trusted issuer")]
    IssUnknown {
        /// The `iss`.
        found: Box<str>,
    },
    /// The issuer is trusted, but not for this.
    #[error("no key of the issuer is for tokens that {role}")]
    NoKeyForRole {
        /// What the token was presented for.
        role: Role,
    },
    /// No key of the issuer made the signature.
    #[error("the signature was not made with a key that the hub has for this issuer and algorithm")]
    Signature,
    /// No key made the signature of a token that names no issuer.
    #[error("the signature was not made with a key that the hub has for such tokens")]
    OldSignature,
    /// The token's dialect is not switched on.
    #[error(
        "this is a token of Mercure {dialect} (claim mercure), which this hub does not serve; \
         {} = true switches it on", key_of(*dialect)
    )]
    DialectOff {
        /// Its dialect.
        dialect: Dialect,
    },
    /// No key verifies tokens of this dialect.
    #[error("no key is for tokens of Mercure {dialect} that {role} (auth.issuers.N.dialects)")]
    NoOldKey {
        /// Its dialect.
        dialect: Dialect,
        /// What the token was presented for.
        role: Role,
    },
    /// A token of 1.0 at the path of 2019.
    #[error("only tokens of Mercure 2019 (claim mercure) are accepted at this path")]
    NotOf2019,
    /// The issuer's key set has no key that could have made the signature.
    #[error("the issuer's key set has no key {}; it is fetched again for such a key at most every few \
             seconds", kid.as_deref().map_or_else(|| "that made the signature".to_owned(), |kid| format!("{kid:?}")))]
    KeyUnknown {
        /// The name of the token's key, if it has one.
        kid: Option<Box<str>>,
    },
    /// A claim has the wrong JSON type. RFC 7519, 4.1.
    #[error("{claim} is not {expected}")]
    ClaimType {
        /// The claim.
        claim: &'static str,
        /// The expected type.
        expected: &'static str,
    },
    /// The token has no expiry.
    #[error("the token has no exp")]
    ExpMissing,
    /// The token has expired.
    #[error("the token expired at {exp}, {} s ago (Unix time)", now.saturating_sub(*exp))]
    Expired {
        /// The `exp`, in whole seconds.
        exp: u64,
        /// The hub's time, in seconds.
        now: u64,
    },
    /// The token is not valid yet.
    #[error("the token is valid from {nbf}, in {} s (Unix time)", nbf.saturating_sub(*now))]
    NotYet {
        /// The `nbf`, in whole seconds, rounded up.
        nbf: u64,
        /// The hub's time, in seconds.
        now: u64,
    },
    /// The token names no audience.
    #[error("the token has no aud; it must be {accepted}")]
    AudMissing {
        /// What the hub accepts, joined by commas.
        accepted: Box<str>,
    },
    /// The token has other audiences. RFC 7519, 4.1.3.
    #[error("aud is {found}; the hub is {accepted}")]
    Aud {
        /// The `aud` as JSON.
        found: Box<str>,
        /// What the hub accepts, joined by commas.
        accepted: Box<str>,
    },
    /// The authorization details are not an array. RFC 9396, 2.
    #[error("authorization_details is not an array")]
    DetailsNotArray,
    /// One of the authorization details is not valid, so none of them counts.
    #[error("authorization_details[{index}]: {source}")]
    Detail {
        /// Which one, from 0.
        index: usize,
        /// What is wrong with it.
        source: DetailError,
    },
    /// An operator revoked the token.
    #[error("the token with the jti {id:?} was revoked")]
    Revoked {
        /// Its `jti`.
        id: Arc<str>,
    },
    /// There are more authorization details or matchers than the limits allow.
    #[error(transparent)]
    Grants(#[from] GrantsError),
}

impl TokenError {
    /// Returns whether the text may be shown to the peer that presented the token: it reveals only the token's
    /// shape and the hub's switches.
    pub fn is_plain(&self) -> bool {
        matches!(
            self,
            Self::DialectOff { .. } | Self::NotOf2019 | Self::TooLong { .. }
        )
    }
}

/// Returns the setting that switches a dialect on.
pub fn key_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::V2019 => "dialects.v2019",
        Dialect::V0 | Dialect::V1 => "dialects.v0",
    }
}

/// A part of a token in compact serialization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The first part.
    Header,
    /// The second part.
    Claims,
    /// The third part.
    Signature,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Claims => "claims set",
            Self::Signature => "signature",
        })
    }
}
