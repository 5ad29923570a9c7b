//! Keys that verify signatures, each bound to one algorithm.
//!
//! `lib.rs` decides which key may verify which token. Keys that sign are in `issue.rs`.

use std::fmt;

use aws_lc_rs::rsa::PublicEncryptingKey;
use aws_lc_rs::signature::{self as verification, ParsedPublicKey, VerificationAlgorithm};
use aws_lc_rs::{constant_time, hmac};

use super::json::Json;
use super::{der, pem};
use crate::placeholder;

/// A signature algorithm that the hub knows. There is no `none`. RFC 7518, 3.1; RFC 8037, 3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// ECDSA with P-384 and SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

/// A key that verifies signatures of one algorithm. `Debug` shows the algorithm only.
#[derive(Clone)]
pub struct VerifyKey {
    algorithm: Algorithm,
    material: Material,
}

/// A public key as its numbers, as in a key set.
#[derive(Debug)]
pub enum PublicKey {
    /// An RSA key. Both numbers have the most significant byte first.
    Rsa {
        /// The modulus.
        modulus: Vec<u8>,
        /// The public exponent.
        exponent: Vec<u8>,
    },
    /// A point of the algorithm's curve in its usual encoding.
    Point(Vec<u8>),
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A public key would serve as a shared secret, so that everyone who knows it could sign.
    #[error(
        "this is a PEM key, but {algorithm} takes a shared secret: write the algorithm of the key, \
         such as RS256, ES256 or EdDSA"
    )]
    PemAsSecret {
        /// The configured algorithm.
        algorithm: Algorithm,
    },
    /// The key is empty, or only white space.
    #[error(
        "the key is empty: make one with `openssl rand -hex 32`, or see why the variable that \
         should hold it does not"
    )]
    Empty,
    /// The text is a placeholder of another system. Everybody who knows that system's documentation knows it.
    #[error(
        "this is a placeholder such as {{env.NAME}}, ${{NAME}}, %NAME% or file://PATH, and nothing \
         fills it in: write the key itself, or the path of its file in key_file"
    )]
    Placeholder,
    /// The quotation marks would be part of the key.
    #[error("the key is in quotation marks, which would be part of it: remove them")]
    Quoted,
    /// The text is a JSON Web Key or other JSON, which describes a secret and is not the secret itself.
    #[error(
        "this is JSON, such as a JSON Web Key: write the secret that its k encodes, or public keys \
         as a set in jwks_file"
    )]
    Json,
    /// The shared secret is too short. RFC 7518, 3.2.
    #[error(
        "the secret has {bytes} bytes, but {algorithm} needs at least {bytes_min}: make one with \
         `openssl rand -hex {bytes_min}`"
    )]
    SecretTooShort {
        /// The configured algorithm.
        algorithm: Algorithm,
        /// The length of the secret.
        bytes: usize,
        /// The required length.
        bytes_min: usize,
    },
    /// The secret is published in documentation.
    #[error("this is a publicly known example key: make your own with `openssl rand -hex 32`")]
    Published,
    /// The text is not PEM.
    #[error(
        "{algorithm} needs a public key or a certificate in PEM, with a line -----BEGIN PUBLIC \
         KEY----- and one -----END PUBLIC KEY-----"
    )]
    NotPem {
        /// The configured algorithm.
        algorithm: Algorithm,
    },
    /// The key is private.
    #[error("this is a private key: give the hub the public one, it never signs")]
    Private,
    /// The key is of the wrong kind for the algorithm, too short, or damaged.
    #[error("this is not a public key for {algorithm} (RSA keys have 2048 to 8192 bits)")]
    WrongKind {
        /// The configured algorithm.
        algorithm: Algorithm,
    },
}

impl Algorithm {
    /// All algorithms.
    pub const ALL: [Self; 12] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Their names, as they are written in a configuration and in tokens. One algorithm has two.
    pub const NAMES: &[&str] = &[
        "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
        "ES384", "EdDSA", ED25519,
    ];

