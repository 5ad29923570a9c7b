//! Faults at every operation of the storage: refused, in doubt, crashed.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tidings_cluster::Cut;
use tidings_cluster::RelayError;
use tidings_core::{Position, Print, Topic, Topics, Update};
use tidings_history::storage::{
    Announced, Extent, Mark, MemoryStorage, SqliteStorage, Storage, StorageError, StorageReader,
    Upkeep,
};
use tidings_history::{Append, ClockNote, Health, Order, Removed, Retention, Step, Writer};

use crate::desk::{Desk, EPOCH, KEEP_ALL, at, draft, draft_with_id, quick_folder};

#[test]
fn a_storage_that_is_full_refuses_everybody_and_takes_updates_again_after_a_probe() {
    let (mut desk, plan) = desk_with_faults(KEEP_ALL);
    desk.publish("before", 1);
    plan.fail_from_now(|| StorageError::Full);
    let answers = desk.append(vec![draft("a"), draft("b")], 2);
    assert_eq!(answers.len(), 2);
    for answer in answers {
        let error = answer.expect_err("a full disk");
        assert!(
            matches!(&error, RelayError::Unavailable { cause } if cause.to_string().contains("space"))
        );
    }
    assert!(matches!(desk.published.health(), Health::Refusing { .. }));
    // The fault is over, but the writer does not know yet: it tries nothing before the probe.
    plan.mend();
    let operations = plan.operations();
    assert!(desk.append(vec![draft("c")], 3)[0].is_err());
    assert_eq!(plan.operations(), operations);
    desk.tick(4);
    assert_eq!(desk.published.health(), Health::Ok);
    assert_eq!(desk.publish("d", 5).position, Position::new(2));
    assert_eq!(desk.published.stats().refusals, 3);
    let data: Vec<_> = desk
        .delivered
        .lock()
        .unwrap()
        .iter()
        .map(|u| u.data.clone())
        .collect();
    assert_eq!(data, ["before".into(), "d".into()]);
}

#[test]
fn those_who_wait_for_a_group_are_woken_once_after_its_last_answer() {
    let log: Arc<Mutex<Vec<&str>>> = Arc::default();
    let (storage, plan) = memory_with_faults(EPOCH);
    let outlet = {
        let log = Arc::clone(&log);
        Box::new(move |step| {
            log.lock().unwrap().push(match step {
                Step::Committed(_) => "committed",
                Step::Answered => "answered",
                Step::Cut(_) => "cut",
            });
        })
    };
    let mut writer = Writer::new(storage, KEEP_ALL, outlet);
    let group = || -> Vec<Append> {
        let append = |data| {
            let log = Arc::clone(&log);
            let done = Box::new(move |kept: Result<_, _>| {
                let word = if kept.is_ok() { "done" } else { "refused" };
                log.lock().unwrap().push(word);
            });
            Append::Draft {
                draft: draft(data),
                done,
            }
        };
        vec![append("a"), append("b")]
    };
    writer.on_batch(&mut Vec::new(), at(1));
    writer.on_batch(&mut group(), at(1));
    plan.fail_from_now(|| StorageError::Full);
    // The first finds the fault, the second is refused without being tried.
    writer.on_batch(&mut group(), at(2));
    writer.on_batch(&mut group(), at(3));
    let expected = "committed done done answered refused refused answered refused refused answered";
    assert_eq!(log.lock().unwrap().join(" "), expected);
}

#[test]
fn a_failed_sync_ends_acknowledgements_for_good() {
    let (mut desk, plan) = desk_with_faults(KEEP_ALL);
    desk.publish("before", 1);
    plan.fail_from_now(|| StorageError::SyncFailed("injected".into()));
    assert!(matches!(
        desk.append(vec![draft("")], 2)[0],
        Err(RelayError::Failed { .. })
    ));
    plan.mend();
    desk.tick(3);
    let Health::Poisoned { reason } = desk.published.health() else {
        panic!("not poisoned")
    };
    assert!(reason.contains("injected"), "{reason}");
    let operations = plan.operations();
    assert!(matches!(
        desk.append(vec![draft("")], 4)[0],
        Err(RelayError::Failed { .. })
    ));
    desk.writer.close();
    assert_eq!(plan.operations(), operations, "nothing is written any more");
    assert_eq!(desk.read_all(Position::ZERO).unwrap().len(), 1);
}

