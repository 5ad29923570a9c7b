//! How a session that is behind reads on: from the shard's ring while that reaches back far enough,
//! else from the history, in bounded slices, at the speed of its own socket. Each update is checked
//! against the subscriber's matchers and grants anew.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidings_core::position::Position;
use tidings_wire::hub_frames::{self, Saying};
use tokio::time::Instant;

use super::socket::PIECE_BYTES_MAX;
use super::{Ending, Phase, Session, concerns};
use crate::hub::posted::Encoding;
use crate::hub::posted::Posted;
use crate::hub::shard::Shard;
use crate::hub::shard::reading::Reading;

/// Bytes that are joined before they are written: one slice of a replay.
const SLICE_BYTES: usize = 64 * 1024;
/// How long a piece of an HTTP/2 stream waits for the peer before that counts as lagging: hyper, which
/// takes it, may only not have had its turn.
const LAGGING_AFTER: Duration = Duration::from_millis(250);
/// Tells a subscriber that its socket was full and that it is being caught up.
const LAGGING_NOTE: &str = "lagging: the connection was full, reading on from the history";
/// Tells a subscriber that retention removed what it had still to read.
const OVERTAKEN_NOTE: &str =
    "gap: events that this subscriber had still to read are no longer kept";

/// Reads on after `session.next` until the session is live.
///
/// # Errors
///
/// How the stream ends, if it does.
pub(crate) async fn catch_up(shard: &Rc<Shard>, session: &Rc<Session>) -> Result<(), Ending> {
    let since = Instant::now();
    session
        .writable(session.tail_bytes(), shard.stall())
        .await?;
    if session.is_body() && !session.is_carried() && since.elapsed() >= LAGGING_AFTER {
        session.set_lagging();
        shard.metrics().lagging.inc();
    }
    let tail = session.take_tail();
    if !tail.is_empty() {
        session.send_all(tail, shard.stall()).await?;
    }
    if session.take_lagging() {
        send_note(shard, session, LAGGING_NOTE, &Saying::Lagging {}).await?;
    }
    loop {
        // What a peer asks for comes after the answer that it will come.
        session.announced().await?;
        // Answers to what the peer asked meanwhile go out between two slices.
        while let Some(bytes) = session.take_waiting() {
            session.send_all(bytes, shard.stall()).await?;
        }
        if session.is_unannounced() {
            continue;
        }
        shard.begin_catch_up(session);
        match shard.read_on(session).await? {
            Reading::CaughtUp => {
                shard.on_caught_up(session);
                return Ok(());
            }
            Reading::Posts { posts, through } => {
                for slice in Slices::new(shard, session, posts) {
                    send_slice(shard, session, slice).await?;
                }
                session.next.set(through.max(session.next.get()));
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
        // A socket that takes everything must not keep the shard from its other work.
        tokio::task::yield_now().await;
    }
}

/// Tells a subscriber something about its stream: by a comment, or by a frame of the hub.
async fn send_note(
    shard: &Shard,
    session: &Session,
    note: &str,
    saying: &Saying<'_>,
) -> Result<(), Ending> {
    let bytes = match session.encoding {
        Encoding::Chunked | Encoding::Plain => note_bytes(session.encoding, note),
        Encoding::WebSocket(texts, _) if texts.are_json() => {
            session.text(&hub_frames::encode(saying, None))
        }
        Encoding::WebSocket(..) | Encoding::Lines => return Ok(()),
    };
    session.send_all(bytes, shard.stall()).await
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
    if let Phase::Closing(ending) = session.phase.get() {
        return Err(ending);
    }
    if !slice.bytes.is_empty() {
        let long = slice.bytes.len() > PIECE_BYTES_MAX;
        session.send_all(slice.bytes, shard.stall()).await?;
        if long && session.is_body() {
            // The body has it, and hyper only what the peer has room for: what waits is booked, and the
            // session is not live before it is taken.
            session.writable(0, shard.stall()).await?;
        }
        session.last_sent.set(shard.now());
        shard.metrics().replayed.inc_by(slice.updates);
    }
    session.next.set(slice.through);
    if let Some(duplex) = &session.duplex {
        duplex.on_read(slice.through);
    }
    Ok(())
}

/// Joined events and the position that sending them reaches.
struct Slice {
    bytes: Bytes,
    updates: u64,
    through: Position,
}

/// Cuts what was read into slices, leaving out what does not concern the subscriber.
struct Slices<'a> {
    shard: &'a Shard,
    session: &'a Session,
    /// Given up one by one, with what was encoded of them.
    posts: std::vec::IntoIter<Arc<Posted>>,
    /// Whether events about subscriptions may be for it. When thousands join at once, each reads past
    /// those of the others.
    watches: bool,
}

impl<'a> Slices<'a> {
    fn new(shard: &'a Shard, session: &'a Session, posts: Vec<Arc<Posted>>) -> Self {
        Self {
            shard,
            session,
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
                    // A long one comes alone, and all who are behind share it.
                    break;
                }
                self.session.note_sent(posted);
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
