//! What a session that is behind reads next: the shard's ring first, the history's pages else.

use std::rc::Rc;
use std::sync::Arc;

use tidings_history::ReadError;
use tokio::sync::oneshot;

use super::Shard;
use crate::posted::Posted;
use crate::session::{Ending, Phase, Session};

/// Updates taken from the ring at once.
const POSTS_MAX: usize = 256;

/// What comes after a session's position.
#[derive(Debug)]
pub(crate) enum Reading {
    /// Nothing: the session is live from here on.
    CaughtUp,
    /// The next updates, in order; never empty.
    Posts(Vec<Arc<Posted>>),
    /// What came next is no longer kept.
    Trimmed,
}

impl Shard {
    /// Returns what `session` is to read next, or makes it live if there is nothing.
    ///
    /// # Errors
    ///
    /// The history cannot be read; the stream then ends and the subscriber tries again.
    pub(crate) async fn read_on(&self, session: &Rc<Session>) -> Result<Reading, Ending> {
        let next = session.next.get();
        {
            let engine = self.engine.borrow();
            if next >= engine.ring.last() {
                // In one step with the look at the ring: nothing can slip between.
                session.enter(Phase::Live);
                return Ok(Reading::CaughtUp);
            }
            if let Some(posts) = engine.ring.after(next, POSTS_MAX) {
                return Ok(Reading::Posts(posts));
            }
        }
        let (reply, page) = oneshot::channel();
        // A session that is gone does not need its page.
        self.history().read_page(next, Box::new(move |page| drop(reply.send(page))));
        match page.await {
            Ok(Ok(page)) => {
                let posts: Vec<_> = page
                    .updates
                    .iter()
                    .filter(|update| update.position > next)
                    .map(|update| Arc::new(Posted::replayed(Arc::clone(update))))
                    .collect();
                // The history never has less than what this shard has seen.
                if posts.is_empty() { Ok(Reading::Trimmed) } else { Ok(Reading::Posts(posts)) }
            }
            Ok(Err(ReadError::Trimmed { .. })) => Ok(Reading::Trimmed),
            Ok(Err(error)) => {
                tracing::error!(%error, "the history cannot be read");
                Err(Ending::HistoryUnreadable)
            }
            Err(_) => Err(Ending::Drained),
        }
    }
}
