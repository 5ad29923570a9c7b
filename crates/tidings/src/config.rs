//! What the server was told to do: checked settings, by value.
//!
//! Here live the checked types and the road to them: [`mod@file`] is the file as written, [`mod@env`] the
//! only reader of the environment, [`keys`] the one table of all keys with their manual entries,
//! [`check`] turns the first two into a [`Config`] and says everything that is wrong at once.
//! The components' own small `Options` live with the components, defaults in the table of keys.
//! `tidings dev` builds its [`Config`] without a file, in `cli/dev.rs`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use tidings_core::topic::Topic;
use tidings_core::{Dialect, HubUrl};
use tidings_wire::authority::Authority;
use tidings_wire::origin::OriginList;

use self::addresses::AddressList;
use self::log_filter::LogFilter;
use crate::auth;
use crate::auth::issue::{Detail, IssueError, Issuing};
use crate::broker;
use crate::presence;

pub mod addresses;
pub mod check;
pub mod docs;
pub mod env;
pub mod error;
pub mod file;
pub mod keys;
pub mod kubernetes;
pub mod log_filter;
pub mod mercure;
pub mod places;
pub mod settings;
pub mod show;
pub mod text_file;

/// Everything the server needs to know, checked. Made by [`check::check`] or by `cli/dev.rs`.
#[derive(Debug)]
pub struct Config {
    /// Addresses that subscribers and publishers connect to. Never empty.
    pub listens: Vec<Listen>,
    /// Certificate files. Always there if a listener of `listens` asks for TLS.
    pub tls: Option<TlsFiles>,
    /// Where metrics answer, in plain HTTP; health answers there too. `None`: no metrics, but in
    /// dev, which has them on the main addresses.
    pub admin: Option<SocketAddr>,
    /// The hub's public URL. Its path is the path that the hub answers on.
    pub hub: HubUrl,
    /// Hosts that requests may name. Empty: any host.
    ///
    /// In dev a page of another site must not reach the hub by DNS rebinding, so only the
    /// loopback names with the port are listed.
    pub hosts: Vec<Authority>,
    /// Folder of everything that the hub writes.
    pub data_dir: PathBuf,
    /// How long the last good key sets of issuers count at a start; zero keeps none.
    pub key_sets_keep: Duration,
    /// Number of shards, each with its own thread. At least 1.
    pub shards: usize,
    /// How and how long updates are kept.
    pub history: tidings_history::Options,
    /// Bytes of recent encoded updates kept in memory, for the whole process.
    pub ring_bytes: usize,
    /// Who may issue tokens, and for whom they must be meant.
    pub auth: auth::Options,
    /// Which Mercure before 1.0 is served too.
    pub dialects: DialectOptions,
    /// Rules for subscribers.
    pub subscribe: SubscribeOptions,
    /// Rules for publishers.
    pub publish: PublishOptions,
    /// How the hub keeps track of subscriptions. `None`: it does not.
    pub presence: Option<presence::Options>,
    /// Which pages of other origins may read answers.
    pub cors: CorsOptions,
    /// Rules for WebSockets.
    pub websocket: WebSocketOptions,
    /// Conversations: WebSockets whose texts go to everybody with the same topic.
    pub rooms: RoomOptions,
    /// SockJS.
    pub sockjs: SockJsOptions,
    /// The policy that Flash asks for.
    pub flash: FlashOptions,
    /// Bounds on connections and requests.
    pub limits: LimitOptions,
    /// How long connections get to end when the server stops.
    pub drain: Duration,
    /// Which of the built-in pages are served.
    pub pages: PageOptions,
    /// The ZeroMQ sockets. `None`: there are none.
    pub zeromq: Option<broker::options::Options>,
    /// How much is logged, and in which form.
    pub log: LogOptions,
    /// Whether the body of a 401 or 403 says which check failed. Only in dev.
    pub explain_refusals: bool,
    /// What is allowed but not good, said once at the start.
    pub warnings: Vec<String>,
    /// Ready-made tokens for the built-in pages. Only in dev.
    pub dev: Option<DevTokens>,
    /// Whether the services that conformance suites need are served. Only by `tidings test-server`.
    pub test_services: bool,
}

