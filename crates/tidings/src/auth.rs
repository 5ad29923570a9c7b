//! Who may do what: access tokens and the grants in them.
//!
//! Here is the order of the checks, from the token's text to an [`Identity`]; each check lives in a
//! file of its own: [`key`] (signatures), [`json`] (strict reading), [`claims`] (time, audience),
//! [`details`] (grants), [`old`] (all of that for tokens before 1.0, which are told by their shape). [`presented`] finds the token in a request, [`cache`] spares the work for
//! a token seen before, [`issue`] makes tokens for `tidings dev` and `tidings token make`.
//! What a grant allows is decided in `tidings-core`, what a refusal is answered in `http`.
//!
//! Own checks rather than a library's: the signature is the library's part (aws-lc-rs), while JWT
//! libraries ignore `crit`, accept members that occur twice and pool keys of several issuers.
//!
//! Mercure, "Token Validation"; RFC 9068, 4; RFC 8725.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidings_core::{Dialect, Grants, HubUrl};

use json::{Json, Object};
use key::{Algorithm, VerifyKey};

pub use token_error::{Part, TokenError};

pub mod cache;
pub mod claims;
pub mod details;
pub mod issue;
pub mod json;
pub mod key;
pub mod old;
pub mod presented;
pub mod token_error;

/// Who may issue tokens, for whom they must be meant, where they may stand.
#[derive(Debug, Clone)]
pub struct Options {
    /// The trusted keys. Several may be of one issuer.
    pub issuers: Vec<Issuer>,
    /// Values of `aud` that mean this hub.
    pub audiences: Vec<String>,
    /// Cookies that may carry a token, in the order of preference.
    pub cookie_names: Vec<String>,
    /// Dialects before 1.0 whose tokens are accepted.
    pub old_dialects: Vec<Dialect>,
}

/// One key of one issuer.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// The exact `iss` of the tokens; empty for keys of old dialects only.
    pub issuer: Arc<str>,
    /// The key, bound to its algorithm.
    pub key: VerifyKey,
    /// The key's name. A token with this `kid` is tried with this key first.
    pub kid: Option<String>,
    /// Whether the key is for tokens that publish.
    pub publish: bool,
    /// Whether the key is for tokens that subscribe.
    pub subscribe: bool,
    /// Dialects whose tokens the key is for.
    pub dialects: Vec<Dialect>,
}

/// Where a token is presented. What it says there depends on it: the claim `mercure` has topic
/// selectors at one and targets at the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// At the hub's path.
    Hub,
    /// At the path of 2019.
    Hub2019,
}

/// What a token is presented for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// To publish.
    Publish,
    /// To subscribe.
    Subscribe,
}

/// Verifies tokens. Never changes; all shards share one.
#[derive(Debug)]
pub struct Authority {
    options: Options,
    hub: HubUrl,
}

/// What a verified token says.
#[derive(Debug)]
pub struct Identity {
    /// What it allows.
    pub grants: Arc<Grants>,
    /// When it ends, in seconds of Unix time. Every connection must end by then.
    /// [`NEVER`](old::NEVER) for a token of an old dialect without an end.
    pub expires_at: u64,
    /// Which Mercure the token speaks.
    pub dialect: Dialect,
    /// Who issued it; empty for tokens of old dialects.
    pub issuer: Arc<str>,
    /// Whom it is about.
    pub subject: Option<Arc<str>>,
}

/// Why there can be no [`Authority`].
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// No key, so nobody could publish.
    #[error("no issuer with a key is configured")]
    NoIssuer,
    /// No audience, so no token could be meant for the hub. Mercure, "Token Validation".
    #[error("no audience is configured")]
    NoAudience,
}

