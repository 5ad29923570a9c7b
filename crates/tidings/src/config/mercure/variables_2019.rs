//! The environment of the hubs of 2019 and 2020 (0.1–0.10), whose names have no prefix.
//!
//! Up to 0.7, lists are separated by commas and only `1` means true; since 0.8, lists are separated
//! by spaces and `true` works too. Both forms are accepted.

use super::units::{duration, whole_secs};
use super::variables::PATH;
use super::{DEFAULT_ISSUER, Environment, TokenKey, Translation, directives, list, number};

/// Returns whether the environment is one of this kind. A hub of that time refused to start without a key, so `DEBUG`
/// or `ADDR` without a key belong to other programs.
pub fn applies(environment: &Environment<'_>) -> bool {
    KEYS.iter().any(|name| environment.find(name).is_some())
}

/// Reads the environment.
pub fn read(environment: &Environment<'_>) -> Translation {
    let mut into = Translation::default();
    read_keys(environment, &mut into);
    read_address(environment, &mut into);
    read_switches(environment, &mut into);
    for (name, key) in LISTS {
        if let Some(text) = environment.find(name) {
            let entries = text.split([',', ' ']).filter(|entry| !entry.is_empty());
            into.set(key, list(entries), name);
        }
    }
    for (name, key) in TIMES {
        let Some(text) = environment.find(name) else {
            continue;
        };
        match duration(text) {
            // In that hub zero means no limit, and a request without a limit would keep its place forever.
            Some(time) if time.is_zero() && key.starts_with("limits.") => {}
            Some(time) => into.set(key, number(whole_secs(time)), name),
            None => into.refuse(name, "a duration such as 15s or 1m"),
        }
    }
    read_history(environment, &mut into);
    read_log(environment, &mut into);
    for (name, why) in WITHOUT_COUNTERPART {
        if environment.find(name).is_some() {
            into.leave(name, why);
        }
    }
    into
}

/// Notes the names that are not read because newer ones are set. Without a key of that time, common names are assumed
/// to belong to other programs.
pub fn leave(environment: &Environment<'_>, into: &mut Translation) {
    let lists = LISTS.iter().map(|(name, _)| *name);
    let own = KEYS.iter().chain(&ALGORITHMS).chain(&OWN).copied();
    let others = TIMES.iter().map(|(name, _)| *name);
    let others = others.chain(WITHOUT_COUNTERPART.iter().map(|(name, _)| *name));
    let shared = SHARED.iter().copied().chain(others);
    let with_key = applies(environment);
    for name in own.chain(lists).chain(shared.filter(|_| with_key)) {
        if environment.find(name).is_some() {
            into.leave(name, BESIDE_NEWER);
        }
    }
}

fn read_keys(environment: &Environment<'_>, into: &mut Translation) {
    let both = environment.find("JWT_KEY");
    let roles = [
        ("PUBLISHER_JWT_KEY", "PUBLISHER_JWT_ALGORITHM", true),
        ("SUBSCRIBER_JWT_KEY", "SUBSCRIBER_JWT_ALGORITHM", false),
    ];
    for (name, algorithm, publish) in roles {
        let (source, text) = match (environment.find(name), both) {
            (Some(text), _) => (name, text),
            (None, Some(text)) => ("JWT_KEY", text),
            (None, None) => continue,
        };
        let algorithm = environment.find(algorithm);
        let key = TokenKey {
            issuer: DEFAULT_ISSUER,
            field: "key",
            text,
            algorithm: algorithm.or_else(|| environment.find("JWT_ALGORITHM")),
            publish,
            subscribe: !publish,
            old_dialects: &["2019", "0.x"],
        };
        into.add_key(&key, source);
    }
}

/// Translates the address: `ADDR`, else port 80, or 443 with a certificate.
fn read_address(environment: &Environment<'_>, into: &mut Translation) {
    let files = [("CERT_FILE", "tls.certificate"), ("KEY_FILE", "tls.key")];
    for (name, key) in files {
        if let Some(path) = environment.find(name) {
            into.set(key, path, name);
        }
    }
    let acme = environment.find("ACME_HOSTS");
    let tls = into.sets("tls.certificate") || acme.is_some();
    let (source, address) = match environment.find("ADDR") {
        Some(address) => ("ADDR", address),
        None => ("ADDR, not set", if tls { ":443" } else { ":80" }),
    };
    let Some((host, port)) = host_and_port(address) else {
        into.refuse(source, "an address such as :80 or 127.0.0.1:3000");
        return;
    };
    let listen = if host.is_empty() { "[::]" } else { host };
    into.add_listen(&format!("{listen}:{port}"), tls, source);
    let name = acme.and_then(|hosts| hosts.split([',', ' ']).find(|host| !host.is_empty()));
    let scheme = if tls { "https" } else { "http" };
    let usual = if tls { 443 } else { 80 };
    let authority = match (name.unwrap_or("localhost"), port) {
        (name, port) if port == usual => name.to_owned(),
        (name, port) => format!("{name}:{port}"),
    };
    into.set(
        "hub.public_url",
        format!("{scheme}://{authority}{PATH}"),
        source,
    );
}

