//! What operators do to a running hub: disconnect, revoke, purge. [`Shared::steer`] is the one road of these
//! verbs, whoever asks for them. In a cluster it tells the other hubs too, by a message in the log
//! ([`control`](crate::control)), which each hub obeys ([`Shared::obey`]).

pub mod orders;
pub mod topics;

use std::sync::Arc;

use tidings_auth::{Revocation, RevokeError};
use tidings_cluster::RelayError;
use tidings_core::position::Position;
use tidings_core::topic::Topic;
use tidings_core::update::Update;
use tidings_history::{Purge, Purged};
use tokio::sync::oneshot;

use crate::clock::unix_secs;
use crate::ingest::PublishError;
use crate::session::{Ending, Verdict};
use crate::shard::looking::{ConnectionId, Described, Filter, Judged, Look, Looked};
use crate::shard::{Delivery, Shared};

/// Something that an operator wants done.
#[derive(Clone, Debug)]
pub enum Verb {
    /// End the connections of somebody.
    Disconnect(Who),
    /// Refuse a token from now on, and end the connections that it opened.
    Revoke(Revocation),
    /// Accept a revoked token again.
    Reinstate(Arc<str>),
    /// Withdraw everything that the history has of a topic.
    Purge {
        /// The topic.
        topic: Topic,
        /// The last update that is looked at. None: the newest one.
        through: Option<Position>,
    },
}

/// Whose connections end.
#[derive(Clone, Debug)]
pub enum Who {
    /// One connection.
    Connection(ConnectionId),
    /// All connections whose tokens have this subject.
    Subject(String),
}

/// What was done, on this hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// So many connections were told to end.
    Disconnected(u64),
    /// The token is refused, and so many connections were told to end.
    Revoked(u64),
    /// Whether the token was revoked before.
    Reinstated(bool),
    /// So many updates were withdrawn.
    Purged(u64),
}

/// Where something was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// On this hub alone: it is no member of a cluster, or what was asked for is about this hub.
    Hub,
    /// On this hub, and the others of its cluster were told.
    Cluster,
}

