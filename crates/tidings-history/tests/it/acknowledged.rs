//! No publisher is answered, and no subscriber gets an update, before the sync that covers it: shown
//! with a storage that reports what it writes and syncs, under the real writer and on a real file.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use tidings_cluster::Cut;
use tidings_cluster::{Done, History as _};
use tidings_core::{Position, Print, Topic, Topics, Update};
use tidings_history::storage::{
    Announced, Extent, Mark, SqliteStorage, Storage, StorageError, StorageReader, Upkeep,
};
use tidings_history::{ClockNote, Handle, Kind, Options, Order, Reading, Removed, Step, detached};

use crate::desk::{EPOCH, KEEP_ALL, draft};

const PUBLISHERS: u64 = 8;
const UPDATES_EACH: u64 = 200;
/// Updates that are queued before the writer begins, and so become one group.
const QUEUED: u64 = 10;
const ALL: u64 = QUEUED + PUBLISHERS * UPDATES_EACH;

#[test]
fn no_update_is_acknowledged_or_delivered_before_the_sync_that_covers_it() {
    let report = run();
    let Progress { written, synced } = report.progress();
    assert_eq!(report.early(), [], "(what, position) before its sync");
    assert_eq!(synced.updates, ALL);
    assert_eq!(written, synced, "nothing is left unsynced");
    assert_eq!(report.acknowledged.load(Ordering::Relaxed), synced.updates);
    let syncs = report.syncs.load(Ordering::Relaxed);
    assert!((1..=ALL - QUEUED + 1).contains(&syncs), "{syncs} syncs");
}

#[test]
#[cfg(feature = "sabotage")]
fn an_acknowledgement_moved_before_the_sync_is_noticed() {
    use tidings_history::sabotage::{Rule, skip};
    // The rule is skipped in the thread that asks, which is the writer's.
    let report = run_with(|| skip(Some(Rule::AnswerAfterCommit)));
    let early = report.early();
    let acknowledged = early.iter().filter(|(what, _)| *what == "acknowledged");
    assert_eq!(acknowledged.count() as u64, ALL);
}

fn run() -> Arc<Report> {
    run_with(|| {})
}

/// Publishes from several threads at once while the writer works in one of its own, which calls
/// `prepare` first.
fn run_with(prepare: impl FnOnce() + Send) -> Arc<Report> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let report = Arc::new(Report::default());
    let storage = ReportingStorage {
        inner: SqliteStorage::open(&path, EPOCH).unwrap(),
        report: Arc::clone(&report),
    };
    let router = Arc::clone(&report);
    let outlet = Box::new(move |step| match step {
        Step::Committed(group) => {
            for update in group {
                router.check("delivered", &update);
            }
        }
        Step::Answered | Step::Cut(_) => {}
    });
    let (history, mut detached) = detached(Box::new(storage), options(), outlet).unwrap();
    for _ in 0..QUEUED {
        let appended = history.append(draft("queued"), done(&report, || {}));
        appended.expect("room in the queue");
    }
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            prepare();
            // What came before the end is written: nobody appends after it.
            while detached.write(64, Reading::default()) || !ended.load(Ordering::Acquire) {
                thread::yield_now();
            }
        });
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|_| scope.spawn(|| publish(&history, &report)))
            .collect();
        for publisher in publishers {
            publisher.join().unwrap();
        }
        ended.store(true, Ordering::Release);
        writer.join().unwrap();
    });
    report
}

/// Publishes one after another, each when the one before was acknowledged.
fn publish(history: &Handle, report: &Arc<Report>) {
    for number in 0..UPDATES_EACH {
        let (tx, answer) = std::sync::mpsc::sync_channel(1);
        let done = done(report, move || tx.send(()).unwrap());
        let appended = history.append(draft(&format!("{number:0>200}")), done);
        appended.expect("room in the queue");
        answer.recv().unwrap();
    }
}

/// Makes the completion of a publication. It checks the report before anything else.
fn done(report: &Arc<Report>, then: impl FnOnce() + Send + 'static) -> Done {
    let report = Arc::clone(report);
    Box::new(move |taken| {
        let update = taken.expect("a history that takes updates");
        report.check("acknowledged", &update);
        report.acknowledged.fetch_add(1, Ordering::Relaxed);
        then();
    })
}

