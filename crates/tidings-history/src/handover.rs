//! Hands a history's file from one process to another while the first still serves subscribers.
//!
//! ```text
//!   writes ──release()──▶ follows what the other process writes
//!     ▲                        │
//!     └────────reclaim()───────┘  if the other process could not start
//! ```
//!
//! A released history hands every update of the other process to its outlet, like one of its own, so
//! streams go on without a gap. It accepts no updates.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tidings_core::{Position, Update};

use crate::append::{Outlet, Step};
use crate::clock::Clock;
use crate::handle::{Handle, Writing, join, open_storage, start_writing};
use crate::health::Health;
use crate::options::{Kind, Retention};
use crate::published::{Published, Side, Tip};
use crate::storage::{self, StorageReader};
use crate::writer::Writer;

/// How often a released history looks for new updates.
const FOLLOW_EVERY: Duration = Duration::from_millis(5);
/// Bytes of updates that are read and handed on as one group.
const GROUP_BYTES_MAX: u64 = 1024 * 1024;

/// Why a history was not released. It goes on as before.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// No other process can open it.
    #[error(
        "the history cannot be handed over: it is in memory, or its disk was full when the hub \
         started"
    )]
    NotShared,
    /// It has a fault, which the other process would meet too, or would not know of.
    #[error("the history cannot be handed over while it has a fault: {reason}")]
    Faulty {
        /// The fault.
        reason: Arc<str>,
    },
    /// It was released or closed before.
    #[error("the history was handed over before")]
    Gone,
    /// A thread cannot be started.
    #[error("a thread of the history cannot be started")]
    Thread(#[source] io::Error),
}

