//! Updates that a relay ordered: what every hub makes of them, what does not fit, and how they stay
//! apart from drafts.

use std::collections::VecDeque;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

use tidings_cluster::{
    Batch, Epoch, History as _, InboundError, Loopback, OrderedUpdate, Relay, RelayError,
};
use tidings_core::{
    Draft, IdSource, Position, Presence, Print, Target, Targets, Update, Visibility,
};
use tidings_history::storage::{MemoryStorage, NoStorage, SqliteStorage, Storage, StorageError};
use tidings_history::{
    Append, Handle, Health, Kind, OpenError, Options, Order, Resolved, Retention, Step, start,
};

use crate::desk::{Desk, KEEP_ALL, at, draft, draft_with_id, presence_draft, quick_folder};
use crate::faults::memory_with_faults;
use crate::threads::{open, options};

const SHARED: Epoch = Epoch::new([3; 32]);
pub(crate) const RELAY: Order = Order::Relay(SHARED);

#[test]
fn two_histories_of_one_epoch_make_the_same_updates() {
    let folder = quick_folder();
    let path = folder.path().join("history.db");
    let mut one = Desk::new(
        Box::new(SqliteStorage::open(&path, RELAY).unwrap()),
        KEEP_ALL,
    );
    let mut other = in_memory();
    // Other groups on the other hub: only the line counts.
    let taken_by_one = store(&mut one, line(1..=9)).unwrap();
    for position in 1..=9 {
        store(&mut other, line(position..=position)).unwrap();
    }
    assert_eq!(one.published.tip(), other.published.tip());
    let stored = one.read_all(Position::ZERO).unwrap();
    let in_memory = other.read_all(Position::ZERO).unwrap();
    assert_eq!(stored, without_notes(&in_memory));
    assert_eq!(stored, without_notes(&taken_by_one));
    assert_eq!(stored, without_notes(&one.delivered.lock().unwrap()));
    let noted = taken_by_one.iter().filter(|update| update.note.is_some());
    let noted: Vec<Position> = noted.map(|update| update.position).collect();
    assert_eq!(
        noted,
        [Position::new(6)],
        "what hubs publish says which one"
    );
    let times: Vec<u64> = stored.iter().map(|update| update.published_ms).collect();
    assert_eq!(times, [10, 20, 30, 40, 50, 60, 70, 80, 90], "from outside");
    let own: Vec<&str> = stored
        .iter()
        .filter(|update| update.id_source == IdSource::Publisher)
        .map(|update| update.id.as_str())
        .collect();
    assert_eq!(own, ["urn:example:5"]);
    for update in stored {
        assert!(update.print.is_some());
        let resumed = Resolved::After(update.position);
        assert_eq!(one.resolve(update.id.as_str()), resumed);
        assert_eq!(other.resolve(update.id.as_str()), resumed);
    }
}

#[test]
fn ids_of_another_epoch_are_unknown() {
    let mut ours = in_memory();
    let order = Order::Relay(Epoch::new([4; 32]));
    let mut theirs = Desk::new(Box::new(MemoryStorage::new(order)), KEEP_ALL);
    store(&mut ours, line(1..=3)).unwrap();
    let foreign = store(&mut theirs, line(1..=3)).unwrap();
    for update in foreign {
        let resolved = ours.resolve(update.id.as_str());
        assert!(matches!(resolved, Resolved::Unknown { .. }), "{resolved:?}");
    }
}

#[test]
fn a_hole_is_refused_with_both_positions_and_nothing_of_the_batch_is_stored() {
    let mut desk = in_memory();
    store(&mut desk, line(1..=2)).unwrap();
    let mut holed = line(3..=4);
    holed.extend(line(6..=6));
    let error = store(&mut desk, holed).unwrap_err();
    assert!(matches!(
        error,
        InboundError::OutOfOrder { expected, got }
            if expected == Position::new(5) && got == Position::new(6)
    ));
    assert_eq!(
        error.to_string(),
        "position 5 comes next, but position 6 came"
    );
    assert_eq!(desk.published.bounds().last, Position::new(2));
    // It is no fault of the history: the right ones are taken at once.
    assert_eq!(desk.published.health(), Health::Ok);
    assert_eq!(store(&mut desk, line(3..=6)).unwrap().len(), 4);
}

