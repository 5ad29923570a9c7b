//! Patterns that nothing cheaper could tell apart. A few are tested one by one. More are kept in
//! tiers, each with a `RegexSet` that says in one pass which of its patterns to test at all.
//!
//! ```text
//! few:    up to 63, one by one
//! tiers:  64, TIER_MAX, TIER_MAX, …
//! ```
//!
//! When the few are too many they become a tier, together with the tiers that are no larger, as in
//! a log-structured merge tree: each pattern is compiled into a set a few times in its life, and no
//! call compiles a set of more than [`TIER_MAX`] patterns, which bounds a call to some milliseconds.

use regex::bytes::{RegexSet, RegexSetBuilder};
use slab::Slab;

use crate::index::{Entry, MatcherId};
use crate::matcher::Test;
use crate::subject::{Component, Parts};

/// What patterns are tested against: a topic's URL, or its text.
pub(super) trait Asked {
    /// Returns what the expressions of [`filter`] for this `scope` are asked about.
    fn text(&self, scope: Component) -> &str;

    /// Returns whether `test` matches.
    fn matches(&self, test: &Test) -> bool;
}

impl Asked for Parts {
    fn text(&self, scope: Component) -> &str {
        self.from(scope)
    }

    fn matches(&self, test: &Test) -> bool {
        test.matches_url(self)
    }
}

/// A topic's text, for URI templates. They have no components, so they stand in any scope.
impl Asked for str {
    fn text(&self, _scope: Component) -> &str {
        self
    }

    fn matches(&self, test: &Test) -> bool {
        test.matches_expanded(self)
    }
}

/// Patterns that are asked together.
#[derive(Debug, Default)]
pub(super) struct Group {
    few: Vec<MatcherId>,
    tiers: Vec<Tier>,
}

#[derive(Debug)]
struct Tier {
    /// Sorted, in the order of the set's expressions.
    patterns: Vec<Member>,
    dead: usize,
    /// Without one, because it would be too large, each pattern is tested.
    set: Option<RegexSet>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    id: MatcherId,
    life: Life,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Alive,
    Dead,
}

impl Group {
    pub(super) fn len(&self) -> usize {
        self.few.len() + self.tiers.iter().map(Tier::alive).sum::<usize>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.few.is_empty() && self.tiers.is_empty()
    }

    /// Adds a pattern. `scope` is the first component that the group's patterns can differ in.
    pub(super) fn insert(&mut self, id: MatcherId, scope: Component, entries: &Slab<Entry>) {
        self.few.push(id);
        if self.few.len() < FEW_MAX {
            return;
        }
        let few = std::mem::take(&mut self.few);
        self.add_tier(few, scope, entries);
    }

    /// Takes a pattern away, which `entries` does not contain any more.
    pub(super) fn remove(&mut self, id: MatcherId, scope: Component, entries: &Slab<Entry>) {
        if let Some(index) = self.few.iter().position(|&other| other == id) {
            self.few.swap_remove(index);
            if self.few.is_empty() {
                self.few = Vec::new();
            }
            return;
        }
        let Some(index) = self.tiers.iter_mut().position(|tier| tier.bury(id)) else {
            return;
        };
        if self
            .tiers
            .get(index)
            .is_none_or(|tier| tier.dead * 2 < tier.patterns.len())
        {
            return;
        }
        let left = self.tiers.swap_remove(index).into_alive();
        if self.few.len() + left.len() < FEW_MAX {
            self.few.extend(left);
        } else {
            self.add_tier(left, scope, entries);
        }
    }

    /// Appends the patterns that match `asked`.
    pub(super) fn matching<A: Asked + ?Sized>(
        &self,
        asked: &A,
        scope: Component,
        entries: &Slab<Entry>,
        out: &mut Vec<MatcherId>,
    ) {
        let matches = |id: &MatcherId| test(entries, *id).is_some_and(|own| asked.matches(own));
        out.extend(self.few.iter().copied().filter(matches));
        for tier in &self.tiers {
            let Some(set) = &tier.set else {
                out.extend(tier.alive_ids().filter(matches));
                continue;
            };
            let candidates = set.matches(asked.text(scope).as_bytes());
            if !candidates.matched_any() {
                continue;
            }
            let found = candidates
                .iter()
                .filter_map(|index| tier.patterns.get(index));
            let alive = found.filter(|member| member.life == Life::Alive);
            out.extend(alive.map(|member| member.id).filter(matches));
        }
    }

    /// Makes a tier of `patterns` and of the tiers that are no larger, as long as they fit.
    fn add_tier(&mut self, patterns: Vec<MatcherId>, scope: Component, entries: &Slab<Entry>) {
        let mut patterns = patterns;
        self.tiers.sort_by_key(Tier::alive);
        while let Some(smallest) = self.tiers.first()
            && smallest.alive() <= patterns.len()
            && smallest.alive() + patterns.len() <= TIER_MAX
        {
            patterns.extend(self.tiers.remove(0).into_alive());
        }
        patterns.sort_unstable();
        self.tiers.push(Tier::new(&patterns, scope, entries));
    }
}

impl Tier {
    fn new(patterns: &[MatcherId], scope: Component, entries: &Slab<Entry>) -> Self {
        let filters = patterns
            .iter()
            .filter_map(|&id| filter(test(entries, id)?, scope));
        let set = RegexSetBuilder::new(filters)
            .size_limit(SET_BYTES_MAX)
            .dfa_size_limit(SET_CACHE_BYTES_MAX)
            .build()
            .ok()
            // Were one missing, all after it would be taken for their neighbours.
            .filter(|set| set.len() == patterns.len());
        let alive = |&id| Member {
            id,
            life: Life::Alive,
        };
        Self {
            patterns: patterns.iter().map(alive).collect(),
            dead: 0,
            set,
        }
    }

    fn alive(&self) -> usize {
        self.patterns.len() - self.dead
    }

    fn alive_ids(&self) -> impl Iterator<Item = MatcherId> {
        self.patterns
            .iter()
            .filter(|member| member.life == Life::Alive)
            .map(|member| member.id)
    }

    fn into_alive(self) -> Vec<MatcherId> {
        self.alive_ids().collect()
    }

    /// Marks a pattern dead, and returns whether it stands here. Its id may come back in another
    /// tier; dead ones are never looked at again.
    fn bury(&mut self, id: MatcherId) -> bool {
        let Ok(index) = self.patterns.binary_search_by_key(&id, |member| member.id) else {
            return false;
        };
        let alive = self
            .patterns
            .get_mut(index)
            .filter(|member| member.life == Life::Alive);
        let Some(member) = alive else { return false };
        member.life = Life::Dead;
        self.dead += 1;
        true
    }
}

fn test(entries: &Slab<Entry>, id: MatcherId) -> Option<&Test> {
    Some(entries.get(id.index())?.matcher.test())
}

/// Returns a regular expression that matches what `test` matches, and maybe more.
fn filter(test: &Test, scope: Component) -> Option<String> {
    match test {
        Test::UrlPattern(pattern) => Some(pattern.filter(scope)),
        Test::UriTemplate(template) => Some(template.filter()),
        Test::Any | Test::Exact => None,
    }
}

/// From here on patterns are not tested one by one.
const FEW_MAX: usize = 64;

/// Patterns in one set. Compiling that many takes one to three milliseconds (`benches/matching.rs`).
const TIER_MAX: usize = 128;

/// Bytes that one set's program may take.
const SET_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that one set may use to remember what it has worked out.
const SET_CACHE_BYTES_MAX: usize = 512 * 1024;
