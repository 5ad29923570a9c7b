//! Files that released hubs wrote, one of each format, as `tests/fixtures` has them: each made by
//! the hub of its time from the same seven updates, and in format 2 presence events
//! between the fifth and the sixth, of which retention has removed most.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;
use tidings_core::{Draft, Position, Presence, TraceContext};
use tidings_history::storage::HistoryFile;
use tidings_history::{Handle, Kind, Resolved};

use crate::cursors::{check, cursor};
use crate::desk::{Desk, KEEP_ALL, draft, presence_draft, quick_folder};
use crate::threads::{append, open, options};

/// The ids that subscribers were sent by the hub that wrote the file, with their positions.
const FORMAT_1: [(u64, &str); 7] = [
    (1, "urn:uuid:ec7084f5-c9ca-87fe-b06c-e747a9d35266"),
    (2, "urn:uuid:80f0ad4a-f718-80af-9bd0-f01191cf8a5e"),
    (3, "urn:uuid:7afd64a2-ce32-8556-9d11-ca42a644bad7"),
    (4, "urn:example:own"),
    (5, "urn:uuid:e1e16ab8-0882-8aa1-9aae-f6185844058c"),
    (6, "urn:uuid:8ccc1c25-233c-827b-90d2-dc4cc79cff81"),
    (7, "urn:uuid:037092b7-1831-844b-b056-fb4628f6230d"),
];
const FORMAT_2: [(u64, &str); 7] = [
    (1, "urn:uuid:d6881f66-6143-88f6-879a-dee7ac126937"),
    (2, "urn:uuid:b3bb10df-62ba-8c4c-8fc6-1e35acb0d886"),
    (3, "urn:uuid:645ea70f-4b33-8ec7-83b0-105393cdfb71"),
    (4, "urn:example:own"),
    (5, "urn:uuid:39ff2ecc-68c1-8cef-8e62-5aaf95aa6ddb"),
    (14, "urn:uuid:6fb5b5f4-e046-8ac9-b22a-0a2d96603ce8"),
    (15, "urn:uuid:ac7982f1-ad2c-875e-94c6-1f6d90677c65"),
];
const DATA: [&str; 7] = [
    "old 1",
    "old 2",
    "old 3",
    "old 4",
    "old 5\nécrit",
    "old 6",
    "old 7",
];

#[test]
fn a_file_of_format_1_is_read_and_goes_on() {
    check_file(1, &FORMAT_1);
}

#[test]
fn a_file_of_format_2_is_read_and_goes_on() {
    check_file(2, &FORMAT_2);
}

#[track_caller]
fn check_file(format: u32, ids: &[(u64, &str)]) {
    let (folder, path) = fixture(format);
    let mut desk = Desk::on_file(&path, KEEP_ALL);
    let last = desk.published.bounds().last;
    let read = desk.read_all(Position::ZERO).unwrap();
    let ordinary: Vec<_> = read.iter().filter(|old| old.presence.is_none()).collect();
    let shown = |(position, id)| (Position::new(position), id);
    let expected = ids.iter().copied().map(shown).zip(DATA);
    let found = ordinary
        .iter()
        .map(|old| ((old.position, old.id.as_str()), &*old.data));
    assert!(found.eq(expected), "{read:#?}");
    assert!(read.iter().all(|old| old.print.is_none()));
    desk.writer.close();
    drop(desk);

    let history = on_file(&path);
    let known = |history: &Handle| {
        for (position, id) in ids {
            check(history, id, Resolved::After(Position::new(*position)));
        }
        // Also where only an event was that is gone.
        for number in 1..=last.get() {
            let id = cursor(history, number).unwrap();
            check(history, &id, Resolved::After(Position::new(number)));
        }
    };
    known(&history);
    let new = append(&history, draft("new"));
    assert_eq!(new.position, last.next());
    assert!(new.print.is_some());
    known(&history);
    let after = Resolved::After(new.position);
    check(&history, new.id.as_str(), after);
    // The hub of before would have given this id to the update there.
    let unvouched = history.seal().seal(new.position, None);
    check(&history, unvouched.as_str(), UNKNOWN);
    history.close();

    let history = on_file(&path);
    known(&history);
    check(&history, new.id.as_str(), after);
    history.close();
    let mut desk = Desk::on_file(&path, KEEP_ALL);
    desk.append(vec![presence_draft("event", Presence::Begins(None))], 2);
    assert_eq!(desk.published.tip().position, new.position.next());
    drop(folder);
}

