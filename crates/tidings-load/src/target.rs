//! The hub under test: its address, its protocol, and the requests to it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::{ACCEPT, AUTHORIZATION};
use http::{Request, Uri, uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use url::{Position, Url};

use crate::BenchError;
use crate::clock::now_ns;

/// The transport of subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// An event stream over HTTP/1.1.
    EventStream,
    /// Event streams over HTTP/2, several on one connection. Only for comparing two transports.
    Http2,
    /// A WebSocket over HTTP/1.1, without compression.
    WebSocket,
    /// Requests over HTTP/1.1 one after another; each is answered when there are updates.
    LongPoll,
    /// SockJS over HTTP/1.1 with `xhr_streaming`, the fallback of browsers where no WebSocket
    /// works.
    SockJs,
}

impl Transport {
    /// Returns the name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::EventStream => "sse",
            Self::Http2 => "http2",
            Self::WebSocket => "websocket",
            Self::LongPoll => "longpoll",
            Self::SockJs => "sockjs",
        }
    }
}

/// The hub to measure, and how to reach it.
#[derive(Clone)]
pub struct Options {
    /// Its URL, `http` or `https`.
    pub hub: String,
    /// The URL of another hub of the same cluster, for the publishers.
    pub publish_to: Option<String>,
    /// The transport of subscribers.
    pub transport: Transport,
    /// Bearer token of the publishers.
    pub publisher_token: Option<String>,
    /// Bearer token of the subscribers; without one they are anonymous.
    pub subscriber_token: Option<String>,
    /// PEM file of the authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// The server's process, for CPU time and memory. Only on the same machine.
    pub pid: Option<u32>,
    /// The number of source addresses: 127.0.0.1 and the following. With one, the system chooses.
    pub source_addresses: u8,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("hub", &self.hub)
            .finish_non_exhaustive()
    }
}

/// The hub, ready to receive requests.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<Tls>,
    pub(crate) source_addresses: u8,
    pub(crate) transport: Transport,
    host: String,
    path: String,
    publisher_fields: String,
    subscriber_fields: String,
    subscriber_token: Option<String>,
}

/// The configuration of TLS connections.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    /// The same, but offers HTTP/2 by ALPN (RFC 9113, 3.2).
    pub(crate) http2: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

impl Target {
    /// Looks up the hub's address and reads the certificates.
    ///
    /// # Errors
    ///
    /// [`BenchError::Url`], [`BenchError::Address`], [`BenchError::Certificates`] or
    /// [`BenchError::Tls`].
    pub(crate) fn find(options: &Options) -> Result<Self, BenchError> {
        let bad = |reason| BenchError::Url {
            url: options.hub.clone(),
            reason,
        };
        let url = Url::parse(&options.hub).map_err(|_wrong| bad("not an absolute URL"))?;
        let name = url.host_str().ok_or_else(|| bad("it has no host"))?;
        let port = url
            .port_or_known_default()
            .ok_or_else(|| bad("it has no port"))?;
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let mut addresses =
            (bare, port)
                .to_socket_addrs()
                .map_err(|source| BenchError::Address {
                    host: format!("{name}:{port}"),
                    source,
                })?;
        let address = addresses
            .next()
            .ok_or_else(|| bad("its host has no address"))?;
        let tls = match url.scheme() {
            "http" => None,
            "https" => {
                let name = ServerName::try_from(bare.to_owned());
                let name = name.map_err(|_wrong| bad("no certificate can name its host"))?;
                let config = tls(options.ca.as_deref())?;
                let mut http2 = config.clone();
                http2.alpn_protocols = vec![b"h2".to_vec()];
                Some(Tls {
                    config: Arc::new(config),
                    http2: Arc::new(http2),
                    name,
                })
            }
            _ => return Err(bad("neither http nor https")),
        };
        Ok(Self {
            address,
            tls,
            source_addresses: options.source_addresses.max(1),
            transport: options.transport,
            host: url[Position::BeforeHost..Position::AfterPort].to_owned(),
            path: url.path().to_owned(),
            publisher_fields: authorization(options.publisher_token.as_deref()),
            subscriber_fields: authorization(options.subscriber_token.as_deref()),
            subscriber_token: options.subscriber_token.clone(),
        })
    }

