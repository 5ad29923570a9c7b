//! Makes access tokens: for the pages of `tidings dev` and for `tidings token make`.
//!
//! The hub issues tokens to nobody else. `lib.rs` defines which tokens it accepts.

use std::sync::Arc;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self as signing, EcdsaKeyPair, Ed25519KeyPair, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::details::DETAIL_TYPE;
use super::key::{Algorithm, is_pem};
use super::pem::{self, PrivateKey};

/// A key that signs, bound to one algorithm. `Debug` hides it.
#[derive(Clone)]
pub struct SignKey {
    algorithm: Algorithm,
    material: Arc<Material>,
}

/// The signing key, by the kind of the algorithm.
enum Material {
    Secret(Box<hmac::Key>),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// The content of a token. All claims that RFC 9068, 2.2 requires are written.
#[derive(Debug, Clone)]
pub struct Claims {
    /// The issuer.
    pub issuer: String,
    /// The hubs that it is for. Never empty.
    pub audiences: Vec<String>,
    /// The subject.
    pub subject: String,
    /// The application that it is issued to.
    pub client_id: String,
    /// When it is issued, in seconds of Unix time.
    pub issued_at: u64,
    /// When it expires, in seconds of Unix time.
    pub expires_at: u64,
    /// Its unique id.
    pub id: String,
    /// What it allows.
    pub details: Vec<Detail>,
}

/// One authorization detail.
#[derive(Debug, Clone)]
pub struct Detail {
    /// `publish` or `subscribe`, or both.
    pub actions: Vec<&'static str>,
    /// Pairs of matcher type and pattern. Never empty.
    pub matchers: Vec<(&'static str, String)>,
    /// A JSON object that is published with the subscriptions.
    pub payload: Option<Map<String, Value>>,
}

/// Makes tokens of one issuer for one hub, as `tidings dev` does for itself.
#[derive(Debug, Clone)]
pub struct Issuing {
    /// The key.
    pub key: SignKey,
    /// The `iss`.
    pub issuer: String,
    /// The `aud`.
    pub audiences: Vec<String>,
}

/// Why no token can be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A PEM key with an algorithm for shared secrets.
    #[error("this is a PEM key, but {algorithm} takes a shared secret: choose another algorithm")]
    PemAsSecret {
        /// The chosen algorithm.
        algorithm: Algorithm,
    },
    /// The key does not fit the algorithm.
    #[error("this is not a PEM private key for {algorithm}")]
    Key {
        /// The chosen algorithm.
        algorithm: Algorithm,
    },
    /// The system has no random bytes for the token's id.
    #[error("the system provides no random bytes")]
    Random(#[from] getrandom::Error),
    /// The key cannot sign.
    #[error("the key cannot sign with {algorithm}")]
    Sign {
        /// The chosen algorithm.
        algorithm: Algorithm,
    },
}

impl SignKey {
    /// Parses a shared secret verbatim, or a private key in PEM.
    ///
    /// # Errors
    ///
    /// The key is not for `algorithm`.
    ///
    /// RFC 7518, 3.1; RFC 8037, 3.1.
    pub fn parse(algorithm: Algorithm, text: &str) -> Result<Self, IssueError> {
        let material = match algorithm {
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 if is_pem(text) => {
                return Err(IssueError::PemAsSecret { algorithm });
            }
            Algorithm::Hs256 => secret(hmac::HMAC_SHA256, text),
            Algorithm::Hs384 => secret(hmac::HMAC_SHA384, text),
            Algorithm::Hs512 => secret(hmac::HMAC_SHA512, text),
            Algorithm::Rs256 => rsa(&signing::RSA_PKCS1_SHA256, text),
            Algorithm::Rs384 => rsa(&signing::RSA_PKCS1_SHA384, text),
            Algorithm::Rs512 => rsa(&signing::RSA_PKCS1_SHA512, text),
            Algorithm::Ps256 => rsa(&signing::RSA_PSS_SHA256, text),
            Algorithm::Ps384 => rsa(&signing::RSA_PSS_SHA384, text),
            Algorithm::Ps512 => rsa(&signing::RSA_PSS_SHA512, text),
            Algorithm::Es256 => ecdsa(&signing::ECDSA_P256_SHA256_FIXED_SIGNING, text),
            Algorithm::Es384 => ecdsa(&signing::ECDSA_P384_SHA384_FIXED_SIGNING, text),
            Algorithm::EdDsa => ed25519(text),
        };
        let material = Arc::new(material.ok_or(IssueError::Key { algorithm })?);
        Ok(Self {
            algorithm,
            material,
        })
    }

