//! Caches recently read pages, bounded in bytes, so that many readers cause about one read.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidings_core::{Position, Update};

use crate::page::Page;

/// Recently used pages, by their first position.
///
/// The number of pages is bounded too, because a page has at least one update, and an update counts
/// for more than its texts.
pub(crate) struct PageCache {
    pages: BTreeMap<Position, Entry>,
    bytes: u64,
    bytes_max: u64,
    uses: u64,
}

struct Entry {
    page: Arc<Page>,
    /// The value of `uses` when the page was last used.
    used: u64,
}

impl PageCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            pages: BTreeMap::new(),
            bytes: 0,
            bytes_max: bytes_max as u64,
            uses: 0,
        }
    }

    /// Returns the page that contains `position`.
    pub(crate) fn find(&mut self, position: Position) -> Option<Arc<Page>> {
        let (_, entry) = self.pages.range_mut(..=position).next_back()?;
        if entry.page.next < position {
            return None;
        }
        self.uses += 1;
        entry.used = self.uses;
        Some(Arc::clone(&entry.page))
    }

    /// Returns the update at `position`, if it is cached.
    pub(crate) fn update(&self, position: Position) -> Option<&Update> {
        let (_, entry) = self.pages.range(..=position).next_back()?;
        let updates = &entry.page.updates;
        let index = updates.binary_search_by_key(&position, |update| update.position);
        updates.get(index.ok()?).map(|update| &**update)
    }

    /// Returns the last page that begins at or after `first` and ends before `position`.
    pub(crate) fn before(&self, first: Position, position: Position) -> Option<Arc<Page>> {
        let (_, entry) = self.pages.range(first..position).next_back()?;
        (entry.page.next < position).then(|| Arc::clone(&entry.page))
    }

    /// Adds `page`, and evicts the least recently used pages until the bytes fit.
    ///
    /// Replaces the page that begins at the same position.
    pub(crate) fn insert(&mut self, page: &Arc<Page>) {
        if page.updates.is_empty() {
            return;
        }
        self.uses += 1;
        let entry = Entry {
            page: Arc::clone(page),
            used: self.uses,
        };
        self.bytes += page.bytes;
        if let Some(replaced) = self.pages.insert(page.first, entry) {
            self.bytes -= replaced.page.bytes;
        }
        while self.bytes > self.bytes_max && self.pages.len() > 1 {
            let oldest = self.pages.iter().min_by_key(|(_, entry)| entry.used);
            let Some(first) = oldest.map(|(first, _)| *first) else {
                return;
            };
            self.remove(first);
        }
    }

    /// Evicts all pages: they belong to a line that was left.
    pub(crate) fn clear(&mut self) {
        self.pages.clear();
        self.bytes = 0;
    }

    /// Evicts the pages that end before `oldest`, because removed updates must not be read.
    pub(crate) fn trim(&mut self, oldest: Position) {
        while let Some((first, entry)) = self.pages.first_key_value() {
            if entry.page.next >= oldest {
                return;
            }
            let first = *first;
            self.remove(first);
        }
    }

    /// Evicts the pages with presence events up to `through`, which were removed.
    pub(crate) fn trim_presence(&mut self, through: Position) {
        let stale = self
            .pages
            .range(..=through)
            .filter(|(_, entry)| entry.page.has_presence(through));
        let stale: Vec<Position> = stale.map(|(first, _)| *first).collect();
        for first in stale {
            self.remove(first);
        }
    }

    fn remove(&mut self, first: Position) {
        if let Some(entry) = self.pages.remove(&first) {
            self.bytes -= entry.page.bytes;
        }
    }
}