impl Config {
    /// Checks that the hub can write where it has to.
    ///
    /// # Errors
    ///
    /// What it cannot write, and whose that is.
    pub fn check_writable(&self) -> Result<(), error::ConfigErrors> {
        places::check_writable(self).map_err(|error| error::ConfigErrors(vec![error]))
    }
}

/// One address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The address, with port. Port 0 lets the system choose.
    pub address: SocketAddr,
    /// Whether connections there start with a TLS handshake.
    pub tls: bool,
    /// The conversation that WebSockets here take part in, whatever their path.
    pub topic: Option<Topic>,
}

/// Where the certificate is. Both files are PEM and read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key of the first certificate.
    pub key: PathBuf,
}

/// Which Mercure before 1.0 is served too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DialectOptions {
    /// 0.10 to 0.24, at the hub's path.
    pub v0: bool,
    /// 0.1 to 0.7, at `/hub`.
    pub v2019: bool,
    /// Their demonstration, which echoes what a link asks for.
    pub demo: bool,
}

impl DialectOptions {
    /// Returns the dialects before 1.0 that are served.
    pub fn old(self) -> impl Iterator<Item = Dialect> {
        let all = [(Dialect::V0, self.v0), (Dialect::V2019, self.v2019)];
        all.into_iter()
            .filter_map(|(dialect, on)| on.then_some(dialect))
    }
}

/// Rules for subscribers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Whether a subscriber without a token is let in. It receives public updates only.
    pub anonymous: bool,
    /// Silence after which a comment line is sent. Zero: never.
    pub keep_alive: Duration,
    /// Longest life of a connection, randomised to 80–100 % of this. `None`: no limit but the
    /// token's end.
    pub connection_max: Option<Duration>,
    /// What subscribers are told to wait before they connect again. `None`: their own default.
    pub retry: Option<Duration>,
    /// How the hub ends an event stream.
    pub end: StreamEnd,
}

/// How the hub ends an event stream whose subscriber may still listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// As a complete response.
    Clean,
    /// As one that broke off: without the last chunk, or by RST_STREAM over HTTP/2.
    Abrupt,
}

/// Rules for publishers.
#[derive(Debug, Clone)]
pub struct PublishOptions {
    /// Origins of pages that may publish with the cookie. The hub's own origin always may.
    pub origins: OriginList,
    /// Longest request body, in bytes.
    pub body_bytes_max: usize,
}

/// Which pages of other origins may read answers.
#[derive(Debug, Clone)]
pub struct CorsOptions {
    /// Origins that are answered with CORS headers.
    pub origins: OriginList,
    /// Request fields that their pages may set beside those that the hub reads. `None`: any.
    pub headers: Option<Vec<HeaderName>>,
}

/// Rules for WebSockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketOptions {
    /// Whether texts are compressed for those who offer it (RFC 7692).
    pub compression: bool,
    /// Longest text or binary of a peer, in bytes, inflated.
    pub bytes_max: usize,
    /// Frames of one peer in a second. 0: any number.
    pub frames_per_second_max: u32,
    /// Time between two pings; a peer that has not answered one by the next is closed. Zero: never.
    pub ping: Duration,
}

/// Conversations.
#[derive(Debug, Clone)]
pub struct RoomOptions {
    /// Who may take part. `None`: there are none.
    pub access: Option<RoomAccess>,
    /// Topics that `/ws/{topic}` may name; a `*` at the end stands for anything.
    pub topics: Vec<String>,
    /// Origins of pages that may take part. The hub's own always may.
    pub origins: OriginList,
    /// Sub-protocols that are agreed to.
    pub subprotocols: Vec<String>,
    /// Whether what is said is a private update.
    pub private: bool,
}

/// Who may take part in conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomAccess {
    /// Everybody.
    Anonymous,
    /// Those whose token allows publishing to the topic; others may read as they may elsewhere.
    Token,
}

