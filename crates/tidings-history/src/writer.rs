//! Commits updates in order, group by group. No thread or queue here,
//! and no time of day but the one that is passed in. Drafts are ordered
//! here; `writer/ordered.rs` checks updates ordered by a relay.
//!
//! ```text
//! Ok ──fault──▶ Refusing ──probe succeeds──▶ Ok
//!  └── a sync fails, or damage ──▶ Poisoned    (for good)
//! ```

mod line;
mod ordered;
mod purge;

use std::sync::Arc;
use std::time::Instant;

use tidings_cluster::{Cause, Done, InboundError, RelayError};
use tidings_core::{Draft, HolderKey, IdSeal, IdSource, Position, Print, Update};

use self::line::Line;
use crate::append::{Append, Outlet, Step};
use crate::clock::{ClockNote, OwnClock, Reading};
use crate::health::Health;
use crate::options::Retention;
use crate::published::{Published, Side, Tip};
use crate::removed::Removed;
use crate::retention;
use crate::sabotage::{Rule, skips};
use crate::storage::{Announced, Extent, Mark, Storage, StorageError, StorageReader, Upkeep};

/// Assigns positions to drafts or uses those of a relay, commits and delivers updates, and applies
/// retention.
///
/// Driven by one thread: [`on_batch`](Self::on_batch) for what was queued,
/// [`on_tick`](Self::on_tick) about once a second, [`on_slack`](Self::on_slack) after either for
/// as long as it [`has_work`](Self::has_work).
pub struct Writer {
    storage: Box<dyn Storage>,
    published: Arc<Published>,
    outlet: Outlet,
    retention: Retention,
    clock: OwnClock,
    seal: IdSeal,
    line: Line,
    extent: Extent,
    phase: Phase,
    /// The last position that retention removes. The updates up to it are removed in slices.
    goal: Position,
    /// The last position up to which retention removes presence events.
    presence_goal: Position,
    /// Whether retention or maintenance found something that cannot be read.
    hindered: bool,
}

enum Phase {
    Ok,
    Refusing(Arc<StorageError>),
    Poisoned(Arc<StorageError>),
}

/// An update that is about to get its place, or has it.
struct Coming {
    draft: Draft,
    published_ms: u64,
    /// Its print, if it was formed while it was checked.
    print: Option<Print>,
    /// The relay's note about it, if there is a relay.
    note: Option<Arc<[u8]>>,
}

/// A group that was inserted and not committed yet.
struct Staged {
    group: Vec<Arc<Update>>,
    /// The mark of its last update.
    mark: Mark,
}

/// Tells each publisher that its update was stored.
fn acknowledge(dones: &mut Vec<Done>, group: Vec<Arc<Update>>) {
    for (done, update) in dones.drain(..).zip(group) {
        done(Ok(update));
    }
}

impl Writer {
    /// Makes the writer of `storage`.
    #[must_use]
    pub fn new(storage: Box<dyn Storage>, retention: Retention, outlet: Outlet) -> Self {
        let published = Published::new(&storage.extent(), storage.removed());
        Self::showing(storage, retention, outlet, Arc::new(published))
    }

    /// Takes over `storage`, whose state other threads already know by `published`.
    pub(crate) fn showing(
        storage: Box<dyn Storage>,
        retention: Retention,
        outlet: Outlet,
        published: Arc<Published>,
    ) -> Self {
        let extent = storage.extent();
        let secret = storage.order().epoch().secret();
        let mut writer = Self {
            seal: IdSeal::new(secret),
            line: Line::new(storage.order()),
            published,
            outlet,
            clock: OwnClock::new(&extent, storage.clock(), retention.age_max),
            retention,
            extent,
            phase: Phase::Ok,
            goal: extent.trimmed_through,
            presence_goal: extent.presence_trimmed_through,
            hindered: false,
            storage,
        };
        // A hub that starts on a full disk serves its history and refuses new updates, as if the disk had become
        // full a moment later.
        if let Err(error) = writer.storage.probe() {
            writer.on_fault(error);
        }
        writer
    }

    /// Returns the state that this writer publishes to other threads.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }

    /// Opens a reading side that sees what another process writes after this one let go.
    pub(crate) fn open_shared_reader(
        &self,
    ) -> Result<Option<Box<dyn StorageReader>>, StorageError> {
        self.storage.shared_reader()
    }

    /// Lets go of the storage as it stands, for another process to continue at once: what
    /// [`close`](Self::close) tidies up is left to that process. Returns what a later writer needs.
    pub(crate) fn let_go(mut self) -> (Outlet, Retention) {
        if let (Phase::Ok, Some(note)) = (&self.phase, self.clock.last())
            && let Err(fault) = self.note_clock(note)
        {
            tracing::warn!(error = fault.line(), "cannot note the time of the history");
        }
        (self.outlet, self.retention)
    }

    /// Returns what seals positions into event ids.
    #[must_use]
    pub fn seal(&self) -> &IdSeal {
        &self.seal
    }

    /// Returns the key for holders of subscriptions.
    #[must_use]
    pub fn holder_key(&self) -> HolderKey {
        HolderKey::new(self.storage.order().epoch().secret())
    }

    /// Returns the subscriptions that an earlier process announced and did not end.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if they cannot be read.
    pub fn announced(&mut self) -> Result<Vec<Announced>, StorageError> {
        self.storage.announced()
    }

    /// Returns where the storage left a line last.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if it cannot be read.
    pub fn left_line_at(&mut self) -> Result<Option<Position>, StorageError> {
        self.storage.left_line_at()
    }

    /// Returns the stored messages for hubs, oldest first.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if they cannot be read.
    pub fn for_hubs(&mut self) -> Result<Vec<Arc<Update>>, StorageError> {
        self.storage.for_hubs()
    }

    /// Opens the reading side of the storage.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if it cannot be opened.
    pub fn open_reader(&self) -> Result<Box<dyn StorageReader>, StorageError> {
        self.storage.reader()
    }

    /// Drains `batch`: commits its drafts as one group, and each of its ordered batches as one; delivers each
    /// group, and answers each item.
    ///
    /// All updates of a group are stored, or none. `now` is a reading of the machine's clocks.
    pub fn on_batch(&mut self, batch: &mut Vec<Append>, now: Reading) {
        if batch.is_empty() {
            return;
        }
        match self.phase.error() {
            Some(error) => self.refuse(batch, &error),
            None => {
                let now_ms = self.read_clock(now);
                self.take(batch, now_ms);
            }
        }
        (self.outlet)(Step::Answered);
    }

    fn take(&mut self, batch: &mut Vec<Append>, now_ms: u64) {
        let mut drafts = Vec::with_capacity(batch.len());
        let mut dones = Vec::with_capacity(batch.len());
        for append in batch.drain(..) {
            match append {
                Append::Draft { draft, done } => {
                    drafts.push(draft);
                    dones.push(done);
                }
                Append::Ordered { batch, done } => self.take_ordered(batch, done),
                Append::Cut { cut, done } => self.cut(cut, done),
                Append::Purge { purge, done } => self.purge(&purge, done),
            }
        }
        if !drafts.is_empty() {
            self.take_drafts(drafts, dones, now_ms);
        }
    }

    /// Commits `drafts` as one group, delivers the group, and answers each.
    fn take_drafts(&mut self, drafts: Vec<Draft>, mut dones: Vec<Done>, now_ms: u64) {
        let coming = drafts.into_iter().map(|draft| Coming {
            draft,
            published_ms: now_ms,
            print: None,
            note: None,
        });
        let staged = self.stage(coming);
        if let (Ok(staged), true) = (&staged, skips(Rule::AnswerAfterCommit)) {
            acknowledge(&mut dones, staged.group.clone());
        }
        match staged.and_then(|staged| self.commit(staged)) {
            Ok(group) => {
                (self.outlet)(Step::Committed(group.clone()));
                acknowledge(&mut dones, group);
            }
            Err(fault) => {
                let error = self.on_refusing(fault);
                self.published.on_refused(dones.len());
                for done in dones {
                    done(Err(error.clone()));
                }
            }
        }
    }

