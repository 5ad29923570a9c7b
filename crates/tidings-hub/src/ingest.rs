//! The one way in for publishers: it turns a publisher's fields into a checked draft, asks the grants, and
//! hands the draft to the relay. Doors decode requests and encode responses; all rules about updates are
//! here.

pub mod once;

use std::sync::Arc;

use smallvec::SmallVec;
use tidings_cluster::engine::TooLarge;
use tidings_cluster::{Done, Key, Publication, Relay, RelayError};
use tidings_core::event_id::{EventId, EventIdError};
use tidings_core::grant::Grants;
use tidings_core::histogram::Histogram;
use tidings_core::hub_url::HubUrl;
use tidings_core::subject::Subject;
use tidings_core::target::{Target, TargetError, Targets};
use tidings_core::topic::{Topic, TopicError};
use tidings_core::trace::TraceContext;
use tidings_core::update::{
    Draft, EventType, EventTypeError, Topics, TopicsError, Update, Visibility,
};
use tidings_wire::publish_form::PublishForm;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::account::{Meter, OverRate};
use crate::answers::{Answers, Kept};
use crate::control::Message;
use crate::traces::{Publishing, Tracer};

/// Who publishes, and by which permission.
#[derive(Clone, Copy, Debug)]
pub enum Publisher<'a> {
    /// The holder of a token.
    Grants(&'a Grants),
    /// The holder of a 2019 token. It names the targets that may read, and needs grants for those instead of
    /// topics.
    Targets(&'a Grants, &'a [String]),
    /// A publisher whose grants are not asked: a page or a room that the operator opened to everybody, or an
    /// operator's command.
    Unchecked,
}

/// Why an update is refused.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A topic is not well formed.
    #[error("topic {topic:?}: {source}")]
    Topic {
        /// The text that was sent, cut to 100 characters.
        topic: String,
        /// The rule that it breaks.
        source: TopicError,
    },
    /// A topic is below the hub's own path.
    #[error(
        "topic \"{topic}\" is inside {path}, which is reserved for what the hub publishes itself; \
         choose another path"
    )]
    Reserved {
        /// The topic that was refused.
        topic: Topic,
        /// The hub's own path.
        path: String,
    },
    /// There are no topics, or too many.
    #[error(transparent)]
    Topics(TopicsError),
    /// The event id is not allowed.
    #[error("id: {0}")]
    Id(#[source] EventIdError),
    /// The event type is not allowed.
    #[error("type: {0}")]
    Type(#[source] EventTypeError),
    /// A target of a 2019 publisher is not well formed.
    #[error("target {target:?}: {source}")]
    Target {
        /// The text that was sent, cut to 100 characters.
        target: String,
        /// The rule that it breaks.
        source: TargetError,
    },
    /// There are too many targets.
    #[error(transparent)]
    Targets(TargetError),
    /// The token does not grant a target.
    #[error("the token does not allow publishing for the target {target:?}")]
    ForbiddenTarget {
        /// The first target without a grant.
        target: Target,
    },
    /// The token has no grant to publish.
    #[error("the token does not allow publishing")]
    ForbiddenAtAll,
    /// The token does not grant a topic.
    #[error("the token does not allow publishing to \"{topic}\"")]
    Forbidden {
        /// The first topic without a grant.
        topic: Topic,
    },
    /// The publisher is too fast.
    #[error(transparent)]
    OverRate(#[from] OverRate),
    /// The relay's queue is full. Trying again later may help.
    #[error("too many updates are waiting to be stored; try again")]
    Busy,
    /// The hub is stopping.
    #[error("the hub is being stopped")]
    Closed,
    /// The engine of a cluster, or the process that took over from this one, may have the update, or
    /// not.
    #[error(
        "the update may have been stored: the process or engine that was to store it did not answer"
    )]
    InDoubt,
    /// The key came with another update before.
    #[error(
        "this Idempotency-Key was used for another update within the last minutes: use a new key for \
         each update"
    )]
    KeyReused,
    /// The engine of the cluster is away.
    #[error(
        "the hub waits for the engine of its cluster, and the update was not stored; try again"
    )]
    EngineAway,
    /// The engine of the cluster takes no update of this size.
    #[error("the update was not stored: {0}")]
    TooLargeForEngine(TooLarge),
    /// The relay could not store the update, or does not know whether it did.
    #[error("the update was not stored: {0}")]
    NotStored(#[source] RelayError),
}

