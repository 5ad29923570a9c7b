//! Admits two-way sessions: to the hub itself, to a room, or to a service. The session is the same
//! over a WebSocket and over SockJS.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::SEC_WEBSOCKET_EXTENSIONS;
use tidings_auth::{Identity, Role};
use tidings_core::dialect::Dialect;
use tidings_core::limits::MATCHERS_PER_SUBSCRIBER_MAX;
use tidings_core::topic::Topic;
use tidings_wire::subscribe_query::{QueryError, SubscribeQuery};
use tidings_wire::websocket::deflate::{Agreement, Context};
use tidings_wire::websocket::frames::Limits;
use tokio::time::Instant;

use super::authorize::{Credentials, credentials, identify};
use super::problem::Problem;
use super::{subscribe, upgrade};
use crate::config::{Config, RoomAccess};
use crate::http::Site;
use tidings_hub::account::Holder;
use tidings_hub::posted::{Encoding, Texts};
use tidings_hub::refusal::Refusal;
use tidings_hub::session::duplex::{self, Heartbeat};
use tidings_hub::session::protocol::Protocol;
use tidings_hub::session::protocol::hub_frames::HubFrames;
use tidings_hub::session::protocol::room::Room;
use tidings_hub::session::protocol::served::Served;
use tidings_hub::session::service::{Echo, Offer, Service};
use tidings_hub::shard::Subscription;
use tidings_hub::subscribing::rooms::{Access, Rooms};
use tidings_hub::subscribing::{self, Admitted};

/// What a peer that needs a token is told.
const NO_ANONYMOUS: &str = "this hub does not take anonymous subscribers (subscribe.anonymous): present a \
     token by header or cookie, or connect without matchers and send it in a frame";
/// Minimum mean size of the fragments of the longest message. Shorter fragments only serve to keep a hub busy.
const FRAGMENT_BYTES_MIN: usize = 64;
/// Fragments that every message may have.
const FRAGMENTS: u32 = 1024;

/// The request that opens a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenRequest<'a> {
    /// Books the memory that the session takes.
    pub(crate) holder: &'a Arc<Holder>,
    pub(crate) headers: &'a HeaderMap,
    /// The query of its URL.
    pub(crate) query: &'a str,
}

/// Whether messages travel in SockJS frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageFraming {
    Bare,
    SockJs,
}

/// How a session's messages travel.
#[derive(Clone, Debug)]
pub(crate) struct MessageTransport {
    pub(crate) agreement: Option<Agreement>,
    framing: MessageFraming,
    heartbeat: Heartbeat,
    heartbeat_interval: Option<Duration>,
}

impl MessageTransport {
    /// The session has a WebSocket of its own.
    pub(crate) fn by_websocket(
        config: &Config,
        framing: MessageFraming,
        agreement: Option<Agreement>,
    ) -> Self {
        let (heartbeat, every) = match framing {
            MessageFraming::Bare => (Heartbeat::Pings, config.websocket.ping),
            MessageFraming::SockJs => (Heartbeat::Framed, config.sockjs.heartbeat),
        };
        Self {
            agreement,
            framing,
            heartbeat,
            heartbeat_interval: (!every.is_zero()).then_some(every),
        }
    }

    /// The session has no connection of its own. Only SockJS framing has heartbeats then.
    pub(crate) fn carried(site: &Site, framing: MessageFraming) -> Self {
        let every = site.config().sockjs.heartbeat;
        Self {
            agreement: None,
            framing,
            heartbeat: Heartbeat::Carried,
            heartbeat_interval: (framing == MessageFraming::SockJs && !every.is_zero())
                .then_some(every),
        }
    }

