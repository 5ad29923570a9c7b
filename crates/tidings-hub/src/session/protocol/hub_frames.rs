//! The hub's own frames: a peer subscribes and publishes with JSON messages. `docs/reference/websocket.md`
//! describes them.

use std::borrow::Cow;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use tidings_auth::{Door, Identity, Role};
use tidings_cluster::Key;
use tidings_core::event_id::Cursor;
use tidings_core::limits::{MATCHERS_PER_SUBSCRIBER_MAX, TOPICS_PER_UPDATE_MAX};
use tidings_wire::hub_frames::{
    self, AckFields, Authenticate, HubFrame, Publish, Reference, Request, RequestError,
    RequestKind, Selection,
};
use tidings_wire::publish_form::PublishForm;
use tidings_wire::subscribe_query::SubscribeQuery;
use tidings_wire::websocket::close::CloseCode;
use tidings_wire::{idempotency_key, problem};

use super::{Control, Form, Peer, Pending, Protocol};
use crate::account::{Charge, Kind, Meter};
use crate::ingest::{Publisher, once};
use crate::metrics::count;
use crate::posted::Posted;
use crate::refusal::{self, Refusal};
use crate::router::Ticket;
use crate::session::duplex::{Duplex, Joining};
use crate::session::{Ending, Session};
use crate::shard::Shard;
use crate::subscribing;
use crate::tasks;

/// What a peer without a token is told when it subscribes or publishes.
const SUBSCRIBING_NEEDS_A_TOKEN: &str =
    "subscribing needs a token: send {\"authenticate\":{\"token\":\"…\"}} first";
const PUBLISHING_NEEDS_A_TOKEN: &str = "publishing needs a token that allows it: send \
     {\"authenticate\":{\"token\":\"…\"}} first";
/// Characters of the detail about a frame that is not understood.
const DETAIL_CHARACTERS_MAX: usize = 256;

/// A peer that speaks the hub's frames.
#[derive(Debug)]
pub struct HubFrames;

impl Protocol for HubFrames {
    fn form(&self) -> Form {
        Form::HUB_FRAMES
    }

    fn on_text<'a>(&'a self, peer: Peer<'a>, text: String) -> Pending<'a> {
        Box::pin(async move {
            on_request(peer, &text).await;
            Ok(())
        })
    }

    fn on_binary(&self, peer: Peer<'_>, _bytes: Vec<u8>) -> Result<(), Ending> {
        let reason = "the hub's frames are text messages";
        peer.duplex.close_with(CloseCode::UNSUPPORTED, reason);
        Err(Ending::Violation)
    }

    fn tells_places(&self) -> bool {
        true
    }

    fn control(&self, control: Control<'_>) -> Option<String> {
        let frame = match control {
            Control::Open { cursor, ping } => HubFrame::Open {
                last_event_id: cursor.as_str(),
                ping_secs: ping.as_secs(),
            },
            Control::Lagging => HubFrame::Lagging {},
            Control::CaughtUp { cursor } => HubFrame::CaughtUp {
                last_event_id: cursor.as_str(),
            },
        };
        Some(hub_frames::encode(&frame, None))
    }
}

/// Encodes an update as an `update` frame.
pub(crate) fn update(posted: &Posted) -> Cow<'_, str> {
    Cow::Owned(posted.with_fields(|fields| hub_frames::encode(&HubFrame::Update(fields), None)))
}