#[test]
fn a_group_that_cannot_be_dropped_ends_acknowledgements_for_good() {
    let (mut desk, plan) = desk_with_faults(KEEP_ALL);
    // The group is begun, and its first update fails.
    plan.fail_once_at(1, || StorageError::Full);
    plan.fail_rollbacks(|| StorageError::Unwritable("injected".into()));
    assert!(matches!(
        desk.append(vec![draft("")], 1)[0],
        Err(RelayError::Failed { .. })
    ));
    assert!(matches!(desk.published.health(), Health::Poisoned { .. }));
}

#[test]
fn a_fault_at_any_operation_loses_nothing_that_was_acknowledged() {
    let retention = Retention {
        updates_max: Some(30),
        ..KEEP_ALL
    };
    let mut at = 0;
    loop {
        let (mut desk, plan) = desk_with_faults(retention);
        plan.fail_once_at(at, || StorageError::Full);
        let acknowledged = script(&mut desk);
        if !plan.failed() {
            break;
        }
        desk.tick(1);
        desk.publish("after the fault", 1);
        let oldest = desk.published.bounds().oldest;
        let kept = desk.read_all(Position::new(oldest.get() - 1)).unwrap();
        let kept: Vec<_> = kept.iter().map(|update| &update.position).collect();
        let dense: Vec<_> = (oldest.get()..=desk.published.bounds().last.get()).collect();
        assert_eq!(kept.iter().map(|p| p.get()).collect::<Vec<_>>(), dense);
        assert_eq!(
            acknowledged.len() + 1,
            desk.published.bounds().last.get() as usize
        );
        at += 1;
    }
    assert!(at > 100, "only {at} operations");
}

#[test]
fn a_crash_at_any_operation_leaves_what_was_acknowledged() {
    let retention = Retention {
        updates_max: Some(30),
        ..KEEP_ALL
    };
    let mut at = 0;
    loop {
        let folder = quick_folder();
        let plan = Plan::default();
        let storage = SqliteStorage::open(&folder.path().join("history.db"), EPOCH).unwrap();
        let storage = FaultyStorage {
            inner: Box::new(storage),
            plan: plan.clone(),
        };
        let mut desk = Desk::new(Box::new(storage), retention);
        // After this operation, the storage does nothing any more: so it looks after a crash.
        plan.fail_from(at, || StorageError::Full);
        let acknowledged = script(&mut desk);
        if !plan.failed() {
            break;
        }
        let oldest = desk.published.bounds().oldest;
        let after_crash = quick_folder();
        copy(folder.path(), after_crash.path());
        let mut again = Desk::on_file(&after_crash.path().join("history.db"), KEEP_ALL);
        let bounds = again.published.bounds();
        assert!(bounds.oldest <= oldest);
        let kept = again
            .read_all(Position::new(bounds.oldest.get() - 1))
            .unwrap();
        let expected = acknowledged
            .iter()
            .filter(|update| update.position >= bounds.oldest);
        assert!(
            kept.iter()
                .map(|u| (u.position, &u.id, &u.data))
                .eq(expected.map(|u| (u.position, &u.id, &u.data)))
        );
        at += 1;
    }
    assert!(at > 100, "only {at} operations");
}

/// Appends a hundred updates in groups, with removals between; returns the acknowledged ones.
fn script(desk: &mut Desk) -> Vec<Arc<Update>> {
    let mut acknowledged = Vec::new();
    for group in 0..20 {
        let id = format!("urn:example:{}", group % 4);
        let drafts = vec![
            draft(&format!("first of {group}")),
            draft_with_id("with an id", &id),
            draft(&"x".repeat(3000)),
        ];
        acknowledged.extend(desk.append(drafts, 1).into_iter().flatten());
        if group % 5 == 4 {
            desk.tick(1);
        }
    }
    desk.writer.close();
    acknowledged
}

