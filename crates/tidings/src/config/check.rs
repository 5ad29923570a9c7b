//! Turns the configuration as written into checked types, and says everything that is wrong.

pub mod dialects;
mod key_sets;
mod listening;
pub mod zeromq;

use std::net::SocketAddr;
use std::num::NonZero;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use tidings_core::{Dialect, HubUrl};
use tidings_history::{Kind, PresenceRetention, Retention};
use tidings_wire::authority::Authority;
use tidings_wire::origin::OriginList;

use super::error::{ConfigError, ConfigErrors};
use super::file::{
    File, HistoryTable, HubTable, IssuerTable, LimitsTable, ListenTable, LogTable, PagesTable,
    PresenceTable, PublishTable,
};
use super::log_filter::LogFilter;
use super::{
    Config, CorsOptions, DialectOptions, LimitOptions, Listen, LogFormat, LogOptions, PageOptions,
    PublishOptions, StreamEnd, SubscribeOptions, TlsFiles, text_file,
};
use crate::account::machine_bytes;
use crate::auth::key::{Algorithm, KeyError};
use crate::auth::key_set::KeySet;
use crate::auth::{self, Keys};
use crate::presence;
use crate::redact;

mod websocket;

/// Checks a configuration for `tidings serve`. Reads the files of keys, opens nothing else.
///
/// # Errors
///
/// Everything that is wrong, each with its key and what to write.
pub fn check(file: &File) -> Result<Config, ConfigErrors> {
    let mut checks = Checks::default();
    let config = checks.config(file);
    match config {
        Some(config) if checks.errors.is_empty() => Ok(config),
        Some(_) | None => Err(ConfigErrors(checks.errors)),
    }
}

/// Returns how a history is set up: `Options` with the bounds that are not configurable.
///
/// # Errors
///
/// If the system has no random bytes for a new history's epoch.
pub fn history_options(
    kind: Kind,
    retention: Retention,
) -> Result<tidings_history::Options, getrandom::Error> {
    let mut new_epoch = [0; 32];
    getrandom::fill(&mut new_epoch)?;
    Ok(tidings_history::Options {
        kind,
        retention,
        queue_max: HISTORY_QUEUE_MAX,
        group_max: HISTORY_GROUP_MAX,
        reads_max: HISTORY_READS_MAX,
        cache_bytes_max: HISTORY_CACHE_BYTES_MAX,
        new_epoch,
    })
}

/// The errors found so far. A check that fails returns `None` and the others go on.
#[derive(Default)]
struct Checks {
    errors: Vec<ConfigError>,
    /// Addresses to listen on, with their keys.
    addresses: Vec<(String, SocketAddr)>,
    warnings: Vec<String>,
    key_sets: Vec<Arc<KeySet>>,
    key_set_refresh: Duration,
}

