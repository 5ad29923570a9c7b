//! Patterns that no cheaper check can distinguish: each is tested. [`Crowds`](crate::index::Crowds)
//! bounds the size of a group, and with it the cost of an update.

use slab::Slab;

use crate::index::{Entry, MatcherId};
use crate::matcher::Test;
use crate::subject::Parts;

/// What patterns are tested against: a topic's URL, or its text.
pub(super) trait Input {
    /// Returns whether `test` matches.
    fn matches(&self, test: &Test) -> bool;
}

impl Input for Parts {
    fn matches(&self, test: &Test) -> bool {
        test.matches_url(self)
    }
}

/// A topic's text, for URI templates.
impl Input for str {
    fn matches(&self, test: &Test) -> bool {
        test.matches_expanded(self)
    }
}

/// Patterns that are tested one after another.
#[derive(Debug, Default)]
pub(super) struct Group(Vec<MatcherId>);

impl Group {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn insert(&mut self, id: MatcherId) {
        self.0.push(id);
    }

    pub(super) fn remove(&mut self, id: MatcherId) {
        if let Some(index) = self.0.iter().position(|&other| other == id) {
            self.0.swap_remove(index);
        }
        if self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to(self.0.len() * 2);
        }
    }

    /// Appends the patterns that match `input`.
    pub(super) fn matching<A: Input + ?Sized>(
        &self,
        input: &A,
        entries: &Slab<Entry>,
        out: &mut Vec<MatcherId>,
    ) {
        let matches = |id: &MatcherId| {
            let entry = entries.get(id.index());
            entry.is_some_and(|entry| input.matches(entry.matcher.test()))
        };
        out.extend(self.0.iter().copied().filter(matches));
    }
}
