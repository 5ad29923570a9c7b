//! A history that stores nothing: updates get positions, and are gone once they are delivered.

use std::sync::Arc;

use tidings_cluster::Cut;
use tidings_core::{Position, Print, Topic, Topics, Update};

use super::{Extent, Mark, Storage, StorageError, StorageReader};
use crate::options::Order;
use crate::removed::Removed;

/// Stores nothing. A committed update counts as removed at once.
pub struct NoStorage {
    order: Order,
    group_end: Option<(Position, Mark, Option<Print>)>,
    extent: Extent,
}

struct NoReader;

impl NoStorage {
    /// Returns a history that starts at the first position.
    #[must_use]
    pub fn new(order: Order) -> Self {
        Self {
            order,
            group_end: None,
            extent: Extent::EMPTY,
        }
    }
}

impl Storage for NoStorage {
    fn order(&self) -> Order {
        self.order
    }

    fn extent(&self) -> Extent {
        self.extent
    }

    fn begin(&mut self) -> Result<(), StorageError> {
        self.group_end = None;
        Ok(())
    }

    fn insert(&mut self, update: &Arc<Update>, mark: Mark) -> Result<(), StorageError> {
        self.group_end = Some((update.position, mark, update.print));
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StorageError> {
        if let Some((last, last_mark, last_print)) = self.group_end.take() {
            self.extent = Extent {
                trimmed_through: last,
                trimmed_mark: last_mark,
                last,
                last_mark,
                last_print,
                unprinted_through: Position::ZERO,
                presence_trimmed_through: last,
            };
        }
        Ok(())
    }

    fn rollback(&mut self) -> Result<(), StorageError> {
        self.group_end = None;
        Ok(())
    }

    fn mark(&mut self, _position: Position) -> Result<Option<Mark>, StorageError> {
        Ok(None)
    }

    fn print(&mut self, _position: Position) -> Result<Option<Print>, StorageError> {
        Ok(None)
    }

    fn trim(&mut self, _through: Position, _mark: Mark) -> Result<(), StorageError> {
        Ok(())
    }

    fn cut(&mut self, cut: Cut) -> Result<(), StorageError> {
        let (Cut::After(after) | Cut::All(after)) = cut;
        self.extent = self.extent.cut_all(after);
        Ok(())
    }

    fn presence(&mut self, _through: Position) -> Result<Vec<(Position, Topics)>, StorageError> {
        Ok(Vec::new())
    }

    fn withdraw(
        &mut self,
        _topic: &Topic,
        _after: Position,
        _through: Position,
    ) -> Result<u64, StorageError> {
        Ok(0)
    }

    fn trim_presence(&mut self, _removed: &Removed) -> Result<(), StorageError> {
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn StorageReader>, StorageError> {
        Ok(Box::new(NoReader))
    }
}

impl StorageReader for NoReader {
    fn read(
        &mut self,
        _from: Position,
        _through: Position,
        _bytes_max: u64,
        _updates: &mut Vec<Arc<Update>>,
    ) -> Result<(), StorageError> {
        Ok(())
    }

    fn find(&mut self, _id: &str) -> Result<Option<Position>, StorageError> {
        Ok(None)
    }

    fn print(&mut self, _position: Position) -> Result<Option<Print>, StorageError> {
        Ok(None)
    }
}
