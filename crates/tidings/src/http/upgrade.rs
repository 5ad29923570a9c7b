//! The door for WebSockets: over HTTP/1.1 by an upgrade (RFC 6455), over HTTP/2 by an extended
//! CONNECT (RFC 8441). Who may, what for, and the answer that opens it.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use tidings_core::dialect::Dialect;
use tidings_core::limits::MATCHERS_PER_SUBSCRIBER_MAX;
use tidings_core::matcher::{Matcher, MatcherType};
use tidings_core::topic::Topic;
use tidings_wire::subscribe_query::{QueryError, SubscribeQuery};
use tidings_wire::websocket::deflate::{Agreement, Context};
use tidings_wire::websocket::frames::Limits;
use tidings_wire::websocket::handshake::{
    self, HandshakeError, RequestFields, check_version, response_head,
};

use super::authorize::{check_page, identify};
use super::problem::{self, Problem};
use super::subscribe;
use super::{Answer, Body, Route, Visit, respond_empty};
use crate::auth::{Identity, Role};
use crate::config::{Config, RoomAccess};
use crate::metrics::count;
use crate::session::duplex::{self, Conversation, Purpose};
use crate::session::pipe::{self, Pipe};
use crate::session::socket::Socket;
use crate::session::{Encoding, Ending, Opening, Start, Texts};
use crate::shard::{Shard, Subscription};
use crate::tasks;

/// What the paths of conversations begin with; the topic comes next.
pub(crate) const CONVERSATIONS: &str = "/ws/";
/// The sub-protocol of the hub's own frames, for those who want to name it.
const HUB_PROTOCOL: &str = "tidings";
/// The name of the protocol in an extended CONNECT; RFC 8441, 5.
const WEBSOCKET: &str = "websocket";
/// Bytes that the fragments of the longest text have at least, on average: shorter ones only serve to
/// keep a hub busy.
const FRAGMENT_BYTES_MIN: usize = 64;
/// Fragments that every text may have.
const FRAGMENTS: u32 = 1024;

/// A WebSocket that is about to be opened.
#[derive(Debug)]
pub(crate) struct Upgrade {
    subscription: Subscription,
    /// The proof of HTTP/1.1; HTTP/2 needs none.
    accept: Option<String>,
    protocol: Option<String>,
    agreement: Option<Agreement>,
    tunnel: OnUpgrade,
}

/// Returns whether a request is for a WebSocket.
pub(crate) fn asks<B>(request: &Request<B>) -> bool {
    if request.version() == Version::HTTP_2 {
        let protocol = request.extensions().get::<Protocol>();
        return request.method() == Method::CONNECT
            && protocol.is_some_and(|protocol| protocol.as_str() == WEBSOCKET);
    }
    request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && fields(request.headers()).asks()
}

/// Opens a WebSocket.
///
/// # Errors
///
/// The refusal.
pub(crate) async fn open(
    shard: &Rc<Shard>,
    visit: Visit,
    route: Route,
    mut request: Request<Incoming>,
) -> Result<Answer, Problem> {
    let tunnel = hyper::upgrade::on(&mut request);
    let (asked, _body) = request.into_parts();
    let result = prepare(shard, visit, route, &asked, tunnel).await;
    match result {
        Ok(upgrade) => Ok(Answer::Upgrade(Box::new(upgrade))),
        Err(problem) => {
            count(&shard.metrics().subscribe_refused, problem.name());
            Err(problem)
        }
    }
}

async fn prepare(
    shard: &Rc<Shard>,
    visit: Visit,
    route: Route,
    asked: &Parts,
    tunnel: OnUpgrade,
) -> Result<Upgrade, Problem> {
    let accept = shake(asked).map_err(|error| of_handshake(&error))?;
    let config = shard.config();
    let offered = asked.headers.get_all(SEC_WEBSOCKET_EXTENSIONS);
    let agreement = Agreement::choose(
        texts(offered.iter()),
        Context::Forgotten,
        Context::Forgotten,
    )
    .filter(|_| config.websocket.compression);
    let (subscription, protocols): (Subscription, &[String]) = match (route, visit.topic(config)) {
        (Route::Hub, _) => (hub(shard, asked, agreement).await?, &[]),
        (Route::Echo, _) => (echo(shard, asked, agreement), &[]),
        (Route::Conversation, _) => {
            let topic = topic_of(config, asked.uri.path())?;
            (
                conversation(shard, asked, &topic, agreement).await?,
                &config.rooms.subprotocols,
            )
        }
        (_, Some(topic)) => (
            conversation(shard, asked, topic, agreement).await?,
            &config.rooms.subprotocols,
        ),
        (_, None) => return Err(Problem::not_found()),
    };
    let offered = asked.headers.get_all(SEC_WEBSOCKET_PROTOCOL);
    let protocol = if route == Route::Hub {
        handshake::choose_protocol(texts(offered.iter()), &[HUB_PROTOCOL])
    } else {
        handshake::choose_protocol(texts(offered.iter()), protocols)
    };
    Ok(Upgrade {
        protocol: protocol.map(str::to_owned),
        subscription,
        accept,
        agreement,
        tunnel,
    })
}

