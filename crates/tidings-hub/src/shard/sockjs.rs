//! SockJS sessions that have no connection of their own. The hash of a session's id selects its shard. A
//! request on another shard reaches it through the inbox, and the frames go back to the request piece by
//! piece (decision 0012).
//!
//! ```text
//!          ┌────────────── without a receiver for disconnect_secs ──────────────┐
//! unknown ─┴─first receiver─▶ open ─closed by either side─▶ closed: says so to ─┴─▶ forgotten
//!                                                           whoever asks
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::hash::BuildHasher;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use tidings_wire::sockjs::outbound::joined_frame;
use tidings_wire::sockjs::{self, Framing, Text, close_frame};
use tidings_wire::websocket::close::CloseCode;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

use super::timers::Tick;
use super::{Delivery, Shard, Subscription};
use crate::account::{Crowded, Holder, Kind, OverLimit};
use crate::metrics::count;
use crate::session::carrier::{Carrier, Close, Take, Taken};
use crate::session::duplex;
use crate::session::socket::Socket;
use crate::session::{Ending, Opening, Session};
use crate::tasks;

/// Pieces that may wait between a session and the connection of its receiver.
const PIECES_MAX: usize = 1;
/// How long a receiver waits for another receiver that is about to leave, perhaps on another shard.
const RIVAL_PATIENCE: Duration = Duration::from_millis(100);

/// Seeds the hash that maps a session id to its shard. Peers cannot predict it.
#[derive(Debug)]
pub struct Seed(u64);

impl Default for Seed {
    fn default() -> Self {
        Self(fastrand::u64(..))
    }
}

/// A request on its way to the shard that holds its session.
#[derive(Debug)]
pub enum Request {
    /// Receive the session's frames.
    Receive(Box<Receive>),
    /// Send texts into the session.
    Send(Send),
}

/// See [`Request::Receive`].
#[derive(Debug)]
pub struct Receive {
    key: Box<str>,
    receiver: Receiver,
    /// The session to open if the key is unknown.
    new_session: Option<NewSession>,
    reply: oneshot::Sender<ReceiveReply>,
}

/// See [`Request::Send`].
#[derive(Debug)]
pub struct Send {
    key: Box<str>,
    texts: Vec<Text>,
    reply: oneshot::Sender<Result<oneshot::Receiver<()>, SendError>>,
}

/// What is needed to open a session.
#[derive(Debug)]
pub struct NewSession {
    /// The checked request of the first receiver.
    pub subscription: Subscription,
    /// Who opens it: the session counts against the same address.
    pub peer: Arc<Holder>,
}

/// The request that receives a session's frames.
#[derive(Debug)]
pub(crate) struct Receiver {
    framing: Framing,
    /// Bytes after which it ends, so that a browser can free them.
    bytes_max: usize,
    pieces: mpsc::Sender<Bytes>,
}

/// The shard's reply to a request that receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveReply {
    /// The receiver is attached. Its pieces follow.
    Begun,
    /// There is no such session.
    Unknown,
    /// There are too many sessions.
    Refused(Crowded),
    /// The memory limit is reached.
    Full(OverLimit),
    /// The inbox of the session's shard is full.
    Busy,
}

/// Why texts are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// There is no such session.
    Unknown,
    /// Earlier texts are still being processed.
    Clogged,
    /// The memory limit is reached.
    Full(OverLimit),
    /// The inbox of the session's shard is full.
    Busy,
}

/// One session, as requests find it.
#[derive(Debug)]
struct Entry {
    key: Box<str>,
    carrier: Rc<Carrier>,
    /// Gone once the session has ended.
    session: Weak<Session>,
    receiving: Cell<bool>,
    /// Tells rivals that the receiver has gone.
    left: Notify,
    /// When the last receiver left.
    left_at: Cell<Tick>,
    /// Whether it is in [`Sessions::looks`].
    look_queued: Cell<bool>,
    /// The holder that the session's memory is booked for.
    holder: Arc<Holder>,
}

