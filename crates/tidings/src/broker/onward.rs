//! A PUSH output of a cluster: the hub whose turn it is sends what follows the last hub's messages. It reads
//! the history, as a subscriber does that resumes, so that a hand-over loses nothing.
//!
//! ```text
//! lease ─▶ its note: sent up to here ─▶ pages of the history ─▶ queues of the peers ─▶ kernel
//!   ▲                                                                                    │
//!   └───────────────────── how far all queues are written, as event ids ◀────────────────┘
//! ```
//!
//! What the kernel has taken counts as sent, as with every PUSH socket. What was sent after the last note that
//! the engine has is sent again by the next hub.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tidings_cluster::Relay;
use tidings_core::hub_url::HubUrl;
use tidings_core::position::Position;
use tidings_history::{Handle, Page, ReadError, Resolved};
use tidings_hub::metrics::count_many;
use tidings_hub::posted::Posted;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep};

use super::hub_out::encode;
use super::options::{HubOutput, OriginFilter};
use super::push::Pusher;
use super::turn::Turn;
use super::{Shared, mapping};

/// Pause before a read of the history, or a question, that failed is repeated.
const AGAIN: Duration = Duration::from_millis(200);
/// How often it is noted how far the output has sent.
const NOTE_EVERY: Duration = Duration::from_millis(250);
/// How much older the older place of a note is at least. It counts if a failover of the engine took the newer
/// one back.
const OLDER_BY: Duration = Duration::from_secs(30);
/// The note of an output that has sent nothing, before the first update.
const BEGINNING: &str = "earliest";

/// What an output needs of the hub.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) url: HubUrl,
    pub(crate) node: Arc<str>,
    pub(crate) relay: Arc<dyn Relay>,
    pub(crate) history: Handle,
    /// The last position that was routed.
    pub(crate) line: watch::Receiver<Position>,
}

/// One output.
pub(crate) struct Onward {
    shared: Rc<Shared>,
    output: HubOutput,
    lease: Arc<str>,
    pusher: Rc<Pusher>,
    source: Source,
    turn: watch::Receiver<Turn>,
    /// Everything up to here is with the queues, if this hub ever sent.
    at: Cell<Option<Position>>,
    /// How often the history was cut: what was read before that is of a line that was left.
    cuts: Cell<u64>,
    /// The older place of the next note, and since when it has been there.
    older: Cell<Option<(Position, Instant)>>,
}

impl Onward {
    pub(crate) fn new(
        shared: &Rc<Shared>,
        output: &HubOutput,
        pusher: Rc<Pusher>,
        source: Source,
        turn: watch::Receiver<Turn>,
    ) -> Option<Rc<Self>> {
        Some(Rc::new(Self {
            shared: Rc::clone(shared),
            output: output.clone(),
            lease: output.lease.clone()?,
            pusher,
            source,
            turn,
            at: Cell::new(None),
            cuts: Cell::new(0),
            older: Cell::new(None),
        }))
    }

    /// The history left its line and ends at `tip`.
    pub(crate) fn on_cut(&self, tip: Position) {
        self.cuts.set(self.cuts.get() + 1);
        self.at.set(self.at.get().map(|at| at.min(tip)));
        let older = self.older.get();
        self.older
            .set(older.map(|(place, since)| (place.min(tip), since)));
    }

    /// Sends while it is this hub's turn, until the broker stops.
    pub(crate) async fn run(self: Rc<Self>) {
        let mut stopping = self.shared.stopping.subscribe();
        let mut turn = self.turn.clone();
        loop {
            tokio::select! {
                here = turn.wait_for(|turn| *turn == Turn::Here) => if here.is_err() { return },
                _ = stopping.wait_for(|stopping| *stopping) => return,
            }
            tokio::select! {
                never = self.serve() => match never {},
                _ = turn.wait_for(|turn| *turn != Turn::Here) => {}
                _ = stopping.wait_for(|stopping| *stopping) => return,
            }
            // The next hub sends what was not written: its note ends before that.
            self.at.set(self.sent());
            self.pusher.clear();
        }
    }

    async fn serve(&self) -> Infallible {
        let from = loop {
            let cuts = self.cuts.get();
            let from = self.begin().await;
            if cuts == self.cuts.get() {
                break from;
            }
        };
        tracing::debug!(lease = %self.lease, position = from.get(), "this hub sends what follows");
        self.at.set(Some(from));
        tokio::select! {
            never = self.send() => never,
            never = self.keep_noting() => never,
        }
    }

    /// Returns where to go on: at what the holder before noted, or at what this hub has sent itself.
    async fn begin(&self) -> Position {
        // The note may name an update that has not come here yet.
        while !self.caught_up().await {
            sleep(AGAIN).await;
        }
        let own = self.at.get();
        let tip = || self.source.history.tip().position;
        let Some(note) = self.note() else {
            return own.unwrap_or_else(tip);
        };
        for id in note.split(' ') {
            if let Some(position) = self.resolve(id).await {
                return own.map_or(position, |own| own.max(position));
            }
        }
        // Retention removed the place, which the first read counts; or it was on a line that was lost.
        let claims = note
            .split(' ')
            .filter_map(|id| self.source.history.seal().open(id));
        let last = claims.last().map(|claim| claim.position().min(tip()));
        tracing::error!(
            lease = %self.lease,
            "the place up to which this output has sent is not in the history any more: it may send something \
             again, or leave something out"
        );
        own.or(last).unwrap_or_else(tip)
    }

