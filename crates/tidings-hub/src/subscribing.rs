//! The one way in for subscribers, as `ingest` is for publishers. It decides who may subscribe, compiles and
//! books matchers, and finds where a stream begins and when it ends at the latest. Doors decode requests and
//! encode responses; they hold no rule about subscribing. The rules of rooms are in [`rooms`].

pub mod rooms;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidings_auth::Identity;
use tidings_core::Position;
use tidings_core::event_id::Cursor;
use tidings_core::limits::MATCHERS_PER_SUBSCRIBER_MAX;
use tidings_core::matcher::{Matcher, MatcherError, MatcherType};
use tidings_history::Resolved;
use tidings_wire::selector_query::SelectorQuery;
use tidings_wire::subscribe_query::SubscribeQuery;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::account::{Booked, Holder, Meter, OverLimit, OverRate};
use crate::session::watcher::Watcher;
use crate::session::{Ending, Session, Start};
use crate::shard::Shard;

/// A connection lives for a random part of `subscribe.connection_secs_max`, in this range. Subscribers that
/// connected at the same moment must not all reconnect at the same moment.
const LIFETIME_SPREAD: Range<f64> = 0.8..1.0;

/// Why a subscription is refused.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// A token is needed, and there is none. The text says how to present one.
    #[error("{how}")]
    Anonymous {
        /// One line that says how to present a token.
        how: &'static str,
    },
    /// The parameter `match_<name>` names no known matcher type.
    #[error("match_{name} is not a matcher type of this hub; use match or match_urlpattern")]
    MatcherType {
        /// What follows `match_`.
        name: String,
    },
    /// A matcher is not well formed.
    #[error("{name} matcher: {source}")]
    Matcher {
        /// The parameter or frame field that holds it.
        name: String,
        /// The rule that it breaks.
        source: MatcherError,
    },
    /// With the new matchers, the session would have too many.
    #[error("{count} matchers on one connection, more than {MATCHERS_PER_SUBSCRIBER_MAX}")]
    TooManyMatchers {
        /// How many it would have.
        count: usize,
    },
    /// There is no room for the matchers' memory.
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
    /// The peer subscribes too often.
    #[error(transparent)]
    OverRate(#[from] OverRate),
    /// The cursor could not be looked up.
    #[error("the history cannot be read")]
    HistoryUnreadable,
    /// The cursor is unknown here, and may be that of an update that another hub of the cluster has.
    #[error(
        "this hub does not know the cursor, and cannot catch up with its cluster now; ask another \
         hub, or this one again"
    )]
    CatchingUp,
    /// The hub is stopping.
    #[error("the hub is being stopped")]
    Closed,
}

/// A subscriber that was admitted.
#[derive(Debug)]
pub struct Admitted {
    /// The token's identity; none for an anonymous subscriber.
    pub identity: Option<Arc<Identity>>,
    /// Which updates it subscribes to.
    pub(crate) matchers: Box<[Matcher]>,
    /// The memory booked for the matchers.
    pub(crate) booked: Booked,
    /// Where its stream begins.
    pub begins: Begins,
    /// How many lines the history had left, as far as the shard knew, before the place was looked up: the
    /// place is of no later line. None if nothing was looked up.
    pub(crate) line: Option<u64>,
}

/// Where a stream begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begins {
    /// What the session reads first.
    pub start: Start,
    /// The cursor of that place: the event before everything that the stream sends. A subscriber that received
    /// nothing can resume with it.
    pub cursor: Cursor,
}

impl Admitted {
    /// Books the matchers for another holder instead of the present one.
    ///
    /// # Errors
    ///
    /// There is no room for them. Nothing is booked then.
    pub(crate) fn book_for(&mut self, holder: &Arc<Holder>) -> Result<(), OverLimit> {
        self.booked = Booked::default();
        self.booked.add(holder, &mut self.matchers)
    }

    /// Admits a peer without matchers. It may add some later.
    pub fn without_matchers(identity: Option<Arc<Identity>>) -> Self {
        Self {
            identity,
            matchers: Box::default(),
            booked: Booked::default(),
            begins: Begins {
                start: Start::Now,
                cursor: Cursor::Earliest,
            },
            line: None,
        }
    }
}

/// Refuses a subscriber without a token if the hub does not accept anonymous subscribers. `how` says how to
/// present one.
///
/// # Errors
///
/// [`SubscribeError::Anonymous`].
pub fn check_anonymous(
    shard: &Shard,
    identity: Option<&Identity>,
    how: &'static str,
) -> Result<(), SubscribeError> {
    if identity.is_none() && !shard.options().anonymous {
        return Err(SubscribeError::Anonymous { how });
    }
    Ok(())
}

