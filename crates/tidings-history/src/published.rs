//! State that the history's threads publish to all others: bounds, health, counters. No decisions
//! here.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidings_core::histogram::{Histogram, Snapshot};
use tidings_core::{Position, Print};

use crate::health::Health;
use crate::options::Retention;
use crate::removed::Removed;
use crate::storage::Extent;

/// The stored positions: `oldest..=last`, none if `oldest` is after `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The first stored position, or the next one to be assigned if nothing is stored.
    pub oldest: Position,
    /// The position of the newest committed update; [`Position::ZERO`] before the first.
    pub last: Position,
}

/// The newest update. A subscriber that has it has everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// Its position; [`Position::ZERO`] before the first.
    pub position: Position,
    /// Its print, if it has one.
    pub print: Option<Print>,
}

/// Counters since startup; they only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Updates committed.
    pub updates: u64,
    /// Groups committed; `updates / groups` is the mean group.
    pub groups: u64,
    /// Bytes of committed updates, as [`Update::bytes`](tidings_core::Update::bytes) counts them.
    pub bytes: u64,
    /// Updates removed by retention.
    pub trimmed: u64,
    /// Updates withdrawn by an operator.
    pub purged: u64,
    /// Updates refused because of a storage fault.
    pub refusals: u64,
    /// Pages read from the storage.
    pub pages_read: u64,
    /// Pages served from the cache.
    pub pages_cached: u64,
    /// Publishers' ids looked up in the storage.
    pub cursors_read: u64,
    /// Cursors of an update that this history does not have and never removed.
    pub cursors_lost: u64,
    /// Reads that failed because the storage has a fault or is damaged.
    pub read_faults: u64,
    /// Times the machine's clock was set, or advanced further during a stop of the hub than is
    /// trusted.
    pub clock_steps: u64,
    /// How long each commit took: the storage's writes and its sync.
    pub commits: Snapshot,
    /// Updates stored now, without presence events.
    pub stored_updates: u64,
    /// Bytes of these, as [`Update::bytes`](tidings_core::Update::bytes) counts them.
    pub stored_bytes: u64,
    /// When the newest update that retention removed was committed, by the history's own time, in
    /// milliseconds since the Unix epoch: everything stored is younger. Zero if none was removed.
    pub removed_ms: u64,
    /// When the newest update was committed, likewise. Zero before the first.
    pub last_ms: u64,
}

/// Shared between the writer, the reader and every [`Handle`](crate::Handle).
#[derive(Debug)]
pub struct Published {
    oldest: AtomicU64,
    last: AtomicU64,
    presence_trimmed: AtomicU64,
    /// The summary of these events.
    removed: Mutex<Arc<Removed>>,
    tip: Mutex<Tip>,
    /// Updates up to here have no print.
    unprinted_through: AtomicU64,
    /// How often the line was cut.
    cuts: AtomicU64,
    /// How often updates were withdrawn.
    purges: AtomicU64,
    /// A retention that the writer has not taken over yet.
    new_retention: Mutex<Option<Retention>>,
    /// Whether retention must remove nothing: another process still reads by its own bounds.
    removal_held: AtomicBool,
    health: Mutex<Health>,
    /// Why stored data cannot be read: found by the reader, and found by the writer.
    unreadable: Mutex<[Option<Arc<str>>; 2]>,
    counters: Counters,
}

/// Who reads the storage.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    Reader,
    Writer,
}

#[derive(Debug, Default)]
struct Counters {
    updates: AtomicU64,
    groups: AtomicU64,
    bytes: AtomicU64,
    trimmed: AtomicU64,
    purged: AtomicU64,
    refusals: AtomicU64,
    pages_read: AtomicU64,
    pages_cached: AtomicU64,
    cursors_read: AtomicU64,
    cursors_lost: AtomicU64,
    read_faults: AtomicU64,
    clock_steps: AtomicU64,
    commits: Histogram,
    size: Size,
}

/// How much is stored, and how old it is.
#[derive(Debug, Default)]
struct Size {
    updates: AtomicU64,
    bytes: AtomicU64,
    removed_ms: AtomicU64,
    last_ms: AtomicU64,
}

