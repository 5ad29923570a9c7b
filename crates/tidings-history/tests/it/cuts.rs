//! A history that leaves a line: what goes, what stays, how it goes on, and what a relay reads of it.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

use tidings_cluster::{Cut, History as _, OrderedUpdate, RelayError, Stretch};
use tidings_core::{Draft, Position, Presence, Print, Update, Visibility};
use tidings_history::storage::{MemoryStorage, NoStorage, SqliteStorage, Storage, StorageError};
use tidings_history::{
    Append, Kind, PresenceRetention, ReadError, Request, Resolved, Retention, Step, Writer,
};

use crate::desk::{Desk, KEEP_ALL, at, draft, draft_with_id, presence_draft, quick_folder};
use crate::faults::memory_with_faults;
use crate::ordered::{RELAY, in_memory, line, of_relay, ordered, positions, store};
use crate::threads::open;

#[test]
fn what_was_cut_is_gone_and_another_line_goes_on_there() {
    let folder = quick_folder();
    let path = folder.path().join("history.db");
    let open = || Box::new(SqliteStorage::open(&path, RELAY).unwrap()) as Box<dyn Storage>;
    for storage in [open(), Box::new(MemoryStorage::new(RELAY))] {
        let mut desk = Desk::new(storage, KEEP_ALL);
        let before = store(&mut desk, line(1..=6)).unwrap();
        // The cached page is of the line that is left.
        assert_eq!(desk.read_all(Position::ZERO).unwrap().len(), 6);
        cut(&mut desk, Cut::After(Position::new(3))).unwrap();
        assert_eq!(desk.published.bounds().last, Position::new(3));
        assert_eq!(desk.published.tip().print, before[2].print);
        // Nor is anything known from the page that was cached.
        let resolved = desk.resolve(before[4].id.as_str());
        assert!(matches!(resolved, Resolved::Unknown { .. }), "{resolved:?}");
        assert_eq!(desk.read_all(Position::ZERO).unwrap(), before[..3]);
        let other = |position: u64| ordered(position, draft(&format!("other {position}")));
        let after = store(&mut desk, vec![other(4), other(5)]).unwrap();
        assert_eq!(positions(&after), [4, 5]);
        assert_ne!(after[0].print, before[3].print);
        assert_eq!(desk.read_all(Position::new(3)).unwrap(), after);
        for lost in &before[3..5] {
            let resolved = desk.resolve(lost.id.as_str());
            assert!(matches!(resolved, Resolved::Unknown { .. }), "{resolved:?}");
        }
        for known in before[..3].iter().chain(&after) {
            let resolved = desk.resolve(known.id.as_str());
            assert_eq!(resolved, Resolved::After(known.position));
        }
        let notes = stretch(&mut desk, 1..=9).updates;
        assert_eq!(notes.len(), 5);
    }
    let mut desk = Desk::new(open(), KEEP_ALL);
    let data: Vec<_> = desk.read_all(Position::ZERO).unwrap();
    assert_eq!(&*data[3].data, "other 4", "after the next start, too");
}

#[test]
fn a_publishers_id_that_was_cut_names_what_else_has_it() {
    let mut desk = in_memory();
    let with_id = |position, data| ordered(position, draft_with_id(data, "urn:example:1"));
    store(&mut desk, vec![with_id(1, "first"), with_id(2, "second")]).unwrap();
    cut(&mut desk, Cut::After(Position::new(1))).unwrap();
    assert_eq!(
        desk.resolve("urn:example:1"),
        Resolved::After(Position::new(1))
    );
    cut(&mut desk, Cut::After(Position::ZERO)).unwrap();
    assert!(matches!(
        desk.resolve("urn:example:1"),
        Resolved::Unknown { .. }
    ));
}

