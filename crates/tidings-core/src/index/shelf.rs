//! The patterns of one bucket. A pattern with a whole literal path segment after the bucket's
//! prefix, such as `x17` in `/:kind/x17`, is found by that segment. All others are in one plain
//! group.

use foldhash::quality::RandomState;
use hashbrown::HashMap;
use slab::Slab;

use crate::index::group::{Group, Input};
use crate::index::{Entry, MatcherId, SHRINK_FROM};

/// The patterns of one bucket.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    plain: Group,
    by_segment: HashMap<Box<str>, Group, RandomState>,
}

impl Shelf {
    pub(super) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.by_segment.is_empty()
    }

    /// Adds a pattern and returns the one of `anchors` that finds it.
    pub(super) fn insert(&mut self, id: MatcherId, anchors: &[Box<str>]) -> Option<Box<str>> {
        // The segment with the fewest patterns so far.
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

    /// Removes a pattern that is found by `anchor`.
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

    /// Appends the patterns that match `input`, whose path has these `segments`; the same one may
    /// be appended more than once.
    pub(super) fn matching<'a, A: Input + ?Sized>(
        &self,
        input: &A,
        segments: impl Iterator<Item = &'a str>,
        entries: &Slab<Entry>,
        out: &mut Vec<MatcherId>,
    ) {
        self.plain.matching(input, entries, out);
        if self.by_segment.is_empty() {
            return;
        }
        for segment in segments {
            if let Some(group) = self.by_segment.get(segment) {
                group.matching(input, entries, out);
            }
        }
    }
}