    async fn caught_up(&self) -> bool {
        let (done, told) = oneshot::channel();
        let done = Box::new(move |caught_up| {
            // Nobody asks any more if the turn is over.
            done.send(caught_up).ok();
        });
        !self.source.relay.catch_up(done) || told.await.unwrap_or(false)
    }

    fn note(&self) -> Option<String> {
        let roster = self.source.relay.roster()?;
        let roster = roster.borrow().clone()?;
        let note = roster.named(&self.lease)?.note.clone()?;
        String::from_utf8(note.to_vec()).ok()
    }

    /// Returns the place of an id of a note, if it is in this line.
    async fn resolve(&self, id: &str) -> Option<Position> {
        if id == BEGINNING {
            return Some(Position::ZERO);
        }
        loop {
            let (reply, resolved) = oneshot::channel();
            let reply = Box::new(move |result| drop(reply.send(result)));
            self.source.history.resolve(id.into(), |_| None, reply);
            match resolved.await {
                Ok(Ok(Resolved::After(position))) => return Some(position),
                Ok(Ok(Resolved::Unknown { .. })) => return None,
                Ok(Err(_)) | Err(_) => sleep(AGAIN).await,
            }
        }
    }

    async fn send(&self) -> Infallible {
        let mut line = self.source.line.clone();
        loop {
            line.borrow_and_update();
            let (after, cuts) = (self.at.get().unwrap_or_default(), self.cuts.get());
            let (reply, page) = oneshot::channel();
            let reply = Box::new(move |page| drop(reply.send(page)));
            self.source.history.read_page(after, reply);
            let page = page.await;
            if cuts != self.cuts.get() {
                continue;
            }
            let through = match page {
                Ok(Ok(page)) => {
                    self.push(&page, after).await;
                    page.next
                }
                Ok(Err(ReadError::Trimmed { oldest })) => self.on_trimmed(after, oldest),
                Ok(Err(_)) | Err(_) => {
                    sleep(AGAIN).await;
                    continue;
                }
            };
            if cuts == self.cuts.get() {
                self.at.set(Some(through));
            }
            if through <= after && line.changed().await.is_err() {
                // The hub stops, and with it the broker.
                return std::future::pending().await;
            }
        }
    }

    /// Queues the messages of a page, at the speed of the peers.
    async fn push(&self, page: &Page, after: Position) {
        let updates = page.after(after).iter();
        let posts: Vec<Posted> = updates
            .map(|update| Posted::replayed(Arc::clone(update)))
            .filter(|posted| self.sends(posted))
            .collect();
        let mut chunk = encode(&self.output, posts.iter(), &self.source.node);
        chunk.place = posts.first().map(|posted| posted.update.position);
        if chunk.place.is_some() {
            self.pusher.push(&chunk).await;
        }
    }

    fn sends(&self, posted: &Posted) -> bool {
        let (update, hub) = (&posted.update, &self.source.url);
        let mut matchers = self.output.matchers.iter();
        let wanted =
            self.output.origin == OriginFilter::All || !self.shared.foreign.knows(&update.id);
        wanted
            && !update.visibility.is_for_hubs()
            && matchers.any(|matcher| posted.is_selected_by(matcher, hub))
            && mapping::can_carry(update)
            && posted.is_readable_with(Some(&self.output.grants), hub)
    }

    /// Retention removed what was still to be sent. Returns where to go on.
    fn on_trimmed(&self, after: Position, oldest: Position) -> Position {
        let next = Position::new(oldest.get().saturating_sub(1));
        let lost = next.get().saturating_sub(after.get());
        count_many(&self.shared.counters.dropped, "retention", lost);
        tracing::error!(
            lease = %self.lease,
            updates = lost,
            "retention removed updates that a PUSH output had still to send"
        );
        next
    }

    /// Returns up to where everything is with the kernel.
    fn sent(&self) -> Option<Position> {
        let unsent = self.pusher.unsent();
        let before = unsent.map(|first| Position::new(first.get().saturating_sub(1)));
        let at = self.at.get()?;
        Some(before.map_or(at, |before| before.min(at)))
    }

    async fn keep_noting(&self) -> Infallible {
        let mut noted = None;
        loop {
            let sent = self.sent();
            if sent != noted {
                self.leave().await;
                noted = sent;
            }
            sleep(NOTE_EVERY).await;
        }
    }

    /// Notes for the next hub how far this one has sent.
    pub(crate) async fn leave(&self) {
        if *self.turn.borrow() != Turn::Here {
            return;
        }
        let Some(sent) = self.sent() else {
            return;
        };
        let (older, since) = self.older.get().unwrap_or_else(|| (sent, Instant::now()));
        let Some(mut note) = self.id_of(sent).await else {
            return;
        };
        if let Some(id) = self.id_of(older).await.filter(|_| older != sent) {
            note.push(' ');
            note.push_str(&id);
        }
        // The place of now is old enough to be the older one some time later.
        let is_old = since.elapsed() >= OLDER_BY;
        self.older.set(Some(match is_old {
            true => (sent, Instant::now()),
            false => (older, since),
        }));
        let note = note.into_bytes().into();
        self.source.relay.leave(Arc::clone(&self.lease), note);
    }

    async fn id_of(&self, position: Position) -> Option<String> {
        if position == Position::ZERO {
            return Some(BEGINNING.to_owned());
        }
        let (reply, id) = oneshot::channel();
        let reply = Box::new(move |id| drop(reply.send(id)));
        self.source.history.cursor(position, reply);
        let id = id.await.ok()?.ok()??;
        Some(id.as_str().to_owned())
    }
}
