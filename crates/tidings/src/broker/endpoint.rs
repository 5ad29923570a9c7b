//! Opens sockets: binds ports, and connects to addresses with automatic reconnects.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, TcpKeepalive, Type};
use tidings_wire::zmtp::handshake;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::Shared;
use super::data_source::{ANY, Attach, DataSource, Endpoint};
use super::link::{Failure, Link, role};
use super::session::{self, Socket};
use crate::binding;
use crate::binding::inherited::{Inherited, Kept};
use tidings_hub::metrics::count;
use tidings_hub::tasks;

/// The listen backlog.
const BACKLOG: i32 = 1024;
/// Pause after accepting a connection failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Minimum and maximum wait before a reconnect; jitter reduces each wait to 50–100 %.
const RECONNECT_MIN: Duration = Duration::from_millis(100);
const RECONNECT_MAX: Duration = Duration::from_secs(5);
/// Timeout for connecting.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// A connection that lasted this long resets the backoff.
const GOOD_AFTER: Duration = Duration::from_secs(5);
/// Idle time before TCP keep-alive.
const KEEP_ALIVE_TIME: Duration = Duration::from_secs(60);
/// Unsent bytes beyond which a socket counts as full. Messages should queue here, where they are
/// counted, and not in the kernel.
const UNSENT_LOW_WATER: u32 = 256 * 1024;

/// Why the ports of a socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    #[error("{socket}: {endpoint} is not an address of this machine")]
    Unresolved {
        socket: String,
        endpoint: String,
        source: io::Error,
    },
    #[error("{socket}")]
    Refused {
        socket: String,
        source: binding::BindError,
    },
    #[error("{socket}: its port is unknown")]
    Port { socket: String, source: io::Error },
}

/// Opens the ports of a binding socket, unless they were `inherited`, and stores the ports that the
/// system chose. `name` is the socket's place in the configuration.
///
/// # Errors
///
/// An address that cannot be resolved or is in use.
pub(crate) fn bind(
    name: &str,
    source: &mut DataSource,
    inherited: &mut Inherited,
    kept: &mut Kept,
) -> Result<Vec<StdListener>, BindError> {
    let text = source.to_string();
    let mut listeners = Vec::new();
    for (number, endpoint) in source.endpoints.iter_mut().enumerate() {
        let name = format!("{name}.{number}");
        let address = resolve_here(endpoint).map_err(|source| BindError::Unresolved {
            socket: text.clone(),
            endpoint: endpoint.to_string(),
            source,
        })?;
        let listener = match inherited.take(&name, address).pop() {
            Some(listener) => listener,
            None => binding::open(address, listen).map_err(|source| BindError::Refused {
                socket: text.clone(),
                source,
            })?,
        };
        let port = |source| BindError::Port {
            socket: text.clone(),
            source,
        };
        kept.keep(&name, address, [&listener]).map_err(port)?;
        let bound = listener.local_addr().map_err(port)?;
        endpoint.port = bound.port();
        listeners.push(listener);
    }
    Ok(listeners)
}

fn resolve_here(endpoint: &Endpoint) -> io::Result<SocketAddr> {
    if endpoint.host == ANY {
        return Ok(SocketAddr::from(([0, 0, 0, 0], endpoint.port)));
    }
    let mut addresses = (endpoint.host.as_str(), endpoint.port).to_socket_addrs()?;
    addresses
        .next()
        .ok_or_else(|| io::Error::other("the name has no address"))
}

fn listen(address: SocketAddr) -> io::Result<StdListener> {
    let socket = RawSocket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves a socket: accepts at its ports, or connects to its addresses.
pub(crate) fn open(
    shared: &Rc<Shared>,
    socket: &Rc<Socket>,
    source: &DataSource,
    listeners: Vec<StdListener>,
) {
    let options = handshake::Options {
        socket_type: source.socket_type,
        security: shared.security.clone(),
        role: role(source.attach),
    };
    for listener in listeners {
        let (shared, socket) = (Rc::clone(shared), Rc::clone(socket));
        tasks::spawn(accept(shared, socket, options.clone(), listener));
    }
    if source.attach == Attach::Connect {
        for endpoint in &source.endpoints {
            let (shared, socket) = (Rc::clone(shared), Rc::clone(socket));
            tasks::spawn(connect(shared, socket, options.clone(), endpoint.clone()));
        }
    }
}

async fn accept(
    shared: Rc<Shared>,
    socket: Rc<Socket>,
    options: handshake::Options,
    listener: StdListener,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot register a ZeroMQ port"),
    };
    let mut stopping = shared.stopping.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.changed() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                if shared.peers.get() >= shared.limits.peers_max {
                    count(&shared.counters.closed, "peers_max");
                    tracing::debug!(%address, "zeromq.peers_max reached: connection refused");
                    continue;
                }
                let (shared, socket, options) =
                    (Rc::clone(&shared), Rc::clone(&socket), options.clone());
                tasks::spawn(async move {
                    serve(&shared, &socket, options, stream, &address.to_string()).await;
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a ZeroMQ connection could not be accepted");
                count(&shared.counters.closed, "accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Connects until the broker stops.
async fn connect(
    shared: Rc<Shared>,
    socket: Rc<Socket>,
    options: handshake::Options,
    endpoint: Endpoint,
) {
    let mut stopping = shared.stopping.subscribe();
    let mut wait = RECONNECT_MIN;
    while !*stopping.borrow_and_update() {
        let started = Instant::now();
        match tokio::time::timeout(CONNECT_MAX, TcpStream::connect(endpoint.to_string())).await {
            Ok(Ok(stream)) => {
                let address = endpoint.to_string();
                serve(&shared, &socket, options.clone(), stream, &address).await;
            }
            Ok(Err(error)) => tracing::debug!(%endpoint, %error, "cannot connect"),
            Err(_late) => tracing::debug!(%endpoint, "cannot connect in time"),
        }
        if started.elapsed() >= GOOD_AFTER {
            wait = RECONNECT_MIN;
        }
        let pause = wait.mul_f64(0.5 + 0.5 * fastrand::f64());
        wait = (wait * 2).min(RECONNECT_MAX);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopping.changed() => return,
        }
    }
}

async fn serve(
    shared: &Rc<Shared>,
    socket: &Rc<Socket>,
    options: handshake::Options,
    stream: TcpStream,
    address: &str,
) {
    prepare(&stream);
    shared.peers.set(shared.peers.get() + 1);
    shared.counters.peers.inc();
    let socket_type = options.socket_type;
    let result = async {
        let link = Link::open(shared, stream, options).await?;
        let peer = link.peer.socket_type;
        tracing::debug!(peer = address, socket = %socket_type, peer_socket = %peer, "connected");
        session::run(shared, socket, link).await
    };
    let result: Result<(), Failure> = result.await;
    shared.peers.set(shared.peers.get() - 1);
    shared.counters.peers.dec();
    match result {
        Ok(()) => count(&shared.counters.closed, "peer"),
        Err(failure) => {
            count(&shared.counters.closed, failure.reason());
            tracing::debug!(peer = address, socket = %socket_type, reason = %failure, "closed");
        }
    }
}

fn prepare(stream: &TcpStream) {
    let raw = SockRef::from(stream);
    let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE_TIME);
    let set = raw
        .set_tcp_keepalive(&keep_alive)
        .and_then(|()| raw.set_tcp_notsent_lowat(UNSENT_LOW_WATER));
    if let Err(error) = set {
        tracing::debug!(%error, "cannot set an option of a ZeroMQ connection");
    }
}
