//! The hand-over, on the side of the process that comes next. What is said when is in `hand_over`.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tidings_cluster::Relay;
use tidings_history::{Handle, Kind};

use super::forward;
use super::hand_over::Estate;
use super::message::{
    HAND_OVER_VERSION, Offer, Release, Request, Step, read_line, receive_files, write_line,
};
use super::socket;
use crate::binding::inherited::{Inherited, Listening};

/// How long the running hub may take for an answer. It commits what is queued first.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// How long it may be silent before the log says who is waited for, and why.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// Why a running hub is not taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeOverError {
    #[error("cannot take over from the running hub by {path}")]
    Connect { path: PathBuf, source: io::Error },
    #[error(
        "the running hub (pid {pid}) did not answer within {} s{}", ANSWER_MAX.as_secs(),
        if *stopped { ": it is stopped; kill -CONT lets it go on, and kill -KILL ends it" } else { "" }
    )]
    Silent { pid: i32, stopped: bool },
    #[error("the running hub did not hand over")]
    Io(#[from] io::Error),
    #[error("the running hub does not hand over: {0}")]
    Refused(String),
    #[error(
        "the running hub writes the history {theirs}, and this configuration names {ours}: use the \
         same history, or stop the running hub first"
    )]
    OtherHistory { theirs: PathBuf, ours: PathBuf },
}

/// A running hub that is handing over.
#[derive(Debug)]
pub(crate) struct Predecessor {
    stream: UnixStream,
    pid: u32,
}

impl Predecessor {
    /// Returns whether a hub runs in `folder`.
    pub(crate) fn is_running(folder: &Path) -> bool {
        // One that cannot be asked is there.
        !matches!(socket::connect(folder), Ok(None))
    }

    /// Finds the hub that runs in `folder`, and takes its listeners. Returns nothing if none runs.
    ///
    /// # Errors
    ///
    /// It does not hand over, or writes another history than `history`.
    pub(crate) fn find(
        folder: &Path,
        history: &Kind,
    ) -> Result<Option<(Self, Inherited)>, TakeOverError> {
        let connected = socket::connect(folder).map_err(|source| TakeOverError::Connect {
            path: folder.join(socket::NAME),
            source,
        })?;
        let Some(mut stream) = connected else {
            return Ok(None);
        };
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let request = Request::TakeOver {
            version: HAND_OVER_VERSION,
        };
        let answer = write_line(&mut stream, &request).and_then(|()| {
            say_if_silent(&stream)?;
            read_line(&mut stream)
        });
        let offer = match answer {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let pid = pid_of(&stream);
                let stopped = is_stopped(pid);
                return Err(TakeOverError::Silent { pid, stopped });
            }
            // It was killed meanwhile: there is nobody to take over from.
            Err(error) if is_gone(&error) => return Ok(None),
            offer => offer?,
        };
        let (pid, theirs, names) = match offer {
            Offer::Listeners {
                pid,
                history,
                listeners,
            } => (pid, history, listeners),
            Offer::Refused(reason) => return Err(TakeOverError::Refused(reason)),
        };
        let ours = match history {
            Kind::File { path } => path.clone(),
            Kind::Memory | Kind::None => PathBuf::new(),
        };
        if !is_same(&theirs, &ours) {
            return Err(TakeOverError::OtherHistory { theirs, ours });
        }
        let files = receive_files(&stream, names.len())?;
        let listeners = names.into_iter().zip(files).map(|(name, file)| Listening {
            name: name.name,
            configured: name.configured,
            listener: TcpListener::from(file),
        });
        let inherited = Inherited::new(listeners.collect());
        Ok(Some((Self { stream, pid }, inherited)))
    }

    /// Has the running hub let go of the history.
    ///
    /// # Errors
    ///
    /// It does not.
    pub(crate) fn release(&mut self) -> Result<(), TakeOverError> {
        write_line(&mut self.stream, &Step::Release)?;
        match read_line(&mut self.stream)? {
            Release::Done => Ok(()),
            Release::Refused(reason) => Err(TakeOverError::Refused(reason)),
        }
    }

    /// Tells it that this process serves, and publishes what it forwards until it has ended. Until
    /// then `estate` is handed over to nobody.
    ///
    /// # Errors
    ///
    /// It is gone, or the system has no thread.
    pub(crate) fn ready(
        mut self,
        relay: Arc<dyn Relay>,
        history: Handle,
        estate: &Arc<Estate>,
    ) -> Result<(), TakeOverError> {
        let pid = std::process::id();
        let earlier = self.pid;
        estate.earlier.store(earlier, Ordering::Release);
        write_line(&mut self.stream, &Step::Ready { pid })?;
        tracing::info!(
            pid = earlier,
            "took over from a running hub, which drains now"
        );
        let estate = Arc::clone(estate);
        forward::serve(self.stream, relay, move || {
            history.allow_removal();
            estate.earlier.store(0, Ordering::Release);
            tracing::info!(pid = earlier, "the earlier process has ended");
        })?;
        Ok(())
    }
}

/// Says in the log who is waited for, if there is no answer at once.
fn say_if_silent(stream: &UnixStream) -> io::Result<()> {
    let patience = Timespec::try_from(SILENCE_MAX).map_err(io::Error::other)?;
    let mut ready = [PollFd::new(stream, PollFlags::IN)];
    if poll(&mut ready, Some(&patience))? == 0 {
        let pid = pid_of(stream);
        tracing::warn!(
            pid,
            stopped = is_stopped(pid),
            wait_secs = ANSWER_MAX.as_secs(),
            "waiting for the running hub, which has not answered yet; one that is stopped goes on \
             after kill -CONT"
        );
    }
    Ok(())
}

/// Returns the process that listens on the control socket, 0 if the system does not say.
fn pid_of(stream: &UnixStream) -> i32 {
    let peer = rustix::net::sockopt::socket_peercred(stream);
    peer.map_or(0, |peer| peer.pid.as_raw_pid())
}

/// Returns whether a process is stopped, by SIGSTOP for example; proc(5).
fn is_stopped(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state comes after the name in parentheses, which may hold anything.
    let state = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    state.starts_with(['T', 't'])
}

/// Returns whether the other process closed the connection, by ending for example.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// Says whether two paths are of one file.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(one) == real(other)
}
