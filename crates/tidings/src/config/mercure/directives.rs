//! The directives of a `mercure` block: which of our keys each of them means.
//!
//! The order of the table below is the one of that hub's manual. A directive that is not in it is
//! left unread, whatever it is: a setting that nobody understood must be seen, not stop the hub.

use super::caddyfile::{Line, Lookup};
use super::units::{bytes, duration, whole_secs};
use super::{DEFAULT_ISSUER, TokenKey, Translation, list, number};

/// Translates one directive. `context` says where it stands, for the origins of values.
pub fn translate(line: &Line, lookup: Lookup<'_>, context: &str, into: &mut Translation) {
    let words: Vec<String> = line.words.iter().map(|word| filled(word, lookup)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((&name, rest)) = words.split_first() else {
        return;
    };
    let source = &format!("{context}: {name}");
    let argument = rest.first().copied();
    match (name, argument) {
        ("anonymous", _) => into.set("subscribe.anonymous", true, source),
        ("subscriptions", _) => into.set("presence.enabled", true, source),
        ("heartbeat", Some(text)) => seconds("subscribe.keep_alive_secs", text, source, into),
        ("write_timeout", Some(text)) => {
            seconds("subscribe.connection_secs_max", text, source, into);
        }
        ("dispatch_timeout", Some("0" | "0s")) => {
            into.leave(
                source,
                "a subscriber that takes nothing is always closed at last",
            );
        }
        ("dispatch_timeout", Some(text)) => seconds("limits.stall_secs", text, source, into),
        ("publisher_jwt" | "subscriber_jwt", Some(text)) => {
            key(name, "key", text, rest.get(1).copied(), source, into);
        }
        ("publisher_jwks_url" | "subscriber_jwks_url", Some(text)) => {
            let (field, text) = key_set(text);
            key(name, field, text, None, source, into);
        }
        ("issuer", Some(issuer)) => issuer_block(line, issuer, lookup, source, into),
        ("resource_identifier", Some(url)) => {
            into.set("auth.audiences", list([url]), source);
            if url.ends_with(super::variables::PATH) {
                into.set("hub.public_url", url, source);
            }
        }
        ("public_urls", Some(_)) => public_urls(rest, source, into),
        ("max_request_body_size", Some("0")) => {
            into.leave(
                source,
                "the length of a body is always bounded (publish.body_bytes_max)",
            );
        }
        ("max_request_body_size", Some(text)) => match bytes(text) {
            Some(size) => into.set("publish.body_bytes_max", number(size), source),
            None => into.refuse(source, "a size such as 1MiB"),
        },
        ("publish_origins", Some(_)) => into.set("publish.origins", list(words_of(rest)), source),
        ("cors_origins", Some(_)) => into.set("cors.origins", list(words_of(rest)), source),
        ("cookie_name", Some(cookie)) => into.set("auth.cookie_names", list([cookie]), source),
        ("transport", Some(kind)) => transport(line, kind, lookup, source, into),
        ("transport_url", Some(url)) => transport_url(url, source, into),
        ("protocol_version_compatibility", _) => {
            into.leave(
                source,
                "older tokens and parameters are served where a key is for them",
            );
        }
        ("demo" | "playground", _) => pages(name, source, into),
        ("ui" | "debugger", _) => into.set("pages.debugger", true, source),
        _ => {
            let why = WITHOUT_COUNTERPART.iter().find(|(known, _)| *known == name);
            into.leave(source, why.map_or(UNKNOWN, |(_, why)| why));
        }
    }
}

fn pages(name: &str, source: &str, into: &mut Translation) {
    if name == "demo" {
        into.set("dialects.demo", true, source);
    }
    for page in ["pages.chat", "pages.scores", "pages.debugger"] {
        into.set(page, true, source);
    }
}

/// Reads the address of a transport: `bolt://path?size=10` or `local://local`.
pub fn transport_url(text: &str, source: &str, into: &mut Translation) {
    if text.starts_with("local:") || text == "null://" {
        into.set("history.kind", "none", source);
        return;
    }
    if !text.starts_with("bolt:") {
        into.leave(source, OTHER_TRANSPORT);
        return;
    }
    into.set("history.kind", "file", source);
    into.leave(source, OTHER_FILE);
    let query = text.split_once('?').map_or("", |(_, query)| query);
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if name == "size" {
            size(&value, source, into);
        }
    }
}

fn transport(line: &Line, kind: &str, lookup: Lookup<'_>, source: &str, into: &mut Translation) {
    match kind {
        "local" => into.set("history.kind", "none", source),
        "bolt" => {
            into.set("history.kind", "file", source);
            for option in &line.block {
                let value = option.words.get(1).map(|word| filled(word, lookup));
                match (option.words.first().map(String::as_str), value) {
                    (Some("size"), Some(text)) => size(&text, source, into),
                    (Some("path"), _) => into.leave(&format!("{source} path"), OTHER_FILE),
                    (Some("cleanup_frequency"), _) => {
                        let why = "retention runs by itself";
                        into.leave(&format!("{source} cleanup_frequency"), why);
                    }
                    (Some(name), _) => {
                        into.leave(
                            &format!("{source} {name}"),
                            "a history has one table of its own",
                        );
                    }
                    (None, _) => {}
                }
            }
        }
        _ => into.leave(source, OTHER_TRANSPORT),
    }
}

