//! The half of a session that a WebSocket has beside an event stream: it reads frames, answers
//! them, and says goodbye. Updates go out as to every other session, by the sweep or by replay.
//!
//! ```text
//! socket ─▶ duplex (decoder) ─▶ on_event ─┬─▶ pong, close
//!                                         ├─▶ requests (the hub's frames)
//!                                         ├─▶ ingest (a conversation's texts)
//!                                         └─▶ an answer (a service)
//! ```

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tidings_wire::publish_form::PublishForm;
use tidings_wire::sockjs::{self, inbound};
use tidings_wire::websocket::Opcode;
use tidings_wire::websocket::close::CloseCode;
use tidings_wire::websocket::encoder::{self, Packing};
use tidings_wire::websocket::frames::Event;
use tokio::time::timeout;

use super::duplex::{Beat, Conversation, Duplex, Purpose};
use super::socket::Socket;
use super::{Ending, Opening, Phase, Session, Start, live, requests};
use crate::hub::account::{Kind, OverLimit};
use crate::hub::ingest::{PublishError, Publisher};
use crate::hub::refusal::{self, Refusal};
use crate::hub::shard::Shard;
use crate::hub::shard::timers::TICK;
use crate::tasks;
use crate::telemetry::metrics::count;

/// Bytes read from a peer at once.
const READ_BYTES: usize = 4096;
/// Events and reads of one peer that are dealt with before the shard looks after its other work.
const TURNS: usize = 32;
/// Texts that one frame of SockJS, or one request, may hold.
pub(crate) const SOCKJS_TEXTS_MAX: usize = 4096;
/// Bytes of a text after which the shard looks after its other work at once.
const LONG_BYTES: usize = 64 * 1024;
/// How long the last frames may take, and how long the peer may then take to end.
const FAREWELL: Duration = Duration::from_secs(1);

/// Runs a session whose peer may speak to its end, then removes it from its shard.
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
                // It stops at once, but knows what of a frame is still to go out.
                writing.await
            }
        };
        match ended {
            Ok(never) => match never {},
            Err(ending) => ending,
        }
    };
    session.close(ending);
    Box::pin(say_goodbye(&session, duplex, ending)).await;
    shard.on_session_end(&session, ending);
}

/// Reads and answers until the peer ends or breaks a rule.
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
    if let Purpose::Service(service) = &duplex.purpose
        && let Some((code, reason)) = service.closes()
    {
        duplex.part(CloseCode::new(code).unwrap_or(CloseCode::NORMAL), reason);
        return Ending::Refused;
    }
    let mut turns = 0;
    loop {
        turns += 1;
        if turns % TURNS == 0 {
            tokio::task::yield_now().await;
        }
        while duplex.is_too_busy(shard.now()) {
            // Boxed, as below: what is seldom waited for takes no room in those who are idle.
            Box::pin(tokio::time::sleep(TICK)).await;
        }
        if duplex.has_spoken() {
            if let Err(ending) = Box::pin(on_spoken(shard, session, duplex)).await {
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
                if let Err(refusal) = duplex.book_part() {
                    return overdrawn(duplex, refusal);
                }
                if let Err(ending) = receive(session, duplex).await {
                    return ending;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a WebSocket breaks a rule");
                duplex.part(error.close_code(), &error.to_string());
                return Ending::Violation;
            }
        }
    }
}

/// Returns whether an event is as much work as many short ones.
fn is_long(event: &Event) -> bool {
    match event {
        Event::Text(text) => text.len() >= LONG_BYTES,
        Event::Binary(bytes) => bytes.len() >= LONG_BYTES,
        Event::Ping(_) | Event::Pong(_) | Event::Close(_) => false,
    }
}

/// Waits for bytes of the peer, and until it may be read from.
async fn receive(session: &Session, duplex: &Duplex) -> Result<(), Ending> {
    loop {
        if !duplex.is_clogged() {
            if duplex.has_spoken() {
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
                Err(_) => return Err(Ending::Broken),
            }
        }
        poll_fn(|cx| {
            session.keep_waker(cx);
            if duplex.is_clogged() {
                return Poll::Pending;
            }
            if duplex.has_spoken() {
                return Poll::Ready(Ok(()));
            }
            session.socket().poll_readable(cx)
        })
        .await
        .map_err(|_broken| Ending::Broken)?;
    }
}

/// Deals with the next of the texts that came together.
async fn on_spoken(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    duplex: &Duplex,
) -> Result<(), Ending> {
    if duplex.is_clogged() {
        return receive(session, duplex).await;
    }
    let Some(spoken) = duplex.next_spoken() else {
        return Ok(());
    };
    check_pace(shard, duplex)?;
    let answered = match &duplex.purpose {
        Purpose::Service(service) => {
            let frame = sockjs::text_frame([&service.on_sockjs_text(spoken.text)]);
            shard.tell(session, encoder::text(&frame));
            Ok(())
        }
        Purpose::Hub | Purpose::Conversation(_) => {
            Box::pin(on_text(shard, session, duplex, spoken.text.to_unicode())).await
        }
    };
    if let Some(last) = spoken.last {
        // Whoever sent it may be gone.
        last.send(()).ok();
    }
    answered
}

