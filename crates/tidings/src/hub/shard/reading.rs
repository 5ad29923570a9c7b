//! What a session that is behind reads next: the shard's ring first, the history's pages else.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::event_id::EventId;
use tidings_core::position::Position;
use tidings_core::update::Update;
use tidings_history::sabotage::{Rule, skips};
use tidings_history::{Page, ReadError};
use tokio::sync::oneshot;

use super::Shard;
use crate::hub::posted::Posted;
use crate::hub::session::{Ending, Phase, Session};

/// Updates taken from the ring at once.
const POSTS_MAX: usize = 256;

/// How often, and after which pauses, a page is asked for again while the history is busy.
const BUSY_TRIES_MAX: usize = 100;
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// What comes after a session's position.
#[derive(Debug)]
pub(crate) enum Reading {
    /// Nothing: the session is live from here on.
    CaughtUp,
    /// The next updates, in order, and the position up to which they are all.
    Posts {
        posts: Vec<Arc<Posted>>,
        through: Position,
    },
    /// What came next is no longer kept.
    Trimmed,
}

impl Shard {
    /// Returns what `session` is to read next, or makes it live if there is nothing. Events about
    /// subscriptions that were gone when it asked for what is kept are not missed; those that go while it
    /// reads were promised.
    ///
    /// # Errors
    ///
    /// The history cannot be read; the stream then ends and the subscriber tries again.
    pub(crate) async fn read_on(&self, session: &Rc<Session>) -> Result<Reading, Ending> {
        loop {
            let next = session.next.get();
            if session.from_oldest.get() {
                session.excused.set(self.history().presence_trimmed());
            }
            let reading = self.read_after(session, next).await?;
            if !matches!(reading, Reading::Trimmed) || !session.from_oldest.get() {
                session.from_oldest.set(false);
                return Ok(reading);
            }
            // Retention was faster than the first read: the oldest is another one by now.
            session.next.set(self.before_oldest());
        }
    }

    /// Returns the position after which everything that is kept comes.
    pub(crate) fn before_oldest(&self) -> Position {
        Position::new(self.history().bounds().oldest.get().saturating_sub(1))
    }

    async fn read_after(&self, session: &Rc<Session>, next: Position) -> Result<Reading, Ending> {
        if skips(Rule::LiveInOneStep) && next >= self.engine.borrow().ring.last() {
            tokio::task::yield_now().await;
            session.enter(Phase::Live);
            return Ok(Reading::CaughtUp);
        }
        {
            let engine = self.engine.borrow();
            if next >= engine.ring.last() {
                // In one step with the look at the ring: nothing can slip between.
                session.enter(Phase::Live);
                return Ok(Reading::CaughtUp);
            }
            if let Some(posts) = engine.ring.after(next, POSTS_MAX) {
                let through = posts.last().map_or(next, |posted| posted.update.position);
                return Ok(Reading::Posts { posts, through });
            }
        }
        match self.page_after(next).await {
            Ok(page) => {
                let fresh = |update: &Arc<Update>| Arc::new(Posted::replayed(Arc::clone(update)));
                let posts: Vec<_> = page.after(next).iter().map(fresh).collect();
                let had = next.max(session.excused.get());
                let misses = page.last_hole > had && self.misses(session, had);
                let through = page.next;
                // The history never has less than what this shard has seen.
                if misses || through <= next {
                    Ok(Reading::Trimmed)
                } else {
                    Ok(Reading::Posts { posts, through })
                }
            }
            Err(ReadError::Trimmed { oldest }) if skips(Rule::TellOfGaps) => {
                let through = Position::new(oldest.get().saturating_sub(1));
                let posts = Vec::new();
                Ok(Reading::Posts { posts, through })
            }
            Err(ReadError::Trimmed { .. }) => Ok(Reading::Trimmed),
            Err(ReadError::Closed) => Err(Ending::Drained),
            Err(error) => {
                // The history has said why, once for all.
                tracing::debug!(%error, "a stream ends, since it cannot read on");
                Err(Ending::HistoryUnreadable)
            }
        }
    }

    /// Asks the history for the cursor of a position, trying again for a while if too many others
    /// read.
    pub(super) async fn found_cursor(&self, position: Position) -> Option<EventId> {
        let ask = |reply: oneshot::Sender<_>| {
            let reply = Box::new(move |cursor| drop(reply.send(cursor)));
            self.history().cursor(position, reply);
        };
        match patiently(ask).await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "a cursor could not be made");
                None
            }
        }
    }

    /// Reads a page, trying again for a while if too many others read.
    async fn page_after(&self, position: Position) -> Result<Arc<Page>, ReadError> {
        patiently(|reply: oneshot::Sender<_>| {
            // A session that is gone does not need its page.
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
