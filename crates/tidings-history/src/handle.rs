//! The public handle of the history: starts its two threads and hides their queues.

mod purge;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tidings_cluster::{Batch, BatchDone, Cut, CutDone, Done, History, RelayError, StretchDone};
use tidings_core::{Claim, Draft, EventId, HolderKey, IdSeal, Position, Print, Update};

use crate::append::{Append, Outlet};
use crate::clock::{Clock, Reading};
use crate::handover::Follower;
use crate::health::Health;
use crate::options::{Kind, Options, Order, Retention};
use crate::published::{Bounds, Published, Stats, Tip};
use crate::queue::{Queue, Rejected, Taken};
use crate::reader::{CursorReply, PageReply, ReadError, Reader, Request, ResolveReply, Resolved};
use crate::removed::Removed;
use crate::sabotage::{Rule, skips};
use crate::storage::{
    self, Announced, MemoryStorage, NoStorage, SqliteStorage, Storage, StorageError,
};
use crate::writer::Writer;

/// A handle to the history for other threads. Clones share the history.
///
/// When the last clone is dropped, the threads finish queued work and end. Only
/// [`close`](Self::close) waits for that.
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

/// Why a history could not be started.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] storage::OpenError),
    /// The reading side of the storage cannot be opened.
    #[error("the history cannot be opened for reading")]
    Reader(#[source] StorageError),
    /// A thread cannot be started.
    #[error("a thread of the history cannot be started")]
    Thread(#[source] io::Error),
    /// The history was made by a hub without a cluster.
    #[error(
        "the history orders its updates itself, so it cannot take those of a cluster: \
         give the hub another file for its history"
    )]
    OrdersItself,
    /// The history was made by a hub of a cluster.
    #[error(
        "the history holds the updates of a cluster, and a hub without one would order others \
         after them: start the hub in its cluster, or give it another file for its history"
    )]
    OrderedByRelay,
    /// The history was made by a hub of another cluster.
    #[error(
        "the history holds the updates of another cluster, or of this one before it began anew: \
         give the hub another file for its history"
    )]
    OtherEpoch,
}

/// Opens the history that `options` describe, and starts its threads.
///
/// `outlet` receives each committed group; `clock` is read once per group, and once a second.
///
/// # Errors
///
/// [`OpenError`] if the history cannot be used, for instance because another hub uses it.
pub fn start(options: Options, outlet: Outlet, clock: Clock) -> Result<Handle, OpenError> {
    let storage = open_storage(&options.kind, options.order)?;
    start_with(storage, options, outlet, clock, Removal::Allowed)
}

/// Opens the history that another process just [let go of](Handle::release) and still reads.
///
/// Nothing is removed until [`Handle::allow_removal`], because the other process does not learn
/// of removals. Otherwise the same as [`start`].
///
/// # Errors
///
/// As for [`start`].
pub fn start_beside(options: Options, outlet: Outlet, clock: Clock) -> Result<Handle, OpenError> {
    let storage = open_storage(&options.kind, options.order)?;
    start_with(storage, options, outlet, clock, Removal::Held)
}

pub(crate) fn open_storage(
    kind: &Kind,
    order: Order,
) -> Result<Box<dyn Storage>, storage::OpenError> {
    Ok(match kind {
        Kind::File { path } => Box::new(SqliteStorage::open(path, order)?),
        Kind::Memory => Box::new(MemoryStorage::new(order)),
        Kind::None => Box::new(NoStorage::new(order)),
    })
}

/// Whether retention may remove updates.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Removal {
    Allowed,
    Held,
}

