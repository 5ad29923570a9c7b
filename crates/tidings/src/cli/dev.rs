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
use super::{browser, log, print};
use crate::binding;
use crate::config::admin_token::AdminToken;
use crate::config::check::publish::ANYBODY;
use crate::config::tables::history::HISTORY_FILE;
use crate::config::{self, Config, DevTokens};
use crate::server::{self, Beginning, Control};
use crate::signals::Hangup;
use crate::telemetry::output;
use tidings_hub::clock::unix_secs;
use tidings_hub::presence;

/// Start a hub for development, without configuration
///
/// It listens on this machine only, makes its own key and tokens, stores its history in a folder,
/// and serves a chat, a score board, a debugger, a network test and the admin page. Each request is a line on the
/// terminal; when one is refused, the line and the response say why.
///
/// Pages of http://localhost and of other loopback names, with any port, may use it. A page opened
/// from a file may read public updates.
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

    /// Do not publish and list who subscribes to what (presence)
    #[arg(long)]
    no_presence: bool,

    /// Origin of your own pages that use this hub, such as `https://app.test`. They may read and,
    /// with the cookie, publish. May be repeated
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,

    /// Refuse pages without an origin. Files have none, but any website can make such a page too
    #[arg(long)]
    no_file_pages: bool,

    /// Do not show each request
    #[arg(long)]
    quiet: bool,

    /// Open the hub's page in the browser
    #[arg(long)]
    open: bool,
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
    // Rooms let anybody speak, so pages that anybody can make stay out.
    let local = pages.chain(LOCAL_PAGES);
    config.rooms.origins = OriginList::parse(local.clone())?;
    let files = (!arguments.no_file_pages).then_some(FILE_PAGE);
    config.cors.origins = OriginList::parse(local.chain(files))?;
    config.request_lines = !arguments.quiet;
    config.presence = (!arguments.no_presence).then_some(presence::Options {
        old_paths: true,
        ..presence::Options::DEFAULT
    });
    log::start(&config.log)?;
    server::run(control, config, Beginning::default(), |config| {
        // Not earlier: a failed start must not hide a running hub on the same folder.
        if let Err(error) = tell_commands(config) {
            print::error(&format!("tidings: {error:#}"));
        }
        output::announce(&banner(config));
        if arguments.open
            && let Err(error) = browser::open(&config.hub.origin())
        {
            print::error(&format!("tidings: {error:#}"));
        }
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
    config.limits.peer_memory_bytes_per_address_max = Some(config.limits.peer_memory_bytes_max);
    config.admin_token = Some(AdminToken::parse(&folder.admin_token_or_new()?)?);
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
jwks_cache_secs = 0

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

# Any room, for any page of this hub.
[rooms]
access = "anonymous"
topics = ["*"]

[sockjs]
enabled = true

[limits]
connections_max = 10000
# Everybody is at one address.
unindexed_patterns_per_address_max = 2000

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

/// Returns the text for the developer when the hub is up: pages, `curl` commands, what applications
/// need, how to stop.
pub fn banner(config: &Config) -> String {
    let origin = config.hub.origin();
    let hub = config.hub.as_str();
    let folder = DevFolder::new(&config.data_dir);
    let (key, token) = (folder.key_path(), folder.publisher_path());
    let (key, token) = (key.display(), token.display());
    // It was there before the hub: only a folder that somebody removed has none.
    let admin = folder.admin_token().unwrap_or_default();
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
  Admin      {origin}/admin, with the token {admin}
  Hub        {hub}
  History    {history}
  Key        {key} (HS256), of the issuer {ISSUER}

Subscribe, in one terminal:

curl -N '{hub}?match=https://example.com/hello'

Publish, in another:

curl '{hub}' -H \"Authorization: Bearer $(cat '{token}')\" \\
  -d topic=https://example.com/hello --data-urlencode 'data=Hello, world'

Stop it with Ctrl-C. Each request is shown from here on.

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

/// Origins of pages that servers on this machine serve. They may read with a cookie, which browsers
/// share between the ports of a host anyway.
const LOCAL_PAGES: [&str; 8] = [
    "http://localhost:*",
    "https://localhost:*",
    "http://*.localhost:*",
    "https://*.localhost:*",
    "http://127.0.0.1:*",
    "https://127.0.0.1:*",
    "http://[::1]:*",
    "https://[::1]:*",
];

/// The origin of a page that was opened from a file. A website can give it to a frame of its own
/// (WHATWG HTML, "sandboxed origin browsing context flag"), so it never has credentials and may
/// neither publish nor ask for tokens: it reads what is public.
const FILE_PAGE: &str = "null";

/// Names by which a browser on this machine can reach the hub.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

const HUB_PATH: &str = "/.well-known/mercure";

/// Ten years.
const TOKEN_SECS: u64 = 10 * 365 * 24 * 3600;

const EXAMPLES: &str = "\
Examples:
  tidings dev
  tidings dev --listen 127.0.0.1:8080 --memory
  tidings dev --origin https://app.test";

#[cfg(test)]
mod tests;
