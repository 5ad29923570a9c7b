//! Which dialects are served, and which keys verify their tokens.

use tidings_auth::Keys;
use tidings_auth::key::{Algorithm, KeyError, VerifyKey};
use tidings_auth::key_of;
use tidings_core::{Dialect, HubUrl};

use super::Checks;
use crate::config::tables::auth::IssuerTable;
use crate::config::tables::dialects::DialectOptions;

impl Checks<'_> {
    pub(super) fn dialects(
        &mut self,
        dialects: &DialectOptions,
        hub: Option<&HubUrl>,
        issuers: &[IssuerTable],
    ) {
        if dialects.v2019 && hub.is_some_and(|hub| hub.path() == PATH_2019) {
            let advice = "has the path /hub, which is that of Mercure 2019: write another path, or \
                          dialects.v2019 = false";
            self.contradiction("hub.public_url", advice);
        }
        if dialects.demo && !dialects.v0 && !dialects.v2019 {
            let advice = "is true, but neither dialects.v0 nor dialects.v2019 is: write true in one \
                          of them, or false here";
            self.contradiction("dialects.demo", advice);
        }
        let has_key = |dialect: Dialect| {
            let mut names = issuers.iter().flat_map(|issuer| &issuer.dialects);
            names.any(|name| *name == dialect)
        };
        for dialect in dialects.old() {
            if !has_key(dialect) && !issuers.is_empty() {
                let advice = "is true, but no key is for its tokens: add the dialect to \
                              auth.issuers.N.dialects";
                self.contradiction(key_of(dialect), advice);
            }
        }
        for dialect in [Dialect::V0, Dialect::V2019] {
            if has_key(dialect) && !dialects.old().any(|on| on == dialect) {
                let advice = "is false, but a key is for its tokens (auth.issuers.N.dialects): \
                              write true, or remove the dialect there";
                self.contradiction(key_of(dialect), advice);
            }
        }
    }

    /// Returns the dialects of a key, of which there is at least one.
    pub(super) fn issuer_dialects(
        &mut self,
        path: &str,
        table: &IssuerTable,
    ) -> Option<Vec<Dialect>> {
        if table.dialects.is_empty() {
            let advice = "is empty, so that the key is of no use: write [\"1.0\"], or remove the \
                          issuer";
            self.contradiction(&format!("{path}.dialects"), advice);
            return None;
        }
        Some(table.dialects.clone())
    }

    /// Parses a key for tokens of `dialects`. A key only for dialects before 1.0 may be a short
    /// secret, as their hubs allowed.
    pub(super) fn key_text(
        &mut self,
        path: &str,
        algorithm: Algorithm,
        text: &str,
        dialects: &[Dialect],
    ) -> Result<VerifyKey, KeyError> {
        if dialects.contains(&Dialect::V1) {
            return VerifyKey::parse(algorithm, text);
        }
        if let Err(error @ KeyError::SecretTooShort { .. }) = VerifyKey::parse(algorithm, text) {
            self.warnings.push(format!("{path}.key: {error}"));
        }
        VerifyKey::parse_old(algorithm, text)
    }
}

/// Returns the further keys of a secret: the hub of 2019 accepted whichever HMAC a token named.
pub(super) fn further_keys(issuer: &tidings_auth::Issuer, text: &str) -> Vec<tidings_auth::Issuer> {
    const HMACS: [Algorithm; 3] = [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512];
    let Keys::One(key) = &issuer.keys else {
        return Vec::new();
    };
    let own = key.algorithm();
    if !issuer.dialects.contains(&Dialect::V2019) || !HMACS.contains(&own) {
        return Vec::new();
    }
    let others = HMACS.into_iter().filter(|algorithm| *algorithm != own);
    others
        .filter_map(|algorithm| {
            Some(tidings_auth::Issuer {
                keys: VerifyKey::parse_old(algorithm, text).ok()?.into(),
                dialects: vec![Dialect::V2019],
                ..issuer.clone()
            })
        })
        .collect()
}

/// The path of Mercure 2019.
pub const PATH_2019: &str = "/hub";