/// Starts the threads of a history in `storage`, regardless of `options.kind`.
///
/// # Errors
///
/// [`OpenError`] if the storage cannot be read or a thread cannot be started.
fn start_with(
    storage: Box<dyn Storage>,
    options: Options,
    outlet: Outlet,
    clock: Clock,
    removal: Removal,
) -> Result<Handle, OpenError> {
    // From here on, an early return drops the handle and thereby ends the started thread.
    let (handle, detached) = detached(storage, options, outlet)?;
    let held = removal == Removal::Held;
    handle.shared.published.hold_removal(held);
    let Detached {
        writer,
        reader,
        appends,
        reads,
        group_max,
        ..
    } = detached;
    let letting_go = Arc::clone(&handle.shared.letting_go);
    let write = start_writing(Writing {
        writer,
        queue: appends,
        clock,
        group_max,
        letting_go,
    })
    .map_err(OpenError::Thread)?;
    let read = thread::Builder::new()
        .name("history-read".into())
        .spawn(move || read_loop(reader, &reads))
        .map_err(OpenError::Thread)?;
    *handle.shared.threads() = Threads {
        write: Some(write),
        read: Some(read),
        follow: None,
    };
    Ok(handle)
}

/// What the writer's thread works with.
pub(crate) struct Writing {
    pub(crate) writer: Writer,
    pub(crate) queue: Arc<Queue<Append>>,
    pub(crate) clock: Clock,
    pub(crate) group_max: usize,
    pub(crate) letting_go: Arc<AtomicBool>,
}

/// What the writer's thread leaves for a later one, if it let go of the storage.
pub(crate) type Left = Option<(Writer, Clock, usize)>;

pub(crate) fn start_writing(writing: Writing) -> io::Result<JoinHandle<Left>> {
    thread::Builder::new()
        .name("history-write".into())
        .spawn(move || write_loop(writing))
}

/// Opens a history without threads: a simulator drives [`Detached`] step by step instead.
///
/// # Errors
///
/// [`OpenError`] if the storage cannot be read, or has another order than `options`.
pub fn detached(
    storage: Box<dyn Storage>,
    options: Options,
    outlet: Outlet,
) -> Result<(Handle, Detached), OpenError> {
    let order = storage.order();
    check_order(order, options.order)?;
    let mut writer = Writer::new(storage, options.retention, outlet);
    let announced = writer.announced().map_err(OpenError::Reader)?;
    let for_hubs = writer.for_hubs().map_err(OpenError::Reader)?;
    let left_line_at = writer.left_line_at().map_err(OpenError::Reader)?;
    let holder_key = writer.holder_key();
    let reader_storage = writer.open_reader().map_err(OpenError::Reader)?;
    let published = writer.published();
    let reader = Reader::new(
        reader_storage,
        Arc::clone(&published),
        writer.seal().clone(),
        options.cache_bytes_max,
    );
    let appends = Arc::new(Queue::new(match order {
        Order::Own(_) => options.queue_max,
        Order::Relay(_) => options.queue_max.min(BATCHES_MAX),
    }));
    let reads = Arc::new(Queue::new(options.reads_max));
    let shared = Shared {
        seal: writer.seal().clone(),
        kind: options.kind,
        order,
        letting_go: Arc::default(),
        published,
        appends: Arc::clone(&appends),
        reads: Arc::clone(&reads),
        announced: Mutex::new(announced),
        for_hubs: Mutex::new(for_hubs),
        left_line_at,
        holder_key,
        threads: Mutex::new(Threads::default()),
    };
    let handle = Handle {
        shared: Arc::new(shared),
    };
    let group_max = options.group_max.max(1);
    let detached = Detached {
        writer,
        reader,
        appends,
        reads,
        group_max,
    };
    Ok((handle, detached))
}

/// Checks that a history has the requested order.
fn check_order(found: Order, wanted: Order) -> Result<(), OpenError> {
    match (found, wanted) {
        // The requested epoch is for a new history.
        (Order::Own(_), Order::Own(_)) => Ok(()),
        (Order::Own(_), Order::Relay(_)) => Err(OpenError::OrdersItself),
        (Order::Relay(_), Order::Own(_)) => Err(OpenError::OrderedByRelay),
        (Order::Relay(found), Order::Relay(wanted)) if found != wanted => {
            Err(OpenError::OtherEpoch)
        }
        (Order::Relay(_), Order::Relay(_)) => Ok(()),
    }
}

