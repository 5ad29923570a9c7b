//! A session's task, from joining to its end. Two-way sessions share it as their writing half.

use std::rc::Rc;

use bytes::Bytes;
use tidings_core::matcher::Matcher;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::catching_up::Reason;
use super::progress::Phase;
use super::{Ending, Session, Start, catching_up, websocket};
use crate::router::Ticket;
use crate::shard::Shard;

/// How a stream begins on the wire.
#[derive(Debug)]
pub enum Opening {
    /// The response head. It is sent once the subscriber has joined.
    Head(Bytes),
    /// hyper sends the head when told that the subscriber has joined; `prelude` comes next.
    Response {
        /// Tells the request to send the response head.
        ready: oneshot::Sender<()>,
        /// The first bytes of the body; may be empty.
        prelude: Bytes,
    },
}

/// Runs a session to its end, then removes it from its shard.
pub(crate) async fn run(shard: Rc<Shard>, session: Rc<Session>, opening: Opening, start: Start) {
    if session.duplex.is_some() {
        return websocket::run(shard, session, opening, start).await;
    }
    let ending = match live(&shard, &session, opening, start).await {
        Ok(never) => match never {},
        Err(ending) => ending,
    };
    session.close(ending);
    let return_ms = shard.return_ms();
    Box::pin(session.finish(ending, shard.options().ends_abruptly, Some(return_ms))).await;
    shard.on_session_end(&session, ending);
}

/// Runs a session's phases until one ends it.
pub(super) async fn live(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    opening: Opening,
    start: Start,
) -> Result<std::convert::Infallible, Ending> {
    // Boxed: a live session waits here for hours, with the largest state that it ever had.
    Box::pin(begin(shard, session, opening, start)).await?;
    if start != Start::Now && session.phase() == Phase::Behind {
        Box::pin(replay(shard, session)).await?;
    }
    loop {
        match session.phase() {
            Phase::Joining | Phase::Live => session.leave(session.phase()).await?,
            Phase::Behind => Box::pin(catching_up::catch_up(shard, session, Reason::Lag)).await?,
            Phase::Closing(ending) => return Err(ending),
        }
    }
}

/// Reads what comes after the subscriber's cursor, until it is live.
async fn replay(shard: &Rc<Shard>, session: &Rc<Session>) -> Result<(), Ending> {
    let begun = Instant::now();
    catching_up::catch_up(shard, session, Reason::Cursor).await?;
    shard.metrics().durations.replay.observe(begun.elapsed());
    Ok(())
}

/// Joins the router, and sends the first bytes of the stream.
async fn begin(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    opening: Opening,
    start: Start,
) -> Result<(), Ending> {
    if session.duplex.is_none() {
        // The TLS state may hold bytes that came right behind the request. The socket does not report those.
        session.on_readable()?;
    }
    let matchers: Box<[Matcher]> = (&*session.matchers()).into();
    let asked = Instant::now();
    shard
        .router()
        .join(shard.index(), Ticket(session.id), matchers)
        .await;
    session.leave(Phase::Joining).await?;
    shard.metrics().durations.join.observe(asked.elapsed());
    if start != Start::Now {
        let kept = shard.kept();
        session.update(|progress| progress.begin(start, kept));
    }
    if let Some(duplex) = &session.duplex {
        websocket::greet(shard, session, duplex, start).await;
    }
    // After joining, so that it can receive its own presence event; and after the greeting, which comes
    // before all replies.
    shard.tell_joined(session).await;
    match opening {
        Opening::Head(head) => session.send_head(head, shard.stall()).await?,
        Opening::Response { ready, prelude } => {
            // The request may be gone: then the body is dropped, which the next step sees.
            ready.send(()).ok();
            session.send_all(prelude, shard.stall()).await?;
        }
    }
    Ok(())
}
