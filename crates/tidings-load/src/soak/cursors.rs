//! Cursors that were seen during a run, for subscribers that resume from an older one.

use std::time::Duration;

use fastrand::Rng;

use crate::clock::nanos;

/// The most cursors that are kept.
const CURSORS_MAX: usize = 4096;
/// One in this many deliveries is offered as a cursor.
const EVERY: u32 = 64;

/// A place to resume from.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    pub(crate) id: String,
    pub(crate) topic: u32,
    /// The place in the topic's order.
    pub(crate) place: u32,
    /// When the update was due.
    pub(crate) due_ns: u64,
}

/// A sample of the cursors of a run.
#[derive(Debug)]
pub(crate) struct Cursors {
    list: Vec<Cursor>,
    seen: usize,
    age_max_ns: u64,
}

impl Cursors {
    /// Makes an empty sample. Cursors older than `age_max` are not returned.
    pub(crate) fn new(age_max: Option<Duration>) -> Self {
        Self {
            list: Vec::new(),
            seen: 0,
            age_max_ns: age_max.map_or(u64::MAX, nanos),
        }
    }

    /// Keeps some of the cursors that it is shown. If the hub retains everything, this is a uniform
    /// sample of all; otherwise it favours recent ones.
    pub(crate) fn show(&mut self, rng: &mut Rng, cursor: impl FnOnce() -> Cursor) {
        if rng.u32(0..EVERY) > 0 {
            return;
        }
        self.seen += 1;
        if self.list.len() < CURSORS_MAX {
            self.list.push(cursor());
            return;
        }
        let among = if self.age_max_ns == u64::MAX {
            self.seen
        } else {
            CURSORS_MAX
        };
        if let Some(place) = self.list.get_mut(rng.usize(0..among)) {
            *place = cursor();
        }
    }

    /// Returns whether the hub must still retain an update that was due at `due_ns`.
    pub(crate) fn is_young(&self, due_ns: u64, now_ns: u64) -> bool {
        now_ns.saturating_sub(due_ns) < self.age_max_ns
    }

    /// Returns a random cursor that is young enough.
    pub(crate) fn choose(&self, rng: &mut Rng, now_ns: u64) -> Option<Cursor> {
        let young = |cursor: &&Cursor| self.is_young(cursor.due_ns, now_ns);
        let young: Vec<&Cursor> = self.list.iter().filter(young).collect();
        rng.choice(young).cloned()
    }
}