    /// Makes a token in compact serialization. `kid` names the key in its header.
    ///
    /// # Errors
    ///
    /// The library cannot sign.
    pub fn sign(&self, claims: &Claims, kid: Option<&str>) -> Result<String, IssueError> {
        let mut header = Map::new();
        header.insert("alg".to_owned(), self.algorithm.name().into());
        header.insert("typ".to_owned(), "at+jwt".into());
        header.extend(kid.map(|kid| ("kid".to_owned(), kid.into())));
        let claims = claims.to_json().to_string();
        self.sign_text(&Value::Object(header).to_string(), &claims)
    }

    /// Signs a header and claims unchanged.
    ///
    /// # Errors
    ///
    /// The library cannot sign.
    pub fn sign_text(&self, header: &str, claims: &str) -> Result<String, IssueError> {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let signed = format!("{}.{}", encode(header), encode(claims));
        match self.material.sign(signed.as_bytes()) {
            Ok(signature) => Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))),
            Err(_library) => Err(IssueError::Sign {
                algorithm: self.algorithm,
            }),
        }
    }
}

impl Material {
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        match self {
            Self::Secret(key) => Ok(hmac::sign(key, text).as_ref().to_vec()),
            Self::Rsa(key, encoding) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(*encoding, &random, text, &mut signature)?;
                Ok(signature)
            }
            Self::Ecdsa(key) => Ok(key.sign(&random, text)?.as_ref().to_vec()),
            Self::Ed25519(key) => Ok(key.sign(text).as_ref().to_vec()),
        }
    }
}

fn secret(hash: hmac::Algorithm, text: &str) -> Option<Material> {
    let key = hmac::Key::new(hash, text.as_bytes());
    Some(Material::Secret(Box::new(key)))
}

fn rsa(encoding: &'static dyn RsaEncoding, text: &str) -> Option<Material> {
    let key = match pem::private_key(text)? {
        PrivateKey::Pkcs8(der) => RsaKeyPair::from_pkcs8(&der),
        PrivateKey::Rsa(der) => RsaKeyPair::from_der(&der),
    };
    Some(Material::Rsa(key.ok()?, encoding))
}

fn ecdsa(algorithm: &'static signing::EcdsaSigningAlgorithm, text: &str) -> Option<Material> {
    let PrivateKey::Pkcs8(der) = pem::private_key(text)? else {
        return None;
    };
    let key = EcdsaKeyPair::from_pkcs8(algorithm, &der);
    Some(Material::Ecdsa(key.ok()?))
}

fn ed25519(text: &str) -> Option<Material> {
    let PrivateKey::Pkcs8(der) = pem::private_key(text)? else {
        return None;
    };
    Some(Material::Ed25519(Ed25519KeyPair::from_pkcs8(&der).ok()?))
}

impl std::fmt::Debug for SignKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignKey({}, hidden)", self.algorithm)
    }
}

impl Issuing {
    /// Makes a token about `subject` that allows `details` for `ttl_secs` from `issued_at` on.
    ///
    /// # Errors
    ///
    /// The key cannot sign, or the system has no random bytes.
    pub fn token(
        &self,
        subject: &str,
        details: Vec<Detail>,
        issued_at: u64,
        ttl_secs: u64,
    ) -> Result<String, IssueError> {
        let claims = Claims {
            issuer: self.issuer.clone(),
            audiences: self.audiences.clone(),
            subject: subject.to_owned(),
            client_id: self.issuer.clone(),
            issued_at,
            expires_at: issued_at.saturating_add(ttl_secs),
            id: new_id()?,
            details,
        };
        self.key.sign(&claims, None)
    }
}

/// Returns a new random URN (UUID version 4).
///
/// # Errors
///
/// The system has no random bytes.
pub fn new_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .urn()
        .to_string())
}

impl Claims {
    fn to_json(&self) -> Value {
        let audience = match self.audiences.as_slice() {
            [one] => json!(one),
            several => json!(several),
        };
        json!({
            "iss": self.issuer,
            "aud": audience,
            "sub": self.subject,
            "client_id": self.client_id,
            "iat": self.issued_at,
            "exp": self.expires_at,
            "jti": self.id,
            "authorization_details": self.details.iter().map(Detail::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Detail {
    fn to_json(&self) -> Value {
        let topics = self.matchers.iter().map(|(kind, pattern)| match *kind {
            "exact" => json!({ "match": pattern }),
            kind => json!({ "match": pattern, "match_type": kind }),
        });
        let mut detail = Map::new();
        detail.insert("type".to_owned(), DETAIL_TYPE.into());
        detail.insert("actions".to_owned(), json!(self.actions));
        detail.insert("topics".to_owned(), topics.collect());
        detail.extend(
            self.payload
                .clone()
                .map(|payload| ("payload".to_owned(), payload.into())),
        );
        Value::Object(detail)
    }
}

#[cfg(test)]
mod tests;
