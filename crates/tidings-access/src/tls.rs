//! TLS to the servers, from PEM files: a private authority, a certificate of ours.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why a file cannot be used for TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It cannot be read, or is no PEM.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The fault.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// It contains no certificate.
    #[error("{path} contains no certificate")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// An authority or a certificate cannot be used.
    #[error("{path} cannot be used")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The fault.
        #[source]
        source: rustls::Error,
    },
    /// The cryptography that is built in has no version of TLS that is in use.
    #[error("there is no usable version of TLS")]
    Versions {
        /// The fault.
        #[source]
        source: rustls::Error,
    },
    /// The system has no authorities.
    #[error("the system has no certificate authorities; name one by `ca_file`")]
    NoAuthorities,
}

/// The files of TLS.
#[derive(Debug, Clone, Copy, Default)]
pub struct TlsFiles<'a> {
    /// Authorities that servers are believed by. Nothing: those of the system.
    pub authorities: Option<&'a Path>,
    /// Our certificate with its chain, and its key, where servers ask for one.
    pub identity: Option<(&'a Path, &'a Path)>,
}

/// TLS to the servers: whom to believe, and who we are.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

impl fmt::Debug for Tls {
    /// Shows nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// [`TlsError`] names the file.
    pub fn read(files: TlsFiles<'_>) -> Result<Self, TlsError> {
        let roots = authorities(files.authorities)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|source| TlsError::Versions { source })?
            .with_root_certificates(roots);
        let config = match files.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Read {
                    path: key.to_owned(),
                    source,
                })?;
                let unusable = |source| TlsError::Unusable {
                    path: certificate.to_owned(),
                    source,
                };
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(unusable)?
            }
        };
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// Returns how connections are secured.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }
}

fn authorities(file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() {
            Err(TlsError::NoAuthorities)
        } else {
            Ok(roots)
        };
    };
    for certificate in certificates(path)? {
        let unusable = |source| TlsError::Unusable {
            path: path.to_owned(),
            source,
        };
        roots.add(certificate).map_err(unusable)?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = |source| TlsError::Read {
        path: path.to_owned(),
        source,
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(read)?
        .collect::<Result<_, _>>()
        .map_err(read)?;
    if chain.is_empty() {
        return Err(TlsError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(chain)
}
