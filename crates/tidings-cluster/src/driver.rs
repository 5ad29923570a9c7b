//! Runs a member over a real engine: one thread, its runtime, and the engine's three connections.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::engine::{
    ByPath, Call, Engine, EngineError, EpochId, Init, Line, Path, Proposal, Sender,
};
use crate::host::{Clustered, Host, Inbox, Wanted};
use crate::member::request::{Input, Reply};
use crate::member::{Counters, Options, Standing};
use crate::page::Page;
use crate::peers::{Fetch, PeerCall, PeerError, Peers};
use crate::record::{Difference, Needed};
use crate::roster::{Holder, Named, Roster};
use crate::{Epoch, History};

/// Why a hub does not join its cluster.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// A thread or its runtime cannot be started.
    #[error("the thread of the cluster cannot be started")]
    Thread(#[source] io::Error),
    /// The engine did not answer in time.
    #[error("the cluster's engine was not reached within {within:?}")]
    Engine {
        /// How long this was tried.
        within: Duration,
        /// The last fault, if a call failed and did not just take too long.
        #[source]
        fault: Option<EngineError>,
    },
    /// Some of the engine's keys are gone.
    #[error(
        "the engine has lost a part of the cluster's keys: restore them, or remove the rest under \
         the cluster's name, after which the hubs put back what they have"
    )]
    Half,
    /// The engine has no line, and this hub may not make it.
    #[error("the engine has no cluster of this name")]
    None,
}

/// What a hub does if the engine has no line.
#[derive(Debug, Clone, Copy)]
pub enum IfNone {
    /// It makes one, once it has found none for so long: an engine that has just lost its line looks
    /// like a new one until another hub puts the line back.
    Make(Proposal, Duration),
    /// Its history has the line, under this secret: it puts back what it has, under this epoch.
    PutBack(Epoch, EpochId),
    /// It does not join.
    Refuse,
}

/// Joins the cluster of `engine`: reads its line, or does what `if_none` says, and returns the hub's
/// relay, which asks `peers` for what the engine does not keep any more. Blocks until then, for `within`
/// at most.
///
/// # Errors
///
/// [`JoinError`] if the engine does not answer, or has no line that could be joined.
pub fn join(
    engine: Box<dyn Engine>,
    peers: Option<Box<dyn Peers>>,
    mut options: Options,
    if_none: IfNone,
    within: Duration,
) -> Result<Clustered, JoinError> {
    options.membership.fetches = peers.is_some();
    let wake = Arc::new(Notify::new());
    let inbox = {
        let wake = Arc::clone(&wake);
        Inbox::new(options.waiting_max, Box::new(move || wake.notify_one()))
    };
    let (joined, line) = sync_channel(1);
    let (start, histories) = sync_channel(1);
    let thread = {
        let inbox = Arc::clone(&inbox);
        let run = move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(joined.send(Err(JoinError::Thread(error)))),
            };
            let line = runtime.block_on(find(&*engine, if_none, within));
            let found = line.as_ref().ok().copied();
            drop(joined.send(line));
            if let Some(line) = found {
                let parts = (inbox, wake, histories);
                serve(&runtime, (&*engine, peers.as_deref()), options, line, parts);
            }
        };
        std::thread::Builder::new()
            .name("cluster".into())
            .spawn(run)
            .map_err(JoinError::Thread)?
    };
    let gone = |_| JoinError::Thread(io::Error::other("the thread of the cluster ended"));
    let line = line.recv().map_err(gone)??;
    let start = on_start(start, thread);
    Ok(Clustered::new(line.0, inbox, start))
}

/// Returns what hands the history to the thread, and then what waits for its end.
fn on_start(start: SyncSender<Arc<dyn History>>, thread: JoinHandle<()>) -> crate::host::Start {
    Box::new(move |history| {
        // A thread that is gone is found at the stop.
        drop(start.send(history));
        let thread = Mutex::new(Some(thread));
        Box::new(move || {
            let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            if thread.is_some_and(|thread| thread.join().is_err()) {
                tracing::error!("the thread of the cluster panicked");
            }
        })
    })
}

/// Asks for the line until the engine answers.
async fn find(engine: &dyn Engine, if_none: IfNone, within: Duration) -> Result<Joined, JoinError> {
    let mut none_since: Option<Instant> = None;
    let mut fault = None;
    let attempts = async {
        loop {
            let unused_for = none_since.map(|since| since.elapsed());
            match engine.init(proposal(if_none, unused_for)).await {
                Ok(Init::Made(line)) => {
                    let engine = engine.name();
                    tracing::info!(
                        engine,
                        "this hub begins the cluster: its name was not in use"
                    );
                    return Ok(joined(line));
                }
                Ok(Init::Found(line)) => return Ok(joined(line)),
                Ok(Init::Half) => return Err(JoinError::Half),
                Ok(Init::None) => match if_none {
                    // It is asked again until it may be made.
                    IfNone::Make(..) => {
                        none_since.get_or_insert_with(Instant::now);
                    }
                    IfNone::PutBack(secret, epoch) => return Ok((secret, epoch)),
                    IfNone::Refuse => return Err(JoinError::None),
                },
                Err(error) => {
                    if fault.is_none() {
                        let (engine, error) = (engine.name(), error.line());
                        tracing::warn!(engine, error, "waiting for the cluster's engine");
                    }
                    fault = Some(error);
                    none_since = None;
                    engine.reset(Path::Publish);
                }
            }
            sleep(ASK_AGAIN).await;
        }
    };
    match timeout(within, attempts).await {
        Ok(found) => found,
        Err(_late) => Err(JoinError::Engine { within, fault }),
    }
}

