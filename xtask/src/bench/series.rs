//! The samples of a soak as numbers over time, and the definition of "flat".

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// A figure is flat if a line fitted to its last two thirds rises by at most this share of the
/// mean.
const RISE_MAX: f64 = 0.05;

/// All samples of a run.
pub struct Samples(Vec<Value>);

/// One figure over time.
pub struct Series {
    /// Minutes since the start, and the value.
    pub points: Vec<(f64, f64)>,
}

/// Statistics of a figure over the last two thirds of a run.
pub struct Steadiness {
    /// Its mean.
    pub mean: f64,
    /// Its minimum.
    pub min: f64,
    /// Its maximum.
    pub max: f64,
    /// The rise of the fitted line from start to end, as a share of the mean.
    pub rise: f64,
}

impl Samples {
    /// Reads a file with one line of JSON for each sample.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or has fewer than six samples.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let samples: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
        let samples = samples.with_context(|| format!("{} is not JSON", path.display()))?;
        ensure!(samples.len() >= 6, "{} has too few samples", path.display());
        Ok(Self(samples))
    }

    /// Returns a figure over time.
    pub fn series(&self, name: &str) -> Series {
        let points = self.0.iter().filter_map(|sample| {
            let minutes = sample.get("ms")?.as_f64()? / 60_000.0;
            Some((minutes, sample.get(name)?.as_f64()?))
        });
        Series {
            points: points.collect(),
        }
    }

    /// Returns the growth of a counter over time, per second.
    pub fn rate(&self, name: &str) -> Series {
        let series = self.series(name).points;
        let steps = series.iter().zip(series.iter().skip(1));
        let points = steps.map(|((from, before), (to, after))| {
            let secs = ((to - from) * 60.0).max(f64::MIN_POSITIVE);
            (*to, (after - before).max(0.0) / secs)
        });
        Series {
            points: points.collect(),
        }
    }
}

impl Series {
    /// Multiplies every value.
    pub fn times(mut self, factor: f64) -> Self {
        for (_, value) in &mut self.points {
            *value *= factor;
        }
        self
    }

    /// Returns the last value.
    pub fn last(&self) -> f64 {
        self.points.last().map_or(0.0, |(_, value)| *value)
    }

    /// Returns the statistics of the last two thirds, if there are samples in them.
    pub fn steadiness(&self) -> Option<Steadiness> {
        let (begin, end) = (self.points.first()?.0, self.points.last()?.0);
        let from = begin + (end - begin) / 3.0;
        let late: Vec<(f64, f64)> = (self.points.iter().copied())
            .filter(|(minutes, _)| *minutes >= from)
            .collect();
        let count = late.iter().map(|_| 1.0).sum::<f64>();
        let mean = late.iter().map(|(_, value)| value).sum::<f64>() / count;
        let centre = late.iter().map(|(minutes, _)| minutes).sum::<f64>() / count;
        let spread: f64 = late.iter().map(|(x, _)| (x - centre).powi(2)).sum();
        let slope: f64 = late
            .iter()
            .map(|(x, y)| (x - centre) * (y - mean))
            .sum::<f64>()
            / spread;
        let values = || late.iter().map(|(_, value)| *value);
        Some(Steadiness {
            mean,
            min: values().fold(f64::INFINITY, f64::min),
            max: values().fold(f64::NEG_INFINITY, f64::max),
            rise: slope * (end - from) / mean,
        })
    }
}

impl Steadiness {
    /// Returns whether the figure is flat. A falling one is.
    pub fn is_flat(&self) -> bool {
        self.rise <= RISE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::Series;

    #[test]
    fn a_leak_is_not_flat_and_noise_is() {
        check(|minute| 100.0 + minute, false);
        check(|minute| 100.0 + 0.05 * minute, true);
        check(|minute| if minute < 15.0 { minute } else { 100.0 }, true);
        check(|minute| 100.0 + 20.0 * (minute % 3.0), true);
        check(|minute| 100.0 + 20.0 * (minute % 3.0) + minute, false);
    }

    #[track_caller]
    fn check(value: impl Fn(f64) -> f64, flat: bool) {
        let minutes = (0..60).map(f64::from);
        let series = Series {
            points: minutes.map(|minute| (minute, value(minute))).collect(),
        };
        assert_eq!(series.steadiness().unwrap().is_flat(), flat);
    }
}
