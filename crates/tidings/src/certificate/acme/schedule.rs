//! When to order: before the certificate expires, and after a failed attempt later and later.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use instant_acme::SuggestedWindow;
use rustls::sign::CertifiedKey;

use super::Challenge;
use super::order::OrderError;
use crate::certificate::pair::{self, Validity};

/// The part of its life after which a certificate is renewed. The rest is time to find out why a renewal fails.
/// A range, so that hubs which were started together do not ask together.
const RENEW_AFTER: std::ops::Range<f64> = 0.64..0.69;
/// Wait after the first failure, if the authority could not be asked, or has a fault.
const PASSING_WAIT: Duration = Duration::from_secs(5);
/// Wait after the first failure, if the authority refused. Authorities allow a handful of failures in an hour.
const REFUSED_WAIT: Duration = Duration::from_mins(10);
/// The longest wait, unless the authority asks for more.
const WAIT_MAX: Duration = Duration::from_hours(6);
/// Doublings after which the longest wait is reached in any case.
const DOUBLINGS_MAX: u32 = 16;
/// The shortest and the longest time between two questions when to renew; RFC 9773, 4.3.
const ASK_MIN: Duration = Duration::from_mins(1);
const ASK_MAX: Duration = Duration::from_hours(24);
/// The time until the next question if the authority did not say.
const ASK_AGAIN: Duration = Duration::from_hours(6);

/// When a certificate is renewed.
#[derive(Debug)]
pub(super) struct Renewal {
    at: SystemTime,
    /// The authority's suggestion that `at` was chosen from.
    window: Option<(SystemTime, SystemTime)>,
    ask_at: SystemTime,
}

impl Renewal {
    /// Renews at once.
    pub(super) fn now() -> Self {
        let now = SystemTime::now();
        Self {
            at: now,
            window: None,
            ask_at: now + ASK_MAX,
        }
    }

    /// Renews after a part of the certificate's life, unless the authority suggests another time.
    pub(super) fn of(current: &CertifiedKey) -> Self {
        let at = pair::validity(current).map_or(UNIX_EPOCH, |validity| {
            point_of(
                validity,
                RENEW_AFTER.start,
                RENEW_AFTER.end,
                fastrand::f64(),
            )
        });
        Self {
            at,
            window: None,
            ask_at: SystemTime::now(),
        }
    }

    pub(super) fn due(&self) -> SystemTime {
        self.at
    }

    /// Returns when the authority should be asked.
    pub(super) fn ask_at(&self) -> SystemTime {
        self.ask_at
    }

    /// Returns whether the authority said when.
    pub(super) fn is_by_authority(&self) -> bool {
        self.window.is_some()
    }

    /// Takes over the authority's suggestion: a random point of its window, kept while the window stays.
    pub(super) fn heed(&mut self, window: &SuggestedWindow, ask_again: Duration) {
        let (start, end) = (SystemTime::from(window.start), SystemTime::from(window.end));
        if self.window != Some((start, end)) {
            let length = end.duration_since(start).unwrap_or_default();
            self.at = start + length.mul_f64(fastrand::f64());
            self.window = Some((start, end));
            tracing::info!(
                at = secs(self.at),
                "the authority suggests when to renew the certificate"
            );
        }
        self.ask_at = SystemTime::now() + ask_again.clamp(ASK_MIN, ASK_MAX);
    }

    /// Asks again after a while, and leaves the time as it is.
    pub(super) fn ask_later(&mut self) {
        self.ask_at = SystemTime::now() + ASK_AGAIN;
    }
}

/// Returns a point of a certificate's life; `dice` is between 0 and 1.
fn point_of(validity: Validity, from: f64, to: f64, dice: f64) -> SystemTime {
    let since_epoch =
        |secs: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(secs).unwrap_or(0));
    let begin = since_epoch(validity.not_before);
    let life = since_epoch(validity.not_after)
        .duration_since(begin)
        .unwrap_or_default();
    begin + life.mul_f64(from + (to - from) * dice)
}

/// Returns a time as seconds since the Unix epoch.
pub(super) fn secs(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The failures since the last success.
#[derive(Debug)]
pub(super) struct Attempts {
    /// Failures in a row, each counted once for all ways to prove a name.
    failures: u32,
    /// The way that comes next, by its number.
    way: usize,
    /// Ways that have failed since the last wait.
    ways_failed: usize,
    due: SystemTime,
    /// The authority said when to come again.
    imposed: bool,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            failures: 0,
            way: 0,
            ways_failed: 0,
            due: UNIX_EPOCH,
            imposed: false,
        }
    }
}

impl Attempts {
    /// Returns the earliest time of the next attempt.
    pub(super) fn due(&self) -> SystemTime {
        self.due
    }

    /// Returns the way to prove names in the next attempt.
    pub(super) fn challenge(&self, ways: &[Challenge]) -> Challenge {
        let way = ways.get(self.way % ways.len().max(1));
        way.copied().unwrap_or(Challenge::TlsAlpn01)
    }

    /// Tries again at once, unless the authority said when.
    pub(super) fn hurry(&mut self) {
        if !self.imposed {
            self.due = UNIX_EPOCH;
        }
    }

    /// Forgets the failures. The way that succeeded stays the first one.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.ways_failed = 0;
        self.due = UNIX_EPOCH;
        self.imposed = false;
    }

    /// Notes a failure, and returns when to try again: at once by the next way to prove names, if there is one;
    /// else when the authority says, or after a wait that doubles.
    pub(super) fn failed(
        &mut self,
        error: &OrderError,
        retry_after: Option<Duration>,
        ways: &[Challenge],
    ) -> SystemTime {
        if error.is_about_challenge() {
            self.way = (self.way + 1) % ways.len().max(1);
            self.ways_failed += 1;
        }
        let another_way = error.is_about_challenge() && self.ways_failed < ways.len();
        self.imposed = retry_after.is_some();
        let wait = match retry_after {
            Some(wait) => wait,
            None if another_way => Duration::ZERO,
            None => {
                let first = if error.is_passing() {
                    PASSING_WAIT
                } else {
                    REFUSED_WAIT
                };
                let wait = wait_after(first, self.failures, fastrand::f64());
                self.failures = self.failures.saturating_add(1);
                self.ways_failed = 0;
                wait
            }
        };
        self.due = SystemTime::now() + wait;
        self.due
    }
}

/// Returns a wait that doubles with each failure; `dice` is between 0 and 1 and takes up to a quarter away.
fn wait_after(first: Duration, failures: u32, dice: f64) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(failures.min(DOUBLINGS_MAX)));
    doubled.min(WAIT_MAX).mul_f64(1.0 - dice / 4.0)
}

#[cfg(test)]
mod tests;