    /// Probes a storage that refused writes, checks its health, and sets the goal of retention.
    pub fn on_tick(&mut self, now: Reading) {
        let now_ms = self.read_clock(now);
        match self.phase {
            Phase::Ok => {
                if let Err(fault) = self.storage.check() {
                    return self.on_fault(fault);
                }
            }
            Phase::Refusing(_) => match self.storage.check().and_then(|()| self.storage.probe()) {
                Ok(()) => self.on_mended(),
                // The removal of old updates may make room.
                Err(fault) => {
                    self.on_fault(fault);
                    self.work();
                }
            },
            Phase::Poisoned(_) => return,
        }
        let mut upkeep = self.set_goals(now_ms);
        if self.hindered && upkeep.is_ok() {
            upkeep = self.try_work();
        }
        if let (Phase::Ok, Ok(()), Some(note)) = (&self.phase, &upkeep, self.clock.due()) {
            upkeep = self.note_clock(note);
        }
        self.on_upkeep(upkeep);
    }

    fn read_clock(&mut self, now: Reading) -> u64 {
        let now_ms = self.clock.read(now);
        self.published.on_clock_steps(self.clock.steps());
        now_ms
    }

    fn note_clock(&mut self, note: ClockNote) -> Result<(), StorageError> {
        self.storage.note_clock(note)?;
        self.clock.on_noted(note);
        Ok(())
    }

    fn set_goals(&mut self, now_ms: u64) -> Result<(), StorageError> {
        if let Some(retention) = self.published.take_retention() {
            self.retention = retention;
        }
        if self.published.is_removal_held() {
            return Ok(());
        }
        let (storage, extent) = (&mut *self.storage, &self.extent);
        self.goal = retention::goal(&self.retention, storage, extent, now_ms)?;
        let presence = &self.retention.presence;
        self.presence_goal = retention::presence_goal(presence, storage, extent, now_ms)?;
        Ok(())
    }

    /// Returns whether [`on_slack`](Self::on_slack) has something to do. Cheap.
    #[must_use]
    pub fn has_work(&self) -> bool {
        match self.phase {
            // One attempt per tick is enough.
            Phase::Ok if self.hindered => false,
            Phase::Ok => {
                self.goal > self.extent.trimmed_through
                    || self.has_presence_to_trim()
                    || self.storage.upkeep() == Upkeep::Due
            }
            Phase::Refusing(_) | Phase::Poisoned(_) => false,
        }
    }

    /// Does one slice of work, of a few milliseconds: removes updates, or gives space back.
    pub fn on_slack(&mut self) {
        if self.has_work() {
            self.work();
        }
    }

    /// Cleans up before the process ends.
    pub fn close(&mut self) {
        // After a failed sync the log is the best evidence, so it is left unchanged.
        if matches!(self.phase, Phase::Poisoned(_)) {
            return;
        }
        let noted = match (&self.phase, self.clock.last()) {
            (Phase::Ok, Some(note)) => self.note_clock(note),
            _ => Ok(()),
        };
        if let Err(fault) = noted.and_then(|()| self.storage.close()) {
            tracing::warn!(
                error = fault.line(),
                "the history could not be cleaned up at its close"
            );
        }
    }

    fn has_presence_to_trim(&self) -> bool {
        self.presence_goal > self.extent.presence_trimmed_through
    }

    fn work(&mut self) {
        let worked = self.try_work();
        self.on_upkeep(worked);
    }

    fn try_work(&mut self) -> Result<(), StorageError> {
        if self.goal > self.extent.trimmed_through {
            self.trim_slice()
        } else if self.has_presence_to_trim() {
            self.trim_presence_slice()
        } else {
            self.storage.maintain()
        }
    }

    /// Handles damage that retention or maintenance found: they wait until it is repaired. Updates are still
    /// accepted; a write shows whether that is possible.
    fn on_upkeep(&mut self, worked: Result<(), StorageError>) {
        let Err(fault) = worked else {
            if std::mem::take(&mut self.hindered) {
                tracing::info!("retention resumed");
                self.published.on_unreadable(Side::Writer, None);
            }
            return;
        };
        self.goal = self.extent.trimmed_through;
        self.presence_goal = self.extent.presence_trimmed_through;
        if !matches!(
            fault,
            StorageError::Damaged(_) | StorageError::Unreadable(_)
        ) {
            return self.on_fault(fault);
        }
        self.published.on_read_fault();
        if !std::mem::replace(&mut self.hindered, true) {
            let line = fault.line();
            tracing::error!(
                error = line,
                "retention stopped: the history cannot be read"
            );
            self.published
                .on_unreadable(Side::Writer, Some(line.into()));
        }
    }