/// SockJS: the hub and its conversations for browsers without WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SockJsOptions {
    /// Whether it is served at `/sockjs`.
    pub enabled: bool,
    /// Whether WebSockets are among its transports.
    pub websocket: bool,
    /// Whether the cookie `JSESSIONID` is set, by which load balancers keep a session on one server.
    pub cookie: bool,
    /// Where the page for transports across origins loads the SockJS library from. `None`: there is
    /// no such page.
    pub library_url: Option<String>,
    /// Bytes after which a streaming answer ends, so that a browser can let go of them.
    pub response_bytes_max: usize,
    /// Longest body of a request that says something, in bytes.
    pub body_bytes_max: usize,
    /// Time between two heartbeats. Zero: never.
    pub heartbeat: Duration,
    /// How long a session may be without a receiver.
    pub disconnect: Duration,
    /// Sessions without a connection of their own, of the whole process.
    pub sessions_max: usize,
    /// The same from one address. 0: no limit of its own.
    pub sessions_per_address_max: usize,
    /// Bytes that may wait in all of them together.
    pub queue_bytes_max: usize,
}

impl SockJsOptions {
    /// What the protocol suggests, switched off.
    pub const OFF: Self = Self {
        enabled: false,
        websocket: true,
        cookie: false,
        library_url: None,
        response_bytes_max: 128 * 1024,
        body_bytes_max: 128 * 1024,
        heartbeat: Duration::from_secs(25),
        disconnect: Duration::from_secs(5),
        sessions_max: 10_000,
        sessions_per_address_max: 1000,
        queue_bytes_max: 64 * 1024 * 1024,
    };
}

/// The policy that Flash asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlashOptions {
    /// The listener for it, usually port 843.
    pub address: Option<SocketAddr>,
    /// Whether it is also answered on plain listeners.
    pub inline: bool,
    /// The policy, as it goes over the wire.
    pub policy: Bytes,
}

impl FlashOptions {
    /// Returns what serves no policy.
    pub fn off() -> Self {
        Self {
            address: None,
            inline: false,
            policy: Bytes::new(),
        }
    }
}

/// Bounds on connections and requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitOptions {
    /// Connections of the whole process; the next one is answered 503.
    pub connections_max: usize,
    /// Connections from one address; the next one is answered 429.
    pub connections_per_address_max: usize,
    /// Bytes that may be held for all peers; beyond it requests are answered 503.
    pub held_bytes_max: usize,
    /// Bytes that may be held for one address; beyond it requests are answered 429.
    pub held_bytes_per_address_max: usize,
    /// Bytes that may be held for one connection; beyond it requests are answered 429.
    pub held_bytes_per_connection_max: usize,
    /// Patterns that nothing literal tells apart from many others; beyond them subscribers get 503.
    pub crowded_patterns_max: usize,
    /// The same of one address; beyond them subscribers get 429.
    pub crowded_patterns_per_address_max: usize,
    /// New connections per second of the whole process.
    pub accepts_per_second: u32,
    /// Time for a whole request head to arrive.
    pub head: Duration,
    /// Time for a whole request body to arrive.
    pub body: Duration,
    /// Time for the TLS handshake.
    pub handshake: Duration,
    /// Time for which a subscriber that is behind may take nothing.
    pub stall: Duration,
    /// Concurrent HTTP/2 streams of one connection.
    pub streams_per_connection_max: u32,
    /// Addresses whose connections are closed at once.
    pub blocked: AddressList,
}

/// Which of the built-in pages are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageOptions {
    /// The chat, at `/chat`.
    pub chat: bool,
    /// The live score board, at `/scores`.
    pub scores: bool,
    /// The debugger, at `/debugger`.
    pub debugger: bool,
    /// What a visitor's network lets through, at `/diagnose`.
    pub diagnose: bool,
    /// The browser client, at `/tidings.js` and `/tidings.mjs`.
    pub library: bool,
}

impl PageOptions {
    /// Returns whether any page is served.
    pub fn any(self) -> bool {
        self.chat || self.scores || self.debugger || self.diagnose
    }
}

/// How much is logged, and in which form.
#[derive(Debug, Clone, PartialEq)]
pub struct LogOptions {
    /// What is logged.
    pub filter: LogFilter,
    /// The form of a line.
    pub format: LogFormat,
    /// Whether each request gets a line in the combined format of Apache.
    pub access: bool,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
    /// `key=value` pairs.
    Logfmt,
}

/// Ready-made tokens of `tidings dev`, and the means to make more. `Debug` hides them.
#[derive(Clone)]
pub struct DevTokens {
    /// May publish to every topic.
    pub publisher: String,
    /// May read every private update.
    pub subscriber: String,
    /// Makes further tokens.
    pub issuing: Issuing,
}

