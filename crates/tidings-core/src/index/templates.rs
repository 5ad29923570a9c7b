//! The index of URI templates: a [`Shelf`] for each literal prefix that ends in a slash. A topic is
//! looked up in one shelf for each of its own prefixes.

use foldhash::quality::RandomState;
use hashbrown::HashMap;
use slab::Slab;

use crate::index::buckets::{DIRECTORIES_MAX, directories};
use crate::index::shelf::Shelf;
use crate::index::{Entry, MatcherId, SHRINK_FROM};
use crate::matcher::UriTemplate;

/// All URI templates.
#[derive(Debug, Default)]
pub(super) struct Templates {
    by_directory: HashMap<Box<str>, Shelf, RandomState>,
}

impl Templates {
    /// Adds a template and returns the segment that finds it, if there is one.
    pub(super) fn insert(&mut self, id: MatcherId, template: &UriTemplate) -> Option<Box<str>> {
        let shelf = self.by_directory.entry(directory(template).into());
        shelf.or_default().insert(id, template.anchors())
    }

    /// Removes a template that is found by `anchor`.
    pub(super) fn remove(&mut self, id: MatcherId, template: &UriTemplate, anchor: Option<&str>) {
        let directory = directory(template);
        let Some(shelf) = self.by_directory.get_mut(directory) else {
            return;
        };
        shelf.remove(id, anchor);
        if shelf.is_empty() {
            self.by_directory.remove(directory);
        }
        let (len, capacity) = (self.by_directory.len(), self.by_directory.capacity());
        if len == 0 || (capacity > SHRINK_FROM && len < capacity / 4) {
            self.by_directory.shrink_to(len * 2);
        }
    }

    /// Appends the templates that can expand to `topic`; the same one may be appended more than
    /// once.
    pub(super) fn matching(&self, topic: &str, entries: &Slab<Entry>, out: &mut Vec<MatcherId>) {
        if self.by_directory.is_empty() {
            return;
        }
        let all = std::iter::once("").chain(
            directories(topic)
                .take(DIRECTORIES_MAX)
                .map(|directory| directory.all),
        );
        for directory in all {
            let Some(shelf) = self.by_directory.get(directory) else {
                continue;
            };
            let after = topic.get(directory.len()..).unwrap_or_default();
            shelf.matching(topic, after.split('/'), entries, out);
        }
    }
}

/// Returns the literal prefix that selects a template's shelf.
pub(super) fn directory(template: &UriTemplate) -> &str {
    directories(template.directory())
        .take(DIRECTORIES_MAX)
        .last()
        .map_or("", |directory| directory.all)
}
