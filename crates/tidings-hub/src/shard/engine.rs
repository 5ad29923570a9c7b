//! The sweep: which sessions of this shard an update goes to, and one write for each of them.
//!
//! ```text
//! batches ─▶ mark: ring, runs of updates for the same matchers, sessions that are to be sent them
//!         ─▶ flush: join what is pending for a session, share the bytes with its neighbours, write
//! ```
//!
//! A session whose socket does not take everything falls behind. The sweep skips it until its own task has
//! caught up. Nothing here waits, and nothing is queued for a session.

mod two_way;

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use slab::Slab;
use smallvec::SmallVec;
use tidings_core::dialect::Dialect;
use tidings_core::histogram::Histogram;
use tidings_core::hub::{Hub, SubscriberId};
use tidings_core::hub_url::HubUrl;
use tidings_core::index::MatcherId;
use tidings_core::position::Position;
use tidings_history::Tip;
use tidings_history::sabotage::{Rule, skips};
use tidings_wire::frame::KEEP_ALIVE_CHUNK;
use tidings_wire::sse::KEEP_ALIVE;
use tokio::time::Instant;

use super::ring::Ring;
use super::timers::{Tick, Timers};
use crate::posted::Encoding;
use crate::posted::{Batch, Posted};
use crate::session::progress::Progress;
use crate::session::{Ending, Phase, Session, may_read};
use crate::traces::{Delivering, Tracer};

/// Bytes joined for one write. A session with more pending reads on in slices instead.
const SWEEP_BYTES_MAX: usize = 256 * 1024;
/// Identities whose permission to read one update is remembered while the update is delivered.
const GRANTS_REMEMBERED: usize = 8;
/// Capacity that the list of sessions to write to keeps after a sweep.
const DIRTY_KEPT: usize = 4096;
/// The longest time between two looks at a session. A timer of a session that has ended stays that long.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The subscribers of one shard and what is being sent to them.
#[derive(Debug)]
pub(crate) struct Engine {
    hub_url: HubUrl,
    sessions: Slab<Rc<Session>>,
    generation: u32,
    hub: Hub,
    pub(crate) ring: Ring,
    pub(crate) timers: Timers,
    keep_alive: Option<Duration>,
    /// Makes spans, with the number of the shard. None if nothing is traced.
    tracer: Option<(Arc<Tracer>, usize)>,
    /// Matchers of ended sessions, on their way to the router, which releases them.
    pub(crate) released: Vec<MatcherId>,
    sweep: Sweep,
}

/// The state of one sweep. Empty between sweeps.
#[derive(Debug, Default)]
struct Sweep {
    /// Earlier sweeps have handled everything up to here.
    base: Position,
    posts: Vec<Arc<Posted>>,
    runs: Vec<Run>,
    /// Whether the last run may still grow: no subscriber joined since it was made.
    open: bool,
    dirty: Vec<Rc<Session>>,
    /// When updates of this sweep became durable, and how many of them are for sessions of this shard.
    received: Vec<(Instant, u64)>,
    receivers: Vec<SubscriberId>,
    /// Sampled updates, while something is traced.
    traced: Vec<Delivering>,
}

/// Consecutive updates that go to the same sessions.
#[derive(Debug)]
struct Run {
    posts: Range<usize>,
    /// Whether any session is sent it.
    received: bool,
}

/// The result of a part of a sweep.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Swept {
    pub(crate) updates: u64,
    pub(crate) bytes: u64,
    pub(crate) lagging: u64,
    /// Whether there is nothing left to write.
    pub(crate) done: bool,
}

impl Engine {
    /// Makes an engine whose ring continues after `last`.
    pub(crate) fn new(hub_url: HubUrl, ring: Ring, keep_alive: Option<Duration>) -> Self {
        Self {
            hub_url,
            sessions: Slab::new(),
            generation: 0,
            hub: Hub::new(),
            ring,
            timers: Timers::default(),
            keep_alive,
            tracer: None,
            released: Vec::new(),
            sweep: Sweep::default(),
        }
    }

    /// Lets the engine make spans of what the shard of this number delivers.
    pub(crate) fn trace_by(&mut self, tracer: Arc<Tracer>, shard: usize) {
        self.tracer = Some((tracer, shard));
    }

