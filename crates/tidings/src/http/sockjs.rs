//! The door for SockJS 0.3.3: its URLs, and the requests that carry sessions. The sessions themselves are in
//! `tidings-hub` (`shard/sockjs`), and are like those of every WebSocket.

mod answers;

use std::rc::Rc;
use std::sync::Arc;

use http::header::{HeaderValue, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Either;
use hyper::body::Incoming;
use tidings_core::topic::Topic;
use tidings_wire::form;
use tidings_wire::origin::OriginList;
use tidings_wire::sockjs::{Framing, InboundError, Place, Text, Transport, inbound, pages};

pub(crate) use self::answers::CarriedBody;
use super::admission::{self, MessageFraming, MessageTransport, OpenRequest};
use super::authorize::{Credentials, check_page_of, credentials, is_named};
use super::io_state::IoState;
use super::legacy::hixie;
use super::page::asking;
use super::problem::Problem;
use super::{Answer, Body, ConnectionInfo, request_body, respond, upgrade};
use crate::config::{Config, SockJsOptions};
use crate::http::Site;
use tidings_hub::account::Crowded;
use tidings_hub::metrics::count;
use tidings_hub::refusal::Refusal;
use tidings_hub::session::service::Offer;
use tidings_hub::session::websocket::SOCKJS_TEXTS_MAX;
use tidings_hub::shard::Subscription;
use tidings_hub::shard::sockjs::{NewSession, ReceiveReply, SendError};

/// The SockJS base of the hub.
const HUB: &str = "/sockjs";
/// The start of the paths of its rooms; the topic follows.
const ROOMS: &str = "/sockjs/room/";
/// Maximum length of a base and a session id together, in bytes.
const KEY_BYTES_MAX: usize = 2048;

/// The resource at a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service<'a> {
    Hub,
    /// The topic as it is written in the path.
    Room(&'a str),
    /// A service beside the hub.
    Offer(&'a Offer),
}

/// A SockJS base, and the rest of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Base<'a> {
    service: Service<'a>,
    path: &'a str,
    rest: &'a str,
    /// The topic of a room, once it was parsed.
    topic: Option<&'a Topic>,
}

impl<'a> Base<'a> {
    /// Finds the SockJS base of a path.
    pub(crate) fn find(config: &'a Config, path: &'a str) -> Option<Self> {
        let offered = config.services.iter().find_map(|offer| {
            let begins = path.starts_with(offer.path);
            Self::below(path, offer.path.len(), Service::Offer(offer), begins)
        });
        if offered.is_some() {
            return offered;
        }
        if !config.sockjs.enabled {
            return None;
        }
        if let Some(topic) = path.strip_prefix(ROOMS) {
            let topic = topic.split('/').next().unwrap_or_default();
            let len = ROOMS.len() + topic.len();
            let open = config.rooms.access.is_some() && !topic.is_empty();
            return Self::below(path, len, Service::Room(topic), open);
        }
        Self::below(path, HUB.len(), Service::Hub, path.starts_with(HUB))
    }

    fn below(path: &'a str, len: usize, service: Service<'a>, begins: bool) -> Option<Self> {
        let (base, rest) = path.split_at_checked(len).filter(|_| begins)?;
        let whole = rest.is_empty() || rest.starts_with('/');
        whole.then_some(Self {
            service,
            path: base,
            rest,
            topic: None,
        })
    }

    /// Returns the origins whose pages may use it, beside the hub's own, and the setting that lists them. Every page
    /// may use a service.
    fn origins<'c>(&self, config: &'c Config) -> Option<(&'c OriginList, &'static str)> {
        match self.service {
            Service::Hub => Some((&config.cors.origins, "cors.origins")),
            Service::Room(_) => Some((&config.rooms.origins, "rooms.origins")),
            Service::Offer(_) => None,
        }
    }

    /// Returns the service at this base, if it is one.
    fn offer(&self) -> Option<&'a Offer> {
        match self.service {
            Service::Offer(offer) => Some(offer),
            Service::Hub | Service::Room(_) => None,
        }
    }

    fn has_websocket(&self, options: &SockJsOptions) -> bool {
        options.websocket && self.offer().is_none_or(|offer| offer.websocket)
    }

    fn has_cookie(&self, options: &SockJsOptions) -> bool {
        options.cookie || self.offer().is_some_and(|offer| offer.cookie)
    }

    /// Checks a request to open a session, and returns its subscription.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub(crate) async fn subscription(
        &self,
        site: &Rc<Site>,
        info: &ConnectionInfo,
        asked: &Parts,
        transport: MessageTransport,
    ) -> Result<Subscription, Problem> {
        let request = OpenRequest {
            holder: &info.holder,
            headers: &asked.headers,
            query: asked.uri.query().unwrap_or_default(),
        };
        match self.service {
            Service::Hub => admission::hub(site, request, transport).await,
            Service::Room(_) => {
                let topic = self.topic.ok_or_else(Problem::not_found)?;
                admission::room(site, request, topic, transport).await
            }
            Service::Offer(offer) => Ok(admission::offer(site, offer, transport)),
        }
    }

    /// Returns whether the requesting page may send a visitor's cookies.
    fn may_use_credentials(&self, config: &Config, headers: &HeaderMap) -> bool {
        let Some((list, _key)) = self.origins(config) else {
            return true;
        };
        let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
        origin.is_some_and(|origin| is_named(config, origin, list))
    }

    /// Refuses pages whose origins are not allowed.
    fn check_page(
        &self,
        site: &Site,
        place: Place<'_>,
        headers: &HeaderMap,
    ) -> Result<(), Problem> {
        let config = site.config();
        let Some((list, key)) = self.origins(config) else {
            return Ok(());
        };
        let credentials = match place {
            Place::Greeting | Place::Iframe => return Ok(()),
            // This request uses no cookie, but a page learns early that it is not allowed.
            Place::Info => Credentials::Other,
            Place::RawWebSocket | Place::Session { .. } => match self.service {
                Service::Room(_) => admission::credentials_in_room(site, headers),
                Service::Hub | Service::Offer(_) => credentials(site, headers),
            },
        };
        let page = asking(headers, &config.hub.origin());
        check_page_of(site, page.as_deref(), credentials, list, key)
    }
}

