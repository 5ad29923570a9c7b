//! Parses a JSON Web Key Set: which entries verify signatures, and with which algorithms.
//!
//! A set comes from a third party and is not trusted: strict JSON, bounds, and no entry that could
//! sign as well as verify. `key_set.rs` obtains the set.
//!
//! RFC 7517; RFC 7518, 6; RFC 8037, 2; RFC 8725, 3.1, 3.2 and 3.5.

use std::sync::Arc;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use tidings_wire::byte_order_mark;

use super::json::{Json, Object};
use super::key::{Algorithm, PublicKey, VerifyKey};

/// One entry of a set: a public key, once for each of its algorithms.
#[derive(Debug, Clone)]
pub struct SetKey {
    /// Its name. Several entries may have the same.
    pub kid: Option<Arc<str>>,
    /// The key with each of its algorithms. Never empty.
    pub keys: Vec<VerifyKey>,
}

/// The content of a set.
#[derive(Debug, Default)]
pub struct Read {
    /// The entries that verify tokens.
    pub keys: Vec<SetKey>,
    /// How many entries were ignored.
    pub ignored: usize,
    /// Why the last of them is ignored.
    pub reason: Option<Ignored>,
}

/// Why a whole set is refused.
#[derive(Debug, thiserror::Error)]
pub enum JwkSetError {
    /// It is not JSON, or has an object with two members of the same name.
    #[error("the key set is not strict JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It is JSON of another shape.
    #[error("the key set is not an object with an array in keys")]
    NotSet,
    /// It has too many entries.
    #[error("the key set has {count} keys, more than {KEYS_MAX}")]
    TooMany {
        /// The number of entries.
        count: usize,
    },
}

/// Why an entry of a set is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// It is not an object, or a member has the wrong type.
    #[error("an entry is malformed")]
    Malformed,
    /// A shared secret: whoever reads the set could sign with it.
    #[error("an entry is a shared secret")]
    Shared,
    /// A private key: whoever reads the set could sign with it.
    #[error("an entry is a private key")]
    Private,
    /// It is not for signatures.
    #[error("an entry is not for verifying signatures")]
    Purpose,
    /// The hub does not know its kind, curve or algorithm.
    #[error("an entry is of a kind, a curve or an algorithm that the hub does not know")]
    Unknown,
    /// The key is damaged, or too short.
    #[error("an entry is damaged or too short (RSA keys have 2048 to 8192 bits)")]
    Unusable,
}

/// Parses a set.
///
/// # Errors
///
/// The document is not a set. Unusable entries are ignored and counted. A set without usable entries is not an
/// error, since an issuer may withdraw all its keys.
pub fn parse(document: &[u8]) -> Result<Read, JwkSetError> {
    let Json::Object(set) = Json::parse(byte_order_mark::without_bytes(document))? else {
        return Err(JwkSetError::NotSet);
    };
    let entries = set.find("keys").and_then(Json::as_array);
    let entries = entries.ok_or(JwkSetError::NotSet)?;
    if entries.len() > KEYS_MAX {
        let count = entries.len();
        return Err(JwkSetError::TooMany { count });
    }
    let mut read = Read::default();
    for entry in entries {
        match entry.as_object().ok_or(Ignored::Malformed).and_then(key) {
            Ok(key) => read.keys.push(key),
            Err(reason) => {
                read.ignored += 1;
                read.reason = Some(reason);
            }
        }
    }
    Ok(read)
}

fn key(entry: &Object) -> Result<SetKey, Ignored> {
    let kid = text(entry, "kid")?.map(Arc::from);
    if kid
        .as_ref()
        .is_some_and(|kid: &Arc<str>| kid.len() > KID_BYTES_MAX)
    {
        return Err(Ignored::Malformed);
    }
    let kind = text(entry, "kty")?.ok_or(Ignored::Malformed)?;
    if kind == "oct" || entry.find("k").is_some() {
        return Err(Ignored::Shared);
    }
    if entry.find("d").is_some() {
        return Err(Ignored::Private);
    }
    if text(entry, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err(Ignored::Purpose);
    }
    if let Some(operations) = entry.find("key_ops") {
        let operations = operations.as_array().ok_or(Ignored::Malformed)?;
        if !operations
            .iter()
            .any(|entry| entry.as_str() == Some("verify"))
        {
            return Err(Ignored::Purpose);
        }
    }
    let (public, fitting) = public_key(entry, kind)?;
    // The entry's own algorithm must fit its kind: an RSA key never verifies an HMAC, and a key for RS256
    // verifies nothing else.
    let algorithms: Vec<Algorithm> = match text(entry, "alg")? {
        None => fitting.to_vec(),
        Some(name) => {
            let named = fitting.iter().copied().find(|fits| fits.is_named(name));
            vec![named.ok_or(Ignored::Unknown)?]
        }
    };
    let keys: Result<Vec<VerifyKey>, _> = algorithms
        .into_iter()
        .map(|algorithm| VerifyKey::of_public(algorithm, &public))
        .collect();
    Ok(SetKey {
        kid,
        keys: keys.map_err(|_rejected| Ignored::Unusable)?,
    })
}

/// Returns the key and the algorithms that its kind may be used with.
fn public_key(entry: &Object, kind: &str) -> Result<(PublicKey, &'static [Algorithm]), Ignored> {
    let curve = || text(entry, "crv")?.ok_or(Ignored::Malformed);
    match kind {
        "RSA" => {
            let (modulus, exponent) = (bytes(entry, "n")?, bytes(entry, "e")?);
            Ok((PublicKey::Rsa { modulus, exponent }, &RSA))
        }
        "EC" => {
            let (algorithms, length): (&[Algorithm], usize) = match curve()? {
                "P-256" => (&[Algorithm::Es256], 32),
                "P-384" => (&[Algorithm::Es384], 48),
                _ => return Err(Ignored::Unknown),
            };
            let (x, y) = (bytes(entry, "x")?, bytes(entry, "y")?);
            // Coordinates have the full length, with leading zeros (RFC 7518, 6.2.1.2).
            if x.len() != length || y.len() != length {
                return Err(Ignored::Unusable);
            }
            Ok((
                PublicKey::Point([&[4], x.as_slice(), &y].concat()),
                algorithms,
            ))
        }
        "OKP" if curve()? == "Ed25519" => {
            Ok((PublicKey::Point(bytes(entry, "x")?), &[Algorithm::EdDsa]))
        }
        _ => Err(Ignored::Unknown),
    }
}

fn text<'a>(entry: &'a Object, name: &str) -> Result<Option<&'a str>, Ignored> {
    match entry.find(name) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or(Ignored::Malformed),
    }
}

fn bytes(entry: &Object, name: &str) -> Result<Vec<u8>, Ignored> {
    let text = text(entry, name)?.ok_or(Ignored::Malformed)?;
    BASE64URL
        .decode(text)
        .map_err(|_position| Ignored::Malformed)
}

/// The algorithms of an RSA key.
const RSA: [Algorithm; 6] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
];

/// Base64url. Sets have no padding (RFC 7515, 2), but some issuers write it. The length implies it.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Maximum number of entries of a set. Issuers have two to ten.
pub const KEYS_MAX: usize = 64;

/// Maximum length of a key's name in bytes.
const KID_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests;
