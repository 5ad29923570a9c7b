//! How far a session has come: its phase, and which of its updates it has received.
//!
//! ```text
//!           on_joined          go_live         fall_behind, read_again_after
//! Joining ────────────▶ Behind ───────▶ Live ────────────────────────────────▶ Behind
//!    └────────────────────┴───────────────┴────── close ──────▶ Closing, for good
//! ```
//!
//! [`Progress`] decides and does nothing else: it knows no clock, socket or history. Callers pass in what it
//! needs and act on what it returns. It has four kinds of methods:
//!
//! - questions: `phase`, `position`, `had_through`, `is_up_to_date`, `reached`, `scope`, `added_scope`
//! - what the shard tells it: `on_joined`, `on_update`, `take_runs`, `fall_behind`, `read_again_after`,
//!   `add_matchers`, `close`
//! - what the session's task tells it while it reads on: `begin`, `begin_added`, `reads_after`, `excused`, `on_trimmed`,
//!   `on_sent`, `on_read`, `go_live`
//! - the rest of an event that the socket took only in part, and whether the peer is to be told that it lagged:
//!   `keep_tail`, `take_tail`, `set_lagging`, `take_lagging`

use bytes::Bytes;
use smallvec::SmallVec;
use tidings_core::position::Position;
use tidings_history::sabotage::{Rule, skips};

use super::{Ending, Start};

/// Runs that are noted for one session in one sweep. A session with more reads on in slices instead.
pub(crate) const RUNS_PER_SESSION_MAX: usize = 1024;

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The router has not answered yet. Its answer says where the session's updates begin.
    Joining,
    /// Its own task reads on after its position. The sweep skips it.
    Behind,
    /// The sweep writes to it.
    Live,
    /// Its task closes it.
    Closing(Ending),
}

/// What the history retains, as far as it decides where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Everything that is retained comes after this position.
    pub(crate) before_oldest: Position,
    /// Presence events up to here may have been removed.
    pub(crate) presence_trimmed: Position,
}

/// Which matchers count for an update: those from `had` to `until` select it, unless one of the first `had`
/// selected it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) had: usize,
    pub(crate) until: usize,
}

/// One session's phase and position. The module explains its methods.
#[derive(Debug)]
pub struct Progress {
    phase: Phase,
    /// While it is behind: everything up to here was sent, or was not for it.
    next: Position,
    /// Whether it asked for everything that is retained and has read nothing yet. Until then it misses nothing
    /// that retention removes.
    from_oldest: bool,
    /// Whether it was told that presence events are gone and has read nothing yet. Until then it misses none
    /// that are removed.
    told_of_gap: bool,
    /// Presence events up to here may be gone without being missed: the peer was told, or asked for what is
    /// retained.
    excused: Position,
    /// The rest of an event that the socket took only in part.
    tail: Bytes,
    /// Whether it fell behind while it was live and the peer has not been told yet.
    lagging: bool,
    /// Runs of the current sweep that are for it. Only while it is live.
    runs: SmallVec<[u32; 4]>,
    /// Added matchers that have not caught up yet.
    added: Option<Added>,
}

/// How added matchers get what the earlier ones have received.
#[derive(Clone, Copy, Debug)]
struct Added {
    /// How many matchers there were before.
    earlier: usize,
    reach: Reach,
}

#[derive(Clone, Copy, Debug)]
enum Reach {
    /// They begin here, once everything read before is sent. Until then they do not count.
    From(Start),
    /// The earlier matchers have received everything up to here.
    Through(Position),
}

