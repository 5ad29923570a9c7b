//! What operators ask a shard about its sessions: which there are, who of them would get an update, and that
//! some of them end. Asked through the inbox, piece by piece; it costs nothing while nobody asks.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tidings_auth::Identity;
use tidings_core::dialect::Dialect;
use tidings_core::hub::SubscriberId;
use tidings_core::matcher::Matcher;
use tidings_core::subject::Subject;
use tidings_core::update::Update;
use tokio::sync::oneshot;

use super::Shard;
use crate::clock::unix_secs;
use crate::metrics::Transport;
use crate::posted::Posted;
use crate::session::{Ending, Phase, Session, Verdict, verdict};

/// Places of a shard's table that one question looks at. The next one continues.
const PLACES_MAX: u32 = 2048;
/// Matchers of a session that an answer lists.
const MATCHERS_MAX: usize = 16;

/// A question about the sessions of one shard.
#[derive(Debug)]
pub struct Look {
    /// Which sessions.
    pub(crate) filter: Arc<Filter>,
    /// The first place to look at.
    pub(crate) from: u32,
    /// Sessions that the answer describes at most.
    pub(crate) limit: usize,
    /// Ends each session that the filter selects.
    pub(crate) end: Option<Ending>,
    /// Judges for each session whether it would receive this.
    pub(crate) update: Option<Arc<Update>>,
    /// Takes the answer.
    pub(crate) reply: oneshot::Sender<Looked>,
}

/// Which sessions an operator means. Empty fields select every session.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// This one alone.
    pub id: Option<ConnectionId>,
    /// Those whose token has this subject.
    pub subject: Option<String>,
    /// Those whose token has this `jti`.
    pub token_id: Option<Arc<str>>,
    /// Those with a matcher that selects this topic.
    pub topic: Option<String>,
    /// Those of this transport.
    pub transport: Option<Transport>,
    /// Those whose peers speak this dialect.
    pub dialect: Option<Dialect>,
    /// Those of this address.
    pub address: Option<IpAddr>,
    /// Those that are at least so many updates behind.
    pub behind: Option<u64>,
}

/// Names a session within its hub, and is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId {
    /// The index of its shard.
    pub shard: usize,
    /// Its place there.
    pub subscriber: SubscriberId,
}

/// The answer to a [`Look`].
#[derive(Debug, Default)]
pub(crate) struct Looked {
    pub(crate) found: Vec<Described>,
    /// How many the filter selected, described or not.
    pub(crate) selected: u64,
    /// How many of these would receive the update, are not asking for it, and may not read it.
    pub(crate) judged: Judged,
    /// Where to continue. None at the end of the shard.
    pub(crate) next: Option<u32>,
}

/// How many sessions would receive an update, and how many would not, for which reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// They would receive it.
    pub receive: u64,
    /// No matcher of theirs selects it.
    pub not_selected: u64,
    /// Their tokens do not let them read it.
    pub not_granted: u64,
    /// They would be its publishers.
    pub echo: u64,
}

/// One session, as operators see it.
#[derive(Clone, Debug)]
pub struct Described {
    /// Its name.
    pub id: ConnectionId,
    /// The address of its peer.
    pub address: IpAddr,
    /// How its updates reach it.
    pub transport: Transport,
    /// The Mercure version that its peer speaks.
    pub dialect: Dialect,
    /// Its token's identity; none for an anonymous subscriber.
    pub identity: Option<Arc<Identity>>,
    /// How long it has been connected, to a quarter of a second.
    pub age: Duration,
    /// Where it stands: `joining`, `behind`, `live` or `closing`.
    pub phase: &'static str,
    /// Updates that came after the last one that it received or did not ask for. Zero for one that has not
    /// begun to read.
    pub behind: u64,
    /// The first of its matchers.
    pub matchers: Vec<Matcher>,
    /// How many there are.
    pub matchers_count: usize,
    /// Whether it would receive the update, if one was asked about.
    pub verdict: Option<Verdict>,
}

impl Judged {
    pub(crate) fn add(&mut self, other: Self) {
        self.receive += other.receive;
        self.not_selected += other.not_selected;
        self.not_granted += other.not_granted;
        self.echo += other.echo;
    }

    fn count(&mut self, verdict: Verdict) {
        let count = match verdict {
            Verdict::Receives => &mut self.receive,
            Verdict::NotSelected => &mut self.not_selected,
            Verdict::NotGranted => &mut self.not_granted,
            Verdict::Echo => &mut self.echo,
        };
        *count += 1;
    }
}