#[test]
fn no_position_comes_before_the_first() {
    let mut desk = in_memory();
    store(&mut desk, line(1..=1)).unwrap();
    let error = store(&mut desk, vec![ordered(0, draft("zero"))]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "position 2 comes next, but position 0 came"
    );
}

#[test]
fn what_comes_again_is_skipped() {
    let mut desk = in_memory();
    store(&mut desk, line(1..=4)).unwrap();
    let new = store(&mut desk, line(2..=6)).unwrap();
    assert_eq!(positions(&new), [5, 6]);
    assert!(store(&mut desk, line(1..=6)).unwrap().is_empty());
    let delivered = desk.delivered.lock().unwrap();
    assert_eq!(positions(&delivered), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn what_comes_again_as_something_else_is_refused_with_both_prints() {
    let mut desk = in_memory();
    let stored = store(&mut desk, line(1..=4)).unwrap();
    let others = [
        ordered(3, draft("another")),
        OrderedUpdate {
            published_ms: 31,
            ..ordered(3, contents(3))
        },
        OrderedUpdate {
            print: Some(Print::new([9; 16])),
            ..ordered(3, contents(3))
        },
    ];
    for other in others {
        let claimed = other.print;
        let error = store(&mut desk, vec![other]).unwrap_err();
        let InboundError::Differs {
            position,
            expected,
            got,
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!(position, Position::new(3));
        assert_eq!(Some(expected), stored[2].print);
        assert_ne!(expected, got);
        assert!(claimed.is_none_or(|claimed| claimed == got));
    }
    assert_eq!(desk.published.bounds().last, Position::new(4));
}

#[test]
fn a_print_that_comes_along_must_fit() {
    let (mut desk, mut other) = (in_memory(), in_memory());
    let known = store(&mut other, line(1..=4)).unwrap();
    let with_prints = |known: &[Arc<Update>]| -> Vec<OrderedUpdate> {
        let with = |update: &Arc<Update>| OrderedUpdate {
            print: update.print,
            ..ordered(update.position.get(), contents(update.position.get()))
        };
        known.iter().map(with).collect()
    };
    assert_eq!(store(&mut desk, with_prints(&known[..2])).unwrap().len(), 2);
    let mut forked = with_prints(&known[2..]);
    forked[1].print = known[0].print;
    let error = store(&mut desk, forked).unwrap_err();
    assert!(matches!(
        error,
        InboundError::Differs { position, .. } if position == Position::new(4)
    ));
    assert_eq!(desk.published.bounds().last, Position::new(2));
}

#[test]
fn a_time_that_goes_back_is_refused() {
    let mut desk = in_memory();
    store(&mut desk, line(1..=2)).unwrap();
    let early = OrderedUpdate {
        published_ms: 19,
        ..ordered(3, contents(3))
    };
    let error = store(&mut desk, vec![early]).unwrap_err();
    assert!(matches!(
        error,
        InboundError::TimeWentBack {
            before_ms: 20,
            got_ms: 19,
            ..
        }
    ));
}

#[test]
fn what_retention_removed_is_not_stored_again() {
    let retention = Retention {
        updates_max: Some(2),
        ..KEEP_ALL
    };
    for storage in [
        Box::new(MemoryStorage::new(RELAY)) as Box<dyn Storage>,
        Box::new(NoStorage::new(RELAY)),
    ] {
        let mut desk = Desk::new(storage, retention);
        store(&mut desk, line(1..=8)).unwrap();
        desk.tick(100);
        assert!(desk.published.bounds().oldest >= Position::new(6));
        assert!(store(&mut desk, line(1..=8)).unwrap().is_empty());
        assert_eq!(positions(&store(&mut desk, line(8..=9)).unwrap()), [9]);
    }
}

#[test]
fn presence_events_are_stored_in_order_and_noted() {
    let mut desk = in_memory();
    let begins = presence_draft("a", Presence::Begins(None));
    store(
        &mut desk,
        vec![ordered(1, begins.clone()), ordered(2, draft("x"))],
    )
    .unwrap();
    assert!(
        store(&mut desk, vec![ordered(1, begins)])
            .unwrap()
            .is_empty()
    );
    let ends = presence_draft("a", Presence::Ends);
    assert!(matches!(
        store(&mut desk, vec![ordered(1, ends)]),
        Err(InboundError::Differs { .. })
    ));
}

#[test]
fn a_fault_refuses_the_batch_which_is_taken_when_it_comes_again() {
    let (storage, plan) = memory_with_faults(RELAY);
    let mut desk = Desk::new(storage, KEEP_ALL);
    store(&mut desk, line(1..=2)).unwrap();
    plan.fail_from_now(|| StorageError::Full);
    for _ in 0..2 {
        let error = store(&mut desk, line(3..=4)).unwrap_err();
        assert!(matches!(
            error,
            InboundError::Relay(RelayError::Unavailable { .. })
        ));
    }
    assert_eq!(desk.published.stats().refusals, 4);
    plan.mend();
    desk.tick(50);
    assert_eq!(positions(&store(&mut desk, line(3..=4)).unwrap()), [3, 4]);
}

#[test]
fn a_fault_at_any_operation_leaves_a_line_that_the_relay_can_continue() {
    let whole = {
        let mut desk = in_memory();
        store(&mut desk, line(1..=9)).unwrap();
        desk.read_all(Position::ZERO).unwrap()
    };
    for at in 0.. {
        let (storage, plan) = memory_with_faults(RELAY);
        let mut desk = Desk::new(storage, KEEP_ALL);
        plan.fail_once_at(at, || StorageError::Full);
        let mut refused = 0;
        while desk.published.bounds().last < Position::new(9) {
            // As a relay does: on from what is stored, and a little before.
            let last = desk.published.bounds().last.get();
            let batch = line(last.max(1)..=(last + 4).min(9));
            if store(&mut desk, batch).is_err() {
                refused += 1;
                desk.tick(100);
            }
            assert!(refused <= 1, "one fault refuses one batch");
        }
        assert_eq!(desk.read_all(Position::ZERO).unwrap(), whole);
        if !plan.failed() {
            return;
        }
    }
}

#[test]
fn a_history_of_a_relay_takes_no_drafts_and_one_that_orders_takes_nothing_else() {
    let ordered_by_relay = open(of_relay(Kind::Memory));
    let refused = ordered_by_relay.append(draft(""), Box::new(|_| unreachable!()));
    assert!(matches!(refused, Err(RelayError::Failed { .. })));
    let orders = open(options(Kind::Memory, KEEP_ALL));
    let refused = orders.append_ordered(batch(line(1..=1)), Box::new(|_| unreachable!()));
    assert!(matches!(refused, Err(RelayError::Failed { .. })));
    ordered_by_relay.close();
    orders.close();
}

#[test]
fn a_file_stays_in_the_order_and_the_epoch_that_it_was_made_in() {
    let folder = quick_folder();
    let kind = |name: &str| Kind::File {
        path: folder.path().join(name),
    };
    let opened = |options| start(options, Box::new(|_| {}), Box::new(Default::default));
    let shared = opened(of_relay(kind("shared.db"))).unwrap();
    assert_eq!(hand_over(&shared, line(1..=3)).unwrap().len(), 3);
    shared.close();
    let other_epoch = Options {
        order: Order::Relay(Epoch::new([4; 32])),
        ..of_relay(kind("shared.db"))
    };
    assert!(matches!(opened(other_epoch), Err(OpenError::OtherEpoch)));
    let alone = options(kind("shared.db"), KEEP_ALL);
    assert!(matches!(opened(alone), Err(OpenError::OrderedByRelay)));
    let again = opened(of_relay(kind("shared.db"))).unwrap();
    assert_eq!(again.last(), Position::new(3));
    assert_eq!(positions(&hand_over(&again, line(3..=4)).unwrap()), [4]);
    again.close();

    opened(options(kind("own.db"), KEEP_ALL)).unwrap().close();
    let refused = opened(of_relay(kind("own.db")));
    assert!(matches!(refused, Err(OpenError::OrdersItself)));
}

#[test]
fn few_batches_wait_and_what_waits_at_the_end_is_stored() {
    let (entered_tx, entered) = sync_channel(1);
    let (release, released) = sync_channel::<()>(0);
    let mut first = Some((entered_tx, released));
    let outlet = Box::new(move |step| {
        if matches!(step, Step::Committed(_))
            && let Some((entered, released)) = first.take()
        {
            entered.send(()).unwrap();
            // Ends with an error when the test lets go.
            assert!(released.recv().is_err());
        }
    });
    let folder = quick_folder();
    let kind = Kind::File {
        path: folder.path().join("history.db"),
    };
    let history = start(of_relay(kind.clone()), outlet, Box::new(Default::default)).unwrap();
    let (tx, rx) = sync_channel(100);
    let push = |position| {
        let tx = tx.clone();
        let done = Box::new(move |stored: Result<Vec<_>, _>| tx.send(stored.is_ok()).unwrap());
        history.append_ordered(batch(line(position..=position)), done)
    };
    push(1).unwrap();
    entered.recv().unwrap();
    let mut waiting = 0;
    let refused = loop {
        match push(2 + waiting) {
            Ok(()) => waiting += 1,
            Err(refused) => break refused,
        }
        assert!(waiting < 100, "it is bounded");
    };
    assert!(matches!(refused, RelayError::Busy));
    assert_eq!(history.waiting() as u64, waiting);
    let other = history.clone();
    drop(release);
    history.close();
    assert_eq!(
        rx.try_iter().filter(|stored| *stored).count() as u64,
        1 + waiting
    );
    let late = other.append_ordered(batch(line(1..=1)), Box::new(|_| unreachable!()));
    assert!(matches!(late, Err(RelayError::Closed)));
    let again = open(of_relay(kind));
    assert_eq!(again.last(), Position::new(1 + waiting));
    again.close();
}

#[test]
fn a_batch_holds_no_more_than_its_bounds_but_always_one_update() {
    let long = "x".repeat(700 * 1024);
    let mut waiting: VecDeque<OrderedUpdate> =
        (1..=2).map(|at| ordered(at, draft(&long))).collect();
    waiting.push_back(ordered(3, draft(&long.repeat(3))));
    waiting.extend((4..=400).map(|at| ordered(at, draft(""))));
    let taken = std::iter::from_fn(|| Batch::take(&mut waiting));
    let sizes: Vec<usize> = taken.map(|batch| batch.updates().len()).collect();
    assert_eq!(
        sizes,
        [1, 1, 1, Batch::UPDATES_MAX, 397 - Batch::UPDATES_MAX]
    );
}

#[test]
fn loopback_passes_drafts_to_the_history_that_orders_them() {
    let history = open(options(Kind::Memory, KEEP_ALL));
    let relay = Loopback::new();
    assert_eq!(relay.epoch(), None);
    let publish = |data: &str| {
        let (tx, rx) = sync_channel(1);
        let done = Box::new(move |taken| tx.send(taken).unwrap());
        relay.publish(draft(data), None, done).map(|()| rx)
    };
    assert!(matches!(publish("too early"), Err(RelayError::Closed)));
    assert_ne!(relay.health(), tidings_cluster::Health::Ok);
    relay.start(Arc::new(history.clone())).unwrap();
    assert!(
        relay.start(Arc::new(history.clone())).is_err(),
        "it serves one history"
    );
    assert_eq!(relay.health(), tidings_cluster::Health::Ok);
    let waiting = [publish("1").unwrap(), publish("2").unwrap()];
    relay.stop();
    assert!(matches!(publish("too late"), Err(RelayError::Closed)));
    assert_ne!(relay.health(), tidings_cluster::Health::Ok);
    // What was taken before the end is answered.
    history.close();
    let taken = waiting.map(|rx| rx.recv().unwrap().unwrap().position.get());
    assert_eq!(taken, [1, 2]);
    assert_eq!(relay.figures().waiting, 0);
}

/// The same updates wherever it is called: of every kind, each with its place and time.
pub(crate) fn line(positions: std::ops::RangeInclusive<u64>) -> Vec<OrderedUpdate> {
    positions
        .map(|position| ordered(position, contents(position)))
        .collect()
}

fn contents(position: u64) -> Draft {
    let data = format!("update {position}");
    match position {
        2 => Draft {
            visibility: Visibility::Private,
            ..draft(&data)
        },
        5 => draft_with_id(&data, "urn:example:5"),
        6 => presence_draft("six", Presence::Begins(None)),
        7 => {
            let target = Target::parse("urn:example:reader").unwrap();
            let targets = Targets::new(vec![target]).unwrap().unwrap();
            Draft {
                visibility: Visibility::Targeted(targets),
                retry_ms: Some(7),
                ..draft(&data)
            }
        }
        _ => draft(&data),
    }
}

pub(crate) fn ordered(position: u64, draft: Draft) -> OrderedUpdate {
    OrderedUpdate {
        position: Position::new(position),
        published_ms: position * 10,
        print: None,
        draft,
        note: position.to_be_bytes().into(),
    }
}

fn batch(updates: Vec<OrderedUpdate>) -> Batch {
    Batch::take(&mut updates.into()).expect("an update")
}

pub(crate) fn in_memory() -> Desk {
    Desk::new(Box::new(MemoryStorage::new(RELAY)), KEEP_ALL)
}

pub(crate) fn of_relay(kind: Kind) -> Options {
    options(kind, KEEP_ALL).ordered_by(Some(SHARED))
}

/// Stores updates as one batch, and returns the answer to the relay.
pub(crate) fn store(
    desk: &mut Desk,
    updates: Vec<OrderedUpdate>,
) -> Result<Vec<Arc<Update>>, InboundError> {
    let told = Arc::new(Mutex::new(None));
    let done = {
        let (told, delivered) = (Arc::clone(&told), Arc::clone(&desk.delivered));
        Box::new(move |stored: Result<Vec<Arc<Update>>, InboundError>| {
            for update in stored.iter().flatten() {
                assert!(
                    delivered.lock().unwrap().contains(update),
                    "delivered first"
                );
            }
            *told.lock().unwrap() = Some(stored);
        })
    };
    let batch = batch(updates);
    desk.writer
        .on_batch(&mut vec![Append::Ordered { batch, done }], at(1));
    let told = told.lock().unwrap().take();
    told.expect("an answer")
}

/// Hands updates over as one batch and waits for the answer.
fn hand_over(
    history: &Handle,
    updates: Vec<OrderedUpdate>,
) -> Result<Vec<Arc<Update>>, InboundError> {
    let (tx, rx) = sync_channel(1);
    let done = Box::new(move |stored| tx.send(stored).unwrap());
    history.append_ordered(batch(updates), done)?;
    rx.recv().unwrap()
}

pub(crate) fn positions(updates: &[Arc<Update>]) -> Vec<u64> {
    updates.iter().map(|update| update.position.get()).collect()
}

/// A file does not give the notes back with the updates.
fn without_notes(updates: &[Arc<Update>]) -> Vec<Arc<Update>> {
    let without = |update: &Arc<Update>| {
        let update = Update {
            note: None,
            ..(**update).clone()
        };
        Arc::new(update)
    };
    updates.iter().map(without).collect()
}