fn options() -> Options {
    Options {
        kind: Kind::Memory,
        retention: KEEP_ALL,
        queue_max: 4096,
        group_max: 64,
        reads_max: 16,
        cache_bytes_max: 1 << 20,
        order: EPOCH,
    }
}

/// What the storage did so far, and who was answered too early.
#[derive(Default)]
struct Report {
    progress: Mutex<Progress>,
    syncs: AtomicU64,
    acknowledged: AtomicU64,
    early: Mutex<Vec<(&'static str, u64)>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    written: Amount,
    synced: Amount,
}

/// Updates and their bytes from the beginning of the history on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amount {
    updates: u64,
    bytes: u64,
}

impl Report {
    fn progress(&self) -> Progress {
        *self.progress.lock().unwrap()
    }

    fn early(&self) -> Vec<(&'static str, u64)> {
        self.early.lock().unwrap().clone()
    }

    /// Checks that everything acknowledged now was synced before.
    fn check(&self, what: &'static str, update: &Update) {
        let position = update.position.get();
        if position > self.progress().synced.updates {
            self.early.lock().unwrap().push((what, position));
        }
    }
}

/// The product's storage, with a report of what is written and when that is synced.
struct ReportingStorage {
    inner: SqliteStorage,
    report: Arc<Report>,
}

impl Storage for ReportingStorage {
    fn insert(&mut self, update: &Arc<Update>, mark: Mark) -> Result<(), StorageError> {
        self.inner.insert(update, mark)?;
        let mut progress = self.report.progress.lock().unwrap();
        progress.written.updates += 1;
        progress.written.bytes += update.bytes();
        assert_eq!(progress.written.updates, update.position.get());
        Ok(())
    }

    /// The sync: SQLite returns from it after the log is on the disk (`synchronous=FULL`).
    fn commit(&mut self) -> Result<(), StorageError> {
        self.inner.commit()?;
        let mut progress = self.report.progress.lock().unwrap();
        progress.synced = progress.written;
        self.report.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn withdraw(
        &mut self,
        topic: &Topic,
        after: Position,
        through: Position,
    ) -> Result<u64, StorageError> {
        self.inner.withdraw(topic, after, through)
    }

    fn cut(&mut self, cut: Cut) -> Result<(), StorageError> {
        self.inner.cut(cut)
    }

    fn order(&self) -> Order {
        self.inner.order()
    }

    fn extent(&self) -> Extent {
        self.inner.extent()
    }

    fn begin(&mut self) -> Result<(), StorageError> {
        self.inner.begin()
    }

    fn rollback(&mut self) -> Result<(), StorageError> {
        self.inner.rollback()
    }

    fn mark(&mut self, position: Position) -> Result<Option<Mark>, StorageError> {
        self.inner.mark(position)
    }

    fn print(&mut self, position: Position) -> Result<Option<Print>, StorageError> {
        self.inner.print(position)
    }

    fn trim(&mut self, through: Position, mark: Mark) -> Result<(), StorageError> {
        self.inner.trim(through, mark)
    }

    fn presence(&mut self, through: Position) -> Result<Vec<(Position, Topics)>, StorageError> {
        self.inner.presence(through)
    }

    fn trim_presence(&mut self, removed: &Removed) -> Result<(), StorageError> {
        self.inner.trim_presence(removed)
    }

    fn removed(&self) -> Removed {
        self.inner.removed()
    }

    fn announced(&mut self) -> Result<Vec<Announced>, StorageError> {
        self.inner.announced()
    }

    fn clock(&self) -> Option<ClockNote> {
        self.inner.clock()
    }

    fn note_clock(&mut self, note: ClockNote) -> Result<(), StorageError> {
        self.inner.note_clock(note)
    }

    fn probe(&mut self) -> Result<(), StorageError> {
        self.inner.probe()
    }

    fn check(&mut self) -> Result<(), StorageError> {
        self.inner.check()
    }

    fn upkeep(&self) -> Upkeep {
        self.inner.upkeep()
    }

    fn maintain(&mut self) -> Result<(), StorageError> {
        self.inner.maintain()
    }

    fn close(&mut self) -> Result<(), StorageError> {
        self.inner.close()
    }

    fn reader(&self) -> Result<Box<dyn StorageReader>, StorageError> {
        self.inner.reader()
    }
}
