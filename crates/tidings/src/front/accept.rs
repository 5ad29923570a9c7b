//! Listeners: they accept connections up to limits of rate and number. Each shard has its own listening
//! socket on the same address (`SO_REUSEPORT`); the kernel spreads connections between them.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::{connection, proxy_protocol};
use crate::binding::BACKLOG;
use crate::http::problem::Problem;
use crate::http::{Site, client};
use tidings_hub::account::{Crowded, Holder, Kind, Place, Scope};
use tidings_hub::metrics::count;
use tidings_hub::shard::stopping::{Arrivals, Stage};
use tidings_hub::tasks;
use tidings_wire::proxy_protocol::Source;

/// Connections accepted before other tasks of the shard get their turn.
const ACCEPTS_PER_TURN: usize = 64;
/// Pause after an accept failed because the process had no file descriptor or memory left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// Minimum time between two log lines of a listener that cannot accept.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// Maximum number of refusals that one listening socket is sending at a time. Further peers are closed without an
/// answer, since each keeps a file descriptor until it has read the answer.
pub(crate) const REFUSALS_MAX: usize = 16;
/// Heartbeats of an event stream that a peer may leave unacknowledged.
const KEEP_ALIVES_UNACKNOWLEDGED: u32 = 3;
/// Idle time before TCP keep-alive.
const KEEP_ALIVE_TIME: Duration = Duration::from_secs(60);
/// Unsent bytes beyond which a socket counts as full. Small, so that the hub notices a peer that does not read
/// before the kernel has queued megabytes.
const UNSENT_LOW_WATER: u32 = 64 * 1024;
/// Bytes booked for a connection while HTTP uses it: its task, and hyper's buffers.
const CONNECTION_BYTES: usize = 16 * 1024;
/// Timeout for a refused peer to read the refusal.
const REFUSAL_LINGER: Duration = Duration::from_secs(1);

/// One listening socket of a shard.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) listener: StdListener,
    pub(crate) tls: bool,
    /// Whether connections begin with the header of the PROXY protocol.
    pub(crate) proxy_protocol: bool,
    /// What it accepts.
    pub(crate) kind: DoorKind,
}

/// What a listener accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DoorKind {
    /// Subscribers and publishers; the number of the listener in the configuration.
    Main(usize),
    /// Operators: metrics and health only.
    Admin,
    /// Requests for Flash's policy.
    Policy,
}

/// Binds one listening socket on `address` for each of `shards` shards.
///
/// Returns the sockets and the address with the port that the system chose, if it was 0.
///
/// # Errors
///
/// The address cannot be bound, for example because another process uses it.
pub(crate) fn bind(
    address: SocketAddr,
    shards: usize,
) -> io::Result<(Vec<StdListener>, SocketAddr)> {
    // SO_REUSEPORT would silently share the port with another hub, so the port is bound without it first.
    let probe = listening_socket(address, false)?;
    let address = probe.local_addr()?;
    drop(probe);
    let listeners: io::Result<Vec<_>> = (0..shards)
        .map(|_| listening_socket(address, true))
        .collect();
    Ok((listeners?, address))
}

fn listening_socket(address: SocketAddr, shared: bool) -> io::Result<StdListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts connections until another process does, or the hub has stopped.
pub(crate) async fn serve(site: Rc<Site>, door: Door) {
    let Door {
        listener,
        tls,
        proxy_protocol,
        kind,
    } = door;
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot register a listener"),
    };
    let mut stages = site.stages();
    let mut site = site;
    let mut pace = Pace::new(
        site.config().limits.accepts_per_second_max,
        site.config().server.shards,
    );
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let mut log_limit = LogLimit::default();
    let mut turn = 0;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Without a successor the hub serves to its end, and operators learn that it is not
            // ready any more.
            _ = stages.wait_for(|&stage| stage == Stage::Draining(Arrivals::Elsewhere)) => return,
        };
        let current = site.now();
        if !Rc::ptr_eq(&current, &site) {
            site = current;
            pace.set_rate(
                site.config().limits.accepts_per_second_max,
                site.config().server.shards,
            );
        }
        match accepted {
            Ok((socket, peer)) => {
                let arrival = Arrival {
                    socket,
                    peer: canonical(peer),
                    tls,
                    kind,
                };
                if proxy_protocol {
                    on_proxied(&site, arrival, &refusals);
                } else {
                    on_accepted(&site, arrival, &refusals);
                }
            }
            Err(error) => on_accept_error(&site, &error, &mut log_limit).await,
        }
        pace.wait().await;
        turn += 1;
        if turn % ACCEPTS_PER_TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
}

