//! `tidings dev`: a hub for a developer's machine, without configuration.
//!
//! It listens on loopback only, makes its own key and tokens, accepts subscribers without a token,
//! serves the pages, and explains refusals. None of this is for production.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use tidings_auth::issue::{Detail, Issuing, SignKey};
use tidings_auth::key::Algorithm;
use tidings_history::Kind;
use tidings_wire::origin::OriginList;
use toml::Value;

use super::dev_folder::{DEFAULT_DATA, DevFolder, DevHub, ISSUER};
use super::{log, print};
use crate::binding;
use crate::config::check::history::HISTORY_FILE;
use crate::config::check::publish::ANYBODY;
use crate::config::{self, Config, DevTokens};
use crate::server::{self, Control};
use crate::signals::Hangup;
use crate::telemetry::output;
use tidings_hub::clock::unix_secs;
use tidings_hub::presence;

/// Start a hub for development, without configuration
///
/// It listens on this machine only, makes its own key and tokens, stores its history in a folder,
/// and serves a chat, a score board and a debugger. When it refuses a request, the response says
/// why.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Address to listen on; must be a loopback address. Port 0 selects any free port
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:4400")]
    listen: SocketAddr,

    /// Folder for the history, the key and the tokens
    #[arg(long, value_name = "FOLDER", default_value = DEFAULT_DATA)]
    data: PathBuf,

    /// Keep the history in memory; it is lost when the hub stops
    #[arg(long)]
    memory: bool,

    /// Publish and list who subscribes to what (presence)
    #[arg(long)]
    presence: bool,

    /// Origin of your own pages that use this hub, such as http://localhost:3000. They may read
    /// and, with the cookie, publish. May be repeated
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
    // Entries that match anybody's pages allow reading, but not publishing with a visitor's cookie.
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
        // Not earlier: a failed start must not hide a running hub on the same folder.
        if let Err(error) = tell_commands(config) {
            print::error(&format!("tidings: {error:#}"));
        }
        output::announce(&banner(config));
    })
}

/// Writes down where the hub is, for `publish`, `subscribe` and `token`.
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

/// Makes the configuration of a developer's hub at `listen`, with its actual port.
///
/// Creates the data folder and its key if they do not exist.
///
/// # Errors
///
/// If the data folder cannot be written, or its key is damaged.
pub fn config(listen: SocketAddr, data: &Path, memory: bool) -> anyhow::Result<Config> {
    let folder = DevFolder::new(data);
    let audiences = own_origins(listen.port()).map(|origin| format!("{origin}{HUB_PATH}"));
    let tokens = tokens(&folder, &audiences)?;
    let mut config = config::of_text("tidings dev", &written(listen, &audiences, &folder.key()?))?;
    config.data_dir = data.to_owned();
    config.history.kind = match memory {
        true => Kind::Memory,
        false => Kind::File {
            path: data.join(HISTORY_FILE),
        },
    };
    // The key with its only algorithm, as `token inspect` checks tokens.
    config.auth.issuers = vec![folder.issuer()?];
    // All peers have one address.
    config.limits.held_bytes_per_address_max = Some(config.limits.held_bytes_max);
    config.explain_refusals = true;
    config.dev = Some(tokens);
    Ok(config)
}

/// Returns the settings of a developer's hub. Everything else has the default of `tidings serve`.
fn written(listen: SocketAddr, audiences: &[String], key: &str) -> String {
    let port = listen.port();
    let localhost = authority("localhost", port);
    let list = |texts: &[String]| Value::from(texts.to_vec());
    let hosts = list(&LOOPBACK_NAMES.map(|name| authority(name, port)));
    let origins = list(&own_origins(port));
    let audiences = list(audiences);
    let key = Value::from(key);
    format!(
        r#"
[[listen]]
address = "{listen}"

[hub]
public_url = "http://{localhost}{HUB_PATH}"
hosts = {hosts}

[server]
drain_secs = 1

[auth]
audiences = {audiences}
# Over plain HTTP a browser does not set the first one, except some for localhost.
cookie_names = ["__Secure-mercure_access_token", "mercure_access_token"]
jwks_keep_secs = 0

[[auth.issuers]]
issuer = "{ISSUER}"
key = {key}
dialects = ["1.0", "0.x", "2019"]

# Whatever an application speaks works here.
[dialects]
v0 = true
v2019 = true
demo = true

[subscribe]
anonymous = true

[publish]
origins = {origins}

# Any conversation, for any page of this hub.
[rooms]
access = "anonymous"
topics = ["*"]

[sockjs]
enabled = true

[limits]
connections_max = 10000
# Everybody is at one address.
crowded_patterns_per_address_max = 2000

[pages]
chat = true
scores = true
debugger = true
diagnose = true

[log]
level = "warn"
"#
    )
}

/// Returns the text for the developer when the hub is up: pages, `curl` commands, history, how to
/// stop.
///
/// The `curl` commands contain a real token, so that they work when pasted.
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
    // The server listens with one socket per shard on the same port. Those sockets could share the
    // port with another hub of the same user without an error; this socket cannot.
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

/// Joins a host name and a port as in a `Host` field.
fn authority(name: &str, port: u16) -> String {
    match port {
        80 => name.to_owned(),
        port => format!("{name}:{port}"),
    }
}

/// Names by which a browser on this machine can reach the hub.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

const HUB_PATH: &str = "/.well-known/mercure";

/// Ten years.
const TOKEN_SECS: u64 = 10 * 365 * 24 * 3600;

const EXAMPLES: &str = "\
Examples:
  tidings dev
  tidings dev --listen 127.0.0.1:8080 --memory
  tidings dev --origin http://localhost:3000";

#[cfg(test)]
mod tests;
