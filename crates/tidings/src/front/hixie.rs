//! A WebSocket of the draft of 2010 (hixie-76). Its session uses a carrier, as SockJS sessions do. This task receives
//! the session's frames for the peer, and passes the peer's texts to the session.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidings_wire::sockjs::{self, Text, inbound};
use tidings_wire::websocket::hixie76::{self, Decoder, Event, Keys};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::stream::Stream;
use crate::http::Site;
use crate::http::admission::MessageFraming;
use crate::http::legacy::hixie::OldUpgrade;
use tidings_hub::account::{Charge, Holder, Kind};
use tidings_hub::session::carrier::{Carrier, Close, Take, Taken};
use tidings_hub::session::socket::Socket;
use tidings_hub::session::websocket::SOCKJS_TEXTS_MAX;
use tidings_hub::session::{Ending, Opening, Session};

/// Bytes read from a peer at once.
const READ_BYTES: usize = 4096;

/// Serves a connection to its end.
pub(crate) async fn run(
    site: &Rc<Site>,
    mut stream: Stream,
    upgrade: OldUpgrade,
    unread: Bytes,
    holder: Arc<Holder>,
) {
    let OldUpgrade {
        subscription,
        framing,
        keys,
        head,
    } = upgrade;
    let handshake = answer_handshake(&mut stream, &head, keys, unread);
    let Ok(Ok(unread)) = timeout(site.config().limits.head, handshake).await else {
        return tidings_hub::metrics::count(&site.metrics().connections_failed, "head_timeout");
    };
    let carrier = Rc::<Carrier>::default();
    let socket = Socket::Carrier(Rc::clone(&carrier));
    let part = holder.book(Kind::WebSocket, 0);
    let session = site.hold(socket, subscription, Opening::Head(Bytes::new()), holder);
    let connection = Connection {
        stream,
        carrier,
        session,
        framing,
        decoder: Decoder::new(site.config().websocket.message_bytes_max),
        unread,
        part,
        stall: site.stall(),
    };
    connection.serve().await;
}

/// Answers the handshake. Sends the head first, because a proxy may wait for it before it forwards the eight bytes
/// of the nonce. Returns what was read after those.
async fn answer_handshake(
    stream: &mut Stream,
    head: &str,
    keys: Keys,
    mut unread: Bytes,
) -> io::Result<Bytes> {
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await?;
    while unread.len() < hixie76::NONCE_BYTES {
        let mut buffer = [0; READ_BYTES];
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let read = buffer.get(..count).unwrap_or_default();
        unread = [&unread, read].concat().into();
    }
    let nonce = unread.split_to(hixie76::NONCE_BYTES);
    let nonce = nonce.first_chunk().copied().unwrap_or_default();
    stream.write_all(&keys.answer(nonce)).await?;
    stream.flush().await?;
    Ok(unread)
}

struct Connection {
    stream: Stream,
    carrier: Rc<Carrier>,
    session: Rc<Session>,
    framing: MessageFraming,
    decoder: Decoder,
    unread: Bytes,
    /// The memory of an incomplete text in the decoder.
    part: Charge,
    stall: Duration,
}

/// What wakes the connection.
enum Wakeup {
    Taken(Taken),
    Read(io::Result<usize>),
    Processed,
}

impl Connection {
    async fn serve(mut self) {
        let ending = match self.exchange().await {
            Ok(ending) => ending,
            Err(_broken) => Ending::WriteFailed,
        };
        self.carrier.shut();
        self.session.close(ending);
    }

    async fn exchange(&mut self) -> io::Result<Ending> {
        if self.framing == MessageFraming::SockJs {
            self.write(&hixie76::text(sockjs::OPEN.as_bytes())).await?;
        }
        self.carrier.open();
        // Texts that the session has not processed yet. The peer is not read meanwhile.
        let mut unprocessed: Option<oneshot::Receiver<()>> = None;
        loop {
            if unprocessed.is_none() {
                match self.next_event() {
                    Some(Ok(texts)) => {
                        let (processed, result) = oneshot::channel();
                        unprocessed = Some(result);
                        if let Some(duplex) = &self.session.duplex
                            && duplex.push_inbound(texts, Some(processed)).is_err()
                        {
                            return self.close(Ending::MemoryLimit).await;
                        }
                        self.session.wake();
                    }
                    Some(Err(ending)) => return self.close(ending).await,
                    None => {}
                }
            }
            let mut buffer = [0; READ_BYTES];
            let wakeup = tokio::select! {
                taken = poll_fn(|cx| self.carrier.poll_taken(Take::Each, cx)) => Wakeup::Taken(taken),
                read = self.stream.read(&mut buffer), if unprocessed.is_none() => Wakeup::Read(read),
                () = processed(&mut unprocessed), if unprocessed.is_some() => Wakeup::Processed,
            };
            match wakeup {
                Wakeup::Taken(Taken::Texts(texts)) => {
                    for text in texts {
                        self.write(&hixie76::text(&text)).await?;
                    }
                }
                Wakeup::Taken(Taken::Closed(close)) => {
                    self.on_session_closed(&close).await?;
                    return Ok(Ending::CloseFrame);
                }
                Wakeup::Read(read) => {
                    let count = read?;
                    if count == 0 {
                        return Ok(Ending::PeerClosed);
                    }
                    self.unread = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
                }
                Wakeup::Processed => unprocessed = None,
            }
        }
    }

    /// Returns the peer's next texts, or why the session ends. None if more must be read first.
    fn next_event(&mut self) -> Option<Result<Vec<Text>, Ending>> {
        let mut input: &[u8] = &self.unread;
        let before = input.len();
        let event = self.decoder.decode(&mut input);
        let read = before - input.len();
        drop(self.unread.split_to(read));
        match event {
            Ok(Some(Event::Text(text))) if self.framing == MessageFraming::SockJs => {
                let texts = inbound::decode_websocket(&text, SOCKJS_TEXTS_MAX);
                Some(texts.map_err(|_broken| Ending::Violation))
            }
            Ok(Some(Event::Text(text))) => Some(Ok(vec![Text::from(text.as_str())])),
            Ok(Some(Event::Close)) => Some(Err(Ending::CloseFrame)),
            Ok(None) => match self.part.resize(self.decoder.held_bytes()) {
                Ok(()) => None,
                Err(_refusal) => Some(Err(Ending::MemoryLimit)),
            },
            Err(_broken_rule) => Some(Err(Ending::Violation)),
        }
    }

    /// Sends a close frame, which carries no reason in this version, and closes the sending half.
    async fn close(&mut self, ending: Ending) -> io::Result<Ending> {
        self.write(&Bytes::from_static(hixie76::CLOSE)).await?;
        self.stream.shutdown().await?;
        Ok(ending)
    }

    async fn on_session_closed(&mut self, close: &Close) -> io::Result<()> {
        if self.framing == MessageFraming::SockJs {
            let frame = sockjs::close_frame(close.code, &close.reason);
            self.write(&hixie76::text(frame.as_bytes())).await?;
        }
        self.write(&Bytes::from_static(hixie76::CLOSE)).await?;
        self.stream.shutdown().await
    }

    async fn write(&mut self, bytes: &Bytes) -> io::Result<()> {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(self.stall, written).await {
            Ok(result) => result,
            Err(_elapsed) => Err(ErrorKind::TimedOut.into()),
        }
    }
}

/// Waits until the session has processed the texts or has ended.
async fn processed(unprocessed: &mut Option<oneshot::Receiver<()>>) {
    if let Some(unprocessed) = unprocessed {
        drop(unprocessed.await);
    }
}