/// The work of the history's two threads, done on request.
pub struct Detached {
    writer: Writer,
    reader: Reader,
    appends: Arc<Queue<Append>>,
    reads: Arc<Queue<Request>>,
    group_max: usize,
}

impl Detached {
    /// Commits the queued updates as one group of at most `updates_max`. Returns whether there were
    /// any.
    pub fn write(&mut self, updates_max: usize, now: Reading) -> bool {
        let mut batch = Vec::new();
        let updates_max = updates_max.clamp(1, self.group_max);
        if self.appends.take(&mut batch, updates_max, Duration::ZERO) != Taken::Items {
            return false;
        }
        self.writer.on_batch(&mut batch, now);
        true
    }

    /// Answers the queued read requests. Returns whether there were any.
    pub fn read(&mut self) -> bool {
        let mut requests = Vec::new();
        if self.reads.take(&mut requests, REQUESTS_MAX, Duration::ZERO) != Taken::Items {
            return false;
        }
        self.reader.on_requests(&mut requests);
        true
    }

    /// Runs the once-a-second work, and one slice of maintenance.
    pub fn tick(&mut self, now: Reading) {
        self.writer.on_tick(now);
        self.writer.on_slack();
        self.reader.on_tick();
    }

    /// Does one slice of upkeep. Returns whether more is to be done before the next tick.
    pub fn upkeep(&mut self) -> bool {
        self.writer.on_slack();
        self.writer.has_work()
    }

    /// Tidies up before the end of the process.
    pub fn close(&mut self) {
        self.writer.close();
    }
}

impl Handle {
    /// Requests the page that contains the position after `after`.
    ///
    /// The page is empty if nothing was committed after `after`. To read everything, repeat with
    /// the page's `next` until a page is empty. `reply` is called on the reader thread, or on the
    /// calling thread if the request cannot be queued.
    pub fn read_page(&self, after: Position, reply: PageReply) {
        let rejected = match self.shared.reads.push(Request::Page { after, reply }) {
            Ok(()) => return,
            Err(rejected) => rejected,
        };
        reject(rejected);
    }

    /// Finds the position after which a subscriber with the cursor `cursor` continues.
    ///
    /// An id made by the hub refers to the update at its position only if it matches that update's
    /// print. `recent` returns the prints that the caller has in memory: in that case `reply` is
    /// called on this thread before this function returns. Other ids are looked up on the reader
    /// thread. If a publisher used its own id more than once, the id refers to the earliest stored
    /// update.
    pub fn resolve(
        &self,
        cursor: Arc<str>,
        recent: impl FnOnce(Position) -> Option<Print>,
        reply: ResolveReply,
    ) {
        let bounds = self.bounds();
        if self.shared.kind == Kind::None {
            return reply(Ok(Resolved::Unknown {
                oldest: bounds.oldest,
            }));
        }
        let claim = self.shared.seal.open(&cursor);
        let claim = match claim.map(|claim| self.judge(claim, bounds, recent)) {
            Some(Judgement::Fits(position)) => return reply(Ok(Resolved::After(position))),
            Some(Judgement::Open(claim)) => Some(claim),
            Some(Judgement::Lost) => {
                self.shared.published.on_cursor_lost();
                None
            }
            Some(Judgement::Foreign) | None => None,
        };
        let request = Request::Find {
            id: cursor,
            claim,
            reply,
        };
        if let Err(rejected) = self.shared.reads.push(request) {
            reject(rejected);
        }
    }

