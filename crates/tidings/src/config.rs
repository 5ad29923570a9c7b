//! The configuration of the server: checked settings, by value.
//!
//! [`tables`] has a row for each key: manual entry, type, default, range. [`settings`] merges the file, the environment
//! and the defaults, and notes the origin of each value. [`mod@env`] alone reads the environment. [`check`] reads the
//! tables from the settings, checks that keys fit each other, and reports all errors at once. If a part of the program
//! uses its options as they are written, its options are the table.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidings_auth::issue::{Detail, IssueError, Issuing};
use tidings_core::HubUrl;
use tidings_core::topic::Topic;
use tidings_wire::authority::Authority;

pub use self::tables::cors::CorsOptions;
pub use self::tables::dialects::DialectOptions;
pub use self::tables::flash::FlashOptions;
pub use self::tables::limits::LimitOptions;
pub use self::tables::log::{LogFormat, LogOptions};
pub use self::tables::pages::PageOptions;
pub use self::tables::proxy::ProxyOptions;
pub use self::tables::publish::PublishOptions;
pub use self::tables::rooms::{RoomAccess, RoomOptions};
pub use self::tables::server::ServerOptions;
pub use self::tables::sockjs::SockJsOptions;
pub use self::tables::subscribe::{StreamEnd, SubscribeOptions};
pub use self::tables::websocket::WebSocketOptions;
use crate::broker;
use crate::certificate;
use crate::cluster;
use crate::telemetry::traces;
use crate::text_file;
use tidings_hub::presence;
use tidings_hub::session::service::Offer;

pub mod addresses;
pub mod admin_token;
pub mod change;
pub mod check;
pub mod docs;
pub mod env;
pub mod error;
pub mod keys;
pub mod kubernetes;
pub mod log_filter;
pub mod mercure;
pub mod otel;
pub mod places;
pub mod settings;
pub mod show;
pub mod starter;
pub mod tables;
pub mod value;

/// The checked configuration. Only [`check::check`] makes one. [`of_text`] makes one from a few values and the defaults
/// of all others.
#[derive(Debug)]
pub struct Config {
    /// Addresses that subscribers and publishers connect to. Never empty.
    pub listens: Vec<Listen>,
    /// Where the certificate comes from. Always present if a listener of `listens` uses TLS.
    pub tls: Option<certificate::Source>,
    /// The address of metrics, health and the admin API, in plain HTTP. `None`: there are none, except in dev, which has
    /// them on the main addresses.
    pub admin: Option<SocketAddr>,
    /// Which proxies are believed when they name their clients.
    pub proxy: ProxyOptions,
    /// The token of operators. `None`: there is no admin API.
    pub admin_token: Option<admin_token::AdminToken>,
    /// The hub's public URL. Its path is the hub's path.
    pub hub: HubUrl,
    /// Hosts that requests may name. Empty: any host.
    ///
    /// In dev, only the loopback names with the port, so that a page of another site cannot reach the hub by DNS
    /// rebinding.
    pub hosts: Vec<Authority>,
    /// The folder for everything that the hub writes.
    pub data_dir: PathBuf,
    /// How long the last good key sets of issuers are valid at a start. Zero stores none.
    pub key_sets_cache: Duration,
    /// Settings of the process.
    pub server: ServerOptions,
    /// How and how long updates are stored.
    pub history: tidings_history::Options,
    /// The cluster that the hub is part of. `None`: it is alone.
    pub cluster: Option<cluster::Options>,
    /// What other hubs of the cluster present to fetch updates. `None`: they cannot.
    pub peer_token: Option<admin_token::AdminToken>,
    /// Bytes of recent encoded updates held in memory, for the whole process.
    pub ring_bytes: usize,
    /// Accepted issuers and audiences of tokens.
    pub auth: tidings_auth::Options,
    /// Which dialects before 1.0 are served too.
    pub dialects: DialectOptions,
    /// Rules for subscribers.
    pub subscribe: SubscribeOptions,
    /// Rules for publishers.
    pub publish: PublishOptions,
    /// How the hub tracks subscriptions. `None`: it does not.
    pub presence: Option<presence::Options>,
    /// Which pages of other origins may read responses.
    pub cors: CorsOptions,
    /// Rules for WebSockets.
    pub websocket: WebSocketOptions,
    /// Rooms: WebSockets whose messages go to everybody with the same topic.
    pub rooms: RoomOptions,
    /// SockJS.
    pub sockjs: SockJsOptions,
    /// The Flash socket policy.
    pub flash: FlashOptions,
    /// Bounds on connections and requests.
    pub limits: LimitOptions,
    /// Which of the built-in pages are served.
    pub pages: PageOptions,
    /// The ZeroMQ sockets. `None`: there are none.
    pub zeromq: Option<broker::options::Options>,
    /// How much is logged, and in which form.
    pub log: LogOptions,
    /// Where spans go. `None`: there are none.
    pub traces: Option<traces::Options>,
    /// Whether the body of a 401 or 403 says which check failed. Only in dev.
    pub explain_refusals: bool,
    /// Whether a line on the terminal shows each request. Only in dev.
    pub request_lines: bool,
    /// Warnings, logged once at the start.
    pub warnings: Vec<String>,
    /// Ready-made tokens for the built-in pages. Only in dev.
    pub dev: Option<DevTokens>,
    /// Services beside the hub, which only a program that uses this library offers.
    pub services: Vec<Offer>,
}

