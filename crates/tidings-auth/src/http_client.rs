//! One request to another server: over HTTP/1.1, with TLS if the URL asks for it, bounded in time and size.
//!
//! Own code on hyper instead of the command line's ureq, because that one blocks a thread. It follows no
//! redirect, so that nobody but the operator decides what the hub connects to, and keeps no connection.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue, USER_AGENT};
use http::uri::{PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Sends requests to other servers.
#[derive(Clone)]
pub struct HttpClient {
    tls: TlsConnector,
}

/// The bounds of one exchange.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How long it may take, from the DNS query to the last byte.
    pub time: Duration,
    /// Maximum size of the response's body in bytes.
    pub body_bytes_max: usize,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// It took too long.
    #[error("no answer within {} s", within.as_secs())]
    Timeout {
        /// How long it was waited for.
        within: Duration,
    },
    /// No connection could be made.
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    /// The server could not be authenticated, or does not speak TLS.
    #[error("the TLS connection failed: {0}")]
    Tls(std::io::Error),
    /// The connection broke, or the response is not HTTP.
    #[error("the request failed: {0}")]
    Http(#[from] hyper::Error),
    /// The body is too long.
    #[error("the document has more than {max} bytes")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// The URL has no host to send the request to.
    #[error("the address has no host")]
    Address,
}

impl ExchangeError {
    /// Returns the label for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Http(_) => "http",
            Self::TooLong { .. } => "too_long",
            Self::Address => "address",
        }
    }
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

impl HttpClient {
    /// Makes a client that trusts the system's authorities, and `further` ones. `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` are respected.
    ///
    /// # Errors
    ///
    /// One of `further` is no certificate of an authority. (The cryptographic provider offers safe protocol
    /// versions in every build of the hub.)
    pub fn new(
        further: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        // Certificates of the system that rustls cannot read are skipped. The others are still trusted.
        let (_added, _unreadable) =
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for certificate in further {
            roots.add(certificate)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: Arc::new(config).into(),
        })
    }

    /// Sends a request, whose URI is absolute, and returns the response with its whole body. A status that is
    /// an error, or a redirect, is a response like any other.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        bounds: Bounds,
    ) -> Result<Response<Bytes>, ExchangeError> {
        let exchange = self.exchange(request, bounds.body_bytes_max);
        match timeout(bounds.time, exchange).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(ExchangeError::Timeout {
                within: bounds.time,
            }),
        }
    }

    async fn exchange(
        &self,
        mut request: Request<Bytes>,
        body_bytes_max: usize,
    ) -> Result<Response<Bytes>, ExchangeError> {
        let uri = std::mem::take(request.uri_mut());
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        let authority = uri.authority().ok_or(ExchangeError::Address)?;
        let port = authority
            .port_u16()
            .unwrap_or(if secure { 443 } else { 80 });
        // The brackets belong to the URL, not to the address.
        let host = authority.host();
        let name = host.trim_start_matches('[').trim_end_matches(']');
        prepare(&mut request, &uri)?;
        let tcp = TcpStream::connect((name, port))
            .await
            .map_err(ExchangeError::Connect)?;
        if !secure {
            return send_over(tcp, request, body_bytes_max).await;
        }
        let name =
            ServerName::try_from(name.to_owned()).map_err(|_invalid| ExchangeError::Address)?;
        let tls = self.tls.connect(name, tcp).await;
        send_over(tls.map_err(ExchangeError::Tls)?, request, body_bytes_max).await
    }
}

/// Gives a request the target and the fields that a server expects.
fn prepare(request: &mut Request<Bytes>, uri: &Uri) -> Result<(), ExchangeError> {
    let authority = uri.authority().ok_or(ExchangeError::Address)?;
    // Credentials of a URL are not part of the host.
    let host = authority.as_str().rsplit('@').next().unwrap_or_default();
    let host = HeaderValue::from_str(host).map_err(|_malformed| ExchangeError::Address)?;
    let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    *request.uri_mut() = target
        .parse()
        .map_err(|_malformed| ExchangeError::Address)?;
    request.headers_mut().insert(HOST, host);
    let agent = HeaderValue::from_static(concat!("tidings/", env!("CARGO_PKG_VERSION")));
    request.headers_mut().insert(USER_AGENT, agent);
    Ok(())
}

/// Sends the request and reads the response, while driving the connection.
async fn send_over(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Bytes>,
    body_bytes_max: usize,
) -> Result<Response<Bytes>, ExchangeError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut answer = pin!(async move {
        let (parts, body) = sender
            .send_request(request.map(Full::new))
            .await?
            .into_parts();
        let body = gather(body, body_bytes_max).await?;
        Ok(Response::from_parts(parts, body))
    });
    tokio::select! {
        answer = &mut answer => return answer,
        // What arrived before the connection ended can still be read.
        ended = connection => ended?,
    }
    answer.await
}

async fn gather(mut body: Incoming, max: usize) -> Result<Bytes, ExchangeError> {
    if body.size_hint().lower() > max as u64 {
        return Err(ExchangeError::TooLong { max });
    }
    let mut document = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if document.len() + data.len() > max {
            return Err(ExchangeError::TooLong { max });
        }
        document.extend_from_slice(data);
    }
    Ok(document.into())
}
