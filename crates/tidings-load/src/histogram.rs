//! Latencies in buckets that grow with the value: accurate to better than one per cent, with
//! constant memory for any number of values.

use crate::clock::{as_f64, as_ms};

/// Buckets per doubling of the value. With 128, the largest error is 1/128.
const BUCKETS: u64 = 128;
/// Each value below this has its own bucket.
const EXACT: u64 = 2 * BUCKETS;

/// A histogram of nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    count: u64,
    max: u64,
}

impl Histogram {
    /// Makes an empty histogram.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds one value.
    pub(crate) fn record(&mut self, value: u64) {
        let bucket = bucket(value);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.count += 1;
        self.max = self.max.max(value);
    }

    /// Adds all values of another histogram.
    pub(crate) fn add(&mut self, other: &Self) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// Returns the number of values.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Returns the largest value, exactly.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// Returns a value that the given share of all values does not exceed by more than the bucket's
    /// error. Zero if there are no values.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let wanted = share * as_f64(self.count);
        let mut below = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            below += count;
            if below > 0 && as_f64(below) >= wanted {
                return upper_end(bucket).min(self.max);
            }
        }
        self.max
    }

    /// Returns p50, p90, p99, p99.9 and the maximum in milliseconds, with their names.
    pub(crate) fn percentiles_ms(&self) -> [(&'static str, f64); 5] {
        let ms = |share| as_ms(self.quantile(share));
        [
            ("p50", ms(0.5)),
            ("p90", ms(0.9)),
            ("p99", ms(0.99)),
            ("p99.9", ms(0.999)),
            ("max", as_ms(self.max)),
        ]
    }
}

fn bucket(value: u64) -> usize {
    let place = if value < EXACT {
        value
    } else {
        let shift = u64::from(value.ilog2()) - u64::from(BUCKETS.ilog2());
        shift * BUCKETS + (value >> shift)
    };
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// Returns the largest value of a bucket.
fn upper_end(bucket: usize) -> u64 {
    let place = bucket as u64;
    if place < EXACT {
        return place;
    }
    let shift = place / BUCKETS - 1;
    let first = (place - shift * BUCKETS) << shift;
    first + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_a_bucket_less_than_one_per_cent_wide() {
        for value in (0..63).flat_map(|power| [1_u64 << power, (1 << power) + 1, (2 << power) - 1])
        {
            let end = upper_end(bucket(value));
            assert!(
                end >= value && end - value <= value / 100,
                "{value} is counted as {end}"
            );
        }
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut histogram = Histogram::new();
        (1..=10_000).for_each(|value| histogram.record(value * 1000));
        for (share, value) in [(0.5, 5_000_000_u64), (0.99, 9_900_000), (1.0, 10_000_000)] {
            let found = histogram.quantile(share);
            assert!(found.abs_diff(value) <= value / 100, "{share}: {found}");
        }
        assert_eq!(histogram.max(), 10_000_000);
    }
}