impl From<RelayError> for PublishError {
    fn from(error: RelayError) -> Self {
        match error {
            RelayError::Busy => Self::Busy,
            RelayError::Closed => Self::Closed,
            RelayError::InDoubt => Self::InDoubt,
            RelayError::Away { .. } => Self::EngineAway,
            RelayError::TooLarge(why) => Self::TooLargeForEngine(why),
            RelayError::Unavailable { .. } | RelayError::Failed { .. } => Self::NotStored(error),
        }
    }
}

/// The way in. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    hub: HubUrl,
    relay: Arc<dyn Relay>,
    durations: Arc<Histogram>,
    /// Makes spans. None if nothing is traced.
    tracer: Option<Arc<Tracer>>,
    /// Gathers the relay's answers for one shard. None if they come straight from the relay's thread.
    answers: Option<Arc<Answers>>,
}

impl std::fmt::Debug for Ingest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingest")
            .field("hub", &self.hub)
            .finish_non_exhaustive()
    }
}

impl Ingest {
    /// Makes the way in that publishes to `relay`, and counts in `durations` how long that takes.
    pub fn new(hub: HubUrl, relay: Arc<dyn Relay>, durations: Arc<Histogram>) -> Self {
        Self {
            hub,
            relay,
            durations,
            tracer: None,
            answers: None,
        }
    }

    /// Returns the way in that makes spans of sampled updates.
    #[must_use]
    pub fn traced_by(self, tracer: Arc<Tracer>) -> Self {
        Self {
            tracer: Some(tracer),
            ..self
        }
    }

    /// Returns what makes spans, if anything does.
    pub(crate) fn tracer(&self) -> Option<&Arc<Tracer>> {
        self.tracer.as_ref()
    }

    /// Returns the way in for the publishers of one shard, which serves `answers`.
    pub(crate) fn answering_by(&self, answers: Option<Arc<Answers>>) -> Self {
        Self {
            answers,
            ..self.clone()
        }
    }

    /// Publishes an update: counts it for the publisher, unless that is the operator, checks it, asks the grants for each topic, and waits until it is stored.
    ///
    /// The update's own mistakes are reported before missing grants, as the specification requires for reserved
    /// topics (Mercure, "Publication").
    ///
    /// With a `key` that came before, the update that came with it first is the answer.
    ///
    /// # Errors
    ///
    /// The rule that the update breaks, the topic that the token does not grant, or why the relay did not store
    /// it.
    pub async fn publish(
        &self,
        form: PublishForm,
        publisher: Publisher<'_>,
        meter: Option<Meter<'_>>,
        key: Option<Key>,
    ) -> Result<Arc<Update>, PublishError> {
        if let Some(meter) = meter {
            meter.publish(form.data.as_deref().map_or(0, str::len))?;
        }
        let begun = Instant::now();
        let draft = self.draft(form, publisher)?;
        let wanted = key.is_some().then(|| draft.clone());
        let (publisher, kept) = oneshot::channel();
        match self.answers.clone() {
            Some(answers) => {
                self.enqueue_once(begun, draft, key, move |kept| answers.add(publisher, kept))?;
            }
            None => {
                self.enqueue_once(begun, draft, key, move |kept| drop(publisher.send(kept)))?;
            }
        }
        let update = kept.await.map_err(|_gone| PublishError::Closed)??;
        match wanted {
            Some(draft) if !once::is_of(&update, &draft) => Err(PublishError::KeyReused),
            Some(_) | None => Ok(update),
        }
    }