    /// Begins a group and inserts updates.
    fn stage(
        &mut self,
        coming: impl ExactSizeIterator<Item = Coming>,
    ) -> Result<Staged, StorageError> {
        self.storage.begin()?;
        self.insert(coming).map_err(|fault| self.drop_group(fault))
    }

    /// Makes a staged group durable, and publishes it to readers.
    fn commit(&mut self, staged: Staged) -> Result<Vec<Arc<Update>>, StorageError> {
        let Staged { group, mark } = staged;
        // A stopwatch for the metric alone: nothing here depends on it.
        let begun = Instant::now();
        let committed = self.storage.commit();
        self.published.on_commit(begun.elapsed());
        committed.map_err(|fault| self.drop_group(fault))?;
        let before = self.extent.last_mark.bytes_through;
        let bytes = mark.bytes_through.saturating_sub(before);
        self.extent = self.storage.extent();
        let tip = Tip {
            position: self.extent.last,
            print: self.extent.last_print,
        };
        self.published.on_committed(tip, group.len(), bytes);
        self.published.on_extent(&self.extent);
        self.published.on_oldest(self.extent.trimmed_through.next());
        Ok(group)
    }

    /// Drops a group because of `fault`. Returns the fault, or a worse one: a group that cannot be dropped may be
    /// committed with a later one.
    fn drop_group(&mut self, fault: StorageError) -> StorageError {
        match self.storage.rollback() {
            Ok(()) => fault,
            Err(error) => StorageError::NotRolledBack(Box::new(error)),
        }
    }

    /// Makes updates of what is coming, and inserts them.
    fn insert(
        &mut self,
        coming: impl ExactSizeIterator<Item = Coming>,
    ) -> Result<Staged, StorageError> {
        let mut group = Vec::with_capacity(coming.len());
        let mut position = self.extent.last;
        let mut mark = self.extent.last_mark;
        let mut print = self.extent.last_print;
        for Coming {
            draft,
            published_ms,
            print: formed,
            note,
        } in coming
        {
            position = position.next();
            let formed = formed.unwrap_or_else(|| {
                let note = note.as_deref().unwrap_or_default();
                self.line.print(print, position, published_ms, &draft, note)
            });
            print = Some(formed);
            let mut update = self.update(draft, position, formed, published_ms);
            update.note = note.clone().filter(|_| update.is_of_hub());
            let update = Arc::new(update);
            mark = mark.after(&update);
            self.storage.insert(&update, mark)?;
            if let Some(note) = note {
                self.storage.insert_note(position, &note)?;
            }
            group.push(update);
        }
        Ok(Staged { group, mark })
    }

    fn update(&self, draft: Draft, position: Position, print: Print, published_ms: u64) -> Update {
        let (id, id_source) = match draft.id {
            None => (self.seal.seal(position, Some(print)), IdSource::Hub),
            Some(id) => (id, IdSource::Publisher),
        };
        Update {
            trace: draft.trace,
            position,
            print: Some(print),
            id,
            id_source,
            published_ms,
            topics: draft.topics,
            data: draft.data,
            visibility: draft.visibility,
            event_type: draft.event_type,
            retry_ms: draft.retry_ms,
            presence: draft.presence,
            note: None,
        }
    }

    /// Removes a slice of the updates that retention removes. Small enough that publishers do not notice.
    fn trim_slice(&mut self) -> Result<(), StorageError> {
        let trimmed = self.extent.trimmed_through;
        let mut count = (self.goal.get() - trimmed.get()).min(TRIM_UPDATES_MAX);
        loop {
            let through = Position::new(trimmed.get() + count);
            let before = self.extent.trimmed_mark;
            let mark = self.storage.mark(through)?.unwrap_or(before);
            let bytes = mark.bytes_through.saturating_sub(before.bytes_through);
            if bytes > TRIM_BYTES_MAX && count > 1 {
                count /= 2;
                continue;
            }
            // Published first: a reader must not take the missing updates for removed presence events.
            self.published.on_oldest(through.next());
            if let Err(fault) = self.storage.trim(through, mark) {
                self.published.on_oldest(trimmed.next());
                return Err(fault);
            }
            self.extent = self.storage.extent();
            let updates = mark.updates_through - before.updates_through;
            self.published.on_trimmed(updates);
            self.published.on_extent(&self.extent);
            return Ok(());
        }
    }

