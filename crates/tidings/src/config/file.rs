//! The configuration as written, with defaults filled in: plain fields, nothing checked but forms.
//!
//! The doc comment of each field is the first sentence of its entry in `keys.rs`; a test compares
//! them. Values become checked types in `check.rs`.

use serde::Deserialize;

/// A whole configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The `[[listen]]` tables.
    #[serde(default)]
    pub listen: Vec<ListenTable>,
    /// The `[tls]` table.
    #[serde(default)]
    pub tls: TlsTable,
    /// The `[hub]` table.
    pub hub: HubTable,
    /// The `[data]` table.
    pub data: DataTable,
    /// The `[server]` table.
    pub server: ServerTable,
    /// The `[admin]` table.
    #[serde(default)]
    pub admin: AdminTable,
    /// The `[auth]` table.
    pub auth: AuthTable,
    /// The `[dialects]` table.
    pub dialects: DialectsTable,
    /// The `[subscribe]` table.
    pub subscribe: SubscribeTable,
    /// The `[publish]` table.
    pub publish: PublishTable,
    /// The `[cors]` table.
    pub cors: CorsTable,
    /// The `[websocket]` table.
    pub websocket: WebSocketTable,
    /// The `[rooms]` table.
    pub rooms: RoomsTable,
    /// The `[sockjs]` table.
    pub sockjs: SockJsTable,
    /// The `[flash]` table.
    pub flash: FlashTable,
    /// The `[history]` table.
    pub history: HistoryTable,
    /// The `[presence]` table.
    pub presence: PresenceTable,
    /// The `[limits]` table.
    pub limits: LimitsTable,
    /// The `[pages]` table.
    pub pages: PagesTable,
    /// The `[zeromq]` table.
    pub zeromq: ZeroMqTable,
    /// The `[log]` table.
    pub log: LogTable,
}

/// One `[[listen]]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenTable {
    /// An address to listen on.
    pub address: Option<String>,
    /// Whether connections to this address begin with a TLS handshake.
    pub tls: bool,
    /// The topic of the conversation that every WebSocket at this address takes part in, unless its
    /// path is the hub's or that of another conversation.
    pub room: Option<String>,
}

/// The `[tls]` table.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsTable {
    /// PEM file with the certificate chain, the server's own certificate first.
    pub certificate: Option<String>,
    /// PEM file with the private key of the certificate.
    pub key: Option<String>,
}

/// The `[hub]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubTable {
    /// The URL under which publishers and subscribers reach the hub, without query and fragment.
    pub public_url: Option<String>,
    /// Hosts that requests may name, such as `hub.example.com` or `hub.example.com:8443`; a port that
    /// is usual for the scheme, case and a dot at the end make no difference.
    pub hosts: Vec<String>,
    /// Whether `hub.public_url` may begin with `http://` although its host is another machine's.
    pub allow_plaintext: bool,
}

/// The `[data]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataTable {
    /// The folder that the hub writes to.
    pub dir: String,
}

/// The `[server]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerTable {
    /// Number of shards.
    pub shards: Option<u64>,
    /// Seconds that connections get to end when the server stops.
    pub drain_secs: u64,
}

/// The `[admin]` table.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminTable {
    /// Where metrics and health answer, in plain HTTP.
    pub address: Option<String>,
}

/// The `[auth]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthTable {
    /// Values of a token's `aud` that mean this hub.
    pub audiences: Option<Vec<String>>,
    /// Cookies that may carry a token, in the order of preference.
    pub cookie_names: Vec<String>,
    /// Seconds between two fetches of a key set, at least 10.
    pub jwks_refresh_secs: u64,
    /// Seconds for which a key set that was fetched counts at a start while its issuer does not answer.
    pub jwks_keep_secs: u64,
    /// The `[[auth.issuers]]` tables.
    #[serde(default)]
    pub issuers: Vec<IssuerTable>,
}