/// Counts a frame.
fn check_pace(shard: &Shard, duplex: &Duplex) -> Result<(), Ending> {
    if duplex.is_flooding(shard.now()) {
        duplex.part(CloseCode::POLICY, "too many frames in a second");
        return Err(Ending::Flooding);
    }
    Ok(())
}

/// Takes a text that holds texts.
fn on_frame(shard: &Shard, duplex: &Duplex, frame: &str) -> Result<(), Ending> {
    let texts = inbound::decode_websocket(frame, SOCKJS_TEXTS_MAX).map_err(|error| {
        duplex.part(CloseCode::INVALID_PAYLOAD, &error.to_string());
        Ending::Violation
    })?;
    if texts.is_empty() {
        // The others are counted one by one.
        check_pace(shard, duplex)?;
    }
    duplex
        .hear(texts, None)
        .map_err(|refusal| overdrawn(duplex, refusal))
}

/// Notes why there is no room for what the peer says, and lets go of it.
fn overdrawn(duplex: &Duplex, refusal: OverLimit) -> Ending {
    duplex.discard_part();
    duplex.part(CloseCode::TRY_LATER, &refusal.to_string());
    Ending::HeldBytes
}

async fn on_event(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    duplex: &Duplex,
    event: Event,
) -> Result<(), Ending> {
    duplex.on_heard();
    shard.metrics().websocket_frames.inc();
    if let Event::Text(frame) = &event
        && session.speaks_sockjs()
    {
        return on_frame(shard, duplex, frame);
    }
    check_pace(shard, duplex)?;
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
            duplex.part(code, "");
            Err(Ending::Closed)
        }
        Event::Text(text) => on_text(shard, session, duplex, text).await,
        Event::Binary(bytes) => on_binary(shard, session, duplex, bytes),
    }
}

async fn on_text(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    duplex: &Duplex,
    text: String,
) -> Result<(), Ending> {
    match &duplex.purpose {
        Purpose::Hub => {
            requests::on_request(shard, session, duplex, &text).await;
            Ok(())
        }
        Purpose::Conversation(conversation) => say(shard, session, duplex, conversation, text),
        Purpose::Service(service) => {
            let answer = service.on_text(text);
            tell_back(shard, session, duplex, Opcode::Text, answer.as_bytes());
            Ok(())
        }
    }
}

fn on_binary(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    duplex: &Duplex,
    bytes: Vec<u8>,
) -> Result<(), Ending> {
    match &duplex.purpose {
        _ if session.speaks_sockjs() => {
            duplex.part(CloseCode::UNSUPPORTED, "frames of SockJS are texts");
            Err(Ending::Violation)
        }
        Purpose::Hub => {
            duplex.part(CloseCode::UNSUPPORTED, "the hub's frames are texts");
            Err(Ending::Violation)
        }
        // As Ratchet does it: the others get a text whatever kind of frame came.
        Purpose::Conversation(conversation) => match String::from_utf8(bytes) {
            Ok(text) => say(shard, session, duplex, conversation, text),
            Err(_) => {
                duplex.part(CloseCode::UNSUPPORTED, "binary that is not UTF-8");
                Err(Ending::Violation)
            }
        },
        Purpose::Service(service) => {
            if let Some(answer) = service.on_binary(bytes) {
                tell_back(shard, session, duplex, Opcode::Binary, &answer);
            }
            Ok(())
        }
    }
}

/// Sends what a service answers.
fn tell_back(shard: &Shard, session: &Session, duplex: &Duplex, opcode: Opcode, payload: &[u8]) {
    let frame = match duplex.deflated(payload) {
        Some(deflated) => encoder::frame(opcode, Packing::Deflated, &deflated),
        None => encoder::frame(opcode, Packing::Plain, payload),
    };
    shard.tell(session, frame);
}

/// Publishes what a peer of a conversation says.
fn say(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    duplex: &Duplex,
    conversation: &Conversation,
    text: String,
) -> Result<(), Ending> {
    let publisher = duplex.publisher();
    if publisher.is_none() && !conversation.open {
        duplex.part(
            CloseCode::POLICY,
            "speaking here needs a token that allows publishing",
        );
        return Err(Ending::Refused);
    }
    let form = PublishForm {
        topics: vec![conversation.topic.as_str().to_owned()],
        data: Some(text),
        private: conversation.private,
        id: Some(duplex.new_id(conversation)),
        event_type: None,
        retry: None,
    };
    let bytes = form.data.as_deref().map_or(0, str::len);
    let charge = session
        .holder()
        .take(Kind::Publication, bytes)
        .map_err(|refusal| overdrawn(duplex, refusal))?;
    duplex.on_publishing();
    let (shard, session, open) = (Rc::clone(shard), Rc::clone(session), conversation.open);
    tasks::spawn(async move {
        let publisher = match &publisher {
            Some(identity) if !open => Publisher::Grants(&identity.grants),
            Some(_) | None => Publisher::Page,
        };
        let result = shard.ingest().publish(form, publisher).await;
        let Some(duplex) = &session.duplex else {
            return;
        };
        duplex.on_published();
        drop(charge);
        match result {
            Ok(_) => {
                shard.metrics().updates.inc();
                session.wake();
            }
            Err(error) => {
                let code = if matches!(error, PublishError::Closed) {
                    CloseCode::RESTART
                } else {
                    close_code(Refusal::of_publishing(&error, true).kind)
                };
                count(&shard.metrics().publish_refused, "conversation");
                duplex.part(code, &error.to_string());
                session.close(Ending::Refused);
            }
        }
    });
    Ok(())
}

