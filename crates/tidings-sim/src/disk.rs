//! The simulated disk under the history, with crashes and faults. Like a real disk, it keeps synced
//! data in a crash and may lose the rest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_cluster::Cut;
use tidings_core::position::Position;
use tidings_core::print::Print;
use tidings_core::topic::Topic;
use tidings_core::update::{IdSource, Presence, Topics, Update};
use tidings_history::storage::{Announced, Extent, Mark, Storage, StorageError, StorageReader};
use tidings_history::{ClockNote, Order, Removed};

/// How the following writes end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// They succeed.
    #[default]
    None,
    /// The disk is full, until the fault is cleared.
    Full,
    /// A write fails before anything reaches the disk, until the fault is cleared.
    Write,
    /// The sync fails. The seed decides whether the group survives a crash.
    Sync,
}

/// The disk. It outlives the hubs that run on it.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    order: Order,
    kept: Kept,
    /// The data that is certainly on the disk. It differs from `kept` after a removal that was not
    /// synced.
    synced: Kept,
    /// The most recent copy.
    backup: Option<Kept>,
    /// The group whose sync failed.
    doubtful: Option<Kept>,
    fault: Fault,
}

#[derive(Clone, Debug)]
struct Kept {
    updates: BTreeMap<u64, (Arc<Update>, Mark)>,
    /// The print at each position from the last that retention removed.
    prints: BTreeMap<u64, Print>,
    /// What a relay keeps.
    notes: BTreeMap<u64, Arc<[u8]>>,
    extent: Extent,
    removed: Removed,
    clock: Option<ClockNote>,
    left_line_at: Option<Position>,
    /// Subscriptions that were announced as begun and not as ended, by topic.
    announced: BTreeMap<String, Announced>,
}