/// Why a released history cannot be written again.
#[derive(Debug, thiserror::Error)]
pub enum ReclaimError {
    /// It was not released.
    #[error("the history was not handed over")]
    NotReleased,
    /// The file cannot be opened, for instance because the other process still uses it.
    #[error(transparent)]
    Open(#[from] storage::OpenError),
    /// The file was replaced by another history.
    #[error("another history is in the place of the one that was handed over")]
    Another,
    /// A thread cannot be started.
    #[error("a thread of the history cannot be started")]
    Thread(#[source] io::Error),
}

impl Handle {
    /// Lets go of the file, so that another process can write it, and follows what that writes.
    ///
    /// Everything queued is committed and answered first. Later appends are refused as closed.
    /// Blocks for as long as the queue takes. Must not be called from the outlet, `done` or a reply.
    ///
    /// # Errors
    ///
    /// [`ReleaseError`]; the history goes on as before, except after
    /// [`ReleaseError::Thread`], which leaves it closed.
    pub fn release(&self) -> Result<(), ReleaseError> {
        let shared = &self.shared;
        match shared.published.health() {
            Health::Ok => {}
            Health::Unreadable { reason }
            | Health::Refusing { reason }
            | Health::Damaged { reason }
            | Health::Poisoned { reason } => return Err(ReleaseError::Faulty { reason }),
        }
        if !matches!(shared.kind, Kind::File { .. }) {
            return Err(ReleaseError::NotShared);
        }
        let write = shared.threads().write.take().ok_or(ReleaseError::Gone)?;
        shared.letting_go.store(true, Ordering::Release);
        shared.appends.close();
        let (writer, clock, group_max) = join(Some(write)).flatten().ok_or(ReleaseError::Gone)?;
        shared.letting_go.store(false, Ordering::Release);
        // Opened before the writer lets go: the reader keeps the log's index in use.
        let reader = match writer.open_shared_reader() {
            Ok(Some(reader)) => reader,
            refused => {
                let error = match refused {
                    Ok(_) => ReleaseError::NotShared,
                    Err(fault) => ReleaseError::Faulty {
                        reason: fault.line().into(),
                    },
                };
                self.write_on(writer, clock, group_max)
                    .map_err(ReleaseError::Thread)?;
                return Err(error);
            }
        };
        let (outlet, retention) = writer.let_go();
        let follower = Follower::start(Following {
            reader,
            published: Arc::clone(&shared.published),
            outlet,
            rest: Rest {
                retention,
                clock,
                group_max,
            },
        });
        shared.threads().follow = Some(follower.map_err(ReleaseError::Thread)?);
        Ok(())
    }

    /// Writes the file again, because the process that it was [released](Self::release) to is gone.
    /// What that process wrote is handed on first.
    ///
    /// # Errors
    ///
    /// [`ReclaimError`]. After [`ReclaimError::Open`] the history still follows the file, and the
    /// call may be repeated.
    pub fn reclaim(&self) -> Result<(), ReclaimError> {
        let shared = &self.shared;
        if shared.threads().follow.is_none() {
            return Err(ReclaimError::NotReleased);
        }
        // From here on nobody else writes, so that the follower's last look sees everything.
        let storage = open_storage(&shared.kind, shared.order)?;
        let follower = shared.threads().follow.take();
        let following = follower
            .and_then(Follower::stop)
            .ok_or(ReclaimError::NotReleased)?;
        let last = shared.published.tip().position;
        if storage.order() != shared.order || storage.extent().last != last {
            return Err(ReclaimError::Another);
        }
        let Following {
            published,
            outlet,
            rest,
            ..
        } = following;
        let writer = Writer::showing(storage, rest.retention, outlet, published);
        self.write_on(writer, rest.clock, rest.group_max)
            .map_err(ReclaimError::Thread)
    }

    /// Lets retention remove updates, after [`start_beside`](crate::start_beside): the other process
    /// is gone.
    pub fn allow_removal(&self) {
        self.shared.published.hold_removal(false);
    }

    fn write_on(&self, writer: Writer, clock: Clock, group_max: usize) -> io::Result<()> {
        let shared = &self.shared;
        shared.appends.reopen();
        let write = start_writing(Writing {
            writer,
            queue: Arc::clone(&shared.appends),
            clock,
            group_max,
            letting_go: Arc::clone(&shared.letting_go),
        })?;
        shared.threads().write = Some(write);
        Ok(())
    }
}

/// The thread that follows a released history.
pub(crate) struct Follower {
    stop: SyncSender<()>,
    thread: JoinHandle<Following>,
}

/// What it works with.
pub(crate) struct Following {
    reader: Box<dyn StorageReader>,
    published: Arc<Published>,
    outlet: Outlet,
    rest: Rest,
}

/// What a writer needs that may come after it.
struct Rest {
    retention: Retention,
    clock: Clock,
    group_max: usize,
}

impl Follower {
    fn start(following: Following) -> io::Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("history-follow".into())
            .spawn(move || following.run(&stopped))?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread after one more look. Returns what it worked with.
    pub(crate) fn stop(self) -> Option<Following> {
        drop(self.stop);
        join(Some(self.thread))
    }
}

impl Following {
    fn run(mut self, stopped: &Receiver<()>) -> Self {
        loop {
            let waited = stopped.recv_timeout(FOLLOW_EVERY);
            self.look();
            match waited {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return self,
            }
        }
    }

    /// Hands on everything that was committed since the last look.
    fn look(&mut self) {
        loop {
            let last = self.published.tip().position;
            let mut group = Vec::new();
            let read = self.reader.read(
                last.next(),
                Position::new(i64::MAX.unsigned_abs()),
                GROUP_BYTES_MAX,
                &mut group,
            );
            let reason = read.err().map(|fault| Arc::from(fault.line()));
            let failed = reason.is_some();
            self.published.on_unreadable(Side::Writer, reason);
            if failed || group.is_empty() {
                return;
            }
            self.hand_on(group);
        }
    }

    fn hand_on(&mut self, group: Vec<Arc<Update>>) {
        let Some(newest) = group.last() else { return };
        let tip = Tip {
            position: newest.position,
            print: newest.print,
        };
        let bytes = group.iter().map(|update| update.bytes()).sum();
        self.published.on_committed(tip, group.len(), bytes);
        (self.outlet)(Step::Committed(group));
        (self.outlet)(Step::Answered);
    }
}