impl Size {
    fn set(&self, extent: &Extent) {
        let (first, last) = (&extent.trimmed_mark, &extent.last_mark);
        let set = |place: &AtomicU64, value| place.store(value, Ordering::Relaxed);
        let updates = last.updates_through.saturating_sub(first.updates_through);
        set(&self.updates, updates);
        let bytes = last.bytes_through.saturating_sub(first.bytes_through);
        set(&self.bytes, bytes);
        set(&self.removed_ms, first.published_ms);
        set(&self.last_ms, last.published_ms);
    }
}

impl Published {
    /// Returns the initial state of an opened history.
    #[must_use]
    pub fn new(extent: &Extent, removed: Removed) -> Self {
        let tip = Tip {
            position: extent.last,
            print: extent.last_print,
        };
        let counters = Counters::default();
        counters.size.set(extent);
        Self {
            oldest: AtomicU64::new(extent.trimmed_through.next().get()),
            last: AtomicU64::new(extent.last.get()),
            presence_trimmed: AtomicU64::new(removed.through().get()),
            removed: Mutex::new(Arc::new(removed)),
            tip: Mutex::new(tip),
            unprinted_through: AtomicU64::new(extent.unprinted_through.get()),
            cuts: AtomicU64::new(0),
            purges: AtomicU64::new(0),
            new_retention: Mutex::default(),
            removal_held: AtomicBool::new(false),
            health: Mutex::new(Health::Ok),
            unreadable: Mutex::default(),
            counters,
        }
    }