impl Disk {
    /// Makes an empty disk for a history with this order and epoch.
    pub fn new(order: Order) -> Self {
        let kept = Kept {
            updates: BTreeMap::new(),
            prints: BTreeMap::new(),
            notes: BTreeMap::new(),
            extent: Extent::EMPTY,
            removed: Removed::unknown(Position::ZERO),
            clock: None,
            left_line_at: None,
            announced: BTreeMap::new(),
        };
        let state = State {
            order,
            synced: kept.clone(),
            kept,
            backup: None,
            doubtful: None,
            fault: Fault::None,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Sets how writes end from now on.
    pub fn set_fault(&self, fault: Fault) {
        self.lock().fault = fault;
    }

    /// Returns how writes end now.
    pub fn fault(&self) -> Fault {
        self.lock().fault
    }

    /// Loses what was not synced. `keep` decides whether the doubtful group has reached the disk.
    pub fn crash(&self, keep: bool) {
        let mut state = self.lock();
        let doubtful = state.doubtful.take();
        state.kept = match doubtful {
            Some(doubtful) if keep => doubtful,
            _ if keep => state.kept.clone(),
            _ => state.synced.clone(),
        };
        state.synced = state.kept.clone();
        if state.fault == Fault::Sync {
            state.fault = Fault::None;
        }
    }

    /// Copies the disk.
    pub fn back_up(&self) {
        let mut state = self.lock();
        state.backup = Some(state.kept.clone());
    }

    /// Replaces the disk with the most recent copy. Returns whether there was one.
    pub fn restore(&self) -> bool {
        let mut state = self.lock();
        let Some(backup) = state.backup.clone() else {
            return false;
        };
        state.synced = backup.clone();
        state.kept = backup;
        state.doubtful = None;
        true
    }

    /// Returns the stored updates in order.
    pub fn updates(&self) -> Vec<Arc<Update>> {
        self.lock()
            .kept
            .updates
            .values()
            .map(|(update, _)| Arc::clone(update))
            .collect()
    }

    /// Returns the first position that is or was stored, since the history began or began anew.
    pub fn oldest(&self) -> Position {
        self.lock().kept.extent.trimmed_through.next()
    }

    /// Returns the newest position that is or was stored.
    pub fn last(&self) -> Position {
        self.lock().kept.extent.last
    }

    /// Returns how many subscriptions the stored events leave active: announced as begun and not as
    /// ended. It counts events that retention has removed, too.
    pub fn announced(&self) -> usize {
        self.lock().kept.announced.len()
    }

    /// Returns the last position that retention has removed.
    pub fn trimmed_through(&self) -> Position {
        self.lock().kept.extent.trimmed_through
    }

    /// Returns storage on this disk for a hub that starts.
    pub fn storage(&self) -> Box<dyn Storage> {
        Box::new(SimStorage {
            disk: self.clone(),
            group: None,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct SimStorage {
    disk: Disk,
    group: Option<Kept>,
}

fn fault_of(fault: Fault) -> Result<(), StorageError> {
    match fault {
        Fault::None => Ok(()),
        Fault::Full => Err(StorageError::Full),
        Fault::Write => Err(StorageError::Unwritable("simulated write fault".into())),
        Fault::Sync => Err(StorageError::SyncFailed("simulated sync fault".into())),
    }
}

impl Storage for SimStorage {
    fn order(&self) -> Order {
        self.disk.lock().order
    }

    fn extent(&self) -> Extent {
        self.disk.lock().kept.extent
    }

    fn begin(&mut self) -> Result<(), StorageError> {
        self.group = Some(self.disk.lock().kept.clone());
        Ok(())
    }

    fn insert(&mut self, update: &Arc<Update>, mark: Mark) -> Result<(), StorageError> {
        let fault = self.disk.fault();
        if fault != Fault::Sync {
            fault_of(fault)?;
        }
        if let Some(group) = &mut self.group {
            group
                .updates
                .insert(update.position.get(), (Arc::clone(update), mark));
            group.note(update);
            group.extent.last = update.position;
            group.extent.last_mark = mark;
            group.extent.last_print = update.print;
            group
                .prints
                .extend(update.print.map(|print| (update.position.get(), print)));
        }
        Ok(())
    }

    fn insert_note(&mut self, position: Position, note: &[u8]) -> Result<(), StorageError> {
        if let Some(group) = &mut self.group {
            group.notes.insert(position.get(), note.into());
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StorageError> {
        let Some(group) = self.group.take() else {
            return Ok(());
        };
        let mut state = self.disk.lock();
        if state.fault == Fault::Sync {
            state.doubtful = Some(group.clone());
        }
        fault_of(state.fault)?;
        state.kept = group;
        // One sync covers everything before it, including removals.
        state.synced = state.kept.clone();
        Ok(())
    }

    fn rollback(&mut self) -> Result<(), StorageError> {
        self.group = None;
        Ok(())
    }

    fn mark(&mut self, position: Position) -> Result<Option<Mark>, StorageError> {
        Ok(self
            .disk
            .lock()
            .kept
            .updates
            .range(..=position.get())
            .next_back()
            .map(|(_, (_, mark))| *mark))
    }

    fn print(&mut self, position: Position) -> Result<Option<Print>, StorageError> {
        Ok(self.disk.lock().kept.prints.get(&position.get()).copied())
    }

    fn trim(&mut self, through: Position, mark: Mark) -> Result<(), StorageError> {
        let mut state = self.disk.lock();
        fault_of(state.fault)?;
        let rest = state.kept.updates.split_off(&through.next().get());
        let removed = std::mem::replace(&mut state.kept.updates, rest);
        let mut messages = removed.values().map(|(update, _)| update);
        let last = messages.rfind(|update| is_message(update));
        let last = last.map(|update| update.position);
        state.kept.left_line_at = state.kept.left_line_at.filter(|left| last <= Some(*left));
        state.kept.prints = state.kept.prints.split_off(&through.get());
        state.kept.notes = state.kept.notes.split_off(&through.next().get());
        state.kept.extent.trimmed_through = through;
        state.kept.extent.trimmed_mark = mark;
        Ok(())
    }

    fn withdraw(
        &mut self,
        topic: &Topic,
        after: Position,
        through: Position,
    ) -> Result<u64, StorageError> {
        let mut state = self.disk.lock();
        fault_of(state.fault)?;
        let range = after.next().get()..=through.get();
        let mut updates = 0;
        for (_, (update, _)) in state.kept.updates.range_mut(range) {
            let of_topic = update.topics.iter().any(|named| named == topic);
            if of_topic && !update.is_of_hub() {
                *update = Arc::new(update.withdrawn());
                updates += 1;
            }
        }
        state.synced = state.kept.clone();
        Ok(updates)
    }

    fn cut(&mut self, cut_at: Cut) -> Result<(), StorageError> {
        let mut state = self.disk.lock();
        fault_of(state.fault)?;
        let kept = &mut state.kept;
        let (from, extent) = match cut_at {
            Cut::All(after) => (0, kept.extent.cut_all(after)),
            Cut::After(after) => {
                let before = kept.updates.range(..=after.get()).next_back();
                let mark = before.map_or(kept.extent.trimmed_mark, |(_, (_, mark))| *mark);
                let extent = Extent {
                    last: after,
                    last_mark: mark,
                    last_print: kept.prints.get(&after.get()).copied(),
                    presence_trimmed_through: kept.extent.presence_trimmed_through.min(after),
                    ..kept.extent
                };
                (after.get(), extent)
            }
        };
        let cut = kept.updates.split_off(&(from + 1));
        let begun = cut.values().map(|(update, _)| update);
        let begun = begun.filter(|update| matches!(update.presence, Some(Presence::Begins(_))));
        for update in begun {
            kept.announced.remove(update.topics.canonical().as_str());
        }
        if from == 0 {
            kept.announced.clear();
        }
        kept.prints.split_off(&(from + 1));
        kept.notes.split_off(&(from + 1));
        kept.extent = extent;
        let (Cut::After(left) | Cut::All(left)) = cut_at;
        kept.left_line_at = Some(left);
        kept.removed = Removed::unknown(extent.presence_trimmed_through);
        state.synced = state.kept.clone();
        Ok(())
    }

    fn presence(&mut self, through: Position) -> Result<Vec<(Position, Topics)>, StorageError> {
        let state = self.disk.lock();
        let updates = state.kept.updates.range(..=through.get());
        Ok(updates
            .map(|(_, (update, _))| update)
            .filter(|update| update.presence.is_some() && !update.visibility.is_for_hubs())
            .map(|update| (update.position, update.topics.clone()))
            .collect())
    }

    fn trim_presence(&mut self, removed: &Removed) -> Result<(), StorageError> {
        let through = removed.through();
        let mut state = self.disk.lock();
        fault_of(state.fault)?;
        let kept = |(update, _): &(Arc<Update>, Mark)| {
            update.presence.is_none() || update.position > through
        };
        state.kept.updates.retain(|_, entry| kept(entry));
        state.kept.extent.presence_trimmed_through = through;
        state.kept.removed = removed.clone();
        Ok(())
    }

    fn removed(&self) -> Removed {
        self.disk.lock().kept.removed.clone()
    }

    fn for_hubs(&mut self) -> Result<Vec<Arc<Update>>, StorageError> {
        let state = self.disk.lock();
        let updates = state.kept.updates.values().map(|(update, _)| update);
        Ok(updates
            .filter(|update| is_message(update))
            .cloned()
            .collect())
    }

    fn left_line_at(&mut self) -> Result<Option<Position>, StorageError> {
        Ok(self.disk.lock().kept.left_line_at)
    }

    fn announced(&mut self) -> Result<Vec<Announced>, StorageError> {
        let state = self.disk.lock();
        Ok(state.kept.announced.values().cloned().collect())
    }

    fn clock(&self) -> Option<ClockNote> {
        self.disk.lock().kept.clock
    }

    fn note_clock(&mut self, note: ClockNote) -> Result<(), StorageError> {
        let mut state = self.disk.lock();
        fault_of(state.fault)?;
        state.kept.clock = Some(note);
        Ok(())
    }

    fn probe(&mut self) -> Result<(), StorageError> {
        fault_of(self.disk.fault())
    }

    fn reader(&self) -> Result<Box<dyn StorageReader>, StorageError> {
        Ok(Box::new(SimReader {
            disk: self.disk.clone(),
        }))
    }
}

/// Returns whether it is for hubs, and none of presence's events.
fn is_message(update: &Update) -> bool {
    update.visibility.is_for_hubs() && update.presence.is_none()
}

struct SimReader {
    disk: Disk,
}

impl StorageReader for SimReader {
    fn read(
        &mut self,
        from: Position,
        through: Position,
        bytes_max: u64,
        updates: &mut Vec<Arc<Update>>,
    ) -> Result<(), StorageError> {
        let mut bytes = 0;
        let state = self.disk.lock();
        for (update, _) in state
            .kept
            .updates
            .range(from.get()..=through.get())
            .map(|(_, kept)| kept)
        {
            updates.push(Arc::clone(update));
            bytes += update.bytes();
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(())
    }

    fn find(&mut self, id: &str) -> Result<Option<Position>, StorageError> {
        Ok(first_of(&self.disk.lock().kept, id))
    }

    fn print(&mut self, position: Position) -> Result<Option<Print>, StorageError> {
        Ok(self.disk.lock().kept.prints.get(&position.get()).copied())
    }

    fn note(&mut self, position: Position) -> Result<Option<Arc<[u8]>>, StorageError> {
        Ok(self.disk.lock().kept.notes.get(&position.get()).cloned())
    }
}

impl Kept {
    fn note(&mut self, update: &Update) {
        let topic = update.topics.canonical().as_str();
        match update.presence {
            None => {}
            Some(Presence::Begins(holder)) => {
                let announced = Announced {
                    topics: update.topics.clone(),
                    data: Arc::clone(&update.data),
                    holder,
                    note: update.note.clone(),
                    position: Some(update.position),
                };
                self.announced.insert(topic.to_owned(), announced);
            }
            Some(Presence::Ends) => {
                self.announced.remove(topic);
            }
        }
    }
}

fn first_of(kept: &Kept, id: &str) -> Option<Position> {
    let mut updates = kept.updates.values().map(|(update, _)| update);
    updates
        .find(|update| update.id_source == IdSource::Publisher && update.id.as_str() == id)
        .map(|update| update.position)
}
