//! The list of revoked tokens: restarts, bounds, damaged files.

use super::*;

const NOW: u64 = 1_000;

fn revocation(id: &str, until: Option<u64>) -> Revocation {
    Revocation {
        id: id.into(),
        until,
    }
}

#[test]
fn a_revoked_token_is_refused_until_it_expires_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revoked-tokens.json");
    let revoked = Revocations::open(path.clone(), NOW).unwrap();
    let before = revoked.generation();
    revoked
        .add(revocation("short", Some(NOW + 10)), NOW)
        .unwrap();
    revoked.add(revocation("for good", None), NOW).unwrap();
    assert_ne!(revoked.generation(), before);
    let again = Revocations::open(path, NOW + 9).unwrap();
    for list in [&revoked, &again] {
        assert!(list.holds("short", NOW + 9));
        assert!(!list.holds("short", NOW + 10));
        assert!(list.holds("for good", u64::MAX));
        assert!(!list.holds("another", NOW));
    }
    assert_eq!(again.list(NOW + 10), [revocation("for good", None)]);
    assert!(again.remove("for good").unwrap());
    assert!(!again.remove("for good").unwrap());
    assert!(!again.holds("for good", NOW));
}

#[test]
fn what_expired_leaves_the_list_and_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revoked-tokens.json");
    let revoked = Revocations::open(path.clone(), NOW).unwrap();
    revoked.add(revocation("old", Some(NOW + 1)), NOW).unwrap();
    revoked.add(revocation("new", None), NOW + 1).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(
        text,
        "{\"format\":1,\"revoked\":[{\"id\":\"new\",\"until\":null}]}\n"
    );
}

#[test]
fn the_list_is_bounded_and_what_expires_makes_room() {
    let revoked = Revocations::default();
    let list = (0..REVOKED_MAX).map(|number| (number.to_string().into(), Some(NOW + 5)));
    revoked.list.store(Arc::new(list.collect()));
    let one_more = || revocation("one more", None);
    assert!(matches!(
        revoked.add(one_more(), NOW),
        Err(RevokeError::Full)
    ));
    // One that is there may be changed.
    revoked.add(revocation("7", None), NOW).unwrap();
    revoked.add(one_more(), NOW + 5).unwrap();
    assert_eq!(revoked.list(NOW + 5).len(), 2);
    let long = "x".repeat(ID_BYTES_MAX + 1);
    assert!(matches!(
        revoked.add(revocation(&long, None), NOW),
        Err(RevokeError::TooLong { .. })
    ));
    assert!(matches!(
        revoked.add(revocation("", None), NOW),
        Err(RevokeError::Empty)
    ));
}

#[test]
fn a_file_that_is_not_understood_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revoked-tokens.json");
    fs::write(&path, "{\"format\":1,\"revoked\":[{\"id\":\"a\"").unwrap();
    let error = Revocations::open(path.clone(), NOW).unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
    fs::write(&path, "{\"format\":2,\"revoked\":[]}").unwrap();
    let error = Revocations::open(path, NOW).unwrap_err();
    assert!(error.to_string().contains("has format 2"), "{error}");
}
