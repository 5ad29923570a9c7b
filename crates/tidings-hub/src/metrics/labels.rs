//! The values that labels take. Each is in a list, so that every series exists from the start: a rate over a
//! series that begins with its first event does not show that event.

use crate::session::Ending;

/// Why a publish request, a subscribe request or a frame is refused: the names of refusals that
/// `docs/reference/http.md` lists, and those that only one transport has.
pub(super) const REFUSALS: &[&str] = &[
    "body-incomplete",
    "body-timeout",
    "body-too-large",
    "busy",
    "catching-up",
    "data-missing",
    "engine-unavailable",
    "frame-invalid",
    "handshake-invalid",
    "history-unavailable",
    "history-unreadable",
    "id-invalid",
    "id-too-long",
    "in-doubt",
    "key-invalid",
    "key-reused",
    "list-invalid",
    "matcher-invalid",
    "matcher-missing",
    "matcher-type-unknown",
    "media-type-unsupported",
    "memory-limit",
    "method-not-allowed",
    "misdirected",
    "multipart-invalid",
    "no-random",
    "not-found",
    "not-utf8",
    "origin-refused",
    "queue-full",
    "rate-limited",
    "retry-invalid",
    "scope-insufficient",
    "selector-missing",
    "stopping",
    "target-invalid",
    "target-too-long",
    "token-invalid",
    "token-malformed",
    "token-missing",
    "too-many-connections",
    "too-many-matchers",
    "too-many-messages",
    "too-many-patterns",
    "too-many-targets",
    "too-many-topics",
    "topic-invalid",
    "topic-missing",
    "topic-reserved",
    "topic-too-long",
    "type-invalid",
    "type-too-long",
    "update-too-large",
    "upgrade-required",
];

/// Why a SockJS request is refused, or a session closed.
pub(super) const SOCKJS_REFUSALS: &[&str] = &[
    "another_receiver",
    "body-incomplete",
    "body-timeout",
    "body-too-large",
    "busy",
    "handshake-invalid",
    "interrupted",
    "memory-limit",
    "method-not-allowed",
    "no-random",
    "not-found",
    "origin-refused",
    "page-invalid",
    "queue-full",
    "rate-limited",
    "session-id-invalid",
    "session-queue-full",
    "stopping",
    "token-invalid",
    "token-malformed",
    "token-missing",
    "too-many-messages",
    "too-many-sessions",
    "too-many-sessions-per-address",
    "upgrade-required",
];

/// Why a connection is refused before its request is read.
pub(super) const CONNECTIONS_REFUSED: &[&str] = &[
    "address",
    "blocked",
    "memory_limit",
    "total",
    "untrusted_proxy",
];

/// What made a connection fail.
pub(super) const CONNECTIONS_FAILED: &[&str] = &[
    "accept",
    "handshake",
    "handshake_timeout",
    "head_timeout",
    "http",
    "io",
    "malformed",
    "memory_limit",
    "move",
    "proxy_header",
    "proxy_header_timeout",
    "stalled",
];

/// Why the field in which proxies name their client is ignored.
pub(super) const FORWARDED_IGNORED: &[&str] = &["broken", "untrusted"];

/// What became of a connection for a Flash policy.
pub(super) const FLASH_POLICIES: &[&str] = &["answered", "junk", "unfinished"];

/// What became of an operator's command to all hubs of a cluster.
pub(super) const ORDERS: &[&str] = &["done", "dropped", "failed"];

/// What became of reading a certificate again, or of ordering one.
pub(super) const CERTIFICATE_RESULTS: &[&str] = &["failed", "ok"];

/// Why a ZeroMQ message is dropped.
pub(super) const ZEROMQ_DROPPED: &[&str] = &[
    "disconnected",
    "envelope",
    "high_water_mark",
    "history",
    "no_receiver",
    "other_hub",
    "own",
    "retention",
    "stopping",
    "unparsable",
];

/// Why a ZeroMQ connection ends.
pub(super) const ZEROMQ_CLOSED: &[&str] = &[
    "accept",
    "command",
    "command_bytes",
    "credentials",
    "flags",
    "greeting",
    "handshake",
    "handshake_bytes",
    "handshake_timeout",
    "heartbeat",
    "io",
    "mechanism",
    "message_bytes",
    "message_parts",
    "peer",
    "peers_max",
    "refused_by_peer",
    "socket_type",
    "subscription_bytes",
    "subscriptions",
    "subscriptions_bytes",
    "unexpected_message",
    "version",
];

/// The keys of limits in the configuration.
pub(super) const LIMITS: &[&str] = &[
    "history.retain_bytes",
    "history.retain_updates",
    "limits.connections_max",
    "limits.connections_per_address_max",
    "limits.peer_memory_bytes_max",
    "limits.published_bytes_per_second_per_address_max",
    "limits.published_bytes_per_second_per_subject_max",
    "limits.publishes_per_second_per_address_max",
    "limits.publishes_per_second_per_subject_max",
    "limits.subscribes_per_second_per_address_max",
    "limits.subscribes_per_second_per_subject_max",
    "limits.unindexed_patterns_max",
    "presence.subscriptions_max",
    "sockjs.sessions_max",
    "zeromq.peers_max",
];

/// Returns the names of all ends of sessions.
pub(super) fn endings() -> impl Iterator<Item = &'static str> {
    Ending::ALL.iter().map(|ending| ending.name())
}
