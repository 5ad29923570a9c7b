//! `[limits]`: limits on connections and requests.

use std::time::Duration;

use crate::config::addresses::AddressList;
use crate::config::keys::Form::Number;
use crate::config::keys::rule::{computed, list, number, unset};
use tidings_hub::account::machine_bytes;

table! {
    /// Limits on connections and requests.
    pub struct LimitOptions = "limits" {
        /// Maximum number of connections of the whole server. Each HTTP/2 stream counts as a
        /// connection. Further ones get 503.
        connections_max: usize = number(100_000).at_least(1).live();
        /// Maximum number of connections from one IP address, including their HTTP/2 streams.
        /// Further ones get 429. A proxy in front of the hub belongs in `proxy.trusted_addresses`;
        /// its clients then count by their own addresses, a request in progress as a connection.
        connections_per_address_max: usize = number(10_000).at_least(1).live();
        /// Bytes of memory that peers may make the hub hold: responses that they do not read,
        /// bodies and messages that they do not finish, and the buffers of their connections and
        /// streams. Beyond this limit, requests get 503 and sessions are closed. An idle subscriber
        /// does not count.
        peer_memory_bytes_max: usize = computed(PEER_MEMORY_BYTES, peer_memory_bytes).at_least(PEER_MEMORY_BYTES_MIN).live();
        /// The same for the peers at one IP address. Beyond this limit, requests get 429.
        peer_memory_bytes_per_address_max: Option<usize> =
            unset(Number, HALF_PEER_MEMORY).at_least(PEER_MEMORY_BYTES_MIN).live();
        /// The same for one connection with all its streams, for one SockJS session, and for one
        /// request that came through a trusted proxy. Beyond this limit, requests get 429.
        peer_memory_bytes_per_connection_max: usize =
            number(16 * 1024 * 1024).at_least(PEER_MEMORY_BYTES_MIN).live();
        /// Maximum number of distinct unindexed URL patterns and URI templates in use: those that no
        /// literal part distinguishes from 16 others. Each update that may match one of them is
        /// compared with all of them, which costs up to a microsecond for each. Beyond this limit,
        /// subscribing fails with 503. A pattern with a path segment or a literal beginning that
        /// few others share does not count.
        unindexed_patterns_max: usize = number(2000).at_least(1).live();
        /// The same for the subscribers at one IP address. Beyond this limit, subscribing fails
        /// with 429.
        unindexed_patterns_per_address_max: Option<usize> =
            unset(Number, HALF_UNINDEXED).at_least(1).live();
        /// Maximum number of new connections per second for the whole server. Further ones wait.
        accepts_per_second_max: u32 = number(5000).at_least(1).live();
        /// Seconds within which a whole request head must arrive.
        head as "head_timeout_secs": Duration = number(10).secs().at_least(1).live();
        /// Seconds within which a whole request body must arrive.
        body as "body_timeout_secs": Duration = number(30).secs().at_least(1).live();
        /// Seconds within which a TLS handshake must end.
        handshake as "handshake_timeout_secs": Duration = number(10).secs().at_least(1).live();
        /// Seconds after which the hub closes the connection of a subscriber that is behind and
        /// reads nothing. No update is lost: the subscriber resumes where it was when it
        /// reconnects.
        stall as "stall_timeout_secs": Duration = number(60).secs().at_least(1).live();
        /// Maximum number of concurrent streams on one HTTP/2 connection.
        streams_per_connection_max: u32 = number(250).at_least(1).live();
        /// Maximum number of updates that the holders of tokens with the same issuer and subject
        /// (`iss` and `sub`) publish per second, on average: see `limits.rate_burst_secs`. Tokens
        /// without a subject do not count. Beyond this limit, publishing fails with 429. 0 sets no
        /// limit.
        publishes_per_second_per_subject_max: Option<u32> = number(0).zero_is_none().live();
        /// The same for the publishers at one IPv4 address or IPv6 network (`/64`).
        publishes_per_second_per_address_max: Option<u32> = number(0).zero_is_none().live();
        /// The same for the bytes of data that a subject publishes. 0 sets no limit.
        published_bytes_per_second_per_subject_max: Option<u32> = number(0).zero_is_none().live();
        /// The same for the bytes of data that are published from one IPv4 address or IPv6 network
        /// (`/64`).
        published_bytes_per_second_per_address_max: Option<u32> = number(0).zero_is_none().live();
        /// Maximum number of subscribes per second of one subject, on average: event streams,
        /// WebSockets and their `subscribe` frames, rooms, and each long poll. Beyond this limit,
        /// subscribing fails with 429. 0 sets no limit.
        subscribes_per_second_per_subject_max: Option<u32> = number(0).zero_is_none().live();
        /// The same for one IPv4 address or IPv6 network (`/64`). Many visitors may share an address.
        subscribes_per_second_per_address_max: Option<u32> = number(0).zero_is_none().live();
        /// Seconds of the full rate that a peer can save up and then use at once. With 5 publishes
        /// per second and 10 seconds, 50 publishes in a row succeed. Applies to all limits per
        /// second and peer.
        rate_burst as "rate_burst_secs": Duration = number(10).secs().at_least(1).live();
        /// Addresses and networks whose connections are closed immediately, such as `192.0.2.0/24`.
        /// Requests of such clients that come through a trusted proxy get 403.
        blocked as "blocked_addresses": AddressList = list(&[]).live();
    }
}

impl LimitOptions {
    /// Returns the bytes that may be held for one address.
    pub fn peer_memory_bytes_per_address(&self) -> usize {
        self.peer_memory_bytes_per_address_max
            .unwrap_or(self.peer_memory_bytes_max / 2)
    }

    /// Returns the unindexed patterns that the subscribers at one address may have in use.
    pub fn unindexed_patterns_per_address(&self) -> usize {
        self.unindexed_patterns_per_address_max
            .unwrap_or_else(|| self.unindexed_patterns_max.div_ceil(2))
    }
}

/// Returns the default of `peer_memory_bytes_max`: see [`PEER_MEMORY_BYTES`].
fn peer_memory_bytes() -> u64 {
    (machine_bytes() / 4).clamp(16 * 1024 * 1024, 1024 * 1024 * 1024)
}

/// The defaults, in words.
const PEER_MEMORY_BYTES: &str =
    "a quarter of the memory that the machine or its control group has, at most 1 GiB";
const HALF_PEER_MEMORY: &str = "half of `limits.peer_memory_bytes_max`";
const HALF_UNINDEXED: &str = "half of `limits.unindexed_patterns_max`";

/// Lowest limit of held bytes: one body of a megabyte at a time.
const PEER_MEMORY_BYTES_MIN: u64 = 1024 * 1024;
