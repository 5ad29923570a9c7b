//! `[limits]`: bounds on connections and requests.

use std::time::Duration;

use crate::config::addresses::AddressList;
use crate::config::keys::Form::Number;
use crate::config::keys::rule::{computed, list, number, unset};
use tidings_hub::account::machine_bytes;

table! {
    /// Bounds on connections and requests.
    pub struct LimitOptions = "limits" {
        /// Connections of the whole server, and streams of HTTP/2: each counts as a connection
        /// does. Further ones get 503.
        connections_max: usize = number(100_000).at_least(1).live();
        /// Connections from one IP address, and their streams of HTTP/2. Further ones get 429.
        /// Behind a proxy all connections come from its address: write the same as in
        /// `limits.connections_max`.
        connections_per_address_max: usize = number(10_000).at_least(1).live();
        /// Bytes of memory that peers may cause the hub to hold: answers that they do not take,
        /// bodies and messages that they do not finish, and what their connections and streams
        /// themselves need. Beyond it requests get 503 and sessions are closed. An idle subscriber
        /// counts nothing here.
        held_bytes_max: usize = computed(HELD_BYTES, held_bytes).at_least(HELD_BYTES_MIN).live();
        /// The same for the peers at one IP address. Beyond it requests get 429. Behind a proxy
        /// write the same as in `limits.held_bytes_max`.
        held_bytes_per_address_max: Option<usize> =
            unset(Number, HALF_HELD).at_least(HELD_BYTES_MIN).live();
        /// The same for one connection with all its streams, and for one session of SockJS. Beyond
        /// it requests get 429.
        held_bytes_per_connection_max: usize =
            number(16 * 1024 * 1024).at_least(HELD_BYTES_MIN).live();
        /// Distinct URL patterns and URI templates that subscribers may have in use although
        /// nothing literal tells them apart from 16 others: each update that may match one of them
        /// is compared with all of them, which costs up to a microsecond for each. Beyond it
        /// subscribing gets 503. A pattern with a path segment or a literal beginning that few
        /// others have does not count.
        crowded_patterns_max: usize = number(2000).at_least(1).live();
        /// The same for the subscribers at one IP address. Beyond it subscribing gets 429. Behind a
        /// proxy write the same as in `limits.crowded_patterns_max`.
        crowded_patterns_per_address_max: Option<usize> =
            unset(Number, HALF_CROWDED).at_least(1).live();
        /// New connections per second of the whole server. Further ones wait.
        accepts_per_second: u32 = number(5000).at_least(1).live();
        /// Seconds within which a whole request head must arrive.
        head as "head_secs": Duration = number(10).secs().at_least(1).live();
        /// Seconds within which a whole request body must arrive.
        body as "body_secs": Duration = number(30).secs().at_least(1).live();
        /// Seconds within which a TLS handshake must end.
        handshake as "handshake_secs": Duration = number(10).secs().at_least(1).live();
        /// Seconds for which a subscriber that is behind may take nothing before its connection is
        /// closed. It loses nothing: it resumes where it was when it connects again.
        stall as "stall_secs": Duration = number(60).secs().at_least(1).live();
        /// Concurrent streams of one HTTP/2 connection.
        streams_per_connection_max: u32 = number(250).at_least(1).live();
        /// Addresses and networks whose connections are closed at once, such as `192.0.2.0/24`.
        /// Behind a proxy every connection has the proxy's address.
        blocked as "blocked_addresses": AddressList = list(&[]).live();
    }
}

impl LimitOptions {
    /// Returns the bytes that may be held for one address.
    pub fn held_bytes_per_address(&self) -> usize {
        self.held_bytes_per_address_max
            .unwrap_or(self.held_bytes_max / 2)
    }

    /// Returns the crowded patterns that the subscribers at one address may have in use.
    pub fn crowded_patterns_per_address(&self) -> usize {
        self.crowded_patterns_per_address_max
            .unwrap_or_else(|| self.crowded_patterns_max.div_ceil(2))
    }
}

/// Returns the bytes that may be held in total where nothing is written: see [`HELD_BYTES`].
fn held_bytes() -> u64 {
    (machine_bytes() / 4).clamp(16 * 1024 * 1024, 1024 * 1024 * 1024)
}

/// What counts where nothing is written.
const HELD_BYTES: &str =
    "a quarter of the memory that the machine or its control group has, at most 1 GiB";
const HALF_HELD: &str = "half of `limits.held_bytes_max`";
const HALF_CROWDED: &str = "half of `limits.crowded_patterns_max`";

/// Fewest bytes that may be held: one body of a megabyte at a time.
const HELD_BYTES_MIN: u64 = 1024 * 1024;