    /// Returns the subscription of a peer that speaks `protocol`. `publisher` is the identity that it publishes
    /// with, if it may. The connection ends at `lifetime`, whatever token it has.
    fn subscription(
        self,
        config: &Config,
        protocol: Box<dyn Protocol>,
        admitted: Admitted,
        publisher: Option<Arc<Identity>>,
        lifetime: Option<Instant>,
    ) -> Subscription {
        let texts = Texts {
            form: protocol.form(),
            in_sockjs: self.framing == MessageFraming::SockJs,
        };
        let window = self.agreement.map(|agreed| agreed.window);
        let known = admitted.identity.as_deref().or(publisher.as_deref());
        let deadline = subscribing::deadline(lifetime, known);
        let bytes_max = config.websocket.message_bytes_max;
        let fragments = u32::try_from(bytes_max / FRAGMENT_BYTES_MIN).unwrap_or(u32::MAX);
        let limits = Limits {
            bytes_max,
            fragments_max: fragments.max(FRAGMENTS),
        };
        let parts = duplex::Parts {
            protocol,
            limits,
            frames_per_second_max: config.websocket.frames_per_second_max,
            inflated_per_second_max: duplex::INFLATED_BYTES_PER_SECOND_MAX,
            heartbeat: self.heartbeat,
            heartbeat_interval: self.heartbeat_interval,
            agreement: self.agreement,
            publisher,
            lifetime,
            unread: Bytes::new(),
        };
        Subscription {
            admitted,
            dialect: Dialect::V1,
            log: None,
            encoding: Encoding::WebSocket(texts, window),
            deadline,
            duplex: Some(Box::new(parts)),
        }
    }
}

/// Admits a peer to the hub itself. It subscribes by the parameters of the URL, or by frames later. The
/// caller has checked the `Origin`.
///
/// # Errors
///
/// The refusal.
pub(crate) async fn hub(
    site: &Rc<Site>,
    request: OpenRequest<'_>,
    transport: MessageTransport,
) -> Result<Subscription, Problem> {
    let config = site.config();
    let (subscriber, publisher) = identities(site, request.headers).await?;
    let query = request.query.as_bytes();
    let query = match SubscribeQuery::decode(query, None, MATCHERS_PER_SUBSCRIBER_MAX) {
        Ok(query) => Some(query),
        // It subscribes by frames later.
        Err(QueryError::NoMatcher) => None,
        Err(error) => return Err(error.into()),
    };
    let lifetime = subscribing::lifetime(site);
    let allowed = subscribing::check_anonymous(site, subscriber.as_deref(), NO_ANONYMOUS);
    let is_unknown = subscriber.is_none() && publisher.is_none();
    let must_authenticate = is_unknown && query.is_none() && allowed.is_err();
    let admitted = match &query {
        None => Admitted::without_matchers(subscriber),
        Some(query) => {
            allowed?;
            let matchers = subscribing::matchers(site, query).await?;
            let cursor = subscribe::cursor(request.headers, query.last_event_id.as_deref());
            subscribing::admit(site, request.holder, subscriber, matchers, cursor).await?
        }
    };
    let protocol = Box::new(HubFrames);
    let mut subscription = transport.subscription(config, protocol, admitted, publisher, lifetime);
    if must_authenticate {
        subscription.deadline = Some(subscribing::patience(site));
    }
    Ok(subscription)
}

/// The identities that subscribe and publish. One token may serve for both, or only for one of them.
type Identities = (Option<Arc<Identity>>, Option<Arc<Identity>>);

async fn identities(site: &Site, headers: &HeaderMap) -> Result<Identities, Problem> {
    match (
        identify(site, headers, Role::Subscribe).await,
        identify(site, headers, Role::Publish).await,
    ) {
        (Ok(subscriber), publisher) => Ok((subscriber, publisher.ok().flatten())),
        (Err(_), Ok(publisher)) if publisher.is_some() => Ok((None, publisher)),
        (Err(problem), _) => Err(problem),
    }
}

/// Returns the topic of the room that a path names, as it is `written` there.
///
/// # Errors
///
/// 404 if there is no such room, 400 if the name is not a topic.
pub(crate) fn topic_of(config: &Config, written: &str) -> Result<Topic, Problem> {
    let name = percent_encoding::percent_decode_str(written).decode_utf8();
    let name = name.map_err(|_not_utf8| {
        let detail = "the topic in the path is not UTF-8";
        Refusal::invalid("topic-invalid", "Topic not allowed", detail)
    })?;
    let rooms = rooms(config).ok_or_else(Problem::not_found)?;
    Ok(rooms.topic(&name, &config.hub)?)
}