/// The sessions of one shard.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    entries: RefCell<HashMap<Box<str>, Rc<Entry>>>,
    /// When to check whether a session is without a receiver. At most one entry for each session.
    looks: RefCell<BTreeMap<Tick, Vec<Rc<Entry>>>>,
}

/// The requesting side: it asks the shard that holds a session.
impl Shard {
    /// Attaches a receiver to a session. Opens the session if `new_session` is given and the key is unknown.
    pub async fn receive_sockjs(
        &self,
        key: &str,
        framing: Framing,
        bytes_max: usize,
        new_session: Option<NewSession>,
    ) -> (ReceiveReply, mpsc::Receiver<Bytes>) {
        let (pieces, receiving) = mpsc::channel(PIECES_MAX);
        let (reply, answer) = oneshot::channel();
        let receiver = Receiver {
            framing,
            bytes_max,
            pieces,
        };
        self.send_request(
            key,
            Request::Receive(Box::new(Receive {
                key: key.into(),
                receiver,
                new_session,
                reply,
            })),
        );
        (answer.await.unwrap_or(ReceiveReply::Busy), receiving)
    }

    /// Sends `texts` into a session, and waits until they were processed.
    ///
    /// # Errors
    ///
    /// Why they are not taken.
    pub async fn send_sockjs(&self, key: &str, texts: Vec<Text>) -> Result<(), SendError> {
        let (reply, answer) = oneshot::channel();
        let send = Send {
            key: key.into(),
            texts,
            reply,
        };
        self.send_request(key, Request::Send(send));
        let processed = answer.await.unwrap_or(Err(SendError::Busy))?;
        processed.await.map_err(|_ended| SendError::Unknown)
    }

    fn send_request(&self, key: &str, request: Request) {
        let hasher = foldhash::fast::FixedState::with_seed(self.shared.sockjs.0);
        let shards = self.shared.inboxes.len().max(1);
        let hash = usize::try_from(hasher.hash_one(key) >> 32).unwrap_or_default();
        if let Some(inbox) = self.shared.inboxes.get(hash % shards) {
            // A request that does not fit is dropped with its reply channel, which the requester notices.
            inbox.try_send(vec![Delivery::SockJs(request)]);
        }
    }
}

/// The side of the shard that holds a session.
impl Shard {
    /// Handles a request for a session of this shard.
    pub(super) fn on_sockjs_request(self: &Rc<Self>, request: Request) {
        match request {
            Request::Receive(receive) => self.on_receive(*receive),
            Request::Send(send) => {
                let result = self.on_send(&send.key, send.texts);
                // The requesting connection may be gone.
                send.reply.send(result).ok();
            }
        }
    }

    fn on_receive(self: &Rc<Self>, receive: Receive) {
        let Receive {
            key,
            receiver,
            new_session,
            reply,
        } = receive;
        let known = self.sockjs.entries.borrow().get(&key).cloned();
        let (entry, stage) = match (known, new_session) {
            (Some(entry), _) => (entry, Stage::Known),
            (None, None) => {
                reply.send(ReceiveReply::Unknown).ok();
                return;
            }
            (None, Some(new_session)) => match self.open_sockjs(key, new_session) {
                Ok(entry) => (entry, Stage::New),
                Err(refused) => {
                    reply.send(refused).ok();
                    return;
                }
            },
        };
        reply.send(ReceiveReply::Begun).ok();
        tasks::spawn(serve(Rc::clone(self), entry, receiver, stage));
    }

