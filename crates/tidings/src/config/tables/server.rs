//! `[server]`: threads, and the end of the process.

use std::num::NonZero;
use std::time::Duration;

use crate::config::keys::rule::{computed, number};

table! {
    /// How the process works.
    pub struct ServerOptions = "server" {
        /// Number of shards. Each has a thread of its own and part of the connections.
        shards: usize = computed("one per core", cores).at_least(1).at_most(SHARDS_MAX).start();
        /// Seconds that connections get to end when the server stops. They end one by one over this
        /// time, so that subscribers do not all come back in the same second.
        drain as "drain_secs": Duration = number(30).secs().live();
    }
}

/// Returns the number of cores that the process may use, at least 1.
fn cores() -> u64 {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    u64::try_from(cores).unwrap_or(SHARDS_MAX).min(SHARDS_MAX)
}

/// Most shards, far beyond what any machine has cores.
const SHARDS_MAX: u64 = 1024;