/// The table from kinds of refusal to close codes, where a refused text closes the connection.
fn close_code(kind: refusal::Kind) -> CloseCode {
    match kind {
        refusal::Kind::TooMuch | refusal::Kind::Unavailable => CloseCode::TRY_LATER,
        refusal::Kind::Invalid
        | refusal::Kind::TooLarge
        | refusal::Kind::TokenMissing
        | refusal::Kind::TokenInvalid
        | refusal::Kind::ScopeInsufficient
        | refusal::Kind::NotFound => CloseCode::POLICY,
    }
}

/// Closes in good form: the rest of a frame, what waits, the close frame; then the peer's turn.
async fn say_goodbye(session: &Session, duplex: &Duplex, ending: Ending) {
    let words = farewell(duplex, ending);
    if let Socket::Carrier(carrier) = session.socket() {
        let waiting = std::iter::from_fn(|| duplex.take_waiting());
        let last = Some(session.take_tail()).into_iter().chain(waiting);
        let last = last.filter(|bytes| !bytes.is_empty());
        return match words {
            Some((code, reason)) => carrier.close(last, code.get(), &reason),
            None => carrier.close(last, sockjs::CLOSE_INTERRUPTED, "Connection interrupted"),
        };
    }
    let Some((code, reason)) = words else {
        return session.socket().finish();
    };
    let last = async {
        send_last(session, session.take_tail()).await?;
        while let Some(bytes) = duplex.take_waiting() {
            send_last(session, bytes).await?;
        }
        if duplex.beat == Beat::Framed && !matches!(ending, Ending::Closed | Ending::Violation) {
            let frame = sockjs::close_frame(code.get(), &reason);
            send_last(session, encoder::text(&frame)).await?;
        }
        send_last(session, encoder::close(code, &reason)).await
    };
    if !matches!(timeout(FAREWELL, last).await, Ok(Ok(()))) {
        return session.socket().finish();
    }
    if matches!(ending, Ending::Closed | Ending::Violation) {
        // The peer's close has come, or nothing that it sends can be read.
        session.socket().finish();
    }
    // Closing while the peer still sends would reset the connection and destroy the last frames.
    drop(timeout(FAREWELL, peer_ends(session, duplex)).await);
    session.socket().finish();
}

async fn send_last(session: &Session, mut bytes: Bytes) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = session.try_send(&bytes)?;
        drop(bytes.split_to(sent.taken));
        if !bytes.is_empty() || !sent.flushed {
            session.drained().await?;
        }
    }
    Ok(())
}

/// Waits for the peer's close frame, and for its end where ours was said already.
async fn peer_ends(session: &Session, duplex: &Duplex) -> io::Result<()> {
    let mut buffer = [0; READ_BYTES];
    let mut readable = true;
    loop {
        while readable {
            match duplex.next_event() {
                Ok(Some(Event::Close(_))) => return Ok(()),
                Ok(Some(_)) => {}
                Ok(None) => {
                    if duplex.book_part().is_err() {
                        duplex.discard_part();
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
                // One that sends without end must not keep the shard, nor time, from passing.
                tokio::task::yield_now().await;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                poll_fn(|cx| session.socket().poll_readable(cx)).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The one table of close codes; docs/reference/websocket.md lists them.
fn farewell(duplex: &Duplex, ending: Ending) -> Option<(CloseCode, Box<str>)> {
    let application = |code| CloseCode::new(code).unwrap_or(CloseCode::POLICY);
    let (code, reason) = match ending {
        Ending::PeerClosed | Ending::Broken | Ending::Stalled | Ending::Answered => return None,
        Ending::Closed
        | Ending::Violation
        | Ending::Refused
        | Ending::Flooding
        | Ending::HeldBytes => {
            return duplex
                .take_farewell()
                .or_else(|| Some((CloseCode::POLICY, "".into())));
        }
        Ending::TokenExpired => (application(4401), "the token has expired"),
        Ending::Anonymous => (application(4401), "no token came in time"),
        Ending::Overtaken => (
            application(4410),
            "events still to be read are no longer kept",
        ),
        Ending::Lifetime => (
            CloseCode::GOING_AWAY,
            "the connection has lived long enough",
        ),
        Ending::Silent => (CloseCode::GOING_AWAY, "no answer to a ping"),
        Ending::HistoryUnreadable => (CloseCode::INTERNAL, "the history cannot be read"),
        Ending::Drained => (CloseCode::RESTART, "the hub is being stopped"),
    };
    Some((code, reason.into()))
}
