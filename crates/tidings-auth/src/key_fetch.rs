//! Fetches a key set: one GET over HTTPS, bounded in time and size, that follows no redirect.
//!
//! Own code on hyper instead of the command line's ureq, because that one blocks a thread. The address
//! comes from the configuration alone, never from a token (`jku`), and a redirect is refused, so that
//! nobody but the operator decides what the hub connects to.
//!
//! Mercure, "Token Validation"; RFC 8725, 3.10.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::key_set::DOCUMENT_BYTES_MAX;

/// Fetches key sets. Trusts the authorities that the system trusts.
pub struct Fetcher {
    tls: TlsConnector,
}

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It took too long.
    #[error("no answer within {} s", FETCH_MAX.as_secs())]
    Timeout,
    /// No connection could be made.
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    /// The server could not be authenticated, or does not speak TLS.
    #[error("the TLS connection failed: {0}")]
    Tls(std::io::Error),
    /// The connection broke, or the response is not HTTP.
    #[error("the request failed: {0}")]
    Http(#[from] hyper::Error),
    /// The response is a redirect.
    #[error("the server redirects ({0}), and redirects are not followed: write the final address")]
    Redirect(StatusCode),
    /// The response has an error status.
    #[error("the server answered {0}")]
    Status(StatusCode),
    /// The document is too long.
    #[error("the document has more than {DOCUMENT_BYTES_MAX} bytes")]
    TooLong,
    /// The URL has no host to send the request to.
    #[error("the address has no host")]
    Address,
}

impl FetchError {
    /// Returns the label for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Http(_) => "http",
            Self::Redirect(_) => "redirect",
            Self::Status(_) => "status",
            Self::TooLong => "too_long",
            Self::Address => "address",
        }
    }
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").finish_non_exhaustive()
    }
}

impl Fetcher {
    /// Makes a fetcher that trusts the system's authorities. `SSL_CERT_FILE` and `SSL_CERT_DIR` are respected.
    ///
    /// # Errors
    ///
    /// The cryptographic provider offers no safe protocol version. No build of the hub has such a provider.
    pub fn new() -> Result<Self, rustls::Error> {
        let mut roots = rustls::RootCertStore::empty();
        // Certificates that rustls cannot read are skipped. The others are still trusted.
        let (_added, _unreadable) =
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: Arc::new(config).into(),
        })
    }

    /// Fetches a document.
    ///
    /// # Errors
    ///
    /// Why it failed.
    pub async fn fetch(&self, url: &url::Url) -> Result<Vec<u8>, FetchError> {
        match timeout(FETCH_MAX, self.exchange(url)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(FetchError::Timeout),
        }
    }

    async fn exchange(&self, url: &url::Url) -> Result<Vec<u8>, FetchError> {
        let host = url.host_str().ok_or(FetchError::Address)?;
        let port = url.port_or_known_default().ok_or(FetchError::Address)?;
        // The brackets belong to the URL, not to the address.
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let tcp = TcpStream::connect((name, port))
            .await
            .map_err(FetchError::Connect)?;
        if url.scheme() != "https" {
            return get(tcp, url, host).await;
        }
        let name = ServerName::try_from(name.to_owned()).map_err(|_invalid| FetchError::Address)?;
        let tls = self.tls.connect(name, tcp).await.map_err(FetchError::Tls)?;
        get(tls, url, host).await
    }
}

/// Sends the request and reads the response, while driving the connection.
async fn get(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    url: &url::Url,
    host: &str,
) -> Result<Vec<u8>, FetchError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let authority = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let request = Request::get(target)
        .header(HOST, authority)
        .header(ACCEPT, "application/jwk-set+json, application/json")
        .header(USER_AGENT, concat!("tidings/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|_malformed| FetchError::Address)?;
    let mut document = pin!(async move {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        if status.is_redirection() {
            return Err(FetchError::Redirect(status));
        }
        if status != StatusCode::OK {
            return Err(FetchError::Status(status));
        }
        gather(answer.into_body()).await
    });
    tokio::select! {
        document = &mut document => return document,
        // What arrived before the connection ended can still be read.
        ended = connection => ended?,
    }
    document.await
}

async fn gather(mut body: Incoming) -> Result<Vec<u8>, FetchError> {
    if body.size_hint().lower() > DOCUMENT_BYTES_MAX as u64 {
        return Err(FetchError::TooLong);
    }
    let mut document = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if document.len() + data.len() > DOCUMENT_BYTES_MAX {
            return Err(FetchError::TooLong);
        }
        document.extend_from_slice(data);
    }
    Ok(document)
}

/// How long a fetch may take, from the DNS query to the last byte.
const FETCH_MAX: Duration = Duration::from_secs(10);
