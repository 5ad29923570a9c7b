//! Those who wait until the history has what the engine had when they asked.
//!
//! Another hub may have shown a subscriber an update that this hub has not stored yet. Where the
//! engine's line ends is asked once for all who came before the question.

use std::fmt;
use std::time::Duration;

use tidings_core::Position;

use crate::CaughtUp;

/// How many may wait.
pub const CATCH_UPS_MAX: usize = 65_536;

/// Somebody who waits.
pub struct CatchUp(pub CaughtUp);

/// All of them.
#[derive(Default)]
pub(super) struct CatchUps {
    /// They came after the question that is on its way, if one is.
    new: Vec<Waiting>,
    /// They wait for its answer.
    asked: Vec<Waiting>,
    /// They wait for a position.
    known: Vec<(Position, Waiting)>,
}

struct Waiting {
    due: Duration,
    done: CatchUp,
}

impl CatchUps {
    /// Adds somebody who waits until `due`.
    pub(super) fn push(&mut self, done: CatchUp, due: Duration) {
        let waiting = self.new.len() + self.asked.len() + self.known.len();
        if waiting >= CATCH_UPS_MAX {
            return done.answer(false);
        }
        self.new.push(Waiting { due, done });
    }

    /// Returns whether somebody waits for a question.
    pub(super) fn want_question(&self) -> bool {
        !self.new.is_empty()
    }

    /// Takes note that the engine is asked where its line ends.
    pub(super) fn on_asked(&mut self) {
        self.asked.append(&mut self.new);
    }

    /// Takes note of the answer.
    pub(super) fn on_line(&mut self, last: Position) {
        self.known
            .extend(self.asked.drain(..).map(|waiting| (last, waiting)));
    }

    /// Takes note that there is no answer: the question is asked again.
    pub(super) fn on_reset(&mut self) {
        self.new.append(&mut self.asked);
    }

    /// Answers those whose position is stored.
    pub(super) fn answer(&mut self, last: Position) {
        for (_, waiting) in self.known.extract_if(.., |(wanted, _)| *wanted <= last) {
            waiting.done.answer(true);
        }
    }

    /// Answers those who have waited for too long.
    pub(super) fn expire(&mut self, now: Duration) {
        let late = |waiting: &Waiting| waiting.due <= now;
        let new = self.new.extract_if(.., |waiting| late(waiting));
        let asked = self.asked.extract_if(.., |waiting| late(waiting));
        let known = self.known.extract_if(.., |(_, waiting)| late(waiting));
        let known = known.map(|(_, waiting)| waiting);
        for waiting in new.chain(asked).chain(known) {
            waiting.done.answer(false);
        }
    }

    /// Returns when the first one has waited for too long.
    pub(super) fn due(&self) -> Option<Duration> {
        let known = self.known.iter().map(|(_, waiting)| waiting);
        let all = self.new.iter().chain(&self.asked).chain(known);
        all.map(|waiting| waiting.due).min()
    }
}

impl CatchUp {
    /// Says whether the history has caught up.
    pub(crate) fn answer(self, caught_up: bool) {
        (self.0)(caught_up);
    }
}

impl fmt::Debug for CatchUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CatchUp")
    }
}
