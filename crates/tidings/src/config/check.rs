//! Converts the settings to checked types, and collects all errors.
//!
//! Errors of single values are found by their row in `tables/`. The files of `check/` are named
//! after the tables; they contain the rules that involve two keys or a file.

mod acme;
mod addresses;
mod admin;
mod auth;
mod cluster;
pub mod dialects;
mod flash;
mod history;
mod hub;
mod key_sets;
mod limits;
mod listen;
mod proxy;
pub mod publish;
mod rooms;
mod shared;
mod tls;
mod traces;
pub mod zeromq;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidings_auth::key_set::KeySet;

use super::admin_token::AdminToken;
use super::error::{ConfigError, ConfigErrors};
use super::settings::Settings;
use super::tables::admin::AdminTable;
use super::tables::auth::{AuthTable, IssuerTable};
use super::tables::data::DataTable;
use super::tables::dialects::DialectOptions;
use super::tables::flash::FlashOptions;
use super::tables::history::HistoryTable;
use super::tables::hub::HubTable;
use super::tables::limits::LimitOptions;
use super::tables::listen::ListenTable;
use super::tables::presence::PresenceTable;
use super::tables::proxy::ProxyOptions;
use super::tables::publish::PublishOptions;
use super::tables::rooms::RoomOptions;
use super::tables::sockjs::SockJsOptions;
use super::tables::subscribe::SubscribeOptions;
use super::tables::websocket::WebSocketOptions;
use super::tables::{Table, Values};
use super::{Config, Listen};
use crate::certificate::Source;

/// Checks a configuration for `tidings serve`. Reads the key files and opens nothing else.
///
/// # Errors
///
/// All errors, each with its key and how to fix it.
pub fn check(settings: &Settings) -> Result<Config, ConfigErrors> {
    let mut checks = Checks {
        settings,
        errors: Vec::new(),
        addresses: Vec::new(),
        warnings: Vec::new(),
        key_sets: Vec::new(),
        key_set_refresh: Duration::ZERO,
        peer_token: None,
    };
    let config = checks.config();
    match config {
        Some(config) if checks.errors.is_empty() => Ok(config),
        Some(_) | None => Err(ConfigErrors(checks.errors)),
    }
}

/// The errors found so far. A failed check returns `None`, and the others continue.
struct Checks<'a> {
    settings: &'a Settings,
    errors: Vec<ConfigError>,
    /// Addresses to listen on, with their keys.
    addresses: Vec<(String, SocketAddr)>,
    warnings: Vec<String>,
    key_sets: Vec<Arc<KeySet>>,
    key_set_refresh: Duration,
    peer_token: Option<AdminToken>,
}

impl Checks<'_> {
    fn config(&mut self) -> Option<Config> {
        let listen: Vec<ListenTable> = self.tables();
        let (listens, tls) = self.listeners(&listen);
        let (admin, proxy): (AdminTable, ProxyOptions) = (self.table(), self.table());
        let (admin, admin_token) = self.admin(admin);
        self.proxy(&proxy, &listen);
        let (hub, data): (HubTable, DataTable) = (self.table(), self.table());
        self.hub(&hub);
        let (kept, presence): (HistoryTable, PresenceTable) = (self.table(), self.table());
        let history = self.history(&kept, &presence, &data.dir);
        let mut cluster = self.cluster(&kept, admin.is_some());
        self.acme_fits(tls.as_ref(), hub.public_url.as_ref(), cluster.as_mut());
        let (issuers, dialects): (Vec<IssuerTable>, DialectOptions) = (self.tables(), self.table());
        self.dialects(&dialects, hub.public_url.as_ref(), &issuers);
        let (keys, subscribe): (AuthTable, SubscribeOptions) = (self.table(), self.table());
        let key_sets_cache = keys.jwks_cache;
        let readers = (hub.public_url.as_ref(), subscribe.anonymous);
        let auth = self.auth(keys, &issuers, readers, &dialects);
        let publish: PublishOptions = self.table();
        self.publish_origins();
        let (cors, websocket): (_, WebSocketOptions) = (self.table(), self.table());
        let rooms: RoomOptions = self.table();
        self.rooms(&rooms, &listen);
        let (sockjs, flash): (SockJsOptions, FlashOptions) = (self.table(), self.table());
        self.flash(&flash);
        let limits: LimitOptions = self.table();
        let lengths = [
            ("publish.body_bytes_max", publish.body_bytes_max),
            ("websocket.message_bytes_max", websocket.message_bytes_max),
            ("sockjs.body_bytes_max", sockjs.body_bytes_max),
        ];
        self.lengths(&limits, &lengths);
        let (server, log, pages) = (self.table(), self.table(), self.table());
        let (traces, zeromq) = (self.traces(), self.zeromq(hub.public_url.as_ref(), cluster));
        // Only here may a check end this: all errors are told at once.
        let (zeromq, cluster) = zeromq?;
        Some(Config {
            listens,
            tls,
            traces: traces?,
            admin,
            proxy,
            admin_token,
            hub: hub.public_url?,
            hosts: hub.hosts,
            data_dir: data.dir,
            key_sets_cache,
            server,
            history: history?,
            cluster,
            peer_token: self.peer_token.take(),
            ring_bytes: kept.ring_bytes,
            auth: auth?,
            presence: presence.options(dialects.v0),
            dialects,
            subscribe,
            publish,
            cors,
            websocket,
            rooms,
            sockjs,
            flash,
            limits,
            pages,
            zeromq,
            log,
            explain_refusals: false,
            request_lines: false,
            warnings: std::mem::take(&mut self.warnings),
            dev: None,
            services: Vec::new(),
        })
    }

    fn listeners(&mut self, listen: &[ListenTable]) -> (Vec<Listen>, Option<Source>) {
        let listens = self.listens(listen);
        let (files, acme) = (self.table(), self.table());
        let tls = self.tls(files, acme, listen);
        (listens, tls)
    }

    /// Reads a single table.
    fn table<T: Table>(&mut self) -> T {
        self.table_at(T::PATH)
    }

    /// Reads the tables of an array.
    fn tables<T: Table>(&mut self) -> Vec<T> {
        let array = T::PATH.trim_end_matches(".N");
        let indexes = self.settings.indexes(array).into_iter();
        indexes
            .map(|index| self.table_at(&format!("{array}.{index}")))
            .collect()
    }

    fn table_at<T: Table>(&mut self, place: &str) -> T {
        T::read(&mut Values::new(self.settings, place, &mut self.errors))
    }

    fn missing(&mut self, key: &str, advice: &'static str) {
        self.errors.push(ConfigError::Missing {
            key: key.to_owned(),
            advice,
        });
    }

    fn contradiction(&mut self, key: &str, advice: &'static str) {
        self.errors.push(ConfigError::Contradiction {
            key: key.to_owned(),
            advice,
        });
    }

    fn invalid(&mut self, key: &str, reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) {
        self.errors.push(ConfigError::Invalid {
            key: key.to_owned(),
            reason: reason.into(),
        });
    }
}

/// Returns whether a URL's host is this machine.
pub fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests;
