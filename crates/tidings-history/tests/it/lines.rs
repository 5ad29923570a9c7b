//! Histories that went back, were copied, or lost a file: what was said of the line that is gone is
//! never taken for what stands in its place.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tidings_cluster::RelayError;
use tidings_core::{Draft, IdSource, Position, Presence, Print, PrintKey, Update};
use tidings_history::storage::{OpenError, SqliteStorage, StorageError};
use tidings_history::{Handle, Kind, PresenceRetention, Resolved, Retention};

use crate::cursors::{check, cursor};
use crate::desk::{Desk, EPOCH, KEEP_ALL, draft, draft_with_id, presence_draft, quick_folder};
use crate::threads::{append, open, options};

const UNKNOWN: Resolved = Resolved::Unknown {
    oldest: Position::new(1),
};

#[test]
fn what_was_published_after_a_backup_is_unknown_once_the_backup_is_back() {
    let folder = quick_folder();
    let path = folder.path().join("history.db");
    let copy = folder.path().join("copy.db");
    let history = on_file(&path);
    let kept = publish(&history, "kept", 1..=100);
    // The documented way, beside the running hub.
    let file = Connection::open(&path).unwrap();
    file.execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
        .unwrap();
    drop(file);
    let lost = publish(&history, "lost", 101..=150);
    history.close();
    fs::copy(&copy, &path).unwrap();
    let history = on_file(&path);
    for update in &lost {
        check(&history, update.id.as_str(), UNKNOWN);
    }
    // Wherever the new line has come to by then.
    let new = publish(&history, "new", 101..=160);
    assert_lines_part(&history, &kept, &lost, &new);
    assert_eq!(history.stats().cursors_lost, 80);
    history.close();
}

#[test]
fn what_was_in_a_lost_log_is_unknown_and_its_ids_are_not_given_again() {
    let folder = quick_folder();
    let path = folder.path().join("history.db");
    let mut desk = Desk::on_file(&path, KEEP_ALL);
    let kept: Vec<_> = (0..10).map(|_| desk.publish("kept", 1)).collect();
    // Moves the log into the file.
    desk.tick(1);
    let lost: Vec<_> = (0..20).map(|_| desk.publish("lost", 1)).collect();
    // The process dies, and its log is not there for the next one.
    let without_log = folder.path().join("without.db");
    fs::copy(&path, &without_log).unwrap();
    drop(desk);
    let history = on_file(&without_log);
    assert_eq!(history.bounds().last, Position::new(10));
    let new = publish(&history, "new", 11..=30);
    assert_lines_part(&history, &kept, &lost, &new);
    history.close();
}

#[test]
fn a_copy_that_is_started_elsewhere_shares_what_was_before_and_nothing_after() {
    let folder = quick_folder();
    let (path, copy) = (folder.path().join("one.db"), folder.path().join("two.db"));
    let history = on_file(&path);
    let kept = publish(&history, "kept", 1..=20);
    history.close();
    fs::copy(&path, &copy).unwrap();
    let (one, two) = (on_file(&path), on_file(&copy));
    let ones = publish(&one, "one", 21..=40);
    let mut twos = publish(&two, "two", 21..=30);
    // From here on both are told the same.
    twos.extend((31..=40).map(|_| append(&two, draft("one"))));
    assert_lines_part(&one, &kept, &twos, &ones);
    assert_lines_part(&two, &kept, &ones, &twos);
    one.close();
    two.close();
}

/// Checks what a history with the updates `kept` and `new` says of each id, also of the updates
/// `lost` that another line has in the places of the new ones.
#[track_caller]
fn assert_lines_part(
    history: &Handle,
    kept: &[Arc<Update>],
    lost: &[Arc<Update>],
    new: &[Arc<Update>],
) {
    let mut ids = HashSet::new();
    for update in kept.iter().chain(lost).chain(new) {
        if update.id_source == IdSource::Hub {
            assert!(ids.insert(&update.id), "{} is given twice", update.id);
        }
    }
    for update in kept.iter().chain(new) {
        let known = Resolved::After(update.position);
        if update.id_source == IdSource::Hub {
            check(history, update.id.as_str(), known);
        }
        let sealed = cursor(history, update.position.get()).unwrap();
        check(history, &sealed, known);
        assert!(update.id_source == IdSource::Publisher || *sealed == *update.id.as_str());
    }
    for update in lost {
        check(history, update.id.as_str(), UNKNOWN);
    }
}

