//! A history in memory, with the same rules as the file. It ends with the process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use tidings_cluster::Cut;
use tidings_core::{IdSource, Position, Print, Topic, Topics, Update};

use super::{Extent, Mark, PRINTS_KEPT, Storage, StorageError, StorageReader};
use crate::options::Order;
use crate::removed::Removed;

/// Stores updates in memory.
///
/// The lock corresponds to SQLite's own between writer and reader. It is held only for look-ups
/// and moves of pointers.
pub struct MemoryStorage {
    order: Order,
    group: Vec<Entry>,
    kept: Arc<Mutex<Kept>>,
}

struct Kept {
    extent: Extent,
    removed: Removed,
    entries: VecDeque<Entry>,
    /// The presence events. Separate, since they are removed separately.
    presence: VecDeque<Entry>,
    /// The prints of removed presence events, and of the last removed update.
    prints: VecDeque<(Position, Print)>,
    /// The positions at which a publisher used an id, oldest first.
    positions: HashMap<Arc<str>, VecDeque<Position>, foldhash::fast::RandomState>,
}

struct Entry {
    update: Arc<Update>,
    mark: Mark,
    /// What a relay keeps beside it.
    note: Option<Arc<[u8]>>,
}

struct MemoryReader {
    kept: Arc<Mutex<Kept>>,
}

