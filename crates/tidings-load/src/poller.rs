//! One epoll set, which reports the sockets that are readable. Linux only, like the figures that
//! the generator reads from `/proc`.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use crate::BenchError;

/// Sockets reported at once. Few, so that the schedule is checked in between.
const EVENTS_MAX: usize = 256;

/// An epoll set and the buffer for its events.
pub(crate) struct Poller {
    set: OwnedFd,
    events: Vec<epoll::Event>,
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poller")
            .field("set", &self.set)
            .finish_non_exhaustive()
    }
}

impl Poller {
    /// Makes an empty set.
    ///
    /// # Errors
    ///
    /// [`BenchError::System`] if the system has no file left.
    pub(crate) fn new() -> Result<Self, BenchError> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC);
        let set = set.map_err(BenchError::system("epoll_create"))?;
        Ok(Self {
            set,
            events: Vec::with_capacity(EVENTS_MAX),
        })
    }

    /// Adds a socket under a number. Closing the socket removes it.
    ///
    /// # Errors
    ///
    /// [`BenchError::System`] if the system refuses it.
    pub(crate) fn add(&self, socket: impl AsFd, number: u64) -> Result<(), BenchError> {
        let flags = epoll::EventFlags::IN;
        epoll::add(&self.set, socket, epoll::EventData::new_u64(number), flags)
            .map_err(BenchError::system("epoll_ctl"))
    }

    /// Removes a socket from the set.
    ///
    /// # Errors
    ///
    /// [`BenchError::System`] if it is not in the set.
    pub(crate) fn remove(&self, socket: impl AsFd) -> Result<(), BenchError> {
        epoll::delete(&self.set, socket).map_err(BenchError::system("epoll_ctl"))
    }

    /// Waits up to `timeout` and fills `ready` with the numbers of the readable sockets.
    ///
    /// # Errors
    ///
    /// [`BenchError::System`] if waiting fails.
    pub(crate) fn wait(
        &mut self,
        timeout: Duration,
        ready: &mut Vec<u64>,
    ) -> Result<(), BenchError> {
        ready.clear();
        self.events.clear();
        let timeout = Timespec::try_from(timeout).ok();
        match epoll::wait(
            &self.set,
            spare_capacity(&mut self.events),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(BenchError::system("epoll_wait")(errno)),
        }
        ready.extend(self.events.iter().map(|event| event.data.u64()));
        Ok(())
    }
}
