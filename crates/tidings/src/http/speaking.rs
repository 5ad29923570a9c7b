//! What a peer that may speak is let in to: the hub itself, a conversation, or a service for tests.
//! However it travels, by a WebSocket or by SockJS, its session is the same.

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
use tidings_hub::session::duplex::{self, Beat};
use tidings_hub::session::protocol::Protocol;
use tidings_hub::session::protocol::conversation::Conversation;
use tidings_hub::session::protocol::hub_frames::HubFrames;
use tidings_hub::session::protocol::served::Served;
use tidings_hub::session::service::{Echo, Offer, Service};
use tidings_hub::shard::Subscription;
use tidings_hub::subscribing::{self, Admitted};

/// What a peer without a token is told where it needs one.
const NO_ANONYMOUS: &str = "this hub does not take anonymous subscribers (subscribe.anonymous): present a \
     token by header or cookie, or connect without matchers and send it in a frame";
/// Bytes that the fragments of the longest text have at least, on average: shorter ones only serve to
/// keep a hub busy.
const FRAGMENT_BYTES_MIN: usize = 64;
/// Fragments that every text may have.
const FRAGMENTS: u32 = 1024;

/// What a peer presents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speaker<'a> {
    /// Whose memory it is that what it asks for takes.
    pub(crate) holder: &'a Arc<Holder>,
    pub(crate) headers: &'a HeaderMap,
    /// The query of its URL.
    pub(crate) query: &'a str,
}

/// Whether texts travel in frames of SockJS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cover {
    Bare,
    SockJs,
}

/// How a peer's texts travel.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) agreement: Option<Agreement>,
    cover: Cover,
    beat: Beat,
    beats_every: Option<Duration>,
}

impl Way {
    /// By a WebSocket of its own.
    pub(crate) fn by_websocket(
        config: &Config,
        cover: Cover,
        agreement: Option<Agreement>,
    ) -> Self {
        let (beat, every) = match cover {
            Cover::Bare => (Beat::Pings, config.websocket.ping),
            Cover::SockJs => (Beat::Framed, config.sockjs.heartbeat),
        };
        Self {
            agreement,
            cover,
            beat,
            beats_every: (!every.is_zero()).then_some(every),
        }
    }

    /// Without a connection of its own. Only frames of SockJS have heartbeats.
    pub(crate) fn carried(site: &Site, cover: Cover) -> Self {
        let every = site.config().sockjs.heartbeat;
        Self {
            agreement: None,
            cover,
            beat: Beat::Carried,
            beats_every: (cover == Cover::SockJs && !every.is_zero()).then_some(every),
        }
    }

    /// Returns the subscription of a peer that speaks `protocol`. `publisher` is who publishes, if the peer
    /// may; its connection ends at `lifetime` whatever token it has.
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
            in_sockjs: self.cover == Cover::SockJs,
        };
        let window = self.agreement.map(|agreed| agreed.window);
        let known = admitted.identity.as_deref().or(publisher.as_deref());
        let deadline = subscribing::deadline(lifetime, known);
        let bytes_max = config.websocket.bytes_max;
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
            beat: self.beat,
            beats_every: self.beats_every,
            agreement: self.agreement,
            publisher,
            lifetime,
            unread: Bytes::new(),
        };
        Subscription {
            admitted,
            dialect: Dialect::V1,
            noted: None,
            encoding: Encoding::WebSocket(texts, window),
            deadline,
            duplex: Some(Box::new(parts)),
        }
    }
}

/// The hub itself: by the parameters of its URL, or by frames later. Which pages may was checked.
///
/// # Errors
///
/// The refusal.
pub(crate) async fn hub(
    site: &Rc<Site>,
    speaker: Speaker<'_>,
    way: Way,
) -> Result<Subscription, Problem> {
    let config = site.config();
    let (subscriber, publisher) = identities(site, speaker.headers).await?;
    let query = speaker.query.as_bytes();
    let query = match SubscribeQuery::decode(query, None, MATCHERS_PER_SUBSCRIBER_MAX) {
        Ok(query) => Some(query),
        // What it wants comes in frames.
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
            let cursor = subscribe::cursor(speaker.headers, query.last_event_id.as_deref());
            subscribing::admit(site, speaker.holder, subscriber, matchers, cursor).await?
        }
    };
    let protocol = Box::new(HubFrames);
    let mut subscription = way.subscription(config, protocol, admitted, publisher, lifetime);
    if must_authenticate {
        subscription.deadline = Some(subscribing::patience(site));
    }
    Ok(subscription)
}

/// Who subscribes and who publishes; one token may do for both, and its issuer for one only.
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

