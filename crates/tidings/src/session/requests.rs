//! What a WebSocket's peer asks the hub for, and the answers: `docs/reference/websocket.md`.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use tidings_auth::{Door, Role};
use tidings_core::event_id::{Cursor, EARLIEST};
use tidings_core::limits::{MATCHERS_PER_SUBSCRIBER_MAX, TOPICS_PER_UPDATE_MAX};
use tidings_core::matcher::Matcher;
use tidings_wire::hub_frames::{
    self, AckFields, Ask, Authenticate, Publish, Reference, Request, RequestError, Saying,
    Selection,
};
use tidings_wire::sockjs;
use tidings_wire::subscribe_query::SubscribeQuery;
use tidings_wire::websocket::encoder;

use super::duplex::{Beat, Duplex, Joining};
use super::{Ending, Session};
use crate::account::Kind;
use crate::http::authorize;
use crate::http::problem::{self, Problem};
use crate::http::subscribe;
use crate::ingest::Publisher;
use crate::metrics::count;
use crate::router::Ticket;
use crate::shard::Shard;
use crate::tasks;

/// Characters that are said about a frame that is not understood.
const DETAIL_CHARACTERS_MAX: usize = 256;

/// Answers one frame of a peer.
pub(crate) async fn on_request(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    duplex: &Duplex,
    frame: &str,
) {
    let Request { ask, reference } = match Request::decode(frame) {
        Ok(request) => request,
        Err(error) => {
            let problem = of_request(&error);
            count(&shard.metrics().requests_refused, problem.name());
            return refuse(shard, session, &problem, None);
        }
    };
    let reference = reference.as_ref();
    let result = match ask {
        Ask::Ping => {
            say(shard, session, &Saying::Pong {}, reference);
            Ok(())
        }
        Ask::Pong => Ok(()),
        Ask::Authenticate(asked) => {
            let result = authenticate(shard, session, duplex, &asked).await;
            result.map(|expires_at| {
                let expires_at = Some(expires_at);
                ack(
                    shard,
                    session,
                    AckFields {
                        expires_at,
                        ..AckFields::default()
                    },
                    reference,
                );
            })
        }
        Ask::Subscribe(selection) => {
            let result = add(shard, session, duplex, selection).await;
            if let Err(problem) = &result {
                count(&shard.metrics().subscribe_refused, problem.name());
            }
            result.map(|begins| {
                let last_event_id = Some(begins.as_str());
                ack(
                    shard,
                    session,
                    AckFields {
                        last_event_id,
                        ..AckFields::default()
                    },
                    reference,
                );
            })
        }
        Ask::Unsubscribe(selection) => remove(shard, session, duplex, selection)
            .await
            .map(|()| ack(shard, session, AckFields::default(), reference)),
        Ask::Publish(asked) => publish(shard, session, duplex, *asked, reference),
    };
    if let Err(problem) = result {
        count(&shard.metrics().requests_refused, problem.name());
        refuse(shard, session, &problem, reference);
    }
    if duplex.is_unannounced() {
        duplex.announce();
        session.wake();
    }
}

/// Tells a new peer that its connection is open, and of the hub, where it may resume.
pub(crate) async fn greet(shard: &Shard, session: &Session, duplex: &Duplex, start: super::Start) {
    if duplex.beat == Beat::Framed {
        duplex.keep(encoder::text(sockjs::OPEN));
    }
    if !duplex.is_hub() {
        return;
    }
    duplex.tells_caught_up.set(start != super::Start::Now);
    let last_event_id = match start {
        super::Start::Oldest | super::Start::AfterGap(_) => EARLIEST.to_owned(),
        super::Start::Now | super::Start::After(_) => shard.cursor_at(session.next.get()).await,
    };
    let ping_secs = duplex.beats_every.unwrap_or_default().as_secs();
    let saying = Saying::Open {
        last_event_id: &last_event_id,
        ping_secs,
    };
    duplex.keep(session.text(&hub_frames::encode(&saying, None)));
}

fn say(shard: &Shard, session: &Session, saying: &Saying<'_>, reference: Option<&Reference>) {
    shard.tell(
        session,
        session.text(&hub_frames::encode(saying, reference)),
    );
}

fn ack(shard: &Shard, session: &Session, fields: AckFields<'_>, reference: Option<&Reference>) {
    say(shard, session, &Saying::Ack(fields), reference);
}

fn refuse(shard: &Shard, session: &Session, problem: &Problem, reference: Option<&Reference>) {
    say(
        shard,
        session,
        &Saying::Error(&problem.document()),
        reference,
    );
}

fn of_request(error: &RequestError) -> Problem {
    // It may repeat what the peer wrote, which may be a megabyte.
    let detail: String = error
        .to_string()
        .chars()
        .take(DETAIL_CHARACTERS_MAX)
        .collect();
    Problem::bad_request("frame", "Frame not understood", detail)
}

/// Takes a token, and returns when it expires.
async fn authenticate(
    shard: &Shard,
    session: &Session,
    duplex: &Duplex,
    asked: &Authenticate,
) -> Result<u64, Problem> {
    let verify = |role| authorize::verify(shard, &asked.token, Door::Hub, role);
    let (subscriber, publisher) = (verify(Role::Subscribe).await, verify(Role::Publish).await);
    let reads = !session.matchers.borrow().is_empty();
    let (identity, subscriber, publisher) = match (subscriber, publisher) {
        (Ok(subscriber), publisher) => (subscriber.clone(), Some(subscriber), publisher.ok()),
        (Err(_), Ok(publisher)) if !reads => (publisher.clone(), None, Some(publisher)),
        (Err(error), _) => return Err(authorize::not_accepted(shard, &error, Role::Subscribe)),
    };
    session.identify(subscriber);
    *duplex.publisher.borrow_mut() = publisher;
    let lifetime = duplex.lifetime.map(|end| (end, Ending::Lifetime));
    let expiry = subscribe::expiry(&identity)
        .map(|instant| (shard.tick_before(instant), Ending::TokenExpired));
    let deadline = lifetime
        .into_iter()
        .chain(expiry)
        .min_by_key(|(end, _)| *end);
    shard.set_deadline(session, deadline);
    // Its subscriptions have the payloads of this token from now on.
    shard.tell_changed(session).await;
    Ok(identity.expires_at)
}

