//! The directives of a `mercure` block, translated to our keys.
//!
//! The table below has the order of that hub's manual. Unknown directives are reported, but do not prevent a start.

use super::caddyfile::{Line, Lookup};
use super::placeholders::fill;
use super::units::{bytes, duration, whole_secs};
use super::{DEFAULT_ISSUER, TokenKey, Translation, list, number};

/// Translates the directives of a block. `context` names the place of a directive, for the origins of values.
pub fn translate(
    lines: &[Line],
    lookup: Lookup<'_>,
    context: &dyn Fn(&Line) -> String,
    into: &mut Translation,
) {
    let named = |line: &&Line, name: &str| line.words.first().is_some_and(|word| word == name);
    let playground = lines.iter().find(|line| named(line, "playground"));
    let anonymous = lines.iter().any(|line| named(&line, "anonymous"));
    let reader = Reader {
        lookup,
        anonymous: anonymous || playground.is_some(),
    };
    for line in lines {
        reader.directive(line, &context(line), into);
    }
    // Directives before and after `playground` override its defaults.
    if let Some(line) = playground {
        play(&format!("{}: playground", context(line)), into);
    }
}

/// State that all directives of a block share.
#[derive(Clone, Copy)]
struct Reader<'a> {
    lookup: Lookup<'a>,
    /// Whether subscribers need no key.
    anonymous: bool,
}

impl Reader<'_> {
    fn directive(self, line: &Line, context: &str, into: &mut Translation) {
        let Some((name, rest)) = line.words.split_first() else {
            return;
        };
        let source = &format!("{context}: {name}");
        if !READ.contains(&name.as_str()) {
            let why = WITHOUT_COUNTERPART.iter().find(|(known, _)| known == name);
            into.leave(source, why.map_or(UNKNOWN, |(_, why)| why));
            return;
        }
        let Some(words) = self.arguments(name, rest, source, into) else {
            return;
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match name.as_str() {
            "publisher_jwt"
            | "subscriber_jwt"
            | "publisher_jwks_url"
            | "subscriber_jwks_url"
            | "issuer" => self.keys(line, name, &words, source, into),
            "transport" => self.transport(line, &words, source, into),
            name => setting(name, &words, source, into),
        }
    }

    /// Resolves the placeholders in a directive's arguments. None if one of them cannot be resolved.
    fn arguments(
        self,
        name: &str,
        words: &[String],
        source: &str,
        into: &mut Translation,
    ) -> Option<Vec<String>> {
        let mut filled = Vec::with_capacity(words.len());
        for word in words {
            let text = fill(word, self.lookup);
            // A key may contain braces. Whether it is a key is checked later.
            let is_key =
                filled.is_empty() && matches!(name, "publisher_jwt" | "subscriber_jwt" | "jwt");
            if !is_key && word.contains('{') && text.contains('{') {
                into.refuse(
                    source,
                    format!("the value itself: the placeholder in {word} is not filled in here"),
                );
                return None;
            }
            filled.push(text);
        }
        Some(filled)
    }

    fn keys(self, line: &Line, name: &str, words: &[&str], source: &str, into: &mut Translation) {
        let Some(&text) = words.first() else {
            into.leave(source, INCOMPLETE);
            return;
        };
        let (field, text) = match name {
            "issuer" => {
                self.issuer_block(line, text, source, into);
                return;
            }
            "publisher_jwt" | "subscriber_jwt" => ("key", text),
            _ => key_set(text),
        };
        let publish = name.starts_with("publisher");
        if text.is_empty() && (field != "key" || (!publish && self.anonymous)) {
            into.leave(source, EMPTY);
            return;
        }
        let key = TokenKey {
            issuer: DEFAULT_ISSUER,
            field,
            text,
            algorithm: algorithm(words).filter(|_| field == "key"),
            publish,
            subscribe: !publish,
            old_dialects: &["0.x"],
        };
        into.set_role_key(&key, source);
    }

    /// Reads `issuer ID { publisher { jwt … } subscriber { jwks_uri … } }`.
    fn issuer_block(self, line: &Line, issuer: &str, source: &str, into: &mut Translation) {
        for role in &line.block {
            let name = role.words.first().map(String::as_str).unwrap_or_default();
            if name != "publisher" && name != "subscriber" {
                let why = "the metadata names the issuers of tokens by themselves";
                into.leave(&format!("{source} {name}"), why);
                continue;
            }
            for option in &role.block {
                let Some((kind, rest)) = option.words.split_first() else {
                    continue;
                };
                let Some(words) = self.arguments(kind, rest, source, into) else {
                    continue;
                };
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let (field, text) = match (kind.as_str(), words.first()) {
                    ("jwt", Some(text)) => ("key", *text),
                    ("jwks_uri", Some(text)) => key_set(text),
                    _ => {
                        into.leave(&format!("{source} {name}"), UNKNOWN);
                        continue;
                    }
                };
                let key = TokenKey {
                    issuer,
                    field,
                    text,
                    algorithm: algorithm(&words),
                    publish: name == "publisher",
                    subscribe: name == "subscriber",
                    // The block is one of 1.0.
                    old_dialects: &[],
                };
                into.add_key(&key, source);
            }
        }
    }

    fn transport(self, line: &Line, words: &[&str], source: &str, into: &mut Translation) {
        match words.first() {
            Some(&"local") => into.set("history.kind", "none", source),
            Some(&"bolt") => {
                into.set("history.kind", "file", source);
                for option in &line.block {
                    let Some((name, rest)) = option.words.split_first() else {
                        continue;
                    };
                    let named = format!("{source} {name}");
                    match (name.as_str(), rest.first()) {
                        ("size", Some(word)) => size(&fill(word, self.lookup), source, into),
                        ("path", _) => into.leave(&named, OTHER_FILE),
                        ("cleanup_frequency", _) => into.leave(&named, "retention runs by itself"),
                        _ => into.leave(&named, "a history has one table of its own"),
                    }
                }
            }
            _ => into.leave(source, OTHER_TRANSPORT),
        }
    }
}