/// Returns the rules of rooms, if there are rooms.
fn rooms(config: &Config) -> Option<Rooms<'_>> {
    let access = match config.rooms.access? {
        RoomAccess::Anonymous => Access::Anonymous,
        RoomAccess::Token => Access::Token,
    };
    Some(Rooms {
        access,
        topics: &config.rooms.topics,
        private: config.rooms.private,
    })
}

/// Returns how a peer of a room presents its token, if rooms ask for tokens.
pub(crate) fn credentials_in_room(site: &Site, headers: &HeaderMap) -> Credentials {
    match rooms(site.config()) {
        Some(rooms) if rooms.asks_for_tokens() => credentials(site, headers),
        Some(_) | None => Credentials::Other,
    }
}

/// Admits a peer to the room of a topic. The caller has checked the `Origin`.
///
/// # Errors
///
/// The refusal.
pub(crate) async fn room(
    site: &Rc<Site>,
    request: OpenRequest<'_>,
    topic: &Topic,
    transport: MessageTransport,
) -> Result<Subscription, Problem> {
    let config = site.config();
    let rooms = rooms(config).ok_or_else(Problem::not_found)?;
    let (subscriber, publisher) = match rooms.asks_for_tokens() {
        true => identities(site, request.headers).await?,
        false => (None, None),
    };
    let admitted = rooms.admit(site, request.holder, topic, subscriber).await?;
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|_no_random| {
        let detail = "the system gives no random bytes".to_owned();
        Refusal::unavailable("no-random", "The hub cannot identify a peer", detail)
    })?;
    let random = u64::from_ne_bytes(random);
    let room = Room::new(topic.clone(), rooms, random);
    let (protocol, lifetime) = (Box::new(room), subscribing::lifetime(site));
    Ok(transport.subscription(config, protocol, admitted, publisher, lifetime))
}

/// Admits a peer to the echo service of the page `/diagnose`.
pub(crate) fn echo(
    site: &Site,
    request: OpenRequest<'_>,
    transport: MessageTransport,
) -> Subscription {
    plain_service(site, request, Arc::new(Echo), transport)
}

/// Admits a peer to a service beside the hub, over a WebSocket without SockJS.
pub(crate) fn plain_offer(
    site: &Site,
    request: OpenRequest<'_>,
    offer: &Offer,
    transport: MessageTransport,
) -> Subscription {
    let subscription = plain_service(site, request, Arc::clone(&offer.service), transport);
    paced(subscription, offer)
}

/// Admits a peer to a service beside the hub, over SockJS.
pub(crate) fn offer(site: &Site, offer: &Offer, transport: MessageTransport) -> Subscription {
    paced(service(site, Arc::clone(&offer.service), transport), offer)
}

fn paced(mut subscription: Subscription, offer: &Offer) -> Subscription {
    if let Some(parts) = &mut subscription.duplex {
        parts.inflated_per_second_max = offer.inflated_per_second_max;
    }
    subscription
}

fn plain_service(
    site: &Site,
    request: OpenRequest<'_>,
    purpose: Arc<dyn Service>,
    transport: MessageTransport,
) -> Subscription {
    // Unlike the hub, a service keeps compression contexts if the peer asks: its answers are for one peer alone.
    let offered = request.headers.get_all(SEC_WEBSOCKET_EXTENSIONS);
    let agreement = transport.agreement.and_then(|_| {
        Agreement::choose(upgrade::texts(offered.iter()), Context::Kept, Context::Kept)
    });
    service(
        site,
        purpose,
        MessageTransport {
            agreement,
            ..transport
        },
    )
}

/// Returns the subscription of a service's peer. It has no matchers and publishes nothing.
fn service(site: &Site, service: Arc<dyn Service>, transport: MessageTransport) -> Subscription {
    let served = Served::new(service, transport.agreement);
    let admitted = Admitted::without_matchers(None);
    transport.subscription(site.config(), Box::new(served), admitted, None, None)
}