/// Answers a request below a base.
///
/// # Errors
///
/// The refusal.
pub(crate) async fn answer(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    io_state: &Rc<IoState>,
    base: Base<'_>,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    let place = Place::parse(base.rest).ok_or_else(Problem::not_found)?;
    let topic = match base.service {
        Service::Room(written) => Some(admission::topic_of(site.config(), written)?),
        Service::Hub | Service::Offer(_) => None,
    };
    let topic = topic.as_ref();
    let base = Base { topic, ..base };
    let headers = request.headers().clone();
    base.check_page(site, place, &headers)
        .inspect_err(|problem| {
            count(&site.metrics().sockjs.refused, problem.name());
        })?;
    let mut result = reply(site, info, io_state, base, place, request).await;
    if let Err(problem) = result {
        let allowed = problem.allowed();
        result = Ok(Answer::Response(match allowed {
            // Without a body: old browsers show it, and the protocol's tests check it.
            Some(methods) => answers::method_not_allowed(methods),
            None => {
                count(&site.metrics().sockjs.refused, problem.name());
                problem.into_response()
            }
        }));
    }
    if let Ok(Answer::Response(response)) = &mut result {
        let credentials = base.may_use_credentials(site.config(), &headers);
        answers::allow(&headers, credentials, response.headers_mut());
        if matches!(place, Place::Session { .. }) && base.has_cookie(&site.config().sockjs) {
            answers::set_cookie(&headers, response.headers_mut());
        }
    }
    result
}