impl Checks {
    fn config(&mut self, file: &File) -> Option<Config> {
        let listens = self.listens(&file.listen);
        let tls = self.tls(file);
        let admin = self.admin(file.admin.address.as_deref());
        let hub = self.hub(&file.hub);
        let hosts = self.hosts(&file.hub.hosts);
        let data_dir = PathBuf::from(&file.data.dir);
        let history = self.history(&file.history, &file.presence, &data_dir);
        let ring_bytes = self.number("history.ring_bytes", file.history.ring_bytes, 0);
        let dialects = self.dialects(file, hub.as_ref());
        let auth = self.auth(file, hub.as_ref());
        let publish = self.publish(&file.publish);
        let cors_origins = self.origins("cors.origins", &file.cors.origins);
        let cors_headers = self.cors_headers(file.cors.headers.as_deref());
        let websocket = self.websocket(&file.websocket);
        let rooms = self.rooms(&file.rooms, &file.listen);
        let sockjs = self.sockjs(&file.sockjs);
        let flash = self.flash(&file.flash);
        let limits = self.limits(&file.limits);
        let presence = self.presence(file);
        let name = "subscribe.keep_alive_secs";
        let keep_alive = self.seconds(name, file.subscribe.keep_alive_secs, 0);
        let name = "subscribe.connection_secs_max";
        let connection_max = self.seconds(name, file.subscribe.connection_secs_max, 0);
        let drain = self.seconds("server.drain_secs", file.server.drain_secs, 0);
        let shards = self.shards(file.server.shards);
        let log = self.log(&file.log);
        let zeromq = self.zeromq(&file.zeromq, hub.as_ref());
        Some(Config {
            listens,
            tls,
            admin,
            hub: hub?,
            hosts: hosts?,
            data_dir,
            key_sets_keep: self.seconds("auth.jwks_keep_secs", file.auth.jwks_keep_secs, 0)?,
            shards: shards?,
            history: history?,
            ring_bytes: ring_bytes?,
            auth: auth?,
            dialects,
            subscribe: SubscribeOptions {
                anonymous: file.subscribe.anonymous,
                keep_alive: keep_alive?,
                connection_max: connection_max.filter(|longest| !longest.is_zero()),
                retry: file.subscribe.retry_ms.map(Duration::from_millis),
                end: match file.subscribe.end.as_str() {
                    "abrupt" => StreamEnd::Abrupt,
                    _ => StreamEnd::Clean,
                },
            },
            publish: publish?,
            presence: Some(presence?).filter(|_| file.presence.enabled),
            cors: CorsOptions {
                origins: cors_origins?,
                headers: cors_headers?,
            },
            websocket: websocket?,
            rooms: rooms?,
            sockjs: sockjs?,
            flash: flash?,
            limits: limits?,
            drain: drain?,
            pages: pages(&file.pages),
            zeromq: zeromq?,
            log: log?,
            explain_refusals: false,
            warnings: std::mem::take(&mut self.warnings),
            dev: None,
            test_services: false,
        })
    }

    fn publish(&mut self, table: &PublishTable) -> Option<PublishOptions> {
        let origins = self.origins("publish.origins", &table.origins);
        for entry in table
            .origins
            .iter()
            .filter(|entry| ANYBODY.contains(&entry.as_str()))
        {
            self.warnings.push(format!(
                "publish.origins: {entry:?} lets pages of any site publish with the cookie of a \
                 visitor: name the origins of your pages instead"
            ));
        }
        let body_bytes_max = self.number("publish.body_bytes_max", table.body_bytes_max, 1);
        Some(PublishOptions {
            origins: origins?,
            body_bytes_max: body_bytes_max?,
        })
    }

    fn listens(&mut self, tables: &[ListenTable]) -> Vec<Listen> {
        if tables.is_empty() {
            let advice = "write a [[listen]] table with address = \"127.0.0.1:4400\" behind a \
                          proxy, or address = \"0.0.0.0:443\" and tls = true";
            self.missing("listen.0.address", advice);
        }
        let mut listens: Vec<Listen> = Vec::new();
        for (index, table) in tables.iter().enumerate() {
            let key = format!("listen.{index}.address");
            let Some(address) = &table.address else {
                self.missing(
                    &key,
                    "write an IP address with a port, such as \"0.0.0.0:443\"",
                );
                continue;
            };
            let Some(address) = self.address(&key, address) else {
                continue;
            };
            listens.push(Listen {
                address,
                tls: table.tls,
                topic: self.listen_topic(index, table),
            });
        }
        listens
    }

    fn tls(&mut self, file: &File) -> Option<TlsFiles> {
        let with_tls = file.listen.iter().position(|listen| listen.tls);
        match (&file.tls.certificate, &file.tls.key, with_tls) {
            (Some(certificate), Some(key), Some(_)) => Some(TlsFiles {
                certificate: certificate.into(),
                key: key.into(),
            }),
            (None, None, None) => None,
            (None, None, Some(index)) => {
                let advice = "is true, but tls.certificate and tls.key are not set: write both \
                              in [tls], or tls = false";
                self.contradiction(&format!("listen.{index}.tls"), advice);
                None
            }
            (Some(_), None, _) => {
                self.missing("tls.key", "write the path of the certificate's private key");
                None
            }
            (None, Some(_), _) => {
                self.missing("tls.certificate", "write the path of the certificate chain");
                None
            }
            (Some(_), Some(_), None) => {
                let advice = "is set, but no [[listen]] has tls = true: write it there, or remove \
                              [tls]";
                self.contradiction("tls.certificate", advice);
                None
            }
        }
    }

    fn admin(&mut self, address: Option<&str>) -> Option<SocketAddr> {
        self.address("admin.address", address?)
    }