#[test]
fn a_history_can_go_on_in_the_middle_of_a_line() {
    let folder = quick_folder();
    let path = folder.path().join("history.db");
    let open = || Box::new(SqliteStorage::open(&path, RELAY).unwrap()) as Box<dyn Storage>;
    let whole = {
        let mut desk = in_memory();
        store(&mut desk, line(1..=9)).unwrap()
    };
    let from_outside = |position: u64| OrderedUpdate {
        print: whole[usize::try_from(position).unwrap() - 1].print,
        ..line(position..=position).remove(0)
    };
    for storage in [
        open(),
        Box::new(MemoryStorage::new(RELAY)),
        Box::new(NoStorage::new(RELAY)),
    ] {
        let mut desk = Desk::new(storage, KEEP_ALL);
        store(&mut desk, line(1..=2)).unwrap();
        cut(&mut desk, Cut::All(Position::new(6))).unwrap();
        let bounds = desk.published.bounds();
        assert_eq!(
            (bounds.oldest, bounds.last),
            (Position::new(7), Position::new(6))
        );
        assert!(matches!(
            desk.reader.page(Position::new(2)),
            Err(ReadError::Trimmed { .. })
        ));
        // Nothing is known of position 6, so the print of 7 is believed, and that of 8 checked.
        store(&mut desk, vec![from_outside(7), from_outside(8)]).unwrap();
        assert_eq!(desk.published.tip().print, whole[7].print);
        let forged = OrderedUpdate {
            print: Some(Print::new([1; 16])),
            ..from_outside(9)
        };
        assert!(store(&mut desk, vec![forged]).is_err());
        let resolved = desk.resolve(whole[1].id.as_str());
        assert!(matches!(resolved, Resolved::Unknown { .. }), "{resolved:?}");
    }
    let mut desk = Desk::new(open(), KEEP_ALL);
    assert_eq!(positions(&store(&mut desk, line(9..=9)).unwrap()), [9]);
    assert_eq!(
        positions(&desk.read_all(Position::new(6)).unwrap()),
        [7, 8, 9]
    );
}

#[test]
fn where_a_line_was_left_is_known_after_the_next_start() {
    let folder = quick_folder();
    let path = folder.path().join("history.db");
    let open = || Box::new(SqliteStorage::open(&path, RELAY).unwrap()) as Box<dyn Storage>;
    let left = || {
        let mut writer = Writer::new(open(), KEEP_ALL, Box::new(|_step| {}));
        writer.left_line_at().unwrap()
    };
    let mut desk = Desk::new(open(), KEEP_ALL);
    store(&mut desk, line(1..=4)).unwrap();
    drop(desk);
    assert_eq!(left(), None);
    for (at, cut_at) in [
        (2, Cut::After(Position::new(2))),
        (6, Cut::All(Position::new(6))),
    ] {
        cut(&mut Desk::new(open(), KEEP_ALL), cut_at).unwrap();
        assert_eq!(left(), Some(Position::new(at)));
    }
    // Retention removes what came after it: an update, then a message for hubs.
    let keeps_one = Retention {
        updates_max: Some(1),
        ..KEEP_ALL
    };
    let mut desk = Desk::new(open(), keeps_one);
    store(
        &mut desk,
        vec![ordered(7, draft("a")), ordered(8, draft("b"))],
    )
    .unwrap();
    desk.tick(50);
    drop(desk);
    assert_eq!(left(), Some(Position::new(6)));
    let message = Draft {
        visibility: Visibility::Hubs,
        ..draft("message")
    };
    let mut desk = Desk::new(open(), keeps_one);
    store(
        &mut desk,
        vec![ordered(9, message), ordered(10, draft("c"))],
    )
    .unwrap();
    desk.tick(50);
    drop(desk);
    assert_eq!(left(), None);
}