    /// Evaluates a claim as far as possible without the disk.
    fn judge(
        &self,
        claim: Claim,
        bounds: Bounds,
        recent: impl FnOnce(Position) -> Option<Print>,
    ) -> Judgement {
        let position = claim.position();
        if position > bounds.last {
            // A forged id claims any of 2⁶⁴ positions. In a cluster another hub may be ahead.
            let distance = position.get() - bounds.last.get();
            return match self.shared.order {
                Order::Own(_) if distance <= LOST_MAX => Judgement::Lost,
                Order::Own(_) | Order::Relay(_) => Judgement::Foreign,
            };
        }
        // Nothing is missing if the update after the cursor is stored, even if the cursor's own is
        // not.
        if position.next() < bounds.oldest {
            return Judgement::Foreign;
        }
        if skips(Rule::VouchForIds) {
            return Judgement::Fits(position);
        }
        let print = if position <= self.shared.published.unprinted_through() {
            None
        } else {
            let print = recent(position).or_else(|| self.tip_print(position));
            if print.is_none() {
                return Judgement::Open(claim);
            }
            print
        };
        match self.shared.seal.vouches(claim, print) {
            true => Judgement::Fits(position),
            false => Judgement::Lost,
        }
    }

    /// Returns the print at `position` if it is the newest position.
    fn tip_print(&self, position: Position) -> Option<Print> {
        let tip = self.tip();
        tip.print.filter(|_| tip.position == position)
    }

    /// Finds the hub's id of the update at `position`, even if its publisher chose another. Returns
    /// nothing if the update was removed so long ago that no cursor at that position is known.
    pub fn cursor(&self, position: Position, reply: CursorReply) {
        let unprinted = position <= self.shared.published.unprinted_through();
        let print = self.tip_print(position);
        if unprinted || print.is_some() {
            return reply(Ok(Some(self.shared.seal.seal(position, print))));
        }
        if let Err(rejected) = self.shared.reads.push(Request::Cursor { position, reply }) {
            reject(rejected);
        }
    }

    /// Returns the newest update's place and print.
    #[must_use]
    pub fn tip(&self) -> Tip {
        self.shared.published.tip()
    }

    /// Returns what seals positions of this history into event ids.
    #[must_use]
    pub fn seal(&self) -> &IdSeal {
        &self.shared.seal
    }

    /// Returns the key for holders of subscriptions. It never changes during the life of the
    /// history.
    #[must_use]
    pub fn holder_key(&self) -> &HolderKey {
        &self.shared.holder_key
    }

    /// Takes the subscriptions that an earlier process started and did not end. The caller must
    /// publish their end, or find their new holders.
    #[must_use]
    pub fn take_announced(&self) -> Vec<Announced> {
        let mut announced = self
            .shared
            .announced
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut announced)
    }

    /// Takes the messages for hubs that were stored when the history was opened, oldest first.
    #[must_use]
    pub fn take_for_hubs(&self) -> Vec<Arc<Update>> {
        let mut messages = self
            .shared
            .for_hubs
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut messages)
    }

    /// Returns where this history left a line last, before it was opened: the newest update then. Nothing
    /// if it never did, or if retention has removed a message for hubs that came after it.
    #[must_use]
    pub fn left_line_at(&self) -> Option<Position> {
        self.shared.left_line_at
    }

    /// Returns the hub's id of the newest update, even if its publisher chose another: the cursor
    /// of a subscriber that has everything. Returns nothing before the first update.
    #[must_use]
    pub fn last_id(&self) -> Option<EventId> {
        let tip = self.tip();
        let sealed = || self.shared.seal.seal(tip.position, tip.print);
        (tip.position > Position::ZERO).then(sealed)
    }

    /// Returns the position up to which presence events may have been removed.
    #[must_use]
    pub fn presence_trimmed(&self) -> Position {
        self.shared.published.presence_trimmed()
    }

    /// Returns the summary of removed presence events.
    #[must_use]
    pub fn removed(&self) -> Arc<Removed> {
        self.shared.published.removed()
    }

    /// Returns the stored positions.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.shared.published.bounds()
    }

    /// Returns whether updates are accepted and stored updates are readable. At most a second old
    /// for disk faults.
    #[must_use]
    pub fn health(&self) -> Health {
        self.shared.published.health()
    }

    /// Returns the counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.published.stats()
    }

    /// Changes the retention. What the new one removes is removed within seconds.
    pub fn set_retention(&self, retention: Retention) {
        self.shared.published.set_retention(retention);
    }

    /// Closes the history: refuses new items, commits queued ones, cleans up, ends the threads.
    ///
    /// Blocks until that is done. Must not be called from the outlet, `done` or a reply.
    pub fn close(self) {
        let threads = std::mem::take(&mut *self.shared.threads());
        let Threads {
            write,
            read,
            follow,
        } = threads;
        // The writer's connection closes last, because only it can remove the write-ahead log.
        self.shared.reads.close();
        join(read);
        self.shared.appends.close();
        join(write);
        drop(follow.and_then(Follower::stop));
    }
}