    /// Returns how many sessions there are, joining ones included.
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Returns all sessions.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = &Rc<Session>> {
        self.sessions.iter().map(|(_, session)| session)
    }

    /// Returns the sessions from a slot on, with their slots.
    pub(crate) fn sessions_from(&self, slot: u32) -> impl Iterator<Item = (u32, &Rc<Session>)> {
        let end = u32::try_from(self.sessions.capacity()).unwrap_or(u32::MAX);
        let there = move |slot| Some((slot, self.sessions.get(slot as usize)?));
        (slot..end).filter_map(there)
    }

    /// Adds a session, which `make` builds for its id.
    pub(crate) fn insert(&mut self, make: impl FnOnce(SubscriberId) -> Session) -> Rc<Session> {
        self.generation = self.generation.wrapping_add(1);
        let entry = self.sessions.vacant_entry();
        let slot = u32::try_from(entry.key()).unwrap_or(u32::MAX);
        let session = Rc::new(make(SubscriberId {
            slot,
            generation: self.generation,
        }));
        entry.insert(Rc::clone(&session));
        self.look_later(&session, session.last_sent());
        session
    }

    /// Notes when to look at a session next.
    fn look_later(&mut self, session: &Session, now: Tick) {
        if let Some(tick) = self.due(session, now) {
            session.set_next_look(tick);
            self.timers.add(tick, session.id);
        }
    }

    /// Changes when a session ends at the latest.
    pub(crate) fn set_deadline(
        &mut self,
        session: &Session,
        deadline: Option<(Tick, Ending)>,
        now: Tick,
    ) {
        session.set_deadline(deadline);
        // A later deadline is found at the look that was planned for the earlier one.
        if self
            .due(session, now)
            .is_some_and(|due| due < session.next_look())
        {
            self.look_later(session, now);
        }
    }

    /// Returns when to look at a session next: for a keep-alive or for its deadline.
    fn due(&self, session: &Session, now: Tick) -> Option<Tick> {
        let silent = match &session.duplex {
            Some(duplex) => duplex
                .heartbeat_interval()
                .map(|interval| duplex.last_ping().after(interval)),
            None => self
                .keep_alive
                .map(|interval| session.last_sent().after(interval)),
        };
        let end = session.deadline().map(|(end, _)| end);
        let due = silent.into_iter().chain(end).min()?;
        Some(due.min(now.after(LOOK_EVERY)))
    }

    /// Returns whether a session has not ended.
    pub(crate) fn holds(&self, session: &Session) -> bool {
        self.session(session.id).is_some()
    }

    fn session(&self, id: SubscriberId) -> Option<&Rc<Session>> {
        self.sessions
            .get(id.slot as usize)
            .filter(|session| session.id == id)
    }

    /// Handles a join: the router has interned a session's matchers, and updates after `at` follow.
    pub(crate) fn on_joined(&mut self, id: SubscriberId, ids: Box<[MatcherId]>, at: Position) {
        // An earlier run must not grow: its updates are from before this session.
        self.sweep.open = false;
        let Some(session) = self.session(id).cloned() else {
            self.released.extend_from_slice(&ids);
            return;
        };
        self.hub.add(id, &ids);
        let joining = session
            .duplex
            .as_ref()
            .and_then(|duplex| duplex.take_joining());
        if let Some(joining) = joining {
            return self.add_matchers(&session, &ids, joining);
        }
        session.set_interned(ids);
        session.update(|progress| progress.on_joined(at));
    }

    /// Removes a session.
    pub(crate) fn remove(&mut self, session: &Session) {
        if self.session(session.id).is_none() {
            return;
        }
        let ids = session.take_interned();
        self.hub.remove(session.id, &ids);
        if !skips(Rule::GiveMatchersBack) {
            self.released.extend_from_slice(&ids);
        }
        self.sessions.remove(session.id.slot as usize);
        if self.sessions.is_empty() {
            self.sessions.shrink_to_fit();
        }
    }

    /// Drops the updates of a line that the history has left, and ends all sessions. Each may have seen some of
    /// them, and its cursor shows which when it comes back. Returns how many sessions there were.
    pub(crate) fn cut(&mut self, tip: Tip) -> usize {
        self.ring.cut(tip);
        self.sweep.dirty.clear();
        self.sweep.received.clear();
        self.sweep.traced.clear();
        self.sweep.clear();
        for (_, session) in &self.sessions {
            session.close(Ending::Overtaken);
        }
        self.sessions.len()
    }