/// One `[[auth.issuers]]` table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerTable {
    /// Who issues tokens with this key: the exact value of their `iss`.
    pub issuer: Option<String>,
    /// The one signature algorithm that this key verifies.
    pub algorithm: Option<String>,
    /// The shared secret or the public key in PEM.
    pub key: Option<String>,
    /// File with what `key` would hold.
    pub key_file: Option<String>,
    /// Address of the key set that the issuer publishes, with `https://`; `http://` only on this
    /// machine.
    pub jwks_url: Option<String>,
    /// File with a key set.
    pub jwks_file: Option<String>,
    /// Name of the key.
    pub kid: Option<String>,
    /// Whether tokens for publishing may be signed with this key.
    pub publish: bool,
    /// Whether tokens for subscribing may be signed with this key.
    pub subscribe: bool,
    /// Dialects whose tokens may be signed with this key: `1.0`, `0.x`, `2019`.
    pub dialects: Vec<String>,
}

impl std::fmt::Debug for IssuerTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuerTable")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// The `[dialects]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DialectsTable {
    /// Whether publishers and subscribers of Mercure 0.10 to 0.24 are served at the hub's path: the
    /// parameter `topic`, the claim `mercure`, the cookie `mercureAuthorization`.
    pub v0: bool,
    /// Whether publishers and subscribers of Mercure 0.1 to 0.7 are served at `/hub`, with `target`
    /// fields.
    pub v2019: bool,
    /// Whether `/demo/` of those hubs echoes what a link asks for, with its token as a cookie.
    pub demo: bool,
}

/// The `[subscribe]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscribeTable {
    /// Whether subscribers without a token are let in.
    pub anonymous: bool,
    /// Seconds of silence after which a comment line is sent, so that proxies keep the connection.
    pub keep_alive_secs: u64,
    /// Longest life of a subscriber's connection in seconds.
    pub connection_secs_max: u64,
    /// Milliseconds that subscribers are told to wait before they connect again.
    pub retry_ms: Option<u64>,
    /// How the hub ends an event stream: when it has lived `subscribe.connection_secs_max`, when its
    /// token ends, when the hub stops, and when the history cannot be read on.
    pub end: String,
}

/// The `[publish]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishTable {
    /// Origins of pages that may publish with the cookie, such as `https://example.com` or
    /// `https://*.example.com`.
    pub origins: Vec<String>,
    /// Longest body of a publishing request in bytes.
    pub body_bytes_max: u64,
}

/// The `[cors]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorsTable {
    /// Origins of pages that may read the hub's answers, such as `https://example.com` or
    /// `https://*.example.com`.
    pub origins: Vec<String>,
    /// Request fields that pages of these origins may set beside those that the hub reads, such as
    /// `X-Requested-With`.
    pub headers: Option<Vec<String>>,
}

/// The `[websocket]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebSocketTable {
    /// Whether texts are compressed for those who offer it (permessage-deflate).
    pub compression: bool,
    /// Longest text that a WebSocket may send, in bytes, inflated.
    pub bytes_max: u64,
    /// Frames that one WebSocket may send in a second.
    pub frames_per_second_max: u64,
    /// Seconds between two pings.
    pub ping_secs: u64,
}

/// The `[rooms]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoomsTable {
    /// Who may take part in conversations at `/ws/{topic}`: nobody, anybody, or those with a token.
    pub access: String,
    /// Topics that `/ws/{topic}` may name.
    pub topics: Vec<String>,
    /// Origins of pages that may take part, such as `https://example.com`.
    pub origins: Vec<String>,
    /// Sub-protocols that are agreed to.
    pub subprotocols: Vec<String>,
    /// Whether what is said is a private update, which only those with a grant may read.
    pub private: bool,
}

/// The `[sockjs]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SockJsTable {
    /// Whether SockJS is served at `/sockjs`, for browsers that have no WebSocket.
    pub enabled: bool,
    /// Whether WebSockets are among the transports of SockJS.
    pub websocket: bool,
    /// Whether answers set the cookie `JSESSIONID`, by which some load balancers keep a session on
    /// one server.
    pub cookie: bool,
    /// Where the page for transports across origins loads the SockJS library from.
    pub library_url: Option<String>,
    /// Bytes after which a streaming answer ends and the browser asks anew.
    pub response_bytes_max: u64,
    /// Longest body of a request that says something, in bytes.
    pub body_bytes_max: u64,
    /// Seconds between two heartbeats.
    pub heartbeat_secs: u64,
    /// Seconds that a session may be without a request that receives.
    pub disconnect_secs: u64,
    /// Sessions without a WebSocket.
    pub sessions_max: u64,
    /// Sessions without a WebSocket from one IP address.
    pub sessions_per_address_max: u64,
    /// Bytes that may wait in all sessions without a WebSocket together.
    pub queue_bytes_max: u64,
}

