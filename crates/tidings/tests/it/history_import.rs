//! Imports the history of another Mercure hub. The files were made with Go's bbolt library
//! (`crates/tidings-wire/tests/bolt/make.go`).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use crate::harness::served::{SERVED, served_token};
use crate::harness::{HUB_PATH, Request, TestHub, run};

#[test]
fn updates_keep_their_order_and_ids_and_can_be_resumed_from() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (code, output, error) = import(&folder, &file("mercure.db"));
    assert_eq!(
        (code, output.as_str()),
        (0, "100 updates imported\n"),
        "{error}"
    );
    let hub = TestHub::serve_in(Arc::clone(&folder), SERVED, &[]);
    let token = served_token(&["--subscribe", "*"]);
    let id = |number: u32| format!("urn:uuid:00000000-0000-4000-8000-{number:012}");
    let ask = format!("{HUB_PATH}?match=*&last_event_id={}", id(29));
    let mut stream = hub.subscribe_by(Request::get(&ask).bearer(&token));
    for number in 30..=120 {
        let event = stream.event();
        assert_eq!(event.last_event_id, id(number));
        let kind = if number % 5 == 0 { "sold" } else { "message" };
        assert_eq!(event.event_type, kind);
        let data = format!("update {number}");
        let long = number == 50 && event.data.starts_with("line 1\nline 2 <&> \u{2028} ü x");
        assert!(event.data == data || long, "{number}: {}", event.data);
    }
    // Every third is private.
    let anonymous = format!("{HUB_PATH}?match=*&last_event_id={}", id(29));
    let other = served_token(&["--subscribe", "none"]);
    let mut stream = hub.subscribe_by(Request::get(&anonymous).bearer(&other));
    assert_eq!(
        [stream.event(), stream.event()].map(|event| event.last_event_id),
        [id(31), id(32)]
    );
}

#[test]
fn an_update_with_targets_is_seen_by_nobody_without_a_grant() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (code, _, error) = import(&folder, &file("updates-2019.db"));
    assert_eq!(code, 0, "{error}");
    let hub = TestHub::serve_in(Arc::clone(&folder), SERVED, &[]);
    let ask = format!("{HUB_PATH}?match=t&last_event_id=earliest");
    let data = |token: &str, count: usize| {
        hub.subscribe_by(Request::get(&ask).bearer(token))
            .data(count)
    };
    assert_eq!(
        data(&served_token(&["--subscribe", "t"]), 2),
        ["public", "for foo"]
    );
    let other = served_token(&["--subscribe", "x", "--publish", "*"]);
    let mut stream = hub.subscribe_by(Request::get(&ask).bearer(&other));
    assert_eq!(stream.data(1), ["public"]);
    assert_eq!(
        hub.publish_as(&other, &[("topic", "t"), ("data", "next")])
            .status,
        200
    );
    assert_eq!(stream.data(1), ["next"]);
}

#[test]
fn a_damaged_file_is_refused_and_neither_side_is_touched() {
    let whole = fs::read(file("mercure.db")).unwrap();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let path = folder.path().join("damaged.db");
    let cut = whole.split_at(whole.len() / 4).0.to_vec();
    let mut spoilt = whole;
    // Somewhere in the values: JSON that is none any more.
    let at = spoilt
        .windows(6)
        .rposition(|window| window == b"\"Data\"")
        .unwrap();
    spoilt[at] = b'x';
    for damaged in [cut, spoilt, b"SQLite format 3\0".to_vec(), Vec::new()] {
        fs::write(&path, &damaged).unwrap();
        let (code, output, error) = import(&folder, &path);
        assert_eq!((code, output.as_str()), (1, ""), "{error}");
        assert!(error.contains("damaged"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), damaged);
        assert!(!folder.path().join("data/history.db").exists());
    }
}

#[test]
fn a_file_in_use_or_a_history_with_updates_is_refused() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let path = folder.path().join("mercure.db");
    fs::copy(file("small.db"), &path).unwrap();
    let held = fs::File::open(&path).unwrap();
    flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
    let (code, _, error) = import(&folder, &path);
    assert_eq!(code, 1);
    assert!(error.contains("stop its hub first"), "{error}");
    drop(held);
    assert_eq!(import(&folder, &path).0, 0);
    let (code, _, error) = import(&folder, &path);
    assert_eq!(code, 1);
    assert!(error.contains("already has updates"), "{error}");
}

#[test]
fn the_result_for_programs_is_json() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (code, output, error) = import_with(&folder, &file("mercure.db"), &["--json"]);
    assert_eq!(code, 0, "{error}");
    let printed: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(
        printed,
        serde_json::json!({"imported": 100, "not_imported": []})
    );
}

#[test]
fn the_file_of_a_hub_that_never_published_has_nothing_to_take_over() {
    // Such a file has no bucket at all; one that has others was read with a wrong name.
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (code, output, error) = import(&folder, &file("empty.db"));
    assert_eq!(
        (code, output.as_str()),
        (0, "0 updates imported\n"),
        "{error}"
    );
    assert_eq!(import(&folder, &file("small.db")).0, 0);
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (code, _, error) = import_with(&folder, &file("small.db"), &["--bucket", "other"]);
    assert_eq!(code, 1);
    assert!(
        error.contains("\"other\"") && error.contains("\"updates\""),
        "{error}"
    );
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tidings-wire/tests/bolt")
        .join(name)
}

/// Imports into the history of the hub that is served in `folder`.
fn import(folder: &Arc<TempDir>, file: &Path) -> (i32, String, String) {
    import_with(folder, file, &[])
}

fn import_with(folder: &Arc<TempDir>, file: &Path, more: &[&str]) -> (i32, String, String) {
    let toml = folder.path().join("import.toml");
    let data = folder.path().join("data").display().to_string();
    let text = format!("{SERVED}[[listen]]\naddress = \"127.0.0.1:1\"\n[data]\ndir = {data:?}\n");
    fs::write(&toml, text).unwrap();
    let (file, toml) = (file.to_str().unwrap(), toml.to_str().unwrap());
    let arguments = ["history", "import", file, "--config", toml];
    run(&[&arguments[..], more].concat(), &[])
}