    /// Takes in a committed batch, and marks which sessions get which updates.
    pub(crate) fn mark(&mut self, batch: &Batch) {
        if self.sweep.posts.is_empty() {
            self.sweep.base = self.ring.last();
        }
        let mut received = 0;
        for posted in &*batch.posts {
            self.ring.push(Arc::clone(posted));
            if posted.matching.is_empty() || self.sessions.is_empty() {
                self.sweep.open = false;
                continue;
            }
            let index = self.sweep.posts.len();
            self.sweep.posts.push(Arc::clone(posted));
            if self.tracer.is_some() {
                let traced = Delivering::of(index, &posted.update, batch.durable);
                self.sweep.traced.extend(traced);
            }
            if !self.extend_run(posted, index) {
                self.open_run(posted, index);
            }
            let run = self.sweep.runs.last();
            received += u64::from(run.is_some_and(|run| run.received));
        }
        if received > 0 {
            self.sweep.received.push((batch.durable, received));
        }
    }

    /// Adds an update to the last run if it goes to the same sessions.
    fn extend_run(&mut self, posted: &Posted, index: usize) -> bool {
        let sweep = &mut self.sweep;
        let Some(run) = sweep
            .runs
            .last_mut()
            .filter(|run| sweep.open && run.posts.end == index)
        else {
            return false;
        };
        let Some(previous) = index
            .checked_sub(1)
            .and_then(|index| sweep.posts.get(index))
        else {
            return false;
        };
        let public = |posted: &Posted| posted.update.visibility.is_public();
        let same =
            Arc::ptr_eq(&posted.matching, &previous.matching) && public(posted) && public(previous);
        if same {
            run.posts.end = index + 1;
        }
        same
    }

    fn open_run(&mut self, posted: &Posted, index: usize) {
        let sweep = &mut self.sweep;
        let number = u32::try_from(sweep.runs.len()).unwrap_or(u32::MAX);
        sweep.runs.push(Run {
            posts: index..index + 1,
            received: false,
        });
        sweep.open = true;
        sweep.receivers.clear();
        self.hub.route(&posted.matching, &mut sweep.receivers);
        // Sessions with the same token share one identity, which is asked once.
        let mut granted = SmallVec::new();
        let mut received = false;
        for id in sweep.receivers.drain(..) {
            let Some(session) = self.sessions.get(id.slot as usize) else {
                continue;
            };
            if session.phase() != Phase::Live {
                continue;
            }
            if !posted.update.visibility.is_public()
                && !is_granted(session, posted, &self.hub_url, &mut granted)
            {
                continue;
            }
            received = true;
            let (position, base) = (posted.update.position, sweep.base);
            if session.update(|progress| progress.on_update(number, position, base)) {
                sweep.dirty.push(Rc::clone(session));
            }
        }
        if let Some(run) = sweep.runs.last_mut() {
            run.received = received;
        }
    }

    /// Counts how long the updates of the sweep took from durable until now, when all of them are written.
    pub(crate) fn count_durations(&mut self, now: Instant, durations: &Histogram) {
        for (durable, updates) in self.sweep.received.drain(..) {
            durations.observe_many(now.saturating_duration_since(durable), updates);
        }
    }

    /// Writes to up to `sessions_max` of the marked sessions.
    pub(crate) fn flush(&mut self, now: Tick, sessions_max: usize) -> Swept {
        let mut swept = Swept::default();
        let mut shared = Shared::default();
        // Apart from the sweep, which is only read while it is sent.
        let mut traced = std::mem::take(&mut self.sweep.traced);
        for _ in 0..sessions_max {
            let Some(session) = self.sweep.dirty.pop() else {
                break;
            };
            let runs = session.update(Progress::take_runs);
            if !runs.is_empty() {
                let before = swept.updates;
                self.sweep
                    .send(&session, &runs, &mut shared, now, &mut swept);
                if swept.updates > before && !traced.is_empty() {
                    self.sweep.note_traced(&mut traced, &session, &runs);
                }
            }
        }
        swept.done = self.sweep.dirty.is_empty();
        if swept.done {
            self.end_traced(&traced);
            self.sweep.clear();
        } else {
            self.sweep.traced = traced;
        }
        swept
    }