    fn hub(&mut self, table: &HubTable) -> Option<HubUrl> {
        let key = "hub.public_url";
        let Some(text) = table.public_url.as_deref() else {
            let advice = "write the URL under which browsers reach the hub, such as \
                          \"https://example.com/.well-known/mercure\"";
            self.missing(key, advice);
            return None;
        };
        match HubUrl::parse(text) {
            Ok(hub) => {
                if !table.allow_plaintext && is_cleartext(hub.as_str()) {
                    let advice = "begins with http://, so that tokens would travel in the clear: \
                                  write https:// (also behind a proxy that ends TLS), or \
                                  hub.allow_plaintext = true in a network that is protected in \
                                  another way";
                    self.contradiction(key, advice);
                }
                Some(hub)
            }
            Err(error) => {
                let shown = redact::url(text);
                let reason = format!(
                    "{error} ({shown:?}): write it like \"https://example.com/.well-known/mercure\""
                );
                self.invalid(key, reason);
                None
            }
        }
    }

    fn hosts(&mut self, entries: &[String]) -> Option<Vec<Authority>> {
        let mut hosts = Vec::with_capacity(entries.len());
        for entry in entries {
            match Authority::parse(entry) {
                Ok(host) => hosts.push(host),
                Err(error) => {
                    let advice = "write it like \"hub.example.com\" or \"hub.example.com:8443\"";
                    self.invalid("hub.hosts", format!("{error}: {advice}"));
                    return None;
                }
            }
        }
        Some(hosts)
    }

    fn history(
        &mut self,
        table: &HistoryTable,
        presence: &PresenceTable,
        data_dir: &Path,
    ) -> Option<tidings_history::Options> {
        let path = table.path.as_ref().map(PathBuf::from);
        let kind = match table.kind.as_str() {
            "memory" => Kind::Memory,
            "none" => Kind::None,
            _ => Kind::File {
                path: path.clone().unwrap_or_else(|| data_dir.join(HISTORY_FILE)),
            },
        };
        if path.is_some() && !matches!(kind, Kind::File { .. }) {
            let advice = "is set, but history.kind is not \"file\": remove one of the two";
            self.contradiction("history.path", advice);
        }
        let hours = nonzero(table.retain_hours);
        let retention = Retention {
            age_max: hours.map(|hours| Duration::from_secs(hours.saturating_mul(3600))),
            updates_max: nonzero(table.retain_updates),
            bytes_max: nonzero(table.retain_bytes),
            presence: PresenceRetention {
                age_max: nonzero(presence.retain_minutes)
                    .map(|minutes| Duration::from_secs(minutes.saturating_mul(60))),
                events_max: presence.retain_events,
            },
        };
        match history_options(kind, retention) {
            Ok(options) => Some(options),
            Err(error) => {
                self.invalid(
                    "history",
                    format!("no random bytes from the system: {error}"),
                );
                None
            }
        }
    }

    fn presence(&mut self, file: &File) -> Option<presence::Options> {
        let table = &file.presence;
        let grace = self.seconds("presence.grace_secs", table.grace_secs, 0);
        let subscriptions_max = table.subscriptions_max;
        let subscriptions_max = self.number("presence.subscriptions_max", subscriptions_max, 1);
        let page_max = self.number("presence.page_max", table.page_max, 1);
        Some(presence::Options {
            grace: grace?,
            subscriptions_max: subscriptions_max?,
            page_max: page_max?,
            old_paths: file.dialects.v0,
        })
    }