impl History for Handle {
    fn last(&self) -> Position {
        self.bounds().last
    }

    fn waiting(&self) -> usize {
        self.shared.appends.len()
    }

    fn append(&self, draft: Draft, done: Done) -> Result<(), RelayError> {
        match self.shared.order {
            Order::Own(_) => self.enqueue(Append::Draft { draft, done }),
            Order::Relay(_) => Err(wrong_order(WrongOrder::Draft)),
        }
    }

    fn append_ordered(&self, batch: Batch, done: BatchDone) -> Result<(), RelayError> {
        match self.shared.order {
            Order::Own(_) => Err(wrong_order(WrongOrder::Ordered)),
            Order::Relay(_) => self.enqueue(Append::Ordered { batch, done }),
        }
    }

    fn tip(&self) -> (Position, Option<Print>) {
        let Tip { position, print } = self.tip();
        (position, print)
    }

    fn oldest(&self) -> Position {
        self.bounds().oldest
    }

    fn takes_updates(&self) -> Result<(), RelayError> {
        match self.health() {
            Health::Ok | Health::Unreadable { .. } => Ok(()),
            Health::Refusing { reason } => Err(RelayError::Unavailable {
                cause: Arc::new(TakesNone(reason)),
            }),
            Health::Damaged { reason } | Health::Poisoned { reason } => Err(RelayError::Failed {
                cause: Arc::new(TakesNone(reason)),
            }),
        }
    }

    fn stretch(
        &self,
        from: Position,
        to: Position,
        bytes_max: u64,
        done: StretchDone,
    ) -> Result<(), RelayError> {
        let request = Request::Stretch {
            from,
            to,
            bytes_max,
            reply: done,
        };
        let pushed = self.shared.reads.push(request);
        pushed.map_err(|rejected| match rejected {
            Rejected::Full(_) => RelayError::Busy,
            Rejected::Closed(_) => RelayError::Closed,
        })
    }

    fn cut(&self, cut: Cut, done: CutDone) -> Result<(), RelayError> {
        match self.shared.order {
            Order::Own(_) => Err(wrong_order(WrongOrder::Ordered)),
            Order::Relay(_) => self.enqueue(Append::Cut { cut, done }),
        }
    }
}

/// The history takes no updates.
#[derive(Debug, thiserror::Error)]
#[error("the history takes no updates: {0}")]
struct TakesNone(Arc<str>);

impl Handle {
    fn enqueue(&self, append: Append) -> Result<(), RelayError> {
        let pushed = self.shared.appends.push(append);
        pushed.map_err(|rejected| match rejected {
            Rejected::Full(_) => RelayError::Busy,
            Rejected::Closed(_) => RelayError::Closed,
        })
    }
}

/// Items that a history never accepts, regardless of its state.
#[derive(Debug, thiserror::Error)]
enum WrongOrder {
    #[error("a draft came without its position, and the history's updates are ordered by a relay")]
    Draft,
    #[error("an update came with its position, and the history orders its updates itself")]
    Ordered,
}

fn wrong_order(error: WrongOrder) -> RelayError {
    RelayError::Failed {
        cause: Arc::new(error),
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("kind", &self.shared.kind)
            .finish_non_exhaustive()
    }
}

/// The verdict on a claim, without the disk.
enum Judgement {
    /// It names the update at this position.
    Fits(Position),
    /// The print at its position must be looked up.
    Open(Claim),
    /// This history, or a copy of it, made the id for an update that is not here.
    Lost,
    /// It is not an id of this history, or its update was removed by retention.
    Foreign,
}