/// The `[flash]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlashTable {
    /// Where the Flash policy is served to browsers of old.
    pub address: Option<String>,
    /// Who may open sockets to which ports, as `DOMAIN:PORTS`.
    pub allow: Vec<String>,
    /// Whether policies at other ports count too: the policy's `site-control`.
    pub site_control: String,
}

/// The `[history]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryTable {
    /// Where updates are kept for subscribers that come back: in a file, in memory until the hub
    /// stops, or not at all.
    pub kind: String,
    /// The history's file, an SQLite database.
    pub path: Option<String>,
    /// Hours that an update is kept, by the time that passes and not by the date; a stop of the hub
    /// counts for a quarter of them at most.
    pub retain_hours: u64,
    /// Number of updates that are kept.
    pub retain_updates: u64,
    /// Bytes of updates that are kept.
    pub retain_bytes: u64,
    /// Bytes of recent updates held in memory, from which most replays are served.
    pub ring_bytes: u64,
}

/// The `[presence]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresenceTable {
    /// Whether the hub publishes an event when a subscription begins or ends, and answers which ones there are.
    pub enabled: bool,
    /// Seconds that a subscriber who left may take to come back without an event.
    pub grace_secs: u64,
    /// Subscriptions in one answer.
    pub page_max: u64,
    /// Subscriptions that the hub keeps track of.
    pub subscriptions_max: u64,
    /// Number of events about subscriptions that are kept for those who come back.
    pub retain_events: u64,
    /// Minutes that an event about a subscription is kept.
    pub retain_minutes: u64,
}

/// The `[limits]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsTable {
    /// Connections of the whole server, and streams of HTTP/2: each counts as a connection does.
    pub connections_max: u64,
    /// Connections from one IP address, and their streams of HTTP/2.
    pub connections_per_address_max: u64,
    /// Bytes of memory that peers may cause the hub to hold: answers that they do not take,
    /// bodies and messages that they do not finish, and what their connections and streams
    /// themselves need.
    pub held_bytes_max: Option<u64>,
    /// The same for the peers at one IP address.
    pub held_bytes_per_address_max: Option<u64>,
    /// The same for one connection with all its streams, and for one session of SockJS.
    pub held_bytes_per_connection_max: u64,
    /// Distinct URL patterns and URI templates that subscribers may have in use although nothing
    /// literal tells them apart from 16 others: each update that may match one of them is compared
    /// with all of them, which costs up to a microsecond for each.
    pub crowded_patterns_max: u64,
    /// The same for the subscribers at one IP address.
    pub crowded_patterns_per_address_max: Option<u64>,
    /// New connections per second of the whole server.
    pub accepts_per_second: u64,
    /// Seconds within which a whole request head must arrive.
    pub head_secs: u64,
    /// Seconds within which a whole request body must arrive.
    pub body_secs: u64,
    /// Seconds within which a TLS handshake must end.
    pub handshake_secs: u64,
    /// Seconds for which a subscriber that is behind may take nothing before its connection is
    /// closed.
    pub stall_secs: u64,
    /// Concurrent streams of one HTTP/2 connection.
    pub streams_per_connection_max: u64,
    /// Addresses and networks whose connections are closed at once, such as `192.0.2.0/24`.
    pub blocked_addresses: Vec<String>,
}

/// The `[pages]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PagesTable {
    /// Whether the chat is served at `/chat`.
    pub chat: bool,
    /// Whether the score board is served at `/scores`.
    pub scores: bool,
    /// Whether the debugger is served at `/debugger`.
    pub debugger: bool,
    /// Whether `/diagnose` tells visitors what their network lets through: event streams, WebSockets, long polling.
    pub diagnose: bool,
    /// Whether the browser client is served: as a plain script at `/tidings.js`, as a module at `/tidings.mjs`.
    pub library: bool,
}

