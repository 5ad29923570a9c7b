//! How many connections there may be: in total and from one address. Counted for the whole process,
//! at accept and at the end of a connection, never on the way of an update.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

/// The process's open connections.
#[derive(Debug)]
pub(crate) struct Admission {
    total: AtomicUsize,
    total_max: usize,
    /// Zero: no limit per address.
    per_address_max: usize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `limits.connections_max` is reached.
    Total,
    /// `limits.connections_per_address_max` is reached.
    Address,
}

/// One admitted connection; gives its place back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Admission {
    /// Starts with no connection.
    pub(crate) fn new(total_max: usize, per_address_max: usize) -> Arc<Self> {
        Arc::new(Self {
            total: AtomicUsize::new(0),
            total_max,
            per_address_max,
            by_address: Mutex::default(),
        })
    }

    /// Returns how many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// Counts a connection from `address`.
    ///
    /// # Errors
    ///
    /// The limit that is reached.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Permit, Refusal> {
        if self.total.fetch_add(1, Ordering::Relaxed) >= self.total_max {
            self.total.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Total);
        }
        if self.per_address_max > 0 {
            let mut addresses = self.addresses();
            let count = addresses.entry(address).or_insert(0);
            if *count >= self.per_address_max {
                drop(addresses);
                self.total.fetch_sub(1, Ordering::Relaxed);
                return Err(Refusal::Address);
            }
            *count += 1;
        }
        Ok(Permit {
            admission: Arc::clone(self),
            address,
        })
    }

    /// Counts a connection from `address` that no limit refuses.
    pub(crate) fn admit_always(self: &Arc<Self>, address: IpAddr) -> Permit {
        self.total.fetch_add(1, Ordering::Relaxed);
        if self.per_address_max > 0 {
            *self.addresses().entry(address).or_insert(0) += 1;
        }
        Permit {
            admission: Arc::clone(self),
            address,
        }
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // The counts stay right even if a holder panicked between two lines.
        self.by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.total.fetch_sub(1, Ordering::Relaxed);
        if self.admission.per_address_max == 0 {
            return;
        }
        let mut addresses = self.admission.addresses();
        if let Some(count) = addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.address);
                if addresses.len() < addresses.capacity() / 4 {
                    addresses.shrink_to_fit();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_hold_and_places_come_back() {
        let admission = Admission::new(3, 2);
        let a = IpAddr::from([127, 0, 0, 1]);
        let b = IpAddr::from([127, 0, 0, 2]);
        let first = admission.admit(a).unwrap();
        let _second = admission.admit(a).unwrap();
        assert_eq!(admission.admit(a).unwrap_err(), Refusal::Address);
        let _third = admission.admit(b).unwrap();
        assert_eq!(admission.admit(b).unwrap_err(), Refusal::Total);
        drop(first);
        assert_eq!(admission.open(), 2);
        assert!(admission.admit(a).is_ok());
    }
}
