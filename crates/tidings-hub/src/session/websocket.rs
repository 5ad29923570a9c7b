//! The reading half of a two-way session's task: it reads frames, answers them, and closes the connection.
//! Updates are written as for every other session, by the sweep or while catching up.
//!
//! ```text
//! socket ─▶ duplex (decoder) ─▶ on_event ─┬─▶ pong, close
//!                                         └─▶ protocol: what the peer's texts mean
//! ```

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tidings_core::event_id::Cursor;
use tidings_wire::sockjs::{self, inbound};
use tidings_wire::websocket::Opcode;
use tidings_wire::websocket::close::CloseCode;
use tidings_wire::websocket::encoder::{self, Packing};
use tidings_wire::websocket::frames::Event;
use tokio::time::timeout;

use super::duplex::{Duplex, Heartbeat};
use super::protocol::{Control, Peer};
use super::run::live;
use super::socket::Socket;
use super::{Ending, Opening, Phase, Session, Start};
use crate::account::OverLimit;
use crate::shard::Shard;
use crate::shard::timers::TICK;

/// Bytes read from a peer at once.
const READ_BYTES: usize = 4096;
/// Events and reads of one peer that are handled before the shard does its other work.
const TURNS: usize = 32;
/// Texts that one SockJS frame, or one request, may hold.
pub const SOCKJS_TEXTS_MAX: usize = 4096;
/// Bytes of a message after which the shard does its other work at once.
const LONG_BYTES: usize = 64 * 1024;
/// How long the last frames may take, and how long the peer may then take to close its side.
const FAREWELL: Duration = Duration::from_secs(1);

/// Runs a two-way session to its end, then removes it from its shard.
pub(crate) async fn run(shard: Rc<Shard>, session: Rc<Session>, opening: Opening, start: Start) {
    let Some(duplex) = &session.duplex else {
        return;
    };
    let ending = {
        let mut writing = Box::pin(live(&shard, &session, opening, start));
        let mut reading = Box::pin(listen(&shard, &session, duplex));
        let ended = tokio::select! {
            biased;
            ended = &mut writing => ended,
            ending = &mut reading => {
                session.close(ending);
                // It stops at once, and keeps the rest of a partly sent frame.
                writing.await
            }
        };
        match ended {
            Ok(never) => match never {},
            Err(ending) => ending,
        }
    };
    session.close(ending);
    Box::pin(close_connection(&session, duplex, ending)).await;
    shard.on_session_end(&session, ending);
}

/// Reads frames and answers them until the peer ends or breaks a rule.
async fn listen(shard: &Rc<Shard>, session: &Rc<Session>, duplex: &Duplex) -> Ending {
    let joined = poll_fn(|cx| {
        session.keep_waker(cx);
        match session.phase() {
            Phase::Joining => Poll::Pending,
            Phase::Behind | Phase::Live => Poll::Ready(Ok(())),
            Phase::Closing(ending) => Poll::Ready(Err(ending)),
        }
    });
    if let Err(ending) = joined.await {
        return ending;
    }
    let peer = Peer {
        shard,
        session,
        duplex,
    };
    if let Err(ending) = duplex.protocol().on_open(peer) {
        return ending;
    }
    let mut turns = 0;
    loop {
        turns += 1;
        if turns % TURNS == 0 {
            tokio::task::yield_now().await;
        }
        while duplex.is_too_busy(shard.now()) {
            // Boxed, as below: a wait that is rare takes no memory of idle sessions.
            Box::pin(tokio::time::sleep(TICK)).await;
        }
        if duplex.has_inbound() {
            if let Err(ending) = Box::pin(on_inbound(shard, session, duplex)).await {
                return ending;
            }
            continue;
        }
        match duplex.next_event() {
            Ok(Some(event)) => {
                let long = is_long(&event);
                let answered = Box::pin(on_event(shard, session, duplex, event)).await;
                if let Err(ending) = answered {
                    return ending;
                }
                if long {
                    tokio::task::yield_now().await;
                }
            }
            Ok(None) => {
                if let Err(refusal) = duplex.book_partial() {
                    return over_limit(duplex, refusal);
                }
                if let Err(ending) = receive(session, duplex).await {
                    return ending;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "WebSocket frame refused");
                duplex.close_with(error.close_code(), &error.to_string());
                return Ending::Violation;
            }
        }
    }
}

/// Returns whether an event is as much work as many short events.
fn is_long(event: &Event) -> bool {
    match event {
        Event::Text(text) => text.len() >= LONG_BYTES,
        Event::Binary(bytes) => bytes.len() >= LONG_BYTES,
        Event::Ping(_) | Event::Pong(_) | Event::Close(_) => false,
    }
}

