//! Where the index looks for URL patterns. A pattern whose protocol, host and port are literals is
//! in the bucket of these and of the literal beginning of its path. All other patterns are in one
//! bucket, the rest.
//!
//! A topic is looked up in one bucket for each directory of its path, in one for its whole path,
//! and in the rest. Each bucket has a [`Shelf`].

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use slab::Slab;

use crate::index::shelf::Shelf;
use crate::index::{Entry, MatcherId, SHRINK_FROM};
use crate::matcher::UrlPattern;
use crate::subject::{Component, Parts};

/// All URL patterns.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    keyed: Slab<Bucket>,
    by_key: HashTable<usize>,
    rest: Bucket,
    hashing: RandomState,
}

/// The location of one pattern, by which it can be removed.
#[derive(Debug)]
pub(super) struct Home {
    /// The keyed bucket; `None` is the rest.
    bucket: Option<usize>,
    anchor: Option<Box<str>>,
}

#[derive(Debug, Default)]
struct Bucket {
    key: Key,
    shelf: Shelf,
}

/// What a topic's URL must have for a bucket to be searched.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Key {
    protocol: Box<str>,
    hostname: Box<str>,
    port: Box<str>,
    path: Path,
}

#[derive(Debug, PartialEq, Eq)]
enum Path {
    /// The path begins with this text, which ends in a slash or is empty.
    Directory(Box<str>),
    /// The path is exactly this.
    Whole(Box<str>),
}

impl Default for Path {
    fn default() -> Self {
        Self::Directory(Box::default())
    }
}

impl Buckets {
    pub(super) fn insert(&mut self, id: MatcherId, pattern: &UrlPattern) -> Home {
        let place = Key::of(pattern).map(|key| self.place(key));
        let bucket = match place {
            Some(place) => self.keyed.get_mut(place).unwrap_or(&mut self.rest),
            None => &mut self.rest,
        };
        let anchor = bucket.shelf.insert(id, pattern.anchors());
        Home {
            bucket: place,
            anchor,
        }
    }

    /// Removes the pattern that is at `home`.
    pub(super) fn remove(&mut self, id: MatcherId, pattern: &UrlPattern, home: &Home) {
        let bucket = match home.bucket {
            Some(place) => self.keyed.get_mut(place),
            None => Some(&mut self.rest),
        };
        let Some(bucket) = bucket else { return };
        bucket.shelf.remove(id, home.anchor.as_deref());
        if let Some(place) = home.bucket
            && bucket.shelf.is_empty()
        {
            self.forget(place, pattern);
        }
    }

    /// Returns whether there are no URL patterns.
    pub(super) fn is_empty(&self) -> bool {
        self.keyed.is_empty() && self.rest.shelf.is_empty()
    }

    /// Appends the patterns that match `url`; the same one may be appended more than once.
    pub(super) fn matching(&self, url: &Parts, entries: &Slab<Entry>, out: &mut Vec<MatcherId>) {
        let segments = url.segments();
        let mut ask = |bucket: &Bucket, directory: usize| {
            let after = segments.iter().filter(|(start, _)| *start >= directory);
            let after = after.map(|(_, segment)| *segment);
            bucket.shelf.matching(url, after, entries, out);
        };
        ask(&self.rest, 0);
        if self.keyed.is_empty() {
            return;
        }
        let path = url.get(Component::Pathname);
        let origin = Origin::of_url(url);
        let mut hasher = origin.hasher(&self.hashing);
        let mut found = |hash, directory: Option<&str>| {
            let place = self.by_key.find(hash, |&place| {
                self.keyed.get(place).is_some_and(|bucket| {
                    origin == bucket.key.origin() && bucket.key.path.is(directory, path)
                })
            });
            if let Some(bucket) = place.and_then(|&place| self.keyed.get(place)) {
                ask(bucket, directory.map_or(path.len(), str::len));
            }
        };
        found(whole(&hasher, path), None);
        found(hasher.finish(), Some(""));
        for directory in directories(path).take(DIRECTORIES_MAX) {
            hasher.write(directory.last.as_bytes());
            found(hasher.finish(), Some(directory.all));
        }
    }

    /// Returns the bucket with this key, and makes it if there is none.
    fn place(&mut self, key: Key) -> usize {
        let hash = key.hash(&self.hashing);
        let found = self.by_key.find(hash, |&place| {
            self.keyed
                .get(place)
                .is_some_and(|bucket| bucket.key == key)
        });
        if let Some(&place) = found {
            return place;
        }
        let place = self.keyed.insert(Bucket {
            key,
            ..Bucket::default()
        });
        let (keyed, hashing) = (&self.keyed, &self.hashing);
        self.by_key
            .insert_unique(hash, place, |&place| rehash(keyed, hashing, place));
        place
    }

