//! A history that changes hands while both processes have it: one lets go of the file and follows what
//! the other writes.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use tidings_cluster::{History as _, RelayError};
use tidings_core::Update;
use tidings_history::{
    Handle, Kind, Reading, ReclaimError, ReleaseError, Retention, Step, start, start_beside,
};

use crate::desk::{KEEP_ALL, draft, quick_folder};
use crate::threads::{append, open, options};

const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn a_released_history_hands_on_what_the_other_process_writes() {
    let folder = quick_folder();
    let path = folder.path().join("history.db");
    let (old, seen) = watched(&path);
    append(&old, draft("before"));
    old.release().unwrap();
    let refused = old.append(draft("nobody"), Box::new(drop));
    assert!(matches!(refused, Err(RelayError::Closed)));
    assert_eq!(data_of(&seen, 1), ["before"]);

    let new = beside(&path, KEEP_ALL);
    for data in ["one", "two", "three"] {
        append(&new, draft(data));
    }
    assert_eq!(data_of(&seen, 3), ["one", "two", "three"]);
    assert_eq!(old.tip(), new.tip());
    assert_eq!(old.last_id(), new.last_id());
    assert!(matches!(old.release(), Err(ReleaseError::Gone)));
    old.close();
    new.close();
}

#[test]
fn a_history_that_nobody_took_over_is_written_again() {
    let folder = quick_folder();
    let path = folder.path().join("history.db");
    let (old, seen) = watched(&path);
    assert!(matches!(old.reclaim(), Err(ReclaimError::NotReleased)));
    old.release().unwrap();
    // It writes something, and dies.
    let new = beside(&path, KEEP_ALL);
    append(&new, draft("theirs"));
    assert!(matches!(old.reclaim(), Err(ReclaimError::Open(_))));
    new.close();
    old.reclaim().unwrap();
    let update = append(&old, draft("ours"));
    assert_eq!(update.position.get(), 2);
    assert_eq!(data_of(&seen, 2), ["theirs", "ours"]);
    // And it may try once more.
    old.release().unwrap();
    let new = beside(&path, KEEP_ALL);
    append(&new, draft("at last"));
    assert_eq!(data_of(&seen, 1), ["at last"]);
    old.close();
    new.close();
}

#[test]
fn nothing_is_removed_while_the_other_process_reads() {
    let folder = quick_folder();
    let path = folder.path().join("history.db");
    let (old, _seen) = watched(&path);
    for _ in 0..10 {
        append(&old, draft("a"));
    }
    old.release().unwrap();
    let few = Retention {
        updates_max: Some(2),
        ..KEEP_ALL
    };
    let new = beside(&path, few);
    // Its first tick, which would remove, comes before its first group is answered.
    append(&new, draft("a"));
    append(&new, draft("a"));
    assert_eq!(new.bounds().oldest.get(), 1);
    old.close();
    new.allow_removal();
    let began = std::time::Instant::now();
    while new.bounds().oldest.get() < 11 {
        assert!(began.elapsed() < DEADLINE, "{:?}", new.bounds());
        std::thread::yield_now();
    }
    new.close();
}

#[test]
fn a_history_in_memory_cannot_be_released() {
    let history = open(options(Kind::Memory, KEEP_ALL));
    assert!(matches!(history.release(), Err(ReleaseError::NotShared)));
    append(&history, draft("a"));
    history.close();
}

/// Opens a history and returns what comes out of it.
fn watched(path: &Path) -> (Handle, Receiver<Arc<Update>>) {
    let (sender, seen) = sync_channel(1000);
    let outlet = Box::new(move |step| {
        if let Step::Committed(group) = step {
            group.into_iter().for_each(|update| {
                sender.send(update).ok();
            });
        }
    });
    let kind = Kind::File { path: path.into() };
    let clock = Box::new(Reading::default);
    (start(options(kind, KEEP_ALL), outlet, clock).unwrap(), seen)
}

fn beside(path: &Path, retention: Retention) -> Handle {
    let kind = Kind::File { path: path.into() };
    let clock = Box::new(Reading::default);
    start_beside(options(kind, retention), Box::new(|_| {}), clock).unwrap()
}

fn data_of(seen: &Receiver<Arc<Update>>, count: usize) -> Vec<String> {
    let mut data = Vec::new();
    for _ in 0..count {
        let update = seen.recv_timeout(DEADLINE).unwrap();
        data.push(update.data.to_string());
    }
    data
}