impl Shard {
    /// Answers a question of an operator.
    pub(super) fn on_look(&self, look: Look) {
        let mut looked = Looked::default();
        let posted = look.update.map(Posted::replayed);
        let topic = look.filter.topic.as_ref();
        let topic = topic.map(|topic| Subject::from_text(topic, self.hub()));
        let engine = self.engine.borrow();
        let end = look.from.saturating_add(PLACES_MAX);
        let mut last = None;
        for (place, session) in engine.sessions_from(look.from) {
            if place >= end || looked.found.len() >= look.limit {
                last = Some(place);
                break;
            }
            if !self.selects(&look.filter, topic.as_ref(), session) {
                continue;
            }
            looked.selected += 1;
            let verdict = posted
                .as_ref()
                .map(|posted| verdict(session, posted, self.hub()));
            if let Some(verdict) = verdict {
                looked.judged.count(verdict);
            }
            looked.found.push(self.describe(session, verdict));
            if let Some(ending) = look.end {
                session.close(ending);
            }
        }
        looked.next = last;
        // Whoever asked may be gone.
        drop(look.reply.send(looked));
    }

    fn selects(&self, filter: &Filter, topic: Option<&Subject>, session: &Session) -> bool {
        let identity = session.identity();
        let identity = identity.as_deref();
        filter.id.is_none_or(|id| id == self.name_of(session))
            && filter
                .transport
                .is_none_or(|one| one == session.transport())
            && filter.dialect.is_none_or(|one| one == session.dialect)
            && filter
                .address
                .is_none_or(|one| one == session.holder().ip())
            && filter.subject.as_ref().is_none_or(|wanted| {
                let subject = identity.and_then(|identity| identity.subject.as_deref());
                subject == Some(wanted)
            })
            && filter.token_id.as_ref().is_none_or(|wanted| {
                let id = identity.and_then(|identity| identity.token_id.as_ref());
                id == Some(wanted)
            })
            && filter
                .behind
                .is_none_or(|least| self.behind(session) >= least)
            && topic.is_none_or(|topic| {
                let matchers = session.matchers();
                matchers.iter().any(|matcher| matcher.matches(topic))
            })
    }

    fn describe(&self, session: &Session, verdict: Option<Verdict>) -> Described {
        let matchers = session.matchers();
        Described {
            id: self.name_of(session),
            address: session.holder().ip(),
            transport: session.transport(),
            dialect: session.dialect,
            identity: session.identity(),
            age: self.now().since(session.began()),
            phase: match session.phase() {
                Phase::Joining => "joining",
                Phase::Behind => "behind",
                Phase::Live => "live",
                Phase::Closing(_) => "closing",
            },
            behind: self.behind(session),
            matchers: matchers.iter().take(MATCHERS_MAX).cloned().collect(),
            matchers_count: matchers.len(),
            verdict,
        }
    }

    fn name_of(&self, session: &Session) -> ConnectionId {
        let (shard, subscriber) = (self.index, session.id);
        ConnectionId { shard, subscriber }
    }

    fn behind(&self, session: &Session) -> u64 {
        let last = self.history().bounds().last;
        let reached = session.reached(self.engine.borrow().ring.last());
        let up_to_date = session.is_up_to_date();
        match reached {
            Some(reached) if !up_to_date => last.get().saturating_sub(reached.get()),
            Some(_) | None => 0,
        }
    }

    /// Returns whether the token of a session was revoked while the session was on its way in.
    pub(super) fn is_revoked(&self, session: &Session) -> bool {
        let identity = session.identity();
        let id = identity.and_then(|identity| identity.token_id.clone());
        id.is_some_and(|id| self.authority().revocations().holds(&id, unix_secs()))
    }
}

impl std::fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let SubscriberId { slot, generation } = self.subscriber;
        write!(f, "{}-{slot}-{generation}", self.shard)
    }
}

impl std::str::FromStr for ConnectionId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let mut parts = text.split('-');
        let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
        let (shard, slot, generation) = (number(), number(), number());
        let (Some(shard), Some(slot), Some(generation), None) =
            (shard, slot, generation, parts.next())
        else {
            return Err(NotAnId);
        };
        Ok(Self {
            shard: shard as usize,
            subscriber: SubscriberId { slot, generation },
        })
    }
}

/// A text that names no connection.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a connection has a name such as 0-12-345")]
pub struct NotAnId;