/// Returns the algorithm of a key. An empty one, or an unset variable, is that hub's default. A key set may have
/// several; each of its keys names its own.
fn algorithm<'a>(words: &[&'a str]) -> Option<&'a str> {
    match words {
        [_, algorithm] if !algorithm.is_empty() => Some(algorithm),
        _ => None,
    }
}

/// Translates a directive that is not about keys.
fn setting(name: &str, words: &[&str], source: &str, into: &mut Translation) {
    match (name, words.first().copied()) {
        ("anonymous", _) => into.set("subscribe.anonymous", true, source),
        ("subscriptions", _) => into.set("presence.enabled", true, source),
        ("protocol_version_compatibility", _) => {
            let why = "older tokens and parameters are served where a key is for them";
            into.leave(source, why);
        }
        // Other directives override it; see `translate`.
        ("playground", _) => {}
        ("demo", _) => demo(source, into),
        ("ui" | "debugger", _) => into.set("pages.debugger", true, source),
        ("publish_origins", Some(_)) => into.set("publish.origins", list(words_of(words)), source),
        ("cors_origins", Some(_)) => into.set("cors.origins", list(words_of(words)), source),
        (_, None) => into.leave(source, INCOMPLETE),
        (_, Some("")) => into.leave(source, EMPTY),
        ("heartbeat", Some(text)) => seconds("subscribe.keep_alive_secs", text, source, into),
        ("write_timeout", Some(text)) => {
            seconds("subscribe.connection_secs_max", text, source, into);
        }
        ("dispatch_timeout", Some("0" | "0s")) => {
            let why = "a subscriber that takes nothing is always closed at last";
            into.leave(source, why);
        }
        ("dispatch_timeout", Some(text)) => {
            seconds("limits.stall_timeout_secs", text, source, into)
        }
        ("resource_identifier", Some(url)) => {
            into.set("auth.audiences", list([url]), source);
            if url.ends_with(super::variables::PATH) {
                into.set("hub.public_url", url, source);
            }
        }
        ("public_urls", Some(_)) => public_urls(words, source, into),
        ("max_request_body_size", Some("0")) => {
            let why = "the length of a body is always bounded (publish.body_bytes_max)";
            into.leave(source, why);
        }
        ("max_request_body_size", Some(text)) => match bytes(text) {
            Some(size) => into.set("publish.body_bytes_max", number(size), source),
            None => into.refuse(source, "a size such as 1MiB"),
        },
        ("cookie_name", Some(cookie)) => into.set("auth.cookie_names", list([cookie]), source),
        ("transport_url", Some(url)) => transport_url(url, source, into),
        (_, Some(_)) => into.leave(source, UNKNOWN),
    }
}

/// The demonstration of 0.x: its echo and its debugger, for the dialects that have it.
pub fn demo(source: &str, into: &mut Translation) {
    into.set("dialects.demo", true, source);
    into.set("pages.debugger", true, source);
}

/// The playground of 1.0: everybody may subscribe, see the subscriptions, and experiment from any page, unless other
/// directives override it.
fn play(source: &str, into: &mut Translation) {
    into.set("subscribe.anonymous", true, source);
    into.set("presence.enabled", true, source);
    into.set("pages.debugger", true, source);
    for (key, entry) in [
        ("cors.origins", "*"),
        ("publish.origins", "*"),
        ("auth.cookie_names", "mercure_access_token"),
    ] {
        if !into.sets(key) {
            into.set(key, list([entry]), source);
        }
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

/// Reads how many updates are stored. In that hub, 0 means all.
fn size(text: &str, source: &str, into: &mut Translation) {
    match text.parse() {
        Ok(size) => into.set("history.retain_updates", number(size), source),
        Err(_) => into.refuse(source, "a size that is a whole number, not negative"),
    }
}

/// Returns whether a key set is a file or a URL.
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

/// The note about the other hub's history.
pub const OTHER_FILE: &str =
    "updates are kept in an own file; `tidings history import` takes over what is in the old one";

const OTHER_TRANSPORT: &str = "this transport does not exist here: each hub keeps its own history, and `[cluster]` makes several \
                              hubs one (docs/guide/cluster.md)";

const INCOMPLETE: &str = "it says nothing: an argument is missing";

const EMPTY: &str = "it is empty, as a variable that is not set";

const UNKNOWN: &str = "no such setting of that hub is known";

/// The directives that are read.
const READ: [&str; 23] = [
    "anonymous",
    "cookie_name",
    "cors_origins",
    "debugger",
    "demo",
    "dispatch_timeout",
    "heartbeat",
    "issuer",
    "max_request_body_size",
    "playground",
    "protocol_version_compatibility",
    "public_urls",
    "publish_origins",
    "publisher_jwks_url",
    "publisher_jwt",
    "resource_identifier",
    "subscriber_jwks_url",
    "subscriber_jwt",
    "subscriptions",
    "transport",
    "transport_url",
    "ui",
    "write_timeout",
];

const WITHOUT_COUNTERPART: [(&str, &str); 6] = [
    ("name", "one process is one hub"),
    ("topic_selector_cache", CACHE),
    ("topic_matcher_cache", CACHE),
    ("subscriber_list_cache_size", CACHE),
    ("write_buffer_size", CACHE),
    ("license", "Tidings needs no licence"),
];

const CACHE: &str = "not needed: matchers are indexed, and each update is encoded once";
