//! Makes access tokens: for the pages of `tidings dev` and for `tidings token make`.
//!
//! The hub itself never issues a token to anyone else. What it accepts is in `auth.rs`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use serde_json::{Map, Value, json};

use super::details::DETAIL_TYPE;
use super::key::{Algorithm, is_pem};

/// A key that signs, bound to one algorithm. `Debug` hides it.
#[derive(Clone)]
pub struct SignKey {
    algorithm: Algorithm,
    key: EncodingKey,
}

/// What a token says. All claims that RFC 9068, 2.2 asks for are written.
#[derive(Debug, Clone)]
pub struct Claims {
    /// Who issues it.
    pub issuer: String,
    /// The hub it is for. Never empty.
    pub audiences: Vec<String>,
    /// Whom it is about.
    pub subject: String,
    /// The application it was issued to.
    pub client_id: String,
    /// When it is issued, in seconds of Unix time.
    pub issued_at: u64,
    /// When it ends, in seconds of Unix time.
    pub expires_at: u64,
    /// Its own name, unique.
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
    /// A JSON object that goes with subscriptions.
    pub payload: Option<Map<String, Value>>,
}

/// Makes tokens of one issuer for one hub: what `tidings dev` does for itself.
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
    #[error("this is no private key in PEM for {algorithm}")]
    Key {
        /// The chosen algorithm.
        algorithm: Algorithm,
    },
    /// The system has no random bytes for the token's name.
    #[error("no random bytes from the system")]
    Random(#[from] getrandom::Error),
    /// The key is not able to sign.
    #[error("the key cannot sign with {algorithm}")]
    Sign {
        /// The chosen algorithm.
        algorithm: Algorithm,
    },
}

impl SignKey {
    /// Reads a shared secret as it stands, or a private key in PEM.
    ///
    /// # Errors
    ///
    /// If the key is not for `algorithm`.
    pub fn parse(algorithm: Algorithm, text: &str) -> Result<Self, IssueError> {
        let pem = text.as_bytes();
        let key = match algorithm {
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 if is_pem(text) => {
                return Err(IssueError::PemAsSecret { algorithm });
            }
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => {
                Ok(EncodingKey::from_secret(pem))
            }
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => EncodingKey::from_rsa_pem(pem),
            Algorithm::Es256 | Algorithm::Es384 => EncodingKey::from_ec_pem(pem),
            Algorithm::EdDsa => EncodingKey::from_ed_pem(pem),
        };
        match key {
            Ok(key) => Ok(Self { algorithm, key }),
            Err(_library) => Err(IssueError::Key { algorithm }),
        }
    }

    /// Makes a token in compact serialization; `kid` names the key in its header.
    ///
    /// # Errors
    ///
    /// If the key turns out not to be for its algorithm.
    pub fn sign(&self, claims: &Claims, kid: Option<&str>) -> Result<String, IssueError> {
        let mut header = Map::new();
        header.insert("alg".to_owned(), self.algorithm.name().into());
        header.insert("typ".to_owned(), "at+jwt".into());
        header.extend(kid.map(|kid| ("kid".to_owned(), kid.into())));
        let claims = claims.to_json().to_string();
        self.sign_text(&Value::Object(header).to_string(), &claims)
    }

    /// Signs a header and claims as they stand.
    ///
    /// # Errors
    ///
    /// If the key turns out not to be for its algorithm.
    pub fn sign_text(&self, header: &str, claims: &str) -> Result<String, IssueError> {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let signed = format!("{}.{}", encode(header), encode(claims));
        let algorithm = self.algorithm;
        let signature =
            jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, library_algorithm(algorithm));
        match signature {
            Ok(signature) => Ok(format!("{signed}.{signature}")),
            Err(_library) => Err(IssueError::Sign { algorithm }),
        }
    }
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
    /// If the key cannot sign or the system has no random bytes.
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
/// If the system has no random bytes.
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

fn library_algorithm(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::Hs384 => jsonwebtoken::Algorithm::HS384,
        Algorithm::Hs512 => jsonwebtoken::Algorithm::HS512,
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::Rs384 => jsonwebtoken::Algorithm::RS384,
        Algorithm::Rs512 => jsonwebtoken::Algorithm::RS512,
        Algorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::Ps384 => jsonwebtoken::Algorithm::PS384,
        Algorithm::Ps512 => jsonwebtoken::Algorithm::PS512,
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::Es384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
    }
}
