//! The relay's answers to the publishers of one shard. They are gathered while the writer answers a group,
//! and handed over together. Answering each publisher from the writer's thread would wake the shard each
//! time: one system call each and, on one core, one thread switch each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_cluster::RelayError;
use tidings_core::update::Update;
use tokio::sync::{Notify, oneshot};

/// What a publisher's update has become.
pub(crate) type Kept = Result<Arc<Update>, RelayError>;

/// Answers on their way from the history's writer to one shard.
///
/// Never more than there are publishers that wait: each has one update on its way.
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
    /// Adds the answer for one publisher. The shard learns of an update that was stored by
    /// [`hand_over`](Self::hand_over), and of a failure at once: a relay may report one at any time,
    /// without a group that is handed over after it.
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

    /// Answers the publishers, on their own shard, for as long as that lives.
    pub(crate) async fn serve(self: Arc<Self>) {
        loop {
            self.handed_over.notified().await;
            let gathered = std::mem::take(&mut *self.lock());
            for Answer { publisher, kept } in gathered {
                // One that is gone needs no answer.
                drop(publisher.send(kept));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Answer>> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
