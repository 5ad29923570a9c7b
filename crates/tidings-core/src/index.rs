//! All matchers in use, each once, and the way from a topic to those that match it.
//!
//! ```text
//! topic ── exact text ──────────────▶ one lookup
//!       ── "*" ─────────────────────▶ a list
//!       ── URL ─ origin + path ─────▶ buckets ─ segment ─▶ groups ─▶ each pattern's own test
//!       ── text ─ beginning ────────▶ shelves ─ segment ─▶ groups ─▶ each template's own test
//! ```
//!
//! Exact matchers are found by hash, and topic selectors of Mercure 0.x that are the topic too. URL
//! patterns and URI templates are narrowed down first (`index/buckets.rs`, `index/templates.rs`,
//! `index/shelf.rs`, `index/group.rs`), and then every candidate is tested, so what the narrowing
//! does can never change a result. Who holds which matcher is not known here; see [`hub`](crate::hub).

mod buckets;
mod crowds;
mod group;
mod shelf;
mod templates;

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use slab::Slab;

use crate::index::buckets::{Buckets, Home};
use crate::index::templates::Templates;
use crate::matcher::{Matcher, MatcherType, Test};
use crate::subject::Subject;

pub use crate::index::crowds::Crowds;

/// The id of a matcher in the index. It is reused after every user has released the matcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MatcherId(u32);

impl MatcherId {
    /// Returns the number. Numbers are small, and dense until matchers are released.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    #[cfg(test)]
    pub(crate) const fn from_number(number: u32) -> Self {
        Self(number)
    }

    const fn index(self) -> usize {
        self.0 as usize
    }
}

/// All matchers in use, each once.
///
/// Interning or releasing one takes microseconds on average. Memory grows and shrinks with the
/// number of matchers.
#[derive(Debug, Default)]
pub struct MatcherIndex {
    entries: Slab<Entry>,
    by_text: HashTable<Row>,
    wildcards: Vec<MatcherId>,
    buckets: Buckets,
    templates: Templates,
    /// Topic selectors in use, whether templates or not.
    selectors: usize,
    // Seeded from the address space's layout, so that nobody can choose matchers that collide. The
    // table's order is never visible: results are sorted.
    hashing: RandomState,
}

/// Finds a matcher by type and text. The hash is stored, so that a growing table does not have to
/// hash a hundred thousand matchers in one call.
#[derive(Clone, Copy, Debug)]
struct Row {
    hash: u64,
    id: MatcherId,
}

/// One matcher and its location.
#[derive(Debug)]
struct Entry {
    matcher: Matcher,
    references: u32,
    home: Option<Place>,
}

/// The location of a matcher that is not found by its text alone.
#[derive(Debug)]
enum Place {
    Pattern(Home),
    /// The path segment that finds the template.
    Template(Option<Box<str>>),
}

