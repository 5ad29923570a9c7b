//! The certificate of the TLS listeners: from files, or from a certificate authority by ACME.

pub mod acme;
pub mod files;
pub(crate) mod pair;

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::ResolvesServerCert;
use tidings_cluster::Relay;
use tidings_hub::metrics::Metrics;

use self::acme::Acme;
use self::files::{Certificate, TlsFiles};
use self::pair::CertificateError;

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Files that somebody else renews.
    Files(TlsFiles),
    /// A certificate authority, which the hub asks.
    Acme(acme::Options),
}

/// The certificate in use, and what connections are accepted by.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    config: Arc<ServerConfig>,
    keeper: Keeper,
}

/// Who keeps the certificate up to date.
#[derive(Debug, Clone)]
enum Keeper {
    Files(Arc<Certificate>),
    Acme(Arc<Acme>),
}

/// Why the listeners cannot use TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("cannot prepare ACME: {0}")]
    Acme(#[from] acme::StartError),
    #[error("TLS cannot be used: {0}")]
    Rustls(#[from] rustls::Error),
}

impl Tls {
    /// Reads the certificate's files, or what the last process got from the authority, from `data_dir`.
    ///
    /// # Errors
    ///
    /// The files cannot be used, or the folder of certificates cannot be.
    pub(crate) fn open(source: Source, data_dir: &Path) -> Result<Self, TlsError> {
        let (keeper, resolver, protocols): (_, Arc<dyn ResolvesServerCert>, _) = match source {
            Source::Files(files) => {
                let certificate = Certificate::read(files)?;
                let keeper = Keeper::Files(Arc::clone(&certificate));
                (keeper, certificate, &[ALPN_HTTP2, ALPN_HTTP1][..])
            }
            Source::Acme(options) => {
                let acme = Acme::open(options, data_dir)?;
                // Last: a client that speaks HTTP too gets that.
                let protocols = &[ALPN_HTTP2, ALPN_HTTP1, acme::ALPN][..];
                (Keeper::Acme(Arc::clone(&acme)), acme, protocols)
            }
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Self {
            config: Arc::new(config),
            keeper,
        })
    }

    /// Returns what connections are accepted by.
    pub(crate) fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// Returns what is known of the authority, if the certificate comes from one.
    pub(crate) fn acme(&self) -> Option<&Acme> {
        match &self.keeper {
            Keeper::Files(_) => None,
            Keeper::Acme(acme) => Some(acme),
        }
    }

    /// Asks for the certificate again: the files are read, or a failed order is tried, now.
    pub(crate) fn want(&self) {
        match &self.keeper {
            Keeper::Files(certificate) => certificate.want(),
            Keeper::Acme(acme) => acme.want(),
        }
    }

    /// Keeps the certificate up to date; never ends. `relay` knows the other hubs of a cluster.
    pub(crate) async fn watch(&self, metrics: Arc<Metrics>, relay: &dyn Relay) -> Infallible {
        match &self.keeper {
            Keeper::Files(certificate) => Arc::clone(certificate).watch(metrics).await,
            Keeper::Acme(acme) => acme.keep(&metrics, relay).await,
        }
    }
}

/// The ALPN name of HTTP/2; RFC 9113, 3.2.
pub(crate) const ALPN_HTTP2: &[u8] = b"h2";
/// The ALPN name of HTTP/1.1; RFC 7301, 6.
const ALPN_HTTP1: &[u8] = b"http/1.1";
