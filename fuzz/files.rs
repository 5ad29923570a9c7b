//! Files and documents: configurations, key sets, the store of another hub, pages of updates.

use tidings::documents;
use tidings_auth::jwk;
use tidings_cluster::page::Page;
use tidings_wire::bolt::{Bolt, Source, Stop};
use tidings_wire::stored_update::StoredUpdate;

use super::text;

/// Input: a bbolt file. Two walks return the same entries, in ascending key order.
pub fn bolt(input: &[u8]) {
    struct Bytes<'a>(&'a [u8]);
    impl Source for Bytes<'_> {
        type Error = std::convert::Infallible;
        fn bytes(&self) -> u64 {
            self.0.len() as u64
        }
        fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let end = start.saturating_add(buffer.len());
            buffer.copy_from_slice(self.0.get(start..end).expect("within the file"));
            Ok(())
        }
    }
    let Ok(bolt) = Bolt::open(Bytes(input)) else {
        return;
    };
    let Ok(bucket) = bolt.bucket(b"updates") else {
        return;
    };
    let walk = || {
        let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let walked = bolt.walk(&bucket, &mut |key, value| {
            entries.push((key.to_vec(), value.to_vec()));
            Ok::<(), std::convert::Infallible>(())
        });
        let ended = walked.map_err(|stop| match stop {
            Stop::Bolt(error) => error,
            Stop::Visitor(never) => match never {},
        });
        (entries, ended)
    };
    let (entries, ended) = walk();
    assert_eq!(walk(), (entries.clone(), ended));
    assert!(entries.is_sorted_by(|(a, _), (b, _)| a < b));
    for (key, value) in entries {
        drop(StoredUpdate::decode(&key, &value));
    }
}

/// Input: a Caddyfile.
pub fn caddyfile(input: &[u8]) {
    // However strange its names and values are, the output is a valid configuration.
    assert!(documents::import_caddyfile(&text(input)).unwrap_or(true));
}

/// Input: a key set as published by an issuer.
pub fn key_set(input: &[u8]) {
    let Ok(set) = jwk::parse(input) else {
        return;
    };
    assert!(set.keys.len() <= jwk::KEYS_MAX);
    for entry in set.keys {
        // A published key never verifies a signature of a shared secret.
        assert!(
            !entry.keys.is_empty() && entry.keys.iter().all(|key| !key.algorithm().is_shared())
        );
    }
}

/// Input: a value from the store of another hub. An independent JSON reader must read the same.
pub fn stored_update(input: &[u8]) {
    let key = [0; 8];
    let Ok(update) = StoredUpdate::decode(&key, input) else {
        return;
    };
    // The decoder ignores unknown fields, which may contain strings and numbers that the other
    // reader refuses.
    let Ok(json) = serde_json::from_str::<serde_json::Value>(&text(input)) else {
        return;
    };
    assert_eq!(json["ID"], update.id.as_str());
    assert_eq!(
        json["Topics"].as_array().map(Vec::len),
        Some(update.topics.len())
    );
    let targets = json["Targets"].as_object().map_or(0, serde_json::Map::len);
    assert_eq!(update.targets().count(), targets);
}

/// Reads a page of updates, as another hub of a cluster sends it.
pub fn cluster_page(input: &[u8]) {
    if let Ok(page) = Page::decode(input) {
        assert_eq!(Page::decode(&page.encode()), Ok(page));
    }
}