impl Config {
    /// Checks that the hub can write where it must.
    ///
    /// # Errors
    ///
    /// What it cannot write, and the setting for it.
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
    /// Whether connections there start with the header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// The room that WebSockets here join, whatever their path.
    pub topic: Option<Topic>,
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
    /// Returns the settings.
    ///
    /// # Errors
    ///
    /// All errors in them.
    pub fn into_settings(self) -> Result<settings::Settings, error::ConfigErrors> {
        match self.config {
            Some(_) if self.errors.is_empty() => Ok(self.settings),
            Some(_) | None => Err(error::ConfigErrors(self.errors)),
        }
    }

    /// Returns the configuration.
    ///
    /// # Errors
    ///
    /// All errors in it.
    pub fn into_config(self) -> Result<Config, error::ConfigErrors> {
        match self.config {
            Some(config) if self.errors.is_empty() => Ok(config),
            Some(_) | None => Err(error::ConfigErrors(self.errors)),
        }
    }
}

/// Reads and checks a configuration, and reports all errors at once: values of the wrong form, and missing keys.
pub fn read(path: Option<&Path>, variables: &[env::Variable]) -> Reading {
    let (file, settings, mut errors) = read_settings(path, variables);
    // If the file cannot be read, missing keys are not reported.
    let checked = if errors.iter().any(error::ConfigError::is_about_the_file) {
        Err(error::ConfigErrors(Vec::new()))
    } else {
        check::check(&settings)
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

/// Reads the settings: from `path`, or else from the first of the usual files that exists, and from the environment.
///
/// # Errors
///
/// All errors of form: unknown keys, wrong types, a file that cannot be read. [`check::check`] checks the meaning of
/// values.
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

/// The same, and returns the file that was read.
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

/// Makes a configuration from a text like a file's, and the defaults of all other keys. Ignores the environment.
///
/// # Errors
///
/// All errors in the text. `name` stands for the file's name.
pub fn of_text(name: &str, text: &str) -> Result<Config, error::ConfigErrors> {
    let mut errors = Vec::new();
    let settings = settings::Settings::read(Some((Path::new(name), text)), &[], &mut errors);
    if errors.is_empty() {
        check::check(&settings)
    } else {
        Err(error::ConfigErrors(errors))
    }
}

/// Where the configuration is searched when no file is named.
pub const USUAL_FILES: [&str; 2] = ["tidings.toml", "/etc/tidings/tidings.toml"];

#[cfg(test)]
mod tests;
