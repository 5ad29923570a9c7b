//! The hand-over, on the side of the process that runs: it gives its listeners, then its history, and
//! forwards what its publishers still send.
//!
//! ```text
//!  next process                    this one
//!     take_over ─────────────────▶
//!               ◀───────────────── listeners, as descriptors
//!     (reads files, starts threads)
//!     release   ─────────────────▶ publishers wait; the history is closed and followed
//!               ◀───────────────── done
//!     (opens the history, serves)
//!     ready     ─────────────────▶ publishers go on, by the next process; streams drain
//! ```
//!
//! If the next process does not get ready, the history is taken back and everything goes on here.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tidings_cluster::{Movable, Successor};
use tidings_history::{Handle, ReclaimError};
use tokio::sync::mpsc;

use super::forward::Forwarder;
use super::message::{
    HAND_OVER_VERSION, ListenerName, Offer, Release, Step, read_line, send_files, write_line,
};
use crate::binding::inherited::Kept;

/// How long the next process may take until it wants the history: it reads keys from files, and may
/// wait for a slow disk.
const PREPARE_MAX: Duration = Duration::from_secs(60);
/// How long it may then take to serve. Publishers wait for that long.
const READY_MAX: Duration = Duration::from_secs(10);
/// How long to try to take the history back.
const RECLAIM_MAX: Duration = Duration::from_secs(5);
/// Pause between two tries.
const RECLAIM_PAUSE: Duration = Duration::from_millis(20);

/// What there is to hand over.
pub(crate) struct Estate {
    pub(crate) relay: Arc<Movable>,
    pub(crate) history: Handle,
    /// The history's file. Nothing if it cannot be handed over.
    pub(crate) path: Option<PathBuf>,
    pub(crate) listeners: Mutex<Kept>,
    /// Hands the history's completions over to the shards.
    pub(crate) on_answered: Arc<dyn Fn() + Send + Sync>,
    /// Held while it is being decided who has the history.
    pub(crate) deciding: Mutex<()>,
    /// The process that this one took over from, while that one drains. 0 if there is none.
    pub(crate) earlier: AtomicU32,
}

impl Estate {
    /// Closes the descriptors that were kept for a process that takes over.
    pub(crate) fn close_listeners(&self) {
        drop(std::mem::take(&mut *self.listeners()));
    }

    fn listeners(&self) -> MutexGuard<'_, Kept> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The other process serves now.
    HandedOver,
    /// The next process is gone, and the history did not come back.
    Lost(ReclaimError),
}

/// Why there was no hand-over, after which everything goes on as before.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the other process: {0}")]
    Peer(#[from] io::Error),
    #[error("{0}")]
    Refused(String),
}

/// Serves one process that wants to take over, on a thread of its own.
///
/// # Errors
///
/// The system has no thread for it.
pub(crate) fn start(
    stream: UnixStream,
    version: u32,
    estate: Arc<Estate>,
    outcomes: mpsc::Sender<Outcome>,
) -> io::Result<()> {
    thread::Builder::new()
        .name("hand-over".into())
        .spawn(move || {
            let outcome = match attempt(stream, version, &estate) {
                Ok(outcome) => outcome,
                Err(error) => {
                    return tracing::warn!(%error, "a hand-over was refused or failed; nothing changes here");
                }
            };
            // Nobody listens any more if the hub has ended meanwhile.
            drop(outcomes.blocking_send(outcome));
        })?;
    Ok(())
}

fn attempt(mut stream: UnixStream, version: u32, estate: &Estate) -> Result<Outcome, Failure> {
    stream.set_write_timeout(Some(PREPARE_MAX))?;
    stream.set_read_timeout(Some(PREPARE_MAX))?;
    offer(&mut stream, version, estate)?;
    let step = read_line(&mut stream)?;
    let Step::Release = step else {
        return Err(Failure::Refused(
            "it is ready before it has the history".into(),
        ));
    };
    let deciding = estate.deciding.lock();
    let _deciding = deciding.unwrap_or_else(PoisonError::into_inner);
    let began = Instant::now();
    if !estate.relay.hold() {
        let reason = "another process has taken over already".to_owned();
        write_line(&mut stream, &Release::Refused(reason.clone()))?;
        return Err(Failure::Refused(reason));
    }
    if let Err(error) = estate.history.release() {
        estate.relay.go_on(None);
        write_line(&mut stream, &Release::Refused(error.to_string()))?;
        return Err(Failure::Refused(error.to_string()));
    }
    match give(stream, estate) {
        Ok((pid, successor)) => {
            estate.relay.go_on(Some(successor));
            let held_ms = began.elapsed().as_millis();
            tracing::info!(pid, held_ms, "another process has taken over");
            Ok(Outcome::HandedOver)
        }
        Err(error) => {
            tracing::error!(%error, "the process that was to take over did not get ready");
            Ok(match take_back(estate) {
                Ok(()) => return Err(Failure::Peer(error)),
                Err(error) => Outcome::Lost(error),
            })
        }
    }
}

/// Gives the listeners.
fn offer(stream: &mut UnixStream, version: u32, estate: &Estate) -> Result<(), Failure> {
    let earlier = estate.earlier.load(Ordering::Acquire);
    let refusal = match &estate.path {
        _ if version != HAND_OVER_VERSION => Some(format!(
            "the running hub hands over by version {HAND_OVER_VERSION}, and this one asks by \
             version {version}: stop the running hub and start this one"
        )),
        None => Some(
            "the history of the running hub is not in a file of its own, or a cluster orders it, so \
             it cannot be handed over: stop the running hub and start this one"
                .to_owned(),
        ),
        // It passes on what its publishers send, so this process cannot end before it.
        Some(_) if earlier != 0 => Some(format!(
            "process {earlier}, from which the running hub took over, still drains: try again when \
             it has ended"
        )),
        Some(_) => None,
    };
    if let Some(refusal) = refusal {
        write_line(stream, &Offer::Refused(refusal.clone()))?;
        return Err(Failure::Refused(refusal));
    }
    let kept = estate.listeners();
    let listeners = kept.0.iter();
    let names = listeners.clone().map(|entry| ListenerName {
        name: entry.name.clone(),
        configured: entry.configured,
    });
    let offer = Offer::Listeners {
        pid: std::process::id(),
        history: estate.path.clone().unwrap_or_default(),
        listeners: names.collect(),
    };
    write_line(stream, &offer)?;
    let files: Vec<_> = listeners.map(|entry| entry.listener.as_fd()).collect();
    send_files(stream, &files)?;
    Ok(())
}

/// Gives the history, which is released, and waits until the next process serves.
fn give(mut stream: UnixStream, estate: &Estate) -> io::Result<(u32, Arc<dyn Successor>)> {
    stream.set_read_timeout(Some(READY_MAX))?;
    write_line(&mut stream, &Release::Done)?;
    let Step::Ready { pid } = read_line(&mut stream)? else {
        return Err(io::Error::other("it asks for the history again"));
    };
    let on_answered = Arc::clone(&estate.on_answered);
    let forwarder = Forwarder::start(stream, Box::new(move || on_answered()))?;
    Ok((pid, Arc::new(forwarder)))
}

/// Takes the history back from a process that is gone, or is going.
fn take_back(estate: &Estate) -> Result<(), ReclaimError> {
    let deadline = Instant::now() + RECLAIM_MAX;
    loop {
        match estate.history.reclaim() {
            Ok(()) => {
                estate.relay.go_on(None);
                return Ok(());
            }
            Err(ReclaimError::Open(_)) if Instant::now() < deadline => {
                thread::sleep(RECLAIM_PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
}
