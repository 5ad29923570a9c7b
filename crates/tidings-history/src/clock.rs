//! The history's own time: updates are stamped by it, and grow old by it. No clock is read in here.
//!
//! The machine's clock may be set: by somebody's mistake, by a time server that was away, at a start
//! without a battery. The history takes the time from it once, and then counts what passes. Where
//! nothing could be counted, over a stop of the hub, the machine's clock is believed within a bound.

use std::time::Duration;

use crate::sabotage::{Rule, skips};
use crate::storage::Extent;

/// What the machine's two clocks show at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Milliseconds since the Unix epoch, as far as the machine knows.
    pub wall_ms: u64,
    /// The time since some fixed moment of this process. Nobody can set it.
    pub steady: Duration,
}

/// Returns what the machine's clocks show now.
pub type Clock = Box<dyn Fn() -> Reading + Send>;

/// Where the history's time stood beside the machine's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockNote {
    /// The history's own time, in milliseconds since the Unix epoch.
    pub own_ms: u64,
    /// What the machine's clock showed then.
    pub wall_ms: u64,
}

/// The history's own time. It never goes back.
pub(crate) struct OwnClock {
    /// Where the time goes on from: what was noted, or the newest update.
    from: ClockNote,
    /// The most that a stop of the hub counts for. `None` if no update could end by it.
    stop_max_ms: Option<u64>,
    /// What both showed at the first reading.
    begun: Option<(u64, Duration)>,
    /// What both showed at the last.
    now: ClockNote,
    /// What the storage keeps.
    noted: Option<ClockNote>,
    steps: u64,
}

impl OwnClock {
    /// Goes on from what a storage kept: its extent and its note.
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
        // With nothing kept, there is nothing that a wrong clock could end.
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

    /// Takes the time from the machine's clock, once.
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

    /// Returns how often the machine's clock was not believed.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// Returns what the storage is to keep, if it is time for it.
    pub(crate) fn due(&self) -> Option<ClockNote> {
        let is_due = self.noted.is_none_or(|noted| {
            let moved_ms = self.now.lead_ms().saturating_sub(noted.lead_ms());
            moved_ms.unsigned_abs() >= STEP_MIN_MS
                || self.now.own_ms.saturating_sub(noted.own_ms) >= NOTE_EVERY_MS
        });
        is_due.then_some(self.now)
    }

    /// Returns what the storage is to keep at the end, if the clock was ever read.
    pub(crate) fn last(&self) -> Option<ClockNote> {
        self.begun.map(|_| self.now)
    }

    /// Notes that the storage keeps `note`.
    pub(crate) fn on_noted(&mut self, note: ClockNote) {
        self.noted = Some(note);
    }
}

impl ClockNote {
    /// Returns the note of a moment at which both showed the same.
    fn agreeing(ms: u64) -> Self {
        Self {
            own_ms: ms,
            wall_ms: ms,
        }
    }

    /// Returns how far the machine's clock leads.
    fn lead_ms(self) -> i64 {
        self.wall_ms
            .cast_signed()
            .saturating_sub(self.own_ms.cast_signed())
    }

    /// Returns the note at another moment, with the same distance.
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

/// A stop of the hub counts for this part of the age limit at most.
const STOP_PART: u64 = 4;

/// Steps of the machine's clock below this are the corrections of every day: a minute.
const STEP_MIN_MS: u64 = 60_000;

/// How often the time is noted at least: hourly.
const NOTE_EVERY_MS: u64 = 3_600_000;
