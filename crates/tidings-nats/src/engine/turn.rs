//! Turns: a hub that has just appended lets others go first, if others append too.
//!
//! Whoever appended last knows the end of the line already, and everybody else must ask for it: without
//! a pause the same hub would be the fastest each time.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tidings_core::Position;
use tokio::time::sleep;

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// When the next turn of this hub comes.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// What this hub appended last.
    own: Cell<Position>,
    comes_at: Cell<Option<Instant>>,
}

impl Turn {
    /// Waits for it.
    pub(super) async fn come(&self) {
        let rest = self
            .comes_at
            .take()
            .map(|at| at.saturating_duration_since(Instant::now()));
        if let Some(rest) = rest.filter(|rest| !rest.is_zero()) {
            sleep(rest).await;
        }
    }

    /// A batch was taken after `before`, in so much time: that is what another needs.
    pub(super) fn on_taken(&self, before: Position, last: Position, took: Duration) {
        let others = self.own.replace(last) != before;
        self.comes_at
            .set(others.then(|| Instant::now() + took.min(PAUSE_MAX)));
    }
}
