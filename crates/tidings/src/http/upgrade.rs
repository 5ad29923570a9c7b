//! The door for WebSockets: over HTTP/1.1 by an upgrade (RFC 6455), over HTTP/2 by an extended
//! CONNECT (RFC 8441). It holds the handshake and the response. Access rules are in `admission`; for SockJS
//! in `sockjs`.

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
use tidings_core::topic::Topic;
use tidings_wire::websocket::deflate::{Agreement, Context};
use tidings_wire::websocket::handshake::{
    self, HandshakeError, RequestFields, check_version, response_head,
};

use super::admission::{self, MessageFraming, MessageTransport, OpenRequest};
use super::authorize::{check_page, credentials};
use super::legacy::hixie;
use super::problem::Problem;
use super::{Answer, Body, ConnectionInfo, Route, diagnosis, respond_empty, sockjs};
use crate::config::Config;
use crate::config::value::Subprotocol;
use crate::http::Site;
use tidings_hub::metrics::count;
use tidings_hub::refusal::Refusal;
use tidings_hub::session::pipe::Pipe;
use tidings_hub::session::socket::Socket;
use tidings_hub::session::{Ending, Opening};
use tidings_hub::shard::Subscription;

/// The start of the paths of rooms; the topic follows.
const ROOMS: &str = "/ws/";
/// The subprotocol of the hub's own frames, for clients that name it.
const HUB_PROTOCOL: &str = "tidings";
/// The name of the protocol in an extended CONNECT; RFC 8441, 5.
const WEBSOCKET: &str = "websocket";

/// A WebSocket that is about to be opened.
#[derive(Debug)]
pub(crate) struct Upgrade {
    subscription: Subscription,
    /// The `Sec-WebSocket-Accept` of HTTP/1.1. HTTP/2 needs none.
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
        && fields(request.headers()).asks_for_websocket()
}

/// Opens a WebSocket.
///
/// # Errors
///
/// The refusal.
pub(crate) async fn open(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    route: Route<'_>,
    mut request: Request<Incoming>,
) -> Result<Answer, Problem> {
    let tunnel = hyper::upgrade::on(&mut request);
    let (asked, _body) = request.into_parts();
    if let Some(keys) = hixie::keys(&asked) {
        let transport = MessageTransport::carried(site, MessageFraming::Bare);
        let admitted = admit(site, info, route, &asked, transport).await;
        let (subscription, _protocols) = refusal_counted(site, admitted)?;
        return Ok(hixie::open(
            site,
            info,
            &asked,
            keys,
            MessageFraming::Bare,
            subscription,
        ));
    }
    let result = prepare(site, info, route, &asked, tunnel).await;
    let upgrade = refusal_counted(site, result)?;
    Ok(Answer::Upgrade(Box::new(upgrade)))
}

/// Opens a WebSocket of SockJS.
///
/// # Errors
///
/// The refusal.
pub(crate) async fn open_sockjs(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    base: &sockjs::Base<'_>,
    framing: MessageFraming,
    asked: &Parts,
    tunnel: OnUpgrade,
) -> Result<Answer, Problem> {
    let result = async {
        let accept = shake(asked).map_err(|error| of_handshake(&error))?;
        let transport =
            MessageTransport::by_websocket(site.config(), framing, agree(site, &asked.headers));
        Ok(Upgrade {
            agreement: transport.agreement,
            subscription: base.subscription(site, info, asked, transport).await?,
            accept,
            protocol: None,
            tunnel,
        })
    };
    let result = result.await;
    let upgrade = refusal_counted(site, result)?;
    Ok(Answer::Upgrade(Box::new(upgrade)))
}

fn refusal_counted<T>(site: &Site, result: Result<T, Problem>) -> Result<T, Problem> {
    result.inspect_err(|problem| count(&site.metrics().subscribe_refused, problem.name()))
}

async fn prepare(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    route: Route<'_>,
    asked: &Parts,
    tunnel: OnUpgrade,
) -> Result<Upgrade, Problem> {
    let accept = shake(asked).map_err(|error| of_handshake(&error))?;
    let agreement = agree(site, &asked.headers);
    let transport = MessageTransport::by_websocket(site.config(), MessageFraming::Bare, agreement);
    let (subscription, protocols) = admit(site, info, route, asked, transport).await?;
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

/// Admits a peer by its route. Returns the subscription and the subprotocols that may be chosen.
async fn admit<'a>(
    site: &'a Rc<Site>,
    info: &ConnectionInfo,
    route: Route<'_>,
    asked: &Parts,
    transport: MessageTransport,
) -> Result<(Subscription, &'a [Subprotocol]), Problem> {
    let config = site.config();
    let request = OpenRequest {
        holder: &info.holder,
        headers: &asked.headers,
        query: asked.uri.query().unwrap_or_default(),
    };
    match (route, info.topic(config)) {
        (Route::Hub, _) => {
            let by = credentials(site, &asked.headers);
            let origins = &config.cors.origins;
            check_page(site, &asked.headers, by, origins, "cors.origins")?;
            Ok((admission::hub(site, request, transport).await?, &[]))
        }
        (Route::Offer(offer), _) => {
            Ok((admission::plain_offer(site, request, offer, transport), &[]))
        }
        (Route::Diagnosis(below), _) => {
            diagnosis::check_echo(below)?;
            let mut echo = admission::echo(site, request, transport);
            let end = tokio::time::Instant::now() + diagnosis::ECHO_LIFETIME;
            echo.deadline = Some((end, Ending::Lifetime));
            Ok((echo, &[]))
        }
        (Route::Room(written), _) => {
            let topic = admission::topic_of(config, written)?;
            let subscription = room_of(site, request, &topic, transport).await?;
            Ok((subscription, &config.rooms.subprotocols))
        }
        (_, Some(topic)) => {
            let subscription = room_of(site, request, topic, transport).await?;
            Ok((subscription, &config.rooms.subprotocols))
        }
        (_, None) => Err(Problem::not_found()),
    }
}

