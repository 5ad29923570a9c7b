//! A file whose history ordered its own updates, and whose next ones a relay orders: the step of one
//! hub into a cluster. No hub uses the file meanwhile.

use std::path::{Path, PathBuf};

use tidings_cluster::Epoch;
use tidings_core::Position;

use super::open::{ORDERED_BY, OpenError, RELAY};
use super::{SqliteStorage, write_failure};
use crate::options::Order;
use crate::storage::{Storage, StorageError};

/// Why the order of a history is not given away.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// There is no file.
    #[error(
        "there is no history {path}, so there is nothing to adopt: `tidings cluster init` begins a new cluster"
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It has no update.
    #[error(
        "the history {path} has no updates, so there is nothing to adopt: move it away, and begin a new cluster with `tidings cluster init`"
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A relay orders its updates already.
    #[error(
        "the history {path} is a cluster's already: start its hub, which puts back what the engine lacks"
    )]
    Ordered {
        /// The file.
        path: PathBuf,
    },
    /// Its updates have no prints.
    #[error(
        "the updates of the history {path} are of an earlier version, which other hubs cannot check: publish one with a hub of this version first"
    )]
    Unprinted {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It has a fault.
    #[error("the history {path} cannot be changed")]
    Storage {
        /// The file.
        path: PathBuf,
        /// The fault.
        #[source]
        source: StorageError,
    },
}

/// A history whose order was given away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adopted {
    /// Its secret, which stays.
    pub epoch: Epoch,
    /// Its newest update.
    pub last: Position,
}

impl SqliteStorage {
    /// Lets a relay order what comes next in the history at `path`. Ids and prints stay. When this
    /// returns, a crash does not undo it.
    ///
    /// # Errors
    ///
    /// [`AdoptError`]: nothing was changed, unless the fault leaves doubt.
    pub fn give_order_away(path: &Path) -> Result<Adopted, AdoptError> {
        if !path.metadata().is_ok_and(|file| file.len() > 0) {
            return Err(AdoptError::Missing { path: path.into() });
        }
        // The file is there, so this epoch is not used.
        let storage = Self::open(path, Order::Own(Epoch::new([0; 32])))?;
        let Order::Own(epoch) = storage.order else {
            return Err(AdoptError::Ordered { path: path.into() });
        };
        let extent = storage.extent;
        if extent.trimmed_through >= extent.last {
            return Err(AdoptError::Empty { path: path.into() });
        }
        if extent.last_print.is_none() {
            return Err(AdoptError::Unprinted { path: path.into() });
        }
        let insert = format!("INSERT INTO meta (name, value) VALUES ('{ORDERED_BY}', '{RELAY}')");
        storage.change_order(&insert, path)?;
        let last = extent.last;
        Ok(Adopted { epoch, last })
    }

    /// Takes back what [`give_order_away`](Self::give_order_away) did, before any relay ordered
    /// something.
    ///
    /// # Errors
    ///
    /// [`AdoptError`]: nothing was changed, unless the fault leaves doubt.
    pub fn take_order_back(path: &Path) -> Result<(), AdoptError> {
        let storage = Self::open(path, Order::Own(Epoch::new([0; 32])))?;
        let delete = format!("DELETE FROM meta WHERE name = '{ORDERED_BY}'");
        storage.change_order(&delete, path)
    }

    fn change_order(mut self, change: &str, path: &Path) -> Result<(), AdoptError> {
        let changed = self.begin().and_then(|()| {
            self.connection
                .execute_batch(change)
                .map_err(write_failure)?;
            self.commit()?;
            self.close()
        });
        changed.map_err(|source| AdoptError::Storage {
            path: path.into(),
            source,
        })
    }
}