/// Compiles the matchers of a query. Duplicates are dropped.
///
/// # Errors
///
/// The first one that is not well formed, or whose type the hub does not know.
pub async fn matchers(
    shard: &Shard,
    query: &SubscribeQuery,
) -> Result<Vec<Matcher>, SubscribeError> {
    let mut compiler = shard.compiler();
    let mut matchers = Vec::with_capacity(query.matchers.len());
    for (name, pattern) in &query.matchers {
        let Some(kind) = MatcherType::from_name(name) else {
            let name = name.clone();
            return Err(SubscribeError::MatcherType { name });
        };
        let matcher = compiler.compile(kind, pattern).await;
        push_new(&mut matchers, named(name, matcher)?);
    }
    Ok(matchers)
}

/// Compiles the topic selectors of a query in a dialect before 1.0. Duplicates are dropped.
///
/// # Errors
///
/// The first one that is not well formed.
pub async fn selectors(
    shard: &Shard,
    query: &SelectorQuery,
) -> Result<Vec<Matcher>, SubscribeError> {
    let mut compiler = shard.compiler();
    let mut matchers = Vec::with_capacity(query.selectors.len());
    for selector in &query.selectors {
        let matcher = compiler.compile(MatcherType::UriTemplate, selector).await;
        push_new(&mut matchers, named("topic", matcher)?);
    }
    Ok(matchers)
}

/// Returns the matcher that selects exactly `topic`.
///
/// # Errors
///
/// `topic` is not a topic.
pub fn exactly(shard: &Shard, topic: &str) -> Result<Vec<Matcher>, SubscribeError> {
    let matcher = Matcher::parse(MatcherType::Exact, topic, shard.hub());
    Ok(vec![named("exact", matcher)?])
}

fn push_new(matchers: &mut Vec<Matcher>, matcher: Matcher) {
    if !matchers.contains(&matcher) {
        matchers.push(matcher);
    }
}

/// Adds the name of the request's field to the error of a matcher.
///
/// # Errors
///
/// [`SubscribeError::Matcher`].
pub fn named(
    name: &str,
    matcher: Result<Matcher, MatcherError>,
) -> Result<Matcher, SubscribeError> {
    matcher.map_err(|source| SubscribeError::Matcher {
        name: name.to_owned(),
        source,
    })
}

/// Admits a subscriber: books its matchers for `holder`, and finds where its stream begins.
///
/// # Errors
///
/// The peer subscribes too often, there is no room for the matchers, or the history cannot look up the cursor.
pub async fn admit(
    shard: &Shard,
    holder: &Arc<Holder>,
    identity: Option<Arc<Identity>>,
    mut matchers: Vec<Matcher>,
    cursor: Option<Cursor>,
) -> Result<Admitted, SubscribeError> {
    Meter {
        holder,
        identity: identity.as_deref(),
    }
    .subscribe()?;
    let mut booked = Booked::default();
    booked.add(holder, &mut matchers)?;
    let line = Some(shard.lines_left());
    let begins = begins(shard, cursor, &matchers, identity.as_deref()).await?;
    Ok(Admitted {
        identity,
        matchers: matchers.into(),
        booked,
        begins,
        line,
    })
}

/// Books those of `matchers` that a session does not have yet, and finds where they begin.
///
/// # Errors
///
/// The peer subscribes too often, they are too many, there is no room for them, or the history cannot look up the cursor. Nothing is booked
/// then.
pub(crate) async fn admit_more(
    shard: &Shard,
    session: &Session,
    mut matchers: Vec<Matcher>,
    cursor: Option<Cursor>,
) -> Result<(Box<[Matcher]>, Begins), SubscribeError> {
    Meter {
        holder: session.holder(),
        identity: session.identity().as_deref(),
    }
    .subscribe()?;
    let count = {
        let known = session.matchers();
        matchers.retain(|matcher| !known.contains(matcher));
        known.len() + matchers.len()
    };
    if count > MATCHERS_PER_SUBSCRIBER_MAX {
        return Err(SubscribeError::TooManyMatchers { count });
    }
    session.booked().add(session.holder(), &mut matchers)?;
    let identity = session.identity();
    let begins = begins(shard, cursor, &matchers, identity.as_deref()).await;
    let begins = begins.inspect_err(|_| session.booked().remove(&matchers))?;
    Ok((matchers.into(), begins))
}