/// An id up to this far beyond the newest position counts as the id of a lost update. A forged id
/// claims such a position with probability 2⁻³².
const LOST_MAX: u64 = 1 << 32;

pub(crate) struct Shared {
    seal: IdSeal,
    pub(crate) kind: Kind,
    pub(crate) order: Order,
    /// Whether the writer's thread leaves the storage to another process when it ends.
    pub(crate) letting_go: Arc<AtomicBool>,
    pub(crate) published: Arc<Published>,
    pub(crate) appends: Arc<Queue<Append>>,
    reads: Arc<Queue<Request>>,
    announced: Mutex<Vec<Announced>>,
    for_hubs: Mutex<Vec<Arc<Update>>>,
    left_line_at: Option<Position>,
    holder_key: HolderKey,
    threads: Mutex<Threads>,
}

#[derive(Default)]
pub(crate) struct Threads {
    pub(crate) write: Option<JoinHandle<Left>>,
    read: Option<JoinHandle<()>>,
    /// Instead of `write`, after the history was released.
    pub(crate) follow: Option<Follower>,
}

impl Shared {
    pub(crate) fn threads(&self) -> std::sync::MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.reads.close();
        self.appends.close();
    }
}

fn reject(rejected: Rejected<Request>) {
    let (request, error) = match rejected {
        Rejected::Full(request) => (request, ReadError::Busy),
        Rejected::Closed(request) => (request, ReadError::Closed),
    };
    match request {
        Request::Page { reply, .. } => reply(Err(error)),
        Request::Find { reply, .. } => reply(Err(error)),
        Request::Cursor { reply, .. } => reply(Err(error)),
        // The relay's way in keeps what was not queued.
        Request::Stretch { .. } => {}
    }
}

pub(crate) fn join<T>(thread: Option<JoinHandle<T>>) -> Option<T> {
    let ended = thread?.join();
    if ended.is_err() {
        tracing::error!("a thread of the history panicked");
    }
    ended.ok()
}

fn write_loop(writing: Writing) -> Left {
    let Writing {
        mut writer,
        queue,
        clock,
        group_max,
        letting_go,
    } = writing;
    let mut batch = Vec::with_capacity(group_max);
    // The first tick is due immediately: retention may have been shortened since the last start.
    let mut tick_at = Instant::now();
    loop {
        let timeout = match writer.has_work() {
            true => Duration::ZERO,
            false => tick_at.saturating_duration_since(Instant::now()),
        };
        match queue.take(&mut batch, group_max, timeout) {
            Taken::Items => {
                // Lets other threads on this core queue their items first, so that one sync covers
                // a larger group. With its own core this costs nothing.
                thread::yield_now();
                let more = group_max.saturating_sub(batch.len());
                queue.take(&mut batch, more, Duration::ZERO);
                writer.on_batch(&mut batch, clock());
            }
            Taken::TimedOut => {}
            Taken::Closed if letting_go.load(Ordering::Acquire) => {
                return Some((writer, clock, group_max));
            }
            Taken::Closed => {
                writer.close();
                return None;
            }
        }
        let now = Instant::now();
        if now >= tick_at {
            writer.on_tick(clock());
            tick_at = now + TICK;
        }
        writer.on_slack();
    }
}

fn read_loop(mut reader: Reader, queue: &Queue<Request>) {
    let mut requests = Vec::new();
    let mut tick_at = Instant::now() + TICK;
    loop {
        match queue.take(&mut requests, REQUESTS_MAX, TICK) {
            Taken::Items => reader.on_requests(&mut requests),
            Taken::TimedOut => {}
            Taken::Closed => return,
        }
        let now = Instant::now();
        if now >= tick_at {
            reader.on_tick();
            tick_at = now + TICK;
        }
    }
}

/// How often the writer checks retention and health.
const TICK: Duration = Duration::from_secs(1);

/// Maximum number of ordered batches queued for the writer: each may have a mebibyte or more.
const BATCHES_MAX: usize = 4;

/// Maximum number of requests that the reader takes at once.
const REQUESTS_MAX: usize = 4096;