async fn on_accept_error(site: &Site, error: &io::Error, log_limit: &mut LogLimit) {
    count(&site.metrics().connections_failed, "accept");
    // The peer closed between its SYN and our accept. That is not our fault.
    if matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    ) {
        return;
    }
    if let Some(suppressed) = log_limit.next(Instant::now()) {
        tracing::error!(
            %error, suppressed,
            "cannot accept connections; is the limit of open files too low?"
        );
    }
    tokio::time::sleep(EXHAUSTED_PAUSE).await;
}

/// Limits how often a listener logs the same problem.
#[derive(Debug, Default)]
struct LogLimit {
    logged: Option<Instant>,
    suppressed: u64,
}

impl LogLimit {
    /// Returns whether another line may be logged, and how many were suppressed since the last one.
    fn next(&mut self, now: Instant) -> Option<u64> {
        if self.logged.is_some_and(|logged| now < logged + LOG_EVERY) {
            self.suppressed += 1;
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// A connection that was just accepted.
struct Arrival {
    socket: TcpStream,
    peer: SocketAddr,
    tls: bool,
    kind: DoorKind,
}

fn on_accepted(site: &Rc<Site>, arrival: Arrival, refusals: &Arc<Semaphore>) {
    if let Err(error) = set_options(&arrival.socket, unacknowledged_max(site)) {
        return tracing::debug!(%error, "cannot set the options of a new connection; it is closed");
    }
    let (account, ip) = (site.account(), arrival.peer.ip());
    // Operators must be able to see that the hub is full.
    let admitted = if arrival.kind == DoorKind::Admin {
        Ok(account.admit_always(ip))
    } else if is_blocked(site, ip) {
        return;
    } else {
        let scope = client::scope_of(&site.config().proxy, arrival.peer);
        account.admit(ip, Place::Connection, scope)
    };
    enter(site, arrival, admitted, refusals);
}

/// Returns whether the operator has blocked an address, and counts that. Such a peer gets no answer: it should learn
/// nothing.
fn is_blocked(site: &Site, ip: IpAddr) -> bool {
    let blocked = site.config().limits.blocked.contains(ip);
    if blocked {
        count(&site.metrics().connections_refused, "blocked");
    }
    blocked
}

/// Accepts a connection that begins with the header of the PROXY protocol.
fn on_proxied(site: &Rc<Site>, mut arrival: Arrival, refusals: &Arc<Semaphore>) {
    let ip = arrival.peer.ip();
    if !site.config().proxy.trusted.contains(ip) {
        return count(&site.metrics().connections_refused, "untrusted_proxy");
    }
    if let Err(error) = set_options(&arrival.socket, unacknowledged_max(site)) {
        return tracing::debug!(%error, "cannot set the options of a new connection; it is closed");
    }
    let admitted = site.account().admit(ip, Place::Connection, Scope::Total);
    let proxy = match admitted {
        Ok(holder) => holder,
        Err(crowded) => return enter(site, arrival, Err(crowded), refusals),
    };
    let (site, refusals) = (Rc::clone(site), Arc::clone(refusals));
    tasks::spawn(async move {
        let within = site.config().limits.handshake;
        let admitted = match proxy_protocol::read(&mut arrival.socket, within).await {
            Ok(Source::Proxy) => Ok(proxy),
            Ok(Source::Client(address)) => {
                arrival.peer = canonical(address);
                let ip = arrival.peer.ip();
                if is_blocked(&site, ip) {
                    return;
                }
                let scope = client::scope_of(&site.config().proxy, arrival.peer);
                proxy.for_client(ip, scope)
            }
            Err(error) => {
                if let Some(name) = error.name() {
                    count(&site.metrics().connections_failed, name);
                }
                return tracing::debug!(%ip, %error, "no PROXY protocol header");
            }
        };
        enter(&site, arrival, admitted, &refusals);
    });
}

/// Serves a connection that has a place, and refuses it otherwise.
fn enter(
    site: &Rc<Site>,
    arrival: Arrival,
    admitted: Result<Arc<Holder>, Crowded>,
    refusals: &Arc<Semaphore>,
) {
    let Arrival {
        socket,
        peer,
        tls,
        kind,
    } = arrival;
    match admitted {
        Ok(holder) => {
            let cost = match holder.take(Kind::Connection, CONNECTION_BYTES) {
                Ok(cost) => cost,
                Err(refusal) => {
                    count(&site.metrics().connections_refused, "memory_limit");
                    let problem = Problem::from(refusal);
                    return refuse_unless_tls(socket, tls, refusals, problem);
                }
            };
            let entrance = connection::Entrance {
                socket,
                peer,
                tls,
                kind,
                holder,
                cost,
            };
            tasks::spawn(connection::serve(Rc::clone(site), entrance));
        }
        Err(refusal) => {
            count(&site.metrics().connections_refused, refusal.name());
            let problem = Problem::too_many_connections(refusal);
            refuse_unless_tls(socket, tls, refusals, problem);
        }
    }
}

/// Returns an IPv4 address as such even if it came through an IPv6 socket, so that it is the same for all limits.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Returns how long a peer may leave bytes unacknowledged: several heartbeats, and at least the stall time, because
/// the kernel also counts the time in which the peer's window is closed.
fn unacknowledged_max(site: &Site) -> Duration {
    let config = site.config();
    let keep_alives = config.subscribe.keep_alive * KEEP_ALIVES_UNACKNOWLEDGED;
    keep_alives.max(config.limits.stall)
}

fn set_options(socket: &TcpStream, unacknowledged_max: Duration) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    socket.set_tcp_user_timeout(Some(unacknowledged_max))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE_TIME))?;
    socket.set_tcp_notsent_lowat(UNSENT_LOW_WATER)
}