    /// Looks up the hub that publishers use.
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find).
    pub(crate) fn find_for_publishers(options: &Options) -> Result<Self, BenchError> {
        let hub = options.publish_to.as_ref().unwrap_or(&options.hub).clone();
        Self::find(&Options {
            hub,
            ..options.clone()
        })
    }

    /// Returns the same hub without the subscribers' token.
    pub(crate) fn anonymous(&self) -> Self {
        Self {
            subscriber_fields: String::new(),
            ..self.clone()
        }
    }

    /// Returns the HTTP/1.1 request that subscribes over `transport` with `query`.
    pub(crate) fn subscription(
        &self,
        transport: Transport,
        query: &str,
        after: Option<&str>,
    ) -> Vec<u8> {
        let Self {
            host,
            path,
            subscriber_fields,
            ..
        } = self;
        let cursor = after
            .map(|id| format!("Last-Event-ID: {id}\r\n"))
            .unwrap_or_default();
        let fields = match transport {
            Transport::EventStream | Transport::Http2 => "Accept: text/event-stream\r\n",
            Transport::WebSocket => UPGRADE_FIELDS,
            // The first response comes at once, with the cursor for the next request.
            Transport::LongPoll => "Prefer: wait=0\r\n",
            Transport::SockJs => return self.sockjs(query, after),
        };
        format!(
            "GET {path}?{query} HTTP/1.1\r\nHost: {host}\r\n{fields}\
             {subscriber_fields}{cursor}\r\n"
        )
        .into_bytes()
    }

    /// Returns the request that opens a SockJS session. The same request continues it.
    fn sockjs(&self, query: &str, after: Option<&str>) -> Vec<u8> {
        let Self {
            host,
            subscriber_fields,
            ..
        } = self;
        let session = now_ns();
        let cursor = after
            .map(|id| format!("&last_event_id={}", escaped(id)))
            .unwrap_or_default();
        format!(
            "POST /sockjs/bench/{session:x}/xhr_streaming?{query}{cursor} HTTP/1.1\r\nHost: {host}\r\n\
             {subscriber_fields}Content-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }

    /// Returns the request of a poll that waits, up to its cursor.
    pub(crate) fn poll(&self, query: &str) -> Vec<u8> {
        let Self {
            host,
            path,
            subscriber_fields,
            ..
        } = self;
        format!(
            "GET {path}?{query} HTTP/1.1\r\nHost: {host}\r\nPrefer: wait={POLL_SECS}\r\n\
             {subscriber_fields}"
        )
        .into_bytes()
    }

    /// Returns the HTTP/2 request that subscribes with `query`.
    ///
    /// # Errors
    ///
    /// [`http::Error`] if the subscribers' token is not valid in a header field.
    pub(crate) fn http2_subscription(&self, query: &str) -> Result<Request<()>, http::Error> {
        let scheme = match self.tls {
            Some(_) => uri::Scheme::HTTPS,
            None => uri::Scheme::HTTP,
        };
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(self.host.as_str())
            .path_and_query(format!("{}?{query}", self.path))
            .build()?;
        let mut request = Request::get(uri).header(ACCEPT, "text/event-stream");
        if let Some(token) = &self.subscriber_token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        request.body(())
    }

    /// Returns the request for a path below that of all subscriptions; with the `ETag` that is
    /// `known`, a conditional one.
    pub(crate) fn subscriptions_request(&self, below: &str, known: Option<&str>) -> Vec<u8> {
        let Self {
            host,
            path,
            subscriber_fields,
            ..
        } = self;
        let known = known
            .map(|tag| format!("If-None-Match: {tag}\r\n"))
            .unwrap_or_default();
        format!(
            "GET {path}/subscriptions{below} HTTP/1.1\r\nHost: {host}\r\n\
             {subscriber_fields}{known}\r\n"
        )
        .into_bytes()
    }

    /// Returns the request that publishes `body`, a form.
    pub(crate) fn publication(&self, body: &[u8]) -> Vec<u8> {
        self.publication_with("", body)
    }

    /// Returns the request that publishes `body`, a form, with more fields, each with its line break.
    pub(crate) fn publication_with(&self, fields: &str, body: &[u8]) -> Vec<u8> {
        let Self {
            host,
            path,
            publisher_fields,
            ..
        } = self;
        let length = body.len();
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\n{publisher_fields}{fields}\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n"
        )
        .into_bytes();
        request.extend_from_slice(body);
        request
    }
}

/// How long a poll waits: the most that a hub allows.
const POLL_SECS: u32 = 60;

/// Returns the query that subscribes to one topic.
pub(crate) fn exact(topic: &str) -> String {
    format!("match={}", escaped(topic))
}

/// The fields that request a WebSocket; RFC 6455, 1.3. The key need not be random for a
/// measurement.
const UPGRADE_FIELDS: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// Escapes a value for a form or a query.
pub(crate) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn authorization(token: Option<&str>) -> String {
    token
        .map(|token| format!("Authorization: Bearer {token}\r\n"))
        .unwrap_or_default()
}

fn tls(ca: Option<&Path>) -> Result<ClientConfig, BenchError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let wrong = |source| BenchError::Certificates {
                path: path.to_owned(),
                source,
            };
            for certificate in CertificateDer::pem_file_iter(path).map_err(wrong)? {
                roots.add(certificate.map_err(wrong)?)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Every connection pays for a full handshake, as with many different browsers.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}
