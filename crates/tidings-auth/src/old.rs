//! Tokens of the dialects before 1.0: recognised by their shape, verified only with keys for these
//! dialects, and converted to the same grants.
//!
//! They name no issuer and no audience, and need no expiry. The strict rules of 1.0 apply where
//! compatibility permits: the algorithm is the key's, `crit` is refused, no member occurs twice.
//! The claim `mercure`, or the same under its URL, lists topic selectors in 0.x and targets in
//! 2019.

use std::sync::Arc;

use tidings_core::limits::TOKEN_SELECTORS_MAX;
use tidings_core::{
    Dialect, Grants, GrantsError, Matcher, MatcherType, PayloadRule, RoleTargets, Target,
    TargetGrant,
};

use super::json::{Json, Object};
use super::token_error::TokenError;
use super::{Authority, Identity, Issuer, Offered, Parts, Role, TYPES, claims};

/// The expiry of a token without `exp`.
pub const NEVER: u64 = u64::MAX;

/// Returns whether a token is an old one: it has nothing that only tokens of 1.0 have.
pub(crate) fn is_old(parts: &Parts<'_>) -> bool {
    let typ = parts.header.find("typ").and_then(Json::as_str);
    let modern_typ =
        typ.is_some_and(|typ| TYPES.iter().any(|modern| modern.eq_ignore_ascii_case(typ)));
    !modern_typ && parts.claims.find("authorization_details").is_none()
}

/// Returns whether a token has the claim that only old tokens have. Old hubs accepted a token without it, which
/// grants nothing.
pub(super) fn has_claim(parts: &Parts<'_>) -> bool {
    CLAIMS.iter().any(|name| parts.claims.find(name).is_some())
}

/// Returns whether a text is an old token. Nothing in it is verified.
pub fn is_old_text(token: &str) -> bool {
    Parts::parse(token).is_ok_and(|parts| is_old(&parts))
}

impl Authority {
    /// Checks a token that [`is_old`], as the hubs of its dialect did.
    pub(super) fn verify_old(
        &self,
        parts: &Parts<'_>,
        dialect: Dialect,
        role: Role,
        now_secs: u64,
    ) -> Result<Arc<Identity>, TokenError> {
        if parts.header.find("crit").is_some() {
            return Err(TokenError::Crit);
        }
        self.check_old_signature(parts, dialect, role)?;
        let expires_at = claims::check_time_if_said(&parts.claims, now_secs)?;
        if dialect == Dialect::V2019 {
            claims::check_issued_at(&parts.claims, now_secs)?;
        }
        let claim = claim(&parts.claims)?;
        let grants = match dialect {
            Dialect::V2019 => Grants::of_targets(RoleTargets {
                publish: targets(claim, Role::Publish)?,
                subscribe: targets(claim, Role::Subscribe)?,
            }),
            Dialect::V0 | Dialect::V1 => self.selectors(claim)?,
        };
        Ok(Arc::new(Identity {
            grants: Arc::new(grants),
            expires_at,
            dialect,
            issuer: Arc::from(""),
            subject: claims::subject(&parts.claims)?,
            token_id: self.check_revoked(&parts.claims, now_secs)?,
        }))
    }

    fn check_old_signature(
        &self,
        parts: &Parts<'_>,
        dialect: Dialect,
        role: Role,
    ) -> Result<(), TokenError> {
        let alg = parts.alg()?;
        let serves = |key: &&Issuer| key.serves(role) && key.dialects.contains(&dialect);
        let options = self.options.load();
        let for_role: Vec<&Issuer> = options.issuers.iter().filter(serves).collect();
        if for_role.is_empty() {
            return Err(TokenError::NoOldKey { dialect, role });
        }
        let kid = parts.header.find("kid").and_then(Json::as_str);
        let offered = Offered::of(&for_role, kid);
        if offered.verifies(parts, alg) {
            return Ok(());
        }
        if offered.kid_unknown {
            return Err(TokenError::KeyUnknown {
                kid: kid.map(Into::into),
            });
        }
        Err(TokenError::OldSignature)
    }

    /// Reads the claim of a 0.x token.
    fn selectors(&self, claim: Option<&Object>) -> Result<Grants, TokenError> {
        let matchers = |role| {
            let texts = texts(claim, role)?.unwrap_or_default();
            let parse = |text: &&str| Matcher::parse(MatcherType::UriTemplate, text, &self.hub);
            // Topics never contain such characters, so a selector with them grants nothing.
            Ok::<_, TokenError>(texts.iter().filter_map(|text| parse(text).ok()).collect())
        };
        let subscribe: Vec<Matcher> = matchers(Role::Subscribe)?;
        let payload = claim.and_then(|claim| claim.find("payload"));
        let payload = payload.map(|payload| PayloadRule {
            topics: Matcher::parse(MatcherType::Exact, "*", &self.hub)
                .into_iter()
                .collect(),
            payload: Some(payload.to_string().into()),
        });
        let publish = matchers(Role::Publish)?;
        Ok(Grants::new(
            publish,
            subscribe,
            payload.into_iter().collect(),
        )?)
    }
}

/// Returns the claim, if there is one. The one under its URL takes precedence.
fn claim(claims: &Object) -> Result<Option<&Object>, TokenError> {
    let found = CLAIMS.iter().rev().find_map(|name| claims.find(name));
    match found {
        None | Some(Json::Null) => Ok(None),
        Some(claim) => {
            let claim = claim.as_object().ok_or(TokenError::ClaimType {
                claim: "mercure",
                expected: "an object",
            })?;
            Ok(Some(claim))
        }
    }
}

/// Returns the strings for one role. `None` if the member is absent, which differs from an empty list.
fn texts(claim: Option<&Object>, role: Role) -> Result<Option<Vec<&str>>, TokenError> {
    let (name, claim_name) = match role {
        Role::Publish => ("publish", "mercure.publish"),
        Role::Subscribe => ("subscribe", "mercure.subscribe"),
    };
    let wrong = || TokenError::ClaimType {
        claim: claim_name,
        expected: "an array of strings",
    };
    let entries = match claim.and_then(|claim| claim.find(name)) {
        None | Some(Json::Null) => return Ok(None),
        Some(entries) => entries.as_array().ok_or_else(wrong)?,
    };
    if entries.len() > TOKEN_SELECTORS_MAX {
        return Err(TokenError::Grants(GrantsError::TooManyMatchers {
            count: entries.len(),
            max: TOKEN_SELECTORS_MAX,
        }));
    }
    let texts = entries.iter().map(|entry| entry.as_str().ok_or_else(wrong));
    texts.collect::<Result<_, _>>().map(Some)
}

/// Reads the targets for one role.
fn targets(claim: Option<&Object>, role: Role) -> Result<Option<TargetGrant>, TokenError> {
    let Some(texts) = texts(claim, role)? else {
        return Ok(None);
    };
    if texts.contains(&"*") {
        return Ok(Some(TargetGrant::All));
    }
    // No update has a target that cannot be parsed, so such an entry grants nothing.
    let targets = texts.iter().filter_map(|text| Target::parse(text).ok());
    Ok(Some(TargetGrant::Of(targets.collect())))
}

/// The claim, and its name since 0.11.
const CLAIMS: [&str; 2] = ["mercure", "https://mercure.rocks/"];

#[cfg(test)]
mod tests;
