//! How a session that is behind reads until it is live. It reads from the shard's ring of recent updates if
//! that reaches back far enough, and else from the history, in bounded slices and at the speed of its own
//! socket. Each update is checked against the subscriber's matchers and grants again. `progress` owns the
//! position and the phase.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidings_core::position::Position;
use tidings_history::ReadError;
use tidings_history::sabotage::{Rule, skips};
use tokio::time::Instant;

use super::progress::Progress;
use super::protocol::Control;
use super::socket::PIECE_BYTES_MAX;
use super::{Ending, Phase, Session, concerns};
use crate::clock::unix_ms;
use crate::posted::{Encoding, Posted};
use crate::shard::Shard;
use crate::shard::reading::Recent;
use crate::traces::Replaying;

/// Bytes that are joined for one write: one slice of a replay.
const SLICE_BYTES: usize = 64 * 1024;
/// How long a piece of an HTTP/2 stream may wait before that counts as lagging. In a shorter time, hyper may
/// only not have had its turn.
const LAGGING_AFTER: Duration = Duration::from_millis(250);
/// Tells a subscriber that its socket was full and that the hub reads on for it.
const LAGGING_NOTE: &str = "lagging: the connection was full, reading on from the history";
/// Tells a subscriber that retention removed events that it had not read yet.
const OVERTAKEN_NOTE: &str =
    "gap: events that this subscriber had still to read are no longer kept";

/// What comes after a session's position.
#[derive(Debug)]
enum Reading {
    /// Nothing: the session is live from here on.
    CaughtUp,
    /// The next updates, in order, and the position up to which they are complete.
    Posts {
        posts: Vec<Arc<Posted>>,
        through: Position,
    },
    /// The next updates are no longer retained.
    Trimmed,
}

/// Why a session reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It has just joined: it reads from its cursor.
    Cursor,
    /// It was live and fell behind, or has not been asked for anything yet.
    Lag,
}

/// Reads on after the session's position until it is live.
///
/// # Errors
///
/// How the stream ends, if it does.
pub(crate) async fn catch_up(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    reason: Reason,
) -> Result<(), Ending> {
    finish_event(shard, session).await?;
    let mut traced = Traced::new(shard);
    loop {
        // The peer is told first that a catch-up begins.
        session.announced().await?;
        // Replies to the peer's requests go out between two slices.
        while let Some(bytes) = session.take_reply() {
            session.send_all(bytes, shard.stall()).await?;
        }
        if session.is_unannounced() {
            continue;
        }
        if session.is_adding() {
            let kept = shard.kept();
            session.update(|progress| progress.begin_added(kept));
        }
        match read_on(shard, session).await? {
            Reading::CaughtUp => {
                on_caught_up(shard, session);
                return Ok(());
            }
            Reading::Posts { posts, through } => {
                if reason == Reason::Lag && !session.is_adding() {
                    note_age(shard, &posts);
                }
                for slice in Slices::new(shard, session, posts, &mut traced) {
                    send_slice(shard, session, slice).await?;
                }
                session.update(|progress| progress.on_sent(through));
            }
            Reading::Trimmed => {
                shard.metrics().gaps.inc();
                if session.duplex.is_none() && session.encoding != Encoding::Lines {
                    let comment = note_bytes(session.encoding, OVERTAKEN_NOTE);
                    session.send_all(comment, shard.stall()).await?;
                }
                return Err(Ending::Overtaken);
            }
        }
        // A fast socket must not keep the shard from its other work.
        tokio::task::yield_now().await;
    }
}

/// Notes how old the first of the updates is that a lagging session is about to be sent.
fn note_age(shard: &Shard, posts: &[Arc<Posted>]) {
    if let Some(first) = posts.first() {
        let age = unix_ms().saturating_sub(first.update.published_ms);
        let age = Duration::from_millis(age);
        shard.metrics().durations.unsent_age.observe(age);
    }
}

