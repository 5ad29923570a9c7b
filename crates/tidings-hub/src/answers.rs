//! The relay's answers to the publishers of one shard. They are gathered while the writer answers a group,
//! and handed over together. Answering each publisher from the writer's thread would wake the shard each
//! time: one system call each and, on one core, one thread switch each.

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

#[derive(Debug)]
struct Answer {
    publisher: oneshot::Sender<Kept>,
    kept: Kept,
}

impl Answers {
    /// Adds the answer for one publisher. The shard learns of a stored update when
    /// [`hand_over`](Self::hand_over) is called, and of a failure at once: a relay may report a failure at any
    /// time, without a group that is handed over after it.
    pub(crate) fn add(&self, publisher: oneshot::Sender<Kept>, kept: Kept) {
        let failed = kept.is_err();
        self.lock().push(Answer { publisher, kept });
        if failed {
            self.handed_over.notify_one();
        }
    }

    /// Wakes the shard if anything has gathered for it.
    pub fn hand_over(&self) {
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
