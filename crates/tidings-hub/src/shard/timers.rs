//! Coarse timers for thousands of sessions: one entry per session in buckets of a quarter of a second,
//! instead of one timer each. It knows no session; it returns the ids that are due.

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_core::hub::SubscriberId;
use tokio::time::Instant;

/// Length of a bucket.
pub(crate) const TICK: Duration = Duration::from_millis(250);

/// Time since the shard started, in buckets. Wraps after 34 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u32);

impl Tick {
    /// Returns the bucket that `elapsed` since the start falls into.
    pub(crate) fn at(elapsed: Duration) -> Self {
        Self(u32::try_from(elapsed.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX))
    }

    /// Returns the bucket of `now` on a shard that started at `started`.
    pub(crate) fn of(started: Instant, now: Instant) -> Self {
        Self::at(now.saturating_duration_since(started))
    }

    /// Returns the bucket `duration` later.
    pub(crate) fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(Self::at(duration).0))
    }

    /// Returns the time from `earlier` to this bucket.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        TICK * self.0.saturating_sub(earlier.0)
    }

    /// Returns the bucket before this one.
    pub(crate) fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// Which sessions are due when.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeMap<Tick, Vec<SubscriberId>>,
}

impl Timers {
    /// Makes `subscriber` due in bucket `tick`.
    pub(crate) fn add(&mut self, tick: Tick, subscriber: SubscriberId) {
        self.due.entry(tick).or_default().push(subscriber);
    }

    /// Returns the subscribers of one bucket that is due at `now`, the oldest bucket first. None if no bucket
    /// is due.
    pub(crate) fn pop_due(&mut self, now: Tick) -> Option<Vec<SubscriberId>> {
        let entry = self.due.first_entry()?;
        (*entry.key() <= now).then(|| entry.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscriber(slot: u32) -> SubscriberId {
        SubscriberId {
            slot,
            generation: 1,
        }
    }

    #[test]
    fn buckets_come_due_in_order_and_once() {
        let mut timers = Timers::default();
        let start = Tick::at(Duration::ZERO);
        timers.add(start.after(Duration::from_secs(2)), subscriber(2));
        timers.add(start.after(Duration::from_secs(1)), subscriber(1));
        assert_eq!(timers.pop_due(start), None);
        let later = start.after(Duration::from_secs(3));
        assert_eq!(timers.pop_due(later), Some(vec![subscriber(1)]));
        assert_eq!(timers.pop_due(later), Some(vec![subscriber(2)]));
        assert_eq!(timers.pop_due(later), None);
    }
}