#[test]
fn an_id_of_a_publisher_names_what_the_history_has_under_it_now() {
    let folder = quick_folder();
    let path = folder.path().join("history.db");
    let history = on_file(&path);
    append(&history, draft_with_id("kept", "urn:x:1"));
    history.close();
    let copy = folder.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    let history = on_file(&path);
    append(&history, draft_with_id("lost", "urn:x:2"));
    history.close();
    let history = on_file(&copy);
    check(&history, "urn:x:1", Resolved::After(Position::new(1)));
    check(&history, "urn:x:2", UNKNOWN);
    publish(&history, "other", 2..=5);
    append(&history, draft_with_id("again", "urn:x:2"));
    append(&history, draft_with_id("and again", "urn:x:2"));
    check(&history, "urn:x:2", Resolved::After(Position::new(6)));
    history.close();
}

#[test]
fn a_cursor_at_a_removed_event_of_presence_is_known_for_as_long_as_its_neighbours() {
    let retention = Retention {
        updates_max: Some(2),
        presence: PresenceRetention {
            age_max: Some(Duration::from_secs(60)),
            events_max: 1,
        },
        ..KEEP_ALL
    };
    let folder = quick_folder();
    let path = folder.path().join("history.db");
    let other = folder.path().join("other.db");
    for is_file in [true, false] {
        let desk = |path: &Path| match is_file {
            true => Desk::on_file(path, retention),
            false => Desk::in_memory(retention),
        };
        let mut one = desk(&path);
        let mut two = desk(&other);
        let first = one.publish("first", 1);
        two.publish("other first", 1);
        let event = |name| presence_draft(name, Presence::Begins(None));
        let drafts = || ["a", "b", "c"].map(event).to_vec();
        let answers = one.append(drafts(), 1);
        let events: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        two.append(drafts(), 1);
        for desk in [&mut one, &mut two] {
            desk.publish("second", 1);
            desk.tick(2);
        }
        let numbers = |desk: &mut Desk| {
            let read = desk.read_all(Position::ZERO).unwrap();
            let positions = read.iter().map(|update| update.position.get());
            positions.collect::<Vec<_>>()
        };
        assert_eq!(numbers(&mut one), [1, 4, 5]);
        for event in &events {
            let known = Resolved::After(event.position);
            assert_eq!(one.resolve(event.id.as_str()), known);
            assert_eq!(two.resolve(event.id.as_str()), UNKNOWN);
        }
        // Retention removes all but the last two updates, and their prints.
        one.publish("third", 1);
        one.publish("fourth", 1);
        one.tick(2);
        let oldest = one.published.bounds().oldest;
        assert_eq!(oldest, Position::new(6));
        for update in events.iter().chain([&first]) {
            let unknown = Resolved::Unknown { oldest };
            assert_eq!(one.resolve(update.id.as_str()), unknown);
        }
        assert_eq!(one.published.stats().cursors_lost, 0);
    }
}

#[test]
fn every_update_is_linked_to_the_one_before_across_restarts_and_removals() {
    let folder = quick_folder();
    let path = folder.path().join("history.db");
    let retention = Retention {
        presence: PresenceRetention {
            age_max: None,
            events_max: 1,
        },
        ..KEEP_ALL
    };
    let mut desk = Desk::on_file(&path, retention);
    let mut updates = Vec::new();
    for round in 0..4 {
        let drafts = vec![
            draft("plain"),
            draft_with_id("own", &format!("urn:x:{round}")),
            presence_draft("one", Presence::Begins(None)),
            presence_draft("one", Presence::Ends),
        ];
        updates.extend(desk.append(drafts, round).into_iter().map(Result::unwrap));
        desk.tick(round);
        if round == 1 {
            desk.writer.close();
            drop(desk);
            desk = Desk::on_file(&path, retention);
        }
    }
    let key = PrintKey::new(EPOCH.epoch().secret());
    let mut before = None;
    for update in &updates {
        let print = key.print(
            before,
            update.position,
            update.published_ms,
            &draft_of(update),
        );
        assert_eq!(update.print, Some(print), "{update:?}");
        before = Some(print);
    }
    let read: Vec<Option<Print>> = desk
        .read_all(Position::ZERO)
        .unwrap()
        .iter()
        .map(|update| update.print)
        .collect();
    assert!(read.len() < updates.len() && read.iter().all(Option::is_some));
}

