//! Reads public keys out of PEM text: keys, RSA keys of PKCS #1, and certificates.
//!
//! Environment variables and configuration files often hold a PEM text on one line, with `\\n` for the
//! line breaks or with spaces instead. Neither stands in base64, so that both are read.
//!
//! RFC 7468; RFC 8017, A.1.1.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustls::server::ParsedCertificate;
use rustls_pki_types::CertificateDer;

use super::der;

/// Returns the first public key of a PEM text as a SubjectPublicKeyInfo in DER. Sections that hold no
/// public key are passed over.
///
/// Of a certificate only the key counts, not its names and dates: the configuration says whom it is
/// from and how long it is good for.
pub fn public_key(text: &str) -> Option<Vec<u8>> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (label, after) = after.split_once("-----")?;
        let (body, after) = after.split_once(&format!("-----END {label}-----"))?;
        rest = after;
        let bytes = || decode(body);
        match label {
            "PUBLIC KEY" => return bytes(),
            "RSA PUBLIC KEY" => return Some(der::rsa_spki_of(&bytes()?)),
            "CERTIFICATE" | "X509 CERTIFICATE" => {
                let certificate = CertificateDer::from(bytes()?);
                let parsed = ParsedCertificate::try_from(&certificate).ok()?;
                return Some(parsed.subject_public_key_info().to_vec());
            }
            _ => {}
        }
    }
    None
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

/// Padding may be missing: it says nothing that the length does not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