#[test]
fn a_relay_reads_what_it_gave_with_prints_and_notes() {
    let folder = quick_folder();
    let path = folder.path().join("history.db");
    for storage in [
        Box::new(SqliteStorage::open(&path, RELAY).unwrap()) as Box<dyn Storage>,
        Box::new(MemoryStorage::new(RELAY)),
    ] {
        let mut desk = Desk::new(storage, KEEP_ALL);
        let stored = store(&mut desk, line(1..=9)).unwrap();
        let read = stretch(&mut desk, 4..=8);
        assert_eq!(read.before, stored[2].print);
        let given: Vec<OrderedUpdate> = line(4..=8)
            .into_iter()
            .zip(&stored[3..])
            .map(|(update, stored)| OrderedUpdate {
                print: stored.print,
                ..update
            })
            .collect();
        assert_eq!(read.updates, given);
        assert_eq!(stretch(&mut desk, 1..=1).before, None);
    }
}

#[test]
fn a_note_is_part_of_what_a_print_vouches_for() {
    let (mut one, mut other) = (in_memory(), in_memory());
    let noted = |note: &[u8]| OrderedUpdate {
        note: note.into(),
        ..ordered(1, draft("the same"))
    };
    let prints = [(&mut one, b"a"), (&mut other, b"b")].map(|(desk, note)| {
        let stored = store(desk, vec![noted(note)]).unwrap();
        stored[0].print
    });
    assert_ne!(prints[0], prints[1]);
    assert!(store(&mut one, vec![noted(b"b")]).is_err());
}

#[test]
fn a_cut_that_fails_changes_nothing_and_is_told_to_nobody() {
    let (storage, plan) = memory_with_faults(RELAY);
    let mut desk = Desk::new(storage, KEEP_ALL);
    let stored = store(&mut desk, line(1..=4)).unwrap();
    plan.fail_from_now(|| StorageError::Full);
    let refused = cut(&mut desk, Cut::After(Position::new(2)));
    assert!(matches!(refused, Err(RelayError::Unavailable { .. })));
    assert_eq!(desk.published.bounds().last, Position::new(4));
    plan.mend();
    desk.tick(50);
    assert_eq!(desk.read_all(Position::ZERO).unwrap(), stored);
}

#[test]
fn a_cut_is_told_in_the_order_of_the_groups() {
    let steps = Arc::new(Mutex::new(Vec::new()));
    let outlet = {
        let steps = Arc::clone(&steps);
        Box::new(move |step| match step {
            Step::Committed(group) => steps.lock().unwrap().extend(positions(&group)),
            Step::Cut(tip) => steps.lock().unwrap().push(1000 + tip.position.get()),
            Step::Answered => {}
        })
    };
    let mut writer = Writer::new(Box::new(MemoryStorage::new(RELAY)), KEEP_ALL, outlet);
    let ordered = |updates: Vec<OrderedUpdate>| Append::Ordered {
        batch: tidings_cluster::Batch::take(&mut updates.into()).unwrap(),
        done: Box::new(|stored| drop(stored.unwrap())),
    };
    let cut = Append::Cut {
        cut: Cut::After(Position::new(1)),
        done: Box::new(|done| done.unwrap()),
    };
    let mut batch = vec![ordered(line(1..=2)), cut, ordered(line(2..=3))];
    writer.on_batch(&mut batch, at(1));
    assert_eq!(*steps.lock().unwrap(), [1, 2, 1001, 2, 3]);
}

