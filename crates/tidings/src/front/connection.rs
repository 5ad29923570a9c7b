//! One connection: TLS if configured, then HTTP/1 or HTTP/2, which the first bytes tell. hyper reads every request.
//! If the answer is an event stream or a WebSocket over HTTP/1, the hub takes the socket over.
//!
//! ```text
//! accept ─▶ TLS handshake ─▶ first bytes ─┬─▶ HTTP/2: hyper to the end, streams as bodies
//!                                         └─▶ HTTP/1: hyper ─(event stream)─▶ take over ─▶ session
//! ```

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::accept::DoorKind;
use super::stream::{Prefix, Stream, Transport};
use super::timed_socket::TimedSocket;
use super::{flash_policy, hixie, http2};
use crate::certificate::{ALPN_HTTP2, acme};
use crate::http::Site;
use crate::http::client::Client;
use crate::http::io_state::IoState;
use crate::http::legacy::hixie::OldUpgrade;
use crate::http::{self, Answer, Body, ConnectionInfo};
use tidings_hub::account::{Charge, Holder, OverLimit};
use tidings_hub::metrics::count;
use tidings_hub::shard::Subscription;
use tidings_hub::shard::stopping::Stage;

/// Maximum size of a request head, or of one HTTP/2 header list, in bytes. It has room for a thousand escaped topics
/// of 40 characters (0.x sends them in the query) and some fields. A power of two, because hyper doubles its buffer.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Maximum number of fields in a request head.
const HEAD_FIELDS_MAX: usize = 100;
/// How long to read from a peer that still sends after the last answer.
const LINGER: Duration = Duration::from_secs(1);
/// The start of HTTP/2's preface, and of no HTTP/1 method; RFC 9113, 3.4.
const HTTP2_PREFACE_START: &[u8] = b"PRI";
/// The start of every request for a Flash policy, and of no HTTP method.
const POLICY_START: &[u8] = b"<";

/// An accepted connection.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) socket: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) tls: bool,
    pub(crate) kind: DoorKind,
    pub(crate) holder: Arc<Holder>,
    /// The memory booked for it while HTTP uses it.
    pub(crate) cost: Charge,
}

type ServiceFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>>>>;

/// Serves a connection to its end, or until a session takes its socket over.
pub(crate) async fn serve(site: Rc<Site>, entrance: Entrance) {
    let Entrance {
        socket,
        peer,
        tls,
        kind,
        holder,
        cost,
    } = entrance;
    let info = ConnectionInfo {
        peer,
        holder,
        admin: kind == DoorKind::Admin,
        listener: match kind {
            DoorKind::Main(number) => Some(number),
            DoorKind::Admin | DoorKind::Policy => None,
        },
    };
    if kind == DoorKind::Policy {
        return flash_policy::serve(&site, socket, &[]).await;
    }
    let outcome = match open(&site, socket, tls).await {
        Ok((stream, Protocol::Http1)) => serve_http1(&site, stream, info, cost).await,
        Ok((stream, Protocol::Http2)) => {
            let served = http2::serve(&site, stream, info).await;
            drop(cost);
            served
        }
        // The authority has seen the certificate, and no HTTP follows.
        Ok((_, Protocol::Acme)) => Ok(()),
        Ok((stream, Protocol::FlashPolicy)) => {
            let (socket, _plain) = stream.into_socket();
            flash_policy::serve(&site, socket, POLICY_START).await;
            Ok(())
        }
        Err(failure) => Err(failure),
    };
    if let Err(failure) = outcome {
        count(&site.metrics().connections_failed, failure.name());
        tracing::debug!(reason = failure.name(), detail = %failure, "connection failed");
    }
}

