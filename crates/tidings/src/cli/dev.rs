//! `tidings dev`: a hub for one developer on one machine, without configuration.
//!
//! It listens on loopback only, makes its own key and tokens, lets subscribers in without a token,
//! serves the pages, and says why it refuses something. None of this is for production.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tidings_core::HubUrl;
use tidings_core::limits::PUBLISH_BODY_BYTES_MAX;
use tidings_history::{Kind, PresenceRetention, Retention};
use tidings_wire::authority::Authority;
use tidings_wire::origin::OriginList;
use tracing_subscriber::filter::LevelFilter;

use super::dev_folder::{DEFAULT_DATA, DevFolder, DevHub, ISSUER};
use super::{log, print};
use crate::auth;
use crate::auth::issue::{Detail, Issuing, SignKey};
use crate::auth::key::Algorithm;
use crate::binding;
use crate::clock::unix_secs;
use crate::config::addresses::AddressList;
use crate::config::check::{ANYBODY, HISTORY_FILE, cores, held_bytes, history_options};
use crate::config::log_filter::LogFilter;
use crate::config::{
    Config, CorsOptions, DevTokens, DialectOptions, FlashOptions, LimitOptions, Listen, LogFormat,
    LogOptions, PageOptions, PublishOptions, RoomAccess, RoomOptions, SockJsOptions, StreamEnd,
    SubscribeOptions, WebSocketOptions,
};
use crate::output;
use crate::presence;
use crate::server::{self, Control};
use crate::signals::Hangup;

/// Start a hub to try things on, without configuration
///
/// It listens on this machine only, makes its own key and tokens, keeps its history in a folder, and
/// serves a chat, a score board and a debugger. When it refuses something, it says why.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Address to listen on; must be a loopback address. Port 0 takes any free port
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:4400")]
    listen: SocketAddr,

    /// Folder for the history, the key and the tokens
    #[arg(long, value_name = "FOLDER", default_value = DEFAULT_DATA)]
    data: PathBuf,

    /// Keep the history in memory; it is gone when the hub stops
    #[arg(long)]
    memory: bool,

    /// Say and list who subscribes to what
    #[arg(long)]
    presence: bool,

    /// Origin of your own pages that use this hub, such as http://localhost:3000: they may read and, with
    /// the cookie, publish; may be repeated
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
}

/// Runs the command until the server ends.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let control = Control::start(Hangup::Stops)?;
    let address = free_address(arguments.listen)?;
    let mut config = config(address, &arguments.data, arguments.memory)?;
    let pages = arguments.origins.iter().map(String::as_str);
    let own = own_origins(address.port());
    let own = own.iter().map(String::as_str);
    // What stands for pages of anybody may read, but not publish with a visitor's cookie.
    let publishing = pages.clone().filter(|page| !ANYBODY.contains(page));
    config.publish.origins = OriginList::parse(own.chain(publishing))?;
    let pages = OriginList::parse(pages)?;
    config.rooms.origins = pages.clone();
    config.cors.origins = pages;
    config.presence = arguments.presence.then_some(presence::Options {
        old_paths: true,
        ..presence::Options::DEFAULT
    });
    log::start(&config.log)?;
    server::run(control, config, |config| {
        // Only now: a start that fails must not hide a hub that runs on the same folder.
        if let Err(error) = tell_commands(config) {
            print::error(&format!("tidings: {error:#}"));
        }
        output::announce(&banner(config));
    })
}

/// Writes for `publish`, `subscribe` and `token` where the hub is.
fn tell_commands(config: &Config) -> anyhow::Result<()> {
    let Some(tokens) = &config.dev else {
        return Ok(());
    };
    DevFolder::new(&config.data_dir).write_hub(&DevHub {
        hub: config.hub.as_str().to_owned(),
        publisher: tokens.publisher.clone(),
        subscriber: tokens.subscriber.clone(),
    })
}