/// Sends a refused peer the refusal. Not under TLS: that would take a handshake, and a flood of connections
/// should not cost that much.
fn refuse_unless_tls(socket: TcpStream, tls: bool, refusals: &Arc<Semaphore>, problem: Problem) {
    if !tls && let Ok(permit) = Arc::clone(refusals).try_acquire_owned() {
        let answer = problem.into_http1();
        tasks::spawn(async move {
            refuse(socket, answer).await;
            drop(permit);
        });
    }
}

/// Sends a refused peer the refusal, without reading its request.
async fn refuse(mut socket: TcpStream, answer: Bytes) {
    let farewell = async {
        socket.write_all(&answer).await?;
        socket.shutdown().await?;
        // Closing with unread bytes would reset the connection and destroy the answer.
        let mut unread = [0; 4096];
        while socket.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    // The connection ends either way.
    drop(tokio::time::timeout(REFUSAL_LINGER, farewell).await);
}

/// Limits the rate of accepts. Connections beyond it wait in the kernel's backlog.
#[derive(Debug)]
struct Pace {
    interval: Duration,
    burst: Duration,
    next: Instant,
}

impl Pace {
    fn new(per_second: u32, shards: usize) -> Self {
        let mut pace = Self {
            interval: Duration::ZERO,
            burst: Duration::from_secs(1),
            next: Instant::now(),
        };
        pace.set_rate(per_second, shards);
        pace
    }

    fn set_rate(&mut self, per_second: u32, shards: usize) {
        let shards = f64::from(u32::try_from(shards).unwrap_or(u32::MAX));
        self.interval = Duration::from_secs_f64(shards / f64::from(per_second.max(1)));
    }

    async fn wait(&mut self) {
        let now = Instant::now();
        let earliest = now.checked_sub(self.burst).unwrap_or(now);
        self.next = self.next.max(earliest) + self.interval;
        if self.next > now {
            tokio::time::sleep(self.next - now).await;
        }
    }
}
