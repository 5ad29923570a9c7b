//! Routes requests, and holds what all responses share. Each door and each kind of page is one file. The rules
//! about updates are in `tidings-hub` and `tidings-core`.

pub(crate) mod admin;
pub(crate) mod admission;
pub(crate) mod authorize;
pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod cors;
pub(crate) mod dev;
pub(crate) mod diagnosis;
pub(crate) mod discovery;
pub(crate) mod health;
pub(crate) mod host;
pub(crate) mod io_state;
pub(crate) mod legacy;
pub(crate) mod page;
pub(crate) mod pages;
pub(crate) mod peers;
pub(crate) mod poll;
pub(crate) mod problem;
pub(crate) mod publish;
pub(crate) mod request_body;
pub(crate) mod sockjs;
pub(crate) mod subscribe;
pub(crate) mod subscriptions;
pub(crate) mod upgrade;

use std::net::SocketAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Either;
use hyper::body::Incoming;
use tidings_cluster::peers::PATH as PEERS_PATH;
use tidings_core::dialect::Dialect;
use tidings_core::topic::Topic;
use tracing::Instrument;

use self::admin::desk::Desk;
use self::body::{EventBody, Whole};
use self::client::Client;
use self::io_state::IoState;
use self::legacy::hixie::OldUpgrade;
use self::legacy::{chat, demo, hub_2019};
use self::problem::Problem;
use self::sockjs::{Base, CarriedBody};
use self::subscribe::EventStream;
use self::upgrade::Upgrade;
use crate::certificate::Tls;
use crate::certificate::acme::HTTP_PATH;
use crate::config::check::dialects::PATH_2019;
use crate::config::{Config, LogFormat};
use crate::telemetry::access::{Access, Style};
use crate::telemetry::request_id::{self, X_REQUEST_ID};
use crate::telemetry::request_line::RequestLine;
use tidings_hub::account::Holder;
use tidings_hub::metrics::{Requests, Transport};
use tidings_hub::session::service::Offer;
use tidings_hub::shard::Shard;

/// The safe method whose request has a body; RFC 10008.
const QUERY: &str = "QUERY";
const METRICS_PATH: &str = "/metrics";
/// The methods of the hub's URL.
const HUB_METHODS: &str = "GET, HEAD, QUERY, POST, OPTIONS";
/// The methods of the subscription API.
const SUBSCRIPTION_METHODS: &str = "GET, HEAD, OPTIONS";

/// What a request is answered from: the shard that accepted it, and the configuration of the doors.
///
/// It dereferences to its shard.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    shard: Rc<Shard>,
    config: Arc<Config>,
    /// The configuration that counts now.
    live: Arc<ArcSwap<Config>>,
    tls: Option<Tls>,
    /// The way to the control thread. None in a hub that has none.
    desk: Option<Desk>,
}

impl Site {
    /// Makes the site of one shard.
    pub(crate) fn new(
        shard: &Rc<Shard>,
        live: &Arc<ArcSwap<Config>>,
        tls: Option<&Tls>,
        desk: Option<&Desk>,
    ) -> Rc<Self> {
        Rc::new(Self {
            shard: Rc::clone(shard),
            config: live.load_full(),
            live: Arc::clone(live),
            tls: tls.cloned(),
            desk: desk.cloned(),
        })
    }

    /// Returns the site by the configuration that counts now. Asked for once for each connection and
    /// each request, so that one of them never sees two configurations.
    pub(crate) fn now(self: &Rc<Self>) -> Rc<Self> {
        if Arc::ptr_eq(&self.config, &self.live.load()) {
            return Rc::clone(self);
        }
        Self::new(
            &self.shard,
            &self.live,
            self.tls.as_ref(),
            self.desk.as_ref(),
        )
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the way to the control thread.
    pub(crate) fn desk(&self) -> Option<&Desk> {
        self.desk.as_ref()
    }

    /// Returns the certificate for new connections.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }
}

impl Deref for Site {
    type Target = Rc<Shard>;

    fn deref(&self) -> &Rc<Shard> {
        &self.shard
    }
}

/// The body of a response: a whole one, an HTTP/2 event stream, or a SockJS stream.
pub(crate) type Body = Either<Whole, Either<EventBody, CarriedBody>>;

/// The connection of a request. Behind a trusted proxy, with the address and the holder of the client.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionInfo {
    pub(crate) peer: SocketAddr,
    /// The holder that the memory of its requests and responses is booked for.
    pub(crate) holder: Arc<Holder>,
    /// Whether it was accepted by the admin listener.
    pub(crate) admin: bool,
    /// The index of its listener in the configuration.
    pub(crate) listener: Option<usize>,
}