/// Waits until the peer may be read from and has sent something.
async fn receive(session: &Session, duplex: &Duplex) -> Result<(), Ending> {
    loop {
        if !duplex.is_input_paused() {
            if duplex.has_inbound() {
                return Ok(());
            }
            let mut buffer = [0; READ_BYTES];
            match session.socket().try_read(&mut buffer) {
                Ok(0) => return Err(Ending::PeerClosed),
                Ok(count) => {
                    duplex.receive(buffer.get(..count).unwrap_or_default());
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Err(Ending::WriteFailed),
            }
        }
        poll_fn(|cx| {
            session.keep_waker(cx);
            if duplex.is_input_paused() {
                return Poll::Pending;
            }
            if duplex.has_inbound() {
                return Poll::Ready(Ok(()));
            }
            session.socket().poll_readable(cx)
        })
        .await
        .map_err(|_broken| Ending::WriteFailed)?;
    }
}

/// Processes the next text of a batch.
async fn on_inbound(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    duplex: &Duplex,
) -> Result<(), Ending> {
    if duplex.is_input_paused() {
        return receive(session, duplex).await;
    }
    let Some(inbound) = duplex.next_inbound() else {
        return Ok(());
    };
    check_pace(shard, duplex)?;
    let peer = Peer {
        shard,
        session,
        duplex,
    };
    let answered = duplex.protocol().on_framed_text(peer, inbound.text).await;
    if let Some(last) = inbound.last {
        // The request that sent it may be gone.
        last.send(()).ok();
    }
    answered
}

/// Counts a frame, and checks how many there were in this second.
fn check_pace(shard: &Shard, duplex: &Duplex) -> Result<(), Ending> {
    if duplex.is_flooding(shard.now()) {
        duplex.close_with(CloseCode::POLICY, "too many frames in a second");
        return Err(Ending::Flooding);
    }
    Ok(())
}

/// Takes a SockJS frame, which holds any number of texts.
fn on_frame(shard: &Shard, duplex: &Duplex, frame: &str) -> Result<(), Ending> {
    let texts = inbound::decode_websocket(frame, SOCKJS_TEXTS_MAX).map_err(|error| {
        duplex.close_with(CloseCode::INVALID_PAYLOAD, &error.to_string());
        Ending::Violation
    })?;
    if texts.is_empty() {
        // Otherwise each text counts as a frame.
        check_pace(shard, duplex)?;
    }
    duplex
        .push_inbound(texts, None)
        .map_err(|refusal| over_limit(duplex, refusal))
}

/// Drops what the peer is sending, because there is no room for it, and sets the reason for the close.
pub(super) fn over_limit(duplex: &Duplex, refusal: OverLimit) -> Ending {
    duplex.discard_partial();
    duplex.close_with(CloseCode::TRY_LATER, &refusal.to_string());
    Ending::MemoryLimit
}

async fn on_event(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    duplex: &Duplex,
    event: Event,
) -> Result<(), Ending> {
    duplex.note_activity();
    shard.metrics().websocket_frames.inc();
    if let Event::Text(frame) = &event
        && session.speaks_sockjs()
    {
        return on_frame(shard, duplex, frame);
    }
    check_pace(shard, duplex)?;
    let peer = Peer {
        shard,
        session,
        duplex,
    };
    match event {
        Event::Ping(payload) => {
            shard.tell(
                session,
                encoder::frame(Opcode::Pong, Packing::Plain, &payload),
            );
            Ok(())
        }
        Event::Pong(_) => Ok(()),
        Event::Close(close) => {
            let code = close.map_or(CloseCode::NORMAL, |close| close.code);
            duplex.close_with(code, "");
            Err(Ending::CloseFrame)
        }
        Event::Text(text) => duplex.protocol().on_text(peer, text).await,
        Event::Binary(_) if session.speaks_sockjs() => {
            duplex.close_with(CloseCode::UNSUPPORTED, "SockJS frames are text messages");
            Err(Ending::Violation)
        }
        Event::Binary(bytes) => duplex.protocol().on_binary(peer, bytes),
    }
}

/// Tells a new peer that its connection is open, and from where it can resume.
pub(super) async fn greet(shard: &Shard, session: &Session, duplex: &Duplex, start: Start) {
    if duplex.heartbeat() == Heartbeat::Framed {
        duplex.keep_reply(encoder::text(sockjs::OPEN));
    }
    if !duplex.protocol().tells_places() {
        return;
    }
    if start != Start::Now {
        duplex.tell_caught_up();
    }
    let cursor = match start {
        Start::Oldest | Start::AfterGap(_) => Cursor::Earliest,
        Start::Now | Start::After(_) => shard.cursor_at(session.position()).await,
    };
    let open = Control::Open {
        cursor: &cursor,
        ping: duplex.heartbeat_interval().unwrap_or_default(),
    };
    if let Some(text) = duplex.protocol().control(open) {
        duplex.keep_reply(session.text(&text));
    }
}

/// Closes the connection cleanly: sends the rest of a frame, the replies that wait and the close frame, then
/// waits for the peer to close its side.
async fn close_connection(session: &Session, duplex: &Duplex, ending: Ending) {
    let close = farewell(duplex, ending);
    if let Socket::Carrier(carrier) = session.socket() {
        let waiting = std::iter::from_fn(|| duplex.take_reply());
        let last = Some(session.take_tail()).into_iter().chain(waiting);
        let last = last.filter(|bytes| !bytes.is_empty());
        return match close {
            Some((code, reason)) => carrier.close(last, code.get(), &reason),
            None => carrier.close(last, sockjs::CLOSE_INTERRUPTED, "Connection interrupted"),
        };
    }
    let Some((code, reason)) = close else {
        return session.socket().finish();
    };
    let last = async {
        send_last(session, session.take_tail()).await?;
        while let Some(bytes) = duplex.take_reply() {
            send_last(session, bytes).await?;
        }
        if duplex.heartbeat() == Heartbeat::Framed
            && !matches!(ending, Ending::CloseFrame | Ending::Violation)
        {
            let frame = sockjs::close_frame(code.get(), &reason);
            send_last(session, encoder::text(&frame)).await?;
        }
        send_last(session, encoder::close(code, &reason)).await
    };
    if !matches!(timeout(FAREWELL, last).await, Ok(Ok(()))) {
        return session.socket().finish();
    }
    if matches!(ending, Ending::CloseFrame | Ending::Violation) {
        // The peer's close frame has come, or its input cannot be decoded.
        session.socket().finish();
    }
    // Closing while the peer still sends would reset the connection and lose the last frames.
    drop(timeout(FAREWELL, peer_ends(session, duplex)).await);
    session.socket().finish();
}

async fn send_last(session: &Session, mut bytes: Bytes) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = session.try_send(&bytes)?;
        drop(bytes.split_to(sent.taken));
        if !bytes.is_empty() || !sent.flushed {
            session.socket_writable().await?;
        }
    }
    Ok(())
}

