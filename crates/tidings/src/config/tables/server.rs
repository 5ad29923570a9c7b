//! `[server]`: threads and shutdown.

use std::num::NonZero;
use std::time::Duration;

use crate::config::keys::rule::{computed, number};

table! {
    /// Threads and shutdown.
    pub struct ServerOptions = "server" {
        /// Number of shards. Each has its own thread and a part of the connections.
        shards: usize = computed("one per core", cores).at_least(1).at_most(SHARDS_MAX).start();
        /// Seconds over which connections are closed, one by one, when the server stops, so that
        /// subscribers do not all reconnect in the same second.
        drain as "drain_secs": Duration = number(30).secs().live();
    }
}

/// Returns the number of cores that the process may use, at least 1.
fn cores() -> u64 {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    u64::try_from(cores).unwrap_or(SHARDS_MAX).min(SHARDS_MAX)
}

/// Maximum number of shards, far more than any machine has cores.
const SHARDS_MAX: u64 = 1024;