#[test]
fn a_line_that_was_lost_before_the_upgrade_is_unknown_after_it() {
    let (_folder, path) = fixture(2);
    // What the old hub gave after the backup was taken: it made ids of positions alone.
    let history = on_file(&path);
    let last = history.bounds().last.get();
    let lost = |number| history.seal().seal(Position::new(last + number), None);
    let lost: Vec<_> = (1..=5).map(lost).collect();
    for _ in 0..10 {
        append(&history, draft("new"));
    }
    for id in &lost {
        check(&history, id.as_str(), UNKNOWN);
    }
    history.close();
}

#[test]
fn a_file_of_format_3_that_began_without_holders_gets_them() {
    let folder = quick_folder();
    let path = folder.path().join("history.db");
    let mut desk = Desk::on_file(&path, KEEP_ALL);
    desk.append(vec![presence_draft("old", Presence::Begins(None))], 1);
    desk.writer.close();
    drop(desk);
    let file = Connection::open(&path).unwrap();
    for column in ["holder", "position"] {
        let change = format!("ALTER TABLE subscriptions DROP COLUMN {column}");
        file.execute_batch(&change).unwrap();
    }
    drop(file);
    for _ in 0..2 {
        let mut desk = Desk::on_file(&path, KEEP_ALL);
        let holder = Some(desk.writer.holder_key().holder("issuer", "subject"));
        desk.append(vec![presence_draft("new", Presence::Begins(holder))], 2);
        let mut found = desk.writer.announced().unwrap();
        found.sort_by(|a, b| a.data.cmp(&b.data));
        let has_place = found.iter().map(|it| it.position.is_some());
        assert_eq!(has_place.collect::<Vec<_>>(), [true, false]);
        let found: Vec<_> = found.iter().map(|it| (&*it.data, it.holder)).collect();
        assert_eq!(found, [("new", holder), ("old", None)]);
        desk.writer.close();
    }
}

#[test]
fn a_file_of_format_3_that_began_without_traces_gets_them() {
    let folder = quick_folder();
    let path = folder.path().join("history.db");
    let mut desk = Desk::on_file(&path, KEEP_ALL);
    desk.append(vec![draft("old")], 1);
    desk.writer.close();
    drop(desk);
    let file = Connection::open(&path).unwrap();
    file.execute_batch("ALTER TABLE updates DROP COLUMN trace")
        .unwrap();
    drop(file);
    // A command reads it before any hub does.
    let mut found = Vec::new();
    let mut file = HistoryFile::open(&path).unwrap();
    file.read(Position::new(1), Position::new(9), u64::MAX, &mut found)
        .unwrap();
    assert_eq!(found.len(), 1);
    drop(file);
    let trace = TraceContext::new([1; 16], [2; 8], true);
    let mut desk = Desk::on_file(&path, KEEP_ALL);
    let traced = Draft {
        trace,
        ..draft("new")
    };
    desk.append(vec![traced], 2);
    desk.writer.close();
    drop(desk);
    let mut file = HistoryFile::open(&path).unwrap();
    found.clear();
    file.read(Position::new(1), Position::new(9), u64::MAX, &mut found)
        .unwrap();
    let traces: Vec<_> = found.iter().map(|update| update.trace).collect();
    assert_eq!(traces, [None, trace]);
    // A hub of an older version does not name the column: its rows have none, and it goes on.
    let file = Connection::open(&path).unwrap();
    let columns = "position, published_ms, id, own_id, topics, type, retry_ms, private, data, \
        bytes_through, presence, presence_through, print";
    file.execute_batch(&format!(
        "INSERT INTO updates ({columns}) SELECT 3, published_ms, 'urn:x', 1, topics, type, \
        retry_ms, private, data, bytes_through, presence, presence_through, print \
        FROM updates WHERE position = 2"
    ))
    .unwrap();
    let trace: Option<Vec<u8>> = file
        .query_row("SELECT trace FROM updates WHERE position = 3", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(trace, None);
}

#[test]
fn the_fixtures_have_the_formats_that_they_stand_for() {
    for format in [1, 2] {
        let (_folder, path) = fixture(format);
        let file = Connection::open(&path).unwrap();
        let found = "SELECT value FROM meta WHERE name = 'format'";
        let found: u32 = file.query_row(found, [], |row| row.get(0)).unwrap();
        assert_eq!(found, format);
    }
}

const UNKNOWN: Resolved = Resolved::Unknown {
    oldest: Position::new(1),
};

fn fixture(format: u32) -> (TempDir, PathBuf) {
    let folder = quick_folder();
    let path = folder.path().join("history.db");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fs::copy(fixtures.join(format!("format-{format}.db")), &path).unwrap();
    (folder, path)
}

fn on_file(path: &Path) -> Handle {
    let path = path.to_owned();
    open(options(Kind::File { path }, KEEP_ALL))
}