    /// Finds the algorithm of this name, compared byte for byte.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.is_named(name))
    }

    /// Returns whether `name` in a token or a key set means this algorithm. EdDSA with Ed25519 has two names since
    /// RFC 9864, 2.2.
    pub fn is_named(self, name: &str) -> bool {
        self.name() == name || (self == Self::EdDsa && name == ED25519)
    }

    /// Returns the name in a token's `alg`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Returns whether the key is a shared secret, which can also sign.
    pub fn is_shared(self) -> bool {
        self.name().starts_with('H')
    }

    fn is_rsa(self) -> bool {
        self.name().starts_with(['R', 'P'])
    }

    fn scheme(self) -> Scheme {
        match self {
            Self::Hs256 => Scheme::Shared(hmac::HMAC_SHA256),
            Self::Hs384 => Scheme::Shared(hmac::HMAC_SHA384),
            Self::Hs512 => Scheme::Shared(hmac::HMAC_SHA512),
            Self::Rs256 => Scheme::Public(&verification::RSA_PKCS1_2048_8192_SHA256),
            Self::Rs384 => Scheme::Public(&verification::RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => Scheme::Public(&verification::RSA_PKCS1_2048_8192_SHA512),
            Self::Ps256 => Scheme::Public(&verification::RSA_PSS_2048_8192_SHA256),
            Self::Ps384 => Scheme::Public(&verification::RSA_PSS_2048_8192_SHA384),
            Self::Ps512 => Scheme::Public(&verification::RSA_PSS_2048_8192_SHA512),
            Self::Es256 => Scheme::Public(&verification::ECDSA_P256_SHA256_FIXED),
            Self::Es384 => Scheme::Public(&verification::ECDSA_P384_SHA384_FIXED),
            Self::EdDsa => Scheme::Public(&verification::ED25519),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl VerifyKey {
    /// Parses a key for `algorithm`: a shared secret verbatim, or a public key in PEM.
    ///
    /// # Errors
    ///
    /// The rule that the key breaks. The text of the error never contains the key.
    ///
    /// RFC 7518, 3.2 (length of secrets); RFC 8725, 3.1 (algorithm confusion) and 3.5 (weak keys).
    pub fn parse(algorithm: Algorithm, text: &str) -> Result<Self, KeyError> {
        check_text(text)?;
        let material = match algorithm.scheme() {
            Scheme::Shared(hash) => Material::Secret(Box::new(secret(algorithm, hash, text)?)),
            Scheme::Public(scheme) => {
                let der = public_key(algorithm, text)?;
                // Verification would fail with a short RSA key. This reports it at the start.
                if algorithm.is_rsa() && PublicEncryptingKey::from_der(&der).is_err() {
                    return Err(KeyError::WrongKind { algorithm });
                }
                let parsed = ParsedPublicKey::new(scheme, der);
                Material::Public(parsed.map_err(|_rejected| KeyError::WrongKind { algorithm })?)
            }
        };
        Ok(Self {
            algorithm,
            material,
        })
    }

    /// Parses a key for old tokens. Old hubs accepted shared secrets of any length except zero.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), except for the length.
    pub fn parse_old(algorithm: Algorithm, text: &str) -> Result<Self, KeyError> {
        match (Self::parse(algorithm, text), algorithm.scheme()) {
            (Err(KeyError::SecretTooShort { .. }), Scheme::Shared(hash)) => {
                let key = hmac::Key::new(hash, text.as_bytes());
                Ok(Self {
                    algorithm,
                    material: Material::Secret(Box::new(key)),
                })
            }
            (parsed, _) => parsed,
        }
    }

    /// Makes a public key from its numbers. Never makes a shared secret.
    ///
    /// # Errors
    ///
    /// The key is of the wrong kind for the algorithm, too short, or damaged.
    ///
    /// RFC 7518, 3.3 and 6; RFC 8725, 3.1 and 3.5.
    pub fn of_public(algorithm: Algorithm, key: &PublicKey) -> Result<Self, KeyError> {
        let wrong = KeyError::WrongKind { algorithm };
        let Scheme::Public(scheme) = algorithm.scheme() else {
            return Err(wrong);
        };
        let bytes = match key {
            PublicKey::Rsa { modulus, exponent } if algorithm.is_rsa() => {
                let der = der::rsa_spki(modulus, exponent);
                if PublicEncryptingKey::from_der(&der).is_err() {
                    return Err(wrong);
                }
                der
            }
            PublicKey::Point(point) if !algorithm.is_rsa() => point.clone(),
            PublicKey::Rsa { .. } | PublicKey::Point(_) => return Err(wrong),
        };
        match ParsedPublicKey::new(scheme, bytes) {
            Ok(key) => Ok(Self {
                algorithm,
                material: Material::Public(key),
            }),
            Err(_rejected) => Err(wrong),
        }
    }

    /// Returns the algorithm that the key is bound to.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns whether `signature` over `signed` was made with this key and its algorithm.
    pub fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Secret(key) => {
                let expected = hmac::sign(key, signed);
                constant_time::verify_slices_are_equal(expected.as_ref(), signature).is_ok()
            }
            Material::Public(key) => key.verify_sig(signed, signature).is_ok(),
        }
    }
}

impl fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyKey({}, hidden)", self.algorithm)
    }
}

/// The two ways to verify.
enum Scheme {
    Shared(hmac::Algorithm),
    Public(&'static dyn VerificationAlgorithm),
}

#[derive(Clone)]
enum Material {
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

fn secret(algorithm: Algorithm, hash: hmac::Algorithm, text: &str) -> Result<hmac::Key, KeyError> {
    if is_pem(text) {
        return Err(KeyError::PemAsSecret { algorithm });
    }
    if PUBLISHED_KEYS.contains(&text) {
        return Err(KeyError::Published);
    }
    let bytes_min = hash.digest_algorithm().output_len();
    if text.len() < bytes_min {
        return Err(KeyError::SecretTooShort {
            algorithm,
            bytes: text.len(),
            bytes_min,
        });
    }
    Ok(hmac::Key::new(hash, text.as_bytes()))
}

/// Returns the key of a PEM text in DER.
fn public_key(algorithm: Algorithm, text: &str) -> Result<Vec<u8>, KeyError> {
    if text.contains("PRIVATE KEY-----") {
        return Err(KeyError::Private);
    }
    pem::public_key(text).ok_or(KeyError::NotPem { algorithm })
}

/// Refuses a text that cannot be a key of any kind: an empty one, or a placeholder.
///
/// # Errors
///
/// What the text is.
pub fn check_text(text: &str) -> Result<(), KeyError> {
    if text.trim().is_empty() {
        return Err(KeyError::Empty);
    }
    if placeholder::is_quoted(text) {
        return Err(KeyError::Quoted);
    }
    if Json::parse(text.as_bytes()).is_ok_and(|json| json.as_object().is_some()) {
        return Err(KeyError::Json);
    }
    if placeholder::is_unfilled_secret(text) {
        return Err(KeyError::Placeholder);
    }
    Ok(())
}

/// The fully specified name of EdDSA with Ed25519. RFC 9864, 2.2.
const ED25519: &str = "Ed25519";

/// Returns whether a text looks like a PEM file.
pub fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN ")
}

/// Keys from the Mercure project's documentation, images and tools, which many deployments forgot to change.
const PUBLISHED_KEYS: [&str; 3] = [
    "!ChangeThisMercureHubJWTSecretKey!",
    "!ChangeMe!",
    "!UnsecureChangeMe!",
];

#[cfg(test)]
mod tests;
