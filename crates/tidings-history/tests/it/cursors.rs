//! What cursors stand for: known, unknown, expired, used twice, forged, of another epoch.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use tidings_core::{IdSeal, Position, Print};
use tidings_history::{Handle, Kind, Resolved, Retention};

use crate::desk::{Desk, KEEP_ALL, draft, draft_with_id, quick_folder};
use crate::threads::{append, open, options};

#[test]
fn every_cursor_is_answered_as_what_it_is() {
    let folder = quick_folder();
    for kind in [
        Kind::Memory,
        Kind::File {
            path: folder.path().join("history.db"),
        },
    ] {
        let history = open(options(kind, KEEP_ALL));
        for number in 1..=1000 {
            match number {
                300 | 700 => append(&history, draft_with_id("again", "urn:example:twice")),
                500 => append(&history, draft_with_id("once", "urn:example:once")),
                _ => append(&history, draft("")),
            };
        }
        let sealed = |number| cursor(&history, number).unwrap();
        let unknown = Resolved::Unknown {
            oldest: Position::new(1),
        };
        for number in [1, 256, 257, 999, 1000] {
            check(
                &history,
                &sealed(number),
                Resolved::After(Position::new(number)),
            );
        }
        check(
            &history,
            "urn:example:once",
            Resolved::After(Position::new(500)),
        );
        check(
            &history,
            "urn:example:twice",
            Resolved::After(Position::new(300)),
        );
        check(&history, "urn:example:never", unknown);
        assert_eq!(cursor(&history, 1001), None);
        let print = Some(Print::new([1; 16]));
        for number in [7, 1000, 1001, u64::MAX] {
            // Made with the right keys for other updates: those of a line that is not this one.
            let sealed = |print| history.seal().seal(Position::new(number), print);
            check(&history, sealed(print).as_str(), unknown);
            check(&history, sealed(None).as_str(), unknown);
        }
        assert_eq!(history.stats().cursors_lost, 6);
        check(
            &history,
            "urn:uuid:00000000-0000-8000-8000-000000000000",
            unknown,
        );
        let foreign = IdSeal::new([8; 32]).seal(Position::new(5), print);
        check(&history, foreign.as_str(), unknown);
        check(&history, "", unknown);
        check(&history, "' OR 1=1 --", unknown);
        assert_eq!(history.stats().cursors_lost, 6);
        history.close();
    }
}

#[test]
fn an_expired_cursor_is_unknown_and_the_last_before_what_is_kept_is_not() {
    let folder = quick_folder();
    let retention = Retention {
        updates_max: Some(10),
        ..KEEP_ALL
    };
    let mut desk = Desk::on_file(&folder.path().join("history.db"), retention);
    desk.append(
        vec![
            draft_with_id("", "urn:example:old"),
            draft_with_id("", "urn:x:2"),
        ],
        1,
    );
    for _ in 0..17 {
        desk.publish("", 1);
    }
    let (before, last) = (
        desk.publish("", 1).id.clone(),
        desk.publish("", 1).id.clone(),
    );
    for _ in 0..9 {
        desk.publish("", 1);
    }
    desk.append(vec![draft_with_id("", "urn:example:old")], 1);
    assert_eq!(find(&mut desk, "urn:example:old"), Some(Position::new(1)));
    desk.tick(2);
    assert_eq!(find(&mut desk, "urn:x:2"), None);
    // The later of two updates with an id is found once the first is gone.
    assert_eq!(find(&mut desk, "urn:example:old"), Some(Position::new(31)));
    desk.writer.close();
    drop(desk);

    let path = folder.path().join("history.db");
    let history = open(options(Kind::File { path }, retention));
    let unknown = Resolved::Unknown {
        oldest: Position::new(22),
    };
    check(&history, before.as_str(), unknown);
    // Its row is gone, its print is not.
    check(&history, last.as_str(), Resolved::After(Position::new(21)));
    assert_eq!(cursor(&history, 21).as_deref(), Some(last.as_str()));
    assert_eq!(cursor(&history, 20), None);
    assert_eq!(history.stats().cursors_lost, 0);
    history.close();
}

#[test]
fn a_history_that_keeps_nothing_knows_no_cursor() {
    let history = open(options(Kind::None, KEEP_ALL));
    let update = append(&history, draft("gone"));
    assert_eq!(update.position, Position::new(1));
    check(
        &history,
        update.id.as_str(),
        Resolved::Unknown {
            oldest: Position::new(2),
        },
    );
    history.close();
}

/// Looks a publisher's id up on the desk's reader.
pub(crate) fn find(desk: &mut Desk, cursor: &str) -> Option<Position> {
    match desk.resolve(cursor) {
        Resolved::After(position) => Some(position),
        Resolved::Unknown { .. } => None,
    }
}

/// Returns the hub's id of the update at a position.
pub(crate) fn cursor(history: &Handle, number: u64) -> Option<Arc<str>> {
    let (tx, rx) = sync_channel(1);
    let reply = Box::new(move |cursor| tx.send(cursor).unwrap());
    history.cursor(Position::new(number), reply);
    rx.recv().unwrap().unwrap().map(|id| Arc::clone(id.text()))
}

#[track_caller]
pub(crate) fn check(history: &Handle, cursor: &str, expected: Resolved) {
    let (tx, rx) = sync_channel(1);
    history.resolve(
        cursor.into(),
        |_| None,
        Box::new(move |resolved| tx.send(resolved).unwrap()),
    );
    assert_eq!(rx.recv().unwrap().unwrap(), expected, "{cursor}");
}