/// Makes the configuration of a developer's hub at `listen`, whose port is the real one.
///
/// Makes the data folder and its key if they are not there yet.
///
/// # Errors
///
/// If the data folder cannot be written, or its key is damaged.
pub fn config(listen: SocketAddr, data: &Path, memory: bool) -> anyhow::Result<Config> {
    let folder = DevFolder::new(data);
    let port = listen.port();
    let origins = own_origins(port);
    let audiences: Vec<String> = origins
        .iter()
        .map(|origin| format!("{origin}{HUB_PATH}"))
        .collect();
    let hub = HubUrl::parse(&format!(
        "http://{}{HUB_PATH}",
        authority("localhost", port)
    ))?;
    let tokens = tokens(&folder, &audiences)?;
    let kind = match memory {
        true => Kind::Memory,
        false => Kind::File {
            path: data.join(HISTORY_FILE),
        },
    };
    Ok(Config {
        listens: vec![listen_on(listen)],
        tls: None,
        admin: None,
        hub,
        hosts: LOOPBACK_NAMES
            .iter()
            .map(|name| Authority::parse(&authority(name, port)))
            .collect::<Result<_, _>>()?,
        data_dir: data.to_owned(),
        key_sets_keep: Duration::ZERO,
        shards: cores(),
        history: history_options(kind, RETENTION).context("no random bytes from the system")?,
        ring_bytes: 32 * 1024 * 1024,
        auth: auth::Options {
            issuers: vec![folder.issuer()?],
            audiences,
            cookie_names: COOKIE_NAMES.map(str::to_owned).to_vec(),
            old_dialects: DIALECTS.old().collect(),
        },
        dialects: DIALECTS,
        subscribe: SubscribeOptions {
            anonymous: true,
            keep_alive: Duration::from_secs(15),
            connection_max: Some(Duration::from_secs(3600)),
            retry: None,
            end: StreamEnd::Clean,
        },
        publish: PublishOptions {
            origins: OriginList::parse(origins.iter().map(String::as_str))?,
            body_bytes_max: PUBLISH_BODY_BYTES_MAX,
        },
        presence: None,
        cors: CorsOptions {
            origins: OriginList::default(),
            headers: None,
        },
        websocket: WEBSOCKET,
        rooms: open_to_all(),
        sockjs: SOCKJS,
        flash: FlashOptions::off(),
        limits: limits(),
        drain: Duration::from_secs(1),
        pages: PAGES,
        zeromq: None,
        log: log_options(),
        explain_refusals: true,
        warnings: Vec::new(),
        dev: Some(tokens),
        test_services: false,
    })
}

fn log_options() -> LogOptions {
    LogOptions {
        filter: LogFilter::level(LevelFilter::WARN),
        format: LogFormat::Text,
        access: false,
    }
}

/// Returns what to tell the developer when the hub is up: pages, `curl` lines, history, how to stop.
///
/// The `curl` lines hold a real token, so that they work when pasted.
pub fn banner(config: &Config) -> String {
    let origin = config.hub.origin();
    let hub = config.hub.as_str();
    let publisher = config
        .dev
        .as_ref()
        .map_or("", |tokens| tokens.publisher.as_str());
    let tokens = DevFolder::new(&config.data_dir).hub_path();
    let tokens = tokens.display();
    let history = match &config.history.kind {
        Kind::File { path } => path.display().to_string(),
        Kind::Memory => "in memory, gone when the hub stops".to_owned(),
        Kind::None => "none".to_owned(),
    };
    format!(
        "\
Tidings is ready. This hub is for trying things on this machine; `tidings serve` is for others.

  Chat       {origin}/chat
  Scores     {origin}/scores
  Debugger   {origin}/debugger
  Diagnose   {origin}/diagnose
  Hub        {hub}
  History    {history}
  Tokens     {tokens}

Subscribe, in one terminal:

curl -N '{hub}?match=https://example.com/hello'

Publish, in another:

curl '{hub}' -H 'Authorization: Bearer {publisher}' -d 'topic=https://example.com/hello' \
         --data-urlencode 'data=Hello, world'

Stop it with Ctrl-C.
"
    )
}