    /// Makes the spans of what the sweep has delivered.
    fn end_traced(&self, traced: &[Delivering]) {
        let Some((tracer, shard)) = &self.tracer else {
            return;
        };
        for delivering in traced {
            if let Some(posted) = self.sweep.posts.get(delivering.index) {
                tracer.delivered(delivering, &posted.update, *shard);
            }
        }
    }

    /// Looks at the sessions of one due bucket. Returns how many keep-alives were written; none if no bucket is
    /// due.
    pub(crate) fn on_timer(&mut self, now: Tick) -> Option<u64> {
        let due = self.timers.pop_due(now)?;
        let mut keep_alives = 0;
        for id in due {
            let Some(session) = self.session(id).cloned() else {
                continue;
            };
            if session.next_look() > now {
                // A timer from before its deadline changed.
                continue;
            }
            if let Some((_, ending)) = session.deadline().filter(|(tick, _)| *tick <= now) {
                session.close(ending);
                continue;
            }
            keep_alives += match &session.duplex {
                Some(duplex) => self.heartbeat(&session, duplex, now),
                None => self.keep_alive(&session, now),
            };
            self.look_later(&session, now);
        }
        Some(keep_alives)
    }

    /// Writes a comment to an event stream that was silent long enough. Returns how many.
    fn keep_alive(&self, session: &Session, now: Tick) -> u64 {
        let silent = self
            .keep_alive
            .is_some_and(|interval| session.last_sent().after(interval) <= now);
        if !silent {
            return 0;
        }
        session.set_last_sent(now);
        if session.phase() != Phase::Live {
            return 0;
        }
        let comment = Bytes::from_static(match session.encoding {
            Encoding::Chunked => KEEP_ALIVE_CHUNK,
            Encoding::Plain | Encoding::WebSocket(..) => KEEP_ALIVE,
            // A poll has its own timer.
            Encoding::Lines => return 0,
        });
        if let Some(log) = &session.log {
            log.on_keep_alive();
        }
        self.write_between(session, &comment);
        1
    }

    /// Writes to a live session, between two updates.
    fn write_between(&self, session: &Session, bytes: &Bytes) {
        match session.try_send(bytes) {
            Ok(sent) if sent.taken == bytes.len() && sent.flushed => {}
            Ok(sent) => {
                session.fall_behind(self.through(session), bytes.slice(sent.taken..));
                if sent.taken == 0 && session.is_body() {
                    // hyper has not had its turn since the last piece. The session's own task finds out
                    // whether the peer is slow.
                    session.update(Progress::take_lagging);
                }
            }
            Err(_) => session.close(Ending::WriteFailed),
        }
    }
}

/// Returns whether a session's token lets it read `posted`. `known` remembers the results of other identities
/// for the same update.
fn is_granted(
    session: &Session,
    posted: &Posted,
    hub: &HubUrl,
    known: &mut SmallVec<[(usize, bool); GRANTS_REMEMBERED]>,
) -> bool {
    let Some(identity) = session.identity() else {
        return false;
    };
    let class = Arc::as_ptr(&identity).addr();
    if let Some((_, granted)) = known.iter().find(|(known, _)| *known == class) {
        return *granted;
    }
    let granted = may_read(Some(&identity), posted, hub);
    if known.len() == GRANTS_REMEMBERED {
        // Forgets the oldest result: subscribers with the same token mostly come in a row.
        known.remove(0);
    }
    known.push((class, granted));
    granted
}

/// The joined bytes for the previous session, which are often the same for the next one.
#[derive(Debug, Default)]
struct Shared {
    runs: SmallVec<[u32; 4]>,
    wire: Option<(Encoding, Dialect)>,
    bytes: Bytes,
    updates: u64,
}

impl Sweep {
    fn clear(&mut self) {
        self.posts.clear();
        self.runs.clear();
        self.open = false;
        if self.dirty.capacity() > DIRTY_KEPT {
            self.dirty = Vec::new();
        }
    }

    /// Counts a write of the updates of `runs` to a session, for those that are traced. What a session that
    /// falls behind reads later is not counted.
    fn note_traced(&self, traced: &mut [Delivering], session: &Session, runs: &[u32]) {
        let now = Instant::now();
        let written = session.position();
        for delivering in traced {
            let index = delivering.index;
            let Some(posted) = self.posts.get(index) else {
                continue;
            };
            let mut sent = runs.iter().filter_map(|run| self.runs.get(*run as usize));
            let cut = session.phase() != Phase::Live && posted.update.position > written;
            if sent.any(|run| run.posts.contains(&index)) && !cut && !session.is_echo_of(posted) {
                delivering.on_written(now, session.bytes(posted).len());
            }
        }
    }

