//! The claims for the validity period, audience and subject of a token: `exp`, `nbf`, `aud`, `sub`.
//!
//! The clocks of a hub and its issuers differ a little, so `nbf` may be up to [`CLOCK_LEEWAY_SECS`]
//! in the future. `exp` has no leeway, because no connection outlives its token. Numeric dates may
//! have fractions.
//!
//! RFC 7519, 4.1; Mercure, "Token Validation".

use std::sync::Arc;

use serde_json::Number;

use super::json::{Json, Object};
use super::old::NEVER;
use super::token_error::TokenError;

/// Checks `exp` and `nbf` against the hub's time and returns `exp` in whole seconds.
///
/// # Errors
///
/// A missing or past `exp`, an `nbf` in the future, or one that is not a number.
pub(crate) fn check_time(claims: &Object, now: u64) -> Result<u64, TokenError> {
    if claims.find("exp").is_none() {
        return Err(TokenError::ExpMissing);
    }
    check_time_if_said(claims, now)
}

/// The same for an old token. If it has no `exp`, [`NEVER`] is returned.
///
/// # Errors
///
/// A past `exp`, an `nbf` in the future, or one that is not a number.
pub(crate) fn check_time_if_said(claims: &Object, now: u64) -> Result<u64, TokenError> {
    let exp = match claims.find("exp") {
        Some(exp) => seconds("exp", exp, Rounding::Down)?,
        None => NEVER,
    };
    // Rounded down to a whole second, since a connection must never outlive the token.
    if now >= exp {
        return Err(TokenError::Expired { exp, now });
    }
    if let Some(nbf) = claims.find("nbf") {
        let nbf = seconds("nbf", nbf, Rounding::Up)?;
        if now.saturating_add(CLOCK_LEEWAY_SECS) < nbf {
            return Err(TokenError::NotYet { nbf, now });
        }
    }
    Ok(exp)
}

/// Checks that the token was not issued in the future, as the hubs of 2019 did.
///
/// # Errors
///
/// An `iat` in the future, or one that is not a number.
pub(crate) fn check_issued_at(claims: &Object, now: u64) -> Result<(), TokenError> {
    let Some(iat) = claims.find("iat") else {
        return Ok(());
    };
    let iat = seconds("iat", iat, Rounding::Down)?;
    if now.saturating_add(CLOCK_LEEWAY_SECS) < iat {
        return Err(TokenError::NotYet { nbf: iat, now });
    }
    Ok(())
}

/// Checks that the token is meant for one of `audiences`.
///
/// # Errors
///
/// A missing `aud`, one that is neither a string nor an array of strings, or one without any of
/// `audiences`.
pub(crate) fn check_audience(claims: &Object, audiences: &[String]) -> Result<(), TokenError> {
    let accepted = || audiences.join(", ").into();
    let aud = claims.find("aud").ok_or_else(|| TokenError::AudMissing {
        accepted: accepted(),
    })?;
    let entries = match aud {
        Json::String(_) => std::slice::from_ref(aud),
        Json::Array(entries) => entries,
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => return Err(AUD_TYPE),
    };
    let mut found = false;
    for entry in entries {
        let entry = entry.as_str().ok_or(AUD_TYPE)?;
        found |= audiences.iter().any(|audience| audience == entry);
    }
    if found {
        return Ok(());
    }
    Err(TokenError::Aud {
        found: aud.to_string().into(),
        accepted: accepted(),
    })
}

/// Returns `sub`, if there is one.
///
/// # Errors
///
/// If it is not a string.
pub(crate) fn subject(claims: &Object) -> Result<Option<Arc<str>>, TokenError> {
    match claims.find("sub") {
        None => Ok(None),
        Some(Json::String(subject)) => Ok(Some(subject.as_str().into())),
        Some(_) => Err(TokenError::ClaimType {
            claim: "sub",
            expected: "a string",
        }),
    }
}

/// How far in the future a token's `nbf` and `iat` may be, in seconds. RFC 7519, 4.1.5: "some small
/// leeway, usually no more than a few minutes, to account for clock skew".
pub(crate) const CLOCK_LEEWAY_SECS: u64 = 30;

const AUD_TYPE: TokenError = TokenError::ClaimType {
    claim: "aud",
    expected: "a string or an array of strings",
};

/// How a fraction is rounded to a whole second.
#[derive(Clone, Copy)]
enum Rounding {
    Down,
    Up,
}

/// Reads a numeric date in whole seconds. Dates before 1970 are 0, and those beyond 64 bits the largest number.
fn seconds(claim: &'static str, value: &Json, rounding: Rounding) -> Result<u64, TokenError> {
    let Json::Number(number) = value else {
        return Err(TokenError::ClaimType {
            claim,
            expected: "a number",
        });
    };
    Ok(number.as_u64().unwrap_or_else(|| whole(number, rounding)))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is right for a date out of range"
)]
fn whole(number: &Number, rounding: Rounding) -> u64 {
    let date = number.as_f64().unwrap_or(0.0);
    match rounding {
        Rounding::Down => date.floor() as u64,
        Rounding::Up => date.ceil() as u64,
    }
}