    /// Removes a slice of the presence events that retention removes.
    fn trim_presence_slice(&mut self) -> Result<(), StorageError> {
        let storage = &mut *self.storage;
        let through = retention::presence_slice(storage, &self.extent, self.presence_goal)?;
        let events = storage.presence(through)?;
        let mut removed = Removed::clone(&self.published.removed());
        removed.note(events, through);
        let removed = Arc::new(removed);
        // Published first, so that no reader misses events that it does not know to be removed. If the removal
        // fails, it is repeated.
        self.published.on_removed(Arc::clone(&removed));
        self.storage.trim_presence(&removed)?;
        self.extent = self.storage.extent();
        Ok(())
    }

    fn refuse(&self, batch: &mut Vec<Append>, error: &RelayError) {
        self.published
            .on_refused(batch.iter().map(Append::updates).sum());
        for append in batch.drain(..) {
            match append {
                Append::Draft { done, .. } => done(Err(error.clone())),
                Append::Ordered { done, .. } => done(Err(InboundError::Relay(error.clone()))),
                Append::Cut { done, .. } => done(Err(error.clone())),
                Append::Purge { done, .. } => done(Err(error.clone())),
            }
        }
    }

    /// Changes the phase because of a fault that refused updates. Returns the error for their publishers.
    fn on_refusing(&mut self, fault: StorageError) -> RelayError {
        let fault = Arc::new(fault);
        self.on_fault(Arc::clone(&fault));
        self.phase
            .error()
            .unwrap_or(RelayError::Unavailable { cause: fault })
    }

    /// Changes the phase because of `fault`, and logs the change once.
    fn on_fault(&mut self, fault: impl Into<Arc<StorageError>>) {
        let fault = fault.into();
        let line = fault.line();
        let reason = Arc::from(line.as_str());
        match (&self.phase, fault.leaves_doubt()) {
            (Phase::Poisoned(_), _) => {}
            (Phase::Ok | Phase::Refusing(_), true) => {
                tracing::error!(error = line, "the history accepts no further updates");
                // Damage does not affect what was synced, so undamaged parts are served.
                let damaged = matches!(*fault, StorageError::Damaged(_));
                self.published.on_health(match damaged {
                    true => Health::Damaged { reason },
                    false => Health::Poisoned { reason },
                });
                self.phase = Phase::Poisoned(fault);
            }
            (Phase::Ok, false) => {
                tracing::warn!(
                    error = line,
                    "the history refuses updates until this is fixed"
                );
                self.phase = Phase::Refusing(fault);
                self.published.on_health(Health::Refusing { reason });
            }
            // The reason may have changed. Readiness shows it; the log does not repeat it.
            (Phase::Refusing(_), false) => {
                self.phase = Phase::Refusing(fault);
                self.published.on_health(Health::Refusing { reason });
            }
        }
    }

    fn on_mended(&mut self) {
        tracing::info!("the history accepts updates again");
        self.phase = Phase::Ok;
        self.published.on_health(Health::Ok);
    }
}

impl Phase {
    /// Returns the error for appends in this phase, if they are refused.
    fn error(&self) -> Option<RelayError> {
        match self {
            Self::Ok => None,
            Self::Refusing(cause) => Some(RelayError::Unavailable {
                cause: Arc::clone(cause) as Cause,
            }),
            Self::Poisoned(cause) => Some(RelayError::Failed {
                cause: Arc::clone(cause) as Cause,
            }),
        }
    }
}

/// Maximum number of updates that one slice removes.
const TRIM_UPDATES_MAX: u64 = 512;

/// Maximum size of the updates that one slice removes, in bytes. A single update may be larger.
const TRIM_BYTES_MAX: u64 = 4 * 1024 * 1024;
