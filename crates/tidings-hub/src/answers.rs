//! The relay's answers to the publishers of one shard. They are gathered while the writer answers a group,
//! and handed over together. Answering each publisher from the writer's thread would wake the shard each
//! time: one system call each and, on one core, one thread switch each.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_cluster::RelayError;
use tidings_core::update::Update;
use tokio::sync::{Notify, oneshot};

/// The result of publishing: the stored update, or why it was not stored.
pub type Kept = Result<Arc<Update>, RelayError>;

/// Answers on their way from the history's writer to one shard.
///
/// Never more than there are waiting publishers: each has one update on its way.
#[derive(Debug, Default)]
pub struct Answers {
    gathered: Mutex<Vec<Answer>>,
    handed_over: Notify,
}

thread_local! {
    /// Whether this thread hands over what it has gathered.
    static GATHERS: Cell<bool> = const { Cell::new(false) };
}

#[derive(Debug)]
struct Answer {
    publisher: oneshot::Sender<Kept>,
    kept: Kept,
}

impl Answers {
    /// Adds the answer for one publisher. The shard learns of it when [`hand_over`](Self::hand_over) is
    /// called, if this thread is one that calls it after each group of updates; otherwise at once: a relay
    /// reports failures, and updates that were stored earlier, at any time and on any thread.
    pub(crate) fn add(&self, publisher: oneshot::Sender<Kept>, kept: Kept) {
        let gathers = kept.is_ok() && GATHERS.get();
        self.lock().push(Answer { publisher, kept });
        if !gathers {
            self.handed_over.notify_one();
        }
    }

    /// Wakes the shard if anything has gathered for it.
    pub fn hand_over(&self) {
        GATHERS.set(true);
        if !self.lock().is_empty() {
            self.handed_over.notify_one();
        }
    }

    /// Answers the publishers, on their own shard, as long as the shard lives.
    pub(crate) async fn serve(self: Arc<Self>) {
        loop {
            self.handed_over.notified().await;
            let gathered = std::mem::take(&mut *self.lock());
            for Answer { publisher, kept } in gathered {
                // The publisher may be gone.
                drop(publisher.send(kept));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Answer>> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