/// Adds matchers to what a session asks for; returns what the answer says about the cursor.
async fn add(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    duplex: &Duplex,
    selection: Selection,
) -> Result<String, Problem> {
    if session.identity().is_none() && !shard.config().subscribe.anonymous {
        let detail = "subscribing needs a token: send {\"authenticate\":{\"token\":\"…\"}} first";
        return Err(Problem::token_missing(detail));
    }
    let query = query_of(duplex, selection)?;
    let matchers = subscribe::matchers(shard, &query).await?;
    // One at a time: what a later one has had is known only when the earlier one has ended.
    caught_up(session, duplex).await;
    let known = session.matchers.borrow().clone();
    let mut new = matchers.into_vec();
    new.retain(|matcher| !known.contains(matcher));
    if known.len() + new.len() > MATCHERS_PER_SUBSCRIBER_MAX {
        let detail = format!(
            "{} matchers on one connection, more than {MATCHERS_PER_SUBSCRIBER_MAX}",
            known.len() + new.len()
        );
        return Err(Problem::bad_request(
            "too-many-matchers",
            "Too many matchers",
            detail,
        ));
    }
    let cursor = query.last_event_id.as_deref().map(Cursor::parse);
    let identity = session.identity();
    let holder = session.holder();
    subscribe::book(&mut session.booked.borrow_mut(), holder, &mut new)?;
    let start = subscribe::start(shard, cursor, &new, identity.as_deref()).await;
    let (start, answer) = start.inspect_err(|_| session.booked.borrow_mut().remove(&new))?;
    let answer = String::from_utf8_lossy(answer.as_bytes()).into_owned();
    if new.is_empty() {
        return Ok(answer);
    }
    let matchers: Box<[Matcher]> = new.into();
    duplex.join(Joining {
        matchers: matchers.clone(),
        start,
    });
    let ticket = Ticket(session.id);
    shard.router().join(shard.index(), ticket, matchers).await;
    poll_fn(|cx| {
        session.keep_waker(cx);
        if duplex.is_joining() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    shard.tell_changed(session).await;
    Ok(answer)
}

/// Takes matchers away from what a session asks for. Those that it does not have do not count.
async fn remove(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    duplex: &Duplex,
    selection: Selection,
) -> Result<(), Problem> {
    let matchers = subscribe::matchers(shard, &query_of(duplex, selection)?).await?;
    caught_up(session, duplex).await;
    shard.leave(session, &matchers);
    shard.tell_changed(session).await;
    Ok(())
}

async fn caught_up(session: &Session, duplex: &Duplex) {
    poll_fn(|cx| {
        session.keep_waker(cx);
        if duplex.is_catching_up() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}

/// Returns the selection of a frame as the parameters of a URL.
fn query_of(duplex: &Duplex, selection: Selection) -> Result<SubscribeQuery, Problem> {
    duplex.on_patterns(selection.url_pattern.0.len());
    let query = selection.into_query(MATCHERS_PER_SUBSCRIBER_MAX);
    query.map_err(|error| problem::of_query(&error))
}

/// Publishes; the answer comes when the update is kept.
fn publish(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    duplex: &Duplex,
    asked: Publish,
    reference: Option<&Reference>,
) -> Result<(), Problem> {
    let Some(publisher) = duplex.publisher.borrow().clone() else {
        let detail = "publishing needs a token that allows it: send \
                      {\"authenticate\":{\"token\":\"…\"}} first";
        let problem = Problem::token_missing(detail);
        count(&shard.metrics().publish_refused, problem.name());
        return Err(problem);
    };
    let form = asked
        .into_form(TOPICS_PER_UPDATE_MAX)
        .map_err(|error| problem::of_form(&error))
        .inspect_err(|problem| count(&shard.metrics().publish_refused, problem.name()))?;
    let bytes = form.data.as_deref().map_or(0, str::len);
    let charge = session
        .holder()
        .take(Kind::Publication, bytes)
        .map_err(|refusal| Problem::held_bytes(&refusal))
        .inspect_err(|problem| count(&shard.metrics().publish_refused, problem.name()))?;
    duplex.on_publishing();
    let (shard, session) = (Rc::clone(shard), Rc::clone(session));
    let reference = reference.cloned();
    tasks::spawn(async move {
        let grants = Publisher::Grants(&publisher.grants);
        let result = shard.ingest().publish(form, grants).await;
        if let Some(duplex) = &session.duplex {
            duplex.on_published();
        }
        drop(charge);
        let reference = reference.as_ref();
        match result {
            Ok(update) => {
                shard.metrics().updates.inc();
                let id = Some(update.id.as_str());
                ack(
                    &shard,
                    &session,
                    AckFields {
                        id,
                        ..AckFields::default()
                    },
                    reference,
                );
            }
            Err(error) => {
                let explain = shard.config().explain_refusals;
                let problem = problem::of_publishing(&error, explain);
                count(&shard.metrics().publish_refused, problem.name());
                refuse(&shard, &session, &problem, reference);
            }
        }
        session.wake();
    });
    Ok(())
}
