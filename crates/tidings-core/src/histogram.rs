//! A histogram of durations with fixed buckets. Any thread counts into it, without a lock. Whoever
//! measures passes the duration in.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, in microseconds: from what memory takes to what only a fault takes.
/// A last bucket holds everything longer.
pub const BOUNDS_MICROS: [u64; 18] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// How many buckets there are, with the one for everything longer.
pub const BUCKETS: usize = BOUNDS_MICROS.len() + 1;

/// Counts durations by bucket.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

/// What a histogram had counted at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Durations in each bucket, without those of the buckets before it.
    pub buckets: [u64; BUCKETS],
    /// The sum of all durations, in nanoseconds.
    pub sum_ns: u64,
}

impl Histogram {
    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        self.observe_many(duration, 1);
    }

    /// Counts `times` equal durations. Costs as much as one.
    pub fn observe_many(&self, duration: Duration, times: u64) {
        let micros = duration.as_nanos().div_ceil(1000);
        let number = BOUNDS_MICROS.partition_point(|bound| u128::from(*bound) < micros);
        if let Some(bucket) = self.buckets.get(number) {
            bucket.fetch_add(times, Ordering::Relaxed);
        }
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.sum_ns
            .fetch_add(ns.saturating_mul(times), Ordering::Relaxed);
    }

    /// Returns what was counted. Durations that are counted meanwhile may be in part of it.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot {
            sum_ns: self.sum_ns.load(Ordering::Relaxed),
            ..Snapshot::default()
        };
        for (count, bucket) in snapshot.buckets.iter_mut().zip(&self.buckets) {
            *count = bucket.load(Ordering::Relaxed);
        }
        snapshot
    }

    /// Replaces what was counted, by what was counted elsewhere.
    pub fn set(&self, snapshot: &Snapshot) {
        for (bucket, count) in self.buckets.iter().zip(&snapshot.buckets) {
            bucket.store(*count, Ordering::Relaxed);
        }
        self.sum_ns.store(snapshot.sum_ns, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_that_it_does_not_exceed() {
        check(Duration::ZERO, 0);
        check(Duration::from_micros(100), 0);
        check(Duration::from_nanos(100_001), 1);
        check(Duration::from_millis(1), 3);
        check(Duration::from_secs(60), BOUNDS_MICROS.len() - 1);
        check(Duration::from_millis(60_001), BOUNDS_MICROS.len());
        check(Duration::MAX, BOUNDS_MICROS.len());
    }

    #[test]
    fn a_snapshot_can_be_taken_over() {
        let counted = Histogram::default();
        counted.observe_many(Duration::from_millis(2), 3);
        counted.observe(Duration::from_secs(1));
        let other = Histogram::default();
        other.set(&counted.snapshot());
        assert_eq!(other.snapshot(), counted.snapshot());
        assert_eq!(other.snapshot().sum_ns, 1_006_000_000);
    }

    #[track_caller]
    fn check(duration: Duration, bucket: usize) {
        let histogram = Histogram::default();
        histogram.observe_many(duration, 7);
        let mut expected = [0; BUCKETS];
        expected[bucket] = 7;
        assert_eq!(histogram.snapshot().buckets, expected, "{duration:?}");
    }
}
