//! Who may do what: access tokens and the grants in them.
//!
//! [`Authority`] verifies a token and returns its [`Identity`]: its subject and what it allows.
//! This file has the order of the checks; each check has its own file. [`presented`] finds the
//! token in a request, [`cache`] caches verified tokens, [`key_set`] keeps the keys of issuers up
//! to date, [`issue`] makes tokens for `tidings dev` and `tidings token make`. [`placeholder`]
//! detects unfilled placeholders.
//!
//! `tidings-core` evaluates grants, and the HTTP layer maps refusals to responses. Nothing here
//! reads the configuration or the clock: both are arguments.
//!
//! The library (aws-lc-rs) verifies signatures. The other checks are our own: JWT libraries ignore
//! `crit`, accept duplicate members, and pool the keys of several issuers.
//!
//! Mercure, "Token Validation"; RFC 9068, 4; RFC 8725.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidings_core::{Dialect, Grants, HubUrl};

use json::{Json, Object};
use jwk::SetKey;
use key::{Algorithm, VerifyKey};
use key_set::{Current, KeySet};

pub use counters::Counters;
pub use details::{DETAIL_TYPE, DetailError};
pub use old::{NEVER, is_old_text};
pub use revoked::{Revocation, Revocations, RevokeError};
pub use token_error::{Part, TokenError, key_of};

pub mod cache;
mod claims;
mod counters;
mod der;
mod details;
pub mod http_client;
pub mod issue;
pub mod json;
pub mod jwk;
pub mod key;
pub mod key_fetch;
pub mod key_set;
pub mod key_store;
mod old;
mod pem;
pub mod placeholder;
pub mod presented;
pub mod private_file;
mod revoked;
mod token_error;

/// How far a replacement of the options moves the generation: further than all other changes together.
const REPLACED_SHIFT: u32 = 40;

/// Which tokens are accepted: from which issuers, for which audiences, in which cookies and dialects.
#[derive(Debug, Clone)]
pub struct Options {
    /// The trusted keys. An issuer may have several.
    pub issuers: Vec<Issuer>,
    /// Values of `aud` that name this hub.
    pub audiences: Vec<String>,
    /// Cookies that may carry a token, in the order of preference.
    pub cookie_names: Vec<String>,
    /// Dialects before 1.0 whose tokens are accepted.
    pub old_dialects: Vec<Dialect>,
}

impl Options {
    fn check(&self) -> Result<(), AuthorityError> {
        if self.issuers.is_empty() {
            return Err(AuthorityError::NoIssuer);
        }
        let modern = |key: &Issuer| key.dialects.contains(&Dialect::V1);
        if self.audiences.is_empty() && self.issuers.iter().any(modern) {
            return Err(AuthorityError::NoAudience);
        }
        Ok(())
    }

    /// Puts `other` in the place of a set.
    fn use_set(&mut self, set: &Arc<KeySet>, other: &Arc<KeySet>) {
        for issuer in &mut self.issuers {
            if let Keys::Set { set: own, .. } = &mut issuer.keys
                && Arc::ptr_eq(own, set)
            {
                *own = Arc::clone(other);
            }
        }
    }

    /// Returns the key sets, each once.
    pub fn key_sets(&self) -> Vec<Arc<KeySet>> {
        let mut sets: Vec<Arc<KeySet>> = Vec::new();
        for issuer in &self.issuers {
            if let Keys::Set { set, .. } = &issuer.keys
                && !sets.iter().any(|known| Arc::ptr_eq(known, set))
            {
                sets.push(Arc::clone(set));
            }
        }
        sets
    }
}

/// One key, or one set of keys, of one issuer.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// The exact `iss` of the tokens. Empty if the key is for old dialects only.
    pub issuer: Arc<str>,
    /// The key or the set that verifies its tokens.
    pub keys: Keys,
    /// The key's name. A token with this `kid` is tried with this key first.
    pub kid: Option<String>,
    /// Whether the key is for tokens that publish.
    pub publish: bool,
    /// Whether the key is for tokens that subscribe.
    pub subscribe: bool,
    /// The dialects whose tokens the key verifies.
    pub dialects: Vec<Dialect>,
}

/// Where a token is presented. Its meaning depends on that: the claim `mercure` contains topic selectors at one
/// door and targets at the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// At the hub's path.
    Hub,
    /// At the path of 2019.
    Hub2019,
}

/// What verifies the tokens of an issuer.
#[derive(Debug, Clone)]
pub enum Keys {
    /// A key from the configuration, bound to its algorithm.
    One(VerifyKey),
    /// A set that the issuer publishes. Each of its keys is bound to its algorithms.
    Set {
        /// The set. Several issuers may share it.
        set: Arc<KeySet>,
        /// The only accepted algorithm, if the configuration names one.
        only: Option<Algorithm>,
    },
}

impl From<VerifyKey> for Keys {
    fn from(key: VerifyKey) -> Self {
        Self::One(key)
    }
}