    fn posts_of<'a>(&'a self, runs: &'a [u32]) -> impl Iterator<Item = &'a Arc<Posted>> + 'a {
        runs.iter()
            .filter_map(|run| self.runs.get(*run as usize))
            .flat_map(|run| self.posts.get(run.posts.clone()).unwrap_or_default())
    }

    fn send(
        &self,
        session: &Session,
        runs: &SmallVec<[u32; 4]>,
        shared: &mut Shared,
        now: Tick,
        swept: &mut Swept,
    ) {
        let mut own;
        let shared = if self.posts_of(runs).any(|posted| session.is_echo_of(posted)) {
            // A publisher does not receive its own updates, so it cannot share the others' bytes.
            own = self.concatenate(session, runs);
            &mut own
        } else {
            let wire = (session.encoding, session.dialect);
            if shared.wire != Some(wire) || shared.runs != *runs {
                *shared = self.concatenate(session, runs);
            }
            shared
        };
        if shared.updates == 0 {
            return;
        }
        if shared.bytes.len() > SWEEP_BYTES_MAX {
            // Too much for one write. Its own task reads it from the ring, slice by slice.
            return session.update(|progress| progress.read_again_after(self.base));
        }
        session.set_last_sent(now);
        match session.try_send(&shared.bytes) {
            Ok(sent) if sent.taken == shared.bytes.len() && sent.flushed => {
                swept.updates += shared.updates;
                swept.bytes += shared.bytes.len() as u64;
                if session.log.is_some() {
                    self.posts_of(runs)
                        .for_each(|posted| session.note_sent(posted));
                }
            }
            // hyper has not had its turn since the last piece. The session's own task waits for it, and finds
            // out whether the peer is slow.
            Ok(sent) if sent.taken == 0 && session.is_body() => {
                if !skips(Rule::ReadAgainAfterLag) {
                    session.update(|progress| progress.read_again_after(self.base));
                }
            }
            Ok(sent) => {
                swept.lagging += 1;
                self.cut(session, runs, sent.taken, swept);
            }
            Err(_) => session.close(Ending::WriteFailed),
        }
    }

    /// Returns the joined bytes of the updates of `runs` for a session, up to the limit of one write.
    fn concatenate(&self, session: &Session, runs: &SmallVec<[u32; 4]>) -> Shared {
        let mut shared = Shared {
            runs: runs.clone(),
            wire: Some((session.encoding, session.dialect)),
            ..Shared::default()
        };
        let mut joined = BytesMut::new();
        for posted in self
            .posts_of(runs)
            .filter(|posted| !session.is_echo_of(posted))
        {
            let bytes = session.bytes(posted);
            shared.updates += 1;
            if shared.updates == 1 {
                shared.bytes = bytes;
                continue;
            }
            if joined.is_empty() {
                joined.extend_from_slice(&shared.bytes);
            }
            joined.extend_from_slice(&bytes);
            if joined.len() > SWEEP_BYTES_MAX {
                break;
            }
        }
        if !joined.is_empty() {
            shared.bytes = joined.freeze();
        }
        shared
    }

    /// Lets a session fall behind, because the socket took only `taken` bytes of its runs. The rest of the event
    /// that was cut is sent first, and everything after it is read again.
    fn cut(&self, session: &Session, runs: &[u32], taken: usize, swept: &mut Swept) {
        let mut rest = taken;
        let mut through = self.base.max(session.position());
        let mut tail = Bytes::new();
        for posted in self
            .posts_of(runs)
            .filter(|posted| !session.is_echo_of(posted))
        {
            let mut bytes = session.bytes(posted);
            if rest == 0 {
                break;
            }
            through = posted.update.position;
            session.note_sent(posted);
            swept.updates += 1;
            swept.bytes += bytes.len() as u64;
            if rest < bytes.len() {
                tail = bytes.split_off(rest);
                break;
            }
            rest -= bytes.len();
        }
        session.fall_behind(through, tail);
    }
}

#[cfg(test)]
mod tests;
