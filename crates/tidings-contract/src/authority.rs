//! Certificates for servers and hubs of a test.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// A private authority.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

impl Authority {
    /// Makes one.
    ///
    /// # Panics
    ///
    /// If no key can be made.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Not the name of the certificates that it signs: those would look signed by themselves.
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate_pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            certificate_pem,
        }
    }

    /// Returns its own certificate, as PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Signs a certificate for a host, which is its common name too. Returns it and its key, as PEM.
    ///
    /// # Panics
    ///
    /// If `host` is no name.
    #[must_use]
    pub fn sign(&self, host: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, host);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
