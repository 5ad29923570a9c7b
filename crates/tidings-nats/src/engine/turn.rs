//! Turns: a hub that has just appended lets others go first, if others append too.
//!
//! Whoever appended last knows the end of the line already, and everybody else must ask for it: without
//! a pause the same hub would be the fastest each time. Who wins each time sees nobody else, so it
//! pauses now and then in any case.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tidings_core::Position;
use tokio::time::sleep;

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(50);
/// Appends without a pause, each right after the other: of them a pause of two takes a sixteenth.
const RUN_MAX: u32 = 32;
/// A hub that appends nothing for so long has left room for others.
const ROOM: Duration = Duration::from_millis(20);

/// When the next turn of this hub comes.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// What this hub appended last, and when.
    own: Cell<Position>,
    own_at: Cell<Option<Instant>>,
    /// Appends since it left room for others.
    run: Cell<u32>,
    comes_at: Cell<Option<Instant>>,
}

impl Turn {
    /// Waits for it.
    pub(super) async fn come(&self) {
        let left_room = self.own_at.get().is_none_or(|at| at.elapsed() > ROOM);
        if left_room {
            self.run.set(0);
        }
        let at = self.comes_at.take();
        let rest = at.map(|at| at.saturating_duration_since(Instant::now()));
        if let Some(rest) = rest.filter(|rest| !rest.is_zero()) {
            sleep(rest).await;
        }
    }

    /// A batch was taken after `before`, in so much time. Another hub needs as much to learn that its
    /// own was not, and as much again.
    pub(super) fn on_taken(&self, before: Position, last: Position, took: Duration) {
        let now = Instant::now();
        let others = self.own.replace(last) != before;
        self.own_at.set(Some(now));
        self.run.set(self.run.get() + 1);
        if others || self.run.get() >= RUN_MAX {
            self.run.set(0);
            self.comes_at.set(Some(now + (took * 2).min(PAUSE_MAX)));
        }
    }
}
