//! How much a peer may send in a second: frames, and work that few bytes can cause.

use std::time::Duration;

use super::Duplex;
use crate::shard::timers::Tick;

/// Bytes that a peer's compressed messages may inflate to in a second. A faster peer is not read from until
/// the second is over. A few bytes may be a megabyte of work.
pub const INFLATED_BYTES_PER_SECOND_MAX: usize = 8 * 1024 * 1024;
/// Inflated bytes that the compiling of one URL pattern counts as: a peer may ask for a hundred new ones in
/// each frame.
const PATTERN_BYTES: usize = 64 * 1024;

/// What one peer did in the current second.
#[derive(Debug)]
pub(super) struct Rates {
    /// Frames in a second; 0 for any number.
    frames_max: u32,
    /// Inflated bytes in a second.
    inflated_max: usize,
    frames: Counted,
    inflated: Counted,
}

impl Rates {
    pub(super) fn new(frames_max: u32, inflated_max: usize, now: Tick) -> Self {
        Self {
            frames_max,
            inflated_max,
            frames: Counted::new(now),
            inflated: Counted::new(now),
        }
    }
}

/// A sum that restarts after each second.
#[derive(Debug)]
struct Counted {
    since: Tick,
    sum: usize,
}

impl Counted {
    fn new(now: Tick) -> Self {
        Self { since: now, sum: 0 }
    }

    /// Adds `more` and returns the sum of the current second.
    fn add(&mut self, more: usize, now: Tick) -> usize {
        if self.since.after(Duration::from_secs(1)) <= now {
            *self = Self::new(now);
        }
        self.sum = self.sum.saturating_add(more);
        self.sum
    }
}

impl Duplex {
    /// Counts a frame. Returns whether there were too many in this second.
    pub(crate) fn is_flooding(&self, now: Tick) -> bool {
        let mut rates = self.rates.borrow_mut();
        let max = usize::try_from(rates.frames_max).unwrap_or(usize::MAX);
        let count = rates.frames.add(1, now);
        max > 0 && count > max
    }

    /// Counts URL patterns that the peer asked for, as part of the current second.
    pub(crate) fn on_patterns(&self, count: usize) {
        let inflated = &mut self.rates.borrow_mut().inflated;
        let cost = count.saturating_mul(PATTERN_BYTES);
        inflated.sum = inflated.sum.saturating_add(cost);
    }

    /// Returns whether the peer caused so much work in this second that it has to wait.
    pub(crate) fn is_too_busy(&self, now: Tick) -> bool {
        let fresh = self.received.borrow_mut().take_inflated();
        let mut rates = self.rates.borrow_mut();
        rates.inflated.add(fresh, now) > rates.inflated_max
    }
}
