//! A bounded queue with one consumer that takes its contents as one batch.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A bounded queue. The lock is held for moves only, never while an item is worked on.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    items_max: usize,
}

/// Why an item was not queued. Returns the item.
pub(crate) enum Rejected<T> {
    Full(T),
    Closed(T),
}

/// What ended a wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Items,
    TimedOut,
    /// The queue is closed and empty.
    Closed,
}

struct State<T> {
    items: VecDeque<T>,
    phase: Phase,
    consumer: Consumer,
}

#[derive(PartialEq, Eq)]
enum Phase {
    Open,
    Closed,
}

#[derive(PartialEq, Eq)]
enum Consumer {
    Busy,
    Waiting,
}

impl<T> Queue<T> {
    pub(crate) fn new(items_max: usize) -> Self {
        let state = State {
            items: VecDeque::new(),
            phase: Phase::Open,
            consumer: Consumer::Busy,
        };
        Self {
            state: Mutex::new(state),
            filled: Condvar::new(),
            items_max,
        }
    }

    /// Adds `item` at the end. Never waits for space.
    pub(crate) fn push(&self, item: T) -> Result<(), Rejected<T>> {
        let mut state = self.lock();
        if state.phase == Phase::Closed {
            return Err(Rejected::Closed(item));
        }
        if state.items.len() >= self.items_max {
            return Err(Rejected::Full(item));
        }
        state.items.push_back(item);
        // A wake-up is a system call; only a sleeping consumer needs one.
        if state.consumer == Consumer::Waiting {
            state.consumer = Consumer::Busy;
            drop(state);
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Appends at most `items_max` items to `batch`; waits up to `timeout` for the first.
    pub(crate) fn take(&self, batch: &mut Vec<T>, items_max: usize, timeout: Duration) -> Taken {
        let mut state = self.lock();
        if state.items.is_empty() && state.phase == Phase::Open && !timeout.is_zero() {
            state.consumer = Consumer::Waiting;
            let sleeps =
                |state: &mut State<T>| state.items.is_empty() && state.phase == Phase::Open;
            let (woken, _) = self
                .filled
                .wait_timeout_while(state, timeout, sleeps)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.consumer = Consumer::Busy;
        }
        if state.items.is_empty() {
            return match state.phase {
                Phase::Open => Taken::TimedOut,
                Phase::Closed => Taken::Closed,
            };
        }
        let count = state.items.len().min(items_max);
        batch.extend(state.items.drain(..count));
        Taken::Items
    }

    /// Returns the number of queued items.
    pub(crate) fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// Refuses new items from now on. Queued items can still be taken.
    pub(crate) fn close(&self) {
        self.lock().phase = Phase::Closed;
        self.filled.notify_all();
    }

    /// Accepts items again after [`close`](Self::close).
    pub(crate) fn reopen(&self) {
        self.lock().phase = Phase::Open;
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_queued_before_the_close_is_taken() {
        let queue = Queue::new(2);
        assert!(queue.push(1).is_ok());
        assert!(queue.push(2).is_ok());
        assert!(matches!(queue.push(3), Err(Rejected::Full(3))));
        queue.close();
        assert!(matches!(queue.push(4), Err(Rejected::Closed(4))));
        let mut batch = Vec::new();
        assert_eq!(queue.take(&mut batch, 1, Duration::MAX), Taken::Items);
        assert_eq!(queue.take(&mut batch, 9, Duration::MAX), Taken::Items);
        assert_eq!(batch, [1, 2]);
        assert_eq!(queue.take(&mut batch, 9, Duration::MAX), Taken::Closed);
        queue.reopen();
        assert!(queue.push(5).is_ok());
    }

    #[test]
    fn an_empty_open_queue_times_out() {
        let queue: Queue<u8> = Queue::new(1);
        assert_eq!(
            queue.take(&mut Vec::new(), 1, Duration::ZERO),
            Taken::TimedOut
        );
    }
}