/// Checks what the protocol asks of a request; returns the proof, which HTTP/2 does not need.
fn shake(asked: &Parts) -> Result<Option<String>, HandshakeError> {
    let fields = fields(&asked.headers);
    if asked.version == Version::HTTP_2 {
        return check_version(&fields.version).map(|()| None);
    }
    fields.accept().map(Some)
}

fn fields(headers: &HeaderMap) -> RequestFields<'_> {
    let all = |name: HeaderName| texts(headers.get_all(name).iter()).collect();
    RequestFields {
        upgrade: all(UPGRADE),
        connection: all(CONNECTION),
        key: all(SEC_WEBSOCKET_KEY),
        version: all(SEC_WEBSOCKET_VERSION),
    }
}

/// Returns field values as text; one that is not ASCII says nothing that is known here.
fn texts<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> impl Iterator<Item = &'a str> {
    values.map(|value| value.to_str().unwrap_or_default())
}

fn of_handshake(error: &HandshakeError) -> Problem {
    let detail = error.to_string();
    match error {
        HandshakeError::NoUpgrade | HandshakeError::Version => Problem::upgrade_required(detail),
        HandshakeError::NoConnectionUpgrade | HandshakeError::Key => {
            Problem::bad_request("handshake", "WebSocket handshake malformed", detail)
        }
    }
}

/// The hub itself: by the parameters of its URL, or by frames later.
async fn hub(
    shard: &Rc<Shard>,
    asked: &Parts,
    agreement: Option<Agreement>,
) -> Result<Subscription, Problem> {
    let config = shard.config();
    check_page(shard, &asked.headers, &config.cors.origins, "cors.origins")?;
    let (subscriber, publisher) = identities(shard, &asked.headers).await?;
    let query = asked.uri.query().unwrap_or_default().as_bytes();
    let query = match SubscribeQuery::decode(query, None, MATCHERS_PER_SUBSCRIBER_MAX) {
        Ok(query) => Some(query),
        // What it wants comes in frames.
        Err(QueryError::NoMatcher) => None,
        Err(error) => return Err(problem::of_query(&error)),
    };
    let lifetime = subscribe::lifetime(shard);
    let mut deadline =
        subscribe::deadline(lifetime, subscriber.as_deref().or(publisher.as_deref()));
    if subscriber.is_none() && !config.subscribe.anonymous {
        if query.is_some() {
            return Err(Problem::token_missing(
                "this hub does not take anonymous subscribers (subscribe.anonymous): present a \
                 token by header or cookie, or connect without matchers and send it in a frame",
            ));
        }
        if publisher.is_none() {
            let patience = tokio::time::Instant::now() + config.limits.head;
            deadline = Some((patience, Ending::Anonymous));
        }
    }
    let (matchers, start) = match &query {
        None => (Box::default(), Start::Now),
        Some(query) => {
            let matchers = subscribe::matchers(shard, query).await?;
            let cursor = subscribe::cursor(&asked.headers, query.last_event_id.as_deref());
            let watches =
                cursor.is_some() && subscribe::watches(shard, &matchers, subscriber.as_deref());
            (matchers, subscribe::start(shard, cursor, watches).await?.0)
        }
    };
    let parts = parts(config, Purpose::Hub, publisher, lifetime, agreement);
    Ok(Subscription {
        dialect: Dialect::V1,
        noted: None,
        matchers,
        identity: subscriber,
        start,
        encoding: Encoding::WebSocket(Texts::Json, agreement.map(|agreed| agreed.window)),
        deadline,
        duplex: Some(Box::new(parts)),
    })
}

/// Who subscribes and who publishes; one token may do for both, and its issuer for one only.
type Identities = (Option<Arc<Identity>>, Option<Arc<Identity>>);

async fn identities(shard: &Shard, headers: &HeaderMap) -> Result<Identities, Problem> {
    match (
        identify(shard, headers, Role::Subscribe).await,
        identify(shard, headers, Role::Publish).await,
    ) {
        (Ok(subscriber), publisher) => Ok((subscriber, publisher.ok().flatten())),
        (Err(_), Ok(publisher)) if publisher.is_some() => Ok((None, publisher)),
        (Err(problem), _) => Err(problem),
    }
}

