//! The history's own time, used for timestamps and for the age of updates. This file reads no
//! clock.
//!
//! The machine's clock may be set: by mistake, by a time server that was unreachable, at a start
//! without a battery. The history reads it once and then counts elapsed time. While the hub is
//! stopped nothing is counted; for that time the machine's clock is trusted within a bound.

use std::time::Duration;

use crate::sabotage::{Rule, skips};
use crate::storage::Extent;

/// A reading of the machine's two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Milliseconds since the Unix epoch, by the machine's clock.
    pub wall_ms: u64,
    /// Monotonic time since a fixed moment of this process.
    pub steady: Duration,
}

/// Reads the machine's clocks.
pub type Clock = Box<dyn Fn() -> Reading + Send>;

/// A stored pair of history time and machine time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockNote {
    /// The history's own time, in milliseconds since the Unix epoch.
    pub own_ms: u64,
    /// The machine's clock at that moment.
    pub wall_ms: u64,
}

/// The history's own time. It never goes back.
pub(crate) struct OwnClock {
    /// The starting point: the stored note, or the newest update.
    from: ClockNote,
    /// Maximum time that a stop of the hub counts for. `None` if it cannot expire any update.
    stop_max_ms: Option<u64>,
    /// The first reading of both clocks.
    begun: Option<(u64, Duration)>,
    /// The last reading of both clocks.
    now: ClockNote,
    /// The note in the storage.
    noted: Option<ClockNote>,
    steps: u64,
}

impl OwnClock {
    /// Continues from the extent and the note in a storage.
    pub(crate) fn new(
        extent: &Extent,
        noted: Option<ClockNote>,
        age_max: Option<Duration>,
    ) -> Self {
        let newest_ms = extent.last_mark.published_ms;
        let from = match noted {
            Some(noted) => noted.at_own(noted.own_ms.max(newest_ms)),
            None => ClockNote::agreeing(newest_ms),
        };
        // If nothing is stored, a wrong clock cannot expire anything.
        let keeps = extent.last > extent.trimmed_through;
        let stop_max_ms = age_max
            .filter(|_| keeps)
            .map(|age_max| millis(age_max) / STOP_PART);
        Self {
            from,
            stop_max_ms,
            begun: None,
            now: from,
            noted,
            steps: 0,
        }
    }

    /// Returns the history's time, in milliseconds since the Unix epoch.
    pub(crate) fn read(&mut self, reading: Reading) -> u64 {
        let Reading { wall_ms, steady } = reading;
        let (begun_ms, begun) = match self.begun {
            Some(begun) => begun,
            None => self.begin(reading),
        };
        let passed_ms = millis(steady.saturating_sub(begun));
        let mut own_ms = begun_ms.saturating_add(passed_ms).max(self.now.own_ms);
        if skips(Rule::OwnClock) {
            own_ms = wall_ms.max(self.now.own_ms);
        }
        let now = ClockNote { own_ms, wall_ms };
        let step_ms = now.lead_ms().saturating_sub(self.now.lead_ms());
        if step_ms.unsigned_abs() >= STEP_MIN_MS {
            self.steps += 1;
            tracing::warn!(
                seconds = step_ms / 1000,
                "the machine's clock was set while the hub ran, or the machine slept: updates grow \
                 old by the time that passes, so none ends sooner or later"
            );
        }
        self.now = now;
        own_ms
    }

    /// Initializes the time from the machine's clock, once.
    fn begin(&mut self, reading: Reading) -> (u64, Duration) {
        let wall_ms = reading.wall_ms;
        let stopped_ms = wall_ms.saturating_sub(self.from.wall_ms);
        let counted_ms = stopped_ms.min(self.stop_max_ms.unwrap_or(u64::MAX));
        let own_ms = match self.stop_max_ms {
            Some(_) => self.from.own_ms.saturating_add(counted_ms),
            None => self.from.own_ms.max(wall_ms),
        };
        if stopped_ms - counted_ms >= STEP_MIN_MS {
            self.steps += 1;
            tracing::warn!(
                seconds = stopped_ms / 1000,
                counted = counted_ms / 1000,
                "the machine's clock went on while the hub was stopped, by more than is believed: \
                 only a part counts for the age of updates, and they stay for longer"
            );
        }
        let behind_ms = self.from.wall_ms.saturating_sub(wall_ms);
        if behind_ms >= STEP_MIN_MS {
            self.steps += 1;
            tracing::warn!(
                seconds = behind_ms / 1000,
                "the machine's clock shows an earlier time than when the hub ran last: updates grow \
                 old from there on by the time that passes"
            );
        }
        self.now = ClockNote { own_ms, wall_ms };
        *self.begun.insert((own_ms, reading.steady))
    }

    /// Returns how often the machine's clock was not trusted.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// Returns the note to store, if it is due.
    pub(crate) fn due(&self) -> Option<ClockNote> {
        let is_due = self.noted.is_none_or(|noted| {
            let moved_ms = self.now.lead_ms().saturating_sub(noted.lead_ms());
            moved_ms.unsigned_abs() >= STEP_MIN_MS
                || self.now.own_ms.saturating_sub(noted.own_ms) >= NOTE_EVERY_MS
        });
        is_due.then_some(self.now)
    }

    /// Returns the note to store at shutdown, if the clock was ever read.
    pub(crate) fn last(&self) -> Option<ClockNote> {
        self.begun.map(|_| self.now)
    }

    /// Records that `note` is stored.
    pub(crate) fn on_noted(&mut self, note: ClockNote) {
        self.noted = Some(note);
    }
}

impl ClockNote {
    /// Returns the note of a moment at which both clocks agreed.
    fn agreeing(ms: u64) -> Self {
        Self {
            own_ms: ms,
            wall_ms: ms,
        }
    }

    /// Returns how far the machine's clock is ahead.
    fn lead_ms(self) -> i64 {
        self.wall_ms
            .cast_signed()
            .saturating_sub(self.own_ms.cast_signed())
    }

    /// Returns the note at another moment, with the same offset.
    fn at_own(self, own_ms: u64) -> Self {
        Self {
            own_ms,
            wall_ms: own_ms.saturating_add_signed(self.lead_ms()),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A stop of the hub counts for at most this fraction of the age limit.
const STOP_PART: u64 = 4;

/// Smaller steps of the machine's clock are ordinary corrections: a minute.
const STEP_MIN_MS: u64 = 60_000;

/// Maximum time between two notes: an hour.
const NOTE_EVERY_MS: u64 = 3_600_000;