/// Reads how many updates are kept; there 0 means all.
fn size(text: &str, source: &str, into: &mut Translation) {
    match text.parse() {
        Ok(size) => into.set("history.retain_updates", number(size), source),
        Err(_) => into.refuse(source, "a size that is a whole number, not negative"),
    }
}

/// Reads `issuer ID { publisher { jwt … } subscriber { jwks_uri … } }`.
fn issuer_block(
    line: &Line,
    issuer: &str,
    lookup: Lookup<'_>,
    source: &str,
    into: &mut Translation,
) {
    for role in &line.block {
        let name = role.words.first().map(String::as_str).unwrap_or_default();
        if name != "publisher" && name != "subscriber" {
            let source = format!("{source} {name}");
            into.leave(
                &source,
                "the metadata names the issuers of tokens by themselves",
            );
            continue;
        }
        for option in &role.block {
            let words: Vec<String> = option
                .words
                .iter()
                .map(|word| filled(word, lookup))
                .collect();
            let (field, text) = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["jwt", text, ..] => ("key", text),
                ["jwks_uri", text, ..] => key_set(text),
                _ => {
                    into.leave(&format!("{source} {name}"), UNKNOWN);
                    continue;
                }
            };
            // A set may be for several algorithms; each of its keys says which.
            let algorithm = words.get(2).filter(|_| words.len() == 3);
            let key = TokenKey {
                issuer,
                field,
                text,
                algorithm: algorithm.map(String::as_str),
                publish: name == "publisher",
                subscribe: name == "subscriber",
                // The block is one of 1.0.
                old_dialects: &[],
            };
            into.add_key(&key, source);
        }
    }
}

fn key(
    name: &str,
    field: &'static str,
    text: &str,
    algorithm: Option<&str>,
    source: &str,
    into: &mut Translation,
) {
    let publish = name.starts_with("publisher");
    let key = TokenKey {
        issuer: DEFAULT_ISSUER,
        field,
        text,
        algorithm,
        publish,
        subscribe: !publish,
        old_dialects: &["0.x"],
    };
    into.add_key(&key, source);
}

/// Says whether a set of keys is a file or an address.
fn key_set(text: &str) -> (&'static str, &str) {
    match text.strip_prefix("file://") {
        Some(path) => ("jwks_file", path.strip_prefix("localhost").unwrap_or(path)),
        None => ("jwks_url", text),
    }
}

fn public_urls(urls: &[&str], source: &str, into: &mut Translation) {
    let authority = |url: &str| {
        let parsed = url::Url::parse(url).ok()?;
        let host = parsed.host_str()?.to_owned();
        Some(
            parsed
                .port()
                .map_or_else(|| host.clone(), |port| format!("{host}:{port}")),
        )
    };
    let hosts: Option<Vec<String>> = urls.iter().map(|url| authority(url)).collect();
    let (Some(hosts), Some(first)) = (hosts, urls.first()) else {
        into.refuse(source, "absolute URLs such as https://example.com");
        return;
    };
    into.set("hub.hosts", list(hosts.iter().map(String::as_str)), source);
    let path = super::variables::PATH;
    into.set(
        "hub.public_url",
        format!("{}{path}", first.trim_end_matches('/')),
        source,
    );
}

fn seconds(key: &str, text: &str, source: &str, into: &mut Translation) {
    match duration(text) {
        Some(time) => into.set(key, number(whole_secs(time)), source),
        None => into.refuse(source, "a duration such as 40s or 10m"),
    }
}

/// Origins may be separated by commas too.
fn words_of<'a>(words: &[&'a str]) -> Vec<&'a str> {
    words
        .iter()
        .flat_map(|word| word.split(','))
        .filter(|word| !word.is_empty())
        .collect()
}

/// Fills in `{env.NAME}` and, for texts that are files, `{file.PATH}`. One that cannot be filled in
/// stays as it is, and the check of the value says so.
fn filled(word: &str, lookup: Lookup<'_>) -> String {
    let inner = word
        .strip_prefix('{')
        .and_then(|word| word.strip_suffix('}'));
    let text = match inner.map(|inner| inner.split_once('.')) {
        Some(Some(("env", name))) => lookup(name),
        Some(Some(("file", path))) => std::fs::read_to_string(path)
            .ok()
            .map(|text| text.trim_end().to_owned()),
        _ => None,
    };
    text.unwrap_or_else(|| word.to_owned())
}

/// What is said of the other hub's history.
pub const OTHER_FILE: &str =
    "updates are kept in an own file; `tidings history import` takes over what is in the old one";

const OTHER_TRANSPORT: &str = "this transport does not exist here; one hub keeps its own history";

const UNKNOWN: &str = "no such setting of that hub is known";

const WITHOUT_COUNTERPART: [(&str, &str); 6] = [
    ("name", "one process is one hub"),
    ("topic_selector_cache", CACHE),
    ("topic_matcher_cache", CACHE),
    ("subscriber_list_cache_size", CACHE),
    ("write_buffer_size", CACHE),
    ("license", "Tidings needs no licence"),
];

const CACHE: &str = "not needed: matchers are indexed, and each update is encoded once";