impl Authority {
    /// Makes an authority. Relative patterns in tokens are resolved against `hub`.
    ///
    /// # Errors
    ///
    /// If there is no key or no audience, so that every token would be refused.
    pub fn new(options: Options, hub: HubUrl) -> Result<Self, AuthorityError> {
        if options.issuers.is_empty() {
            return Err(AuthorityError::NoIssuer);
        }
        let modern = |key: &Issuer| key.dialects.contains(&Dialect::V1);
        if options.audiences.is_empty() && options.issuers.iter().any(modern) {
            return Err(AuthorityError::NoAudience);
        }
        Ok(Self { options, hub })
    }

    /// Checks `token`, presented at the hub's path for `role`, at `now_secs` of Unix time.
    ///
    /// # Errors
    ///
    /// As [`verify_at`](Self::verify_at).
    pub fn verify(
        &self,
        token: &str,
        role: Role,
        now_secs: u64,
    ) -> Result<Arc<Identity>, TokenError> {
        self.verify_at(token, Door::Hub, role, now_secs)
    }

    /// Checks `token`, presented at `door` for `role`, at `now_secs` of Unix time.
    ///
    /// # Errors
    ///
    /// The first rule that the token breaks. The signature is checked before everything in the
    /// claims but `iss` and the shape, so that an unsigned token learns nothing about the hub but
    /// its issuers and dialects.
    pub fn verify_at(
        &self,
        token: &str,
        door: Door,
        role: Role,
        now_secs: u64,
    ) -> Result<Arc<Identity>, TokenError> {
        let parts = Parts::parse(token)?;
        let dialect = match (door, old::is_old(&parts)) {
            (Door::Hub, false) => return self.verify_modern(&parts, role, now_secs),
            (Door::Hub, true) => Dialect::V0,
            (Door::Hub2019, true) => Dialect::V2019,
            (Door::Hub2019, false) => return Err(TokenError::NotOf2019),
        };
        if !self.options.old_dialects.contains(&dialect) {
            return Err(TokenError::DialectOff { dialect });
        }
        self.verify_old(&parts, dialect, role, now_secs)
    }

    fn verify_modern(
        &self,
        parts: &Parts<'_>,
        role: Role,
        now_secs: u64,
    ) -> Result<Arc<Identity>, TokenError> {
        check_typ(&parts.header)?;
        // A header may bring its own key (`jwk`, `jku`, `x5u`, …). Nothing here reads it.
        if parts.header.find("crit").is_some() {
            return Err(TokenError::Crit);
        }
        let issuer = self.check_signature(parts, role)?;
        let expires_at = claims::check_time(&parts.claims, now_secs)?;
        claims::check_audience(&parts.claims, &self.options.audiences)?;
        let grants = details::parse(parts.claims.find("authorization_details"), &self.hub)?;
        Ok(Arc::new(Identity {
            grants: Arc::new(grants),
            expires_at,
            dialect: Dialect::V1,
            issuer,
            subject: claims::subject(&parts.claims)?,
        }))
    }

    /// Returns the issuer, one of whose keys for `role` made the signature.
    fn check_signature(&self, parts: &Parts<'_>, role: Role) -> Result<Arc<str>, TokenError> {
        let alg = parts.alg()?;
        let iss = match parts.claims.find("iss") {
            None => return Err(TokenError::IssMissing),
            Some(Json::String(iss)) => iss,
            Some(_) => {
                return Err(TokenError::ClaimType {
                    claim: "iss",
                    expected: "a string",
                });
            }
        };
        let of_issuer = || {
            self.options
                .issuers
                .iter()
                .filter(|key| key.dialects.contains(&Dialect::V1) && *key.issuer == **iss)
        };
        if of_issuer().next().is_none() {
            return Err(TokenError::IssUnknown {
                found: iss.as_str().into(),
            });
        }
        let for_role: Vec<&Issuer> = of_issuer().filter(|key| key.serves(role)).collect();
        if for_role.is_empty() {
            return Err(TokenError::NoKeyForRole { role });
        }
        let algorithm = Algorithm::from_name(alg);
        let mut keys: Vec<&Issuer> = for_role
            .iter()
            .copied()
            .filter(|key| Some(key.key.algorithm()) == algorithm)
            .collect();
        if keys.is_empty() {
            let mut accepted: Vec<_> = for_role
                .iter()
                .map(|key| key.key.algorithm().name())
                .collect();
            accepted.dedup();
            let accepted = accepted.join(", ").into();
            return Err(TokenError::AlgNotAllowed {
                found: alg.into(),
                accepted,
            });
        }
        // The key's name is a hint only: it changes the order, never the set.
        let kid = parts.header.find("kid").and_then(Json::as_str);
        keys.sort_by_key(|key| kid.is_none() || key.kid.as_deref() != kid);
        let signed = parts.signed.as_bytes();
        let signer = keys
            .into_iter()
            .find(|key| key.key.verifies(signed, &parts.signature));
        signer
            .map(|key| Arc::clone(&key.issuer))
            .ok_or(TokenError::Signature)
    }
}

