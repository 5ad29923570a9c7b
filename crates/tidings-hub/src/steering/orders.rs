//! What operators ask of all hubs of a cluster, on its way from the router to whoever does it.
//!
//! ```text
//! router's thread ──▶ Feed ──queue──▶ Orders ──▶ Shared::obey
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use tidings_auth::{Revocation, Revocations, RevokeError};
use tidings_core::position::Position;
use tidings_core::topic::Topic;
use tidings_core::update::Update;
use tokio::sync::mpsc;

use super::{Verb, Who};
use crate::control::{Handler, Message, Operators};
use crate::metrics::{Metrics, count_result};

/// Orders that may wait, in addition to those that were stored before the start. A hub that was away gets them
/// faster than it carries them out.
const ORDERS_MAX: usize = 16 * 1024;

/// Takes orders on the router's thread.
pub struct Feed {
    queue: mpsc::Sender<Verb>,
    metrics: Arc<Metrics>,
}

/// The orders that wait to be carried out.
#[derive(Debug)]
pub struct Orders {
    queue: mpsc::Receiver<Verb>,
    /// Purges of before the start, which may not have come to their end.
    purges: Vec<Verb>,
}

/// Makes the listener of a hub in a cluster, and the queue that it fills: with what was `stored` before this start,
/// and with what comes.
#[must_use]
pub fn orders(stored: &[Arc<Update>], metrics: &Arc<Metrics>) -> (Operators<Feed>, Orders) {
    let (queue, orders) = mpsc::channel(stored.len() + ORDERS_MAX);
    let feed = Feed {
        queue,
        metrics: Arc::clone(metrics),
    };
    let orders = Orders {
        queue: orders,
        purges: Vec::new(),
    };
    (Operators::new(feed, stored), orders)
}

impl Handler for Feed {
    fn on_message(&mut self, message: Message, update: &Update) {
        let Some(verb) = Verb::of(message, update.position) else {
            return;
        };
        if let Err(mpsc::error::TrySendError::Full(verb)) = self.queue.try_send(verb) {
            count_result(&self.metrics.orders, "dropped");
            tracing::error!(
                ?verb,
                "an operator's command is not carried out on this hub, because {ORDERS_MAX} wait: repeat it"
            );
        }
    }
}

impl Orders {
    /// Carries out what waits before the hub serves anybody: then a token that was revoked is refused from the first
    /// request on. There is nobody yet to disconnect.
    ///
    /// # Errors
    ///
    /// The list of revoked tokens could not be written: a hub must not start with fewer refusals than it had.
    pub fn settle(&mut self, revocations: &Revocations, now_secs: u64) -> Result<(), RevokeError> {
        let mut tokens: BTreeMap<Arc<str>, Option<Revocation>> = BTreeMap::new();
        let mut purges: BTreeMap<Topic, Position> = BTreeMap::new();
        while let Ok(verb) = self.queue.try_recv() {
            match verb {
                Verb::Revoke(revocation) => {
                    drop(tokens.insert(Arc::clone(&revocation.id), Some(revocation)));
                }
                Verb::Reinstate(id) => drop(tokens.insert(id, None)),
                Verb::Purge {
                    topic,
                    through: Some(through),
                } => drop(purges.insert(topic, through)),
                Verb::Disconnect(_) | Verb::Purge { through: None, .. } => {}
            }
        }
        for (id, revocation) in tokens {
            match revocation {
                Some(revocation) => revocations.add(revocation, now_secs)?,
                None => drop(revocations.remove(&id)?),
            }
        }
        self.purges
            .extend(purges.into_iter().map(|(topic, through)| Verb::Purge {
                topic,
                through: Some(through),
            }));
        Ok(())
    }

    /// Returns the next order. None if no more come.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Verb> {
        match self.purges.pop() {
            Some(purge) => Some(purge),
            None => self.queue.recv().await,
        }
    }
}

impl Verb {
    /// Returns what a message asks for that is stored at this position. None if operators do not ask for it.
    fn of(message: Message, at: Position) -> Option<Self> {
        match message {
            Message::Disconnect { subject } => Some(Self::Disconnect(Who::Subject(subject.into()))),
            Message::Revoke { token, until } => Some(Self::Revoke(Revocation {
                id: token.into(),
                until,
            })),
            Message::Reinstate { token } => Some(Self::Reinstate(token.into())),
            Message::Purge { topic } => Some(Self::Purge {
                topic: Topic::parse(&topic).ok()?,
                through: Some(at),
            }),
            Message::RollCall | Message::Present { .. } => None,
        }
    }

    /// Returns the message by which the other hubs of a cluster do it too. None if it is about this hub alone.
    pub(super) fn message(&self) -> Option<Message> {
        match self {
            Self::Disconnect(Who::Connection(_)) => None,
            Self::Disconnect(Who::Subject(subject)) => Some(Message::Disconnect {
                subject: subject.as_str().into(),
            }),
            Self::Revoke(Revocation { id, until }) => Some(Message::Revoke {
                token: (**id).into(),
                until: *until,
            }),
            Self::Reinstate(id) => Some(Message::Reinstate {
                token: (**id).into(),
            }),
            Self::Purge { topic, .. } => Some(Message::Purge {
                topic: topic.as_str().into(),
            }),
        }
    }
}