/// The topic that a path names, as it is `written` there, if the configuration has it open.
///
/// # Errors
///
/// 404, or 400 for what is no topic.
pub(crate) fn topic_of(config: &Config, written: &str) -> Result<Topic, Problem> {
    let text = percent_encoding::percent_decode_str(written).decode_utf8();
    let refuse = |detail: String| Refusal::invalid("topic", "Topic not allowed", detail).into();
    let text = text.map_err(|_not_utf8| refuse("the topic in the path is not UTF-8".to_owned()))?;
    let topic = Topic::parse(&text).map_err(|error| refuse(error.to_string()))?;
    if config.hub.reserves(&topic) {
        return Err(refuse(format!("\"{topic}\" is reserved for the hub")));
    }
    let open = config
        .rooms
        .topics
        .iter()
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => topic.as_str().starts_with(beginning),
            None => topic.as_str() == pattern,
        });
    if open {
        Ok(topic)
    } else {
        Err(Problem::not_found())
    }
}

/// Returns how a peer of a conversation presents its token, where tokens count: a cookie that a browser
/// has for another part of the site says nothing where anybody may speak.
pub(crate) fn credentials_in_conversation(site: &Site, headers: &HeaderMap) -> Credentials {
    match site.config().rooms.access {
        Some(RoomAccess::Token) => credentials(site, headers),
        Some(RoomAccess::Anonymous) | None => Credentials::Other,
    }
}

/// Everybody with the same topic in one conversation. Which pages may was checked.
///
/// # Errors
///
/// The refusal.
pub(crate) async fn conversation(
    site: &Rc<Site>,
    speaker: Speaker<'_>,
    topic: &Topic,
    way: Way,
) -> Result<Subscription, Problem> {
    let config = site.config();
    let (subscriber, publisher) = match config.rooms.access {
        Some(RoomAccess::Token) => identities(site, speaker.headers).await?,
        Some(RoomAccess::Anonymous) | None => (None, None),
    };
    let open = config.rooms.access == Some(RoomAccess::Anonymous);
    if !open && subscriber.is_none() && (config.rooms.private || !config.subscribe.anonymous) {
        return Err(Refusal::token_missing("taking part here needs an access token").into());
    }
    let matchers = subscribing::exactly(site, topic.as_str())?;
    let admitted = subscribing::admit(site, speaker.holder, subscriber, matchers, None).await?;
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|_no_random| {
        let detail = "the system gives no random bytes".to_owned();
        Refusal::unavailable("no-random", "The hub cannot identify a peer", detail)
    })?;
    let random = u64::from_ne_bytes(random);
    let conversation = Conversation::new(topic.clone(), config.rooms.private, open, random);
    let (protocol, lifetime) = (Box::new(conversation), subscribing::lifetime(site));
    Ok(way.subscription(config, protocol, admitted, publisher, lifetime))
}

/// Sends back what comes over a WebSocket, for the page `/diagnose`.
pub(crate) fn echo(site: &Site, speaker: Speaker<'_>, way: Way) -> Subscription {
    plain_service(site, speaker, Arc::new(Echo), way)
}

/// What a program offers beside the hub, by a WebSocket without SockJS.
pub(crate) fn plain_offer(
    site: &Site,
    speaker: Speaker<'_>,
    offer: &Offer,
    way: Way,
) -> Subscription {
    let subscription = plain_service(site, speaker, Arc::clone(&offer.service), way);
    paced(subscription, offer)
}

/// What a program offers beside the hub, by SockJS.
pub(crate) fn offer(site: &Site, offer: &Offer, way: Way) -> Subscription {
    paced(service(site, Arc::clone(&offer.service), way), offer)
}

fn paced(mut subscription: Subscription, offer: &Offer) -> Subscription {
    if let Some(parts) = &mut subscription.duplex {
        parts.inflated_per_second_max = offer.inflated_per_second_max;
    }
    subscription
}

fn plain_service(
    site: &Site,
    speaker: Speaker<'_>,
    purpose: Arc<dyn Service>,
    way: Way,
) -> Subscription {
    // Unlike the hub it keeps contexts where the peer wants them: its answers are for one peer alone.
    let offered = speaker.headers.get_all(SEC_WEBSOCKET_EXTENSIONS);
    let agreement = way.agreement.and_then(|_| {
        Agreement::choose(upgrade::texts(offered.iter()), Context::Kept, Context::Kept)
    });
    service(site, purpose, Way { agreement, ..way })
}

/// A service, which publishes nothing and reads nothing.
fn service(site: &Site, service: Arc<dyn Service>, way: Way) -> Subscription {
    let served = Served::new(service, way.agreement);
    let admitted = Admitted::without_matchers(None);
    way.subscription(site.config(), Box::new(served), admitted, None, None)
}