fn copy(from: &Path, to: &Path) {
    for name in ["history.db", "history.db-wal"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

fn desk_with_faults(retention: Retention) -> (Desk, Plan) {
    let (storage, plan) = memory_with_faults(EPOCH);
    (Desk::new(storage, retention), plan)
}

pub(crate) fn memory_with_faults(order: Order) -> (Box<dyn Storage>, Plan) {
    let plan = Plan::default();
    let inner = Box::new(MemoryStorage::new(order));
    let storage = FaultyStorage {
        inner,
        plan: plan.clone(),
    };
    (Box::new(storage), plan)
}

/// When which fault happens. Operations are counted from 0 after the desk was set up.
#[derive(Clone, Default)]
pub(crate) struct Plan(Arc<Mutex<PlanState>>);

#[derive(Default)]
struct PlanState {
    operations: usize,
    from: Option<usize>,
    until: usize,
    fault: Option<fn() -> StorageError>,
    failed: bool,
    rollback: Option<fn() -> StorageError>,
}

impl Plan {
    pub(crate) fn fail_from_now(&self, fault: fn() -> StorageError) {
        self.fail_from(0, fault);
    }

    fn fail_from(&self, ahead: usize, fault: fn() -> StorageError) {
        let mut state = self.0.lock().unwrap();
        state.from = Some(state.operations + ahead);
        state.until = usize::MAX;
        state.fault = Some(fault);
    }

    pub(crate) fn fail_once_at(&self, ahead: usize, fault: fn() -> StorageError) {
        self.fail_from(ahead, fault);
        let mut state = self.0.lock().unwrap();
        state.until = state.operations + ahead;
    }

    fn fail_rollbacks(&self, fault: fn() -> StorageError) {
        self.0.lock().unwrap().rollback = Some(fault);
    }

    pub(crate) fn mend(&self) {
        self.0.lock().unwrap().from = None;
    }

    fn operations(&self) -> usize {
        self.0.lock().unwrap().operations
    }

    pub(crate) fn failed(&self) -> bool {
        self.0.lock().unwrap().failed
    }

    /// Returns whether everything fails from now on.
    fn crashed(&self) -> bool {
        let state = self.0.lock().unwrap();
        state.until == usize::MAX && state.from.is_some_and(|from| from < state.operations)
    }

    fn on_operation(&self) -> Result<(), StorageError> {
        let mut state = self.0.lock().unwrap();
        let number = state.operations;
        state.operations += 1;
        match (state.from, state.fault) {
            (Some(from), Some(fault)) if from <= number && number <= state.until => {
                state.failed = true;
                Err(fault())
            }
            _ => Ok(()),
        }
    }
}

/// A storage whose operations fail by plan, before they reach the real one.
struct FaultyStorage {
    inner: Box<dyn Storage>,
    plan: Plan,
}

impl Storage for FaultyStorage {
    fn order(&self) -> Order {
        self.inner.order()
    }

    fn extent(&self) -> Extent {
        self.inner.extent()
    }

    fn begin(&mut self) -> Result<(), StorageError> {
        self.plan.on_operation()?;
        self.inner.begin()
    }

    fn insert(&mut self, update: &Arc<Update>, mark: Mark) -> Result<(), StorageError> {
        self.plan.on_operation()?;
        self.inner.insert(update, mark)
    }

    fn insert_note(&mut self, position: Position, note: &[u8]) -> Result<(), StorageError> {
        self.plan.on_operation()?;
        self.inner.insert_note(position, note)
    }

    fn withdraw(
        &mut self,
        topic: &Topic,
        after: Position,
        through: Position,
    ) -> Result<u64, StorageError> {
        self.plan.on_operation()?;
        self.inner.withdraw(topic, after, through)
    }

    fn cut(&mut self, cut: Cut) -> Result<(), StorageError> {
        self.plan.on_operation()?;
        self.inner.cut(cut)
    }

    fn commit(&mut self) -> Result<(), StorageError> {
        self.plan.on_operation()?;
        self.inner.commit()
    }

    fn rollback(&mut self) -> Result<(), StorageError> {
        if let Some(fault) = self.plan.0.lock().unwrap().rollback {
            return Err(fault());
        }
        // A process that crashed drops nothing: the group stays as it was written.
        if self.plan.crashed() {
            return Ok(());
        }
        self.inner.rollback()
    }

    fn mark(&mut self, position: Position) -> Result<Option<Mark>, StorageError> {
        self.plan.on_operation()?;
        self.inner.mark(position)
    }

    fn print(&mut self, position: Position) -> Result<Option<Print>, StorageError> {
        self.plan.on_operation()?;
        self.inner.print(position)
    }

    fn trim(&mut self, through: Position, mark: Mark) -> Result<(), StorageError> {
        self.plan.on_operation()?;
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
        self.plan.on_operation()?;
        self.inner.note_clock(note)
    }

    fn probe(&mut self) -> Result<(), StorageError> {
        self.plan.on_operation()?;
        self.inner.probe()
    }

    fn check(&mut self) -> Result<(), StorageError> {
        self.plan.on_operation()?;
        self.inner.check()
    }

    fn upkeep(&self) -> Upkeep {
        self.inner.upkeep()
    }

    fn maintain(&mut self) -> Result<(), StorageError> {
        self.plan.on_operation()?;
        self.inner.maintain()
    }

    fn close(&mut self) -> Result<(), StorageError> {
        self.plan.on_operation()?;
        self.inner.close()
    }

    fn reader(&self) -> Result<Box<dyn StorageReader>, StorageError> {
        self.inner.reader()
    }
}