/// Answers one frame of a peer.
async fn on_request(peer: Peer<'_>, frame: &str) {
    let Peer {
        shard,
        session,
        duplex,
    } = peer;
    let Request { kind, reference } = match Request::decode(frame) {
        Ok(request) => request,
        Err(error) => {
            let refusal = of_request(&error);
            count(&shard.metrics().requests_refused, refusal.name);
            return refuse(shard, session, &refusal, None);
        }
    };
    let reference = reference.as_ref();
    let result = match kind {
        RequestKind::Ping => {
            say(shard, session, &HubFrame::Pong {}, reference);
            Ok(())
        }
        RequestKind::Pong => Ok(()),
        RequestKind::Authenticate(asked) => {
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
        RequestKind::Subscribe(selection) => {
            let result = add(shard, session, duplex, selection).await;
            if let Err(refusal) = &result {
                count(&shard.metrics().subscribe_refused, refusal.name);
            }
            result.map(|cursor| {
                let last_event_id = Some(cursor.as_str());
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
        RequestKind::Unsubscribe(selection) => remove(shard, session, duplex, selection)
            .await
            .map(|()| ack(shard, session, AckFields::default(), reference)),
        RequestKind::Publish(asked) => publish(shard, session, duplex, *asked, reference),
    };
    if let Err(refusal) = result {
        count(&shard.metrics().requests_refused, refusal.name);
        refuse(shard, session, &refusal, reference);
    }
    if duplex.is_unannounced() {
        duplex.announce();
        session.wake();
    }
}

fn say(shard: &Shard, session: &Session, frame: &HubFrame<'_>, reference: Option<&Reference>) {
    shard.tell(session, session.text(&hub_frames::encode(frame, reference)));
}

fn ack(shard: &Shard, session: &Session, fields: AckFields<'_>, reference: Option<&Reference>) {
    say(shard, session, &HubFrame::Ack(fields), reference);
}

fn refuse(shard: &Shard, session: &Session, refusal: &Refusal, reference: Option<&Reference>) {
    let status = status(refusal.kind);
    let mut document = problem::document(status, refusal.name, refusal.title, &refusal.detail);
    if let Some(key) = refusal.limit {
        problem::add_limit(&mut document, key, refusal.retry_after_secs);
    }
    say(shard, session, &HubFrame::Error(&document), reference);
}

/// The table from kinds of refusal to the `status` of an `error` frame: what HTTP would answer with.
fn status(kind: refusal::Kind) -> u16 {
    match kind {
        refusal::Kind::Invalid => 400,
        refusal::Kind::TokenMissing | refusal::Kind::TokenInvalid => 401,
        refusal::Kind::ScopeInsufficient => 403,
        refusal::Kind::NotFound => 404,
        refusal::Kind::TooLarge => 413,
        refusal::Kind::Contradicts => 422,
        refusal::Kind::TooMuch => 429,
        refusal::Kind::Unavailable => 503,
    }
}

fn of_request(error: &RequestError) -> Refusal {
    // The text may repeat what the peer wrote, which may be a megabyte.
    let detail: String = error
        .to_string()
        .chars()
        .take(DETAIL_CHARACTERS_MAX)
        .collect();
    Refusal::invalid("frame-invalid", "Frame not understood", detail)
}

/// Verifies a token, and uses it from now on. Returns when it expires.
async fn authenticate(
    shard: &Shard,
    session: &Session,
    duplex: &Duplex,
    asked: &Authenticate,
) -> Result<u64, Refusal> {
    let verify = |role| shard.verify(&asked.token, Door::Hub, role);
    let (subscriber, publisher) = (verify(Role::Subscribe).await, verify(Role::Publish).await);
    let reads = !session.matchers().is_empty();
    let (identity, subscriber, publisher) = match (subscriber, publisher) {
        (Ok(subscriber), publisher) => (subscriber.clone(), Some(subscriber), publisher.ok()),
        (Err(_), Ok(publisher)) if !reads => (publisher.clone(), None, Some(publisher)),
        (Err(error), _) => return Err(shard.token_refused(&error, Role::Subscribe)),
    };
    session.identify(subscriber);
    duplex.set_publisher(publisher);
    let expiry = subscribing::expiry(&identity).map(|instant| shard.tick_before(instant));
    shard.set_deadline(session, subscribing::earliest_of(duplex.lifetime, expiry));
    // Its subscriptions have this token's payloads from now on.
    shard.tell_changed(session).await;
    Ok(identity.expires_at)
}

/// Adds matchers to a session. Returns the cursor of the place where they begin.
async fn add(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    duplex: &Duplex,
    selection: Selection,
) -> Result<Cursor, Refusal> {
    subscribing::check_anonymous(
        shard,
        session.identity().as_deref(),
        SUBSCRIBING_NEEDS_A_TOKEN,
    )?;
    let query = query_of(duplex, selection)?;
    let matchers = subscribing::matchers(shard, &query).await?;
    // One request at a time: where later matchers begin is known only when earlier ones have caught up.
    caught_up(session).await;
    let cursor = query.last_event_id.as_deref().map(Cursor::parse);
    let (matchers, begins) = subscribing::admit_more(shard, session, matchers, cursor).await?;
    if matchers.is_empty() {
        return Ok(begins.cursor);
    }
    duplex.set_joining(Joining {
        matchers: matchers.clone(),
        start: begins.start,
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
    Ok(begins.cursor)
}

/// Removes matchers from a session. Ignores those that it does not have.
async fn remove(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    duplex: &Duplex,
    selection: Selection,
) -> Result<(), Refusal> {
    let matchers = subscribing::matchers(shard, &query_of(duplex, selection)?).await?;
    caught_up(session).await;
    shard.leave(session, &matchers);
    shard.tell_changed(session).await;
    Ok(())
}

/// Waits until added matchers have caught up.
async fn caught_up(session: &Session) {
    poll_fn(|cx| {
        session.keep_waker(cx);
        if session.is_adding() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}

/// Returns the selection of a frame as the query of a URL.
fn query_of(duplex: &Duplex, selection: Selection) -> Result<SubscribeQuery, Refusal> {
    duplex.on_patterns(selection.url_pattern.0.len());
    Ok(selection.into_query(MATCHERS_PER_SUBSCRIBER_MAX)?)
}

/// Checks a publication: returns its publisher, its form, and the memory booked until it is stored.
fn publication(session: &Session, duplex: &Duplex, asked: Publish) -> Result<Publication, Refusal> {
    let publisher = duplex.publisher();
    let publisher = publisher.ok_or_else(|| Refusal::token_missing(PUBLISHING_NEEDS_A_TOKEN))?;
    let key = asked.idempotency_key.as_deref();
    let key = key.map(idempotency_key::check).transpose()?;
    let key = key.and_then(|key| once::key(&publisher, key));
    let form = asked.into_form(TOPICS_PER_UPDATE_MAX)?;
    let bytes = form.data.as_deref().map_or(0, str::len);
    let charge = session.holder().take(Kind::Publication, bytes)?;
    Ok(Publication {
        publisher,
        form,
        key,
        charge,
    })
}

/// What a peer publishes.
struct Publication {
    publisher: Arc<Identity>,
    form: PublishForm,
    key: Option<Key>,
    charge: Charge,
}

/// Publishes an update. The reply follows when it is stored.
fn publish(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    duplex: &Duplex,
    asked: Publish,
    reference: Option<&Reference>,
) -> Result<(), Refusal> {
    let publication = publication(session, duplex, asked)
        .inspect_err(|refusal| count(&shard.metrics().publish_refused, refusal.name))?;
    duplex.on_publishing();
    let (shard, session) = (Rc::clone(shard), Rc::clone(session));
    let reference = reference.cloned();
    tasks::spawn(async move {
        let Publication {
            publisher,
            form,
            key,
            charge,
        } = publication;
        let grants = Publisher::Grants(&publisher.grants);
        let meter = Meter {
            holder: session.holder(),
            identity: Some(&publisher),
        };
        let published = shard.ingest().publish(form, grants, Some(meter), key);
        let result = published.await;
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
                let explain = shard.options().explain_refusals;
                let refusal = Refusal::of_publishing(&error, explain);
                count(&shard.metrics().publish_refused, refusal.name);
                refuse(&shard, &session, &refusal, reference);
            }
        }
        session.wake();
    });
    Ok(())
}