    fn forget(&mut self, place: usize, pattern: &UrlPattern) {
        let Some(key) = Key::of(pattern) else { return };
        let hash = key.hash(&self.hashing);
        if let Ok(found) = self.by_key.find_entry(hash, |&other| other == place) {
            found.remove();
        }
        self.keyed.try_remove(place);
        let len = self.keyed.len();
        if self.by_key.capacity() > SHRINK_FROM && len < self.by_key.capacity() / 4 {
            let (keyed, hashing) = (&self.keyed, &self.hashing);
            self.by_key
                .shrink_to(len * 2, |&place| rehash(keyed, hashing, place));
        }
        if self.keyed.capacity() > SHRINK_FROM && len < self.keyed.capacity() / 4 {
            self.keyed.shrink_to_fit();
        }
    }
}

impl Key {
    /// Returns the key of a pattern; `None` if it belongs to the rest.
    pub(super) fn of(pattern: &UrlPattern) -> Option<Self> {
        let path = match pattern.literal(Component::Pathname) {
            Some(path) => Path::Whole(path.into()),
            None => Path::Directory(
                directories(pattern.directory())
                    .take(DIRECTORIES_MAX)
                    .last()
                    .map_or("", |directory| directory.all)
                    .into(),
            ),
        };
        Some(Self {
            protocol: pattern.literal(Component::Protocol)?.into(),
            hostname: pattern.literal(Component::Hostname)?.into(),
            port: pattern.literal(Component::Port)?.into(),
            path,
        })
    }

    fn origin(&self) -> Origin<'_> {
        Origin {
            protocol: &self.protocol,
            hostname: &self.hostname,
            port: &self.port,
        }
    }

    pub(super) fn hash(&self, hashing: &RandomState) -> u64 {
        let mut hasher = self.origin().hasher(hashing);
        match &self.path {
            Path::Whole(path) => whole(&hasher, path),
            Path::Directory(path) => {
                for directory in directories(path) {
                    hasher.write(directory.last.as_bytes());
                }
                hasher.finish()
            }
        }
    }
}

impl Path {
    /// Returns whether this is `directory`, or the whole `path` if `directory` is `None`.
    fn is(&self, directory: Option<&str>, path: &str) -> bool {
        match (self, directory) {
            (Self::Directory(own), Some(directory)) => **own == *directory,
            (Self::Whole(own), None) => **own == *path,
            (Self::Directory(_), None) | (Self::Whole(_), Some(_)) => false,
        }
    }
}

/// What all patterns of a bucket share before the path.
#[derive(PartialEq, Eq)]
struct Origin<'a> {
    protocol: &'a str,
    hostname: &'a str,
    port: &'a str,
}

impl<'a> Origin<'a> {
    fn of_url(url: &'a Parts) -> Self {
        Self {
            protocol: url.get(Component::Protocol),
            hostname: url.get(Component::Hostname),
            port: url.get(Component::Port),
        }
    }

    /// Returns a hasher for the directories of a path, which the caller writes to it one after
    /// another.
    fn hasher(&self, hashing: &RandomState) -> <RandomState as BuildHasher>::Hasher {
        let mut hasher = hashing.build_hasher();
        for part in [self.protocol, self.hostname, self.port] {
            hasher.write(part.as_bytes());
            hasher.write_u8(0xff);
        }
        hasher
    }
}

/// Hashes a path that is a literal as a whole.
fn whole(origin: &<RandomState as BuildHasher>::Hasher, path: &str) -> u64 {
    let mut hasher = origin.clone();
    hasher.write_u8(0xfe);
    hasher.write(path.as_bytes());
    hasher.finish()
}

/// A prefix of a path that ends in a slash.
pub(super) struct Directory<'a> {
    pub(super) all: &'a str,
    /// What it adds to the directory before it.
    last: &'a str,
}

/// Returns every prefix of `path` that ends in a slash, shortest first.
pub(super) fn directories(path: &str) -> impl Iterator<Item = Directory<'_>> {
    let mut start = 0;
    path.match_indices('/').filter_map(move |(slash, _)| {
        let last = path.get(start..=slash)?;
        start = slash + 1;
        Some(Directory {
            all: path.get(..=slash)?,
            last,
        })
    })
}

fn rehash(keyed: &Slab<Bucket>, hashing: &RandomState, place: usize) -> u64 {
    keyed
        .get(place)
        .map_or(0, |bucket| bucket.key.hash(hashing))
}

/// Slashes in the part of a path that selects a bucket. This bounds how many buckets a topic is
/// looked up in.
pub(super) const DIRECTORIES_MAX: usize = 16;
