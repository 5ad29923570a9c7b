//! A history in memory: the rules of the file, without the file. Ends with the process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use tidings_core::{IdSource, Position, Update};

use super::{Extent, Mark, Storage, StorageError, StorageReader, Upkeep, update_bytes};

/// Keeps updates in memory.
///
/// The lock stands where SQLite has its own between writer and reader; it is held for look-ups
/// and moves of pointers only.
pub struct MemoryStorage {
    epoch: [u8; 32],
    group: Vec<Entry>,
    kept: Arc<Mutex<Kept>>,
}

struct Kept {
    extent: Extent,
    entries: VecDeque<Entry>,
    /// The positions at which a publisher used an id, oldest first.
    positions: HashMap<Arc<str>, VecDeque<Position>, foldhash::fast::RandomState>,
}

struct Entry {
    update: Arc<Update>,
    mark: Mark,
}

struct MemoryReader {
    kept: Arc<Mutex<Kept>>,
}

impl MemoryStorage {
    /// Returns an empty history of the epoch `epoch`.
    #[must_use]
    pub fn new(epoch: [u8; 32]) -> Self {
        let kept = Kept {
            extent: Extent::EMPTY,
            entries: VecDeque::new(),
            positions: HashMap::default(),
        };
        Self {
            epoch,
            group: Vec::new(),
            kept: Arc::new(Mutex::new(kept)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for MemoryStorage {
    fn epoch(&self) -> [u8; 32] {
        self.epoch
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
        });
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StorageError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in self.group.drain(..) {
            kept.extent.last = entry.update.position;
            kept.extent.last_mark = entry.mark;
            if let Some(id) = publisher_id(&entry.update) {
                let id = Arc::clone(id);
                kept.positions
                    .entry(id)
                    .or_default()
                    .push_back(entry.update.position);
            }
            kept.entries.push_back(entry);
        }
        Ok(())
    }

    fn rollback(&mut self) -> Result<(), StorageError> {
        self.group.clear();
        Ok(())
    }

    fn mark(&mut self, position: Position) -> Result<Option<Mark>, StorageError> {
        let kept = self.lock();
        Ok(kept
            .index(position)
            .and_then(|index| kept.entries.get(index))
            .map(|entry| entry.mark))
    }

    fn trim(&mut self, through: Position, mark: Mark) -> Result<(), StorageError> {
        let mut kept = self.lock();
        while let Some(entry) = kept
            .entries
            .pop_front_if(|entry| entry.update.position <= through)
        {
            kept.forget(&entry.update);
        }
        kept.extent.trimmed_through = through;
        kept.extent.trimmed_bytes = mark.bytes_through;
        if kept.entries.is_empty() {
            kept.entries.shrink_to_fit();
        }
        Ok(())
    }

    fn probe(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    fn check(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    fn upkeep(&self) -> Upkeep {
        Upkeep::None
    }

    fn maintain(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    fn close(&mut self) -> Result<(), StorageError> {
        Ok(())
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
        let first = from.max(kept.extent.trimmed_through.next());
        let skipped = kept.index(first).unwrap_or(kept.entries.len());
        let mut bytes: u64 = 0;
        for entry in kept.entries.range(skipped..) {
            if entry.update.position > through || bytes >= bytes_max {
                break;
            }
            bytes += update_bytes(&entry.update);
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
}

impl Kept {
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

    /// Returns where the update at `position` is among the entries, if it is.
    fn index(&self, position: Position) -> Option<usize> {
        let first = self.entries.front()?.update.position;
        let index = usize::try_from(position.get().checked_sub(first.get())?).ok()?;
        (index < self.entries.len()).then_some(index)
    }
}

fn publisher_id(update: &Update) -> Option<&Arc<str>> {
    match update.id_source {
        IdSource::Publisher => Some(update.id.text()),
        IdSource::Hub => None,
    }
}