/// The secret of a line, and its epoch as far as it is known: the member reads it at each look.
type Joined = (Epoch, EpochId);

const fn joined(line: Line) -> Joined {
    (line.secret, line.epoch)
}

/// Returns what is proposed to an engine that was seen without a line for so long.
fn proposal(if_none: IfNone, unused_for: Option<Duration>) -> Proposal {
    match if_none {
        IfNone::Make(proposal, after) if unused_for.is_some_and(|unused| unused >= after) => {
            proposal
        }
        IfNone::Make(..) | IfNone::PutBack(..) | IfNone::Refuse => Proposal {
            epoch: EpochId::new(0),
            secret: None,
        },
    }
}

/// Runs the member once there is a history, until the relay is stopped.
fn serve(
    runtime: &Runtime,
    others: (&dyn Engine, Option<&dyn Peers>),
    options: Options,
    line: Joined,
    (inbox, wake, histories): (Arc<Inbox>, Arc<Notify>, Receiver<Arc<dyn History>>),
) {
    // The relay was dropped before it was started.
    let Ok(history) = histories.recv() else {
        return;
    };
    let host = Host::new(options, history, Arc::clone(&inbox), line, Duration::ZERO);
    runtime.block_on(run(others, host, &inbox, &wake));
}

async fn run(
    (engine, peers): (&dyn Engine, Option<&dyn Peers>),
    mut host: Host,
    inbox: &Inbox,
    wake: &Notify,
) {
    let begin = Instant::now();
    let mut calls = Calls::default();
    let mut fetch = None;
    let mut end = None;
    let mut told = Told::default();
    let mut differs = Vec::new();
    let mut held = BTreeSet::new();
    loop {
        for wanted in host.work(begin.elapsed()) {
            match wanted {
                Wanted::Reset(path) => {
                    *calls.of_mut(path) = None;
                    engine.reset(path);
                }
                Wanted::Call(request) => {
                    let path = request.path();
                    *calls.of_mut(path) = Some(request.call(engine));
                }
                Wanted::Fetch(Fetch {
                    ticket,
                    address,
                    ask,
                }) => fetch = peers.map(|peers| (ticket, peers.fetch(address, ask))),
            }
        }
        tell(engine, &host, &mut told);
        tell_differences(&host, &mut differs);
        tell_held(host.member().roster(), &mut held);
        if inbox.is_closed() {
            let end = *end.get_or_insert_with(|| Instant::now() + STOP_WITHIN);
            if host.member().waiting() == 0 || Instant::now() >= end {
                host.close();
                return release(engine, &host, &mut calls).await;
            }
        }
        let due = host.due().map(|due| begin + due);
        let due = due.into_iter().chain(end).min();
        tokio::select! {
            () = wake.notified() => {}
            () = until(due) => {}
            (path, result) = answered(&mut calls) => inbox.push(Input::Reply(path, result)),
            (ticket, result) = fetched(&mut fetch) => inbox.push(Input::Fetched(ticket, result)),
        }
    }
}

/// Gives up what the hub holds, so that another hub goes on at once.
async fn release(engine: &dyn Engine, host: &Host, calls: &mut Calls<'_>) {
    let released = timeout(RELEASE_WITHIN, async {
        // A renewal that is on its way must not come after it.
        if let Some(call) = calls.of_mut(Path::Control).take() {
            call.await?;
        }
        for lease in host.member().releases() {
            engine.lease(lease).await?;
        }
        Ok::<(), EngineError>(())
    });
    if !matches!(released.await, Ok(Ok(()))) {
        tracing::debug!("what this hub holds of its cluster could not be given up: it lapses");
    }
}

/// What the log was told.
#[derive(Default)]
struct Told {
    /// Why the hub orders no updates.
    reason: Option<Arc<str>>,
    /// Whether it ever could.
    followed: bool,
    counters: Counters,
}