impl ConnectionInfo {
    /// Returns the topic of the listener's room, if it has one.
    pub(crate) fn topic<'a>(&self, config: &'a Config) -> Option<&'a Topic> {
        config.listens.get(self.listener?)?.topic.as_ref()
    }
}

/// The result of a request.
pub(crate) enum Answer {
    /// A whole response.
    Response(Response<Body>),
    /// An event stream. The connection's HTTP version decides how it begins.
    Stream(Box<EventStream>),
    /// A WebSocket, likewise.
    Upgrade(Box<Upgrade>),
    /// A WebSocket of 2010, likewise.
    OldUpgrade(Box<OldUpgrade>),
}

/// The door of a request, with the parts of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    Hub,
    Hub2019,
    /// Other resources of hubs before 1.0: a page, a demonstration, a probe.
    OldPage,
    Demo,
    OldHealth,
    Subscriptions,
    ChatEvents,
    ChatBroadcast,
    Live,
    Ready,
    Metrics,
    /// The admin API.
    Admin,
    /// Its page.
    AdminPage,
    /// What other hubs of the cluster ask for.
    Peers,
    /// The proof of a name for a certificate authority, by its token.
    Proof(&'a str),
    Metadata,
    Settings,
    DevToken,
    /// A room. The topic as it is written in the path.
    Room(&'a str),
    /// A service that the program offers, by a WebSocket without SockJS.
    Offer(&'a Offer),
    SockJs(Base<'a>),
    /// A test of the page `/diagnose`.
    Diagnosis(&'a str),
    Page,
}

/// Answers one request.
pub(crate) async fn answer(
    site: &Rc<Site>,
    client: &Client,
    io_state: &Rc<IoState>,
    request: Request<Incoming>,
) -> Answer {
    let info = &client.info;
    let logged = site.config().log.access && !info.admin;
    let id = request_id::of(request.headers());
    let access = logged.then(|| Access::of(style(site), info.peer, &request, &id));
    // Pages read the metrics and the admin API every second or two; their lines would hide the others.
    let polled = |path: &str| path == METRICS_PATH || admin::is_below(path);
    let line = site.config().request_lines && !polled(request.uri().path());
    let line = line.then(|| Box::new(RequestLine::of(&request, upgrade::asks(&request))));
    let method = request.method().clone();
    // At every level, since the lines of any level need the id.
    let span = tracing::error_span!("request", request_id = id.to_str().unwrap_or_default());
    let (mut answer, by_sockjs) = decide(site, client, io_state, request)
        .instrument(span)
        .await;
    match &mut answer {
        Answer::Response(response) => {
            // First: a response that does not fit into the account becomes a refusal.
            book(info, response);
            response.headers_mut().insert(X_REQUEST_ID, id);
        }
        Answer::Stream(stream) => {
            stream.headers_mut().insert(X_REQUEST_ID, id);
        }
        // Its head has what the protocol asks for and nothing else.
        Answer::Upgrade(_) | Answer::OldUpgrade(_) => {}
    }
    if !info.admin {
        count(&site.metrics().requests, &method, by_sockjs, &answer);
    }
    match (&mut answer, access) {
        (_, None) => {}
        (Answer::Response(response), Some(access)) => access.on_response(response),
        (Answer::Stream(stream), Some(access)) => stream.log_at_end(access),
        (Answer::Upgrade(_) | Answer::OldUpgrade(_), Some(access)) => access.on_upgrade(),
    }
    if let Some(line) = line {
        write_line(&line, &mut answer);
    }
    answer
}

/// Counts a request.
fn count(requests: &Requests, method: &Method, by_sockjs: bool, answer: &Answer) {
    let (status, transport) = match answer {
        Answer::Stream(_) => (StatusCode::OK, Transport::Sse),
        Answer::Upgrade(_) | Answer::OldUpgrade(_) => {
            (StatusCode::SWITCHING_PROTOCOLS, Transport::WebSocket)
        }
        Answer::Response(response) => {
            let polls = response.headers().contains_key(poll::PREFERENCE_APPLIED);
            let transport = if polls {
                Transport::LongPoll
            } else {
                Transport::Http
            };
            (response.status(), transport)
        }
    };
    let transport = if by_sockjs {
        Transport::SockJs
    } else {
        transport
    };
    requests.count(method.as_str(), status.as_u16(), transport);
}

/// Returns the form of the access log.
fn style(site: &Site) -> Style {
    match site.config().log.format {
        LogFormat::Json => Style::Json,
        LogFormat::Text | LogFormat::Logfmt => Style::Combined,
    }
}

/// Shows the request to the developer at the terminal.
fn write_line(line: &RequestLine, answer: &mut Answer) {
    match answer {
        Answer::Response(response) => {
            line.on_response(response.status(), response.headers(), response.extensions());
        }
        Answer::Stream(stream) => line.on_stream(stream.headers_mut()),
        Answer::Upgrade(_) | Answer::OldUpgrade(_) => line.on_upgrade(),
    }
}

/// Books a response until the peer has taken it. If there is no room, the response becomes a refusal.
fn book(info: &ConnectionInfo, response: &mut Response<Body>) {
    if let Either::Left(whole) = response.body_mut()
        && let Err(refusal) = whole.book(&info.holder)
    {
        *response = Problem::from(refusal).into_response();
    }
}

/// Returns the answer, and whether a SockJS transport was asked for.
async fn decide(
    site: &Rc<Site>,
    client: &Client,
    io_state: &Rc<IoState>,
    request: Request<Incoming>,
) -> (Answer, bool) {
    let info = &client.info;
    let asks = upgrade::asks(&request);
    let uri = request.uri().clone();
    let route = route(site, info, uri.path(), asks);
    let by_sockjs = matches!(route, Route::SockJs(_));
    let origin = request.headers().get(http::header::ORIGIN).cloned();
    let checked = client
        .check()
        .and_then(|()| host::check(site, info, route, &request));
    let outcome = match checked {
        Ok(()) => {
            if let Route::SockJs(base) = route {
                // Boxed, since its state would make every request's larger.
                Box::pin(sockjs::answer(site, info, io_state, base, request)).await
            } else {
                dispatch(site, info, route, request).await
            }
        }
        Err(problem) => Err(problem),
    };
    let mut answer = outcome.unwrap_or_else(|problem| Answer::Response(problem.into_response()));
    // Errors have these fields too. Otherwise a page could not read why it was refused.
    let headers = match &mut answer {
        Answer::Response(response) => {
            if site.is_stopping() {
                // A connection that is kept open would delay the stop. The next request reaches a process
                // that stays.
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            response.headers_mut()
        }
        Answer::Stream(stream) => stream.headers_mut(),
        // Its head has only what the protocol requires.
        Answer::Upgrade(_) | Answer::OldUpgrade(_) => return (answer, by_sockjs),
    };
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    discovery::complete_challenge(&site.config().hub, headers);
    let list = &site.config().cors.origins;
    if matches!(route, Route::Hub | Route::Subscriptions | Route::Metadata) {
        cors::allow(list, origin.as_ref(), headers);
    }
    if matches!(route, Route::Hub2019 | Route::Demo) {
        hub_2019::protect(headers);
        cors::allow_2019(list, origin.as_ref(), headers);
    }
    (answer, by_sockjs)
}

fn route<'a>(site: &'a Site, info: &ConnectionInfo, path: &'a str, asks: bool) -> Route<'a> {
    let config = site.config();
    let for_operators = info.admin || config.dev.is_some();
    match path {
        "/health/live" => Route::Live,
        "/health/ready" => Route::Ready,
        METRICS_PATH if for_operators => Route::Metrics,
        _ if for_operators && admin::is_below(path) => Route::Admin,
        PEERS_PATH if info.admin => Route::Peers,
        _ if info.admin || for_operators && pages::is_admin(path) => Route::AdminPage,
        _ if path.starts_with(HTTP_PATH) && site.tls().is_some_and(|tls| tls.acme().is_some()) => {
            Route::Proof(path.strip_prefix(HTTP_PATH).unwrap_or_default())
        }
        _ if path == config.hub.path() => Route::Hub,
        _ if subscriptions::is_below(config.hub.path(), path) => Route::Subscriptions,
        _ if path == discovery::metadata_path(&config.hub) => Route::Metadata,
        PATH_2019 => Route::Hub2019,
        "/healthz" if config.dialects.v0 => Route::OldHealth,
        _ if config.dialects.demo && demo::is_at(path, config.hub.path()) => Route::Demo,
        _ if config.dialects.v0 && is_below(path, config.hub.path(), "/ui/") => Route::OldPage,
        "/event/fetch" if config.pages.chat => Route::ChatEvents,
        "/message/broadcast" if config.pages.chat => Route::ChatBroadcast,
        "/settings.json" if config.pages.any() => Route::Settings,
        "/dev/token" if config.dev.is_some() => Route::DevToken,
        _ => None
            .or_else(|| offer_at(config, path).filter(|_| asks).map(Route::Offer))
            .or_else(|| diagnosis::below(config, path).map(Route::Diagnosis))
            .or_else(|| Base::find(config, path).map(Route::SockJs))
            .or_else(|| upgrade::room(config, path).map(Route::Room))
            .unwrap_or(Route::Page),
    }
}

/// Returns the service that is offered at a path without SockJS.
fn offer_at<'a>(config: &'a Config, path: &str) -> Option<&'a Offer> {
    let mut plain = config.services.iter().filter(|offer| offer.plain);
    plain.find(|offer| offer.path == path)
}

async fn dispatch(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    route: Route<'_>,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    if !info.admin && upgrade::asks(&request) {
        return upgrade::open(site, info, route, request).await;
    }
    let method = request.method().clone();
    let reading = method == Method::GET || method == Method::HEAD;
    let response = match route {
        Route::Hub if reading || method.as_str() == QUERY => {
            // Boxed, since its state would make every request's larger.
            return Box::pin(subscribe::hub(site, info, request)).await;
        }
        Route::Hub if method == Method::POST => {
            publish::hub(site, info, Dialect::V1, None, request).await?
        }
        Route::Hub2019 => return hub_2019::answer(site, info, request).await,
        Route::Hub if method == Method::OPTIONS => {
            cors::preflight(&site.config().cors, HUB_METHODS, request.headers())
        }
        Route::Hub => return Err(Problem::method_not_allowed(HUB_METHODS)),
        Route::Subscriptions if reading => Box::pin(subscriptions::answer(site, &request)).await?,
        Route::Subscriptions if method == Method::OPTIONS => {
            cors::preflight(&site.config().cors, SUBSCRIPTION_METHODS, request.headers())
        }
        Route::Subscriptions => return Err(Problem::method_not_allowed(SUBSCRIPTION_METHODS)),
        Route::ChatEvents if reading => {
            return Box::pin(subscribe::chat(site, info, request)).await;
        }
        Route::ChatBroadcast if method == Method::POST => {
            chat::broadcast(site, info, request).await?
        }
        Route::Admin => Box::pin(admin::answer(site, info, request)).await?,
        Route::DevToken if method == Method::POST => dev::token(site, info, request).await?,
        Route::ChatBroadcast | Route::DevToken => {
            return Err(Problem::method_not_allowed("POST"));
        }
        _ if !reading => return Err(Problem::method_not_allowed("GET, HEAD")),
        Route::Live | Route::OldHealth => health::live(),
        Route::Diagnosis(below) => diagnosis::answer(site, below, &request).await?,
        Route::Demo => demo::page(site, &request),
        Route::OldPage => pages::debugger(&site.config().pages)?,
        Route::Ready => health::ready(site),
        Route::Metrics => health::metrics(site),
        Route::Peers => peers::answer(site, &request).await?,
        Route::AdminPage => pages::admin(request.uri().path(), request.headers())?,
        Route::Proof(token) => health::proof(site, token)?,
        Route::Metadata => discovery::metadata(site.config()),
        Route::Settings => {
            if site.config().dev.is_some() {
                page::check_own(site, request.headers())?;
            }
            pages::settings(site.config())
        }
        Route::Page => {
            let (path, headers) = (request.uri().path(), request.headers());
            let page = pages::page(site.config(), path, headers);
            page.or_else(|problem| pages::not_found(headers).ok_or(problem))?
        }
        Route::Room(_) | Route::Offer(_) => {
            let detail = "this is reached by a WebSocket: new WebSocket(…) in a browser";
            return Err(Problem::upgrade_required(detail));
        }
        Route::ChatEvents | Route::SockJs(_) => return Err(Problem::not_found()),
    };
    tracing::trace!(peer = %info.peer, status = response.status().as_u16(), "answered");
    Ok(Answer::Response(response))
}

/// Returns whether a path is `folder` below `hub`, or something in it.
fn is_below(path: &str, hub: &str, folder: &str) -> bool {
    path.strip_prefix(hub)
        .is_some_and(|rest| rest.starts_with(folder))
}

/// Makes a whole response.
pub(crate) fn respond(
    status: StatusCode,
    media_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(Either::Left(Whole::new(body.into())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// Makes a whole response from bytes that are part of the program and take no memory.
pub(crate) fn respond_embedded(
    status: StatusCode,
    media_type: &'static str,
    body: &'static [u8],
) -> Response<Body> {
    let mut response = respond(status, media_type, Bytes::new());
    *response.body_mut() = Either::Left(Whole::new(Bytes::from_static(body)).booked());
    response
}

/// Makes a response without a body.
pub(crate) fn respond_empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Either::Left(Whole::default()));
    *response.status_mut() = status;
    response
}

/// Adds the field that lists the methods of a resource.
pub(crate) fn set_allow(headers: &mut HeaderMap, methods: &'static str) {
    headers.insert(ALLOW, HeaderValue::from_static(methods));
}