    fn open_sockjs(
        self: &Rc<Self>,
        key: Box<str>,
        new_session: NewSession,
    ) -> Result<Rc<Entry>, ReceiveReply> {
        let admitted = new_session.peer.for_session();
        let holder = admitted.map_err(ReceiveReply::Refused)?;
        let mut subscription = new_session.subscription;
        // The memory was booked for the requesting connection, which may end long before the session.
        let booked = subscription.admitted.book_for(&holder);
        booked.map_err(ReceiveReply::Full)?;
        let carrier = Rc::<Carrier>::default();
        let socket = Socket::Carrier(Rc::clone(&carrier));
        let opening = Opening::Head(Bytes::new());
        let session = self.hold(socket, subscription, opening, Arc::clone(&holder));
        let entry = Rc::new(Entry {
            key: key.clone(),
            carrier,
            session: Rc::downgrade(&session),
            receiving: Cell::new(false),
            left: Notify::new(),
            left_at: Cell::new(self.now()),
            look_queued: Cell::new(false),
            holder,
        });
        self.sockjs
            .entries
            .borrow_mut()
            .insert(key, Rc::clone(&entry));
        self.metrics().sockjs.sessions.inc();
        // It ends too if nobody ever receives.
        self.look_later(&entry);
        Ok(entry)
    }

    fn on_send(&self, key: &str, texts: Vec<Text>) -> Result<oneshot::Receiver<()>, SendError> {
        let entry = self.sockjs.entries.borrow().get(key).cloned();
        let entry = entry.ok_or(SendError::Unknown)?;
        let (processed, result) = oneshot::channel();
        let session = entry.session.upgrade();
        let Some(duplex) = session.as_ref().and_then(|session| session.duplex.as_ref()) else {
            // It is closed. Its peer learns that from the next response that it receives.
            processed.send(()).ok();
            return Ok(result);
        };
        let bytes = duplex::cost(&texts);
        let inbound = duplex.inbound_bytes();
        if inbound > 0 && inbound + bytes > self.options().sockjs_body_bytes_max {
            return Err(SendError::Clogged);
        }
        duplex
            .push_inbound(texts, Some(processed))
            .map_err(SendError::Full)?;
        if let Some(session) = session {
            session.wake();
        }
        Ok(result)
    }

    /// Notes when to check whether a session is still without a receiver.
    fn look_later(&self, entry: &Rc<Entry>) {
        if !entry.look_queued.replace(true) {
            let at = entry.left_at.get().after(self.options().sockjs_disconnect);
            let mut looks = self.sockjs.looks.borrow_mut();
            looks.entry(at).or_default().push(Rc::clone(entry));
        }
    }

    /// Ends and removes sessions that were without a receiver for too long.
    pub(super) fn forget_sockjs(&self) {
        let now = self.now();
        loop {
            let due = {
                let mut looks = self.sockjs.looks.borrow_mut();
                match looks.first_entry() {
                    Some(first) if *first.key() <= now => first.remove(),
                    Some(_) | None => return,
                }
            };
            for entry in due {
                entry.look_queued.set(false);
                if entry.receiving.get() {
                    // Queued again when the receiver leaves.
                    continue;
                }
                let end = entry.left_at.get().after(self.options().sockjs_disconnect);
                if end > now {
                    self.look_later(&entry);
                    continue;
                }
                self.sockjs.entries.borrow_mut().remove(&entry.key);
                self.metrics().sockjs.sessions.dec();
                if let Some(session) = entry.session.upgrade() {
                    session.close(Ending::PeerClosed);
                }
            }
        }
    }
}

/// Whether a receiver is the first of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Known,
}

/// Why a receiver ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// It has received as much as it may.
    Done,
    /// Its connection has ended.
    Gone,
    /// Its connection took nothing for too long.
    Stalled,
    /// There is no room for what it would be sent.
    Refused(OverLimit),
}