/// Questions.
impl Progress {
    /// Makes the progress of a session that is joining.
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Joining,
            next: Position::ZERO,
            from_oldest: false,
            told_of_gap: false,
            excused: Position::ZERO,
            tail: Bytes::new(),
            lagging: false,
            runs: SmallVec::new(),
            added: None,
        }
    }

    /// Returns the phase.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Returns the position after which it reads on. For a live session, that is where it went live.
    pub(crate) fn position(&self) -> Position {
        self.next
    }

    /// Returns the position up to which it has received everything. For a live session, whose shard has seen
    /// everything up to `last`, in a sweep that began after `base`.
    pub(crate) fn had_through(&self, last: Position, base: Position) -> Position {
        let through = if self.runs.is_empty() { last } else { base };
        through.max(self.next)
    }

    /// Returns whether everything that its shard has seen was sent, or was not for it.
    pub(crate) fn is_up_to_date(&self) -> bool {
        self.phase == Phase::Live && self.runs.is_empty()
    }

    /// Returns the position up to which nothing more is for it, if its shard has seen everything up to `last`.
    /// None if it asked for everything that is retained and has not begun to read it.
    pub fn reached(&self, last: Position) -> Option<Position> {
        if self.from_oldest {
            None
        } else if self.is_up_to_date() {
            // Its cursor may come from another shard, which had seen more.
            Some(self.next.max(last))
        } else {
            Some(self.next)
        }
    }

    /// Returns which of its `matchers` count for the update at `position`.
    pub(crate) fn scope(&self, position: Position, matchers: usize) -> Scope {
        let all = Scope {
            had: 0,
            until: matchers,
        };
        match self.added {
            Some(Added {
                earlier,
                reach: Reach::From(_),
            }) => Scope {
                had: 0,
                until: earlier,
            },
            Some(Added {
                earlier,
                reach: Reach::Through(through),
            }) if position <= through => Scope {
                had: earlier,
                ..all
            },
            Some(_) | None => all,
        }
    }

    /// While added matchers catch up: returns how many earlier ones there are, and the position up to which
    /// these have received everything.
    pub(crate) fn added_scope(&self) -> Option<(usize, Position)> {
        match self.added? {
            Added {
                earlier,
                reach: Reach::Through(through),
            } => Some((earlier, through)),
            Added {
                reach: Reach::From(_),
                ..
            } => None,
        }
    }

    /// Returns whether added matchers are still catching up.
    pub(crate) fn is_adding(&self) -> bool {
        self.added.is_some()
    }

    /// Returns how many bytes of a partly sent event are left.
    pub(crate) fn tail_bytes(&self) -> usize {
        self.tail.len()
    }
}

/// What the shard tells it.
impl Progress {
    /// The router has interned its matchers. Updates after `at` follow.
    pub(crate) fn on_joined(&mut self, at: Position) {
        self.next = at;
        self.enter(Phase::Behind);
    }

    /// An update at `position` is for it, as part of `run` of a sweep that began after `base`. Returns
    /// whether that is the first run of the sweep for it.
    ///
    /// Only for a live session. The session falls behind if it resumed from a cursor that this shard had not
    /// seen yet, or if it has too many runs.
    pub(crate) fn on_update(&mut self, run: u32, position: Position, base: Position) -> bool {
        if self.next >= position && !skips(Rule::NothingTwice) {
            self.enter(Phase::Behind);
            return false;
        }
        let first = self.runs.is_empty();
        self.runs.push(run);
        if self.runs.len() > RUNS_PER_SESSION_MAX {
            // A sweep's notes must not grow with what waited in the inbox.
            self.read_again_after(base);
        }
        first
    }

    /// Takes the runs that are for it. Empty unless it is live.
    pub(crate) fn take_runs(&mut self) -> SmallVec<[u32; 4]> {
        let runs = std::mem::take(&mut self.runs);
        if self.phase == Phase::Live {
            runs
        } else {
            SmallVec::new()
        }
    }

    /// The socket took everything up to `next`, and of the event after it all but `tail`. Its task sends
    /// the tail and reads on after `next`. If it is `lagging`, the peer is told.
    pub(crate) fn fall_behind(&mut self, next: Position, tail: Bytes, lagging: bool) {
        self.next = next;
        // Its task reads the rest of the sweep again, so the sweep must not send it too.
        self.runs.clear();
        self.tail = tail;
        self.lagging = lagging;
        self.enter(Phase::Behind);
    }

    /// Its task reads what came after `base`. The sweep does not send it.
    pub(crate) fn read_again_after(&mut self, base: Position) {
        self.next = base.max(self.next);
        self.runs = SmallVec::new();
        self.enter(Phase::Behind);
    }