    /// Turns a publisher's fields into a draft, and asks the grants for each topic.
    ///
    /// # Errors
    ///
    /// The rule that the update breaks, or the topic that is not granted.
    pub fn draft(
        &self,
        form: PublishForm,
        publisher: Publisher<'_>,
    ) -> Result<Draft, PublishError> {
        let mut draft = self.check(form)?;
        match publisher {
            Publisher::Grants(grants) => self.check_topics_granted(grants, &draft)?,
            Publisher::Targets(grants, targets) => {
                let targets = check_targets(grants, targets)?;
                draft.visibility = targets.map_or(Visibility::Public, Visibility::Targeted);
            }
            Publisher::Unchecked => {}
        }
        Ok(draft)
    }

    /// Hands a draft to the relay. Never waits. `done` is called on the relay's thread.
    ///
    /// # Errors
    ///
    /// [`PublishError::Busy`] or [`PublishError::Closed`], with `done` dropped unused.
    pub fn enqueue(
        &self,
        draft: Draft,
        done: impl FnOnce(Kept) + Send + 'static,
    ) -> Result<(), PublishError> {
        self.enqueue_once(Instant::now(), draft, None, done)
    }

    /// Hands drafts to the relay that must not overtake each other, each with the key that it is stored once
    /// by. Never waits. Each completion is called on the relay's thread, or dropped unused if its draft was not
    /// taken.
    ///
    /// # Errors
    ///
    /// [`PublishError::Busy`] or [`PublishError::Closed`] of the first draft that was not taken. Neither were
    /// those after it.
    pub fn enqueue_in_order(&self, drafts: Vec<(Draft, Key, Done)>) -> Result<(), PublishError> {
        let begun = Instant::now();
        let publications = drafts.into_iter().map(|(mut draft, key, done)| {
            let traced = self.trace(&mut draft, begun);
            self.publication(draft, Some(key), traced, done)
        });
        Ok(self.relay.publish_in_order(publications.collect())?)
    }

    /// Hands over a draft of a publish that began before, and that `key` recognises.
    fn enqueue_once(
        &self,
        begun: Instant,
        mut draft: Draft,
        key: Option<Key>,
        done: impl FnOnce(Kept) + Send + 'static,
    ) -> Result<(), PublishError> {
        let traced = self.trace(&mut draft, begun);
        let refused = traced.clone();
        let Publication { draft, key, done } = self.publication(draft, key, traced, done);
        let enqueued = self.relay.publish(draft, key, done);
        if let (Err(error), Some((tracer, publishing))) = (&enqueued, refused) {
            tracer.published(publishing, Err(error.to_string()));
        }
        Ok(enqueued?)
    }

    /// Makes what the relay takes: the outcome is counted and traced before `done` gets it.
    fn publication(
        &self,
        draft: Draft,
        key: Option<Key>,
        traced: Option<(Arc<Tracer>, Publishing)>,
        done: impl FnOnce(Kept) + Send + 'static,
    ) -> Publication {
        let (enqueued, durations) = (Instant::now(), Arc::clone(&self.durations));
        let done: Done = Box::new(move |kept| {
            if kept.is_ok() {
                durations.observe(enqueued.elapsed());
            }
            if let Some((tracer, publishing)) = traced {
                let outcome = kept.as_deref().map_err(ToString::to_string);
                tracer.published(publishing, outcome);
            }
            done(kept);
        });
        Publication { draft, key, done }
    }

    /// Begins the spans of an update, if it is sampled. Its `trace` is then what its deliveries are linked to, and
    /// otherwise none.
    fn trace(&self, draft: &mut Draft, begun: Instant) -> Option<(Arc<Tracer>, Publishing)> {
        let parent = draft.trace.take();
        let tracer = self.tracer.as_ref().filter(|_| !draft.is_of_hub())?;
        let publishing = tracer.publishing(parent, begun)?;
        draft.trace = Some(publishing.cause());
        Some((Arc::clone(tracer), publishing))
    }

    /// Tells all hubs something, this one too. Never waits. `done` is called on the relay's thread, when the
    /// message is stored: then it reaches every hub.
    ///
    /// # Errors
    ///
    /// [`PublishError::Busy`] or [`PublishError::Closed`], with `done` dropped unused.
    pub fn tell(
        &self,
        message: &Message,
        done: impl FnOnce(Kept) + Send + 'static,
    ) -> Result<(), PublishError> {
        self.enqueue_own(message.draft(&self.hub), done)
    }

