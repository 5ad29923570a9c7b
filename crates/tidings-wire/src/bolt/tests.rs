//! Files that Go's bbolt made, whole, cut and damaged.

use std::convert::Infallible;

use super::*;
use crate::stored_update::StoredUpdate;

/// Made by several transactions: pages of 1024 bytes, removed entries, one value that spans ten
/// pages.
const FILE: &[u8] = include_bytes!("../../tests/bolt/mercure.db");
/// A bucket inside a leaf of its parent, with pages of 4096 bytes.
const SMALL: &[u8] = include_bytes!("../../tests/bolt/small.db");
/// A file of a hub from 2019.
const OLD: &[u8] = include_bytes!("../../tests/bolt/updates-2019.db");
/// A file without buckets.
const EMPTY: &[u8] = include_bytes!("../../tests/bolt/empty.db");

#[test]
fn all_entries_come_in_order() {
    let updates = read(FILE).unwrap();
    let ids: Vec<&str> = updates.iter().map(|update| update.id.as_str()).collect();
    let expected: Vec<String> = (21..=120)
        .map(|number| format!("urn:uuid:00000000-0000-4000-8000-{number:012}"))
        .collect();
    assert_eq!(ids, expected);
    let long = &updates[29];
    assert!(long.data.starts_with("line 1\nline 2 <&> \u{2028} ü x") && long.data.len() > 9000);
    assert!(updates[0].private && !updates[1].private);
    assert_eq!(
        (updates[4].event_type.as_str(), updates[4].retry_ms),
        ("sold", 2000)
    );
    assert_eq!(
        updates[1].topics,
        ["https://example.com/books/1", "https://example.com/all"]
    );
}

#[test]
fn a_bucket_may_stand_in_its_parents_page() {
    let updates = read(SMALL).unwrap();
    let data: Vec<&str> = updates.iter().map(|update| update.data.as_str()).collect();
    assert_eq!(data, ["one", "two"]);
}

#[test]
fn targets_of_2019_are_read() {
    let updates = read(OLD).unwrap();
    assert_eq!(updates[0].targets().count(), 0);
    assert_eq!(updates[1].targets().collect::<Vec<_>>(), ["bar", "foo"]);
}

#[test]
fn a_file_without_the_bucket_says_so() {
    assert_eq!(read(EMPTY), Err(BoltError::NoBucket));
    let names = |file| Bolt::open(Bytes(file)).unwrap().bucket_names(8).unwrap();
    assert!(names(EMPTY).is_empty());
    let bolt = Bolt::open(Bytes(SMALL)).unwrap();
    assert_eq!(bolt.bucket(b"other").unwrap_err(), BoltError::NoBucket);
    assert_eq!(names(SMALL), ["updates"]);
    assert!(bolt.bucket_names(0).unwrap().is_empty());
}

#[test]
fn a_damaged_first_meta_page_leaves_the_second() {
    for file in [FILE, SMALL] {
        let mut damaged = file.to_vec();
        damaged[20] ^= 1;
        // The second meta page may hold a state from before the bucket was made.
        assert!(matches!(read(&damaged), Ok(_) | Err(BoltError::NoBucket)));
        // Without any meta page nothing is left.
        let page = if file.len() == FILE.len() { 1024 } else { 4096 };
        damaged[page + 20] ^= 1;
        assert_eq!(read(&damaged), Err(BoltError::NoMeta));
    }
    assert_eq!(read(b""), Err(BoltError::NoMeta));
    assert_eq!(read(b"SQLite format 3\0"), Err(BoltError::NoMeta));
}

#[test]
fn every_cut_of_a_file_is_refused_or_read_whole() {
    let whole = read(FILE).unwrap();
    for length in (0..FILE.len()).step_by(97) {
        let (cut, _) = FILE.split_at(length);
        // The part that was cut off may consist of free pages.
        if let Ok(updates) = read(cut) {
            assert_eq!(updates, whole, "{length}");
        }
    }
}

#[test]
fn no_changed_byte_breaks_the_reader() {
    for file in [FILE, SMALL] {
        for offset in (0..file.len()).step_by(7) {
            for bit in [0x01, 0x80] {
                let mut damaged = file.to_vec();
                damaged[offset] ^= bit;
                drop(read(&damaged));
            }
        }
    }
}

#[test]
fn a_page_that_is_its_own_child_is_refused() {
    // The tree's root is a branch; make its first child the root itself.
    let bolt = Bolt::open(Bytes(FILE)).unwrap();
    let root = usize::try_from(bolt.bucket(b"updates").unwrap().root).unwrap() * 1024;
    let mut damaged = FILE.to_vec();
    let itself: [u8; 8] = damaged[root..root + 8].try_into().unwrap();
    damaged[root + HEAD + 8..root + HEAD + 16].copy_from_slice(&itself);
    let error = read(&damaged).unwrap_err();
    assert!(
        matches!(error, BoltError::Page { what, .. } if what.contains("descendant")),
        "{error:?}"
    );
}

struct Bytes<'a>(&'a [u8]);

impl Source for Bytes<'_> {
    type Error = Infallible;

    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Infallible> {
        let start = usize::try_from(offset).unwrap();
        buffer.copy_from_slice(&self.0[start..start + buffer.len()]);
        Ok(())
    }
}

fn read(file: &[u8]) -> Result<Vec<StoredUpdate>, BoltError<Infallible>> {
    let bolt = Bolt::open(Bytes(file))?;
    let bucket = bolt.bucket(b"updates")?;
    let mut updates = Vec::new();
    let walked = bolt.walk(&bucket, &mut |key, value| {
        // The changed byte may be in a value.
        updates.extend(StoredUpdate::decode(key, value));
        Ok::<(), Infallible>(())
    });
    match walked {
        Ok(()) => Ok(updates),
        Err(Stop::Bolt(error)) => Err(error),
        Err(Stop::Visitor(never)) => match never {},
    }
}