/// So that a hub that was away can have the whole line of another one, whose prints go on over what retention
/// has removed.
#[test]
fn a_relay_reads_removed_presence_events_as_withdrawn() {
    let folder = quick_folder();
    let path = folder.path().join("history.db");
    let retention = Retention {
        presence: PresenceRetention {
            events_max: 1,
            age_max: None,
        },
        ..KEEP_ALL
    };
    for storage in [
        Box::new(SqliteStorage::open(&path, RELAY).unwrap()) as Box<dyn Storage>,
        Box::new(MemoryStorage::new(RELAY)),
    ] {
        let mut desk = Desk::new(storage, retention);
        let event = |at: u64| ordered(at, presence_draft(&at.to_string(), Presence::Begins(None)));
        let plain = |at: u64| ordered(at, draft(&at.to_string()));
        let all = vec![
            event(1),
            plain(2),
            event(3),
            event(4),
            event(5),
            plain(6),
            event(7),
        ];
        let before = store(&mut desk, all).unwrap();
        desk.tick(2);
        let left = desk.read_all(Position::ZERO).unwrap();
        assert_eq!(positions(&left), [2, 6, 7], "the events were removed");
        let read = stretch(&mut desk, 1..=7);
        let mut prints = before.iter().map(|update| update.print);
        assert!(
            read.updates
                .iter()
                .map(|update| update.print)
                .eq(prints.by_ref())
        );
        let withdrawn = |update: &OrderedUpdate| update.draft.visibility == Visibility::Withdrawn;
        let which: Vec<bool> = read.updates.iter().map(withdrawn).collect();
        assert_eq!(which, [true, false, true, true, true, false, false]);
        assert!(read.updates.is_sorted_by_key(|update| update.published_ms));
        // A part that begins or ends among the removed ones, or that has nothing else.
        for part in [1..=1, 1..=4, 3..=5, 4..=9, 4..=6] {
            let through = (*part.end()).min(7);
            let count = through + 1 - part.start();
            let read = stretch(&mut desk, part.clone());
            assert_eq!(read.updates.len() as u64, count, "{part:?}");
        }
        // Another history stores them, with the same ids.
        let mut other = in_memory();
        let stored = store(&mut other, read.updates).unwrap();
        let ids = |updates: &[Arc<Update>]| -> Vec<String> {
            updates.iter().map(|update| update.id.to_string()).collect()
        };
        assert_eq!(ids(&stored), ids(&before));
        assert_eq!(other.published.tip(), desk.published.tip());
        assert_eq!(positions(&store(&mut other, vec![plain(8)]).unwrap()), [8]);
    }
}

#[test]
fn a_handle_passes_on_what_its_relay_asks() {
    let history = open(of_relay(Kind::Memory));
    let (tx, rx) = sync_channel(1);
    let batch = tidings_cluster::Batch::take(&mut line(1..=3).into()).unwrap();
    let done = Box::new(move |stored: Result<Vec<_>, _>| tx.send(stored.unwrap().len()).unwrap());
    history.append_ordered(batch, done).unwrap();
    assert_eq!(rx.recv().unwrap(), 3);
    let (tx, rx) = sync_channel(1);
    let done = Box::new(move |stretch: Result<Stretch, _>| tx.send(stretch.unwrap()).unwrap());
    history
        .stretch(Position::new(2), Position::new(9), 1 << 20, done)
        .unwrap();
    let read = rx.recv().unwrap();
    assert_eq!(read.updates.len(), 2);
    let (tx, rx) = sync_channel(1);
    let done = Box::new(move |done| tx.send(done).unwrap());
    history.cut(Cut::After(Position::new(1)), done).unwrap();
    rx.recv().unwrap().unwrap();
    let (position, print) = tidings_cluster::History::tip(&history);
    assert_eq!((position, print), (Position::new(1), read.before));
    assert_eq!(history.oldest(), Position::new(1));
    assert!(history.takes_updates().is_ok());
    history.close();
}

fn cut(desk: &mut Desk, cut: Cut) -> Result<(), RelayError> {
    let (tx, rx) = sync_channel(1);
    let done = Box::new(move |done| tx.send(done).unwrap());
    desk.writer
        .on_batch(&mut vec![Append::Cut { cut, done }], at(1));
    rx.recv().unwrap()
}

fn stretch(desk: &mut Desk, positions: std::ops::RangeInclusive<u64>) -> Stretch {
    let (tx, rx) = sync_channel(1);
    let request = Request::Stretch {
        from: Position::new(*positions.start()),
        to: Position::new(*positions.end()),
        bytes_max: 1 << 20,
        reply: Box::new(move |stretch| tx.send(stretch).unwrap()),
    };
    desk.reader.on_requests(&mut vec![request]);
    rx.recv().unwrap().unwrap()
}