/// The topic in the path of a conversation, if the configuration has it open.
fn topic_of(config: &Config, path: &str) -> Result<Topic, Problem> {
    let written = path.strip_prefix(CONVERSATIONS).unwrap_or_default();
    let text = percent_encoding::percent_decode_str(written).decode_utf8();
    let refuse = |detail: String| Problem::bad_request("topic", "Topic not allowed", detail);
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

/// Everybody with the same topic in one conversation.
async fn conversation(
    shard: &Rc<Shard>,
    asked: &Parts,
    topic: &Topic,
    agreement: Option<Agreement>,
) -> Result<Subscription, Problem> {
    let config = shard.config();
    check_page(
        shard,
        &asked.headers,
        &config.rooms.origins,
        "rooms.origins",
    )?;
    let (subscriber, publisher) = match config.rooms.access {
        Some(RoomAccess::Token) => identities(shard, &asked.headers).await?,
        Some(RoomAccess::Anonymous) | None => (None, None),
    };
    let open = config.rooms.access == Some(RoomAccess::Anonymous);
    if !open && subscriber.is_none() && (config.rooms.private || !config.subscribe.anonymous) {
        return Err(Problem::token_missing(
            "taking part here needs an access token",
        ));
    }
    let matcher = Matcher::parse(MatcherType::Exact, topic.as_str(), shard.hub())
        .map_err(|error| problem::of_matcher("exact", &error))?;
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|_no_random| {
        let detail = "the system gives no random bytes".to_owned();
        Problem::unavailable("no-random", "The hub cannot identify a peer", detail)
    })?;
    let purpose = Purpose::Conversation(Conversation {
        topic: topic.clone(),
        private: config.rooms.private,
        open,
        signature: duplex::signature(u64::from_ne_bytes(random)),
    });
    let lifetime = subscribe::lifetime(shard);
    Ok(Subscription {
        dialect: Dialect::V1,
        noted: None,
        matchers: Box::new([matcher]),
        deadline: subscribe::deadline(lifetime, subscriber.as_deref()),
        identity: subscriber,
        start: Start::Now,
        encoding: Encoding::WebSocket(Texts::Bare, agreement.map(|agreed| agreed.window)),
        duplex: Some(Box::new(parts(
            config, purpose, publisher, lifetime, agreement,
        ))),
    })
}

/// Sends back what comes: the service that the conformance suite tests the codec by.
fn echo(shard: &Shard, asked: &Parts, agreement: Option<Agreement>) -> Subscription {
    // Unlike the others it keeps contexts where the peer wants them, so that these are tested too.
    let offered = asked.headers.get_all(SEC_WEBSOCKET_EXTENSIONS);
    let agreement = agreement
        .and_then(|_| Agreement::choose(texts(offered.iter()), Context::Kept, Context::Kept));
    let config = shard.config();
    Subscription {
        dialect: Dialect::V1,
        noted: None,
        matchers: Box::default(),
        identity: None,
        start: Start::Now,
        encoding: Encoding::WebSocket(Texts::Bare, None),
        deadline: None,
        duplex: Some(Box::new(parts(
            config,
            Purpose::Echo,
            None,
            None,
            agreement,
        ))),
    }
}

fn parts(
    config: &Config,
    purpose: Purpose,
    publisher: Option<Arc<Identity>>,
    lifetime: Option<tokio::time::Instant>,
    agreement: Option<Agreement>,
) -> duplex::Parts {
    let bytes_max = config.websocket.bytes_max;
    let fragments = u32::try_from(bytes_max / FRAGMENT_BYTES_MIN).unwrap_or(u32::MAX);
    let limits = Limits {
        bytes_max,
        fragments_max: fragments.max(FRAGMENTS),
    };
    duplex::Parts {
        purpose,
        limits,
        frames_per_second_max: config.websocket.frames_per_second_max,
        agreement,
        publisher,
        lifetime,
        unread: Bytes::new(),
    }
}

impl Upgrade {
    /// Returns the subscription and the head that opens it over HTTP/1.1.
    pub(crate) fn into_http1(mut self) -> (Subscription, Bytes) {
        self.settle();
        let accept = self.accept.as_deref().unwrap_or_default();
        let head = response_head(accept, self.protocol.as_deref(), self.agreement.as_ref());
        (self.subscription, head.into())
    }

    /// Begins the session and returns the response that opens it over HTTP/2.
    pub(crate) fn into_http2(mut self, shard: &Rc<Shard>) -> Response<Body> {
        self.settle();
        let pipe = Pipe::new();
        tasks::spawn(pipe::pump(self.tunnel, Rc::clone(&pipe)));
        let opening = Opening::Head(Bytes::new());
        shard.hold(Socket::Pipe(pipe), self.subscription, opening, None);
        let mut response = respond_empty(StatusCode::OK);
        let headers = response.headers_mut();
        let agreed = self.agreement.map(|agreed| agreed.answer());
        let fields = [
            (SEC_WEBSOCKET_PROTOCOL, self.protocol),
            (SEC_WEBSOCKET_EXTENSIONS, agreed),
        ];
        for (name, value) in fields {
            // Tokens of ours, which are values of fields.
            if let Some(Ok(value)) = value.map(|value| HeaderValue::from_str(&value)) {
                headers.insert(name, value);
            }
        }
        response
    }

    /// Makes the answer say what its session does.
    fn settle(&mut self) {
        if let Some(parts) = &self.subscription.duplex {
            self.agreement = parts.agreement;
        }
    }
}