/// Returns `listen` with a port that is free.
pub fn free_address(listen: SocketAddr) -> anyhow::Result<SocketAddr> {
    if !is_loopback(listen.ip()) {
        anyhow::bail!(
            "{listen} can be reached by others, and this hub lets everyone read and shows its \
             tokens: choose a loopback address such as 127.0.0.1:{}, or run `tidings serve`",
            listen.port()
        );
    }
    // The server listens with one socket per shard on the same port. That would also join the
    // sockets of another hub of the same user; this socket does not, so it tells.
    match binding::open(listen, TcpListener::bind) {
        Ok(listener) => Ok(listener.local_addr()?),
        Err(error) if error.is_taken() => anyhow::bail!(
            "port {} is taken, perhaps by another `tidings dev`: stop that one, or start this one \
             beside it with --listen {} --data FOLDER",
            listen.port(),
            SocketAddr::new(listen.ip(), 0),
        ),
        Err(error) => Err(error.into()),
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn tokens(folder: &DevFolder, audiences: &[String]) -> anyhow::Result<DevTokens> {
    let issuing = Issuing {
        key: SignKey::parse(Algorithm::Hs256, &folder.key_or_new()?)?,
        issuer: ISSUER.to_owned(),
        audiences: audiences.to_vec(),
    };
    let now = unix_secs();
    let token = |action: &'static str, subject: &str| {
        let matchers = vec![("exact", "*".to_owned())];
        let detail = Detail {
            actions: vec![action],
            matchers,
            payload: None,
        };
        issuing.token(subject, vec![detail], now, TOKEN_SECS)
    };
    Ok(DevTokens {
        publisher: token("publish", "publisher")?,
        subscriber: token("subscribe", "subscriber")?,
        issuing,
    })
}

/// Returns the origins of the hub's own pages.
fn own_origins(port: u16) -> [String; 3] {
    LOOPBACK_NAMES.map(|name| format!("http://{}", authority(name, port)))
}

/// Joins a host name and a port as a `Host` field has them.
fn authority(name: &str, port: u16) -> String {
    match port {
        80 => name.to_owned(),
        port => format!("{name}:{port}"),
    }
}

/// How a browser on this machine may call it.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

const HUB_PATH: &str = "/.well-known/mercure";

/// Over plain HTTP a browser does not set the first one, except some for localhost.
const COOKIE_NAMES: [&str; 2] = ["__Secure-mercure_access_token", "mercure_access_token"];

/// Whatever an application speaks works here.
const DIALECTS: DialectOptions = DialectOptions {
    v0: true,
    v2019: true,
    demo: true,
};

/// Ten years.
const TOKEN_SECS: u64 = 10 * 365 * 24 * 3600;

const RETENTION: Retention = Retention {
    age_max: Some(Duration::from_secs(168 * 3600)),
    updates_max: Some(1_000_000),
    bytes_max: Some(1024 * 1024 * 1024),
    presence: PresenceRetention::DEFAULT,
};

const PAGES: PageOptions = PageOptions {
    chat: true,
    scores: true,
    debugger: true,
    diagnose: true,
    library: true,
};

/// As `tidings serve` has them by default.
pub const WEBSOCKET: WebSocketOptions = WebSocketOptions {
    compression: true,
    bytes_max: 1024 * 1024,
    frames_per_second_max: 1000,
    ping: Duration::from_secs(30),
};

const SOCKJS: SockJsOptions = SockJsOptions {
    enabled: true,
    ..SockJsOptions::OFF
};

fn listen_on(address: SocketAddr) -> Listen {
    Listen {
        address,
        tls: false,
        topic: None,
    }
}

/// Any conversation, for any page of this hub.
fn open_to_all() -> RoomOptions {
    RoomOptions {
        access: Some(RoomAccess::Anonymous),
        topics: vec!["*".to_owned()],
        origins: OriginList::default(),
        subprotocols: Vec::new(),
        private: false,
    }
}

fn limits() -> LimitOptions {
    let held = usize::try_from(held_bytes()).unwrap_or(usize::MAX);
    LimitOptions {
        connections_max: 10_000,
        connections_per_address_max: 10_000,
        // Everybody is at one address.
        held_bytes_max: held,
        held_bytes_per_address_max: held,
        held_bytes_per_connection_max: 16 * 1024 * 1024,
        crowded_patterns_max: 2000,
        crowded_patterns_per_address_max: 2000,
        accepts_per_second: 5000,
        head: Duration::from_secs(10),
        body: Duration::from_secs(30),
        handshake: Duration::from_secs(10),
        stall: Duration::from_secs(60),
        streams_per_connection_max: 250,
        blocked: AddressList::default(),
    }
}

const EXAMPLES: &str = "\
Examples:
  tidings dev
  tidings dev --listen 127.0.0.1:8080 --memory
  tidings dev --origin http://localhost:3000";

#[cfg(test)]
mod tests;