/// Waits for the peer's close frame, or for the end of its side.
async fn peer_ends(session: &Session, duplex: &Duplex) -> io::Result<()> {
    let mut buffer = [0; READ_BYTES];
    let mut readable = true;
    loop {
        while readable {
            match duplex.next_event() {
                Ok(Some(Event::Close(_))) => return Ok(()),
                Ok(Some(_)) => {}
                Ok(None) => {
                    if duplex.book_partial().is_err() {
                        duplex.discard_partial();
                    }
                    break;
                }
                Err(_) => readable = false,
            }
        }
        match session.socket().try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                if readable {
                    duplex.receive(buffer.get(..count).unwrap_or_default());
                }
                // A peer that sends without end must not keep the shard busy.
                tokio::task::yield_now().await;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                poll_fn(|cx| session.socket().poll_readable(cx)).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The one table of close codes. `docs/reference/websocket.md` lists them.
fn farewell(duplex: &Duplex, ending: Ending) -> Option<(CloseCode, Box<str>)> {
    let application = |code| CloseCode::new(code).unwrap_or(CloseCode::POLICY);
    let (code, reason) = match ending {
        Ending::PeerClosed | Ending::WriteFailed | Ending::Stalled | Ending::Answered => {
            return None;
        }
        Ending::CloseFrame
        | Ending::Violation
        | Ending::Refused
        | Ending::Flooding
        | Ending::MemoryLimit => {
            return duplex
                .take_farewell()
                .or_else(|| Some((CloseCode::POLICY, "".into())));
        }
        Ending::TokenExpired => (application(4401), "the token has expired"),
        Ending::TokenRevoked => (application(4401), "the token was revoked"),
        Ending::Disconnected => (application(4403), "disconnected by an operator"),
        Ending::TokenTimeout => (application(4401), "no token came in time"),
        Ending::Overtaken => (
            application(4410),
            "events still to be read are no longer kept",
        ),
        Ending::Lifetime => (
            CloseCode::GOING_AWAY,
            "the connection has lived long enough",
        ),
        Ending::PingTimeout => (CloseCode::GOING_AWAY, "no answer to a ping"),
        Ending::HistoryUnreadable => (CloseCode::INTERNAL, "the history cannot be read"),
        Ending::Drained => (CloseCode::RESTART, "the hub is being stopped"),
    };
    Some((code, reason.into()))
}