impl MatcherIndex {
    /// Makes an empty index.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a matcher, or counts one more use of it if it is already there.
    pub fn intern(&mut self, matcher: &Matcher) -> MatcherId {
        let hash = self.hash(matcher.kind(), matcher.pattern());
        if let Some(id) = self.find(hash, matcher.kind(), matcher.pattern()) {
            if let Some(entry) = self.entries.get_mut(id.index()) {
                entry.references = entry.references.saturating_add(1);
            }
            return id;
        }
        let entry = Entry {
            matcher: matcher.clone(),
            references: 1,
            home: None,
        };
        let index = self.entries.insert(entry);
        #[expect(
            clippy::expect_used,
            reason = "4 thousand million matchers do not fit in memory"
        )]
        let id = MatcherId(u32::try_from(index).expect("fewer matchers than 2^32"));
        self.by_text
            .insert_unique(hash, Row { hash, id }, |row| row.hash);
        if matcher.kind() == MatcherType::UriTemplate {
            self.selectors += 1;
        }
        let home = match matcher.test() {
            Test::Exact => None,
            Test::Any => {
                self.wildcards.push(id);
                None
            }
            Test::UrlPattern(pattern) => Some(Place::Pattern(self.buckets.insert(id, pattern))),
            Test::UriTemplate(template) => {
                Some(Place::Template(self.templates.insert(id, template)))
            }
        };
        if let Some(entry) = self.entries.get_mut(index) {
            entry.home = home;
        }
        id
    }

    /// Counts one use less of a matcher. The last release forgets the matcher, and its id may be
    /// reused. Releasing an unknown id does nothing.
    pub fn release(&mut self, id: MatcherId) {
        let Some(entry) = self.entries.get_mut(id.index()) else {
            return;
        };
        entry.references -= 1;
        if entry.references > 0 {
            return;
        }
        let matcher = &entry.matcher;
        let hash = self.hashing.hash_one((matcher.kind(), matcher.pattern()));
        if let Ok(found) = self.by_text.find_entry(hash, |row| row.id == id) {
            found.remove();
        }
        let Some(entry) = self.entries.try_remove(id.index()) else {
            return;
        };
        if entry.matcher.kind() == MatcherType::UriTemplate {
            self.selectors -= 1;
        }
        match (entry.matcher.test(), &entry.home) {
            (Test::Any, _) => self.wildcards.retain(|&other| other != id),
            (Test::UrlPattern(pattern), Some(Place::Pattern(home))) => {
                self.buckets.remove(id, pattern, home);
            }
            (Test::UriTemplate(template), Some(Place::Template(anchor))) => {
                self.templates.remove(id, template, anchor.as_deref());
            }
            (Test::Exact | Test::UrlPattern(_) | Test::UriTemplate(_), _) => {}
        }
        self.shrink();
    }

    /// Replaces the content of `out` with the matchers that match any of `subjects`: sorted, each
    /// once.
    pub fn matching(&mut self, subjects: &[Subject], out: &mut Vec<MatcherId>) {
        out.clear();
        if !subjects.is_empty() {
            out.extend_from_slice(&self.wildcards);
        }
        for subject in subjects {
            let hash = self.hash(MatcherType::Exact, subject.text());
            out.extend(self.find(hash, MatcherType::Exact, subject.text()));
            if self.selectors > 0 {
                let hash = self.hash(MatcherType::UriTemplate, subject.text());
                out.extend(self.find(hash, MatcherType::UriTemplate, subject.text()));
                self.templates.matching(subject.text(), &self.entries, out);
            }
            // Without URL patterns, no topic needs to be parsed.
            if !self.buckets.is_empty()
                && let Some(url) = subject.url()
            {
                self.buckets.matching(url, &self.entries, out);
            }
        }
        out.sort_unstable();
        out.dedup();
    }

    /// Returns how many matchers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there are no matchers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the matcher with this id.
    #[must_use]
    pub fn get(&self, id: MatcherId) -> Option<&Matcher> {
        self.entries.get(id.index()).map(|entry| &entry.matcher)
    }

    fn find(&self, hash: u64, kind: MatcherType, pattern: &str) -> Option<MatcherId> {
        let found = self.by_text.find(hash, |row| {
            row.hash == hash
                && self
                    .get(row.id)
                    .is_some_and(|matcher| matcher.kind() == kind && matcher.pattern() == pattern)
        });
        found.map(|row| row.id)
    }

    fn hash(&self, kind: MatcherType, pattern: &str) -> u64 {
        self.hashing.hash_one((kind, pattern))
    }

    /// Gives memory back once three quarters are unused. Only a table that was four times as large
    /// is rebuilt, so the cost is spread over the releases before it.
    fn shrink(&mut self) {
        let len = self.entries.len();
        if self.by_text.capacity() > SHRINK_FROM && len < self.by_text.capacity() / 4 {
            self.by_text.shrink_to(len * 2, |row| row.hash);
        }
        if self.entries.capacity() > SHRINK_FROM && len < self.entries.capacity() / 4 {
            // Keeps every id where it is, so it shrinks only down to the highest id in use.
            self.entries.shrink_to_fit();
        }
    }
}

/// Tables smaller than this are not worth shrinking.
const SHRINK_FROM: usize = 1024;

#[cfg(test)]
mod tests;