impl MemoryStorage {
    /// Returns an empty history.
    #[must_use]
    pub fn new(order: Order) -> Self {
        let kept = Kept::empty(Extent::EMPTY);
        Self {
            order,
            group: Vec::new(),
            kept: Arc::new(Mutex::new(kept)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for MemoryStorage {
    fn order(&self) -> Order {
        self.order
    }

    fn extent(&self) -> Extent {
        self.lock().extent
    }

    fn begin(&mut self) -> Result<(), StorageError> {
        self.group.clear();
        Ok(())
    }

    fn insert(&mut self, update: &Arc<Update>, mark: Mark) -> Result<(), StorageError> {
        self.group.push(Entry {
            update: Arc::clone(update),
            mark,
            note: None,
        });
        Ok(())
    }

    fn insert_note(&mut self, _position: Position, note: &[u8]) -> Result<(), StorageError> {
        if let Some(entry) = self.group.last_mut() {
            entry.note = Some(note.into());
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StorageError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in self.group.drain(..) {
            kept.extent.last = entry.update.position;
            kept.extent.last_mark = entry.mark;
            kept.extent.last_print = entry.update.print;
            if let Some(id) = publisher_id(&entry.update) {
                let id = Arc::clone(id);
                kept.positions
                    .entry(id)
                    .or_default()
                    .push_back(entry.update.position);
            }
            match entry.update.presence {
                None => kept.entries.push_back(entry),
                Some(_) => kept.presence.push_back(entry),
            }
        }
        Ok(())
    }

    fn rollback(&mut self) -> Result<(), StorageError> {
        self.group.clear();
        Ok(())
    }

    fn mark(&mut self, position: Position) -> Result<Option<Mark>, StorageError> {
        let kept = self.lock();
        let newest = |entries: &VecDeque<Entry>| {
            let index = first_after(entries, position).checked_sub(1)?;
            let entry = entries.get(index)?;
            Some((entry.update.position, entry.mark))
        };
        let found = newest(&kept.entries)
            .into_iter()
            .chain(newest(&kept.presence));
        Ok(found
            .max_by_key(|(position, _)| *position)
            .map(|(_, mark)| mark))
    }

    fn print(&mut self, position: Position) -> Result<Option<Print>, StorageError> {
        Ok(self.lock().print(position))
    }

    fn trim(&mut self, through: Position, mark: Mark) -> Result<(), StorageError> {
        let mut kept = self.lock();
        let print = kept.print(through);
        while let Some(entry) = kept
            .entries
            .pop_front_if(|entry| entry.update.position <= through)
        {
            kept.forget(&entry.update);
        }
        while kept
            .presence
            .pop_front_if(|entry| entry.update.position <= through)
            .is_some()
        {}
        while kept
            .prints
            .pop_front_if(|(position, _)| *position <= through)
            .is_some()
        {}
        if let Some(print) = print {
            kept.prints.push_front((through, print));
        }
        kept.extent.trimmed_through = through;
        kept.extent.trimmed_mark = mark;
        if kept.entries.is_empty() {
            kept.entries.shrink_to_fit();
        }
        Ok(())
    }

    fn withdraw(
        &mut self,
        topic: &Topic,
        after: Position,
        through: Position,
    ) -> Result<u64, StorageError> {
        let mut kept = self.lock();
        let (first, end) = (
            first_after(&kept.entries, after),
            first_after(&kept.entries, through),
        );
        let mut updates = 0;
        for entry in kept.entries.range_mut(first..end.max(first)) {
            if entry.update.topics.iter().any(|named| named == topic) {
                entry.update = Arc::new(entry.update.withdrawn());
                updates += 1;
            }
        }
        Ok(updates)
    }

    fn cut(&mut self, cut: Cut) -> Result<(), StorageError> {
        let mut kept = self.lock();
        let after = match cut {
            Cut::All(after) => {
                let extent = kept.extent.cut_all(after);
                *kept = Kept::empty(extent);
                return Ok(());
            }
            Cut::After(after) => after,
        };
        while let Some(entry) = kept
            .entries
            .pop_back_if(|entry| entry.update.position > after)
        {
            kept.forget_newest(&entry.update);
        }
        while kept
            .presence
            .pop_back_if(|entry| entry.update.position > after)
            .is_some()
        {}
        while kept
            .prints
            .pop_back_if(|(position, _)| *position > after)
            .is_some()
        {}
        let newest = [kept.entries.back(), kept.presence.back()];
        let newest = newest.into_iter().flatten();
        let mark = newest
            .max_by_key(|entry| entry.update.position)
            .map_or(kept.extent.trimmed_mark, |entry| entry.mark);
        kept.extent.last = after;
        kept.extent.last_mark = mark;
        kept.extent.last_print = kept.print(after);
        kept.extent.presence_trimmed_through = kept.extent.presence_trimmed_through.min(after);
        Ok(())
    }

    fn presence(&mut self, through: Position) -> Result<Vec<(Position, Topics)>, StorageError> {
        let kept = self.lock();
        let updates = kept.presence.iter().map(|entry| &entry.update);
        Ok(updates
            .take_while(|update| update.position <= through)
            .filter(|update| !update.visibility.is_for_hubs())
            .map(|update| (update.position, update.topics.clone()))
            .collect())
    }

    fn trim_presence(&mut self, removed: &Removed) -> Result<(), StorageError> {
        let through = removed.through();
        let mut kept = self.lock();
        while let Some(entry) = kept
            .presence
            .pop_front_if(|entry| entry.update.position <= through)
        {
            let position = entry.update.position;
            kept.prints
                .extend(entry.update.print.map(|print| (position, print)));
        }
        let kept_after = kept.extent.last.get().saturating_sub(PRINTS_KEPT);
        while kept
            .prints
            .pop_front_if(|(position, _)| position.get() <= kept_after)
            .is_some()
        {}
        kept.extent.presence_trimmed_through = through;
        kept.removed = removed.clone();
        Ok(())
    }

    fn removed(&self) -> Removed {
        self.lock().removed.clone()
    }

    fn reader(&self) -> Result<Box<dyn StorageReader>, StorageError> {
        Ok(Box::new(MemoryReader {
            kept: Arc::clone(&self.kept),
        }))
    }
}

impl StorageReader for MemoryReader {
    fn read(
        &mut self,
        from: Position,
        through: Position,
        bytes_max: u64,
        updates: &mut Vec<Arc<Update>>,
    ) -> Result<(), StorageError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let before = Position::new(from.get().saturating_sub(1));
        let after = |entries: &VecDeque<Entry>| first_after(entries, before);
        let mut entries = kept.entries.range(after(&kept.entries)..).peekable();
        let mut presence = kept.presence.range(after(&kept.presence)..).peekable();
        let mut bytes: u64 = 0;
        while bytes < bytes_max {
            let place = |entry: Option<&&Entry>| entry.map(|entry| entry.update.position);
            let next = match (place(entries.peek()), place(presence.peek())) {
                (Some(entry), Some(event)) if event < entry => presence.next(),
                (None, Some(_)) => presence.next(),
                (_, _) => entries.next(),
            };
            let Some(entry) = next.filter(|entry| entry.update.position <= through) else {
                break;
            };
            bytes += entry.update.bytes();
            updates.push(Arc::clone(&entry.update));
        }
        Ok(())
    }

    fn find(&mut self, id: &str) -> Result<Option<Position>, StorageError> {
        Ok(self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .first_of(id))
    }

    fn print(&mut self, position: Position) -> Result<Option<Print>, StorageError> {
        Ok(self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .print(position))
    }

    fn note(&mut self, position: Position) -> Result<Option<Arc<[u8]>>, StorageError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(kept.entry(position).and_then(|entry| entry.note.clone()))
    }
}

impl Kept {
    fn empty(extent: Extent) -> Self {
        Self {
            extent,
            removed: Removed::unknown(extent.presence_trimmed_through),
            entries: VecDeque::new(),
            presence: VecDeque::new(),
            prints: VecDeque::new(),
            positions: HashMap::default(),
        }
    }

    fn entry(&self, position: Position) -> Option<&Entry> {
        let before = Position::new(position.get().saturating_sub(1));
        [&self.entries, &self.presence]
            .into_iter()
            .find_map(|entries| {
                let entry = entries.get(first_after(entries, before))?;
                (entry.update.position == position).then_some(entry)
            })
    }

    fn print(&self, position: Position) -> Option<Print> {
        let kept = self.entry(position).and_then(|entry| entry.update.print);
        kept.or_else(|| {
            let index = self
                .prints
                .binary_search_by_key(&position, |(at, _)| *at)
                .ok()?;
            self.prints.get(index).map(|(_, print)| *print)
        })
    }

    fn first_of(&self, id: &str) -> Option<Position> {
        self.positions.get(id)?.front().copied()
    }

    fn forget(&mut self, update: &Update) {
        let Some(id) = publisher_id(update) else {
            return;
        };
        let Some(positions) = self.positions.get_mut(id) else {
            return;
        };
        positions.pop_front();
        if positions.is_empty() {
            self.positions.remove(id);
        }
    }

    fn forget_newest(&mut self, update: &Update) {
        let Some(id) = publisher_id(update) else {
            return;
        };
        let Some(positions) = self.positions.get_mut(id) else {
            return;
        };
        positions.pop_back();
        if positions.is_empty() {
            self.positions.remove(id);
        }
    }
}

/// Returns the index of the first entry after `position`.
fn first_after(entries: &VecDeque<Entry>, position: Position) -> usize {
    entries.partition_point(|entry| entry.update.position <= position)
}

fn publisher_id(update: &Update) -> Option<&Arc<str>> {
    match update.id_source {
        IdSource::Publisher => Some(update.id.text()),
        IdSource::Hub => None,
    }
}
