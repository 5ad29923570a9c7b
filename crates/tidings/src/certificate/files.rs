//! A certificate from files, which are read again when they change. Open connections keep the certificate that they
//! began with.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tidings_hub::metrics::{Metrics, count_result};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::pair::{self, CertificateError};

/// How often the files are checked for changes.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The certificate's files. Both are PEM, and read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key of the first certificate.
    pub key: PathBuf,
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
        let current = ArcSwap::from_pointee(pair::load(&files.certificate, &files.key)?);
        Ok(Arc::new(Self {
            files,
            current,
            wanted: Notify::new(),
        }))
    }

    /// Asks [`watch`](Self::watch) to read the files now, even if they have not changed.
    pub(crate) fn want(&self) {
        self.wanted.notify_one();
    }

    /// Checks the files every [`LOOK_EVERY`] and reads them when they have changed. If the new pair is unusable, logs
    /// that and keeps the current one. Never ends.
    pub(crate) async fn watch(self: Arc<Self>, metrics: Arc<Metrics>) -> Infallible {
        let mut seen = self.stamps();
        pair::show_expiry(&self.current.load(), &metrics);
        loop {
            let wanted = timeout(LOOK_EVERY, self.wanted.notified()).await.is_ok();
            let now = self.stamps();
            if now == seen && !wanted {
                continue;
            }
            match pair::load(&self.files.certificate, &self.files.key) {
                Ok(key) => {
                    self.current.store(Arc::new(key));
                    count_result(&metrics.certificate.reloaded, "ok");
                    pair::show_expiry(&self.current.load(), &metrics);
                    tracing::info!(certificate = %self.files.certificate.display(), "certificate reloaded");
                }
                Err(error) => {
                    count_result(&metrics.certificate.reloaded, "failed");
                    tracing::error!(%error, "cannot use the new certificate; keeping the current one");
                }
            }
            seen = now;
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