    /// Returns the stored positions.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        // `oldest` is read first and published before the removal, so the pair never includes a
        // position that was removed before the call.
        let oldest = Position::new(self.oldest.load(Ordering::Acquire));
        let last = Position::new(self.last.load(Ordering::Acquire));
        Bounds { oldest, last }
    }

    /// Returns the position up to which presence events may have been removed.
    #[must_use]
    pub fn presence_trimmed(&self) -> Position {
        Position::new(self.presence_trimmed.load(Ordering::Acquire))
    }

    /// Returns the summary of removed presence events.
    #[must_use]
    pub fn removed(&self) -> Arc<Removed> {
        Arc::clone(&self.removed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns whether updates are accepted and stored updates are readable.
    #[must_use]
    pub fn health(&self) -> Health {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if *health != Health::Ok {
            return health.clone();
        }
        let unreadable = self
            .unreadable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let reason = unreadable.iter().flatten().next().cloned();
        reason.map_or(Health::Ok, |reason| Health::Unreadable { reason })
    }

    /// Returns the counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            updates: read(&self.counters.updates),
            groups: read(&self.counters.groups),
            bytes: read(&self.counters.bytes),
            trimmed: read(&self.counters.trimmed),
            purged: read(&self.counters.purged),
            refusals: read(&self.counters.refusals),
            pages_read: read(&self.counters.pages_read),
            pages_cached: read(&self.counters.pages_cached),
            cursors_read: read(&self.counters.cursors_read),
            cursors_lost: read(&self.counters.cursors_lost),
            read_faults: read(&self.counters.read_faults),
            clock_steps: read(&self.counters.clock_steps),
            commits: self.counters.commits.snapshot(),
            stored_updates: read(&self.counters.size.updates),
            stored_bytes: read(&self.counters.size.bytes),
            removed_ms: read(&self.counters.size.removed_ms),
            last_ms: read(&self.counters.size.last_ms),
        }
    }

    /// Returns the newest update's position and print.
    #[must_use]
    pub fn tip(&self) -> Tip {
        *self.tip.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the last position that has no print: an earlier version of the hub wrote it, or the
    /// history begins after it in the middle of a relay's line.
    #[must_use]
    pub fn unprinted_through(&self) -> Position {
        Position::new(self.unprinted_through.load(Ordering::Acquire))
    }

    /// Returns how often the line was cut: what was read before belongs to another one.
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Acquire)
    }

    /// Returns how often updates were withdrawn. Pages that were read before still have them.
    pub(crate) fn purges(&self) -> u64 {
        self.purges.load(Ordering::Acquire)
    }

    /// Updates were withdrawn. To be called once that is stored.
    pub(crate) fn on_purged(&self, updates: u64) {
        add(&self.counters.purged, updates);
        self.purges.fetch_add(1, Ordering::AcqRel);
    }

    /// Publishes that the line was cut. [`on_cutting`](Self::on_cutting) came before.
    pub(crate) fn on_cut(&self, extent: &Extent, removed: Removed) {
        self.unprinted_through
            .store(extent.unprinted_through.get(), Ordering::Release);
        self.presence_trimmed
            .store(removed.through().get(), Ordering::Release);
        *self.removed.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(removed);
        *self.tip.lock().unwrap_or_else(PoisonError::into_inner) = Tip {
            position: extent.last,
            print: extent.last_print,
        };
        self.on_oldest(extent.trimmed_through.next());
        self.on_extent(extent);
        self.last.store(extent.last.get(), Ordering::Release);
        self.cuts.fetch_add(1, Ordering::AcqRel);
    }

    /// Publishes that the line is about to be cut: what is read meanwhile belongs to no line.
    pub(crate) fn on_cutting(&self) {
        self.cuts.fetch_add(1, Ordering::AcqRel);
    }

    /// Leaves a retention for the writer.
    pub(crate) fn set_retention(&self, retention: Retention) {
        *self.new_retention() = Some(retention);
    }

    pub(crate) fn take_retention(&self) -> Option<Retention> {
        self.new_retention().take()
    }

    fn new_retention(&self) -> MutexGuard<'_, Option<Retention>> {
        self.new_retention
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_removal_held(&self) -> bool {
        self.removal_held.load(Ordering::Acquire)
    }

    pub(crate) fn hold_removal(&self, held: bool) {
        self.removal_held.store(held, Ordering::Release);
    }

    pub(crate) fn on_committed(&self, tip: Tip, updates: usize, bytes: u64) {
        self.last.store(tip.position.get(), Ordering::Release);
        *self.tip.lock().unwrap_or_else(PoisonError::into_inner) = tip;
        add(&self.counters.updates, updates as u64);
        add(&self.counters.groups, 1);
        add(&self.counters.bytes, bytes);
    }

    /// Publishes how long a commit took.
    pub(crate) fn on_commit(&self, took: Duration) {
        self.counters.commits.observe(took);
    }

    /// Publishes how much is stored.
    pub(crate) fn on_extent(&self, extent: &Extent) {
        self.counters.size.set(extent);
    }

    /// Publishes that nothing before `oldest` is stored.
    pub(crate) fn on_oldest(&self, oldest: Position) {
        self.oldest.store(oldest.get(), Ordering::Release);
    }

    /// Publishes that the presence events in `removed` may be missing.
    pub(crate) fn on_removed(&self, removed: Arc<Removed>) {
        let through = removed.through();
        // The summary is published first, so that no reader misses it.
        *self.removed.lock().unwrap_or_else(PoisonError::into_inner) = removed;
        self.presence_trimmed
            .fetch_max(through.get(), Ordering::AcqRel);
    }

    pub(crate) fn on_trimmed(&self, updates: u64) {
        add(&self.counters.trimmed, updates);
    }

    pub(crate) fn on_refused(&self, updates: usize) {
        add(&self.counters.refusals, updates as u64);
    }

    pub(crate) fn on_page_read(&self) {
        add(&self.counters.pages_read, 1);
    }

    pub(crate) fn on_page_cached(&self) {
        add(&self.counters.pages_cached, 1);
    }

    pub(crate) fn on_cursor_read(&self) {
        add(&self.counters.cursors_read, 1);
    }

    /// Counts a cursor of an update that is not in this history, and logs the first one.
    pub(crate) fn on_cursor_lost(&self) {
        if self.counters.cursors_lost.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                "a subscriber came with the id of an update that this history does not have: the \
                 history went back (an older copy was put in place, or its log was lost), or \
                 another hub runs on a copy of it; such subscribers are answered `earliest` and \
                 get everything that is kept"
            );
        }
    }

    pub(crate) fn on_read_fault(&self) {
        add(&self.counters.read_faults, 1);
    }

    pub(crate) fn on_clock_steps(&self, steps: u64) {
        self.counters.clock_steps.store(steps, Ordering::Relaxed);
    }

    /// Publishes why stored data cannot be read, or that it is readable again.
    pub(crate) fn on_unreadable(&self, side: Side, reason: Option<Arc<str>>) {
        let mut unreadable = self
            .unreadable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let [by_reader, by_writer] = &mut *unreadable;
        *match side {
            Side::Reader => by_reader,
            Side::Writer => by_writer,
        } = reason;
    }

    pub(crate) fn on_health(&self, health: Health) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
