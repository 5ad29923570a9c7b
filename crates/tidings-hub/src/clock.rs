//! The machine's wall clock, in the units that the program uses.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the time in whole seconds since the Unix epoch. Zero if the clock is before it.
pub fn unix_secs() -> u64 {
    since_epoch().as_secs()
}

/// Returns the time in milliseconds since the Unix epoch. Zero if the clock is before it.
pub fn unix_ms() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