    /// Publishes a presence event or a message. The hub itself is the publisher, and the topics are its own,
    /// which nobody else may use. Never waits. `done` is called on the relay's thread.
    ///
    /// # Errors
    ///
    /// [`PublishError::Busy`] or [`PublishError::Closed`], with `done` dropped unused.
    pub(crate) fn enqueue_own(
        &self,
        draft: Draft,
        done: impl FnOnce(Kept) + Send + 'static,
    ) -> Result<(), PublishError> {
        assert!(
            draft.is_of_hub(),
            "the hub itself publishes presence events and messages alone"
        );
        self.enqueue(draft, done)
    }

    fn check_topics_granted(&self, grants: &Grants, draft: &Draft) -> Result<(), PublishError> {
        let subjects: SmallVec<[Subject; 2]> = draft
            .topics
            .iter()
            .map(|topic| Subject::new(topic, &self.hub))
            .collect();
        let Err(refused) = grants.allows_publish(&subjects) else {
            return Ok(());
        };
        let topic = draft
            .topics
            .iter()
            .nth(refused)
            .unwrap_or_else(|| draft.topics.canonical());
        Err(PublishError::Forbidden {
            topic: topic.clone(),
        })
    }

    /// Turns a publisher's fields into a draft.
    fn check(&self, form: PublishForm) -> Result<Draft, PublishError> {
        let topics: Result<Vec<Topic>, PublishError> = form
            .topics
            .into_iter()
            .map(|text| self.check_topic(text))
            .collect();
        // An empty field means the same as an absent one.
        let id = form.id.as_deref().filter(|id| !id.is_empty());
        let id = id
            .map(EventId::parse)
            .transpose()
            .map_err(PublishError::Id)?;
        let event_type = match form.event_type.as_deref() {
            // An empty type means the same as an absent one (WHATWG HTML, "Interpreting an event stream").
            None | Some("") => None,
            Some(text) => Some(EventType::parse(text).map_err(PublishError::Type)?),
        };
        Ok(Draft {
            trace: self.parent(form.traceparent.as_deref()),
            topics: Topics::new(topics?).map_err(PublishError::Topics)?,
            data: Arc::from(form.data.unwrap_or_default()),
            visibility: if form.private {
                Visibility::Private
            } else {
                Visibility::Public
            },
            id,
            event_type,
            retry_ms: form.retry,
            presence: None,
        })
    }

    /// Reads the publisher's span, which nobody asks for if nothing is traced.
    fn parent(&self, traceparent: Option<&str>) -> Option<TraceContext> {
        self.tracer.as_ref()?;
        TraceContext::parse(traceparent?)
    }

    fn check_topic(&self, text: String) -> Result<Topic, PublishError> {
        let topic = Topic::parse(&text).map_err(|source| PublishError::Topic {
            topic: shorten(text),
            source,
        })?;
        if self.hub.reserves(&topic) {
            return Err(PublishError::Reserved {
                topic,
                path: self.hub.path().to_owned(),
            });
        }
        Ok(topic)
    }
}

/// Parses targets and asks the grants for each. Without targets, asks whether the token may publish at all.
fn check_targets(grants: &Grants, texts: &[String]) -> Result<Option<Targets>, PublishError> {
    let targets: Result<Vec<Target>, PublishError> = texts
        .iter()
        .map(|text| {
            Target::parse(text).map_err(|source| PublishError::Target {
                target: shorten(text.clone()),
                source,
            })
        })
        .collect();
    let targets = Targets::new(targets?).map_err(PublishError::Targets)?;
    match grants.allows_targets(targets.as_ref()) {
        Ok(()) => Ok(targets),
        Err(Some(target)) => Err(PublishError::ForbiddenTarget {
            target: target.clone(),
        }),
        Err(None) => Err(PublishError::ForbiddenAtAll),
    }
}

/// Shortens a value for an error text, so that a refusal is never longer than what was refused.
fn shorten(text: String) -> String {
    const SHOWN_MAX: usize = 100;
    if text.chars().count() <= SHOWN_MAX {
        text
    } else {
        text.chars().take(SHOWN_MAX).chain(['…']).collect()
    }
}