/// Returns what was published, as far as prints ask for it.
fn draft_of(update: &Update) -> Draft {
    Draft {
        trace: None,
        topics: update.topics.clone(),
        data: Arc::clone(&update.data),
        visibility: update.visibility.clone(),
        id: (update.id_source == IdSource::Publisher).then(|| update.id.clone()),
        event_type: update.event_type.clone(),
        retry_ms: update.retry_ms,
        presence: update.presence,
    }
}

#[test]
fn nothing_is_acknowledged_once_a_file_is_removed_or_replaced() {
    for suffix in ["", "-wal", "-shm", ".lock"] {
        for replaced in [false, true] {
            let folder = quick_folder();
            let path = folder.path().join("history.db");
            let mut desk = Desk::on_file(&path, KEEP_ALL);
            desk.publish("kept", 1);
            let file = folder.path().join(format!("history.db{suffix}"));
            let copy = folder.path().join("copy");
            fs::copy(&file, &copy).unwrap();
            match replaced {
                true => fs::rename(&copy, &file).unwrap(),
                false => fs::remove_file(&file).unwrap(),
            }
            // No tick has looked at the files.
            let answer = desk.append(vec![draft("in vain")], 2).remove(0);
            let Err(RelayError::Failed { cause }) = answer else {
                panic!("{suffix} {replaced}: {answer:?}");
            };
            let Some(StorageError::Replaced { path }) = cause.downcast_ref() else {
                panic!("{suffix} {replaced}: {cause:?}");
            };
            assert_eq!(*path, fs::canonicalize(folder.path()).unwrap().join(file));
            // For good: putting the file back does not help.
            assert!(desk.append(vec![draft("in vain")], 3).remove(0).is_err());
        }
    }
}

#[test]
fn other_programs_may_read_and_copy_while_the_hub_writes() {
    let folder = quick_folder();
    let path = folder.path().join("history.db");
    let mut desk = Desk::on_file(&path, KEEP_ALL);
    for number in 0..50 {
        desk.publish("kept", number);
        let file = Connection::open(&path).unwrap();
        let count = "SELECT count(*) FROM updates";
        let count: i64 = file.query_row(count, [], |row| row.get(0)).unwrap();
        assert_eq!(count.cast_unsigned(), number + 1);
        desk.tick(number);
    }
}

#[test]
fn two_names_of_one_history_have_one_lock() {
    let folder = quick_folder();
    let path = folder.path().join("history.db");
    let desk = Desk::on_file(&path, KEEP_ALL);
    let (link, inside) = (folder.path().join("link.db"), folder.path().join("inside"));
    std::os::unix::fs::symlink("history.db", &link).unwrap();
    std::os::unix::fs::symlink(folder.path(), &inside).unwrap();
    for other in [link, inside.join("history.db")] {
        let refused = SqliteStorage::open(&other, EPOCH);
        assert!(matches!(refused, Err(OpenError::InUse { .. })), "{other:?}");
    }
    drop(desk);
}

fn on_file(path: &Path) -> Handle {
    let path = path.to_owned();
    open(options(Kind::File { path }, KEEP_ALL))
}

/// Publishes an update for each position. Every fifth has an id of its publisher.
fn publish(
    history: &Handle,
    data: &str,
    positions: std::ops::RangeInclusive<u64>,
) -> Vec<Arc<Update>> {
    let draft = |number: u64| match number % 5 {
        0 => draft_with_id(data, &format!("urn:example:{data}:{number}")),
        _ => draft(data),
    };
    let published: Vec<_> = positions
        .clone()
        .map(|number| append(history, draft(number)))
        .collect();
    let last = published.last().map(|update| update.position);
    assert_eq!(last, Some(Position::new(*positions.end())));
    published
}