/// What a token is presented for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// To publish.
    Publish,
    /// To subscribe.
    Subscribe,
}

/// Verifies tokens. All shards share it, and a running hub may replace its options.
#[derive(Debug)]
pub struct Authority {
    options: ArcSwap<Options>,
    /// Grows with each replacement.
    replaced: AtomicU64,
    hub: HubUrl,
    revocations: Arc<Revocations>,
}

/// The content of a verified token.
#[derive(Debug)]
pub struct Identity {
    /// What it allows.
    pub grants: Arc<Grants>,
    /// When it expires, in seconds of Unix time. Every connection must end by then.
    /// [`NEVER`] for a token of an old dialect without `exp`.
    pub expires_at: u64,
    /// The dialect of the token.
    pub dialect: Dialect,
    /// The issuer. Empty for tokens of old dialects.
    pub issuer: Arc<str>,
    /// The subject, if there is one.
    pub subject: Option<Arc<str>>,
    /// The token's own id, `jti`, by which it can be revoked. RFC 7519, 4.1.7.
    pub token_id: Option<Arc<str>>,
}

/// Why there can be no [`Authority`].
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// There is no key, so nobody could publish.
    #[error("no issuer with a key is configured")]
    NoIssuer,
    /// There is no audience, so every token would be refused. Mercure, "Token Validation".
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
        options.check()?;
        Ok(Self {
            options: ArcSwap::from_pointee(options),
            replaced: AtomicU64::new(0),
            hub,
            revocations: Arc::default(),
        })
    }

    /// Replaces the options: tokens that are presented from now on are checked by the new ones. A key set whose
    /// source stays keeps its keys. Returns the sets that are new; somebody has to [`watch`](KeySet::watch) them.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new). Nothing changes then.
    pub fn replace(&self, mut options: Options) -> Result<Vec<Arc<KeySet>>, AuthorityError> {
        options.check()?;
        let known = self.key_sets();
        for set in options.key_sets() {
            let same = known.iter().find(|known| known.source() == set.source());
            match same {
                Some(same) if same.refresh() == set.refresh() => options.use_set(&set, same),
                Some(same) => set.inherit(same),
                None => {}
            }
        }
        let mut new = options.key_sets();
        new.retain(|set| !known.iter().any(|known| Arc::ptr_eq(known, set)));
        self.options.store(Arc::new(options));
        self.replaced.fetch_add(1, Ordering::Release);
        Ok(new)
    }

    /// Returns the same with a list of revoked tokens, which are refused from then on.
    #[must_use]
    pub fn refusing(self, revocations: Arc<Revocations>) -> Self {
        Self {
            revocations,
            ..self
        }
    }

    /// Returns the list of revoked tokens.
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// Returns the id of a token whose other checks it has passed.
    ///
    /// # Errors
    ///
    /// The token is revoked.
    fn check_revoked(
        &self,
        claims: &Object,
        now_secs: u64,
    ) -> Result<Option<Arc<str>>, TokenError> {
        let id: Option<Arc<str>> = claims.find("jti").and_then(Json::as_str).map(Arc::from);
        match id {
            Some(id) if self.revocations.holds(&id, now_secs) => Err(TokenError::Revoked { id }),
            id => Ok(id),
        }
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
    /// The first rule that the token breaks. The signature is checked before all claims except `iss` and the
    /// shape, so that an unsigned token reveals nothing about the hub except its issuers and dialects.
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
        if !self.options.load().old_dialects.contains(&dialect) {
            // Such a token may be meant for 1.0, whose checks say what it lacks.
            if door == Door::Hub && !old::has_claim(&parts) {
                return self.verify_modern(&parts, role, now_secs);
            }
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
        // A header may contain a key of its own (`jwk`, `jku`, `x5u`, …). Nothing here reads it.
        if parts.header.find("crit").is_some() {
            return Err(TokenError::Crit);
        }
        let issuer = self.check_signature(parts, role)?;
        let expires_at = claims::check_time(&parts.claims, now_secs)?;
        claims::check_audience(&parts.claims, &self.options.load().audiences)?;
        let grants = details::parse(parts.claims.find("authorization_details"), &self.hub)?;
        Ok(Arc::new(Identity {
            grants: Arc::new(grants),
            expires_at,
            dialect: Dialect::V1,
            issuer,
            subject: claims::subject(&parts.claims)?,
            token_id: self.check_revoked(&parts.claims, now_secs)?,
        }))
    }

    /// Returns the key sets, each once.
    pub fn key_sets(&self) -> Vec<Arc<KeySet>> {
        self.options.load().key_sets()
    }

    /// Returns a number that changes whenever a key set, the list of revoked tokens or the options do.
    pub fn generation(&self) -> u64 {
        // Read before the options: whoever verifies by earlier ones is told to do so again.
        let replaced = self.replaced.load(Ordering::Acquire);
        let options = self.options.load();
        let sets = options.issuers.iter().map(|issuer| match &issuer.keys {
            Keys::Set { set, .. } => set.generation(),
            Keys::One(_) => 0,
        });
        // The sum alone could be the same after a set has gone.
        let changes = self.revocations.generation().wrapping_add(sets.sum());
        changes.wrapping_add(replaced << REPLACED_SHIFT)
    }

    /// Fetches the key sets of a token's issuer again, because they lack the token's key. Returns whether the token
    /// should be checked again.
    pub async fn refreshed(&self, token: &str) -> bool {
        let Ok(parts) = Parts::parse(token) else {
            return false;
        };
        // An old token names no issuer. It may come from any issuer of such tokens.
        let iss = parts.claims.find("iss").and_then(Json::as_str);
        let old = old::is_old(&parts);
        let mut refreshed = false;
        for issuer in &self.options.load_full().issuers {
            let may_be = match old {
                true => issuer
                    .dialects
                    .iter()
                    .any(|dialect| *dialect != Dialect::V1),
                false => Some(&*issuer.issuer) == iss,
            };
            if let Keys::Set { set, .. } = &issuer.keys
                && may_be
            {
                refreshed |= set.refreshed().await;
            }
        }
        refreshed
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
        let options = self.options.load();
        let of_issuer = || {
            options
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
        let kid = parts.header.find("kid").and_then(Json::as_str);
        let offered = Offered::of(&for_role, kid);
        if offered.verifies(parts, alg) {
            return Ok(iss.as_str().into());
        }
        if offered.kid_unknown {
            return Err(TokenError::KeyUnknown {
                kid: kid.map(Into::into),
            });
        }
        if offered.keys().all(|key| !key.algorithm().is_named(alg)) {
            return Err(TokenError::AlgNotAllowed {
                found: alg.into(),
                accepted: offered.algorithms().into(),
            });
        }
        Err(TokenError::Signature)
    }
}

/// The keys that may verify a token. Those that it names come first.
struct Offered<'a> {
    fixed: Vec<&'a VerifyKey>,
    sets: Vec<(Arc<Current>, Option<Algorithm>)>,
    kid: Option<&'a str>,
    /// Whether a set lacks the key that the token names, or the token names none.
    kid_unknown: bool,
}