/// The `[log]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogTable {
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace` or `off`, also per target as in
    /// `info,tidings=debug`.
    pub level: String,
    /// The form of a log line: for people, one JSON object, or `time=… level=… msg=…` as the hub of
    /// 2019 wrote it.
    pub format: String,
    /// Whether each request gets a line in the combined format of Apache, as the hub of 2019 wrote it.
    pub access: bool,
}

/// The `[zeromq]` table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZeroMqTable {
    /// Whether ZeroMQ sockets may bind addresses that other machines reach.
    pub allow_plaintext: bool,
    /// The name that ZeroMQ peers must give, by the mechanism PLAIN.
    pub username: Option<String>,
    /// The password that belongs to `zeromq.username`.
    pub password: Option<String>,
    /// Messages that may wait for one ZeroMQ peer.
    pub high_water_mark: u64,
    /// Bytes that may wait for one ZeroMQ peer.
    pub high_water_bytes: u64,
    /// Bytes that may wait for all ZeroMQ peers together.
    pub queue_bytes_max: u64,
    /// Longest ZeroMQ message in bytes, all its parts together.
    pub message_bytes_max: u64,
    /// ZeroMQ connections.
    pub peers_max: u64,
    /// Subscriptions of one ZeroMQ peer.
    pub subscriptions_max: u64,
    /// Seconds within which a ZeroMQ peer must end its handshake.
    pub handshake_secs: u64,
    /// Seconds of silence after which a ZeroMQ peer is asked whether it is there.
    pub heartbeat_secs: u64,
    /// The `[[zeromq.brokers]]` tables.
    #[serde(default)]
    pub brokers: Vec<ZeroMqBrokerTable>,
    /// The `[[zeromq.inputs]]` tables.
    #[serde(default)]
    pub inputs: Vec<ZeroMqInputTable>,
    /// The `[[zeromq.outputs]]` tables.
    #[serde(default)]
    pub outputs: Vec<ZeroMqOutputTable>,
}

impl std::fmt::Debug for ZeroMqTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZeroMqTable").finish_non_exhaustive()
    }
}

/// One `[[zeromq.brokers]]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZeroMqBrokerTable {
    /// Sockets that messages come in by: PULL, SUB, XSUB or REP.
    pub inputs: Option<Vec<String>>,
    /// Sockets that the same messages go out of: PUB, XPUB or PUSH.
    pub outputs: Option<Vec<String>>,
}

/// One `[[zeromq.inputs]]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZeroMqInputTable {
    /// A socket whose messages become updates: PULL, SUB, XSUB or REP.
    pub socket: Option<String>,
    /// What a SUB or XSUB socket subscribes to: beginnings of messages.
    pub subscribe: Vec<String>,
    /// How a message becomes an update.
    pub mapping: String,
    /// What is done with messages that cannot be read so: they are dropped, or their text is
    /// published under the fixed topic.
    pub unparsable: String,
    /// The fixed topic.
    pub topic: Option<String>,
    /// What is put before the topic that the first of two parts names.
    pub topic_prefix: String,
    /// The event type of updates whose message names none.
    pub event_type: Option<String>,
    /// Whether updates are private whose message does not say.
    pub private: bool,
    /// Topics that may be published by this socket.
    pub match_exact: Option<Vec<String>>,
    /// URL patterns of further topics that may be published by this socket.
    pub match_urlpattern: Vec<String>,
}

/// One `[[zeromq.outputs]]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZeroMqOutputTable {
    /// A socket that updates go out of as messages: PUB, XPUB or PUSH.
    pub socket: Option<String>,
    /// What an update looks like.
    pub form: String,
    /// Topics of the updates that go out.
    pub match_exact: Option<Vec<String>>,
    /// URL patterns of further updates that go out.
    pub match_urlpattern: Vec<String>,
    /// Whether private updates go out too.
    pub private: bool,
    /// Which updates go out by where they come from: all, or only those that did not come in by a
    /// ZeroMQ socket that connects.
    pub origin: Option<String>,
}
