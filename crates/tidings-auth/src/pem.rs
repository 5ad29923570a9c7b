//! Reads keys from PEM text: public keys (also PKCS #1 RSA keys, and certificates) and private keys (PKCS #8, and
//! PKCS #1 RSA keys).
//!
//! Environment variables and configuration files often hold a PEM text on one line, with `\\n` for the
//! line breaks or with spaces instead. Base64 contains neither, so both are accepted.
//!
//! RFC 7468; RFC 5958; RFC 8017, A.1.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustls::server::ParsedCertificate;
use rustls_pki_types::CertificateDer;

use super::der;

/// A private key in DER, by its format.
pub(crate) enum PrivateKey {
    /// A PrivateKeyInfo, whatever its algorithm.
    Pkcs8(Vec<u8>),
    /// An RSAPrivateKey.
    Rsa(Vec<u8>),
}

/// Returns the first public key of a PEM text as a SubjectPublicKeyInfo in DER. Skips sections without a public
/// key.
///
/// Only the key of a certificate counts, not its names and dates: the configuration says which issuer it belongs
/// to, and how long it is valid.
pub(crate) fn public_key(text: &str) -> Option<Vec<u8>> {
    for (label, body) in sections(text) {
        match label {
            "PUBLIC KEY" => return decode(body),
            "RSA PUBLIC KEY" => return Some(der::rsa_spki_of(&decode(body)?)),
            "CERTIFICATE" | "X509 CERTIFICATE" => {
                let certificate = CertificateDer::from(decode(body)?);
                let parsed = ParsedCertificate::try_from(&certificate).ok()?;
                return Some(parsed.subject_public_key_info().to_vec());
            }
            _ => {}
        }
    }
    None
}

/// Returns the first private key of a PEM text. Skips other sections.
pub(crate) fn private_key(text: &str) -> Option<PrivateKey> {
    sections(text).find_map(|(label, body)| match label {
        "PRIVATE KEY" => decode(body).map(PrivateKey::Pkcs8),
        "RSA PRIVATE KEY" => decode(body).map(PrivateKey::Rsa),
        _ => None,
    })
}

/// Returns the label and the content of each section of a PEM text. Stops at a section without an end.
fn sections(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once("-----BEGIN ")?;
        let (label, after) = after.split_once("-----")?;
        let (body, after) = after.split_once(&format!("-----END {label}-----"))?;
        rest = after;
        Some((label, body))
    })
}

/// Decodes the text between the two lines.
fn decode(body: &str) -> Option<Vec<u8>> {
    let mut characters = body.chars().peekable();
    let mut encoded = String::with_capacity(body.len());
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                characters.next_if(|next| matches!(next, 'n' | 'r' | 't'))?;
            }
            character if character.is_whitespace() => {}
            character => encoded.push(character),
        }
    }
    BASE64.decode(encoded).ok()
}

/// Padding may be missing: the length implies it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
