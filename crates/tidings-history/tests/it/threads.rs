//! The history behind its handle, with its threads.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

use tidings_cluster::{History as _, RelayError};
use tidings_core::{Draft, Position, Update};
use tidings_history::{Handle, Health, Kind, Options, ReadError, Reading, Retention, Step, start};

use crate::desk::{EPOCH, KEEP_ALL, draft};

#[test]
fn a_thousand_readers_read_the_storage_about_once() {
    let folder = tempfile::tempdir().unwrap();
    let history = open(options(
        Kind::File {
            path: folder.path().join("h.db"),
        },
        KEEP_ALL,
    ));
    let count = 2000;
    for _ in 0..count {
        append(&history, draft("an update"));
    }
    let (tx, rx) = sync_channel(1000);
    let ask = |after| {
        let tx = tx.clone();
        history.read_page(after, Box::new(move |page| tx.send((after, page)).unwrap()));
    };
    let mut asked = 0;
    for reader in 0..1000 {
        ask(Position::new(reader % 7));
        asked += 1;
    }
    let mut finished = 0;
    while finished < 1000 {
        let (after, page) = rx.recv().unwrap();
        let page = page.unwrap();
        assert!(
            page.after(after)
                .first()
                .is_none_or(|update| update.position == after.next())
        );
        if page.next == after {
            finished += 1;
        } else {
            ask(page.next);
            asked += 1;
        }
    }
    let stats = history.stats();
    assert_eq!(stats.pages_read, 8, "2000 positions lie in 8 pages");
    assert_eq!(stats.pages_read + stats.pages_cached, asked - 1000);
    history.close();
}

#[test]
fn the_last_page_grows_and_is_not_taken_for_whole() {
    let history = open(options(Kind::Memory, KEEP_ALL));
    for number in 1..=300 {
        append(&history, draft(""));
        let (tx, rx) = sync_channel(1);
        let after = Position::new(number - 1);
        history.read_page(after, Box::new(move |page| tx.send(page).unwrap()));
        let page = rx.recv().unwrap().unwrap();
        assert_eq!(page.next, Position::new(number));
        assert_eq!(page.after(after).len(), 1);
    }
    history.close();
}

#[test]
fn what_is_queued_at_the_end_is_kept_and_what_comes_later_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let kind = Kind::File {
        path: folder.path().join("h.db"),
    };
    let history = open(options(kind.clone(), KEEP_ALL));
    let (tx, rx) = sync_channel(1000);
    for _ in 0..1000 {
        let tx = tx.clone();
        let done = Box::new(move |answer: Result<_, _>| tx.send(answer.is_ok()).unwrap());
        history.append(draft("queued"), done).unwrap();
    }
    let other = history.clone();
    history.close();
    assert_eq!(rx.try_iter().filter(|taken| *taken).count(), 1000);
    let refused = other.append(draft("late"), Box::new(|_| {}));
    assert!(matches!(refused, Err(RelayError::Closed)));
    let (tx, rx) = sync_channel(1);
    other.read_page(Position::ZERO, Box::new(move |page| tx.send(page).unwrap()));
    assert!(matches!(rx.recv().unwrap(), Err(ReadError::Closed)));
    let again = open(options(kind, KEEP_ALL));
    assert_eq!(again.bounds().last, Position::new(1000));
    assert_eq!(again.health(), Health::Ok);
    again.close();
}

#[test]
fn a_full_queue_refuses() {
    let (entered_tx, entered) = sync_channel(1);
    let (release, released) = sync_channel::<()>(0);
    let outlet = Box::new(move |step| {
        if matches!(step, Step::Answered) {
            return;
        }
        entered_tx.send(()).unwrap();
        // Ends with an error when the test lets go.
        assert!(released.recv().is_err());
    });
    let options = Options {
        queue_max: 2,
        ..options(Kind::Memory, KEEP_ALL)
    };
    let history = start(options, outlet, Box::new(Reading::default)).unwrap();
    history.append(draft("1"), Box::new(|_| {})).unwrap();
    entered.recv().unwrap();
    history.append(draft("2"), Box::new(|_| {})).unwrap();
    history.append(draft("3"), Box::new(|_| {})).unwrap();
    let refused = history.append(draft("4"), Box::new(|_| {}));
    assert!(matches!(refused, Err(RelayError::Busy)));
    drop(release);
    entered.recv().unwrap();
    history.close();
}

#[test]
fn groups_are_delivered_in_order_while_many_publish() {
    let positions = Arc::new(Mutex::new(Vec::new()));
    let router = Arc::clone(&positions);
    let outlet = Box::new(move |step| {
        if let Step::Committed(group) = step {
            let positions = group.iter().map(|update| update.position.get());
            router.lock().unwrap().extend(positions);
        }
    });
    let history = start(
        options(Kind::Memory, KEEP_ALL),
        outlet,
        Box::new(Reading::default),
    )
    .unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..250).for_each(|_| drop(append(&history, draft("")))));
        }
    });
    history.close();
    assert_eq!(*positions.lock().unwrap(), (1..=1000).collect::<Vec<u64>>());
}

/// Appends `draft` and waits for its acknowledgement.
pub(crate) fn append(history: &Handle, draft: Draft) -> Arc<Update> {
    let (tx, rx) = sync_channel(1);
    history
        .append(draft, Box::new(move |answer| tx.send(answer).unwrap()))
        .unwrap();
    rx.recv().unwrap().unwrap()
}

pub(crate) fn open(options: Options) -> Handle {
    start(options, Box::new(|_| {}), Box::new(Reading::default)).unwrap()
}

pub(crate) fn options(kind: Kind, retention: Retention) -> Options {
    Options {
        kind,
        retention,
        queue_max: 1000,
        group_max: 64,
        reads_max: 2000,
        cache_bytes_max: 16 * 1024 * 1024,
        order: EPOCH,
    }
}
