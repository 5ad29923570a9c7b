//! What proves to the authority that the hub answers for a name, while an order is under way.
//!
//! The control thread changes the table; every shard reads it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use instant_acme::KeyAuthorization;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::shared::Shown;

/// The answers to the challenges of one order.
#[derive(Debug, Default)]
pub(super) struct Answers(ArcSwap<Table>);

#[derive(Debug, Default, Clone)]
struct Table {
    /// By name, in lower case.
    certificates: HashMap<String, Arc<CertifiedKey>>,
    /// By token.
    documents: HashMap<String, String>,
    /// What the certificates were made from.
    digests: BTreeMap<String, Digest>,
}

/// The SHA-256 of a proof; RFC 8737, 3.
pub(super) type Digest = [u8; 32];

/// Why no certificate could be made for a challenge.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error(transparent)]
    Make(#[from] rcgen::Error),
    #[error(transparent)]
    Use(#[from] rustls::Error),
}

impl Answers {
    /// Adds the certificate by which TLS-ALPN-01 proves a name; RFC 8737, 3.
    ///
    /// # Errors
    ///
    /// The name cannot be in a certificate, or the system has no random bytes.
    pub(super) fn add_proof(
        &self,
        name: &str,
        proof: &KeyAuthorization,
    ) -> Result<(), AnswerError> {
        let mut digest = Digest::default();
        for (to, from) in digest.iter_mut().zip(proof.digest().as_ref()) {
            *to = *from;
        }
        self.add_certificate(name, &digest)
    }

    fn add_certificate(&self, name: &str, digest: &Digest) -> Result<(), AnswerError> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = aws_lc_rs::sign::any_supported_type(&key)?;
        let pair = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key));
        self.change(|table| {
            table.certificates.insert(name.to_lowercase(), pair);
            table.digests.insert(name.to_owned(), *digest);
        });
        Ok(())
    }

    /// Returns all answers, for other hubs.
    pub(super) fn shown(&self) -> Shown {
        let table = self.0.load();
        let documents = table.documents.iter();
        Shown {
            documents: documents
                .map(|(token, document)| (token.clone(), document.clone()))
                .collect(),
            digests: table.digests.clone(),
        }
    }

    /// Gives the answers of another hub, and no other.
    ///
    /// # Errors
    ///
    /// A certificate for a name cannot be made.
    pub(super) fn show(&self, shown: &Shown) -> Result<(), AnswerError> {
        if self.shown() == *shown {
            return Ok(());
        }
        self.clear();
        let documents = shown.documents.clone().into_iter().collect();
        self.change(|table| table.documents = documents);
        let mut digests = shown.digests.iter();
        digests.try_for_each(|(name, digest)| self.add_certificate(name, digest))
    }

    /// Adds the document by which HTTP-01 proves a name.
    pub(super) fn add_document(&self, token: &str, proof: &KeyAuthorization) {
        let (token, document) = (token.to_owned(), proof.as_str().to_owned());
        self.change(|table| {
            table.documents.insert(token, document);
        });
    }

    /// Removes all answers: an order is over.
    pub(super) fn clear(&self) {
        self.0.store(Arc::default());
    }

    /// Returns the certificate that proves a name.
    pub(super) fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let table = self.0.load();
        table.certificates.get(&name.to_lowercase()).cloned()
    }

    /// Returns the document for a token.
    pub(super) fn document(&self, token: &str) -> Option<String> {
        self.0.load().documents.get(token).cloned()
    }

    fn change(&self, change: impl FnOnce(&mut Table)) {
        let mut table = Table::clone(&self.0.load());
        change(&mut table);
        self.0.store(Arc::new(table));
    }
}