    fn auth(&mut self, file: &File, hub: Option<&HubUrl>) -> Option<auth::Options> {
        let table = &file.auth;
        let refresh = self.seconds("auth.jwks_refresh_secs", table.jwks_refresh_secs, 10);
        self.key_set_refresh = refresh.unwrap_or_default();
        if table.issuers.is_empty() {
            let advice = "write an [[auth.issuers]] table with issuer and key_file; without one \
                          nobody could publish";
            self.missing("auth.issuers.0.issuer", advice);
        }
        if table.audiences.as_ref().is_some_and(Vec::is_empty) {
            let advice = "is empty, so that every token would be refused: write the hub's URL, or \
                          remove the key";
            self.contradiction("auth.audiences", advice);
        }
        let issuers: Vec<Option<Vec<auth::Issuer>>> = table
            .issuers
            .iter()
            .enumerate()
            .map(|(index, issuer)| self.issuer(&format!("auth.issuers.{index}"), issuer))
            .collect();
        if !table.issuers.is_empty() && table.issuers.iter().all(|issuer| !issuer.publish) {
            let advice = "is false for every issuer, so that nobody could publish: write true";
            self.contradiction("auth.issuers.0.publish", advice);
        }
        let readers = file.subscribe.anonymous || table.issuers.iter().any(|key| key.subscribe);
        if !table.issuers.is_empty() && !readers {
            let advice = "is false, and no issuer has subscribe = true, so that nobody could \
                          subscribe: write true in one of the two";
            self.contradiction("subscribe.anonymous", advice);
        }
        let audiences = match &table.audiences {
            Some(audiences) => audiences.clone(),
            None => vec![hub?.as_str().to_owned()],
        };
        Some(auth::Options {
            issuers: issuers.into_iter().collect::<Option<Vec<_>>>()?.concat(),
            audiences,
            cookie_names: table.cookie_names.clone(),
            old_dialects: DialectOptions {
                v0: file.dialects.v0,
                v2019: file.dialects.v2019,
                demo: false,
            }
            .old()
            .collect(),
        })
    }

    fn issuer(&mut self, path: &str, table: &IssuerTable) -> Option<Vec<auth::Issuer>> {
        if !table.publish && !table.subscribe {
            let advice = "publish and subscribe are both false, so that the key is of no use: \
                          write true for one, or remove the issuer";
            self.contradiction(&format!("{path}.publish"), advice);
        }
        let dialects = self.issuer_dialects(path, table)?;
        let keys = self.issuer_keys(path, table, &dialects);
        let issuer = table.issuer.as_deref().unwrap_or_default();
        if issuer.is_empty() && dialects.contains(&Dialect::V1) {
            let advice = "write the exact iss of its tokens, such as \"https://example.com\"";
            self.missing(&format!("{path}.issuer"), advice);
            return None;
        }
        let (keys, secret) = keys?;
        let issuer = auth::Issuer {
            issuer: issuer.into(),
            keys,
            kid: table.kid.clone(),
            publish: table.publish,
            subscribe: table.subscribe,
            dialects,
        };
        let secret = secret.unwrap_or_default();
        let mut issuers = dialects::further_keys(&issuer, &secret);
        issuers.insert(0, issuer);
        Some(issuers)
    }

    /// Returns the keys and, if they are one that is written here, its text.
    fn issuer_keys(
        &mut self,
        path: &str,
        table: &IssuerTable,
        dialects: &[Dialect],
    ) -> Option<(Keys, Option<String>)> {
        let written = [
            ("key", &table.key),
            ("key_file", &table.key_file),
            ("jwks_url", &table.jwks_url),
            ("jwks_file", &table.jwks_file),
        ];
        let mut written = written
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let (Some((name, text)), further) = (written.next(), written.next()) else {
            let advice = "write the secret or public key in key, its file in key_file, or the \
                          issuer's key set in jwks_url or jwks_file";
            self.missing(&format!("{path}.key"), advice);
            return None;
        };
        if let Some((further, _)) = further {
            let advice = "key, key_file, jwks_url and jwks_file exclude each other: remove one";
            self.contradiction(&format!("{path}.{further}"), advice);
            return None;
        }
        let place = format!("{path}.{name}");
        let source = match name {
            "key" => return self.fixed_key((path, place), table, text.to_owned(), dialects),
            "key_file" => {
                let text = self.key_file(&place, text)?;
                return self.fixed_key((path, place), table, text, dialects);
            }
            "jwks_file" => self.key_set_file(&place, text),
            _ => self.key_set_url(&place, text),
        };
        let only = self.key_set_algorithm(path, table)?;
        let set = self.key_set(source?);
        Some((Keys::Set { set, only }, None))
    }

