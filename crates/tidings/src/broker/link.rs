//! One connection: its handshake, and reading from it.

use std::io::{self, ErrorKind};
use std::rc::Rc;

use bytes::Bytes;
use tidings_wire::zmtp::ProtocolError;
use tidings_wire::zmtp::decoder::{Decoder, PeerCommand};
use tidings_wire::zmtp::handshake::{self, Handshake, Peer, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Shared;
use super::data_source::Attach;
use super::outbox::Chunk;

/// Bytes read at once during a handshake.
const HANDSHAKE_READ_BYTES: usize = 1024;

/// A connection after its handshake.
pub(crate) struct Link {
    pub(crate) stream: TcpStream,
    pub(crate) peer: Peer,
    decoder: Decoder,
    /// Bytes that arrived together with the end of the handshake.
    early: Vec<u8>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the handshake took longer than {} s", .0.as_secs())]
    Slow(std::time::Duration),
    #[error("no answer to a heartbeat within {} s", .0.as_secs())]
    Silent(std::time::Duration),
}

impl Failure {
    /// Returns its label in metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Protocol(error) => error.reason(),
            Self::Io(_) => "io",
            Self::Slow(_) => "handshake_timeout",
            Self::Silent(_) => "heartbeat",
        }
    }
}

/// The result of a read.
pub(crate) enum Read {
    /// Messages, the commands among them, and possibly the error after them.
    Some(Chunk, Vec<PeerCommand>, Option<ProtocolError>),
    /// No bytes are available.
    Blocked,
    /// The peer closed its side.
    End,
}

impl Link {
    /// Performs the handshake.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the peer breaks a rule, is too slow, or disconnects.
    pub(crate) async fn open(
        shared: &Rc<Shared>,
        mut stream: TcpStream,
        options: handshake::Options,
    ) -> Result<Self, Failure> {
        stream.set_nodelay(true)?;
        let within = shared.limits.handshake;
        let peer = tokio::time::timeout(within, shake(&mut stream, options));
        let (peer, early) = peer.await.map_err(|_late| Failure::Slow(within))??;
        Ok(Self {
            stream,
            peer,
            decoder: Decoder::new(shared.limits.message_bytes_max),
            early,
        })
    }

    /// Reads the available bytes without waiting.
    ///
    /// # Errors
    ///
    /// The connection is closed.
    pub(crate) fn read(&mut self, shared: &Shared) -> io::Result<Read> {
        let mut scratch = shared.scratch.borrow_mut();
        let early = std::mem::take(&mut self.early);
        let bytes = if early.is_empty() {
            match self.stream.try_read(&mut scratch) {
                Ok(0) => return Ok(Read::End),
                Ok(count) => scratch.get(..count).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Read::Blocked),
                Err(error) => return Err(error),
            }
        } else {
            &early
        };
        let mut received = shared.received.borrow_mut();
        received.clear();
        let result = self.decoder.push(bytes, &mut received);
        let chunk = Chunk {
            wire: Bytes::copy_from_slice(&received.wire),
            messages: received.messages.clone(),
            place: None,
        };
        Ok(Read::Some(
            chunk,
            std::mem::take(&mut received.commands),
            result.err(),
        ))
    }
}

async fn shake(
    stream: &mut TcpStream,
    options: handshake::Options,
) -> Result<(Peer, Vec<u8>), Failure> {
    let mut out = Vec::new();
    let mut handshake = Handshake::new(options, &mut out);
    let mut buffer = [0; HANDSHAKE_READ_BYTES];
    loop {
        // A peer that has disconnected may have left messages that are still unread.
        drop(stream.write_all(&out).await);
        out.clear();
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Err(io::Error::from(ErrorKind::UnexpectedEof).into());
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        let result = handshake.push(bytes, &mut out);
        if !matches!(result, Ok(None)) {
            drop(stream.write_all(&out).await);
        }
        if let Some(peer) = result? {
            return Ok((peer, handshake.rest()));
        }
    }
}

/// Returns which end of the security mechanism a socket is.
pub(crate) fn role(attach: Attach) -> Role {
    match attach {
        Attach::Bind => Role::Server,
        Attach::Connect => Role::Client,
    }
}