/// Sends the rest of an event that the socket took only in part, and tells the peer if it lagged.
async fn finish_event(shard: &Shard, session: &Session) -> Result<(), Ending> {
    let since = Instant::now();
    session
        .writable(session.tail_bytes(), shard.stall())
        .await?;
    if session.is_body() && !session.is_carried() && since.elapsed() >= LAGGING_AFTER {
        session.update(Progress::set_lagging);
        shard.metrics().lagging.inc();
    }
    let tail = session.update(Progress::take_tail);
    if !tail.is_empty() {
        session.send_all(tail, shard.stall()).await?;
    }
    if session.update(Progress::take_lagging) {
        tell_lagging(shard, session).await?;
    }
    Ok(())
}

/// Returns what `session` reads next. Makes it live if there is nothing.
///
/// # Errors
///
/// The history cannot be read. The stream then ends, and the subscriber tries again.
async fn read_on(shard: &Shard, session: &Session) -> Result<Reading, Ending> {
    loop {
        let presence_trimmed = shard.history().presence_trimmed();
        let after = session.update(|progress| progress.reads_after(presence_trimmed));
        let reading = read_after(shard, session, after).await?;
        let trimmed = matches!(reading, Reading::Trimmed);
        if !(trimmed && session.update(|progress| progress.on_trimmed(shard.before_oldest()))) {
            session.update(Progress::on_found);
            return Ok(reading);
        }
        // Retention was faster than the first read. Another update is the oldest by now.
    }
}

async fn read_after(shard: &Shard, session: &Session, next: Position) -> Result<Reading, Ending> {
    if skips(Rule::LiveInOneStep) && matches!(shard.recent_after(next), Recent::Nothing) {
        tokio::task::yield_now().await;
        session.update(Progress::go_live);
        return Ok(Reading::CaughtUp);
    }
    match shard.recent_after(next) {
        Recent::Nothing => {
            // In one step with the look, so that no update comes between them.
            session.update(Progress::go_live);
            return Ok(Reading::CaughtUp);
        }
        Recent::Updates(posts) => {
            let through = posts.last().map_or(next, |posted| posted.update.position);
            return Ok(Reading::Posts { posts, through });
        }
        Recent::TooOld => {}
    }
    match shard.page_after(next).await {
        Ok(page) => {
            let fresh = |update: &Arc<_>| Arc::new(Posted::replayed(Arc::clone(update)));
            let posts: Vec<_> = page.after(next).iter().map(fresh).collect();
            let presence_trimmed = shard.history().presence_trimmed();
            let had = session.update(|progress| progress.excused(presence_trimmed));
            let misses = page.last_hole > had && shard.misses(session, had);
            let through = page.next;
            // The history always has what this shard has seen.
            if misses || through <= next {
                Ok(Reading::Trimmed)
            } else {
                Ok(Reading::Posts { posts, through })
            }
        }
        Err(ReadError::Trimmed { oldest }) if skips(Rule::TellOfGaps) => {
            let through = Position::new(oldest.get().saturating_sub(1));
            let posts = Vec::new();
            Ok(Reading::Posts { posts, through })
        }
        Err(ReadError::Trimmed { .. }) => Ok(Reading::Trimmed),
        Err(ReadError::Closed) => Err(Ending::Drained),
        Err(error) => {
            // The history has logged the reason.
            tracing::debug!(%error, "stream ended: the history cannot be read");
            Err(Ending::HistoryUnreadable)
        }
    }
}

/// Tells a session that it has caught up, and sends the replies that waited.
fn on_caught_up(shard: &Shard, session: &Session) {
    session.socket().on_caught_up();
    let Some(duplex) = &session.duplex else {
        return;
    };
    if duplex.takes_caught_up() && duplex.protocol().tells_places() {
        let cursor = shard.cursor_at_last();
        let caught_up = Control::CaughtUp { cursor: &cursor };
        if let Some(text) = duplex.protocol().control(caught_up) {
            duplex.keep_reply(session.text(&text));
        }
    }
    shard.tell_waiting(session);
}

/// Tells a subscriber that it lags: by a comment, or by a message of its protocol.
async fn tell_lagging(shard: &Shard, session: &Session) -> Result<(), Ending> {
    let bytes = match session.encoding {
        Encoding::Chunked | Encoding::Plain => Some(note_bytes(session.encoding, LAGGING_NOTE)),
        Encoding::WebSocket(..) => {
            let duplex = session.duplex.as_ref();
            let text = duplex.and_then(|duplex| duplex.protocol().control(Control::Lagging));
            text.map(|text| session.text(&text))
        }
        Encoding::Lines => None,
    };
    match bytes {
        Some(bytes) => session.send_all(bytes, shard.stall()).await,
        None => Ok(()),
    }
}