/// Why a connection failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the TLS handshake took too long")]
    HandshakeTimeout,
    #[error("TLS handshake: {0}")]
    Handshake(#[source] io::Error),
    #[error("no request arrived in time")]
    HeadTimeout,
    #[error("the connection broke: {0}")]
    Io(#[source] io::Error),
    #[error("the peer read nothing of its answer for too long")]
    Stalled,
    #[error("{0}")]
    Refused(#[source] OverLimit),
    #[error("HTTP: {0}")]
    Http(#[source] hyper::Error),
}

impl Failure {
    fn name(&self) -> &'static str {
        match self {
            Self::HandshakeTimeout => "handshake_timeout",
            Self::Handshake(_) => "handshake",
            Self::HeadTimeout => "head_timeout",
            Self::Io(_) => "io",
            Self::Stalled => "stalled",
            Self::Refused(_) => "memory_limit",
            Self::Http(error) if error.is_timeout() => "head_timeout",
            Self::Http(error) if error.is_parse() => "malformed",
            Self::Http(_) => "http",
        }
    }
}

/// Returns whether hyper's error is the timeout of a [`TimedSocket`].
fn is_stall(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    source
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|error| error.kind() == ErrorKind::TimedOut)
}

enum Protocol {
    Http1,
    Http2,
    /// Flash asks for its policy before it opens a WebSocket.
    FlashPolicy,
    /// A certificate authority checks a name by the handshake alone; RFC 8737, 3.
    Acme,
}

async fn open(site: &Site, socket: TcpStream, tls: bool) -> Result<(Stream, Protocol), Failure> {
    let limits = &site.config().limits;
    let socket = TimedSocket::new(socket, site.transport_stall());
    let acceptor = site.tls().filter(|_| tls);
    let transport = match acceptor {
        None => Transport::Plain(socket),
        Some(tls) => {
            let handshake = TlsAcceptor::from(Arc::clone(tls.config())).accept(socket);
            let stream = timeout(limits.handshake, handshake)
                .await
                .map_err(|_elapsed| Failure::HandshakeTimeout)?
                .map_err(Failure::Handshake)?;
            let name = stream.get_ref().1.alpn_protocol();
            let protocol = match name {
                Some(ALPN_HTTP2) => Some(Protocol::Http2),
                Some(acme::ALPN) => Some(Protocol::Acme),
                Some(_) | None => None,
            };
            let transport = Transport::Tls(Box::new(stream));
            match protocol {
                Some(protocol) => {
                    return Ok((Stream::new(transport, Prefix::default()), protocol));
                }
                None => transport,
            }
        }
    };
    let first = first_bytes(transport, !site.config().flash.allow.is_empty());
    timeout(limits.head, first)
        .await
        .map_err(|_elapsed| Failure::HeadTimeout)?
        .map_err(Failure::Io)
}

/// Reads until it is clear whether the peer speaks HTTP/2. One byte is usually enough.
async fn first_bytes(
    mut transport: Transport,
    with_policy: bool,
) -> io::Result<(Stream, Protocol)> {
    let mut prefix = Prefix::default();
    let with_policy = with_policy && matches!(transport, Transport::Plain(_));
    while HTTP2_PREFACE_START.starts_with(prefix.as_slice()) {
        if prefix.as_slice() == HTTP2_PREFACE_START {
            return Ok((Stream::new(transport, prefix), Protocol::Http2));
        }
        let mut byte = [0];
        let count = match &mut transport {
            Transport::Plain(socket) => socket.read(&mut byte).await?,
            Transport::Tls(stream) => stream.read(&mut byte).await?,
        };
        if count == 0 {
            break;
        }
        byte.iter().for_each(|&byte| prefix.push(byte));
    }
    if with_policy && prefix.as_slice() == POLICY_START {
        return Ok((
            Stream::new(transport, Prefix::default()),
            Protocol::FlashPolicy,
        ));
    }
    Ok((Stream::new(transport, prefix), Protocol::Http1))
}

/// What the connection becomes after a request.
enum TakeOver {
    /// A session on this or another shard.
    Session {
        subscription: Subscription,
        head: Bytes,
    },
    /// A WebSocket of the draft of 2010.
    Old(Box<OldUpgrade>),
}

/// What a request made of the connection, with the holder of its client.
type Wanted = RefCell<Option<(TakeOver, Arc<Holder>)>>;

async fn serve_http1(
    site: &Rc<Site>,
    stream: Stream,
    info: ConnectionInfo,
    cost: Charge,
) -> Result<(), Failure> {
    let io_state = stream.io_state();
    let wanted: Rc<Wanted> = Rc::default();
    let service = {
        let (site, wanted) = (Rc::clone(site), Rc::clone(&wanted));
        let io_state = Rc::clone(&io_state);
        service_fn(move |request: Request<Incoming>| -> ServiceFuture {
            let (site, wanted) = (Rc::clone(&site), Rc::clone(&wanted));
            let info = info.clone();
            let io_state = Rc::clone(&io_state);
            Box::pin(async move {
                let site = site.now();
                let client = Client::of(&site, info, &request);
                let take_over = match http::answer(&site, &client, &io_state, request).await {
                    Answer::Response(response) => return Ok(response),
                    Answer::Stream(stream) => {
                        let (subscription, head) = stream.into_http1();
                        TakeOver::Session { subscription, head }
                    }
                    Answer::Upgrade(upgrade) => {
                        let (subscription, head) = upgrade.into_http1();
                        TakeOver::Session { subscription, head }
                    }
                    Answer::OldUpgrade(upgrade) => TakeOver::Old(upgrade),
                };
                *wanted.borrow_mut() = Some((take_over, client.info.holder));
                // This future is dropped together with hyper's connection.
                pending().await
            })
        })
    };
    let limits = &site.config().limits;
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(HEAD_FIELDS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        // A peer that has closed its sending half may still wait for its answer. Without this, hyper would also
        // allocate a read buffer and read whenever a request waits for its answer.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let ended = drive(site, &mut connection, &wanted, &io_state).await;
    if let Some(result) = ended {
        if result.as_ref().is_err_and(is_stall) {
            site.metrics().peer_memory.responses_stalled.inc();
            return Err(Failure::Stalled);
        }
        if !site.is_stopping() {
            // Boxed, since its buffer would make every connection larger.
            Box::pin(linger(connection.into_parts().io.into_inner())).await;
        }
        return result.map_err(Failure::Http);
    }
    let Some((take_over, holder)) = wanted.borrow_mut().take() else {
        return Ok(());
    };
    let parts = connection.into_parts();
    // hyper's buffers are freed.
    drop(cost);
    continue_with(site, (parts.io, parts.read_buf), take_over, holder).await;
    Ok(())
}

/// Hands a connection over to a session. `rest` is its socket, and what hyper read beyond the request.
async fn continue_with(
    site: &Rc<Site>,
    rest: (TokioIo<Stream>, Bytes),
    take_over: TakeOver,
    holder: Arc<Holder>,
) {
    let (io, read_buf) = rest;
    let mut stream = io.into_inner();
    let ahead = stream.take_ahead();
    // Bytes beyond the request belong to the WebSocket. An event stream ignores them: it is the last answer on its
    // connection (RFC 9112, 9.3.2).
    let unread = match ahead.as_slice() {
        [] => read_buf,
        ahead => [&read_buf, ahead].concat().into(),
    };
    match take_over {
        TakeOver::Session {
            mut subscription,
            head,
        } => {
            if let Some(duplex) = &mut subscription.duplex {
                duplex.unread = unread;
            }
            let (socket, tls) = stream.into_socket();
            site.place(socket, tls, (subscription, head, holder));
        }
        TakeOver::Old(upgrade) => {
            Box::pin(hixie::run(site, stream, *upgrade, unread, holder)).await;
        }
    }
}

/// Runs hyper until the connection ends (`Some`) or its socket can be taken over (`None`). It can when a request
/// asked for that and everything that hyper wrote before has been sent.
async fn drive<S>(
    site: &Rc<Site>,
    connection: &mut http1::Connection<TokioIo<Stream>, S>,
    wanted: &Wanted,
    io_state: &IoState,
) -> Option<hyper::Result<()>>
where
    S: hyper::service::HttpService<Incoming, ResBody = Body> + Unpin,
    S::Future: Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut stages = site.stages();
    let mut closing = false;
    loop {
        let step = poll_fn(|cx| match Pin::new(&mut *connection).poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            // hyper has written as much as it can. `held_up` tells whether that was everything.
            Poll::Pending if wanted.borrow().is_some() && !io_state.held_up() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        tokio::select! {
            biased;
            step = step => return step,
            // Not while the hub drains: a request may be on its way on a connection that is kept,
            // and its answer says that it is the last one.
            Ok(_) = stages.wait_for(|&stage| stage == Stage::Closing), if !closing => {
                closing = true;
                Pin::new(&mut *connection).graceful_shutdown();
            }
        }
    }
}

/// Closes the sending half, which hyper does not do after an error, and reads on for a while. Closing the socket while
/// the peer still sends, as after a 413, would reset the connection and could destroy the answer (RFC 9112, 9.6).
async fn linger(mut stream: Stream) {
    let farewell = async {
        stream.shutdown().await?;
        let (mut socket, _tls) = stream.into_socket();
        let mut unread = [0; 4096];
        while socket.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    // The connection ends either way.
    drop(timeout(LINGER, farewell).await);
}