/// Checks the page's origin, and admits a peer to a room.
async fn room_of(
    site: &Rc<Site>,
    request: OpenRequest<'_>,
    topic: &Topic,
    transport: MessageTransport,
) -> Result<Subscription, Problem> {
    let origins = &site.config().rooms.origins;
    let by = admission::credentials_in_room(site, request.headers);
    check_page(site, request.headers, by, origins, "rooms.origins")?;
    admission::room(site, request, topic, transport).await
}

/// Returns the topic that a path below that of rooms names, as it is written, if there are rooms.
pub(crate) fn room<'a>(config: &Config, path: &'a str) -> Option<&'a str> {
    config.rooms.access?;
    path.strip_prefix(ROOMS)
}

/// Negotiates compression. Contexts are not kept between messages.
fn agree(site: &Site, headers: &HeaderMap) -> Option<Agreement> {
    let offered = headers.get_all(SEC_WEBSOCKET_EXTENSIONS);
    Agreement::choose(
        texts(offered.iter()),
        Context::Discarded,
        Context::Discarded,
    )
    .filter(|_| site.config().websocket.compression)
}

/// Checks the handshake. Returns the `Sec-WebSocket-Accept`, which HTTP/2 does not need.
fn shake(asked: &Parts) -> Result<Option<String>, HandshakeError> {
    let fields = fields(&asked.headers);
    if asked.version == Version::HTTP_2 {
        return check_version(&fields.version).map(|()| None);
    }
    fields.accept().map(Some)
}

pub(super) fn fields(headers: &HeaderMap) -> RequestFields<'_> {
    let all = |name: HeaderName| texts(headers.get_all(name).iter()).collect();
    RequestFields {
        upgrade: all(UPGRADE),
        connection: all(CONNECTION),
        key: all(SEC_WEBSOCKET_KEY),
        version: all(SEC_WEBSOCKET_VERSION),
    }
}

/// Returns field values as text. A value that is not ASCII counts as empty: no known value has such characters.
pub(super) fn texts<'a>(
    values: impl Iterator<Item = &'a HeaderValue>,
) -> impl Iterator<Item = &'a str> {
    values.map(|value| value.to_str().unwrap_or_default())
}

fn of_handshake(error: &HandshakeError) -> Problem {
    let detail = error.to_string();
    match error {
        HandshakeError::NoUpgrade | HandshakeError::Version => Problem::upgrade_required(detail),
        HandshakeError::NoConnectionUpgrade | HandshakeError::Key => {
            Refusal::invalid("handshake-invalid", "WebSocket handshake malformed", detail).into()
        }
    }
}

impl Upgrade {
    /// Returns the subscription and the head that opens it over HTTP/1.1.
    pub(crate) fn into_http1(mut self) -> (Subscription, Bytes) {
        self.take_agreement();
        let accept = self.accept.as_deref().unwrap_or_default();
        let head = response_head(accept, self.protocol.as_deref(), self.agreement.as_ref());
        (self.subscription, head.into())
    }

    /// Begins the session. Returns the response that opens it over HTTP/2, the tunnel that hyper makes from the
    /// stream, and the pipe that connects the session to it.
    pub(crate) fn into_http2(
        mut self,
        site: &Rc<Site>,
        info: &ConnectionInfo,
    ) -> (Response<Body>, OnUpgrade, Rc<Pipe>) {
        self.take_agreement();
        let pipe = Pipe::new();
        let opening = Opening::Head(Bytes::new());
        site.hold(
            Socket::Pipe(Rc::clone(&pipe)),
            self.subscription,
            opening,
            Arc::clone(&info.holder),
        );
        let mut response = respond_empty(StatusCode::OK);
        let headers = response.headers_mut();
        let agreed = self.agreement.map(|agreed| agreed.answer());
        let fields = [
            (SEC_WEBSOCKET_PROTOCOL, self.protocol),
            (SEC_WEBSOCKET_EXTENSIONS, agreed),
        ];
        for (name, value) in fields {
            // Our own tokens, which are valid field values.
            if let Some(Ok(value)) = value.map(|value| HeaderValue::from_str(&value)) {
                headers.insert(name, value);
            }
        }
        (response, self.tunnel, pipe)
    }

    /// Takes over the compression of the session, so that the response names it.
    fn take_agreement(&mut self) {
        if let Some(parts) = &self.subscription.duplex {
            self.agreement = parts.agreement;
        }
    }
}
