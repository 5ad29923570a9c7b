//! How a shard reads updates for its sessions: recent ones from its own ring, older ones from the history.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::event_id::EventId;
use tidings_core::position::Position;
use tidings_history::{Page, ReadError};
use tokio::sync::oneshot;

use super::Shard;
use crate::posted::Posted;
use crate::session::progress::Kept;

/// Updates taken from the ring at once.
const POSTS_MAX: usize = 256;
/// How often the history is asked again while it is busy.
const BUSY_TRIES_MAX: usize = 100;
/// The pause before it is asked again.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// What a shard has in memory after a position.
#[derive(Debug)]
pub(crate) enum Recent {
    /// There is nothing after it yet.
    Nothing,
    /// The next updates, in order.
    Updates(Vec<Arc<Posted>>),
    /// The next updates are no longer in memory.
    TooOld,
}

impl Shard {
    /// Returns what this shard has in memory after `position`.
    pub(crate) fn recent_after(&self, position: Position) -> Recent {
        let engine = self.engine.borrow();
        if position >= engine.ring.last() {
            return Recent::Nothing;
        }
        let posts = engine.ring.after(position, POSTS_MAX);
        posts.map_or(Recent::TooOld, Recent::Updates)
    }

    /// Returns what the history retains.
    pub(crate) fn kept(&self) -> Kept {
        Kept {
            before_oldest: self.before_oldest(),
            presence_trimmed: self.history().presence_trimmed(),
        }
    }

    /// Returns the position before the oldest retained update.
    pub(crate) fn before_oldest(&self) -> Position {
        Position::new(self.history().bounds().oldest.get().saturating_sub(1))
    }

    /// Asks the history for the cursor of a position. Tries again for a while if too many others read.
    pub(super) async fn found_cursor(&self, position: Position) -> Option<EventId> {
        let ask = |reply: oneshot::Sender<_>| {
            let reply = Box::new(move |cursor| drop(reply.send(cursor)));
            self.history().cursor(position, reply);
        };
        match patiently(ask).await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "cursor could not be read from the history");
                None
            }
        }
    }

    /// Reads the page of the history after `position`. Tries again for a while if too many others read.
    ///
    /// # Errors
    ///
    /// The history cannot be read, or the next updates are no longer retained.
    pub async fn page_after(&self, position: Position) -> Result<Arc<Page>, ReadError> {
        patiently(|reply: oneshot::Sender<_>| {
            // The session may be gone.
            let reply = Box::new(move |page| drop(reply.send(page)));
            self.history().read_page(position, reply);
        })
        .await
    }
}

/// Asks the history for something, and again while it is busy.
async fn patiently<T>(ask: impl Fn(oneshot::Sender<Result<T, ReadError>>)) -> Result<T, ReadError> {
    let mut tries = BUSY_TRIES_MAX;
    loop {
        let (reply, answer) = oneshot::channel();
        ask(reply);
        match answer.await.unwrap_or(Err(ReadError::Closed)) {
            Err(ReadError::Busy) if tries > 0 => {
                tries -= 1;
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            result => return result,
        }
    }
}