/// Gives a receiver its session's frames, until either ends.
async fn serve(shard: Rc<Shard>, entry: Rc<Entry>, receiver: Receiver, stage: Stage) {
    if entry.receiving.get() && entry.carrier.closed().is_none() {
        drop(timeout(RIVAL_PATIENCE, entry.left.notified()).await);
    }
    let stall = shard.stall();
    let rival = entry.receiving.get();
    if let Some(close) = entry.carrier.closed().filter(|_| rival) {
        receiver.refuse(&close, stall).await.ok();
        return;
    }
    if rival {
        count(&shard.metrics().sockjs.refused, "another_receiver");
        let close = Close {
            code: sockjs::CLOSE_ANOTHER_RECEIVER,
            reason: "Another connection still open".into(),
        };
        receiver.refuse(&close, stall).await.ok();
        return;
    }
    entry.receiving.set(true);
    shard.metrics().sockjs.receivers.inc();
    let Err(stop) = receiver.run(&entry, stage, stall).await;
    entry.carrier.shut();
    entry.receiving.set(false);
    shard.metrics().sockjs.receivers.dec();
    entry.left_at.set(shard.now());
    entry.left.notify_waiters();
    shard.look_later(&entry);
    let ending = match stop {
        Stop::Done => return,
        Stop::Gone => Ending::PeerClosed,
        Stop::Stalled => Ending::Stalled,
        Stop::Refused(refusal) => {
            let code = CloseCode::TRY_LATER.get();
            entry.carrier.close(None, code, &refusal.to_string());
            Ending::MemoryLimit
        }
    };
    // Frames that were on their way are lost, and only the peer could tell which. So the session ends, and
    // the peer's next session resumes with a cursor.
    if entry.carrier.closed().is_none() {
        count(&shard.metrics().sockjs.refused, "interrupted");
        let code = sockjs::CLOSE_INTERRUPTED;
        entry.carrier.close(None, code, "Connection interrupted");
    }
    if let Some(session) = entry.session.upgrade() {
        session.close(ending);
    }
}

impl Receiver {
    /// Sends only the close frame of the session.
    async fn refuse(self, close: &Close, stall: Duration) -> Result<(), Stop> {
        self.begin(stall).await?;
        let frame = close_frame(close.code, &close.reason);
        self.send(self.framing.wrap(&frame), stall).await
    }

    async fn begin(&self, stall: Duration) -> Result<(), Stop> {
        let prelude = self.framing.prelude();
        if prelude.is_empty() {
            return Ok(());
        }
        self.send(prelude, stall).await
    }

    async fn run(
        &self,
        entry: &Entry,
        stage: Stage,
        stall: Duration,
    ) -> Result<std::convert::Infallible, Stop> {
        let carrier = &entry.carrier;
        self.begin(stall).await?;
        let mut sent = 0;
        if stage == Stage::New {
            let frame = self.framing.wrap(sockjs::OPEN);
            sent += frame.len();
            self.send(frame, stall).await?;
            if !self.framing.streams() {
                return Err(Stop::Done);
            }
        }
        let take = if self.framing.streams() {
            Take::Each
        } else {
            Take::AllOnce
        };
        carrier.open();
        loop {
            let taken = tokio::select! {
                biased;
                taken = poll_fn(|cx| carrier.poll_taken(take, cx)) => taken,
                () = self.pieces.closed() => return Err(Stop::Gone),
            };
            let (frame, last) = match taken {
                Taken::Texts(texts) => {
                    let texts = texts
                        .iter()
                        .filter_map(|text| std::str::from_utf8(text).ok());
                    (joined_frame(texts), take == Take::AllOnce)
                }
                Taken::Closed(close) => (Some(close_frame(close.code, &close.reason)), true),
            };
            if let Some(frame) = frame {
                let piece = self.framing.wrap(&frame);
                sent += piece.len();
                let piece = entry.holder.wrap(Kind::SockJs, piece);
                self.send(piece.map_err(Stop::Refused)?, stall).await?;
            }
            if last || sent >= self.bytes_max {
                return Err(Stop::Done);
            }
        }
    }

    async fn send(&self, piece: Bytes, stall: Duration) -> Result<(), Stop> {
        match timeout(stall, self.pieces.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_gone)) => Err(Stop::Gone),
            Err(_elapsed) => Err(Stop::Stalled),
        }
    }
}