async fn reply(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    io_state: &Rc<IoState>,
    base: Base<'_>,
    place: Place<'_>,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    let options = &site.config().sockjs;
    let (id, transport) = match place {
        Place::Greeting | Place::Info | Place::Iframe => {
            return page(site, base, place, &request).map(Answer::Response);
        }
        Place::RawWebSocket => {
            return websocket(site, info, base, MessageFraming::Bare, request).await;
        }
        Place::Session {
            transport: Transport::WebSocket,
            ..
        } => return websocket(site, info, base, MessageFraming::SockJs, request).await,
        Place::Session { id, transport } => (id, transport),
    };
    let methods = transport.methods();
    if request.method() == Method::OPTIONS && methods.contains("OPTIONS") {
        return Ok(Answer::Response(answers::preflight(
            methods,
            request.headers(),
        )));
    }
    let known = methods
        .split(", ")
        .any(|known| known == request.method().as_str());
    if !known {
        return Err(Problem::method_not_allowed(methods));
    }
    let key = format!("{}/{id}", base.path);
    if key.len() > KEY_BYTES_MAX {
        let detail = format!("the path up to the session is longer than {KEY_BYTES_MAX} bytes");
        let title = "Session id too long";
        return Err(Refusal::invalid("session-id-invalid", title, detail).into());
    }
    if !transport.receives() {
        let response = send(site, info, options, &key, transport, request).await?;
        return Ok(Answer::Response(response));
    }
    let (asked, body) = request.into_parts();
    // Some browsers send an empty form.
    request_body::discard(site, &asked.headers, body, options.body_bytes_max).await;
    let query = asked.uri.query().unwrap_or_default();
    let callback = form::pairs(query.as_bytes())
        .find(|pair| *pair.name_bytes() == *b"c")
        .and_then(|pair| pair.value().ok().map(|value| value.into_owned()));
    let framing = match Framing::new(transport, callback.as_deref()) {
        Ok(framing) => framing,
        Err(error) => return Ok(Answer::Response(answers::failure(error.to_string()))),
    };
    let receiving = Receiving {
        key: &key,
        framing,
        bytes_max: base
            .offer()
            .map_or(options.response_bytes_max, |offer| offer.response_bytes_max),
        info,
    };
    let response = receiving.receive(site, io_state, base, &asked).await?;
    Ok(Answer::Response(response))
}

/// The pages that belong to no session.
fn page(
    site: &Site,
    base: Base<'_>,
    place: Place<'_>,
    request: &Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let options = &site.config().sockjs;
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    match place {
        Place::Info if request.method() == Method::OPTIONS => {
            Ok(answers::preflight("OPTIONS, GET", request.headers()))
        }
        Place::Info if !reading => Err(Problem::method_not_allowed("OPTIONS, GET")),
        _ if !reading => Err(Problem::method_not_allowed("GET")),
        Place::Info => {
            let (websocket, cookie) = (base.has_websocket(options), base.has_cookie(options));
            let info = pages::info(websocket, cookie, fastrand::u32(..));
            let media_type = "application/json; charset=UTF-8";
            Ok(answers::not_cached(respond(
                StatusCode::OK,
                media_type,
                info,
            )))
        }
        Place::Iframe => {
            let Some(url) = &options.library_url else {
                return Err(Problem::not_found());
            };
            let framers = base.origins(site.config()).map(|(list, _)| list);
            Ok(answers::iframe(url.as_str(), framers, request.headers()))
        }
        Place::Greeting | Place::RawWebSocket | Place::Session { .. } => {
            Ok(respond(StatusCode::OK, pages::PLAIN, pages::GREETING))
        }
    }
}

/// A WebSocket, with or without SockJS frames.
async fn websocket(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    base: Base<'_>,
    framing: MessageFraming,
    mut request: Request<Incoming>,
) -> Result<Answer, Problem> {
    if !base.has_websocket(&site.config().sockjs) {
        return Err(Problem::not_found());
    }
    if !matches!(*request.method(), Method::GET | Method::CONNECT) {
        return Err(Problem::method_not_allowed("GET"));
    }
    if !upgrade::asks(&request) {
        return Ok(Answer::Response(answers::not_an_upgrade()));
    }
    let tunnel = hyper::upgrade::on(&mut request);
    let (asked, _body) = request.into_parts();
    if let Some(keys) = hixie::keys(&asked) {
        let transport = MessageTransport::carried(site, framing);
        let subscription = base.subscription(site, info, &asked, transport).await?;
        return Ok(hixie::open(site, info, &asked, keys, framing, subscription));
    }
    upgrade::open_sockjs(site, info, &base, framing, &asked, tunnel).await
}

