//! The file: restarts, other programs' files, space, permissions.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tidings_core::{
    Draft, EventId, EventType, Position, Target, Targets, Topics, TraceContext, Update, Visibility,
};
use tidings_history::storage::{OpenError, SqliteStorage};
use tidings_history::{Health, Retention};

use crate::desk::{Desk, EPOCH, KEEP_ALL, draft, topic};

#[test]
fn every_field_comes_back_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder/history.db");
    let full = Draft {
        trace: TraceContext::new([1; 16], [2; 8], true),
        topics: Topics::new(vec![topic("a b"), topic("https://é.example/\u{1f600}")]).unwrap(),
        data: "nul \0, \r\n, \u{feff}, \u{1f600}, ' \" ; --".into(),
        visibility: Visibility::Private,
        id: Some(EventId::parse("urn:example:é").unwrap()),
        event_type: Some(EventType::mercure()),
        retry_ms: Some(u64::MAX),
        presence: None,
    };
    let sparse = Draft {
        event_type: Some(EventType::parse("goal").unwrap()),
        ..draft("")
    };
    let targets = |texts: &[&str]| {
        let targets = texts.iter().map(|text| Target::parse(text).unwrap());
        let targets = Targets::new(targets.collect()).unwrap();
        Visibility::Targeted(targets.unwrap())
    };
    let targeted = Draft {
        topics: Topics::new(vec![topic("a"), topic("b")]).unwrap(),
        visibility: targets(&["", "foo", "https://e.com/users/é", ""]),
        ..draft("for some")
    };
    let nobodys = Draft {
        visibility: targets(&[""]),
        ..draft("for nobody")
    };
    let for_hubs = Draft {
        visibility: Visibility::Hubs,
        ..draft("for hubs")
    };
    let mut desk = Desk::on_file(&path, KEEP_ALL);
    let taken: Vec<Update> = desk
        .append(vec![full, sparse, targeted, nobodys, for_hubs], 42)
        .into_iter()
        .map(|answer| (*answer.unwrap()).clone())
        .collect();
    assert_eq!(read(&mut desk), taken);
    desk.writer.close();
    drop(desk);
    let mut desk = Desk::on_file(&path, KEEP_ALL);
    assert_eq!(read(&mut desk), taken);
    let messages: Vec<Update> = desk
        .writer
        .for_hubs()
        .unwrap()
        .iter()
        .map(|message| (**message).clone())
        .collect();
    assert_eq!(messages, taken[4..], "found without reading the rest");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn positions_and_ids_go_on_after_everything_was_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let retention = Retention {
        age_max: Some(Duration::from_secs(1)),
        ..KEEP_ALL
    };
    let mut desk = Desk::on_file(&path, retention);
    desk.publish("old", 10_000);
    desk.publish("old", 10_000);
    desk.tick(11_000);
    assert!(desk.read_all(Position::new(2)).unwrap().is_empty());
    drop(desk);
    let mut desk = Desk::on_file(&path, retention);
    // A clock that was set back does not set back the time of the history, which was noted.
    let update = desk.publish("new", 5_000);
    assert_eq!((update.position.get(), update.published_ms), (3, 11_000));
}

#[test]
fn the_file_shrinks_when_retention_removes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let retention = Retention {
        bytes_max: Some(1_000_000),
        ..KEEP_ALL
    };
    let mut desk = Desk::on_file(&path, retention);
    for _ in 0..20 {
        desk.append(vec![draft(&"x".repeat(10_000)); 100], 1);
        desk.writer.on_slack();
    }
    let before = fs::metadata(&path).unwrap().len();
    assert!(before > 15_000_000, "{before}");
    desk.tick(2);
    desk.tick(3);
    let after = fs::metadata(&path).unwrap().len();
    assert!(after < 3_500_000, "{after}");
    let log = fs::metadata(folder.path().join("history.db-wal"))
        .unwrap()
        .len();
    assert!(log < 32 << 20, "{log}");
    assert_eq!(desk.published.health(), Health::Ok);
    assert!(desk.published.stats().trimmed > 1800);
    desk.writer.close();
    drop(desk);
    assert!(!folder.path().join("history.db-wal").exists());
    let mut desk = Desk::on_file(&path, retention);
    let oldest = desk.published.bounds().oldest;
    assert!(
        desk.read_all(Position::new(oldest.get() - 1))
            .unwrap()
            .len()
            > 90
    );
}

#[test]
fn a_second_hub_on_the_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let desk = Desk::on_file(&path, KEEP_ALL);
    let error = open_error(&path);
    assert!(matches!(error, OpenError::InUse { pid: Some(pid), .. } if pid == std::process::id()));
    assert!(
        error.to_string().starts_with("another hub (process "),
        "{error}"
    );
    drop(desk);
    Desk::on_file(&path, KEEP_ALL);
}

#[test]
fn files_of_others_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    fs::write(&text, "not a database, but long enough for a header").unwrap();
    assert!(matches!(open_error(&text), OpenError::NotAHistory { .. }));
    assert!(
        fs::read_to_string(&text)
            .unwrap()
            .starts_with("not a database")
    );

    let other = folder.path().join("other.db");
    rusqlite::Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    assert!(matches!(open_error(&other), OpenError::NotAHistory { .. }));

    let damaged = folder.path().join("damaged.db");
    fs::write(
        &damaged,
        [b"SQLite format 3\0".as_slice(), &[0xff; 8000]].concat(),
    )
    .unwrap();
    assert!(matches!(open_error(&damaged), OpenError::Storage { .. }));

    let folder_as_file = open_error(folder.path());
    assert!(
        matches!(folder_as_file, OpenError::File { .. }),
        "{folder_as_file:?}"
    );
    let below_file = open_error(&text.join("history.db"));
    assert!(
        matches!(below_file, OpenError::Folder { .. }),
        "{below_file:?}"
    );
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    drop(Desk::on_file(&path, KEEP_ALL));
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute("UPDATE meta SET value = 4 WHERE name = 'format'", [])
        .unwrap();
    drop(connection);
    assert!(matches!(
        open_error(&path),
        OpenError::Newer { found: 4, .. }
    ));
}

#[test]
fn a_file_that_is_removed_under_the_hub_stops_acknowledgements() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let mut desk = Desk::on_file(&path, KEEP_ALL);
    desk.publish("", 1);
    fs::remove_file(&path).unwrap();
    desk.tick(2);
    assert!(matches!(desk.published.health(), Health::Poisoned { .. }));
    assert!(desk.append(vec![draft("")], 3)[0].is_err());
}

#[test]
fn an_operator_may_read_along() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let mut desk = Desk::on_file(&path, KEEP_ALL);
    desk.publish("seen from outside", 1);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let data: String = connection
        .query_row("SELECT data FROM updates", [], |row| row.get(0))
        .unwrap();
    assert_eq!(data, "seen from outside");
    desk.publish("not held up", 1);
}

fn read(desk: &mut Desk) -> Vec<Update> {
    let read = desk.read_all(Position::ZERO).unwrap();
    read.iter().map(|update| (**update).clone()).collect()
}

fn open_error(path: &Path) -> OpenError {
    SqliteStorage::open(path, EPOCH).err().expect("a refusal")
}