/// Says in the log what became of the hub's part in the cluster since the last time.
fn tell(engine: &dyn Engine, host: &Host, told: &mut Told) {
    let engine = engine.name();
    let (now, before) = (host.member().counters(), told.counters);
    if now != before {
        tell_counters(engine, &now, &before);
        told.counters = now;
    }
    let reason = host.member().reason();
    if reason == told.reason {
        return;
    }
    match (&reason, &told.reason) {
        (Some(_), _) if !told.followed => {}
        // It has said itself what it does.
        (Some(_), None) if host.member().standing() == Standing::Fetching => {}
        (Some(reason), None) => tracing::warn!(
            engine,
            %reason,
            "the cluster's engine is away: publishers wait, subscribers stay connected"
        ),
        (None, _) => {
            let first = !told.followed;
            told.followed = true;
            tracing::info!(
                engine,
                first,
                "the hub follows its cluster and takes updates"
            );
        }
        (Some(reason), Some(_)) => tracing::debug!(engine, %reason, "the engine is still away"),
    }
    told.reason = reason;
}

/// Says what was counted that an operator should know of.
fn tell_counters(engine: &str, now: &Counters, before: &Counters) {
    if now.rewinds > before.rewinds {
        tracing::warn!(
            engine,
            "the engine has fewer updates than this hub: it was restarted or replaced, and lost some"
        );
    }
    if now.heals > before.heals {
        let updates = now.healed - before.healed;
        tracing::warn!(
            engine,
            updates,
            "this hub put back what the engine had lost"
        );
    }
    if now.forks > before.forks {
        tracing::warn!(
            engine,
            "the engine has other updates than this hub, as after a failover: this hub takes over the \
             engine's, and its subscribers reconnect"
        );
    }
    if now.republished > before.republished {
        let updates = now.republished - before.republished;
        tracing::warn!(
            engine,
            updates,
            "published again what was acknowledged and the engine lost"
        );
    }
    if now.holes > before.holes {
        tracing::error!(
            engine,
            "updates are missing in this hub's history: it was away for longer than the engine \
             keeps them (cluster.window_bytes), and no other hub gave them"
        );
    }
    if now.epochs > before.epochs {
        tracing::warn!(engine, "the engine's log has a new epoch");
    }
    if now.stale > before.stale {
        tracing::warn!(
            engine,
            "this hub read from a server that gets no new updates: it connects anew"
        );
    }
    if now.expired > before.expired {
        let publishers = now.expired - before.expired;
        tracing::debug!(
            engine,
            publishers,
            "publishers waited in vain (cluster.max_wait_ms)"
        );
    }
}

/// Says in the log in which settings another hub differs, once for each.
fn tell_differences(host: &Host, told: &mut Vec<(Sender, Difference)>) {
    let differences = host.member().differences();
    if differences == *told {
        return;
    }
    for (peer, difference) in differences.iter().filter(|one| !told.contains(one)) {
        let Difference { group, key, needed } = difference;
        let (node, serves) = (peer.node, *needed == Needed::Similar);
        tracing::warn!(%node, %group, %key, serves, "another hub of the cluster has another setting");
    }
    differences.clone_into(told);
}

/// Says in the log what of the cluster's single tasks this hub took over or gave up.
fn tell_held(roster: &Roster, told: &mut BTreeSet<Arc<str>>) {
    for Named { name, holder, .. } in &roster.named {
        match holder {
            Holder::Here if told.insert(Arc::clone(name)) => {
                tracing::info!(lease = %name, "this hub does now what one hub of the cluster does");
            }
            Holder::Another(by) if told.remove(name) => {
                tracing::warn!(lease = %name, by = %by.node, "another hub took over from this one");
            }
            Holder::Unknown if told.remove(name) => tracing::warn!(
                lease = %name,
                "this hub stops what one hub of the cluster does: the engine is away for too long"
            ),
            Holder::Here | Holder::Another(_) | Holder::Unknown => {}
        }
    }
}

/// The calls in flight.
type Calls<'a> = ByPath<Option<Call<'a, Reply>>>;

/// Waits for the first answer.
async fn answered(calls: &mut Calls<'_>) -> (Path, Result<Reply, EngineError>) {
    poll_fn(|cx| {
        for path in Path::ALL {
            let slot = calls.of_mut(path);
            if let Some(call) = slot
                && let Poll::Ready(result) = call.as_mut().poll(cx)
            {
                *slot = None;
                return Poll::Ready((path, result));
            }
        }
        Poll::Pending
    })
    .await
}

/// Waits for the answer of another hub.
async fn fetched(fetch: &mut Option<(u64, PeerCall<'_>)>) -> (u64, Result<Page, PeerError>) {
    let Some((ticket, call)) = fetch else {
        return std::future::pending().await;
    };
    let answer = (*ticket, call.as_mut().await);
    *fetch = None;
    answer
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// How soon an engine is asked again that did not answer at the start.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// How long giving up leases may take.
const RELEASE_WITHIN: Duration = Duration::from_secs(1);
/// How long a relay that is stopped waits for what it sent.
const STOP_WITHIN: Duration = Duration::from_secs(2);
