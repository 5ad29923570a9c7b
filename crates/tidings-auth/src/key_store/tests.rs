//! Files that count, and files that do not.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

const DOCUMENT: &[u8] = b"{\"keys\": []}\n";
const NOW: u64 = 1_800_000_000;

#[test]
fn what_is_kept_is_found_by_its_address_alone_and_only_its_owner_can_read_it() {
    let (_folder, store) = store();
    assert!(store.load(&url("a"), NOW).unwrap().is_none());
    store.save(&url("a"), b"{}", NOW).unwrap();
    store.save(&url("a"), DOCUMENT, NOW).unwrap();
    assert_eq!(store.load(&url("a"), NOW).unwrap().unwrap(), DOCUMENT);
    assert!(store.load(&url("b"), NOW).unwrap().is_none());
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&store.path(&url("a"))), 0o600);
    assert_eq!(mode(&store.folder), 0o700);
    assert_eq!(fs::read_dir(&store.folder).unwrap().count(), 1);
}

#[test]
fn what_is_old_damaged_or_of_somebody_else_does_not_count() {
    let (_folder, store) = store();
    let path = store.path(&url("a"));
    let refused = |now| store.load(&url("a"), now).unwrap_err().to_string();
    store.save(&url("a"), DOCUMENT, NOW).unwrap();
    assert!(store.load(&url("a"), NOW + 60).unwrap().is_some());
    assert!(refused(NOW + 61).contains("61 s old"));
    // A clock that was set back makes nothing old.
    assert!(store.load(&url("a"), NOW - 1000).unwrap().is_some());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
    assert!(refused(NOW).contains("other users"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    store.save(&url("b"), DOCUMENT, NOW).unwrap();
    fs::rename(store.path(&url("b")), &path).unwrap();
    assert!(refused(NOW).contains("another address"));
    for (text, expected) in [
        ("{\"format\":1", "damaged"),
        ("{}", "damaged"),
        (
            r#"{"format":2,"url":"","fetched_secs":1,"document":""}"#,
            "format 2",
        ),
    ] {
        fs::write(&path, text).unwrap();
        assert!(refused(NOW).contains(expected), "{text}");
    }
    fs::write(&path, vec![b' '; 600_000]).unwrap();
    assert!(refused(NOW).contains("more than"));
    // Half a file that a crash left is in nobody's way.
    fs::write(path.with_extension("new"), "half").unwrap();
    store.save(&url("a"), DOCUMENT, NOW).unwrap();
    assert!(store.load(&url("a"), NOW).unwrap().is_some());
}

#[test]
fn what_is_not_configured_any_more_is_removed() {
    let (_folder, store) = store();
    store.forget_others(&[]).unwrap();
    for name in ["a", "b"] {
        store.save(&url(name), DOCUMENT, NOW).unwrap();
    }
    store.forget_others(&[url("b")]).unwrap();
    assert!(store.load(&url("a"), NOW).unwrap().is_none());
    assert!(store.load(&url("b"), NOW).unwrap().is_some());
}

fn store() -> (tempfile::TempDir, KeyStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = KeyStore::new(folder.path().join("key-sets"), Duration::from_secs(60));
    (folder, store)
}

fn url(name: &str) -> Url {
    Url::parse(&format!("https://id.example.com/{name}")).unwrap()
}
