//! A certificate chain with its private key, from PEM.

use std::path::Path;

use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tidings_hub::metrics::Metrics;
use tidings_wire::byte_order_mark;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("{path}: {source}")]
    Read {
        path: String,
        source: rustls_pki_types::pem::Error,
    },
    #[error("{path} contains no certificate")]
    Empty { path: String },
    #[error("the key {path} cannot be used: {source}")]
    Key { path: String, source: rustls::Error },
    #[error("the key {key} does not belong to the certificate {certificate}")]
    Mismatch { certificate: String, key: String },
}

/// When a certificate counts, in seconds since the Unix epoch; RFC 5280, 4.1.2.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

/// Returns when the certificate of a pair counts.
pub(crate) fn validity(pair: &CertifiedKey) -> Option<Validity> {
    let (_, certificate) = parse_x509_certificate(pair.end_entity_cert().ok()?).ok()?;
    let validity = certificate.validity();
    Some(Validity {
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
    })
}

/// Returns whether the certificate of a pair is for all of `names`; RFC 6125, 6.4.
pub(crate) fn is_for(pair: &CertifiedKey, names: &[String]) -> bool {
    let certificate = pair.end_entity_cert().ok();
    let Some((_, certificate)) = certificate.and_then(|der| parse_x509_certificate(der).ok())
    else {
        return false;
    };
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else {
        return false;
    };
    names.iter().all(|name| {
        let mut known = alternative.value.general_names.iter();
        known.any(|known| matches!(known, GeneralName::DNSName(known) if known.eq_ignore_ascii_case(name)))
    })
}

/// Shows when the certificate in use expires.
pub(crate) fn show_expiry(pair: &CertifiedKey, metrics: &Metrics) {
    if let Some(validity) = validity(pair) {
        metrics.certificate.expiry.set(validity.not_after);
    }
}

/// Reads a certificate chain and its key, which may be in one file.
///
/// # Errors
///
/// A file cannot be read, or the key does not belong to the certificate.
pub(crate) fn load(certificate: &Path, key: &Path) -> Result<CertifiedKey, CertificateError> {
    let (chain, private) = (pem_of(certificate)?, pem_of(key)?);
    let shown = |path: &Path| path.display().to_string();
    of_pem((shown(certificate), &chain), (shown(key), &private))
}

/// Reads a chain and its key that are in no file.
///
/// # Errors
///
/// They are no PEM, or the key does not belong to the certificate.
pub(crate) fn parse(key: &str, chain: &str) -> Result<CertifiedKey, CertificateError> {
    let chain = ("the chain".to_owned(), chain.as_bytes());
    of_pem(chain, ("made for it".to_owned(), key.as_bytes()))
}

/// Makes a pair of two texts, each with the name by which errors call it.
fn of_pem(
    (certificate, chain): (String, &[u8]),
    (key, private): (String, &[u8]),
) -> Result<CertifiedKey, CertificateError> {
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(chain).collect();
    let chain = match chain {
        Ok(chain) if chain.is_empty() => return Err(CertificateError::Empty { path: certificate }),
        Ok(chain) => chain,
        Err(source) => {
            let path = certificate;
            return Err(CertificateError::Read { path, source });
        }
    };
    let private = match PrivateKeyDer::from_pem_slice(private) {
        Ok(private) => private,
        Err(source) => return Err(CertificateError::Read { path: key, source }),
    };
    let private = match aws_lc_rs::sign::any_supported_type(&private) {
        Ok(private) => private,
        Err(source) => return Err(CertificateError::Key { path: key, source }),
    };
    let certified = CertifiedKey::new(chain, private);
    match certified.keys_match() {
        // `Unknown` means that the key cannot tell, not that it is wrong.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(certified)
        }
        Err(_) => Err(CertificateError::Mismatch { certificate, key }),
    }
}

/// Reads a PEM file, without a byte order mark before its first line.
fn pem_of(path: &Path) -> Result<Vec<u8>, CertificateError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(byte_order_mark::without_bytes(&bytes).to_vec()),
        Err(source) => Err(CertificateError::Read {
            path: path.display().to_string(),
            source: rustls_pki_types::pem::Error::Io(source),
        }),
    }
}
