//! Why a hub gave no response, in words that say what to do.

use std::error::Error;
use std::io;

use rustls::{CertificateError, InvalidMessage};
use url::Url;

/// No response came.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoResponse(String);

impl NoResponse {
    /// Explains why `url` did not answer. `shown` is the URL without its secrets.
    pub fn new(error: &ureq::Error, url: &Url, shown: &str) -> Self {
        let text = of_tls(error, url)
            .or_else(|| of_connection(error, url, shown))
            .unwrap_or_else(|| format!("{shown}: {error}"));
        Self(text)
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library may add errors; one without words of ours has its own"
)]
fn of_connection(error: &ureq::Error, url: &Url, shown: &str) -> Option<String> {
    let place = place(url);
    let host = url.host_str().unwrap_or_default();
    let refused = || {
        let hint = if crate::config::check::is_loopback(url) {
            "is `tidings dev` running?"
        } else {
            "is the hub running, and is its port the right one?"
        };
        Some(format!("nothing listens at {place}; {hint}"))
    };
    match error {
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => refused(),
        ureq::Error::ConnectionFailed => refused(),
        ureq::Error::HostNotFound => Some(format!("there is no host named {host}")),
        ureq::Error::Timeout(_) => Some(format!("{shown} did not answer in time")),
        // The alert of a TLS server is no response of HTTP.
        ureq::Error::Protocol(_) if url.scheme() == "http" => Some(format!(
            "{place} does not answer in HTTP: if it uses TLS, write https:// instead of http://"
        )),
        ureq::Error::Io(error)
            if url.scheme() == "http" && error.kind() == io::ErrorKind::UnexpectedEof =>
        {
            Some(format!(
                "{place} closed the connection without an answer: if it uses TLS, write https:// \
                 instead of http://"
            ))
        }
        _ => None,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library may add errors; one without words of ours has its own"
)]
fn of_tls(error: &ureq::Error, url: &Url) -> Option<String> {
    let place = place(url);
    let host = url.host_str().unwrap_or_default();
    Some(match rustls_error(error)? {
        rustls::Error::InvalidCertificate(error) => of_certificate(error, &place, host),
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => format!("{place} does not use TLS: write http:// instead of https://"),
        rustls::Error::AlertReceived(alert) => {
            format!("{place} ended the TLS handshake with the alert {alert:?}")
        }
        rustls::Error::PeerIncompatible(_) => {
            format!("{place} and this program have no version of TLS or cipher in common")
        }
        error => format!("no TLS connection with {place}: {error}"),
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library may add errors; one without words of ours has its own"
)]
fn of_certificate(error: &CertificateError, place: &str, host: &str) -> String {
    match error {
        CertificateError::UnknownIssuer => format!(
            "the certificate of {place} is from an authority that this machine does not trust: name \
             the authority's certificate with --ca FILE"
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the certificate of {place} is not for the name {host}")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the certificate of {place} has expired")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate of {place} is not valid yet: is this machine's clock right?")
        }
        CertificateError::Revoked => format!("the certificate of {place} was revoked"),
        CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => format!(
            "the certificate of {place} was not signed by an authority that this machine trusts, or \
             not in a way that this program knows: name the authority's certificate with --ca FILE"
        ),
        // What `openssl req -x509` makes by itself. The library gives only the name of the error.
        CertificateError::Other(error) if error.to_string() == "CaUsedAsEndEntity" => format!(
            "the certificate of {place} is one of an authority, not of a server: make it with \
             basicConstraints=CA:FALSE"
        ),
        error => format!("the certificate of {place} cannot be used: {error}"),
    }
}

/// Finds the error of TLS among the causes; one of the connection hides it in its own.
fn rustls_error(error: &ureq::Error) -> Option<&rustls::Error> {
    if let ureq::Error::Rustls(error) = error {
        return Some(error);
    }
    let ureq::Error::Io(error) = error else {
        return None;
    };
    let mut cause: Option<&(dyn Error + 'static)> = error.get_ref().map(|error| error as _);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        cause = match error.downcast_ref::<io::Error>() {
            Some(error) => error.get_ref().map(|error| error as _),
            None => error.source(),
        };
    }
    None
}

/// Returns the host and the port.
fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}
