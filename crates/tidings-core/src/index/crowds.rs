//! The number of patterns that an update may have to be compared with one by one: those in one
//! group of the index, which no literal part distinguishes.
//!
//! Patterns are counted here before they are added, on any thread. The index puts each pattern into
//! the smallest of the groups that its anchors allow; here it counts for all of them. So a count is
//! never less than the size of the group.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::index::SHRINK_FROM;
use crate::index::buckets::Key;
use crate::index::templates::directory;
use crate::matcher::{Matcher, Test};

/// The number of patterns that could be in each group.
#[derive(Debug, Default)]
pub struct Crowds {
    groups: HashMap<u64, usize, RandomState>,
    // The table's order is never visible.
    hashing: RandomState,
}

impl Crowds {
    /// Makes an empty count.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a matcher. Returns how many others would be tested with it on the same topic; 0 for a
    /// matcher that is found by its text.
    pub fn add(&mut self, matcher: &Matcher) -> usize {
        let groups = self.groups_of(matcher);
        let count = |group: &u64| self.groups.get(group).copied().unwrap_or_default();
        let others = groups.iter().map(count).min().unwrap_or_default();
        for group in groups {
            *self.groups.entry(group).or_default() += 1;
        }
        others
    }

    /// Removes a matcher that was added.
    pub fn remove(&mut self, matcher: &Matcher) {
        for group in self.groups_of(matcher) {
            if let Some(count) = self.groups.get_mut(&group) {
                *count -= 1;
                if *count == 0 {
                    self.groups.remove(&group);
                }
            }
        }
        let (len, capacity) = (self.groups.len(), self.groups.capacity());
        if capacity > SHRINK_FROM && len < capacity / 4 {
            self.groups.shrink_to(len * 2);
        }
    }

    /// Returns the groups that a matcher could be in.
    fn groups_of(&self, matcher: &Matcher) -> SmallVec<[u64; 4]> {
        let (bucket, anchors) = match matcher.test() {
            Test::Any | Test::Exact => return SmallVec::new(),
            Test::UrlPattern(pattern) => {
                let key = Key::of(pattern).map(|key| key.hash(&self.hashing));
                (self.hashing.hash_one(("pattern", key)), pattern.anchors())
            }
            Test::UriTemplate(template) => {
                let key = directory(template);
                (self.hashing.hash_one(("template", key)), template.anchors())
            }
        };
        if anchors.is_empty() {
            return SmallVec::from_slice(&[bucket]);
        }
        let mut groups: SmallVec<[u64; 4]> = anchors
            .iter()
            .map(|anchor| self.hashing.hash_one((bucket, anchor)))
            .collect();
        // A segment may occur twice in a pattern.
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}
