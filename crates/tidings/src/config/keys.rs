//! The one table of all configuration keys: path, form, default, since when, meaning.
//!
//! The file reader, the environment reader, `config show` and `config docs` all use this table, so
//! a key that is not here does not exist. How a value becomes a checked one is in `check.rs`.

/// One configuration key and its manual entry.
#[derive(Debug)]
pub struct Key {
    /// Where the key stands in the file, parts joined by dots. `N` counts the entries of an array
    /// of tables, from 0.
    pub path: &'static str,
    /// What a value looks like.
    pub form: Form,
    /// What counts when the key is not written.
    pub fallback: Fallback,
    /// The first version that knows the key.
    pub since: &'static str,
    /// The meaning, in whole sentences. The first one is also the doc comment in `file.rs`.
    pub text: &'static str,
}

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Any text.
    Text,
    /// Text that is never shown.
    Secret,
    /// A file or folder, relative to the working directory.
    Path,
    /// An IP address with a port, such as `0.0.0.0:443` or `[::]:443`.
    Address,
    /// An absolute URL.
    Url,
    /// `true` or `false`.
    Flag,
    /// A whole number, not negative.
    Number,
    /// Texts: an array in the file, separated by commas in the environment.
    List,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// What counts when a key is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// This value, as TOML.
    Toml(&'static str),
    /// What this says; there is no fixed value.
    Said(&'static str),
    /// Nothing: it must be written.
    Required,
}

impl Form {
    /// Returns what to write, for error texts and the manual.
    pub fn expected(self) -> String {
        match self {
            Self::Text | Self::Secret => "a text".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Address => "an IP address with a port, such as \"127.0.0.1:4400\"".to_owned(),
            Self::Url => "an absolute URL".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Number => "a whole number, not negative".to_owned(),
            Self::List => "a list of texts".to_owned(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
        }
    }
}

impl Key {
    /// Returns the name of the key's environment variable.
    pub fn variable(&self) -> String {
        variable_of(self.path)
    }
}

/// Returns the environment variable of a path: `history.retain_bytes` is
/// `TIDINGS_HISTORY__RETAIN_BYTES`.
pub fn variable_of(path: &str) -> String {
    format!(
        "{VARIABLE_PREFIX}{}",
        path.replace('.', "__").to_uppercase()
    )
}

/// Finds the key at `path`, in which entries of arrays are written as `N`.
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Returns the one of `names` that takes the fewest single-character changes to become `wanted`.
pub fn nearest(wanted: &str, names: impl Iterator<Item = String>) -> String {
    names
        .min_by_key(|name| distance(wanted, name))
        .unwrap_or_default()
}

/// Counts the insertions, deletions and replacements between two texts (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, a_character) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (b_character, above) in b.chars().zip(row.iter().skip(1)) {
            let replaced = diagonal + usize::from(a_character != b_character);
            left = replaced.min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// What every environment variable of the configuration begins with.
pub const VARIABLE_PREFIX: &str = "TIDINGS_";

const SINCE: &str = "0.1";

const fn key(path: &'static str, form: Form, fallback: Fallback, text: &'static str) -> Key {
    Key {
        path,
        form,
        fallback,
        since: SINCE,
        text,
    }
}

/// The signature algorithms, as they are written in the file and in tokens.
pub const ALGORITHMS: &[&str] = &[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
    "ES384", "EdDSA", "Ed25519",
];

use Fallback::{Required, Said, Toml};
use Form::{Address, Choice, Flag, List, Number, Path, Secret, Text, Url};

/// All keys, in the order of the manual.
pub const KEYS: &[Key] = &[
    key(
        "listen.N.address",
        Address,
        Required,
        "An address to listen on. Write one `[[listen]]` table per address. `0.0.0.0` is every \
         IPv4 address of the machine, `[::]` every address.",
    ),
    key(
        "listen.N.tls",
        Flag,
        Toml("false"),
        "Whether connections to this address begin with a TLS handshake. Needs `tls.certificate` \
         and `tls.key`. Write `false` behind a proxy that ends TLS itself.",
    ),
    key(
        "listen.N.room",
        Text,
        Said("none"),
        "The topic of the conversation that every WebSocket at this address takes part in, unless \
         its path is the hub's or that of another conversation. `new WebSocket(\"ws://HOST:PORT\")` \
         is then all that a chat page needs. Needs `rooms.access`.",
    ),
    key(
        "tls.certificate",
        Path,
        Said("none"),
        "PEM file with the certificate chain, the server's own certificate first. It is read \
         again when it changes.",
    ),
    key(
        "tls.key",
        Path,
        Said("none"),
        "PEM file with the private key of the certificate. It is read again when it changes.",
    ),
    key(
        "hub.public_url",
        Url,
        Required,
        "The URL under which publishers and subscribers reach the hub, without query and \
         fragment. Its path is the path that the hub answers on; relative topics and patterns \
         are resolved against it. By custom it ends in `/.well-known/mercure`.",
    ),
    key(
        "hub.hosts",
        List,
        Toml("[]"),
        "Hosts that requests may name, such as `hub.example.com` or `hub.example.com:8443`; a port \
         that is usual for the scheme, case and a dot at the end make no difference. Requests for other \
         hosts get 421, except those for health. An empty list answers every host: name the hosts \
         wherever being inside a network is enough to use the hub, or a page of another site can reach \
         it through the browser of a visitor inside (DNS rebinding).",
    ),
    key(
        "hub.allow_plaintext",
        Flag,
        Toml("false"),
        "Whether `hub.public_url` may begin with `http://` although its host is another machine's. \
         Tokens then travel in the clear: only for a network that is protected in another way.",
    ),
    key(
        "data.dir",
        Path,
        Toml("\"/var/lib/tidings\""),
        "The folder that the hub writes to. It is made if it is missing.",
    ),
    key(
        "server.shards",
        Number,
        Said("one per core"),
        "Number of shards. Each has a thread of its own and part of the connections.",
    ),
    key(
        "server.drain_secs",
        Number,
        Toml("30"),
        "Seconds that connections get to end when the server stops. They end one by one over \
         this time, so that subscribers do not all come back in the same second.",
    ),
    key(
        "admin.address",
        Address,
        Said("none: no metrics"),
        "Where metrics and health answer, in plain HTTP. Keep it away from the public: anyone who \
         reaches it can read it. Health answers at the other addresses too.",
    ),
    key(
        "auth.audiences",
        List,
        Said("`hub.public_url`"),
        "Values of a token's `aud` that mean this hub. Write several when publishers use an \
         internal URL and browsers a public one.",
    ),
    key(
        "auth.cookie_names",
        List,
        Toml("[\"__Secure-mercure_access_token\"]"),
        "Cookies that may carry a token, in the order of preference.",
    ),
    key(
        "auth.jwks_refresh_secs",
        Number,
        Toml("300"),
        "Seconds between two fetches of a key set, at least 10. A key that its issuer removed counts no \
         longer than this and 10 seconds, as long as the set can be fetched.",
    ),
    key(
        "auth.jwks_keep_secs",
        Number,
        Toml("86400"),
        "Seconds for which a key set that was fetched counts at a start while its issuer does not \
         answer. It is kept in `key-sets` in `data.dir`; 0 keeps none. A key that the issuer removed \
         meanwhile counts until it answers.",
    ),
    key(
        "auth.issuers.N.issuer",
        Text,
        Required,
        "Who issues tokens with this key: the exact value of their `iss`. Write one \
         `[[auth.issuers]]` table per key; several may share one issuer.",
    ),
    key(
        "auth.issuers.N.algorithm",
        Choice(ALGORITHMS),
        Said("`HS256`; with a key set, whatever its keys are for"),
        "The one signature algorithm that this key verifies. The HS algorithms take a shared \
         secret, the others a public key in PEM. Of a key set, only keys for this algorithm count.",
    ),
    key(
        "auth.issuers.N.key",
        Secret,
        Said("none"),
        "The shared secret or the public key in PEM. Write one of this, `key_file`, `jwks_url` and \
         `jwks_file`. A secret \
         has at least 32 bytes for HS256, 48 for HS384 and 64 for HS512.",
    ),
    key(
        "auth.issuers.N.key_file",
        Path,
        Said("none"),
        "File with what `key` would hold. One line break at its end is not part of a secret.",
    ),
    key(
        "auth.issuers.N.jwks_url",
        Url,
        Said("none"),
        "Address of the key set that the issuer publishes, with `https://`; `http://` only on this \
         machine. It is fetched when the hub starts, every `auth.jwks_refresh_secs`, and for a token \
         with an unknown key at most every 5 seconds. Redirects are refused. While the set cannot be \
         had, the last one counts, at a start that of `auth.jwks_keep_secs`.",
    ),
    key(
        "auth.issuers.N.jwks_file",
        Path,
        Said("none"),
        "File with a key set. It is read again when it changes.",
    ),
    key(
        "auth.issuers.N.kid",
        Text,
        Said("none"),
        "Name of the key. A token whose `kid` is the same is tried with this key first.",
    ),
    key(
        "auth.issuers.N.publish",
        Flag,
        Toml("true"),
        "Whether tokens for publishing may be signed with this key.",
    ),
    key(
        "auth.issuers.N.subscribe",
        Flag,
        Toml("true"),
        "Whether tokens for subscribing may be signed with this key.",
    ),
    key(
        "auth.issuers.N.dialects",
        List,
        Toml("[\"1.0\"]"),
        "Dialects whose tokens may be signed with this key: `1.0`, `0.x`, `2019`. Tokens before 1.0 \
         name neither an issuer nor an audience: with those alone, `issuer` may be left out, and a \
         secret may be shorter than its algorithm asks for, which the log warns of.",
    ),
    key(
        "dialects.v0",
        Flag,
        Toml("false"),
        "Whether publishers and subscribers of Mercure 0.10 to 0.24 are served at the hub's path: \
         the parameter `topic`, the claim `mercure`, the cookie `mercureAuthorization`.",
    ),
    key(
        "dialects.v2019",
        Flag,
        Toml("false"),
        "Whether publishers and subscribers of Mercure 0.1 to 0.7 are served at `/hub`, with \
         `target` fields.",
    ),
    key(
        "dialects.demo",
        Flag,
        Toml("false"),
        "Whether `/demo/` of those hubs echoes what a link asks for, with its token as a cookie. \
         For demonstrations only.",
    ),
    key(
        "subscribe.anonymous",
        Flag,
        Toml("false"),
        "Whether subscribers without a token are let in. They receive public updates only.",
    ),
    key(
        "subscribe.keep_alive_secs",
        Number,
        Toml("15"),
        "Seconds of silence after which a comment line is sent, so that proxies keep the \
         connection. 0 sends none.",
    ),
    key(
        "subscribe.connection_secs_max",
        Number,
        Toml("3600"),
        "Longest life of a subscriber's connection in seconds. Each connection ends after a \
         random 80 to 100 % of it, and at the latest when its token ends. 0 sets no limit.",
    ),
    key(
        "subscribe.retry_ms",
        Number,
        Said("not sent"),
        "Milliseconds that subscribers are told to wait before they connect again.",
    ),
    key(
        "subscribe.end",
        Choice(&["clean", "abrupt"]),
        Toml("\"clean\""),
        "How the hub ends an event stream: when it has lived `subscribe.connection_secs_max`, when its \
         token ends, when the hub stops, and when the history cannot be read on. `clean` completes the \
         response. `abrupt` leaves out the last chunk (HTTP/1.1) or resets the stream (HTTP/2), for \
         libraries that take a complete response for the last one and do not connect again: Datastar, \
         `@microsoft/fetch-event-source`. `EventSource` connects again after both. Over HTTP/1.0 both \
         are the same.",
    ),
    key(
        "publish.origins",
        List,
        Toml("[]"),
        "Origins of pages that may publish with the cookie, such as `https://example.com` or \
         `https://*.example.com`. A `*` stands for one or more characters of one label of the host but \
         the last, or for the port. `file://` is what some devices say of pages that they load from a \
         file. The hub's own origin always may. `*` and `null` let pages of any site publish with the \
         cookie of whoever visits them, which a warning says.",
    ),
    key(
        "publish.body_bytes_max",
        Number,
        Toml("1048576"),
        "Longest body of a publishing request in bytes. Longer ones get 413.",
    ),
    key(
        "cors.origins",
        List,
        Toml("[]"),
        "Origins of pages that may read the hub's answers, such as `https://example.com` or \
         `https://*.example.com`. A `*` stands for one or more characters of one label of the host but \
         the last (`https://pr-*.example.com`), or for the port (`http://localhost:*`). `file://` is \
         what some devices say of pages that they load from a file, `null` what browsers say. `*` lets \
         every page read what needs no cookie.",
    ),
    key(
        "cors.headers",
        List,
        Said("whatever a page of these origins asks for"),
        "Request fields that pages of these origins may set beside those that the hub reads, such as \
         `X-Requested-With`. Libraries add fields of their own to every request, which the hub ignores: \
         `HX-Request` (htmx), `Datastar-Request`, `traceparent`. Names without regard to case.",
    ),
    key(
        "websocket.compression",
        Flag,
        Toml("true"),
        "Whether texts are compressed for those who offer it (permessage-deflate). An update is \
         compressed once for all of them; no context is kept between two texts.",
    ),
    key(
        "websocket.bytes_max",
        Number,
        Toml("1048576"),
        "Longest text that a WebSocket may send, in bytes, inflated. A longer one closes the \
         connection with code 1009.",
    ),
    key(
        "websocket.frames_per_second_max",
        Number,
        Toml("1000"),
        "Frames that one WebSocket may send in a second. More close the connection with code 1008. \
         0 allows any number.",
    ),
    key(
        "websocket.ping_secs",
        Number,
        Toml("30"),
        "Seconds between two pings. A WebSocket that has been silent from one ping to the next is \
         closed. 0 sends none.",
    ),
    key(
        "rooms.access",
        Choice(&["off", "anonymous", "token"]),
        Toml("\"off\""),
        "Who may take part in conversations at `/ws/{topic}`: nobody, anybody, or those with a token. \
         With `token`, speaking needs a token that allows publishing to the topic; listening is \
         as free as subscribing elsewhere.",
    ),
    key(
        "rooms.topics",
        List,
        Toml("[]"),
        "Topics that `/ws/{topic}` may name. A `*` at the end stands for anything. With \
         `rooms.access = \"anonymous\"` anybody may publish to them, so name none that your \
         application publishes to.",
    ),
    key(
        "rooms.origins",
        List,
        Toml("[]"),
        "Origins of pages that may take part, such as `https://example.com`. `*` is every page, \
         `null` local files. The hub's own origin always may. Others are answered 403.",
    ),
    key(
        "rooms.subprotocols",
        List,
        Toml("[]"),
        "Sub-protocols that are agreed to. The first one of a browser's list that is in this list is \
         chosen; without any the connection is opened without one.",
    ),
    key(
        "rooms.private",
        Flag,
        Toml("false"),
        "Whether what is said is a private update, which only those with a grant may read. Needs \
         `rooms.access = \"token\"`.",
    ),
    key(
        "sockjs.enabled",
        Flag,
        Toml("false"),
        "Whether SockJS is served at `/sockjs`, for browsers that have no WebSocket. Conversations \
         are then also at `/sockjs/room/{topic}`, under the rules of `[rooms]`.",
    ),
    key(
        "sockjs.websocket",
        Flag,
        Toml("true"),
        "Whether WebSockets are among the transports of SockJS.",
    ),
    key(
        "sockjs.cookie",
        Flag,
        Toml("false"),
        "Whether answers set the cookie `JSESSIONID`, by which some load balancers keep a session on \
         one server. All requests of a session must reach the same hub.",
    ),
    key(
        "sockjs.library_url",
        Text,
        Said("there is no such page"),
        "Where the page for transports across origins loads the SockJS library from. It must be the \
         same version as your own pages load; serve both from your own site.",
    ),
    key(
        "sockjs.response_bytes_max",
        Number,
        Toml("131072"),
        "Bytes after which a streaming answer ends and the browser asks anew. Browsers keep all of an \
         answer in memory.",
    ),
    key(
        "sockjs.body_bytes_max",
        Number,
        Toml("131072"),
        "Longest body of a request that says something, in bytes. Further ones get 413.",
    ),
    key(
        "sockjs.heartbeat_secs",
        Number,
        Toml("25"),
        "Seconds between two heartbeats. 0 sends none.",
    ),
    key(
        "sockjs.disconnect_secs",
        Number,
        Toml("5"),
        "Seconds that a session may be without a request that receives. Then it is closed and \
         forgotten.",
    ),
    key(
        "sockjs.sessions_max",
        Number,
        Toml("10000"),
        "Sessions without a WebSocket. Further ones get 503.",
    ),
    key(
        "sockjs.sessions_per_address_max",
        Number,
        Toml("1000"),
        "Sessions without a WebSocket from one IP address. Further ones get 429. Behind a proxy all \
         come from its address: write the same as in `sockjs.sessions_max`.",
    ),
    key(
        "sockjs.queue_bytes_max",
        Number,
        Toml("67108864"),
        "Bytes that may wait in all sessions without a WebSocket together. Requests that say \
         something get 503 beyond it. Updates do not wait: they are read from the history.",
    ),
    key(
        "flash.address",
        Address,
        Said("none"),
        "Where the Flash policy is served to browsers of old. Flash asks at port 843 first, and then \
         at the port of the WebSocket, where it is answered too. Needs `flash.allow`.",
    ),
    key(
        "flash.allow",
        List,
        Toml("[]"),
        "Who may open sockets to which ports, as `DOMAIN:PORTS`. Such as `*.example.com:80` or \
         `*:8080`; ports are numbers, ranges and `*`. An empty list serves no policy.",
    ),
    key(
        "flash.site_control",
        Choice(&["all", "master-only", "none"]),
        Toml("\"all\""),
        "Whether policies at other ports count too: the policy's `site-control`.",
    ),
    key(
        "history.kind",
        Choice(&["file", "memory", "none"]),
        Toml("\"file\""),
        "Where updates are kept for subscribers that come back: in a file, in memory until the \
         hub stops, or not at all.",
    ),
    key(
        "history.path",
        Path,
        Said("`history.db` in `data.dir`"),
        "The history's file, an SQLite database.",
    ),
    key(
        "history.retain_hours",
        Number,
        Toml("168"),
        "Hours that an update is kept, by the time that passes and not by the date; a stop of the \
         hub counts for a quarter of them at most. 0 sets no limit.",
    ),
    key(
        "history.retain_updates",
        Number,
        Toml("1000000"),
        "Number of updates that are kept. 0 sets no limit.",
    ),
    key(
        "history.retain_bytes",
        Number,
        Toml("1073741824"),
        "Bytes of updates that are kept. 0 sets no limit.",
    ),
    key(
        "history.ring_bytes",
        Number,
        Toml("33554432"),
        "Bytes of recent updates held in memory, from which most replays are served.",
    ),
    key(
        "presence.enabled",
        Flag,
        Toml("false"),
        "Whether the hub publishes an event when a subscription begins or ends, and answers which \
         ones there are. It tells whoever holds a grant for them who listens to what.",
    ),
    key(
        "presence.grace_secs",
        Number,
        Toml("0"),
        "Seconds that a subscriber who left may take to come back without an event. It is \
         recognised by the `iss` and `sub` of its token, also after a restart of the hub. 0 tells at \
         once.",
    ),
    key(
        "presence.page_max",
        Number,
        Toml("10000"),
        "Subscriptions in one answer. A longer list comes in pages.",
    ),
    key(
        "presence.subscriptions_max",
        Number,
        Toml("1000000"),
        "Subscriptions that the hub keeps track of. Further ones receive updates, but are not \
         shown, and are counted in `tidings_presence_untracked_total`.",
    ),
    key(
        "presence.retain_events",
        Number,
        Toml("10000"),
        "Number of events about subscriptions that are kept for those who come back. They count \
         in no other limit.",
    ),
    key(
        "presence.retain_minutes",
        Number,
        Toml("60"),
        "Minutes that an event about a subscription is kept. 0 sets no limit.",
    ),
    key(
        "limits.connections_max",
        Number,
        Toml("100000"),
        "Connections of the whole server, and streams of HTTP/2: each counts as a connection does. \
         Further ones get 503.",
    ),
    key(
        "limits.connections_per_address_max",
        Number,
        Toml("10000"),
        "Connections from one IP address, and their streams of HTTP/2. Further ones get 429. \
         Behind a proxy all connections come from its address: write the same as in \
         `limits.connections_max`.",
    ),
    key(
        "limits.held_bytes_max",
        Number,
        Said("a quarter of the memory that the machine or its control group has, at most 1 GiB"),
        "Bytes of memory that peers may cause the hub to hold: answers that they do not take, \
         bodies and messages that they do not finish, and what their connections and streams \
         themselves need. Beyond it requests get 503 and sessions are closed. An idle subscriber \
         counts nothing here.",
    ),
    key(
        "limits.held_bytes_per_address_max",
        Number,
        Said("half of `limits.held_bytes_max`"),
        "The same for the peers at one IP address. Beyond it requests get 429. Behind a proxy \
         write the same as in `limits.held_bytes_max`.",
    ),
    key(
        "limits.held_bytes_per_connection_max",
        Number,
        Toml("16777216"),
        "The same for one connection with all its streams, and for one session of SockJS. Beyond \
         it requests get 429.",
    ),
    key(
        "limits.crowded_patterns_max",
        Number,
        Toml("2000"),
        "Distinct URL patterns and URI templates that subscribers may have in use although nothing \
         literal tells them apart from 16 others: each update that may match one of them is compared \
         with all of them, which costs up to a microsecond for each. Beyond it subscribing gets 503. \
         A pattern with a path segment or a literal beginning that few others have does not count.",
    ),
    key(
        "limits.crowded_patterns_per_address_max",
        Number,
        Said("half of `limits.crowded_patterns_max`"),
        "The same for the subscribers at one IP address. Beyond it subscribing gets 429. Behind a \
         proxy write the same as in `limits.crowded_patterns_max`.",
    ),
    key(
        "limits.accepts_per_second",
        Number,
        Toml("5000"),
        "New connections per second of the whole server. Further ones wait.",
    ),
    key(
        "limits.head_secs",
        Number,
        Toml("10"),
        "Seconds within which a whole request head must arrive.",
    ),
    key(
        "limits.body_secs",
        Number,
        Toml("30"),
        "Seconds within which a whole request body must arrive.",
    ),
    key(
        "limits.handshake_secs",
        Number,
        Toml("10"),
        "Seconds within which a TLS handshake must end.",
    ),
    key(
        "limits.stall_secs",
        Number,
        Toml("60"),
        "Seconds for which a subscriber that is behind may take nothing before its connection is \
         closed. It loses nothing: it resumes where it was when it connects again.",
    ),
    key(
        "limits.streams_per_connection_max",
        Number,
        Toml("250"),
        "Concurrent streams of one HTTP/2 connection.",
    ),
    key(
        "limits.blocked_addresses",
        List,
        Toml("[]"),
        "Addresses and networks whose connections are closed at once, such as `192.0.2.0/24`. \
         Behind a proxy every connection has the proxy's address.",
    ),
    key(
        "pages.chat",
        Flag,
        Toml("false"),
        "Whether the chat is served at `/chat`. Whoever reaches the hub may then read and publish \
         messages of the topic `/chat` without a token. Pages may that are the hub's own or named in \
         `publish.origins`; programs may always.",
    ),
    key(
        "pages.scores",
        Flag,
        Toml("false"),
        "Whether the score board is served at `/scores`.",
    ),
    key(
        "pages.debugger",
        Flag,
        Toml("false"),
        "Whether the debugger is served at `/debugger`.",
    ),
    key(
        "pages.diagnose",
        Flag,
        Toml("false"),
        "Whether `/diagnose` tells visitors what their network lets through: event streams, \
         WebSockets, long polling. It asks below the hub's path, without a token, for answers of a \
         few seconds that tell nothing about topics.",
    ),
    key(
        "pages.library",
        Flag,
        Toml("true"),
        "Whether the browser client is served: as a plain script at `/tidings.js`, as a module at \
         `/tidings.mjs`. It is always served with any of the pages.",
    ),
    key(
        "zeromq.allow_plaintext",
        Flag,
        Toml("false"),
        "Whether ZeroMQ sockets may bind addresses that other machines reach. Messages then travel \
         in the clear, and anyone who reaches the port may send or read them: only for a network \
         that is protected in another way.",
    ),
    key(
        "zeromq.username",
        Text,
        Said("none: no security"),
        "The name that ZeroMQ peers must give, by the mechanism PLAIN. Sockets that connect give it \
         too. Needs `zeromq.password`. Both travel in the clear.",
    ),
    key(
        "zeromq.password",
        Secret,
        Said("none"),
        "The password that belongs to `zeromq.username`.",
    ),
    key(
        "zeromq.high_water_mark",
        Number,
        Toml("100000"),
        "Messages that may wait for one ZeroMQ peer. A subscriber that is further behind loses the \
         newer ones; a PUSH socket whose peers are all full makes its senders wait.",
    ),
    key(
        "zeromq.high_water_bytes",
        Number,
        Toml("16777216"),
        "Bytes that may wait for one ZeroMQ peer.",
    ),
    key(
        "zeromq.queue_bytes_max",
        Number,
        Toml("268435456"),
        "Bytes that may wait for all ZeroMQ peers together. Beyond it a subscriber with more than \
         16 KiB waiting loses messages.",
    ),
    key(
        "zeromq.message_bytes_max",
        Number,
        Toml("1048576"),
        "Longest ZeroMQ message in bytes, all its parts together. A peer that sends a longer one is \
         disconnected.",
    ),
    key(
        "zeromq.peers_max",
        Number,
        Toml("10000"),
        "ZeroMQ connections. Further ones are closed.",
    ),
    key(
        "zeromq.subscriptions_max",
        Number,
        Toml("10000"),
        "Subscriptions of one ZeroMQ peer. One that asks for more is disconnected.",
    ),
    key(
        "zeromq.handshake_secs",
        Number,
        Toml("10"),
        "Seconds within which a ZeroMQ peer must end its handshake.",
    ),
    key(
        "zeromq.heartbeat_secs",
        Number,
        Toml("30"),
        "Seconds of silence after which a ZeroMQ peer is asked whether it is there. One that does \
         not answer within as long again is disconnected.",
    ),
    key(
        "zeromq.brokers.N.inputs",
        List,
        Required,
        "Sockets that messages come in by: PULL, SUB, XSUB or REP. Write one `[[zeromq.brokers]]` \
         table per broker. `zmq-bind://PULL@127.0.0.1:5000` binds, `zmq://SUB@host:6000` connects; \
         several addresses of one socket are separated by `;`.",
    ),
    key(
        "zeromq.brokers.N.outputs",
        List,
        Required,
        "Sockets that the same messages go out of: PUB, XPUB or PUSH.",
    ),
    key(
        "zeromq.inputs.N.socket",
        Text,
        Required,
        "A socket whose messages become updates: PULL, SUB, XSUB or REP. Write one \
         `[[zeromq.inputs]]` table per socket.",
    ),
    key(
        "zeromq.inputs.N.subscribe",
        List,
        Toml("[\"\"]"),
        "What a SUB or XSUB socket subscribes to: beginnings of messages. The empty one is \
         everything.",
    ),
    key(
        "zeromq.inputs.N.mapping",
        Choice(&["data", "json", "parts"]),
        Toml("\"data\""),
        "How a message becomes an update. `data`: its one part is the data, the topic is fixed. \
         `json`: its one part is an object with `topic`, `data`, `private`, `id`, `type` and \
         `retry`. `parts`: the first of two parts is the topic, the second the data.",
    ),
    key(
        "zeromq.inputs.N.unparsable",
        Choice(&["drop", "text"]),
        Toml("\"drop\""),
        "What is done with messages that cannot be read so: they are dropped, or their text is \
         published under the fixed topic.",
    ),
    key(
        "zeromq.inputs.N.topic",
        Text,
        Said("none"),
        "The fixed topic. With `json` it is for messages that name none.",
    ),
    key(
        "zeromq.inputs.N.topic_prefix",
        Text,
        Toml("\"\""),
        "What is put before the topic that the first of two parts names.",
    ),
    key(
        "zeromq.inputs.N.event_type",
        Text,
        Said("none"),
        "The event type of updates whose message names none.",
    ),
    key(
        "zeromq.inputs.N.private",
        Flag,
        Toml("false"),
        "Whether updates are private whose message does not say.",
    ),
    key(
        "zeromq.inputs.N.match_exact",
        List,
        Said("every topic, unless `match_urlpattern` is written"),
        "Topics that may be published by this socket.",
    ),
    key(
        "zeromq.inputs.N.match_urlpattern",
        List,
        Toml("[]"),
        "URL patterns of further topics that may be published by this socket.",
    ),
    key(
        "zeromq.outputs.N.socket",
        Text,
        Required,
        "A socket that updates go out of as messages: PUB, XPUB or PUSH. Write one \
         `[[zeromq.outputs]]` table per socket.",
    ),
    key(
        "zeromq.outputs.N.form",
        Choice(&["json", "parts", "data"]),
        Toml("\"json\""),
        "What an update looks like. `json`: one part, an object as `json` inputs read it. `parts`: \
         two parts, topic and data. `data`: one part, the data.",
    ),
    key(
        "zeromq.outputs.N.match_exact",
        List,
        Said("every topic, unless `match_urlpattern` is written"),
        "Topics of the updates that go out.",
    ),
    key(
        "zeromq.outputs.N.match_urlpattern",
        List,
        Toml("[]"),
        "URL patterns of further updates that go out.",
    ),
    key(
        "zeromq.outputs.N.private",
        Flag,
        Toml("false"),
        "Whether private updates go out too.",
    ),
    key(
        "zeromq.outputs.N.origin",
        Choice(&["all", "here"]),
        Said("`here` if the socket connects, else `all`"),
        "Which updates go out by where they come from: all, or only those that did not come in by \
         a ZeroMQ socket that connects. What another hub shares must not go back.",
    ),
    key(
        "log.level",
        Text,
        Toml("\"info\""),
        "What is logged: `error`, `warn`, `info`, `debug`, `trace` or `off`, also per target as in \
         `info,tidings=debug`. Why the hub ends is written whatever the level.",
    ),
    key(
        "log.format",
        Choice(&["text", "json", "logfmt"]),
        Toml("\"text\""),
        "The form of a log line: for people, one JSON object, or `time=… level=… msg=…` as the hub \
         of 2019 wrote it.",
    ),
    key(
        "log.access",
        Flag,
        Toml("false"),
        "Whether each request gets a line in the combined format of Apache, as the hub of 2019 \
         wrote it. An event stream gets its line when it ends, a WebSocket when it is opened; tokens \
         in an address are hidden.",
    ),
];
