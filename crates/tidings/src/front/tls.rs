//! TLS from certificate files, which are read again when they change. Open connections keep the certificate that they
//! began with.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tidings_hub::metrics::{Metrics, count_result};
use tidings_wire::byte_order_mark;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::config::TlsFiles;

/// How often the files are checked for changes.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(2);

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

/// The certificate in use.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: TlsFiles,
    current: ArcSwap<CertifiedKey>,
    wanted: Notify,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or the key does not belong to the certificate.
    pub(crate) fn read(files: TlsFiles) -> Result<Arc<Self>, CertificateError> {
        let current = ArcSwap::from_pointee(load(&files)?);
        Ok(Arc::new(Self {
            files,
            current,
            wanted: Notify::new(),
        }))
    }

    /// Makes the TLS configuration of the listeners: this certificate, HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    ///
    /// The cryptographic provider offers no safe protocol version. No build of ours can cause that.
    pub(crate) fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Asks [`watch`](Self::watch) to read the files now, even if they have not changed.
    pub(crate) fn want(&self) {
        self.wanted.notify_one();
    }

    /// Checks the files every [`LOOK_EVERY`] and reads them when they have changed. If the new pair is unusable, logs
    /// that and keeps the current one. Never ends.
    pub(crate) async fn watch(self: Arc<Self>, metrics: Arc<Metrics>) -> Infallible {
        let mut seen = self.stamps();
        self.show_expiry(&metrics);
        loop {
            let wanted = timeout(LOOK_EVERY, self.wanted.notified()).await.is_ok();
            let now = self.stamps();
            if now == seen && !wanted {
                continue;
            }
            match load(&self.files) {
                Ok(key) => {
                    self.current.store(Arc::new(key));
                    count_result(&metrics.certificates_reloaded, "ok");
                    self.show_expiry(&metrics);
                    tracing::info!(certificate = %self.files.certificate.display(), "certificate reloaded");
                }
                Err(error) => {
                    count_result(&metrics.certificates_reloaded, "failed");
                    tracing::error!(%error, "cannot use the new certificate; keeping the current one");
                }
            }
            seen = now;
        }
    }

    fn show_expiry(&self, metrics: &Metrics) {
        let current = self.current.load();
        if let Some(secs) = current.end_entity_cert().ok().and_then(expiry) {
            metrics.certificate_expiry.set(secs);
        }
    }

    /// Returns time and size of each file, which differ after a change.
    fn stamps(&self) -> [Option<(SystemTime, u64)>; 2] {
        [&self.files.certificate, &self.files.key].map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// Returns when a certificate expires, in seconds since the Unix epoch; RFC 5280, 4.1.2.5.
fn expiry(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
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

fn load(files: &TlsFiles) -> Result<CertifiedKey, CertificateError> {
    let shown = |path: &Path| path.display().to_string();
    let read = |path: &Path| {
        let path = shown(path);
        move |source| CertificateError::Read { path, source }
    };
    let pem = pem_of(&files.certificate)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(read(&files.certificate))?;
    if chain.is_empty() {
        return Err(CertificateError::Empty {
            path: shown(&files.certificate),
        });
    }
    let pem = pem_of(&files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(read(&files.key))?;
    let key =
        aws_lc_rs::sign::any_supported_type(&key).map_err(|source| CertificateError::Key {
            path: shown(&files.key),
            source,
        })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // `Unknown` means that the key cannot tell, not that it is wrong.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(certified)
        }
        Err(_) => Err(CertificateError::Mismatch {
            certificate: shown(&files.certificate),
            key: shown(&files.key),
        }),
    }
}
