//! The generator's clock: monotonic nanoseconds, the same for every thread and process of the
//! machine.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Returns the nanoseconds since the machine was started.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let secs = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(now.tv_nsec).unwrap_or_default();
    secs * 1_000_000_000 + nanos
}

/// Returns a duration in whole nanoseconds; a duration above 580 years saturates.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns nanoseconds as milliseconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "a figure for people; 52 bits are enough"
)]
pub(crate) fn as_ms(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

/// Returns a count as a floating-point number for divisions.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts here stay far below 52 bits"
)]
pub(crate) fn as_f64(count: u64) -> f64 {
    count as f64
}