    fn fixed_key(
        &mut self,
        (path, name): (&str, String),
        table: &IssuerTable,
        text: String,
        dialects: &[Dialect],
    ) -> Option<(Keys, Option<String>)> {
        let algorithm = table.algorithm.as_deref().unwrap_or(DEFAULT_ALGORITHM);
        let key = match Algorithm::from_name(algorithm) {
            Some(algorithm) => self.key_text(path, algorithm, &text, dialects),
            None => Err(KeyError::UnknownAlgorithm {
                name: algorithm.into(),
            }),
        };
        match key {
            Ok(key) => Some((key.into(), Some(text))),
            Err(error) => {
                let name = match error {
                    KeyError::PemAsSecret { .. } | KeyError::UnknownAlgorithm { .. } => {
                        format!("{path}.algorithm")
                    }
                    KeyError::Empty
                    | KeyError::Placeholder
                    | KeyError::Quoted
                    | KeyError::Json
                    | KeyError::SecretTooShort { .. }
                    | KeyError::Published
                    | KeyError::NotPem { .. }
                    | KeyError::Private
                    | KeyError::WrongKind { .. } => name,
                };
                self.invalid(&name, error);
                None
            }
        }
    }

    fn key_file(&mut self, name: &str, file: &str) -> Option<String> {
        match text_file::read(file) {
            Ok(text) => Some(text_file::without_line_break(&text).to_owned()),
            Err(error) => {
                self.invalid(name, format!("{file}: {error}"));
                None
            }
        }
    }

    fn limits(&mut self, table: &LimitsTable) -> Option<LimitOptions> {
        let connections = self.number("limits.connections_max", table.connections_max, 1);
        let name = "limits.connections_per_address_max";
        let per_address = self.number(name, table.connections_per_address_max, 1);
        let accepts = self.number("limits.accepts_per_second", table.accepts_per_second, 1);
        let name = "limits.streams_per_connection_max";
        let streams = self.number(name, table.streams_per_connection_max, 1);
        let held = self.held(table);
        let [total, address, connection] = held?;
        let crowded: usize =
            self.number("limits.crowded_patterns_max", table.crowded_patterns_max, 1)?;
        let name = "limits.crowded_patterns_per_address_max";
        let crowded_per_address = match table.crowded_patterns_per_address_max {
            Some(count) => self.number(name, count, 1)?,
            None => crowded.div_ceil(2),
        };
        Some(LimitOptions {
            connections_max: connections?,
            connections_per_address_max: per_address?,
            held_bytes_max: total,
            held_bytes_per_address_max: address,
            held_bytes_per_connection_max: connection,
            crowded_patterns_max: crowded,
            crowded_patterns_per_address_max: crowded_per_address,
            accepts_per_second: accepts?,
            head: self.seconds("limits.head_secs", table.head_secs, 1)?,
            body: self.seconds("limits.body_secs", table.body_secs, 1)?,
            handshake: self.seconds("limits.handshake_secs", table.handshake_secs, 1)?,
            stall: self.seconds("limits.stall_secs", table.stall_secs, 1)?,
            streams_per_connection_max: streams?,
            blocked: self.addresses("limits.blocked_addresses", &table.blocked_addresses)?,
        })
    }

    /// Returns the bytes that may be held: in total, for an address, for a connection.
    fn held(&mut self, table: &LimitsTable) -> Option<[usize; 3]> {
        let min = HELD_BYTES_MIN;
        let total = table.held_bytes_max.unwrap_or_else(held_bytes);
        let total = self.number("limits.held_bytes_max", total, min)?;
        let name = "limits.held_bytes_per_address_max";
        let address = match table.held_bytes_per_address_max {
            Some(address) => self.number(name, address, min)?,
            None => total / 2,
        };
        let name = "limits.held_bytes_per_connection_max";
        let connection = self.number(name, table.held_bytes_per_connection_max, min)?;
        Some([total, address, connection])
    }

    fn seconds(&mut self, key: &str, seconds: u64, min: u64) -> Option<Duration> {
        if seconds > SECONDS_MAX {
            self.invalid(
                key,
                format!("{seconds} is more than ten years: write at most {SECONDS_MAX}"),
            );
            return None;
        }
        self.number::<u64>(key, seconds, min)
            .map(Duration::from_secs)
    }

    fn shards(&mut self, shards: Option<u64>) -> Option<usize> {
        let shards = match shards {
            Some(shards) => self.number("server.shards", shards, 1)?,
            None => cores(),
        };
        if shards > SHARDS_MAX {
            self.invalid(
                "server.shards",
                format!("{shards} is more than {SHARDS_MAX}"),
            );
        }
        Some(shards)
    }