fn note_bytes(encoding: Encoding, note: &str) -> Bytes {
    let comment = format!(": {note}\n\n");
    if encoding == Encoding::Chunked {
        format!("{:x}\r\n{comment}\r\n", comment.len()).into()
    } else {
        comment.into()
    }
}

async fn send_slice(shard: &Shard, session: &Session, slice: Slice) -> Result<(), Ending> {
    if let Phase::Closing(ending) = session.phase() {
        return Err(ending);
    }
    if !slice.bytes.is_empty() {
        let long = slice.bytes.len() > PIECE_BYTES_MAX;
        session.send_all(slice.bytes, shard.stall()).await?;
        if long && session.is_body() {
            // The body holds it, and hyper takes only what the peer has room for. The rest is booked, and the
            // session does not go live before it is taken.
            session.writable(0, shard.stall()).await?;
        }
        session.set_last_sent(shard.now());
        shard.metrics().replayed.inc_by(slice.updates);
    }
    session.update(|progress| progress.on_sent(slice.through));
    Ok(())
}

/// Joined events, and the position that is reached when they are sent.
struct Slice {
    bytes: Bytes,
    updates: u64,
    through: Position,
}

/// The span of a catch-up, which ends with it, whichever way it ends.
struct Traced<'a> {
    shard: &'a Shard,
    replaying: Option<Replaying>,
}

impl<'a> Traced<'a> {
    fn new(shard: &'a Shard) -> Self {
        let tracer = shard.tracer();
        let replaying = tracer.map(|_| Replaying::new(Instant::now()));
        Self { shard, replaying }
    }
}

impl Drop for Traced<'_> {
    fn drop(&mut self) {
        if let (Some(tracer), Some(replaying)) = (self.shard.tracer(), self.replaying.take()) {
            tracer.replayed(replaying, self.shard.index());
        }
    }
}

/// Cuts the updates that were read into slices, without those that are not for the subscriber.
struct Slices<'a> {
    shard: &'a Shard,
    session: &'a Session,
    traced: Option<&'a mut Replaying>,
    /// Dropped one by one, together with their encoded forms.
    posts: std::vec::IntoIter<Arc<Posted>>,
    /// Whether presence events may be for it. If thousands join at once, each skips the events of the others.
    watches: bool,
}

impl<'a> Slices<'a> {
    fn new(
        shard: &'a Shard,
        session: &'a Session,
        posts: Vec<Arc<Posted>>,
        traced: &'a mut Traced<'_>,
    ) -> Self {
        Self {
            shard,
            session,
            traced: traced.replaying.as_mut(),
            posts: posts.into_iter(),
            watches: shard.watches(session),
        }
    }
}

impl Iterator for Slices<'_> {
    type Item = Slice;

    fn next(&mut self) -> Option<Slice> {
        let mut slice = Bytes::new();
        let mut joined = Vec::new();
        let mut updates = 0;
        let mut through = None;
        while let Some(posted) = self.posts.as_slice().first() {
            let possible = self.watches || posted.update.presence.is_none();
            if possible && concerns(self.session, posted, self.shard.hub()) {
                let bytes = self.session.bytes(posted);
                if updates > 0 && bytes.len() >= SLICE_BYTES {
                    // A long update is a slice of its own, so that all sessions that are behind share it.
                    break;
                }
                self.session.note_sent(posted);
                if let Some(traced) = &mut self.traced {
                    traced.on_sent(&posted.update);
                }
                updates += 1;
                if updates == 1 {
                    slice = bytes;
                } else {
                    if joined.is_empty() {
                        joined.extend_from_slice(&slice);
                    }
                    joined.extend_from_slice(&bytes);
                }
            }
            through = Some(posted.update.position);
            self.posts.next();
            if slice.len().max(joined.len()) >= SLICE_BYTES {
                break;
            }
        }
        if !joined.is_empty() {
            slice = joined.into();
        }
        Some(Slice {
            bytes: slice,
            updates,
            through: through?,
        })
    }
}
