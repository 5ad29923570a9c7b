//! The schedule: actions by their due time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::soak::role::Action;

/// A scheduled event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// An update is due.
    Update,
    /// Many updates are due at once.
    Burst,
    /// Most subscribers lose their connections at once.
    Storm,
    /// A sample of the server is taken.
    Sample,
    /// A publisher connects.
    Publisher { number: usize },
    /// A subscriber acts, unless something else has happened to it since `turn`.
    Subscriber {
        number: usize,
        turn: u32,
        action: Action,
    },
}

/// Events ordered by due time.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    heap: BinaryHeap<Reverse<Due>>,
    added: u64,
}

#[derive(Debug)]
struct Due {
    at_ns: u64,
    /// The number of added events. Events with the same due time happen in the order in which they
    /// were added.
    added: u64,
    event: Event,
}

impl Schedule {
    /// Adds an event.
    pub(crate) fn add(&mut self, at_ns: u64, event: Event) {
        let added = self.added;
        self.added += 1;
        self.heap.push(Reverse(Due {
            at_ns,
            added,
            event,
        }));
    }

    /// Removes the next event that is due, and returns it with its due time.
    pub(crate) fn take_due(&mut self, now_ns: u64) -> Option<(u64, Event)> {
        if self.next_ns()? > now_ns {
            return None;
        }
        let Reverse(due) = self.heap.pop()?;
        Some((due.at_ns, due.event))
    }

    /// Returns when the next event is due.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(due)| due.at_ns)
    }

    /// Removes all events.
    pub(crate) fn clear(&mut self) {
        self.heap.clear();
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ns, self.added).cmp(&(other.at_ns, other.added))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}