impl DevTokens {
    /// Makes a token for the pages that allows `details` for `ttl_secs` from `now_secs` on.
    ///
    /// # Errors
    ///
    /// If the key cannot sign or the system has no random bytes.
    pub fn make(
        &self,
        details: Vec<Detail>,
        now_secs: u64,
        ttl_secs: u64,
    ) -> Result<String, IssueError> {
        self.issuing.token("page", details, now_secs, ttl_secs)
    }
}

impl std::fmt::Debug for DevTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DevTokens(hidden)")
    }
}

/// A configuration that was read and checked, with all that is wrong.
#[derive(Debug)]
pub struct Reading {
    /// The values as written, with their origins.
    pub settings: settings::Settings,
    /// Everything that is wrong, in form and in meaning.
    pub errors: Vec<error::ConfigError>,
    config: Option<Config>,
}

impl Reading {
    /// Returns what is to be used.
    ///
    /// # Errors
    ///
    /// Everything that is wrong.
    pub fn into_config(self) -> Result<Config, error::ConfigErrors> {
        match self.config {
            Some(config) if self.errors.is_empty() => Ok(config),
            Some(_) | None => Err(error::ConfigErrors(self.errors)),
        }
    }
}

/// Reads and checks a configuration, and says everything that is wrong at once: what a value with
/// the wrong form should be, and what is missing besides.
pub fn read(path: Option<&Path>, variables: &[env::Variable]) -> Reading {
    let (file, settings, mut errors) = read_settings(path, variables);
    // Of a file that cannot be read nothing is known to be missing.
    let unread = |error: &error::ConfigError| {
        use error::ConfigError::{Syntax, Unreadable};
        matches!(error, Syntax { .. } | Unreadable { .. })
    };
    let checked = if errors.iter().any(unread) {
        Err(error::ConfigErrors(Vec::new()))
    } else {
        let written = settings.to_file();
        written
            .map_err(|error| error::ConfigErrors(vec![error]))
            .and_then(|file| check::check(&file))
    };
    let config = match checked {
        Ok(mut config) => {
            let readable = places::readable_secrets(&settings, file.as_deref());
            config.warnings.extend(readable);
            Some(config)
        }
        Err(error::ConfigErrors(further)) => {
            let known = |error: &error::ConfigError| errors.iter().any(|said| said.covers(error));
            let further: Vec<_> = further
                .into_iter()
                .filter(|error| !known(error))
                .map(|error| error.with_source(|key| settings.inherited_from(key)))
                .collect();
            errors.extend(further);
            None
        }
    };
    Reading {
        settings,
        errors,
        config,
    }
}

/// Reads the settings: of `path` or else of the first of the usual files that exists, and of the
/// environment.
///
/// # Errors
///
/// Everything that is wrong with the form: unknown keys, wrong types, a file that cannot be read.
/// What the values mean is the matter of [`check::check`].
pub fn load(
    path: Option<&Path>,
    variables: &[env::Variable],
) -> Result<settings::Settings, error::ConfigErrors> {
    let (_file, settings, errors) = read_settings(path, variables);
    if errors.is_empty() {
        Ok(settings)
    } else {
        Err(error::ConfigErrors(errors))
    }
}

/// Returns the file that was taken, too.
fn read_settings(
    path: Option<&Path>,
    variables: &[env::Variable],
) -> (Option<PathBuf>, settings::Settings, Vec<error::ConfigError>) {
    let usual = || USUAL_FILES.iter().map(Path::new).find(|path| path.exists());
    let path = path.or_else(usual);
    let mut errors = Vec::new();
    let text = path.and_then(|path| match text_file::read(path) {
        Ok(text) => Some((path, text)),
        Err(source) => {
            errors.push(error::ConfigError::Unreadable {
                path: path.to_owned(),
                source,
            });
            None
        }
    });
    let file = text.as_ref().map(|(path, text)| (*path, text.as_str()));
    let settings = settings::Settings::read(file, variables, &mut errors);
    (path.map(Path::to_owned), settings, errors)
}

/// Where the configuration is looked for when no file is named.
pub const USUAL_FILES: [&str; 2] = ["tidings.toml", "/etc/tidings/tidings.toml"];

#[cfg(test)]
mod tests;