impl Scope {
    /// Returns the name as the admin API has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Cluster => "cluster",
        }
    }
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum SteerError {
    /// The token could not be put on the list, or taken off it.
    #[error(transparent)]
    Revoke(#[from] RevokeError),
    /// The history could not withdraw the updates, or not all of them.
    #[error("the topic was not purged to the end: {0}")]
    Purge(#[from] RelayError),
    /// The other hubs of the cluster could not be told.
    #[error("it was done on this hub, but the other hubs of the cluster may not know: {0}")]
    NotTold(#[from] PublishError),
    /// The hub is carrying out as many as it does at the same time.
    #[error("{0} commands of operators are being carried out; try again")]
    Busy(usize),
    /// The hub is being stopped.
    #[error("the hub is being stopped")]
    Stopping,
}

/// A page of the list of connections.
#[derive(Debug, Default)]
pub struct Connections {
    /// The connections.
    pub found: Vec<Described>,
    /// Where the list goes on. None at its end.
    pub next: Option<Place>,
}

/// A place in the list of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The index of the shard.
    pub shard: usize,
    /// The place in its table.
    pub slot: u32,
}

/// Who would receive an update.
#[derive(Debug, Default)]
pub struct Audience {
    /// How many would, and how many would not, for which reason.
    pub judged: Judged,
    /// The first connections.
    pub found: Vec<Described>,
}

/// Questions to one shard for one page: beyond this the page ends early, and says where it goes on.
const LOOKS_PER_PAGE_MAX: usize = 64;

impl Shared {
    /// Does what an operator wants, and says what was done. It is done here first, whether or not the engine of a
    /// cluster answers: whoever has to go is put out at once. Then the other hubs are told.
    ///
    /// # Errors
    ///
    /// Why it was not done, or not to the end, or not everywhere.
    pub async fn steer(&self, verb: Verb) -> Result<(Done, Scope), SteerError> {
        let in_cluster = self.relay.epoch().is_some();
        let message = verb.message().filter(|_| in_cluster);
        let done = self.obey(verb).await?;
        let Some(message) = message else {
            return Ok((done, Scope::Hub));
        };
        let (reply, told) = oneshot::channel();
        self.ingest.tell(&message, |kept| drop(reply.send(kept)))?;
        let kept = told.await.map_err(|_gone| SteerError::Stopping)?;
        kept.map_err(PublishError::from)?;
        Ok((done, Scope::Cluster))
    }

    /// Does what an operator wants on this hub, and says what was done.
    ///
    /// # Errors
    ///
    /// Why it was not done, or not to the end.
    pub async fn obey(&self, verb: Verb) -> Result<Done, SteerError> {
        match verb {
            Verb::Disconnect(who) => {
                let filter = match who {
                    Who::Connection(id) => Filter {
                        id: Some(id),
                        ..Filter::default()
                    },
                    Who::Subject(subject) => Filter {
                        subject: Some(subject),
                        ..Filter::default()
                    },
                };
                let ended = self.end(filter, Ending::Disconnected).await?;
                Ok(Done::Disconnected(ended))
            }
            Verb::Revoke(revocation) => {
                let id = Arc::clone(&revocation.id);
                let revocations = self.authority.revocations();
                // First, so that nobody comes in behind those who are put out.
                revocations.add(revocation, unix_secs())?;
                let filter = Filter {
                    token_id: Some(id),
                    ..Filter::default()
                };
                let ended = self.end(filter, Ending::TokenRevoked).await?;
                Ok(Done::Revoked(ended))
            }
            Verb::Reinstate(id) => {
                let was = self.authority.revocations().remove(&id)?;
                Ok(Done::Reinstated(was))
            }
            Verb::Purge { topic, through } => {
                let last = self.history.bounds().last;
                let through = through.map_or(last, |through| through.min(last));
                Ok(Done::Purged(self.purge(topic, through).await?))
            }
        }
    }

    /// Ends the connections that a filter selects. Returns how many.
    async fn end(&self, filter: Filter, ending: Ending) -> Result<u64, SteerError> {
        let filter = Arc::new(filter);
        let mut ended = 0;
        for shard in 0..self.inboxes.len() {
            let mut from = Some(0);
            while let Some(slot) = from {
                let place = Place { shard, slot };
                let question = Question {
                    end: Some(ending),
                    ..Question::about(&filter, usize::MAX)
                };
                let looked = self.look(place, question).await;
                let looked = looked.ok_or(SteerError::Stopping)?;
                ended += looked.selected;
                from = looked.next;
            }
        }
        Ok(ended)
    }

    /// Withdraws a topic's updates up to a position, slice by slice, first from the history and then from the
    /// rings. Returns how many there were.
    async fn purge(&self, topic: Topic, through: Position) -> Result<u64, SteerError> {
        let (mut after, mut updates) = (Position::ZERO, 0);
        while after < through {
            let (reply, purged) = oneshot::channel();
            let purge = Purge {
                topic: topic.clone(),
                after,
                through,
            };
            let done = Box::new(move |purged| drop(reply.send(purged)));
            self.history.purge(purge, done)?;
            let purged: Purged = purged.await.map_err(|_gone| SteerError::Stopping)??;
            after = purged.through;
            updates += purged.updates;
        }
        self.router.withdrawn(topic, through).await;
        Ok(updates)
    }

    /// Returns a page of at most `limit` connections, from `place` on.
    ///
    /// A page may be shorter, and empty, although the list goes on: one question looks at a bounded part of it.
    /// None if the hub is being stopped.
    pub async fn connections(
        &self,
        filter: &Arc<Filter>,
        mut place: Place,
        limit: usize,
    ) -> Option<Connections> {
        let mut page = Connections::default();
        for _ in 0..LOOKS_PER_PAGE_MAX {
            if place.shard >= self.inboxes.len() {
                return Some(page);
            }
            let left = limit - page.found.len();
            let looked = self.look(place, Question::about(filter, left)).await?;
            page.found.extend(looked.found);
            place = self.after(place, looked.next);
            if page.found.len() >= limit {
                break;
            }
        }
        page.next = (place.shard < self.inboxes.len()).then_some(place);
        Some(page)
    }

    /// Judges for all connections that a filter selects whether they would receive an update, and describes up to
    /// `limit` of them: whoever gets it first, then whoever may not read it. None if the hub is being stopped.
    pub async fn audience(
        &self,
        filter: &Arc<Filter>,
        update: &Arc<Update>,
        limit: usize,
    ) -> Option<Audience> {
        let mut audience = Audience::default();
        let mut place = Place::default();
        while place.shard < self.inboxes.len() {
            let question = Question {
                update: Some(Arc::clone(update)),
                ..Question::about(filter, usize::MAX)
            };
            let looked = self.look(place, question).await?;
            audience.judged.add(looked.judged);
            audience.found.extend(looked.found);
            // Few get it, or may not read it; many do not ask for it.
            audience.found.sort_by_key(|one| one.verdict.map(interest));
            audience.found.truncate(limit);
            place = self.after(place, looked.next);
        }
        Some(audience)
    }

    fn after(&self, place: Place, next: Option<u32>) -> Place {
        match next {
            Some(slot) => Place { slot, ..place },
            None => Place {
                shard: place.shard + 1,
                slot: 0,
            },
        }
    }

    /// Asks one shard. None if it has ended.
    async fn look(&self, place: Place, question: Question) -> Option<Looked> {
        let (reply, looked) = oneshot::channel();
        let look = Look {
            filter: question.filter,
            from: place.slot,
            limit: question.limit,
            end: question.end,
            update: question.update,
            reply,
        };
        let inbox = self.inboxes.get(place.shard)?;
        inbox.send(vec![Delivery::Look(Box::new(look))]).await;
        looked.await.ok()
    }
}

/// Sorts verdicts by how much an operator wants to see them.
const fn interest(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Receives => 0,
        Verdict::NotGranted => 1,
        Verdict::Echo => 2,
        Verdict::NotSelected => 3,
    }
}

/// What is asked of a shard, without the place.
struct Question {
    filter: Arc<Filter>,
    limit: usize,
    end: Option<Ending>,
    update: Option<Arc<Update>>,
}

impl Question {
    fn about(filter: &Arc<Filter>, limit: usize) -> Self {
        Self {
            filter: Arc::clone(filter),
            limit,
            end: None,
            update: None,
        }
    }
}
