//! What cursors stand for: known, unknown, expired, used twice, forged, of another epoch.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

use tidings_core::{IdSeal, Position};
use tidings_history::{Handle, Kind, Request, Resolved, Retention};

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
        let sealed = |number| history.seal().seal(Position::new(number)).text().clone();
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
        check(&history, &sealed(1001), unknown);
        check(
            &history,
            "urn:uuid:00000000-0000-8000-8000-000000000000",
            unknown,
        );
        let foreign = IdSeal::new([8; 32]).seal(Position::new(5));
        check(&history, foreign.as_str(), unknown);
        check(&history, "", unknown);
        check(&history, "' OR 1=1 --", unknown);
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
    for _ in 0..28 {
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
    let sealed = |number| history.seal().seal(Position::new(number)).text().clone();
    check(
        &history,
        &sealed(20),
        Resolved::Unknown {
            oldest: Position::new(22),
        },
    );
    check(&history, &sealed(21), Resolved::After(Position::new(21)));
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
    let found = Arc::new(Mutex::new(None));
    let answer = Arc::clone(&found);
    let reply = Box::new(move |resolved| *answer.lock().unwrap() = Some(resolved));
    desk.reader.on_requests(&mut vec![Request::Find {
        id: cursor.into(),
        reply,
    }]);
    let found = found.lock().unwrap().take();
    match found.expect("an answer").expect("a readable history") {
        Resolved::After(position) => Some(position),
        Resolved::Unknown { .. } => None,
    }
}

#[track_caller]
fn check(history: &Handle, cursor: &str, expected: Resolved) {
    let (tx, rx) = sync_channel(1);
    history.resolve(
        cursor.into(),
        Box::new(move |resolved| tx.send(resolved).unwrap()),
    );
    assert_eq!(rx.recv().unwrap().unwrap(), expected, "{cursor}");
}