    fn log(&mut self, table: &LogTable) -> Option<LogOptions> {
        let filter = match LogFilter::parse(&table.level) {
            Ok(filter) => filter,
            Err(error) => {
                self.invalid("log.level", error);
                return None;
            }
        };
        let format = match table.format.as_str() {
            "json" => LogFormat::Json,
            "logfmt" => LogFormat::Logfmt,
            _ => LogFormat::Text,
        };
        Some(LogOptions {
            filter,
            format,
            access: table.access,
        })
    }

    fn origins(&mut self, key: &str, entries: &[String]) -> Option<OriginList> {
        match OriginList::parse(entries.iter().map(String::as_str)) {
            Ok(list) => Some(list),
            Err(error) => {
                let reason = format!("{error}: write it like https://example.com");
                self.invalid(key, reason);
                None
            }
        }
    }

    fn cors_headers(&mut self, entries: Option<&[String]>) -> Option<Option<Vec<HeaderName>>> {
        let mut names = Vec::new();
        for entry in entries.unwrap_or_default() {
            match HeaderName::from_bytes(entry.as_bytes()) {
                Ok(name) => names.push(name),
                Err(_no_name) => {
                    let reason = format!(
                        "{entry:?} is no name of a field: write it like \"X-Requested-With\""
                    );
                    self.invalid("cors.headers", reason);
                    return None;
                }
            }
        }
        Some(entries.map(|_| names))
    }

    fn number<N: TryFrom<u64>>(&mut self, key: &str, number: u64, min: u64) -> Option<N> {
        if number < min {
            self.invalid(key, format!("{number} is too small: write at least {min}"));
            return None;
        }
        let converted = N::try_from(number).ok();
        if converted.is_none() {
            self.invalid(key, format!("{number} is too large"));
        }
        converted
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

/// Returns the number of cores that the process may use, at least 1.
pub fn cores() -> usize {
    std::thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(SHARDS_MAX)
}

/// Returns the bytes that may be held in total where nothing is written: a quarter of the memory.
pub fn held_bytes() -> u64 {
    let (min, max) = HELD_BYTES_UNWRITTEN.into_inner();
    (machine_bytes() / 4).clamp(min, max)
}

/// Says whether what is sent to a URL can be read on the way: plain HTTP to another machine.
///
/// Mercure, "Presenting the Access Token".
fn is_cleartext(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| url.scheme() == "http" && !is_loopback(&url))
}

/// Says whether a URL's host is this machine.
pub fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn pages(table: &PagesTable) -> PageOptions {
    PageOptions {
        chat: table.chat,
        scores: table.scores,
        debugger: table.debugger,
        diagnose: table.diagnose,
        library: table.library,
    }
}

fn nonzero(number: u64) -> Option<u64> {
    (number != 0).then_some(number)
}

/// Entries of a list of origins that pages of any site have, or can give themselves.
pub const ANYBODY: [&str; 2] = ["*", "null"];

/// What a key is for if nothing says it.
const DEFAULT_ALGORITHM: &str = "HS256";

/// Name of the history's file in the data folder.
pub const HISTORY_FILE: &str = "history.db";

/// Drafts that wait for the history's writer; beyond it publishers get 503.
const HISTORY_QUEUE_MAX: usize = 16 * 1024;

/// Updates that are committed as one group.
const HISTORY_GROUP_MAX: usize = 1024;

/// Requests that wait for the history's reader.
const HISTORY_READS_MAX: usize = 64 * 1024;

/// Bytes of updates in the history's page cache.
const HISTORY_CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Ten years: longer than any wait, and no clock overflows.
const SECONDS_MAX: u64 = 10 * 365 * 24 * 3600;

/// Fewest bytes that may be held: one body of a megabyte at a time.
const HELD_BYTES_MIN: u64 = 1024 * 1024;
/// Bounds of the bytes that may be held in total, where none is written.
const HELD_BYTES_UNWRITTEN: RangeInclusive<u64> = 16 * 1024 * 1024..=1024 * 1024 * 1024;

/// Most shards, far beyond what any machine has cores.
const SHARDS_MAX: usize = 1024;

#[cfg(test)]
mod tests;
