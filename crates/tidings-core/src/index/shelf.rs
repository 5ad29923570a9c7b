//! Patterns of one bucket: one that names a whole path segment after the bucket's beginning, such as
//! `x17` in `/:kind/x17`, is found by that segment; all others stand in one plain group.

use foldhash::quality::RandomState;
use hashbrown::HashMap;
use slab::Slab;

use crate::index::group::{Asked, Group};
use crate::index::{Entry, MatcherId, SHRINK_FROM};

/// Patterns that a topic asks together.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    plain: Group,
    by_segment: HashMap<Box<str>, Group, RandomState>,
}

impl Shelf {
    pub(super) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.by_segment.is_empty()
    }

    /// Adds a pattern and returns the one of `anchors` that it is found by.
    pub(super) fn insert(&mut self, id: MatcherId, anchors: &[Box<str>]) -> Option<Box<str>> {
        // The segment that the fewest others have chosen so far.
        let anchor = anchors
            .iter()
            .min_by_key(|anchor| self.by_segment.get(&***anchor).map_or(0, Group::len))
            .cloned();
        let group = match &anchor {
            Some(anchor) => self.by_segment.entry(anchor.clone()).or_default(),
            None => &mut self.plain,
        };
        group.insert(id);
        anchor
    }

    /// Takes away a pattern that is found by `anchor`.
    pub(super) fn remove(&mut self, id: MatcherId, anchor: Option<&str>) {
        let Some(anchor) = anchor else {
            return self.plain.remove(id);
        };
        if let Some(group) = self.by_segment.get_mut(anchor) {
            group.remove(id);
            if group.is_empty() {
                self.by_segment.remove(anchor);
            }
        }
        let (len, capacity) = (self.by_segment.len(), self.by_segment.capacity());
        if len == 0 || (capacity > SHRINK_FROM && len < capacity / 4) {
            self.by_segment.shrink_to(len * 2);
        }
    }

    /// Appends the patterns that match `asked`, whose path has these `segments`; one may be
    /// appended more than once.
    pub(super) fn matching<'a, A: Asked + ?Sized>(
        &self,
        asked: &A,
        segments: impl Iterator<Item = &'a str>,
        entries: &Slab<Entry>,
        out: &mut Vec<MatcherId>,
    ) {
        self.plain.matching(asked, entries, out);
        if self.by_segment.is_empty() {
            return;
        }
        for segment in segments {
            if let Some(group) = self.by_segment.get(segment) {
                group.matching(asked, entries, out);
            }
        }
    }
}