impl<'a> Offered<'a> {
    /// Gathers the keys of `issuers`.
    ///
    /// For keys from the configuration, the name is only a hint: it changes the order, not the choice. A set may be
    /// large and may change, so a token that names a key is tried with that key alone.
    fn of(issuers: &[&'a Issuer], kid: Option<&'a str>) -> Self {
        let mut offered = Self {
            fixed: Vec::new(),
            sets: Vec::new(),
            kid,
            kid_unknown: false,
        };
        let mut ordered = issuers.to_vec();
        ordered.sort_by_key(|issuer| kid.is_none() || issuer.kid.as_deref() != kid);
        for issuer in ordered {
            match &issuer.keys {
                Keys::One(key) => offered.fixed.push(key),
                Keys::Set { set, only } => {
                    let current = set.current();
                    let named = |key: &SetKey| kid.is_some() && key.kid.as_deref() == kid;
                    offered.kid_unknown |= !current.keys.iter().any(named);
                    offered.sets.push((current, *only));
                }
            }
        }
        offered
    }

    /// Returns whether one of the keys for this algorithm made a token's signature.
    fn verifies(&self, parts: &Parts<'_>, alg: &str) -> bool {
        let signed = parts.signed.as_bytes();
        self.keys()
            .filter(|key| key.algorithm().is_named(alg))
            .any(|key| key.verifies(signed, &parts.signature))
    }

    fn keys(&self) -> impl Iterator<Item = &VerifyKey> {
        let kid = self.kid;
        let of_sets = self.sets.iter().flat_map(move |(current, only)| {
            let named = move |key: &&SetKey| kid.is_none() || key.kid.as_deref() == kid;
            let counts = move |key: &&VerifyKey| only.is_none_or(|only| key.algorithm() == only);
            let entries = current.keys.iter().filter(named);
            entries.flat_map(|entry| &entry.keys).filter(counts)
        });
        self.fixed.iter().copied().chain(of_sets)
    }

    /// Returns the algorithms of the keys, joined by commas.
    fn algorithms(&self) -> String {
        let mut names: Vec<_> = self.keys().map(|key| key.algorithm().name()).collect();
        names.dedup();
        names.join(", ")
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

/// A parsed token. Nothing in it is verified yet.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The protected header.
    pub header: Object,
    /// The claims set.
    pub claims: Object,
    /// What is signed: the first two parts, unchanged.
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    /// Parses a JWS in compact serialization.
    ///
    /// # Errors
    ///
    /// It is too long or not well formed.
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

/// Maximum length of a token in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// The media type of access tokens, and its long form. RFC 9068, 2.1; RFC 7515, 4.1.9.
const TYPES: [&str; 2] = ["at+jwt", "application/at+jwt"];

#[cfg(test)]
mod tests;