impl Issuer {
    fn serves(&self, role: Role) -> bool {
        match role {
            Role::Publish => self.publish,
            Role::Subscribe => self.subscribe,
        }
    }
}

/// A token taken apart. Nothing in it is verified yet.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The protected header.
    pub header: Object,
    /// The claims set.
    pub claims: Object,
    /// What the signature is over: the first two parts as they came.
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    /// Takes a JWS in compact serialization apart.
    ///
    /// # Errors
    ///
    /// If it is too long or not well formed.
    ///
    /// RFC 7515, 5.2 and 7.1.
    pub fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong {
                bytes: token.len(),
                max: TOKEN_BYTES_MAX,
            });
        }
        let not_three = || TokenError::NotThreeParts {
            count: token.split('.').count(),
        };
        let (signed, signature) = token.rsplit_once('.').ok_or_else(not_three)?;
        let (header, claims) = signed.split_once('.').ok_or_else(not_three)?;
        if claims.contains('.') {
            return Err(not_three());
        }
        Ok(Self {
            header: object(Part::Header, header)?,
            claims: object(Part::Claims, claims)?,
            signed,
            signature: decode(Part::Signature, signature)?,
        })
    }
}

impl Parts<'_> {
    /// Returns the algorithm that the header names.
    fn alg(&self) -> Result<&str, TokenError> {
        let alg = match self.header.find("alg") {
            None => return Err(TokenError::AlgMissing),
            Some(Json::String(alg)) => alg,
            Some(_) => {
                return Err(TokenError::ClaimType {
                    claim: "alg",
                    expected: "a string",
                });
            }
        };
        if alg.eq_ignore_ascii_case("none") {
            return Err(TokenError::AlgNone);
        }
        Ok(alg)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
        })
    }
}

fn check_typ(header: &Object) -> Result<(), TokenError> {
    let found = match header.find("typ") {
        None => return Err(TokenError::TypMissing),
        Some(Json::String(typ)) => typ,
        Some(_) => {
            return Err(TokenError::ClaimType {
                claim: "typ",
                expected: "a string",
            });
        }
    };
    if TYPES.iter().any(|typ| typ.eq_ignore_ascii_case(found)) {
        return Ok(());
    }
    Err(TokenError::Typ {
        found: found.as_str().into(),
    })
}

fn object(part: Part, text: &str) -> Result<Object, TokenError> {
    let bytes = decode(part, text)?;
    match Json::parse(&bytes).map_err(|source| TokenError::Json { part, source })? {
        Json::Object(object) => Ok(object),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            Err(TokenError::NotObject { part })
        }
    }
}

fn decode(part: Part, text: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_position| TokenError::Base64 { part })
}

/// Longest token that is looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// The media type of access tokens, and its long form. RFC 9068, 2.1; RFC 7515, 4.1.9.
const TYPES: [&str; 2] = ["at+jwt", "application/at+jwt"];

#[cfg(test)]
mod tests;