/// Handles a request that sends texts into a session.
async fn send(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    options: &SockJsOptions,
    key: &str,
    transport: Transport,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let (asked, body) = request.into_parts();
    let (body, _charge) = request_body::read(site, info, body, options.body_bytes_max).await?;
    let texts = if transport == Transport::JsonpSend {
        let is_form = request_body::media_type(&asked.headers)
            .is_some_and(|found| found.eq_ignore_ascii_case(request_body::FORM));
        inbound::decode_jsonp(&body, is_form, SOCKJS_TEXTS_MAX)
    } else {
        inbound::decode(&body, SOCKJS_TEXTS_MAX)
    };
    let texts: Vec<Text> = match texts {
        Ok(texts) => texts,
        Err(error @ (InboundError::Empty | InboundError::Broken)) => {
            return Ok(answers::failure(error.to_string()));
        }
        Err(error @ InboundError::TooMany { .. }) => {
            let title = "Too many texts in one request";
            return Err(Refusal::too_large("too-many-messages", title, error.to_string()).into());
        }
    };
    match site.send_sockjs(key, texts).await {
        Ok(()) => Ok(answers::taken(transport)),
        Err(SendError::Unknown) => Err(Problem::not_found()),
        Err(SendError::Clogged) => Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "session-queue-full",
            "Too much said at once",
            "what this session said before has not been dealt with: wait for the answer to a request \
             before you send the next",
        )),
        Err(SendError::Full(refusal)) => Err(Problem::from(refusal)),
        Err(SendError::Busy) => Err(busy()),
    }
}

fn busy() -> Problem {
    let detail = "the shard of this session is overloaded; try again".to_owned();
    Refusal::unavailable("busy", "The hub is busy", detail).into()
}

/// Handles a request that receives a session's frames.
struct Receiving<'a> {
    key: &'a str,
    framing: Framing,
    bytes_max: usize,
    info: &'a ConnectionInfo,
}

impl Receiving<'_> {
    async fn receive(
        self,
        site: &Rc<Site>,
        io_state: &Rc<IoState>,
        base: Base<'_>,
        asked: &Parts,
    ) -> Result<Response<Body>, Problem> {
        let watch = io_state.watch();
        let ask = |new_session| {
            site.receive_sockjs(self.key, self.framing.clone(), self.bytes_max, new_session)
        };
        let (mut reply, mut pieces) = ask(None).await;
        if reply == ReceiveReply::Unknown {
            let transport = MessageTransport::carried(site, MessageFraming::SockJs);
            let subscription = base.subscription(site, self.info, asked, transport).await?;
            let peer = Arc::clone(&self.info.holder);
            (reply, pieces) = ask(Some(NewSession { subscription, peer })).await;
        }
        match reply {
            ReceiveReply::Begun => {}
            ReceiveReply::Refused(refusal) => return Err(too_many_sessions(refusal)),
            ReceiveReply::Full(refusal) => return Err(Problem::from(refusal)),
            ReceiveReply::Unknown | ReceiveReply::Busy => return Err(busy()),
        }
        let media_type = self.framing.media_type();
        let body = CarriedBody::new(pieces, watch);
        if self.framing.streams() {
            let mut response = Response::new(Either::Right(Either::Right(body)));
            let value = HeaderValue::from_static(media_type);
            response
                .headers_mut()
                .insert(http::header::CONTENT_TYPE, value);
            return Ok(answers::not_cached(response));
        }
        // One frame, whose length is known when it arrives.
        let piece = body.only_piece().await;
        Ok(answers::not_cached(respond(
            StatusCode::OK,
            media_type,
            piece,
        )))
    }
}

fn too_many_sessions(refusal: Crowded) -> Problem {
    let title = "Too many sessions";
    match refusal {
        Crowded::Total => Refusal::unavailable(
            "too-many-sessions",
            title,
            "this hub has reached sockjs.sessions_max".to_owned(),
        )
        .into(),
        Crowded::Address => Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-sessions-per-address",
            title,
            "too many sessions from this address (sockjs.sessions_per_address_max)",
        ),
    }
}
