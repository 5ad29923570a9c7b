//! Listeners: where connections come in, how fast, and how many. Each shard has its own listening
//! socket on the same address (`SO_REUSEPORT`); the kernel spreads connections between them.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::connection;
use crate::http::Site;
use crate::http::problem::Problem;
use tidings_hub::account::{Crowded, Kind, Place};
use tidings_hub::metrics::count;
use tidings_hub::shard::stopping::{Arrivals, Stage};
use tidings_hub::tasks;

/// Connections that the kernel keeps for one listener until they are accepted.
const BACKLOG: i32 = 4096;
/// Connections accepted before the shard looks after its other work.
const ACCEPTS_PER_TURN: usize = 64;
/// Pause after the process ran out of file descriptors or memory for a connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// Time between two complaints of a listener that cannot accept.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// Refused peers that one listening socket tells why at a time; further ones are closed without a
/// word, since each needs a file descriptor until it has read the answer.
pub(crate) const REFUSALS_MAX: usize = 16;
/// Keep-alives that a peer may leave unacknowledged.
const KEEP_ALIVES_UNACKNOWLEDGED: u32 = 3;
/// Silence after which the kernel asks whether a peer is still there.
const KEEP_ALIVE_TIME: Duration = Duration::from_secs(60);
/// Unsent bytes beyond which a socket counts as full. Small, so that a peer that does not read is
/// noticed here and not after megabytes in the kernel.
const UNSENT_LOW_WATER: u32 = 64 * 1024;
/// What a connection costs while HTTP reads and writes it: its task, and hyper's buffers.
const CONNECTION_BYTES: usize = 16 * 1024;
/// How long a refused peer may take to read why.
const REFUSAL_LINGER: Duration = Duration::from_secs(1);
/// One listening socket of a shard.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) listener: StdListener,
    pub(crate) tls: bool,
    /// What comes in here.
    pub(crate) kind: DoorKind,
}

/// What comes in by a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DoorKind {
    /// Subscribers and publishers; the number of the listener in the configuration.
    Main(usize),
    /// Operators: metrics and health only.
    Admin,
    /// Flash, which asks for its policy.
    Policy,
}

/// Binds one listening socket on `address` for each of `shards` shards.
///
/// Returns the sockets and the address with the port that the system chose, if it was 0.
///
/// # Errors
///
/// The address cannot be bound, for one because another process has it.
pub(crate) fn bind(
    address: SocketAddr,
    shards: usize,
) -> io::Result<(Vec<StdListener>, SocketAddr)> {
    // SO_REUSEPORT would share the port with another hub without a word, so the port is tried
    // alone first.
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
        kind,
    } = door;
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listener could not be registered"),
    };
    let mut stages = site.stages();
    let mut site = site;
    let mut pace = Pace::new(
        site.config().limits.accepts_per_second_max,
        site.config().server.shards,
    );
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let mut complaints = Complaints::default();
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
                    peer,
                    tls,
                    kind,
                };
                on_accepted(&site, arrival, &refusals);
            }
            Err(error) => on_accept_error(&site, &error, &mut complaints).await,
        }
        pace.wait().await;
        turn += 1;
        if turn % ACCEPTS_PER_TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
}

async fn on_accept_error(site: &Site, error: &io::Error, complaints: &mut Complaints) {
    count(&site.metrics().connections_failed, "accept");
    // The peer gave up between its SYN and our accept: its own matter.
    if matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    ) {
        return;
    }
    if let Some(unsaid) = complaints.next(Instant::now()) {
        tracing::error!(
            %error, unsaid,
            "a connection could not be accepted; is the limit of open files too low?"
        );
    }
    tokio::time::sleep(EXHAUSTED_PAUSE).await;
}

/// When a listener may say again what it said before.
#[derive(Debug, Default)]
struct Complaints {
    said: Option<Instant>,
    unsaid: u64,
}

impl Complaints {
    /// Returns how many were left unsaid since the last one, if one more may be said.
    fn next(&mut self, now: Instant) -> Option<u64> {
        if self.said.is_some_and(|said| now < said + COMPLAIN_EVERY) {
            self.unsaid += 1;
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

/// A connection that was accepted and not looked at.
struct Arrival {
    socket: TcpStream,
    peer: SocketAddr,
    tls: bool,
    kind: DoorKind,
}

fn on_accepted(site: &Rc<Site>, arrival: Arrival, refusals: &Arc<Semaphore>) {
    let Arrival {
        socket,
        peer,
        tls,
        kind,
    } = arrival;
    let admin = kind == DoorKind::Admin;
    if !admin && site.config().limits.blocked.contains(peer.ip()) {
        // Not a word: that is what a block is for.
        return count(&site.metrics().connections_refused, "blocked");
    }
    if let Err(error) = set_options(&socket, unacknowledged_max(site)) {
        return tracing::debug!(%error, "a connection ended before it began");
    }
    let account = site.account();
    // A full hub must still tell its operators that it is full.
    let admitted = if admin {
        Ok(account.admit_always(peer.ip()))
    } else {
        account.admit(peer.ip(), Place::Connection)
    };
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
            count(&site.metrics().connections_refused, refusal_name(refusal));
            let problem = Problem::too_many_connections(refusal);
            refuse_unless_tls(socket, tls, refusals, problem);
        }
    }
}

fn refusal_name(refusal: Crowded) -> &'static str {
    match refusal {
        Crowded::Total => "total",
        Crowded::Address => "address",
    }
}

/// Returns how long a peer may leave bytes unacknowledged: some keep-alives, and no less than it may
/// take nothing, which the kernel counts alike once the peer's window is shut.
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

/// Tells a refused peer why. Under TLS there is no way to say it before a handshake, which is what a
/// flood wants.
fn refuse_unless_tls(socket: TcpStream, tls: bool, refusals: &Arc<Semaphore>, problem: Problem) {
    if !tls && let Ok(permit) = Arc::clone(refusals).try_acquire_owned() {
        let answer = problem.into_http1();
        tasks::spawn(async move {
            refuse(socket, answer).await;
            drop(permit);
        });
    }
}

/// Tells a refused peer why, without reading its request.
async fn refuse(mut socket: TcpStream, answer: Bytes) {
    let farewell = async {
        socket.write_all(&answer).await?;
        socket.shutdown().await?;
        // Closing with unread bytes would reset the connection and destroy the answer.
        let mut unread = [0; 4096];
        while socket.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    // Whatever happens, the connection ends here.
    drop(tokio::time::timeout(REFUSAL_LINGER, farewell).await);
}

/// Keeps accepts below a rate; what is too fast waits in the kernel's backlog.
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