/// Splits an address in Go's syntax. A port may be a service name.
fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = match port {
        "http" => 80,
        "https" => 443,
        port => port.parse().ok()?,
    };
    Some((host, port))
}

fn read_switches(environment: &Environment<'_>, into: &mut Translation) {
    let on = |name: &str| matches!(environment.find(name), Some("1" | "true"));
    if on("ALLOW_ANONYMOUS") {
        into.set("subscribe.anonymous", true, "ALLOW_ANONYMOUS");
    }
    for name in ["DISPATCH_SUBSCRIPTIONS", "SUBSCRIPTIONS"] {
        if on(name) {
            into.set("presence.enabled", true, name);
        }
    }
    if on("DEBUG") {
        into.set("log.level", "info,tidings=debug", "DEBUG");
    }
    // Debugging also enabled the demonstration.
    let demo = ["DEMO", "DEBUG"].into_iter().find(|name| on(name));
    if let Some(source) = demo {
        directives::demo(source, into);
    }
}

fn read_history(environment: &Environment<'_>, into: &mut Translation) {
    if let Some(path) = environment.find("DB_PATH") {
        let folder = std::path::Path::new(path).parent();
        let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.map_or_else(|| ".".to_owned(), |folder| folder.display().to_string());
        into.set("data.dir", folder, "DB_PATH");
        into.leave("DB_PATH", directives::OTHER_FILE);
    }
    if let Some(text) = environment.find("HISTORY_SIZE") {
        match text.parse() {
            Ok(size) => into.set("history.retain_updates", number(size), "HISTORY_SIZE"),
            Err(_) => into.refuse("HISTORY_SIZE", "a whole number, not negative"),
        }
    }
    if let Some(url) = environment.find("TRANSPORT_URL") {
        directives::transport_url(url, "TRANSPORT_URL", into);
    }
}

/// Translates its log settings. It also logged each request, whatever LOG_FORMAT was.
fn read_log(environment: &Environment<'_>, into: &mut Translation) {
    let (source, format) = match environment.find("LOG_FORMAT") {
        Some("JSON") => ("LOG_FORMAT", "json"),
        Some("FLUENTD") => {
            into.leave(
                "LOG_FORMAT=FLUENTD",
                "the log is JSON with the hub's own names of fields",
            );
            ("LOG_FORMAT", "json")
        }
        Some(_) => ("LOG_FORMAT", "logfmt"),
        None => ("LOG_FORMAT, not set", "logfmt"),
    };
    into.set("log.format", format, source);
    into.set("log.access", true, source);
}

const KEYS: [&str; 3] = ["JWT_KEY", "PUBLISHER_JWT_KEY", "SUBSCRIBER_JWT_KEY"];

const ALGORITHMS: [&str; 3] = [
    "JWT_ALGORITHM",
    "PUBLISHER_JWT_ALGORITHM",
    "SUBSCRIBER_JWT_ALGORITHM",
];

/// Other names that only that hub has.
const OWN: [&str; 3] = ["ALLOW_ANONYMOUS", "DISPATCH_SUBSCRIPTIONS", "HISTORY_SIZE"];

/// Names that other programs have too.
const SHARED: [&str; 9] = [
    "ADDR",
    "CERT_FILE",
    "DB_PATH",
    "DEBUG",
    "DEMO",
    "KEY_FILE",
    "LOG_FORMAT",
    "SUBSCRIPTIONS",
    "TRANSPORT_URL",
];

const BESIDE_NEWER: &str = "a name of 2019, which counts only where none of MERCURE_… is set; write \
                            the newer name, or a setting of our own";

const LISTS: [(&str, &str); 3] = [
    ("CORS_ALLOWED_ORIGINS", "cors.origins"),
    ("PUBLISH_ALLOWED_ORIGINS", "publish.origins"),
    ("ACME_HOSTS", "hub.hosts"),
];

const TIMES: [(&str, &str); 4] = [
    ("HEARTBEAT_INTERVAL", "subscribe.keep_alive_secs"),
    ("WRITE_TIMEOUT", "subscribe.connection_secs_max"),
    ("READ_TIMEOUT", "limits.body_timeout_secs"),
    ("DISPATCH_TIMEOUT", "limits.stall_timeout_secs"),
];

const WITHOUT_COUNTERPART: [(&str, &str); 6] = [
    (
        "ACME_CERT_DIR",
        "the hub keeps certificates in data.dir; write tls.acme.names to have automatic ones",
    ),
    (
        "COMPRESS",
        "answers are not compressed; a proxy may do it for pages",
    ),
    ("HISTORY_CLEANUP_FREQUENCY", "retention runs by itself"),
    ("USE_FORWARDED_HEADERS", "no field of a proxy is believed"),
    ("METRICS_ENABLED", "write admin.address to have metrics"),
    ("METRICS", "write admin.address to have metrics"),
];