/// Returns where a stream begins. If presence events that the subscriber may see are gone after a known
/// cursor, the response is `earliest`, and the stream begins after the cursor (docs/decisions/0015).
async fn begins(
    shard: &Shard,
    cursor: Option<Cursor>,
    matchers: &[Matcher],
    identity: Option<&Identity>,
) -> Result<Begins, SubscribeError> {
    let Some(cursor) = cursor else {
        return Ok(Begins {
            start: Start::Now,
            cursor: shard.cursor_at_last(),
        });
    };
    let begins = resolve(shard, cursor).await?;
    let Start::After(position) = begins.start else {
        return Ok(begins);
    };
    let grants = identity.map(|identity| &*identity.grants);
    if !(Watcher { matchers, grants }).misses(shard, position) {
        return Ok(begins);
    }
    shard.metrics().cursors_unknown.inc();
    Ok(Begins {
        start: Start::AfterGap(position),
        cursor: Cursor::Earliest,
    })
}

/// Finds the place of a cursor.
///
/// A known cursor is returned unchanged: nothing is missing after it. For an unknown or expired one, the
/// response is `earliest`, and everything retained follows (docs/decisions/0007). Before a cursor counts as
/// unknown in a cluster, the hub catches up: another hub may have sent an update that is not here yet.
async fn resolve(shard: &Shard, cursor: Cursor) -> Result<Begins, SubscribeError> {
    let oldest = Begins {
        start: Start::Oldest,
        cursor: Cursor::Earliest,
    };
    let Cursor::After(id) = &cursor else {
        return Ok(oldest);
    };
    let mut found = look_up(shard, id).await?;
    if found.is_none() && catch_up(shard).await? {
        found = look_up(shard, id).await?;
    }
    Ok(match found {
        Some(position) => Begins {
            start: Start::After(position),
            cursor,
        },
        None => {
            shard.metrics().cursors_unknown.inc();
            oldest
        }
    })
}

/// Waits until the history has what the cluster has. Returns whether it could lack something before.
async fn catch_up(shard: &Shard) -> Result<bool, SubscribeError> {
    let (reply, caught_up) = oneshot::channel();
    let done = Box::new(move |caught_up| {
        // Who waited may be gone.
        reply.send(caught_up).ok();
    });
    if !shard.relay().catch_up(done) {
        return Ok(false);
    }
    match caught_up.await {
        Ok(true) => Ok(true),
        Ok(false) => Err(SubscribeError::CatchingUp),
        Err(_gone) => Err(SubscribeError::Closed),
    }
}

/// Returns the position of an event id, if it is known.
async fn look_up(shard: &Shard, id: &Arc<str>) -> Result<Option<Position>, SubscribeError> {
    let (reply, resolved) = oneshot::channel();
    shard.history().resolve(
        Arc::clone(id),
        |position| shard.recent_print(position),
        Box::new(move |result| drop(reply.send(result))),
    );
    match resolved.await {
        Ok(Ok(Resolved::After(position))) => Ok(Some(position)),
        Ok(Ok(Resolved::Unknown { .. })) => Ok(None),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a cursor could not be looked up");
            Err(SubscribeError::HistoryUnreadable)
        }
        Err(_gone) => Err(SubscribeError::Closed),
    }
}

/// Returns when the lifetime of a connection that begins now ends, if lifetimes are limited.
pub fn lifetime(shard: &Shard) -> Option<Instant> {
    let longest = shard.options().connection_max?;
    let spread = LIFETIME_SPREAD.end - LIFETIME_SPREAD.start;
    let part = fastrand::f64().mul_add(spread, LIFETIME_SPREAD.start);
    Instant::now().checked_add(longest.mul_f64(part))
}

/// Returns when a token expires. None if that is too far away for a timer.
pub(crate) fn expiry(identity: &Identity) -> Option<Instant> {
    let ends = UNIX_EPOCH.checked_add(Duration::from_secs(identity.expires_at))?;
    let left = ends.duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now().checked_add(left)
}

/// Returns when a session ends at the latest: when its token expires, or at the end of its lifetime.
pub fn deadline(
    lifetime: Option<Instant>,
    identity: Option<&Identity>,
) -> Option<(Instant, Ending)> {
    let expiry = identity.and_then(expiry);
    earliest_of(lifetime, expiry)
}

/// Returns the earlier end of a session, and its reason. If both are at the same time, the token's counts.
pub(crate) fn earliest_of<T: Ord + Copy>(
    lifetime: Option<T>,
    expiry: Option<T>,
) -> Option<(T, Ending)> {
    let lifetime = lifetime.map(|end| (end, Ending::Lifetime));
    let expiry = expiry.map(|end| (end, Ending::TokenExpired));
    let ends = expiry.into_iter().chain(lifetime);
    ends.min_by_key(|(end, _)| *end)
}

/// Returns the deadline for a peer that still has to send a token.
pub fn patience(shard: &Shard) -> (Instant, Ending) {
    let end = Instant::now() + shard.options().patience;
    (end, Ending::TokenTimeout)
}