    /// Matchers were added to the `earlier` ones, and begin at `start`. A live session has received everything
    /// up to `through`, and reads on from there.
    pub(crate) fn add_matchers(&mut self, earlier: usize, start: Start, through: Position) {
        let reach = Reach::From(start);
        self.added = Some(Added { earlier, reach });
        if self.phase == Phase::Live {
            self.read_again_after(through);
        }
    }

    /// Closes it. The first reason counts.
    pub(crate) fn close(&mut self, ending: Ending) {
        self.enter(Phase::Closing(ending));
    }

    fn enter(&mut self, phase: Phase) {
        if !matches!(self.phase, Phase::Closing(_)) {
            self.phase = phase;
        }
    }
}

/// What the session's task tells it while it reads on.
impl Progress {
    /// It has joined, and begins at `start`.
    pub(crate) fn begin(&mut self, start: Start, kept: Kept) {
        match start {
            Start::Now => {}
            Start::After(position) => self.next = position,
            Start::AfterGap(position) => {
                self.next = position;
                self.excused = kept.presence_trimmed;
                self.told_of_gap = true;
            }
            Start::Oldest => {
                // Everything after the join is for it, even if nothing is retained.
                self.next = kept.before_oldest.min(self.next);
                self.from_oldest = true;
            }
        }
    }

    /// Lets added matchers begin at their start. To be called when everything read before is sent.
    pub(crate) fn begin_added(&mut self, kept: Kept) {
        let Some(Added {
            earlier,
            reach: Reach::From(start),
        }) = self.added
        else {
            return;
        };
        let through = self.next;
        let reach = Reach::Through(through);
        self.added = Some(Added { earlier, reach });
        self.begin(start, kept);
        self.next = self.next.min(through);
        self.end_added();
    }

    /// Returns the position after which it reads on. Presence events up to `presence_trimmed` may be gone. It
    /// does not miss those that were removed before its first read; it was promised those that are removed
    /// later.
    pub(crate) fn reads_after(&mut self, presence_trimmed: Position) -> Position {
        if self.from_oldest || self.told_of_gap {
            self.excused = presence_trimmed;
        }
        self.next
    }

    /// A page has come. Returns the position up to which presence events may be gone without being missed.
    /// Those that were removed while the page was read count as removed before it, so `presence_trimmed` is the
    /// present one.
    pub(crate) fn excused(&mut self, presence_trimmed: Position) -> Position {
        self.reads_after(presence_trimmed).max(self.excused)
    }

    /// The next updates are no longer retained. Returns whether it reads again: if it asked for the oldest
    /// update, another one is the oldest by now.
    pub(crate) fn on_trimmed(&mut self, before_oldest: Position) -> bool {
        if self.from_oldest {
            self.next = before_oldest;
        }
        self.from_oldest
    }

    /// Something was read, and is sent next.
    pub(crate) fn on_found(&mut self) {
        self.from_oldest = false;
        self.told_of_gap = false;
    }

    /// Everything up to `through` was sent, or was not for it.
    pub(crate) fn on_sent(&mut self, through: Position) {
        self.next = through.max(self.next);
        self.end_added();
    }

    /// There is nothing more to read. The sweep takes over.
    pub(crate) fn go_live(&mut self) {
        self.from_oldest = false;
        self.told_of_gap = false;
        self.enter(Phase::Live);
    }

    fn end_added(&mut self) {
        if let Some(Added {
            reach: Reach::Through(through),
            ..
        }) = self.added
            && self.next >= through
        {
            self.added = None;
        }
    }

    /// Keeps the rest of an event. The peer may have a part of it, so nothing else may follow.
    pub(crate) fn keep_tail(&mut self, tail: Bytes) {
        self.tail = tail;
    }

    /// Takes the rest of a partly sent event.
    pub(crate) fn take_tail(&mut self) -> Bytes {
        std::mem::take(&mut self.tail)
    }

    /// The peer is slow and is to be told.
    pub(crate) fn set_lagging(&mut self) {
        self.lagging = true;
    }

    /// Returns whether the peer is still to be told that it lagged. The mark is cleared.
    pub(crate) fn take_lagging(&mut self) -> bool {
        std::mem::take(&mut self.lagging)
    }
}

#[cfg(test)]
mod tests;
